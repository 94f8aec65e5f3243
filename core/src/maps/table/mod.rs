//! The shared hash index.

/// Bytes of a bucket: a cache line.
pub(super) const BUCKET_BYTES: usize = 64;

/// Buckets for so many elements and writers.
pub(super) fn buckets_for(entries: usize, writers: usize) -> Option<usize> {
    Some(entries.div_ceil(3).max(entries.checked_add(writers)?.div_ceil(7)) + 1)
}
