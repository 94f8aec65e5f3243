//! Words compared one by one.

use super::Bucket;
use crate::maps::table::word::{Pattern, Word};
use crate::sync::Ordering;

/// A bit for each slot that matches.
#[cfg_attr(
    all(target_arch = "x86_64", target_feature = "sse2", not(any(miri, loom)), not(test)),
    expect(dead_code, reason = "the oracle of sse2's tests")
)]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> u32 {
    let mut found = 0;
    for (i, word) in bucket.words.iter().enumerate() {
        // Relaxed: a hint.
        let hit = Word(word.load(Ordering::Relaxed)).matches(pattern);
        found |= u32::from(hit) << i;
    }
    found
}
