//! Grace periods: what was taken out of use is freed when every online worker has said that it holds nothing.
//!
//! The epochs and their protocol are [`Epochs`]; here is the list of what waits on the heap, and who frees it when. What lives in map memory waits in its map.

use super::hook::Unit;
use crate::maps::{Epochs, Reference};
use crate::mem::{OutOfMemory, Vec};
use crate::platform::Platform;
use crate::sync::{Arc, AtomicU32, Ordering};

/// What waits for its end.
pub(super) enum Retired {
    /// A hook's former programs.
    Unit(#[expect(dead_code, reason = "kept to be dropped")] Arc<Unit>),
    /// A program, inner map or target that left a map.
    Reference(#[expect(dead_code, reason = "kept to be dropped")] Reference),
    /// What was known of the network.
    Network(#[expect(dead_code, reason = "kept to be dropped")] Arc<crate::net::Tables>),
}

/// What an environment has yet to free, and for whom it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclamation {
    /// Programs, inner maps, entries and the like that were replaced and wait to be freed. What tries replace waits in their own memory.
    pub waiting: u32,
    /// The slot whose online worker has been silent the longest, and how many retirements it has not answered; none where all have answered.
    pub held_up_by: Option<(u32, u64)>,
}

/// The grace periods of an environment.
pub(super) struct Grace {
    epochs: Arc<Epochs>,
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
            epochs: Arc::new(Epochs::new(slots)?)?,
            waiting: spin::Mutex::new(Waiting { list: Vec::new(), reserved: 0 }),
            pending: AtomicU32::new(0),
            dropping: AtomicU32::new(0),
        })
    }

    /// What its workers are known by; maps that free by themselves have it too.
    pub(super) fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
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
        let epoch = self.epochs.advance();
        let pushed = self.waiting.lock().list.push((epoch, thing));
        debug_assert!(pushed.is_ok(), "the place was reserved");
        self.pending.fetch_add(1, Ordering::Relaxed);
        drop(place);
        self.reclaim();
    }

    /// Whether something waits; workers ask at their quiescent points.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) != 0
    }

    /// What waits, and for whom.
    pub(super) fn reclamation(&self) -> Reclamation {
        Reclamation {
            waiting: self.pending.load(Ordering::Relaxed),
            held_up_by: self.epochs.furthest_behind(),
        }
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
        let oldest = self.epochs.oldest();
        let index = waiting.list.iter().position(|(epoch, _)| *epoch <= oldest)?;
        let (_, thing) = waiting.list.swap_remove(index);
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.dropping.fetch_add(1, Ordering::Relaxed); // the lock orders it before whoever finds the thing gone
        Some(thing)
    }

    /// Waits until every worker that is online now was quiescent. Never from a worker.
    pub(super) fn wait(&self, platform: &dyn Platform) {
        let epoch = self.epochs.advance();
        while self.epochs.oldest() < epoch {
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

#[cfg(all(loom, test))]
#[path = "grace_loom.rs"]
mod models;
