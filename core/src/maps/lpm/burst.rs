//! Many addresses at once: root words are on their way before the first is looked at, then nodes, then elements.

use super::{Bits, RootWord, Trie, Word, first};
use crate::maps::table::{BURST, prefetch};
use crate::sync::Ordering;

/// Whole addresses of four bytes go together; everything else goes one by one.
const WHOLE: u64 = 32;

impl Trie {
    /// Looks up to [`BURST`] keys up; `out` has a place for each.
    ///
    /// # Safety
    /// The keys are readable for the key size.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_burst(&self, keys: &[*const u8], out: &mut [*mut u8]) {
        // SAFETY: the caller's word: a key of eight bytes is a length and four bytes of address.
        let key = |key: &*const u8| unsafe { key.cast::<u64>().read_unaligned() };
        let together = self.data_size == 4
            && !self.pool.is_shared()
            && keys.len() <= BURST
            && keys.iter().all(|k| key(k) & u64::from(u32::MAX) == WHOLE);
        if !together {
            for (key, out) in keys.iter().zip(out) {
                // SAFETY: the caller's word.
                *out = unsafe { self.find_key(*key) };
                prefetch(*out);
            }
            return;
        }
        if let Some(front) = self.front {
            // Most answers are there; the others go through the trie one by one.
            for address in keys.iter().map(|k| ((key(k) >> 32) as u32).swap_bytes()) {
                prefetch(core::ptr::from_ref(front.word(address)).cast());
            }
            for (key, out) in keys.iter().zip(out) {
                // SAFETY: the caller's word.
                *out = unsafe { self.find_key_in_front(*key) };
                prefetch(*out);
            }
            return;
        }
        let mut bits = [Word(0); BURST];
        for (key, bits) in keys.iter().map(key).zip(&mut bits) {
            *bits = Word(u64::from(((key >> 32) as u32).swap_bytes()) << 32);
            prefetch(core::ptr::from_ref(self.root(first(bits.at(0), self.root_bits))).cast());
        }
        let mut roots = [RootWord(0); BURST];
        for (bits, root) in bits.iter().zip(&mut roots).take(keys.len()) {
            // Acquire: as in `find`.
            *root = RootWord(self.root(first(bits.at(0), self.root_bits)).load(Ordering::Acquire));
            prefetch(self.pool.address_of(root.node()));
        }
        for ((bits, root), out) in bits.iter().zip(roots).zip(out) {
            let found = self.find_below(bits, root);
            *out = self.values.at(found);
            prefetch(*out);
        }
    }

    /// [`Trie::find_burst`] of a trie that has chunks in front. Lines and values are near: asking for them first would cost more than waiting for them.
    ///
    /// # Safety
    /// As there; [`Trie::has_chunks`] is true.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_burst_in_chunks(&self, keys: &[*const u8], out: &mut [*mut u8]) {
        for (key, out) in keys.iter().zip(out) {
            // SAFETY: the caller's word.
            *out = unsafe { self.find_key_in_chunks(*key) };
        }
    }
}
