//! Many keys at once: all buckets are on their way before the first is looked at, then all elements, then keys are compared.
//!
//! A lookup waits for two cache lines, one after the other. In a burst the lines of all keys come at the same time. Prefetching is a hint: addresses are of the
//! table, nothing is read.

use super::group::Compare;
use super::word::{Pattern, Word};
use super::{Element, Key, Table};
use crate::sync::{AtomicU64, Ordering};
use core::mem::MaybeUninit;

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

/// Asks for the cache line of an address, to change it: once, instead of a second time when it is changed.
#[inline]
pub(super) fn prefetch_to_write(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing and faults nowhere; machines that do not know it do nothing.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a prefetch reads nothing and faults nowhere.
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{0}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = address;
}

impl Table {
    /// Asks for the home bucket of a key.
    #[inline]
    pub(in crate::maps) fn prefetch<K: Key>(&self, key: &K) {
        self.prefetch_home(key.hash(self.secret));
    }

    fn prefetch_home(&self, hash: super::key::Hash) {
        prefetch(core::ptr::from_ref(self.bucket(hash.bucket(self.nr_buckets))).cast());
    }

    /// Finds up to [`BURST`] keys. `near` gets the elements that are likely to be asked for next, `found` each key's number and answer in order.
    ///
    /// What can be reckoned for several keys at once has loops of its own, which compilers turn into vector code.
    ///
    /// # Safety
    /// All keys are readable for `len` bytes, the key size; `K` is the form for it. The machine can do `C`.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_burst<K: Key, C: Compare>(
        &self,
        keys: &[*const u8],
        len: usize,
        near: impl Fn(u32),
        mut found: impl FnMut(usize, Option<Element>),
    ) {
        let n = keys.len().min(BURST);
        let keys = &keys[..n];
        let mut homes = [const { MaybeUninit::uninit() }; BURST];
        for (key, home) in keys.iter().zip(&mut homes) {
            // SAFETY: the caller's word.
            let hash = unsafe { K::at(*key, len) }.hash(self.secret);
            let bucket = self.bucket(hash.bucket(self.nr_buckets));
            prefetch(core::ptr::from_ref(bucket).cast());
            home.write((bucket, Pattern::member(hash.tag())));
        }
        let mut slots = [const { MaybeUninit::uninit() }; BURST];
        for ((home, at), key) in homes[..n].iter().zip(&mut slots).zip(keys) {
            // SAFETY: the loop above wrote it.
            let (bucket, pattern) = unsafe { home.assume_init() };
            // SAFETY: the caller's word.
            let Some(slot) = (unsafe { C::matching(bucket, pattern) }).next() else {
                // SeqCst, and after the slots: as `Table::reach`.
                let is_elsewhere = bucket.overflow.load(Ordering::SeqCst) != 0;
                // SAFETY: the caller's word.
                at.write(if is_elsewhere { unsafe { self.slot_of::<K>(*key, len) } } else { None });
                continue;
            };
            // SAFETY: a group yields slots below SLOTS.
            let slot = unsafe { bucket.words.get_unchecked(slot) };
            // Relaxed: it is asked again.
            let index = Word(slot.load(Ordering::Relaxed)).index();
            prefetch(self.pool.likely(index).cast());
            near(index);
            at.write(Some(slot));
        }
        for (i, (key, slot)) in keys.iter().zip(&slots).enumerate() {
            // SAFETY: the loop above wrote it.
            let Some(slot) = (unsafe { slot.assume_init() }) else {
                found(i, None);
                continue;
            };
            // Acquire: pairs with the exchange that published the element.
            let word = Word(slot.load(Ordering::Acquire));
            // SAFETY: the caller's word.
            let k = unsafe { K::at(*key, len) };
            // A member with this key has its tag.
            if word.is_member()
                && let Some(element) = self.pool.element(word.index())
                // SAFETY: an element of this table.
                && unsafe { k.is_at(element) }
                && Self::still(slot, word)
            {
                found(i, Some(Element { index: word.index(), at: element }));
            } else {
                // SAFETY: the caller's word.
                found(i, unsafe { self.searched::<K>(*key, len) });
            }
        }
    }

    /// The slot of a key that may be beyond its home.
    ///
    /// # Safety
    /// As [`Table::find_burst`].
    #[cold]
    #[inline(never)]
    unsafe fn slot_of<K: Key>(&self, key: *const u8, len: usize) -> Option<&AtomicU64> {
        // SAFETY: the caller's word.
        let found = self.find(&unsafe { K::at(key, len) })?;
        Some(self.slot(found.place))
    }

    /// # Safety
    /// As [`Table::find_burst`].
    #[cold]
    #[inline(never)]
    unsafe fn searched<K: Key>(&self, key: *const u8, len: usize) -> Option<Element> {
        // SAFETY: the caller's word.
        let key = unsafe { K::at(key, len) };
        self.element_anywhere(&key, key.hash(self.secret))
    }
}
