//! `libuxdp.a` and `libuxdp.so`: re-exports the C API and supplies what a `no_std` library has to bring itself: the panic handler, the
//! allocator (the C library's) and an exception personality that never acts.
//!
//! No Rust crate depends on this one. `cargo xtask dist` turns its archive into the shipped one-object form.
#![no_std]

pub use uxdp_capi::*;

#[cfg(not(test))]
mod glue {
    use core::alloc::{GlobalAlloc, Layout};

    /// The C library's heap.
    struct CHeap;

    /// What `malloc` aligns to on every 64-bit platform of ours.
    const MALLOC_ALIGN: usize = 16;

    // SAFETY: malloc, posix_memalign and free keep the contract of GlobalAlloc; memory of both is given back by `free`.
    unsafe impl GlobalAlloc for CHeap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: any size is allowed; null is an answer that GlobalAlloc passes on.
                return unsafe { libc::malloc(layout.size()).cast() };
            }
            let mut out = core::ptr::null_mut();
            // SAFETY: the alignment is a power of two above sizeof(void *); `out` is writable.
            match unsafe { libc::posix_memalign(&mut out, layout.align(), layout.size()) } {
                0 => out.cast(),
                _ => core::ptr::null_mut(),
            }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: as in `alloc`.
                return unsafe { libc::calloc(1, layout.size()).cast() };
            }
            // SAFETY: the caller's layout.
            let p = unsafe { self.alloc(layout) };
            if !p.is_null() {
                // SAFETY: just allocated with that size.
                unsafe { p.write_bytes(0, layout.size()) };
            }
            p
        }

        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            if layout.align() <= MALLOC_ALIGN {
                // SAFETY: `ptr` came from malloc: its alignment says so.
                return unsafe { libc::realloc(ptr.cast(), new_size).cast() };
            }
            // SAFETY: the caller vouches that the new size does not overflow with this alignment.
            let new = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
            if !new.is_null() {
                // SAFETY: both are allocations of at least that many bytes, and distinct.
                unsafe {
                    new.copy_from_nonoverlapping(ptr, layout.size().min(new_size));
                    self.dealloc(ptr, layout);
                }
            }
            new
        }

        unsafe fn dealloc(&self, ptr: *mut u8, _: Layout) {
            // SAFETY: `ptr` came from malloc, calloc or posix_memalign.
            unsafe { libc::free(ptr.cast()) };
        }
    }

    #[global_allocator]
    static HEAP: CHeap = CHeap;

    /// A panic is a bug of ours; there is nothing to unwind into.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        // SAFETY: abort has no precondition.
        unsafe { libc::abort() }
    }

    // Precompiled `core` names a personality in its unwind tables. It must not clash with that of another Rust archive in the same
    // program, nor with std's: weak and hidden. Nothing of ours unwinds, so it is never called.
    core::arch::global_asm!(
        ".weak rust_eh_personality",
        ".hidden rust_eh_personality",
        "rust_eh_personality:",
        ".byte 0x0f, 0x0b",
    );
}
