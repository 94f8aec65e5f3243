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
#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
mod wide;

use super::word::Pattern;
use crate::sync::AtomicU64;

/// Slots of a bucket; few for loom, which tries every order of looking at them.
pub(super) const SLOTS: usize = if cfg!(loom) { 2 } else { 7 };

/// One cache line of the index.
#[repr(C, align(64))]
pub(in crate::maps) struct Bucket {
    /// Of keys whose home this is: how many live in later buckets (low half), and in how far a bucket at most (high half).
    pub(super) overflow: AtomicU64,
    /// Slot words.
    pub(super) words: [AtomicU64; SLOTS],
}

/// A set of slots of a bucket: a bit for each word of the line, of which the first is no slot.
#[derive(Clone, Copy)]
pub(in crate::maps) struct Slots(u32);

impl Slots {
    #[inline(always)]
    fn of(words: u32) -> Slots {
        Slots(words & !1)
    }
}

impl Iterator for Slots {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let word = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(word - 1)
    }
}

/// The slots whose words have this tag and state.
#[inline]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> Slots {
    Slots::of(form::matching(bucket, pattern))
}

/// How lookups, which are all that is in a hurry, compare words.
pub(in crate::maps) trait Compare {
    /// As [`matching`].
    ///
    /// # Safety
    /// The machine can: [`Wide::is_here`] for that form.
    unsafe fn matching(bucket: &Bucket, pattern: Pattern) -> Slots;
}

/// As every machine of the architecture can.
pub(in crate::maps) struct Usual;

impl Compare for Usual {
    #[inline(always)]
    unsafe fn matching(bucket: &Bucket, pattern: Pattern) -> Slots {
        matching(bucket, pattern)
    }
}

/// A line at once, where the machine can.
pub(in crate::maps) struct Wide;

#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
impl Wide {
    /// Whether this machine can.
    pub(in crate::maps) fn is_here() -> bool {
        wide::is_here()
    }
}

#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
impl Compare for Wide {
    #[inline(always)]
    unsafe fn matching(bucket: &Bucket, pattern: Pattern) -> Slots {
        // SAFETY: the caller's word.
        Slots::of(unsafe { wide::matching(bucket, pattern) })
    }
}

/// There is no such form for other machines, nor for those who check memory.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
impl Wide {
    pub(in crate::maps) fn is_here() -> bool {
        false
    }
}

#[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
impl Compare for Wide {
    #[inline(always)]
    unsafe fn matching(bucket: &Bucket, pattern: Pattern) -> Slots {
        matching(bucket, pattern)
    }
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
            assert_eq!(matching(&bucket, Pattern::member(9)).0, set << 1);
            assert_eq!(portable::matching(&bucket, Pattern::member(9)) & !1, set << 1);
            if Wide::is_here() {
                // SAFETY: it is.
                assert_eq!(unsafe { Wide::matching(&bucket, Pattern::member(9)) }.0, set << 1);
            }
            assert_eq!(matching(&bucket, Pattern::member(9)).count(), set.count_ones() as usize);
        }
        let bucket = Bucket { overflow: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; SLOTS] };
        bucket.words[1].store(Word(0).inserting(9, 1).0, Relaxed);
        assert_eq!(matching(&bucket, Pattern::member(9)).0, 0, "inserting is no member");
    }
}
