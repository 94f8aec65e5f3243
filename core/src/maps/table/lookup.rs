//! The lookup of a key whose place nobody asks for: what programs do with every packet.
//!
//! Answers are those of [`Table::find`]. What is rare goes there: a key beyond its home bucket, a tag that two keys share, a slot that changes meanwhile.

use super::group::Compare;
use super::word::{Pattern, Word};
use super::{Key, Table};
use crate::maps::table::key::Hash;
use crate::sync::{AtomicU64, Ordering};

/// An element that a key has.
#[derive(Clone, Copy, Debug)]
pub(in crate::maps) struct Element {
    pub(in crate::maps) index: u32,
    /// Its first word.
    pub(in crate::maps) at: *const AtomicU64,
}

impl Table {
    /// The element of a key at some moment of this call, or `None` if there was a moment when it had none.
    ///
    /// # Safety
    /// The machine can do `C`.
    #[inline(always)]
    pub(in crate::maps) unsafe fn element_of<K: Key, C: Compare>(&self, key: &K) -> Option<Element> {
        let hash = key.hash(self.secret);
        let bucket = self.bucket(hash.bucket(self.nr_buckets));
        let pattern = Pattern::member(hash.tag());
        // SAFETY: the caller's word.
        if let Some(slot) = unsafe { C::matching(bucket, pattern) }.next() {
            // SAFETY: a group yields slots below SLOTS.
            let at = unsafe { bucket.words.get_unchecked(slot) };
            // Acquire: pairs with the exchange that published the element.
            let word = Word(at.load(Ordering::Acquire));
            if let Some(element) = self.element_at(key, at, word, pattern) {
                return Some(element);
            }
        } else if bucket.overflow.load(Ordering::SeqCst) == 0 {
            // SeqCst, and after the slots: as `Table::reach`.
            return None;
        }
        self.element_anywhere(key, hash)
    }

    /// The element that a slot's word names, if it had the key while the word stood there.
    #[inline(always)]
    pub(super) fn element_at<K: Key>(
        &self,
        key: &K,
        at: &AtomicU64,
        word: Word,
        pattern: Pattern,
    ) -> Option<Element> {
        let element = self.pool.element(word.index())?;
        // SAFETY: an element of this table.
        let same = word.matches(pattern) && unsafe { key.is_at(element) };
        (same && Self::still(at, word)).then_some(Element { index: word.index(), at: element })
    }

    #[inline]
    pub(super) fn element_anywhere<K: Key>(&self, key: &K, hash: Hash) -> Option<Element> {
        let index = self.index_anywhere(key, hash)?;
        Some(Element { index, at: self.pool.element(index)? })
    }

    #[cold]
    #[inline(never)]
    fn index_anywhere<K: Key>(&self, key: &K, hash: Hash) -> Option<u32> {
        self.find_hashed(key, hash).map(|found| found.index())
    }
}
