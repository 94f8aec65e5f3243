//! Many keys at once: all buckets are on their way before the first is looked at, then all elements, then keys are compared.
//!
//! A lookup waits for two cache lines, one after the other. In a burst the lines of all keys come at the same time. Prefetching is a hint: addresses are of the
//! table, nothing is read.

use super::word::{Pattern, Word};
use super::{Key, Table, group};
use crate::maps::table::key::Hash;
use crate::sync::Ordering;

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

    /// Finds up to [`BURST`] keys. `near` gets the elements that are likely to be asked for next, `found` each key's answer in order.
    ///
    /// # Safety
    /// All keys are readable for the key size; `K` is the form for it.
    #[inline]
    pub(in crate::maps) unsafe fn find_burst<K: Key>(
        &self,
        keys: &[*const u8],
        near: impl Fn(u32),
        mut found: impl FnMut(Option<u32>),
    ) {
        // SAFETY: the caller's word.
        let read = |key: &*const u8| unsafe { K::at(*key, self.key_size) };
        let mut hashes = [Hash(0); BURST];
        for (key, hash) in keys.iter().zip(&mut hashes) {
            *hash = read(key).hash(self.secret);
            self.prefetch_home(*hash);
        }
        for hash in hashes.iter().take(keys.len()) {
            let bucket = self.bucket(hash.bucket(self.nr_buckets));
            let likely = group::matching(bucket, Pattern::member(hash.tag())).next();
            // Relaxed: a hint where to look.
            if let Some(at) = likely.and_then(|slot| bucket.words.get(slot)) {
                let index = Word(at.load(Ordering::Relaxed)).index();
                if let Some(element) = self.pool.element(index) {
                    prefetch(element.cast());
                    near(index);
                }
            }
        }
        for (key, hash) in keys.iter().zip(hashes) {
            found(self.find_hashed(&read(key), hash).map(|f| f.index()));
        }
    }
}
