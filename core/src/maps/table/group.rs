//! A bucket: one cache line with seven slot words, all compared at once.
//!
//! Comparing is only a hint where to look: whoever acts on a word loads it again. The portable form runs everywhere (and is what miri and loom see); x86-64 and
//! AArch64 have one of their own.

#[cfg(all(
    target_arch = "aarch64",
    target_feature = "neon",
    target_endian = "little",
    not(any(miri, loom))
))]
use neon as form;
#[cfg(not(all(
    any(
        all(target_arch = "x86_64", target_feature = "sse2"),
        all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
    ),
    not(any(miri, loom))
)))]
use portable as form;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(any(miri, loom))))]
use sse2 as form;

#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little", not(any(miri, loom))))]
mod neon;
mod portable;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(any(miri, loom))))]
mod sse2;

use super::word::Pattern;
use crate::sync::AtomicU64;

/// Slots of a bucket; few for loom, which tries every order of looking at them.
pub(super) const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };

/// One cache line of the index.
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Of keys whose home this is: how many live in later buckets (low half), and in how far a bucket at most (high half).
    pub(super) overflow: AtomicU64,
    /// Slot words.
    pub(super) words: [AtomicU64; SLOTS],
}

/// A set of slots of a bucket.
#[derive(Clone, Copy)]
pub(super) struct Slots(u32);

impl Iterator for Slots {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let slot = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// The slots whose words have this tag and state.
#[inline]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> Slots {
    Slots(form::matching(bucket, pattern))
}

#[cfg(test)]
mod tests {
    use super::super::word::Word;
    use super::*;
    use crate::sync::Ordering::Relaxed;

    #[test]
    fn every_form_finds_the_same_slots_and_never_the_overflow_word() {
        let member = |tag| Word(0).inserting(tag, 77).member().0;
        for set in 0..1u32 << SLOTS {
            let word = |i: u32| AtomicU64::new(if set >> i & 1 == 1 { member(9) } else { member(8) });
            let bucket = Bucket {
                overflow: AtomicU64::new(member(9)),
                words: core::array::from_fn(|i| word(i as u32)),
            };
            assert_eq!(matching(&bucket, Pattern::member(9)).0, set);
            assert_eq!(portable::matching(&bucket, Pattern::member(9)), set);
            assert_eq!(matching(&bucket, Pattern::member(9)).count(), set.count_ones() as usize);
        }
        let bucket = Bucket { overflow: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; SLOTS] };
        bucket.words[1].store(Word(0).inserting(9, 1).0, Relaxed);
        assert_eq!(matching(&bucket, Pattern::member(9)).0, 0, "inserting is no member");
    }
}
