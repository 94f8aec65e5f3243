//! The lock of a map's writers: tagged with its holder's slot, bounded, in map memory.
//!
//! Nobody waits for it without an end: who does not get it in a bounded number of tries is told EBUSY. The tag says whose it is, so that in a shared map a dead
//! holder can be told from a slow one ([`super::holders`]) and is robbed; what it left half done, the robber is told to look after. Readers of no map take it on
//! the run path unless the operation changes the map (a pop).
//! Kernel: raw spin locks with interrupts off, and -EBUSY where the lock is found held by the same CPU; uxdp: threads may be preempted while they hold it, hence the
//! bound.

use crate::error::Errno;
use crate::sync::{AtomicU64, Ordering};
use core::hint::spin_loop;

/// Tries of a writer: some tens of microseconds, far longer than any critical section of a running holder.
pub(super) const TRIES: u32 = if cfg!(all(test, loom)) { 2 } else { 1 << 14 };
/// The slot of callers that hold none: control planes that read a map that is not shared.
pub(super) const NO_SLOT: u32 = u32::MAX - 1;

/// The lock: in the low half its holder's slot + 1, or 0; in the high half how often it was taken, so that no two holds have one word. Zeroed memory is a free
/// one.
#[repr(transparent)]
#[derive(Debug)]
pub(super) struct Lock(AtomicU64);

/// Held until dropped.
pub(super) struct Locked<'a> {
    lock: &'a Lock,
    word: u64,
    after: After,
}

/// Who had a lock before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// A holder that gave it back.
    Release,
    /// A holder that died with it.
    Death,
}

/// Takes a lock that this process's control planes alone know: in private memory, and without a tag, since who holds it dies with what it keeps. Bounded as the other.
pub(super) fn take_private<T>(lock: &spin::Mutex<T>) -> Result<spin::MutexGuard<'_, T>, Errno> {
    for _ in 0..TRIES {
        if let Some(held) = lock.try_lock() {
            return Ok(held);
        }
        spin_loop();
    }
    Err(Errno::EBUSY)
}

impl Locked<'_> {
    pub(super) fn after(&self) -> After {
        self.after
    }
}

impl Lock {
    /// Takes it for `slot`; from a holder of whom `is_gone` says that he is dead, too.
    pub(super) fn take(&self, slot: u32, is_gone: impl FnOnce(u32) -> bool) -> Result<Locked<'_>, Errno> {
        for _ in 0..TRIES {
            let seen = self.0.load(Ordering::Relaxed);
            if seen as u32 == 0
                && let Some(held) = self.exchange(seen, slot, After::Release)
            {
                return Ok(held);
            }
            spin_loop();
        }
        let seen = self.0.load(Ordering::Relaxed);
        let dead = seen as u32 != 0 && is_gone(seen as u32 - 1);
        dead.then(|| self.exchange(seen, slot, After::Death)).flatten().ok_or(Errno::EBUSY)
    }

    /// From exactly this word.
    fn exchange(&self, seen: u64, slot: u32, after: After) -> Option<Locked<'_>> {
        let word = (seen & !u64::from(u32::MAX)).wrapping_add(1 << 32) | u64::from(slot.wrapping_add(1));
        // Acquire: pairs with the Release of the holder before. One that died said nothing, but its process is over, and with it all its stores.
        let taken = self.0.compare_exchange(seen, word, Ordering::Acquire, Ordering::Relaxed);
        // Only what was taken may become a value that gives it back.
        taken.is_ok().then(|| Locked { lock: self, word, after })
    }

    /// The slot that holds it. SeqCst: see [`super::holders`].
    pub(super) fn holder(&self) -> Option<u32> {
        (self.0.load(Ordering::SeqCst) as u32).checked_sub(1)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of the next holder.
        self.lock.0.store(self.word & !u64::from(u32::MAX), Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn private_lock_that_is_held_is_busy() {
        let lock = spin::Mutex::new(7);
        let held = take_private(&lock).unwrap();
        assert_eq!(take_private(&lock).map(|h| *h), Err(Errno::EBUSY));
        drop(held);
        assert_eq!(take_private(&lock).map(|h| *h), Ok(7));
    }

    #[test]
    fn exchange_from_another_word_leaves_the_lock_with_its_holder() {
        let lock = Lock(AtomicU64::new(0));
        let held = lock.take(7, |_| false).ok();
        assert!(lock.exchange(0, 3, After::Release).is_none());
        assert_eq!(lock.holder(), Some(7));
        drop(held);
        assert_eq!(lock.holder(), None);
        assert!(lock.take(3, |_| false).is_ok());
    }
}
