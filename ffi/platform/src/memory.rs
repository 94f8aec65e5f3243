//! Anonymous mappings. Pages come zeroed and only when they are touched, so that a huge map costs nothing until it is used.
//!
//! Where a mapping has room for huge pages it is aligned to them and the system is asked for some: a table of a million keys is looked at anywhere, and each page has
//! to be found first. What is touched then costs whole huge pages, and the first touch of each the time to clear it.

use crate::page_size;
use core::ptr::{NonNull, null_mut};

/// Bytes rounded up to pages; `None` where that overflows.
pub(crate) fn pages(size: usize) -> Option<usize> {
    size.max(1).checked_next_multiple_of(page_size())
}

/// Bytes of a huge page: what x86-64 has, and AArch64 with pages of 4 KiB. Others ignore what is asked here or have more.
const HUGE: usize = 2 << 20;

/// Zeroed memory wherever the kernel likes, of huge pages where there is room for one and the system has them.
pub(crate) fn map_anywhere(size: usize) -> Option<NonNull<u8>> {
    let len = pages(size)?;
    if len < HUGE {
        return map(null_mut(), len, libc::MAP_NORESERVE);
    }
    let whole = map(null_mut(), len.checked_add(HUGE)?, libc::MAP_NORESERVE)?;
    let before = whole.as_ptr().align_offset(HUGE);
    // SAFETY: a mapping of `len + HUGE` bytes, and `before` is less than HUGE; what is given back is outside of the `len` bytes that stay, and madvise changes no content.
    unsafe {
        let start = whole.add(before);
        if before > 0 {
            unmap(whole, before);
        }
        unmap(start.add(len), HUGE - before);
        // It fails where the system has none, which is as good.
        libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE);
        Some(start)
    }
}

/// A private, writable mapping of `len` bytes.
pub(crate) fn map(at: *mut libc::c_void, len: usize, flags: i32) -> Option<NonNull<u8>> {
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping; no flag that is used here replaces an existing one.
    let p = unsafe { libc::mmap(at, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if p == libc::MAP_FAILED { None } else { NonNull::new(p.cast()) }
}

/// Gives a mapping back.
///
/// # Safety
/// `ptr` is a mapping of `size` bytes that nobody uses any more.
pub(crate) unsafe fn unmap(ptr: NonNull<u8>, size: usize) {
    if let Some(len) = pages(size) {
        // SAFETY: the caller's.
        unsafe { libc::munmap(ptr.as_ptr().cast(), len) };
    }
}

/// Changes what may be done with a mapping; whether that was possible.
///
/// # Safety
/// `ptr` is a mapping of `size` bytes, and nobody does with it what is no longer allowed.
pub(crate) unsafe fn protect(ptr: NonNull<u8>, size: usize, protection: i32) -> bool {
    // SAFETY: the caller's.
    pages(size).is_some_and(|len| unsafe { libc::mprotect(ptr.as_ptr().cast(), len, protection) } == 0)
}

/// Asks for pages of a NUMA node; memory of another node serves too.
pub(crate) fn prefer_node(ptr: NonNull<u8>, size: usize, node: i32) {
    const MPOL_PREFERRED: libc::c_long = 1;
    let (Ok(node @ 0..=63), Some(len)) = (u32::try_from(node), pages(size)) else { return };
    let mask = 1u64 << node;
    // SAFETY: the mapping is the caller's; the mask has the 64 bits that are named (the kernel reads one less than it is told).
    unsafe {
        libc::syscall(libc::SYS_mbind, ptr.as_ptr(), len, MPOL_PREFERRED, &raw const mask, 65usize, 0u32)
    };
}

/// The calling thread's stack. The main thread's grows on demand: its lowest byte is what its limit allows.
pub(crate) fn thread_stack() -> Option<core::ops::Range<usize>> {
    let mut attr = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: the attributes are initialised where the first call succeeds, and destroyed once.
    let done = unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attr.as_mut_ptr()) != 0 {
            return None;
        }
        let done = libc::pthread_attr_getstack(attr.as_ptr(), &mut start, &mut size);
        libc::pthread_attr_destroy(attr.as_mut_ptr());
        done
    };
    (done == 0).then(|| start.addr()..start.addr() + size)
}
