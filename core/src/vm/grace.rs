//! Grace periods: what was taken out of use is freed when every online worker has said that it holds nothing (quiescent-state based reclamation).
//!
//! A global epoch counts retirements. Each slot holds the epoch that its worker last saw, 0 while it runs no programs. Something retired at epoch `e` is
//! free when each slot holds 0 or at least `e`:
//!
//! ```text
//! retire:     unpublish; fence; e = ++epoch; list (e, thing)
//! quiescent:  seen = epoch                  (Release after the last use, Acquire before the next)
//! online:     seen = epoch; fence
//! reclaim:    free those with e <= min(seen of online slots)
//! ```
//! A worker that saw `e` did so after the unpublishing, so that it finds the new state; its uses of the old state ended before it said so. The two fences order
//! going online against unpublishing: one of both sides sees the other.
//!
//! Source: user-space RCU, the QSBR flavour (Desnoyers et al., 2012).

use super::hook::Unit;
use crate::maps::Reference;
use crate::mem::{OutOfMemory, Vec};
use crate::platform::Platform;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};

/// What waits for its end.
pub(super) enum Retired {
    /// A hook's former programs.
    Unit(#[expect(dead_code, reason = "kept to be dropped")] Arc<Unit>),
    /// A program, inner map or target that left a map.
    Reference(#[expect(dead_code, reason = "kept to be dropped")] Reference),
}

#[repr(align(128))]
struct Slot {
    /// The epoch that its worker saw last; 0: it runs nothing.
    seen: AtomicU64,
    /// 1 while a worker holds the slot.
    held: AtomicU32,
}

/// The grace periods of an environment.
pub(super) struct Grace {
    epoch: AtomicU64,
    slots: Vec<Slot>,
    waiting: spin::Mutex<Waiting>,
    /// Length of the list, so that workers need no lock to see that it is empty.
    pending: AtomicU32,
    /// Things that left the list and are being dropped, by whatever thread.
    dropping: AtomicU32,
}

struct Waiting {
    list: Vec<(u64, Retired)>,
    /// Places that were promised.
    reserved: usize,
}

/// A place in the list, so that what follows cannot fail.
pub(super) struct Place<'a>(&'a Grace);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().reserved -= 1;
    }
}

impl Grace {
    pub(super) fn new(slots: u32) -> Result<Self, OutOfMemory> {
        Ok(Grace {
            epoch: AtomicU64::new(1),
            slots: Vec::from_fn(slots as usize, |_| Slot {
                seen: AtomicU64::new(0),
                held: AtomicU32::new(0),
            })?,
            waiting: spin::Mutex::new(Waiting { list: Vec::new(), reserved: 0 }),
            pending: AtomicU32::new(0),
            dropping: AtomicU32::new(0),
        })
    }

    /// Takes a slot; false where it is held. Acquire pairs with the Release of `release`.
    pub(super) fn hold(&self, slot: u32) -> bool {
        self.slots
            .get(slot as usize)
            .is_some_and(|s| s.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok())
    }

    pub(super) fn release(&self, slot: u32) {
        self.offline(slot);
        if let Some(s) = self.slots.get(slot as usize) {
            s.held.store(0, Ordering::Release); // pairs with `hold`
        }
    }

    pub(super) fn online(&self, slot: u32) {
        self.quiescent(slot);
        fence(Ordering::SeqCst); // pairs with the fence of `retire` and `synchronize`
    }

    pub(super) fn quiescent(&self, slot: u32) {
        if let Some(s) = self.slots.get(slot as usize) {
            // Acquire: pairs with the increment of the epoch; Release: pairs with `oldest`.
            s.seen.store(self.epoch.load(Ordering::Acquire), Ordering::Release);
        }
    }

    pub(super) fn offline(&self, slot: u32) {
        if let Some(s) = self.slots.get(slot as usize) {
            s.seen.store(0, Ordering::Release); // pairs with `oldest`
        }
    }

    /// Makes room for one thing to retire.
    pub(super) fn reserve(&self) -> Result<Place<'_>, OutOfMemory> {
        let mut waiting = self.waiting.lock();
        let room = waiting.reserved + 1;
        waiting.list.reserve(room)?;
        waiting.reserved = room;
        drop(waiting);
        Ok(Place(self))
    }

    /// Frees `thing` after a grace period. It was taken out of use before.
    pub(super) fn retire(&self, place: Place<'_>, thing: Retired) {
        let epoch = self.advance();
        let pushed = self.waiting.lock().list.push((epoch, thing));
        debug_assert!(pushed.is_ok(), "the place was reserved");
        self.pending.fetch_add(1, Ordering::Relaxed);
        drop(place);
        self.reclaim();
    }

    fn advance(&self) -> u64 {
        fence(Ordering::SeqCst); // pairs with `online`
        // AcqRel: pairs with the loads in `quiescent`.
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The oldest epoch that some online worker may still live in.
    fn oldest(&self) -> u64 {
        // Acquire: pairs with the stores of workers; their uses ended before.
        let seen = self.slots.iter().map(|s| s.seen.load(Ordering::Acquire));
        seen.filter(|&e| e != 0).min().unwrap_or(u64::MAX)
    }

    /// Whether something waits; workers ask at their quiescent points.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// Frees what no worker can hold any more.
    pub(super) fn reclaim(&self) {
        while let Some(thing) = self.next_free(self.waiting.lock()) {
            self.drop_outside_the_lock(thing);
        }
    }

    /// The same, but only while nobody else holds the list: for workers.
    pub(super) fn try_reclaim(&self) {
        while let Some(thing) = self.waiting.try_lock().and_then(|w| self.next_free(w)) {
            self.drop_outside_the_lock(thing);
        }
    }

    /// What a drop frees may retire more.
    fn drop_outside_the_lock(&self, thing: Retired) {
        drop(thing);
        self.dropping.fetch_sub(1, Ordering::Release); // pairs with `synchronize`
    }

    fn next_free(&self, mut waiting: spin::MutexGuard<'_, Waiting>) -> Option<Retired> {
        let oldest = self.oldest();
        let index = waiting.list.iter().position(|(epoch, _)| *epoch <= oldest)?;
        let (_, thing) = waiting.list.swap_remove(index);
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.dropping.fetch_add(1, Ordering::Relaxed); // the lock orders it before whoever finds the thing gone
        Some(thing)
    }

    /// Waits until every worker that is online now was quiescent. Never from a worker.
    pub(super) fn wait(&self, platform: &dyn Platform) {
        let epoch = self.advance();
        while self.oldest() < epoch {
            platform.yield_now();
        }
    }

    /// The same, and what that set free is gone when it returns, even if another thread was about to free it. Never from a worker, nor from a drop.
    pub(super) fn synchronize(&self, platform: &dyn Platform) {
        self.wait(platform);
        self.reclaim();
        // Acquire: pairs with the end of each drop.
        while self.dropping.load(Ordering::Acquire) != 0 {
            platform.yield_now();
        }
    }
}
