//! The thin place where map memory is touched: an owned region, and copies in and out of it.
//!
//! Programs, control planes and other processes write values while we copy, so all copies are made of relaxed atomic accesses of at most 8 bytes: a
//! value may be torn between words, as the kernel's may, never within one. What is read is bytes; nothing here believes them.

use super::MapError;
use crate::platform::{MapMemory, MemRequest};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use core::fmt;
use core::ptr::NonNull;

/// Memory that the caller has and gives to a map: a mapping of a file, a memzone, a part of the heap.
///
/// Dropping it, or the map that took it over, gives it to `memory`.
pub struct MapPlace(pub(super) Region);

impl MapPlace {
    /// Takes over `size` bytes at `base`.
    ///
    /// # Safety
    /// They are readable and writable until `memory` gets them back by [`MapMemory::free`] with that size, and nobody reaches them but through maps, of whatever
    /// process, and by atomic accesses.
    pub unsafe fn new(base: NonNull<u8>, size: usize, memory: &'static dyn MapMemory) -> MapPlace {
        MapPlace(Region { base, size, memory })
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.0.size
    }
}

impl fmt::Debug for MapPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Memory that is its lender's: nothing is given back.
#[derive(Clone, Copy, Debug)]
pub struct Lent;

/// What a [`MapPlace`] names whose memory the lender frees himself, after the map.
pub static LENT: Lent = Lent;

impl MapMemory for Lent {
    fn alloc(&self, _: &MemRequest<'_>) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn free(&self, _: NonNull<u8>, _: usize) {}
}

/// Zeroed memory of one map, given back when dropped.
pub(super) struct Region {
    base: NonNull<u8>,
    size: usize,
    memory: &'static dyn MapMemory,
}

// SAFETY: plain memory, reached through raw pointers whose users say why their accesses are sound; giving it back is allowed on any thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Memory of `request.size` bytes.
    pub(super) fn new(request: &MemRequest<'_>, memory: &'static dyn MapMemory) -> Result<Region, MapError> {
        let base = memory.alloc(request).ok_or(MapError::Memory(request.size))?;
        let region = Region { base, size: request.size, memory };
        // A host that ignores the alignment would break every address computed below.
        if !base.as_ptr().addr().is_multiple_of(request.align) {
            return Err(MapError::Memory(request.size));
        }
        Ok(region)
    }

    /// Its first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The address of the `size` bytes at `offset`.
    ///
    /// # Panics
    /// Where they are not inside: a layout that disagrees with its own total. Only creation calls this.
    pub(super) fn section(&self, offset: usize, size: usize) -> NonNull<u8> {
        assert!(offset <= self.size && size <= self.size - offset, "section outside its map");
        // SAFETY: inside the allocation, as just checked.
        unsafe { self.base.add(offset) }
    }

    /// Makes all of it read-only for good, where the host can.
    ///
    /// # Safety
    /// Nobody writes to it any more.
    pub(super) unsafe fn protect_read_only(&self) -> bool {
        // SAFETY: `base` and `size` are one allocation of `memory`; the caller says that writes have ended.
        unsafe { self.memory.protect_read_only(self.base, self.size) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: came from `memory` with that size; the map that owned it is being dropped, so that nobody has an address of it.
        unsafe { self.memory.free(self.base, self.size) };
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes)", self.size)
    }
}

/// Copies `len` bytes into map memory.
///
/// # Safety
/// `dst` is 8-aligned map memory of `len` bytes; `src` is readable for `len` bytes, of any alignment. They are the same or do not overlap.
pub(super) unsafe fn store(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: every offset below is within `len`, and each access is aligned because wider ones come first.
    unsafe {
        let mut at = 0;
        while at + 8 <= len {
            (*dst.add(at).cast::<AtomicU64>()).store(src.add(at).cast::<u64>().read_unaligned(), Relaxed);
            at += 8;
        }
        if len & 4 != 0 {
            (*dst.add(at).cast::<AtomicU32>()).store(src.add(at).cast::<u32>().read_unaligned(), Relaxed);
            at += 4;
        }
        if len & 2 != 0 {
            (*dst.add(at).cast::<AtomicU16>()).store(src.add(at).cast::<u16>().read_unaligned(), Relaxed);
            at += 2;
        }
        if len & 1 != 0 {
            (*dst.add(at).cast::<AtomicU8>()).store(src.add(at).read(), Relaxed);
        }
    }
}

