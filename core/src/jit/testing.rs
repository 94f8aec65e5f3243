//! Executable memory for tests, from the system's mmap.

use super::{CompileOptions, CpuFeatures, Target, UseFacts};
use crate::error::Errno;
use crate::helpers::{ArgType, Helper, HelperFn, HelperSet, Proto, RetType};
use crate::maps::{Map, MapConfig, MapSpec, MapType};
use crate::platform::{CodeMemory, MapMemory, MemRequest};
use crate::sync::Arc;
use crate::vm::Ctx;
use core::ffi::{c_int, c_void};
use core::ptr::NonNull;

unsafe extern "C" {
    fn mmap(addr: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, off: i64) -> *mut c_void;
    fn mprotect(addr: *mut c_void, len: usize, prot: c_int) -> c_int;
    fn munmap(addr: *mut c_void, len: usize) -> c_int;
}

/// Pages of the system, wherever it likes or at the hint.
#[derive(Debug)]
pub(crate) struct TestMemory;

impl CodeMemory for TestMemory {
    fn alloc(&self, size: usize, near: usize) -> Result<NonNull<u8>, Errno> {
        // SAFETY: a new private anonymous mapping (PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_ANONYMOUS).
        let p = unsafe { mmap(near as *mut c_void, size, 3, 0x22, -1, 0) };
        if p as isize == -1 { Err(Errno::ENOMEM) } else { NonNull::new(p.cast()).ok_or(Errno::ENOMEM) }
    }

    unsafe fn seal(&self, ptr: NonNull<u8>, size: usize) -> Result<(), Errno> {
        // SAFETY: the caller's mapping; PROT_READ | PROT_EXEC.
        let done = unsafe { mprotect(ptr.as_ptr().cast(), size, 5) };
        if done == 0 { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: the caller's mapping.
        unsafe { munmap(ptr.as_ptr().cast(), size) };
    }
}

/// Gives 0x100 plus the code, so that tests see what arrived.
/// A redirect is taken to have its target.
pub(crate) unsafe extern "C" fn on_abort(_: *mut Ctx, code: u64) -> u32 {
    if code == 4 { 4 } else { 0x100u32.wrapping_add(code as u32) }
}

/// What most tests compile with.
pub(crate) fn options(features: CpuFeatures, helpers: HelperSet) -> CompileOptions {
    CompileOptions {
        target: Some(Target::X86_64),
        features,
        helpers,
        on_abort,
        tail_call_limit: crate::limits::MAX_TAIL_CALL_CNT,
        facts: UseFacts::Yes,
    }
}

/// A helper that tests make up: five arguments of any kind.
pub(crate) const fn helper(id: u32, func: HelperFn) -> Helper {
    use ArgType::Anything;
    let proto = Proto::new(&[Anything; 5], RetType::Integer);
    Helper { id, name: "test", proto, func: Some(func) }
}

/// Maps on the heap.
#[derive(Debug)]
pub(crate) struct TestHeap;

impl MapMemory for TestHeap {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        let layout = std::alloc::Layout::from_size_align(request.size, 4096).ok()?;
        // SAFETY: maps are never empty.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        if let Ok(layout) = std::alloc::Layout::from_size_align(size, 4096) {
            // SAFETY: allocated above with that layout.
            unsafe { std::alloc::dealloc(ptr.as_ptr(), layout) };
        }
    }
}

/// A map of two CPUs.
pub(crate) fn map(kind: MapType, value_size: u32, max_entries: u32) -> Arc<Map> {
    let config = MapConfig {
        nr_cpus: 2,
        writer_slots: 2,
        page_size: 4096,
        memory: &TestHeap,
        private_memory: &TestHeap,
        secret: [1, 2],
        processes: None,
        epochs: None,
        wakes: None,
    };
    let spec = MapSpec::new(kind, 4, value_size, max_entries);
    Map::create("m", 1, &spec, &config).expect("a map on the heap")
}
