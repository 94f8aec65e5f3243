//! What the VM wants from its surroundings, as one trait.
//!
//! A C library serves it on Linux (`uxdp-platform`), a fake serves tests, firmware brings its own. A missing service disables the
//! feature that needs it, with a named status; nothing else changes. All methods can be called from any thread.

use crate::error::Errno;
use core::ptr::NonNull;

/// Which clock a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`: `bpf_ktime_get_ns`.
    Monotonic,
    /// `CLOCK_BOOTTIME`: `bpf_ktime_get_boot_ns`.
    Boottime,
    /// `CLOCK_MONOTONIC_COARSE`: `bpf_ktime_get_coarse_ns`.
    Coarse,
    /// `CLOCK_TAI`: `bpf_ktime_get_tai_ns`.
    Tai,
    /// `CLOCK_REALTIME`: timers alone.
    Realtime,
}

/// Memory wanted for a map.
#[derive(Clone, Copy, Debug)]
pub struct MemRequest<'a> {
    /// The map's name, for memory that has names (a DPDK memzone, a shared file).
    pub name: &'a str,
    /// Bytes.
    pub size: usize,
    /// Alignment in bytes, a power of two, at most the page size.
    pub align: usize,
    /// NUMA node, or -1 for any.
    pub numa_node: i32,
}

/// Where maps live: heap, huge pages, a memzone, a shared file. The memory is zeroed.
pub trait MapMemory: Send + Sync {
    /// Zeroed memory, or `None` when it cannot be had.
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>>;

    /// Gives memory back.
    ///
    /// # Safety
    /// `ptr` came from [`MapMemory::alloc`] with that size, and nobody uses it any more.
    unsafe fn free(&self, ptr: NonNull<u8>, size: usize);

    /// Makes memory read-only for good (`.rodata`). Returns whether that was possible.
    ///
    /// # Safety
    /// `ptr` and `size` are an allocation of this memory; nobody writes to it any more.
    unsafe fn protect_read_only(&self, ptr: NonNull<u8>, size: usize) -> bool {
        let _ = (ptr, size);
        false
    }
}

/// Executable memory: written first, then sealed read+execute, never both.
pub trait CodeMemory: Send + Sync {
    /// Writable memory of at least `size` bytes, rounded up to pages, as near to `near` as can be had.
    ///
    /// # Errors
    /// EOPNOTSUPP where the system refuses executable memory, ENOMEM where there is none.
    fn alloc(&self, size: usize, near: usize) -> Result<NonNull<u8>, Errno>;

    /// Turns writable memory into read+execute and makes it visible to instruction fetch.
    ///
    /// # Safety
    /// `ptr` came from [`CodeMemory::alloc`] with that size; nothing writes to it any more.
    ///
    /// # Errors
    /// EOPNOTSUPP where the system refuses; the memory stays writable then and has to be freed.
    unsafe fn seal(&self, ptr: NonNull<u8>, size: usize) -> Result<(), Errno>;

    /// Gives memory back.
    ///
    /// # Safety
    /// `ptr` came from [`CodeMemory::alloc`] with that size; no thread executes it any more.
    unsafe fn free(&self, ptr: NonNull<u8>, size: usize);
}

/// The services of one surroundings.
pub trait Platform: MapMemory {
    /// Executable memory, where there is some.
    fn code_memory(&self) -> Option<&dyn CodeMemory>;

    /// The reading of a clock in nanoseconds, where there is one.
    fn clock_ns(&self, clock: Clock) -> Option<u64>;

    /// Fills `out` with random bytes that an attacker cannot guess; false where there is no source.
    fn random(&self, out: &mut [u8]) -> bool;

    /// Lets another thread run: what a bounded wait calls between its tries.
    fn yield_now(&self);

    /// Bytes of a page.
    fn page_size(&self) -> usize;

    /// Possible CPUs: the default of an environment's `nr_cpus`.
    fn possible_cpus(&self) -> u32;
}
