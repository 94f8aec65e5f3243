//! `struct bpf_spin_lock`: the lock in a map's value, which programs take by helper and copies with BPF_F_LOCK.
//!
//! The word names its holder, a slot, so that whoever finds it stuck sees by whom. Waiting spins a bound, lets other threads run, and begins again, but not for ever: whoever
//! holds it may be dead, or preempted for as long as the host likes. A program that does not get it is aborted, a copy is told EBUSY.
//! Kernel: interrupts are off while a program holds it, and waiting has no end; uxdp: threads may be preempted, hence the yields and the end.

use crate::error::Errno;
use crate::platform::Platform;
use crate::sync::{AtomicU32, Ordering};
use core::hint::spin_loop;

/// Tries before other threads are let run: some microseconds.
const TRIES: u32 = 1 << 10;
/// Times that others are let run before waiting ends: some tens of milliseconds; on a loaded machine as long as 4,096 turns of others take.
const YIELDS: u32 = 1 << 12;

/// The lock: 0, or its holder's slot + 1.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct ValueLock(AtomicU32);

/// Held until dropped.
pub(super) struct Held<'a>(&'a ValueLock);

impl ValueLock {
    /// The lock at an address.
    ///
    /// # Safety
    /// The address is that of a value's lock field, in a map that lives for `'a`.
    pub(crate) unsafe fn at<'a>(address: *mut u8) -> &'a ValueLock {
        // SAFETY: the caller's: four bytes of map memory, aligned to 4, that are only touched by atomic accesses.
        unsafe { &*address.cast::<ValueLock>() }
    }

    /// Takes it for `slot`, if it is free within a bounded number of tries.
    fn try_take(&self, slot: u32) -> bool {
        for _ in 0..TRIES {
            // Acquire: pairs with the Release of the holder before.
            let free = self.0.load(Ordering::Relaxed) == 0;
            if free
                && self
                    .0
                    .compare_exchange_weak(0, slot.wrapping_add(1), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return true;
            }
            spin_loop();
        }
        false
    }

    /// Takes it for `slot`; false when waiting has gone on for too long.
    pub(crate) fn take(&self, slot: u32, platform: &dyn Platform) -> bool {
        if self.try_take(slot) {
            return true;
        }
        for _ in 0..YIELDS {
            platform.yield_now();
            if self.try_take(slot) {
                return true;
            }
        }
        false
    }

    /// Gives it back.
    pub(crate) fn give(&self) {
        self.0.store(0, Ordering::Release); // pairs with the Acquire of the next holder
    }

    /// Takes it for a copy.
    pub(super) fn hold(&self, slot: u32) -> Result<Held<'_>, Errno> {
        for _ in 0..HOLD_ROUNDS {
            if self.try_take(slot) {
                return Ok(Held(self));
            }
        }
        Err(Errno::EBUSY)
    }
}

/// Rounds of tries of a copy: a millisecond, some hundred times as long as a critical section.
const HOLD_ROUNDS: u32 = 64;

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.give();
    }
}