/// Copies `len` bytes out of map memory.
///
/// # Safety
/// `src` is 8-aligned map memory of `len` bytes; `dst` is writable for `len` bytes, of any alignment, and does not overlap it.
pub(super) unsafe fn load(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: as in `store`.
    unsafe {
        let mut at = 0;
        while at + 8 <= len {
            dst.add(at).cast::<u64>().write_unaligned((*src.add(at).cast::<AtomicU64>()).load(Relaxed));
            at += 8;
        }
        if len & 4 != 0 {
            dst.add(at).cast::<u32>().write_unaligned((*src.add(at).cast::<AtomicU32>()).load(Relaxed));
            at += 4;
        }
        if len & 2 != 0 {
            dst.add(at).cast::<u16>().write_unaligned((*src.add(at).cast::<AtomicU16>()).load(Relaxed));
            at += 2;
        }
        if len & 1 != 0 {
            dst.add(at).write((*src.add(at).cast::<AtomicU8>()).load(Relaxed));
        }
    }
}

/// Zeroes `words` words of map memory.
///
/// # Safety
/// `dst` is 8-aligned map memory of that many words.
pub(super) unsafe fn zero(dst: *mut u8, words: usize) {
    for i in 0..words {
        // SAFETY: the caller says that word `i` is map memory.
        unsafe { (*dst.cast::<AtomicU64>().add(i)).store(0, Relaxed) };
    }
}

/// Heap memory for tests: zeroed, counted, freed.
#[cfg(test)]
pub(crate) mod test_heap {
    use super::*;
    use crate::sync::{AtomicUsize, Ordering};
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::collections::HashMap;

    /// Counts its live bytes; refuses more than `limit` in one piece.
    pub(crate) struct Heap {
        pub(crate) live: AtomicUsize,
        pub(crate) limit: AtomicUsize,
        pub(crate) sealed: AtomicUsize,
        /// Where each aligned piece really begins.
        starts: std::sync::Mutex<HashMap<usize, usize>>,
    }

    impl Heap {
        pub(crate) fn leaked() -> &'static Heap {
            std::boxed::Box::leak(std::boxed::Box::from(Heap {
                live: AtomicUsize::new(0),
                limit: AtomicUsize::new(usize::MAX),
                sealed: AtomicUsize::new(0),
                starts: std::sync::Mutex::default(),
            }))
        }
    }

    const ALIGN: usize = 4096;

    /// Aligned by hand: only small alignments are zeroed lazily by the C library.
    fn layout(size: usize) -> Option<Layout> {
        Layout::from_size_align(size.checked_add(ALIGN)?, 16).ok()
    }

    impl MapMemory for Heap {
        fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
            if request.size > self.limit.load(Ordering::Relaxed) {
                return None;
            }
            // SAFETY: no map is of size zero.
            let start = NonNull::new(unsafe { alloc_zeroed(layout(request.size)?) })?;
            let skip = start.as_ptr().align_offset(ALIGN);
            // SAFETY: ALIGN bytes more than the size were allocated.
            let base = unsafe { start.add(skip) };
            self.live.fetch_add(request.size, Ordering::Relaxed);
            self.starts.lock().unwrap().insert(base.as_ptr().addr(), skip);
            Some(base)
        }

        unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
            self.live.fetch_sub(size, Ordering::Relaxed);
            let skip =
                self.starts.lock().unwrap().remove(&ptr.as_ptr().addr()).expect("allocated here, once");
            // SAFETY: allocated with that layout in `alloc`, `skip` bytes before.
            unsafe { dealloc(ptr.as_ptr().sub(skip), layout(size).unwrap()) };
        }

        unsafe fn protect_read_only(&self, _: NonNull<u8>, _: usize) -> bool {
            self.sealed.fetch_add(1, Ordering::Relaxed);
            true
        }
    }
}
