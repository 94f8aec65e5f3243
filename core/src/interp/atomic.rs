//! Atomic instructions (RFC 9669, section 5.3, and load-acquire and store-release as Linux has them).
//!
//! Operations with fetch are fully ordered, the others relaxed, as the kernel's memory model asks; here all of them are sequentially consistent but
//! acquire and release, which is at least that.

use crate::isa::op::*;
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// What an atomic instruction leaves in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing.
    None,
    /// This in its source register.
    Src(u64),
    /// This in r0.
    R0(u64),
}

macro_rules! modify {
    ($name:ident, $atomic:ty, $word:ty) => {
        /// A read-modify-write at `addr`; `None`: no such operation.
        ///
        /// # Safety
        /// `addr` is aligned and may be read and written.
        #[inline(always)]
        pub(super) unsafe fn $name(imm: i32, addr: u64, value: u64, r0: u64) -> Option<Outcome> {
            // SAFETY: the caller's.
            let cell = unsafe { <$atomic>::from_ptr(addr as *mut $word) };
            let value = value as $word;
            let order = Ordering::SeqCst; // pairs with every other atomic of programs and hosts on that word
            if imm == BPF_CMPXCHG {
                let old = match cell.compare_exchange(r0 as $word, value, order, order) {
                    Ok(old) | Err(old) => old,
                };
                return Some(Outcome::R0(u64::from(old)));
            }
            const ADD: i32 = BPF_ADD as i32;
            const OR: i32 = BPF_OR as i32;
            const AND: i32 = BPF_AND as i32;
            const XOR: i32 = BPF_XOR as i32;
            let fetch = imm & BPF_FETCH != 0;
            let old = match imm {
                BPF_XCHG => cell.swap(value, order),
                _ => match imm & !BPF_FETCH {
                    ADD => cell.fetch_add(value, order),
                    OR => cell.fetch_or(value, order),
                    AND => cell.fetch_and(value, order),
                    XOR => cell.fetch_xor(value, order),
                    _ => return None,
                },
            };
            Some(if fetch { Outcome::Src(u64::from(old)) } else { Outcome::None })
        }
    };
}

modify!(modify64, AtomicU64, u64);
modify!(modify32, AtomicU32, u32);

/// Loads with acquire.
///
/// # Safety
/// `addr` is aligned to the size and may be read.
#[inline(always)]
pub(super) unsafe fn load_acquire(size: u8, addr: u64) -> u64 {
    // Acquire: pairs with the store-release of whoever wrote the word.
    // SAFETY: the caller's, in each arm.
    unsafe {
        match size {
            BPF_B => u64::from(AtomicU8::from_ptr(addr as *mut u8).load(Ordering::Acquire)),
            BPF_H => u64::from(AtomicU16::from_ptr(addr as *mut u16).load(Ordering::Acquire)),
            BPF_W => u64::from(AtomicU32::from_ptr(addr as *mut u32).load(Ordering::Acquire)),
            _ => AtomicU64::from_ptr(addr as *mut u64).load(Ordering::Acquire),
        }
    }
}

/// Stores with release.
///
/// # Safety
/// `addr` is aligned to the size and may be written.
#[inline(always)]
pub(super) unsafe fn store_release(size: u8, addr: u64, value: u64) {
    // Release: pairs with the load-acquire of whoever reads the word.
    // SAFETY: the caller's, in each arm.
    unsafe {
        match size {
            BPF_B => AtomicU8::from_ptr(addr as *mut u8).store(value as u8, Ordering::Release),
            BPF_H => AtomicU16::from_ptr(addr as *mut u16).store(value as u16, Ordering::Release),
            BPF_W => AtomicU32::from_ptr(addr as *mut u32).store(value as u32, Ordering::Release),
            _ => AtomicU64::from_ptr(addr as *mut u64).store(value, Ordering::Release),
        }
    }
}
