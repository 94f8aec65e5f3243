//! Pages for machine code: writable first, then read+execute, as near to a given address as there is room.
//!
//! Near means within reach of a direct call (2 GiB on x86-64). Candidate addresses are tried outward from the wanted one, in small steps first; the
//! kernel refuses a place that is taken (`MAP_FIXED_NOREPLACE`), so that nothing is ever replaced. Where all are taken the kernel chooses, and the
//! caller finds out by looking at the address.

use crate::memory;
use crate::page_size;
use core::ptr::{NonNull, null_mut};
use uxdp_core::error::Errno;

const MIB: usize = 1 << 20;
/// Step and farthest distance of each round: 512 places within 256 MiB, then 400 within 1,856 MiB.
const ROUNDS: [(usize, usize); 2] = [(MIB, 256 * MIB), (8 * MIB, 1856 * MIB)];

pub(crate) fn alloc(size: usize, near: usize) -> Result<NonNull<u8>, Errno> {
    let len = memory::pages(size).ok_or(Errno::ENOMEM)?;
    let start = near & !(page_size() - 1);
    let mut from = 0;
    for (step, to) in ROUNDS {
        for distance in (from + step..=to).step_by(step) {
            for at in [start.checked_add(distance), start.checked_sub(distance + len)] {
                if let Some(p) = at.and_then(|at| at_exactly(at, len)) {
                    return Ok(p);
                }
            }
        }
        from = to;
    }
    memory::map(null_mut(), len, 0).ok_or(Errno::ENOMEM)
}

/// A mapping at that very address, where it is free. Kernels before 4.17 take the address for a hint: their answer elsewhere is given back.
fn at_exactly(at: usize, len: usize) -> Option<NonNull<u8>> {
    let at = core::ptr::without_provenance_mut::<libc::c_void>(at & !(page_size() - 1));
    let p = memory::map(at, len, libc::MAP_FIXED_NOREPLACE)?;
    if p.as_ptr().cast() == at {
        return Some(p);
    }
    // SAFETY: just mapped, used by nobody.
    unsafe { memory::unmap(p, len) };
    None
}

/// # Safety
/// As `CodeMemory::seal`.
pub(crate) unsafe fn seal(ptr: NonNull<u8>, size: usize) -> Result<(), Errno> {
    // SAFETY: the caller's: nothing writes there any more.
    if !unsafe { memory::protect(ptr, size, libc::PROT_READ | libc::PROT_EXEC) } {
        return Err(Errno::EOPNOTSUPP);
    }
    // SAFETY: readable now.
    unsafe { show_to_fetch(ptr.as_ptr() as usize, size) };
    Ok(())
}

/// Makes written code visible to instruction fetch. On x86-64 the hardware does.
///
/// # Safety
/// The bytes can be read.
#[cfg(target_arch = "x86_64")]
unsafe fn show_to_fetch(_start: usize, _size: usize) {}

/// As the Arm architecture asks: clean the data cache and invalidate the instruction cache, line by line, each followed by a barrier.
///
/// # Safety
/// The bytes can be read.
#[cfg(target_arch = "aarch64")]
unsafe fn show_to_fetch(start: usize, size: usize) {
    use core::arch::asm;
    let types: u64;
    // SAFETY: CTR_EL0 can be read by user programs on Linux.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) types, options(nomem, nostack)) };
    let (data, code) = (4usize << (types >> 16 & 0xf), 4usize << (types & 0xf));
    for line in (start & !(data - 1)..start + size).step_by(data) {
        // SAFETY: cache maintenance by address of readable bytes.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", options(nostack)) };
    for line in (start & !(code - 1)..start + size).step_by(code) {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}
