//! Inserting a key that is not there: without a lock, and so that two inserters of one key leave one member.
//!
//! ```text
//!  insert:  claim the first empty slot from the home on:  Empty -> Inserting
//!           assist(own slot)
//!           own slot not Collided      -> done: it became a member
//!           assist saw a member        -> Collided -> Empty, the key exists
//!           else                       -> Collided -> Inserting (a new generation), assist again
//!
//!  assist(i):  for each other slot j within reach that has the same key:
//!                Member              -> i: Inserting -> Collided; "exists"
//!                Inserting, j < i    -> i: Inserting -> Collided; assist(j) instead
//!                Inserting, j > i    -> j: Inserting -> Collided
//!              then i: Inserting -> Member
//! ```
//!
//! Every arrow is one compare-exchange from the very word that was seen. Of two slots with one key the one that began to insert later sees the other (all
//! loads and exchanges here are SeqCst), so that never both pass their scans; whoever finds a stalled inserter finishes or stops its insert, so that nobody waits.
//! Source: Purcell and Harris, "Non-blocking hashtables with open addressing" (2005); here with replaced elements and a generation for each try.

use super::group::SLOTS;
use super::key::Hash;
use super::word::{State, Word};
use super::{Key, Place, Table};
use crate::sync::{AtomicU64, Ordering};

/// Why an element did not go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::maps) enum Exists {
    /// Another one has the key.
    Key,
    /// No slot was free, which only slots of dead writers bring about.
    NoSlot,
}

impl Table {
    /// Makes an element, whose key and contents are written, the key's. `Err`: it is still the caller's.
    pub(in crate::maps) fn insert<K: Key>(&self, key: &K, index: u32) -> Result<(), Exists> {
        let hash = key.hash(self.secret);
        let (own, word) = self.claim(hash, index).ok_or(Exists::NoSlot)?;
        self.finish(key, hash, own, word)
    }

    /// Brings an inserting slot of the caller's to its end.
    pub(super) fn finish<K: Key>(
        &self,
        key: &K,
        hash: Hash,
        own: Place,
        mut word: Word,
    ) -> Result<(), Exists> {
        loop {
            let exists = self.assist(key, hash, own, word) == Settled::Exists;
            let at = self.slot(own);
            if at.load(Ordering::SeqCst) != word.collided().0 {
                return Ok(());
            }
            // A collided slot is its inserter's alone, so that stores are enough.
            if exists {
                at.store(word.emptied().0, Ordering::SeqCst);
                self.lower(own);
                return Err(Exists::Key);
            }
            word = word.retried();
            at.store(word.0, Ordering::SeqCst);
        }
    }

    /// Puts an element into the first empty slot from the home on.
    pub(super) fn claim(&self, hash: Hash, index: u32) -> Option<(Place, Word)> {
        let home = hash.bucket(self.nr_buckets);
        for distance in 0..self.nr_buckets {
            let first = distance * SLOTS as u32;
            let mut raised = false;
            for nth in first..first + SLOTS as u32 {
                let place = Place { home, nth };
                let at = self.slot(place);
                let mut seen = Word(at.load(Ordering::Relaxed));
                while seen.is_empty() {
                    if distance > 0 && !raised {
                        self.raise(home, distance);
                        raised = true;
                    }
                    let word = seen.inserting(hash.tag(), index);
                    match at.compare_exchange(seen.0, word.0, Ordering::SeqCst, Ordering::Relaxed) {
                        Ok(_) => return Some((place, word)),
                        Err(now) => seen = Word(now),
                    }
                }
            }
            if raised {
                self.lower(Place { home, nth: first });
            }
        }
        None
    }

    /// Decides over the inserting slot `i`, whose word is `wi`.
    fn assist<K: Key>(&self, key: &K, hash: Hash, mut i: Place, mut wi: Word) -> Settled {
        'slot: loop {
            let slots = (self.reach(i.home) + 1) * SLOTS as u32;
            for nth in (0..slots).filter(|nth| *nth != i.nth) {
                let j = Place { home: i.home, nth };
                match self.rival(key, hash, i, wi, j) {
                    Rival::None => {}
                    Rival::Settled => return Settled::Decided,
                    Rival::Member => {
                        exchange(self.slot(i), wi, wi.collided());
                        return Settled::Exists;
                    }
                    Rival::Before(wj) => {
                        exchange(self.slot(i), wi, wi.collided());
                        (i, wi) = (j, wj);
                        continue 'slot;
                    }
                }
            }
            exchange(self.slot(i), wi, wi.member());
            return Settled::Decided;
        }
    }

    /// What another slot means to `i`; stops it where it comes behind.
    fn rival<K: Key>(&self, key: &K, hash: Hash, i: Place, wi: Word, j: Place) -> Rival {
        let at = self.slot(j);
        loop {
            let wj = Word(at.load(Ordering::SeqCst));
            let state = wj.state();
            if wj.tag() != hash.tag() || matches!(state, State::Empty | State::Collided) {
                return Rival::None;
            }
            let Some(same) = self.is_key_of(key, wj) else { return Rival::None };
            if !Self::still(at, wj) {
                continue;
            }
            match state {
                _ if !same => return Rival::None,
                State::Member => return Rival::Member,
                _ if j.nth < i.nth => return Rival::Before(wj),
                _ => {}
            }
            // Behind `i`, which stops it, if `i` itself still stands.
            if self.slot(i).load(Ordering::SeqCst) != wi.0 {
                return Rival::Settled;
            }
            exchange(at, wj, wj.collided());
        }
    }

    /// One more key of `home` lives so many buckets behind it.
    fn raise(&self, home: u32, distance: u32) {
        let at = &self.bucket(home).overflow;
        let mut old = at.load(Ordering::Relaxed);
        loop {
            let (count, far) = (old as u32, (old >> 32) as u32);
            let new = u64::from(count.saturating_add(1)) | u64::from(far.max(distance)) << 32;
            match at.compare_exchange_weak(old, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    /// A key that lived at `place` is gone. With the last one of its home the reach is none again.
    pub(super) fn lower(&self, place: Place) {
        if place.nth < SLOTS as u32 {
            return;
        }
        let at = &self.bucket(place.home).overflow;
        let mut old = at.load(Ordering::Relaxed);
        loop {
            let count = (old as u32).saturating_sub(1);
            let far = if count == 0 { 0 } else { old >> 32 };
            match at.compare_exchange_weak(
                old,
                u64::from(count) | far << 32,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }
}

/// What became of an inserting slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Somebody decided over it.
    Decided,
    /// A member has its key.
    Exists,
}

/// What another slot is to an inserting one.
enum Rival {
    /// Nothing, or stopped.
    None,
    /// A member with the same key.
    Member,
    /// Inserting the same key, in front: it goes first.
    Before(Word),
    /// The inserting slot itself was decided over meanwhile.
    Settled,
}

/// From exactly this word to that; who fails lost against somebody who decided the same question.
fn exchange(at: &AtomicU64, from: Word, to: Word) {
    let _ = at.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Relaxed);
}
