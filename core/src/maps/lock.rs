//! The lock of a map's writers: tagged with its holder's slot, bounded, in map memory.
//!
//! Nobody waits for it without an end: who does not get it in a bounded number of tries is told EBUSY. The tag says whose it is, so that a dead
//! holder can be told from a slow one. Readers of no map take it on the run path unless the operation changes the map (a pop).
//! Kernel: raw spin locks with interrupts off, and -EBUSY where the lock is found held by the same CPU; uxdp: threads may be preempted while they hold it, hence the
//! bound.

use crate::error::Errno;
use crate::sync::{AtomicU32, Ordering};
use core::hint::spin_loop;

/// Tries of a writer: some tens of microseconds, far longer than any critical section of a running holder.
const TRIES: u32 = 1 << 14;
/// The slot of callers that hold none: control planes that read.
pub(super) const NO_SLOT: u32 = u32::MAX - 1;

/// The lock: 0, or its holder's slot + 1. Zeroed memory is a free one.
#[repr(transparent)]
#[derive(Debug)]
pub(super) struct Lock(AtomicU32);

/// Held until dropped.
pub(super) struct Locked<'a>(&'a Lock);

impl Lock {
    /// Takes it for `slot`.
    pub(super) fn take(&self, slot: u32) -> Result<Locked<'_>, Errno> {
        for _ in 0..TRIES {
            // Acquire: pairs with the Release of the holder before.
            let free = self.0.load(Ordering::Relaxed) == 0;
            if free
                && self
                    .0
                    .compare_exchange_weak(0, slot.wrapping_add(1), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Ok(Locked(self));
            }
            spin_loop();
        }
        Err(Errno::EBUSY)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release); // pairs with the Acquire of the next holder
    }
}
