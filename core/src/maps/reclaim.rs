//! Epochs: when nobody can hold any more what was taken out of use (quiescent-state based reclamation).
//!
//! A global epoch counts retirements. Each slot holds the epoch that its worker last saw, 0 while it runs no programs. Something retired at epoch `e` is
//! free when each slot holds 0 or at least `e`:
//!
//! ```text
//! retire:     unpublish; fence; e = ++epoch; note (e, thing)
//! quiescent:  seen = epoch                  (Release after the last use, Acquire before the next)
//! online:     seen = epoch; fence
//! reclaim:    free those with e <= min(seen of online slots)
//! ```
//! A worker that saw `e` did so after the unpublishing, so that it finds the new state; its uses of the old state ended before it said so. The two fences order
//! going online against unpublishing: one of both sides sees the other.
//!
//! Serves what is freed on the heap (`vm::grace`) and what stays in map memory (the nodes of a trie). Source: user-space RCU, the QSBR flavour
//! (Desnoyers et al., 2012).

use crate::mem::{OutOfMemory, Vec};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

#[repr(align(128))]
#[derive(Debug)]
struct Slot {
    /// The epoch that its worker saw last; 0: it runs nothing.
    seen: AtomicU64,
    /// 1 while a worker holds the slot.
    held: AtomicU32,
}

impl Slot {
    fn see(&self, epoch: &AtomicU64) {
        // Acquire: pairs with the increment of the epoch; Release: pairs with `oldest`.
        self.seen.store(epoch.load(Ordering::Acquire), Ordering::Release);
    }
}

/// What a slot's worker has reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// A worker holds the slot.
    pub held: bool,
    /// It may be running programs: what is retired waits for it.
    pub online: bool,
    /// How many retirements it has not answered since it was quiescent last; 0 while it is offline.
    pub behind: u64,
}

/// The epoch of an environment, and what its workers saw of it.
#[derive(Debug)]
pub struct Epochs {
    epoch: AtomicU64,
    slots: Vec<Slot>,
}

impl Epochs {
    /// For so many slots, all offline.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(slots: u32) -> Result<Self, OutOfMemory> {
        let slots =
            Vec::from_fn(slots as usize, |_| Slot { seen: AtomicU64::new(0), held: AtomicU32::new(0) })?;
        Ok(Epochs { epoch: AtomicU64::new(1), slots })
    }

    /// Takes a slot; false where it is held. Acquire pairs with the Release of `release`.
    pub fn hold(&self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|s| s.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok())
    }

    /// Gives a slot back, offline.
    pub fn release(&self, slot: u32) {
        self.offline(slot);
        if let Some(s) = self.slots.get(slot as usize) {
            s.held.store(0, Ordering::Release); // pairs with `hold`
        }
    }

    /// The slot's worker begins to run programs.
    pub fn online(&self, slot: u32) {
        if let Some(s) = self.slots.get(slot as usize) {
            s.see(&self.epoch);
        }
        fence(Ordering::SeqCst); // pairs with the fence of `advance`
    }

    /// The slot's worker holds nothing from before. One that is offline stays so: without the fence of `online` it may not run anything.
    pub fn quiescent(&self, slot: u32) {
        if let Some(s) = self.slots.get(slot as usize)
            && s.seen.load(Ordering::Relaxed) != 0
        {
            s.see(&self.epoch);
        }
    }

    /// The slot's worker runs no programs until it is online again.
    pub fn offline(&self, slot: u32) {
        if let Some(s) = self.slots.get(slot as usize) {
            s.seen.store(0, Ordering::Release); // pairs with `oldest`
        }
    }

    /// The epoch of something that was taken out of use before.
    pub fn advance(&self) -> u64 {
        fence(Ordering::SeqCst); // pairs with `online`
        // AcqRel: pairs with the loads in `quiescent`.
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Reads everything once, so that what loom has in its place is made before threads begin.
    #[cfg(all(test, loom))]
    pub(crate) fn touch(&self) {
        self.epoch.load(Ordering::Relaxed);
        for s in self.slots.iter() {
            s.seen.load(Ordering::Relaxed);
            s.held.load(Ordering::Relaxed);
        }
    }

    /// The oldest epoch that some online worker may still live in.
    pub fn oldest(&self) -> u64 {
        // Acquire: pairs with the stores of workers; their uses ended before.
        let seen = self.slots.iter().map(|s| s.seen.load(Ordering::Acquire));
        seen.filter(|&e| e != 0).min().unwrap_or(u64::MAX)
    }

    /// What a slot's worker has reported; `None` for a slot that is none. For people: by the time they read it, it may be different.
    pub fn reported(&self, slot: u32) -> Option<Reported> {
        let s = self.slots.get(slot as usize)?;
        let seen = s.seen.load(Ordering::Relaxed);
        let behind = if seen == 0 { 0 } else { self.epoch.load(Ordering::Relaxed).saturating_sub(seen) };
        Some(Reported { held: s.held.load(Ordering::Relaxed) != 0, online: seen != 0, behind })
    }

    /// The online slot that is furthest behind, the first of several, and how far; none where all have answered.
    pub fn furthest_behind(&self) -> Option<(u32, u64)> {
        let all = (0..).map_while(|slot| Some((slot, self.reported(slot)?.behind)));
        all.filter(|(_, behind)| *behind != 0).reduce(|a, b| if b.1 > a.1 { b } else { a })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slot_is_behind_by_what_was_retired_since_it_was_quiescent() {
        let epochs = Epochs::new(3).unwrap();
        assert!(epochs.hold(0) && epochs.hold(2));
        let offline = Reported { held: true, online: false, behind: 0 };
        assert_eq!(epochs.reported(0), Some(offline));
        assert_eq!((epochs.reported(1), epochs.reported(3)), (Some(Reported::default()), None));
        epochs.online(0);
        epochs.advance();
        epochs.online(2);
        assert_eq!(epochs.furthest_behind(), Some((0, 1)));
        epochs.advance();
        assert_eq!(epochs.reported(0), Some(Reported { held: true, online: true, behind: 2 }));
        assert_eq!(epochs.reported(2), Some(Reported { held: true, online: true, behind: 1 }));
        assert_eq!(epochs.furthest_behind(), Some((0, 2)));
        epochs.quiescent(0);
        assert_eq!(epochs.furthest_behind(), Some((2, 1)));
        epochs.offline(2);
        assert_eq!((epochs.furthest_behind(), epochs.reported(2)), (None, Some(offline)));
        epochs.release(2);
        assert_eq!(epochs.reported(2), Some(Reported::default()));
    }
}
