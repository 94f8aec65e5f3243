//! The shared hash index: which element a key has, for HASH, PERCPU_HASH and their LRU forms.
//!
//! Open addressing over buckets of one cache line. A key's home is the bucket that its hash names; it lives there or, where that was full, in a
//! later one. A slot word ([`word`]) says what a slot is and is the only place where elements are published, replaced and withdrawn, each by one
//! compare-exchange. Elements never move and keep their size for ever; which are free is told by [`pool`], or for an LRU by [`evict`].
//!
//! Invariant: a key has at most one member slot ([`insert`] sees to that), and stays in its slot until it is deleted. An overflow word is raised before a key
//! becomes visible outside its home, and lowered after it went. So a lookup that scans as far as the overflow word says, misses no key that was there throughout.
//!
//! Readers take no lock and write nothing: slot word, key, slot word again. Everything read here is bounded before it is used; a hostile peer
//! can make a table give wrong answers, never wrong addresses.
//! Leaves to others: what an element holds behind its key, and what updates mean.

mod burst;
mod evict;
mod group;
mod insert;
pub(super) mod key;
mod lookup;
#[cfg(all(loom, test))]
mod loom;
pub(super) mod pool;
mod recover;
mod supply;
#[cfg(test)]
mod tests;
mod walk;
mod word;

pub(super) use burst::{BURST, prefetch};
pub(super) use evict::{Clock, PART_BYTES};
pub(super) use group::{Compare, Usual, Wide};
pub(super) use insert::Exists;
pub(super) use key::Key;
pub(super) use lookup::Element;
pub(super) use supply::{FreeLists, Supply};
pub(super) use walk::Member;

use super::layout::Layout;
use super::memory::Region;
use super::{MapConfig, MapSpec};
use crate::sync::{AtomicU64, Ordering, fence};
use burst::prefetch_to_write;
use core::ptr::NonNull;
use group::{Bucket, SLOTS};
use key::{Hash, Secret};
use pool::Pool;
use word::{Pattern, Word};

/// Bytes of a bucket.
pub(super) const BUCKET_BYTES: usize = size_of::<Bucket>();
/// Members a bucket has in the mean when the map is full: about one bucket in a hundred overflows then.
const MEAN_MEMBERS: usize = 3;
/// Times that a reader tries a slot again that changes under its eyes.
const RETRIES: u32 = 64;

/// Buckets for so many elements: room for all of them, and for a slot of each writer that is under way.
pub(super) fn buckets_for(entries: usize, writers: usize) -> Option<usize> {
    let room = entries.checked_add(writers)?.div_ceil(SLOTS) + 1;
    Some(entries.div_ceil(MEAN_MEMBERS).max(room))
}

/// The index and the elements of one map.
#[derive(Debug)]
pub(super) struct Table {
    buckets: NonNull<Bucket>,
    nr_buckets: u32,
    secret: Secret,
    key_size: usize,
    pool: Pool,
}

/// Where a key was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    place: Place,
    word: Word,
}

impl Found {
    pub(super) fn index(self) -> u32 {
        self.word.index()
    }
}

/// A slot as seen from a home bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    home: u32,
    /// Slots of the buckets behind `home`, counted through: the order in which inserters of one key give way.
    nth: u32,
}

/// Does `$do` with `$k`, the key at `$key` in the form that the table's key size asks for.
macro_rules! with_key {
    ($table:expr, $key:expr, |$k:ident| $do:expr) => {{
        let (key, len): (*const u8, usize) = ($key, $table.key_size());
        $crate::maps::table::with_key_form!(len, |Form| {
            // SAFETY: the user of this macro says that the key is readable for the key size as long as this runs; the form is for that size.
            let $k = unsafe { <Form as $crate::maps::table::Key>::at(key, len) };
            $do
        })
    }};
}
/// Does `$do` with `$form`, the type of keys of that size.
macro_rules! with_key_form {
    ($len:expr, |$form:ident| $do:expr) => {
        match $len {
            1..=8 => {
                type $form = $crate::maps::table::key::OneWord;
                $do
            }
            9..=16 => {
                type $form = $crate::maps::table::key::TwoWords;
                $do
            }
            _ => {
                type $form = $crate::maps::table::key::Bytes;
                $do
            }
        }
    };
}
pub(super) use with_key;
pub(super) use with_key_form;

