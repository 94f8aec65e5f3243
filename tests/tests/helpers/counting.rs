//! The run path allocates nothing: the allocator of these tests counts what each thread asks of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: the system's allocator does the work; counting touches a thread's own cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Runs what may neither allocate nor free.
pub(crate) fn none_in<T>(run: impl FnOnce() -> T) -> T {
    let before = ALLOCATIONS.get();
    let result = run();
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations of a run");
    result
}

/// Runs what is not counted: a test host's own work within a run.
pub(crate) fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let before = ALLOCATIONS.get();
    let result = run();
    ALLOCATIONS.set(before);
    result
}
