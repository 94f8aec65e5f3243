//! Map memory from the sanitizer's allocator, to the byte: an access beyond a map's end is seen. Counted, so that what is kept is seen too.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use uxdp_core::platform::{MapMemory, MemRequest};

static NOW: AtomicUsize = AtomicUsize::new(0);

/// The memory.
pub struct Exact;

/// Bytes that maps have at this moment.
pub fn in_use() -> usize {
    NOW.load(Relaxed)
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.max(1), 4096).ok()
}

impl MapMemory for Exact {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero.
        let made = NonNull::new(unsafe { alloc_zeroed(layout(request.size)?) })?;
        NOW.fetch_add(request.size, Relaxed);
        Some(made)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        let Some(layout) = layout(size) else { return };
        NOW.fetch_sub(size, Relaxed);
        // SAFETY: as allocated above.
        unsafe { dealloc(ptr.as_ptr(), layout) };
    }
}
