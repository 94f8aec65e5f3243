//! Bytes that are allocated, and the most there were: what a parser takes is measured, not believed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted. Targets run on one thread.
pub struct Counted;

// SAFETY: every call is the system's, with the caller's arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: handed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Starts measuring; what is allocated now.
pub fn reset() -> usize {
    let now = NOW.load(Relaxed);
    MOST.store(now, Relaxed);
    now
}

/// What is allocated now.
pub fn in_use() -> usize {
    NOW.load(Relaxed)
}

/// Bytes that any object may take besides those in proportion to the file, for each part of it: tables of the kernel's limits.
const BASE: usize = 4 << 20;
/// Bytes for each byte of the file.
const TIMES: usize = 256;

/// Fails where more was allocated since `before` than `len` bytes of input justify.
///
/// # Panics
/// Then.
pub fn within(before: usize, len: usize) {
    below(before, BASE + TIMES * len);
}

/// Fails where more than `limit` bytes were allocated at a time since `before`.
///
/// # Panics
/// Then.
pub fn below(before: usize, limit: usize) {
    let taken = MOST.load(Relaxed).saturating_sub(before);
    assert!(taken <= limit, "{taken} bytes were allocated, {limit} are allowed");
}
