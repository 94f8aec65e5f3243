//! Map memory from a C host's functions.
//!
//! Maps may outlive every handle, so the functions are kept for the life of the process: one small record for each different set of them.

use crate::status::{Failed, fail};
use crate::uxdp_mem_ops;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use uxdp_core::error::Errno;
use uxdp_core::platform::{MapMemory, MemRequest};
use uxdp_core::sync::Arc;

/// Bytes of a map's name that a host's allocator sees, the NUL included.
const NAME: usize = 128;

type Alloc = unsafe extern "C" fn(*mut c_void, *const c_char, usize, usize, c_int) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);

/// A host's functions.
struct HostMemory {
    alloc: Alloc,
    free: Free,
    arg: *mut c_void,
    /// The one before it in the list of all.
    next: *const HostMemory,
}

// SAFETY: `uxdp_mem_ops` asks for functions that any thread may call with `arg`; `next` points at a record that never changes.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

/// All records, newest first; they are never freed.
static ALL: AtomicPtr<HostMemory> = AtomicPtr::new(core::ptr::null_mut());

impl HostMemory {
    fn is(&self, alloc: Alloc, free: Free, arg: *mut c_void) -> bool {
        core::ptr::fn_addr_eq(self.alloc, alloc) && core::ptr::fn_addr_eq(self.free, free) && self.arg == arg
    }
}

/// The memory that a host's functions stand for.
///
/// # Errors
/// EINVAL where one is missing, ENOMEM.
///
/// # Safety
/// `ops` is NULL or valid, and its functions do what the header asks of them for as long as maps of theirs live.
pub(crate) unsafe fn of_host(ops: *const uxdp_mem_ops) -> Result<Option<&'static dyn MapMemory>, Failed> {
    // SAFETY: the caller's word.
    let Some(ops) = (unsafe { ops.as_ref() }) else { return Ok(None) };
    let (Some(alloc), Some(free)) = (ops.alloc, ops.free) else {
        return Err(fail(Errno::EINVAL, format_args!("map_mem needs both alloc and free")));
    };
    let mut newest = ALL.load(Ordering::Acquire); // pairs with the Release below: records are seen whole
    // SAFETY: records are never freed.
    let mut at: Option<&'static HostMemory> = unsafe { newest.as_ref() };
    while let Some(m) = at {
        if m.is(alloc, free, ops.arg) {
            return Ok(Some(m));
        }
        // SAFETY: as above.
        at = unsafe { m.next.as_ref() };
    }
    let mut record = HostMemory { alloc, free, arg: ops.arg, next: newest };
    loop {
        record.next = newest;
        let raw = Arc::into_raw(Arc::new(record)?).cast_mut();
        match ALL.compare_exchange(newest, raw, Ordering::Release, Ordering::Acquire) {
            // SAFETY: just published, never freed. A second record of the same functions, made by another thread meanwhile, does no harm.
            Ok(_) => return Ok(Some(unsafe { &*raw })),
            Err(other) => {
                newest = other;
                // SAFETY: given away two lines above, seen by nobody.
                drop(unsafe { Arc::from_raw(raw.cast_const()) });
                record = HostMemory { alloc, free, arg: ops.arg, next: newest };
            }
        }
    }
}

impl MapMemory for HostMemory {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        let mut name = [0u8; NAME];
        for (to, from) in name.iter_mut().zip(request.name.bytes().take(NAME - 1)) {
            *to = from;
        }
        // SAFETY: the host's function, called as the header says.
        let p = unsafe {
            (self.alloc)(self.arg, name.as_ptr().cast(), request.size, request.align, request.numa_node)
        };
        let p = NonNull::new(p.cast::<u8>())?;
        // SAFETY: the host gave `size` bytes.
        unsafe { p.write_bytes(0, request.size) };
        Some(p)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: `ptr` came from `alloc` above with that size.
        unsafe { (self.free)(self.arg, ptr.as_ptr().cast(), size) };
    }
}