impl Table {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Table {
        let zero_seed = spec.flags & super::spec::flags::BPF_F_ZERO_SEED != 0;
        Table {
            buckets: region.section(l.buckets, l.nr_buckets * BUCKET_BYTES).cast(),
            nr_buckets: l.nr_buckets as u32,
            secret: Secret::new(if zero_seed { [0; 2] } else { cfg.secret }),
            key_size: spec.key_size as usize,
            pool: Pool {
                writers: region
                    .section(l.writers, cfg.writer_slots as usize * super::layout::WRITER_BYTES)
                    .cast(),
                nr_writers: cfg.writer_slots,
                watermark: region.section(l.pool, super::layout::CACHE_LINE).cast(),
                max_entries: spec.max_entries,
                elements: region.section(l.elements, l.nr_elements * l.element_stride),
                stride: l.element_stride,
                nr_elements: l.nr_elements as u32,
            },
        }
    }

    pub(super) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    #[inline]
    fn bucket(&self, number: u32) -> &Bucket {
        debug_assert!(number < self.nr_buckets, "callers bound bucket numbers");
        // SAFETY: the layout has `nr_buckets` buckets, aligned to their size; `number` is below that: from `Hash::bucket`, or wrapped by `behind`.
        unsafe { self.buckets.add(number as usize).as_ref() }
    }

    fn slot(&self, place: Place) -> &AtomicU64 {
        let (distance, slot) = (place.nth / SLOTS as u32, place.nth as usize % SLOTS);
        // SAFETY: a remainder by SLOTS is below SLOTS.
        unsafe { self.bucket(self.behind(place.home, distance)).words.get_unchecked(slot) }
    }

    /// The bucket so many behind a home, around the end. Both are below `nr_buckets`: homes come from [`Hash::bucket`], distances from [`Table::reach`] or
    /// a count up to it.
    #[inline]
    fn behind(&self, home: u32, distance: u32) -> u32 {
        let number = u64::from(home) + u64::from(distance);
        let n = u64::from(self.nr_buckets);
        (if number < n { number } else { number - n }) as u32
    }

    /// How far behind its home a key may live.
    #[inline]
    fn reach(&self, home: u32) -> u32 {
        // SeqCst: an inserter's raise comes before its slot word in the one order that all inserters see.
        let far = (self.bucket(home).overflow.load(Ordering::SeqCst) >> 32) as u32;
        far.min(self.nr_buckets - 1)
    }

    /// Where a key is at some moment of this call, or `None` if there was a moment when it was nowhere.
    #[inline]
    pub(super) fn find<K: Key>(&self, key: &K) -> Option<Found> {
        self.find_hashed(key, key.hash(self.secret))
    }

    /// As [`Table::find`], of a key whose slot is likely to be changed next.
    #[inline]
    pub(super) fn find_to_write<K: Key>(&self, key: &K) -> Option<Found> {
        let hash = key.hash(self.secret);
        prefetch_to_write(core::ptr::from_ref(self.bucket(hash.bucket(self.nr_buckets))).cast());
        self.find_hashed(key, hash)
    }

    #[inline]
    fn find_hashed<K: Key>(&self, key: &K, hash: Hash) -> Option<Found> {
        let home = hash.bucket(self.nr_buckets);
        let found = self.find_in(key, hash, home, 0);
        if found.is_some() {
            return found;
        }
        match self.reach(home) {
            0 => None,
            far => (1..=far).find_map(|distance| self.find_in(key, hash, home, distance)),
        }
    }

