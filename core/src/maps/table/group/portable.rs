//! Words compared one by one.

use super::Bucket;
use crate::maps::table::word::{Pattern, Word};
use crate::sync::Ordering;

/// A bit for each word of the line that matches; whether the first, which is no slot, is among them says nothing.
#[cfg_attr(
    all(
        any(
            all(target_arch = "x86_64", target_feature = "sse2"),
            all(target_arch = "aarch64", target_feature = "neon", target_endian = "little")
        ),
        not(any(miri, loom, test))
    ),
    expect(dead_code, reason = "the oracle of the other forms' tests")
)]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> u32 {
    let mut found = 0;
    for (i, word) in bucket.words.iter().enumerate() {
        // Relaxed: a hint.
        let hit = Word(word.load(Ordering::Relaxed)).matches(pattern);
        found |= u32::from(hit) << (i + 1);
    }
    found
}
