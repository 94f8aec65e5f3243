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

/// Processes that share map memory: who this one is, and who is certainly gone.
pub trait Processes: Send + Sync {
    /// The calling process as a number that no other process has or had, not 0; `None` where it cannot be told.
    fn own(&self) -> Option<u64>;

    /// Whether the process with that number is gone for certain; false in doubt. A number that no process can have is nobody's.
    fn is_gone(&self, process: u64) -> bool;

    /// Among which processes the numbers mean anything: equal for all that can tell each other's end.
    fn realm(&self) -> u64;
}

/// The services of one surroundings.
pub trait Platform: MapMemory {
    /// Executable memory, where there is some.
    fn code_memory(&self) -> Option<&dyn CodeMemory>;

    /// Who shares map memory, where there are processes: without it no map can be shared.
    fn processes(&self) -> Option<&dyn Processes> {
        None
    }

    /// The reading of a clock in nanoseconds, where there is one.
    fn clock_ns(&self, clock: Clock) -> Option<u64>;

    /// Nanoseconds of a tick, as `bpf_jiffies64` counts them: of 250 Hz where it is not known better.
    fn tick_ns(&self) -> u64 {
        4_000_000
    }

    /// The NUMA node that the calling thread runs on; 0 where there is but one.
    fn numa_node(&self) -> u32 {
        0
    }

    /// Fills `out` with random bytes that an attacker cannot guess; false where there is no source.
    fn random(&self, out: &mut [u8]) -> bool;

    /// The calling thread's stack, from its lowest usable byte to one beyond its highest; none where that is not known: helpers read no texts from the stack then.
    fn thread_stack(&self) -> Option<core::ops::Range<usize>> {
        None
    }

    /// Writes a one to a descriptor that somebody waits for, an eventfd or alike: how the readers of rings are woken. Never blocks.
    ///
    /// # Errors
    /// EOPNOTSUPP where there are no descriptors; what the system says.
    fn notify(&self, fd: i32) -> Result<(), Errno> {
        let _ = fd;
        Err(Errno::EOPNOTSUPP)
    }

    /// Lets another thread run: what a bounded wait calls between its tries.
    fn yield_now(&self);

    /// Bytes of a page.
    fn page_size(&self) -> usize;

    /// Possible CPUs: the default of an environment's `nr_cpus`.
    fn possible_cpus(&self) -> u32;
}
