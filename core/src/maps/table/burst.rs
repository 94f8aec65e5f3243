//! Many keys at once: all buckets are on their way before the first is looked at, then all elements, then keys are compared.
//!
//! A lookup waits for two cache lines, one after the other. In a burst the lines of all keys come at the same time. Prefetching is a hint: addresses are of the
//! table, nothing is read.

use super::word::{Pattern, Word};
use super::{Element, Key, Table, group};
use crate::maps::table::key::Hash;
use crate::sync::{AtomicU64, Ordering};
use core::mem::MaybeUninit;
use core::ptr::null;

/// Keys that go together.
pub(in crate::maps) const BURST: usize = 32;

/// Asks for the cache line of an address.
#[inline]
pub(in crate::maps) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    // SAFETY: a prefetch reads nothing and faults nowhere; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch reads nothing and faults nowhere.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(
        miri,
        not(any(all(target_arch = "x86_64", target_feature = "sse2"), target_arch = "aarch64"))
    ))]
    let _ = address;
}

impl Table {
    /// Asks for the home bucket of a key.
    #[inline]
    pub(in crate::maps) fn prefetch<K: Key>(&self, key: &K) {
        self.prefetch_home(key.hash(self.secret));
    }

    fn prefetch_home(&self, hash: Hash) {
        prefetch(core::ptr::from_ref(self.bucket(hash.bucket(self.nr_buckets))).cast());
    }

    /// Finds up to [`BURST`] keys. `near` gets the elements that are likely to be asked for next, `found` each key's number and answer in order.
    ///
    /// # Safety
    /// All keys are readable for `len` bytes, the key size; `K` is the form for it.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_burst<K: Key>(
        &self,
        keys: &[*const u8],
        len: usize,
        near: impl Fn(u32),
        mut found: impl FnMut(usize, Option<Element>),
    ) {
        let n = keys.len().min(BURST);
        let keys = &keys[..n];
        let mut hashes = [MaybeUninit::uninit(); BURST];
        let hashes = &mut hashes[..n];
        for (key, hash) in keys.iter().zip(hashes.iter_mut()) {
            // SAFETY: the caller's word.
            let h = unsafe { K::at(*key, len) }.hash(self.secret);
            self.prefetch_home(h);
            hash.write(h);
        }
        let mut likely = [MaybeUninit::uninit(); BURST];
        let likely = &mut likely[..n];
        for (hash, likely) in hashes.iter().zip(likely.iter_mut()) {
            // SAFETY: the loop above wrote every hash.
            let l = self.likely(unsafe { hash.assume_init() });
            prefetch(l.element.cast());
            near(l.word.index());
            likely.write(l);
        }
        for (i, ((key, likely), hash)) in keys.iter().zip(likely).zip(hashes).enumerate() {
            // SAFETY: the loops above wrote both; the caller's word.
            let (key, likely, hash) =
                unsafe { (K::at(*key, len), likely.assume_init_ref(), hash.assume_init()) };
            found(i, self.confirmed(&key, likely, hash));
        }
    }

    /// What the home bucket says of a hash.
    #[inline(always)]
    fn likely(&self, hash: Hash) -> Likely<'_> {
        let bucket = self.bucket(hash.bucket(self.nr_buckets));
        let pattern = Pattern::member(hash.tag());
        let Some(slot) = group::matching(bucket, pattern).next() else {
            // SeqCst, and after the slots: as `Table::reach`.
            let is_beyond = bucket.overflow.load(Ordering::SeqCst) != 0;
            return Likely { slot: is_beyond.then_some(&bucket.overflow), ..Likely::NOWHERE };
        };
        // SAFETY: a group yields slots below SLOTS.
        let slot = unsafe { bucket.words.get_unchecked(slot) };
        // Acquire: pairs with the exchange that published the element.
        let word = Word(slot.load(Ordering::Acquire));
        let element = self.pool.element(word.index()).filter(|_| word.matches(pattern));
        Likely { slot: Some(slot), word, element: element.unwrap_or(null()) }
    }

    /// The element that is likely to be a key's, if it is; otherwise what a search says.
    #[inline(always)]
    fn confirmed<K: Key>(&self, key: &K, likely: &Likely<'_>, hash: Hash) -> Option<Element> {
        let slot = likely.slot?;
        // SAFETY: not null, so an element of this table.
        if !likely.element.is_null() && unsafe { key.is_at(likely.element) } && Self::still(slot, likely.word)
        {
            return Some(Element { index: likely.word.index(), at: likely.element });
        }
        self.element_anywhere(key, hash)
    }
}

/// Where a key is likely to be.
#[derive(Clone, Copy)]
struct Likely<'a> {
    /// The slot with its tag; the overflow word, if a later bucket may have it; none, if no bucket has it.
    slot: Option<&'a AtomicU64>,
    /// What the slot said.
    word: Word,
    /// The element that the word names; null for none.
    element: *const AtomicU64,
}

impl Likely<'_> {
    const NOWHERE: Self = Likely { slot: None, word: Word(0), element: null() };
}
