//! Putting a hash in order whose writers died: no writer is inside meanwhile, readers go on.
//!
//! What the table holds is the truth: each slot word was exchanged or it was not. A dead writer may have left slots that claim a key and are no members, overflow words
//! that are too large, and elements that are neither a key's nor free. The first are emptied, the second counted again. Of the elements
//! [`super::pool`] and [`super::evict`] tell anew which are free: all that no slot word names.
//!
//! The work is one look at each slot and each element. Memory that a hostile peer wrote to may make each look long: a budget ends it then, with EPROTO.

use super::key;
use super::key::Hash;
use super::word::{State, Word};
use super::{Supply, Table};
use crate::error::Errno;
use crate::sync::Ordering;
use core::cell::Cell;

/// Buckets that a look may need in the mean: far more than any map has that only honest writers wrote to.
const LOOK: u64 = 64;

/// Buckets that may still be looked at.
pub(in crate::maps) struct Budget(Cell<u64>);

impl Budget {
    fn of(table: &Table) -> Budget {
        let looks = u64::from(table.nr_buckets) + u64::from(table.pool.nr_elements);
        Budget(Cell::new(LOOK * looks))
    }

    fn spend(&self, buckets: u32) -> Result<(), Errno> {
        self.0.set(self.0.get().checked_sub(u64::from(buckets)).ok_or(Errno::EPROTO)?);
        Ok(())
    }
}

impl Table {
    /// Puts in order what dead writers left in table and supply.
    pub(in crate::maps) fn recover(
        &self,
        supply: &impl Supply,
        is_gone: &dyn Fn(u32) -> bool,
    ) -> Result<(), Errno> {
        let budget = Budget::of(self);
        self.settle(&budget)?;
        supply.recover(self, is_gone, &budget)
    }

    /// Empties what is no member, and counts again what lives beyond its home.
    fn settle(&self, budget: &Budget) -> Result<(), Errno> {
        for number in 0..self.nr_buckets {
            for at in &self.bucket(number).words {
                let word = Word(at.load(Ordering::Relaxed));
                if !word.is_empty() && word.state() != State::Member {
                    at.store(word.emptied().0, Ordering::SeqCst);
                }
            }
        }
        (0..self.nr_buckets).try_for_each(|home| self.recount(home, budget))
    }

    /// Makes an overflow word say how many of its keys there are in later buckets, and how far. It was not too small before.
    fn recount(&self, home: u32, budget: &Budget) -> Result<(), Errno> {
        let at = &self.bucket(home).overflow;
        let old = at.load(Ordering::Relaxed);
        if old == 0 {
            return Ok(());
        }
        let reach = self.reach(home);
        budget.spend(reach)?;
        let (mut count, mut far) = (0u32, 0);
        for distance in 1..=reach {
            let words = &self.bucket(self.behind(home, distance)).words;
            let here =
                words.iter().filter(|w| self.home_of(Word(w.load(Ordering::Relaxed))) == Some(home)).count();
            if here != 0 {
                (count, far) = (count + here as u32, distance);
            }
        }
        let new = u64::from(count) | u64::from(far) << 32;
        if new != old {
            at.store(new, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Where the key of a member belongs.
    fn home_of(&self, word: Word) -> Option<u32> {
        let member = word.state() == State::Member;
        member.then(|| self.hash_of(word.index())).flatten().map(|h| h.bucket(self.nr_buckets))
    }

    fn hash_of(&self, index: u32) -> Option<Hash> {
        // SAFETY: an element of this table.
        self.pool.element(index).map(|e| unsafe { key::hash_at(e, self.key_size, self.secret) })
    }

    /// Whether a key has the element.
    pub(super) fn has_key(&self, index: u32, budget: &Budget) -> Result<bool, Errno> {
        let Some(hash) = self.hash_of(index) else { return Ok(true) };
        budget.spend(1 + self.reach(hash.bucket(self.nr_buckets)))?;
        Ok(self.find_element(index, hash).is_some())
    }
}