    #[inline]
    fn find_in<K: Key>(&self, key: &K, hash: Hash, home: u32, distance: u32) -> Option<Found> {
        let bucket = self.bucket(self.behind(home, distance));
        let pattern = Pattern::member(hash.tag());
        for slot in group::matching(bucket, pattern) {
            // SAFETY: a group yields slots below SLOTS.
            let at = unsafe { bucket.words.get_unchecked(slot) };
            if let Some(word) = self.validated(key, at, pattern) {
                return Some(Found {
                    place: Place { home, nth: distance * SLOTS as u32 + slot as u32 },
                    word,
                });
            }
        }
        None
    }

    /// The slot's word, if its element had the key while the word stood there.
    #[inline]
    fn validated<K: Key>(&self, key: &K, at: &AtomicU64, pattern: Pattern) -> Option<Word> {
        for _ in 0..RETRIES {
            // Acquire: pairs with the exchange that published the element.
            let word = Word(at.load(Ordering::Acquire));
            if !word.matches(pattern) {
                return None;
            }
            let same = self.is_key_of(key, word)?;
            // Either answer counts only if the element was not given to another key meanwhile.
            if Self::still(at, word) {
                return same.then_some(word);
            }
        }
        None
    }

    /// Whether the element that a word names has the key; `None` for an element that is none.
    #[inline]
    fn is_key_of<K: Key>(&self, key: &K, word: Word) -> Option<bool> {
        let element = self.pool.element(word.index())?;
        // SAFETY: an element of this table.
        Some(unsafe { key.is_at(element) })
    }

    /// Whether a slot's word is what it was before its element was read.
    #[inline]
    fn still(at: &AtomicU64, word: Word) -> bool {
        // Pairs with the Release fence before an element is written: what was read is of `word`'s time, or the load below sees it gone.
        fence(Ordering::Acquire);
        at.load(Ordering::Relaxed) == word.0
    }

    /// Whether a key is still where it was found, with the same element.
    pub(super) fn is_still(&self, found: Found) -> bool {
        Self::still(self.slot(found.place), found.word)
    }

    /// As [`Table::is_still`], in the one order with the pins of [`pool`].
    pub(super) fn is_still_pinned(&self, found: Found) -> bool {
        self.slot(found.place).load(Ordering::SeqCst) == found.word.0
    }

    /// Installs another element for a key where it was found. `Err`: the slot has changed.
    pub(super) fn replace(&self, found: Found, index: u32) -> Result<(), Changed> {
        let new = found.word.replaced(index);
        // SeqCst, as all exchanges of slot words: Release publishes the element, the one order is what inserters rely on.
        let done =
            self.slot(found.place).compare_exchange(found.word.0, new.0, Ordering::SeqCst, Ordering::Relaxed);
        done.map(|_| ()).map_err(|_| Changed)
    }

    /// Takes a key out of the table where it was found; its element is the caller's then. `Err`: the slot has changed.
    pub(super) fn remove(&self, found: Found) -> Result<u32, Changed> {
        let gone = found.word.emptied();
        self.slot(found.place)
            .compare_exchange(found.word.0, gone.0, Ordering::SeqCst, Ordering::Relaxed)
            .map_err(|_| Changed)?;
        self.lower(found.place);
        Ok(found.index())
    }

    /// Makes a free element's key, ready for [`Table::insert`] or [`Table::replace`]. What the caller writes behind the key comes after this.
    pub(super) fn write_key<K: Key>(&self, key: &K, index: u32) {
        // Pairs with the Acquire fence of readers, who compare this element's former key.
        fence(Ordering::Release);
        if let Some(element) = self.pool.element(index) {
            // SAFETY: an element of this table, which no key has.
            unsafe { key.write(element) };
        }
    }
}

/// Somebody was faster: look again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed;
