//! The C library as uxdp's platform on Linux: memory for maps and code, clocks, random bytes, CPUs.
//!
//! One static, [`PLATFORM`], without state. The C API, the tool and l2fwd all use it. `no_std`: it needs nothing but libc.
//!
//! ```
//! use uxdp_core::platform::{Clock, Platform};
//! assert!(uxdp_platform::PLATFORM.clock_ns(Clock::Monotonic).is_some());
//! ```
#![cfg_attr(not(test), no_std)]

mod code;
mod cpus;
mod file;
mod memory;
mod process;
pub mod share;

use core::ptr::NonNull;
use uxdp_core::error::Errno;
use uxdp_core::platform::{Clock, CodeMemory, MapMemory, MemRequest, Platform, Processes};

/// The C library's services.
#[derive(Clone, Copy, Debug)]
pub struct Libc(());

/// The platform of every process that has a C library.
pub static PLATFORM: Libc = Libc(());

impl MapMemory for Libc {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        if request.align > page_size() {
            return None;
        }
        let memory = memory::map_anywhere(request.size)?;
        memory::prefer_node(memory, request.size, request.numa_node);
        Some(memory)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: the caller's.
        unsafe { memory::unmap(ptr, size) };
    }

    unsafe fn protect_read_only(&self, ptr: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the caller's.
        unsafe { memory::protect(ptr, size, libc::PROT_READ) }
    }
}

impl CodeMemory for Libc {
    fn alloc(&self, size: usize, near: usize) -> Result<NonNull<u8>, Errno> {
        code::alloc(size, near)
    }

    unsafe fn seal(&self, ptr: NonNull<u8>, size: usize) -> Result<(), Errno> {
        // SAFETY: the caller's.
        unsafe { code::seal(ptr, size) }
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: the caller's.
        unsafe { memory::unmap(ptr, size) };
    }
}

impl Processes for Libc {
    fn own(&self) -> Option<u64> {
        process::own()
    }

    fn is_gone(&self, process: u64) -> bool {
        process::is_gone(process)
    }

    fn realm(&self) -> u64 {
        process::realm()
    }
}

impl Platform for Libc {
    fn code_memory(&self) -> Option<&dyn CodeMemory> {
        Some(self)
    }

    fn processes(&self) -> Option<&dyn Processes> {
        Some(self)
    }

    fn clock_ns(&self, clock: Clock) -> Option<u64> {
        let id = match clock {
            Clock::Monotonic => libc::CLOCK_MONOTONIC,
            Clock::Boottime => libc::CLOCK_BOOTTIME,
            Clock::Coarse => libc::CLOCK_MONOTONIC_COARSE,
            Clock::Tai => libc::CLOCK_TAI,
            Clock::Realtime => libc::CLOCK_REALTIME,
        };
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is writable.
        let done = unsafe { libc::clock_gettime(id, &mut now) };
        (done == 0).then(|| (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64))
    }

    fn tick_ns(&self) -> u64 {
        let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // The coarse clock is read at ticks: its resolution is one.
        // SAFETY: `tick` is writable.
        let done = unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &mut tick) };
        if done == 0 && tick.tv_sec == 0 && tick.tv_nsec > 0 { tick.tv_nsec as u64 } else { 4_000_000 }
    }

    fn numa_node(&self) -> u32 {
        cpus::node()
    }

    fn random(&self, out: &mut [u8]) -> bool {
        let mut rest = out;
        while !rest.is_empty() {
            // SAFETY: `rest` is writable for its length.
            let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            match usize::try_from(got) {
                Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
                Err(_) if errno() == libc::EINTR => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn thread_stack(&self) -> Option<core::ops::Range<usize>> {
        memory::thread_stack()
    }

    fn notify(&self, fd: i32) -> Result<(), Errno> {
        let one = 1u64;
        // SAFETY: eight bytes that are there.
        let written = unsafe { libc::write(fd, (&raw const one).cast(), 8) };
        match errno() {
            _ if written >= 0 => Ok(()),
            // It is full: whoever waits has been told.
            libc::EAGAIN => Ok(()),
            other => Err(Errno(other)),
        }
    }

    fn yield_now(&self) {
        // SAFETY: it takes nothing.
        unsafe { libc::sched_yield() };
    }

    fn page_size(&self) -> usize {
        page_size()
    }

    fn possible_cpus(&self) -> u32 {
        cpus::possible()
    }
}

fn page_size() -> usize {
    // SAFETY: it takes a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn errno() -> i32 {
    // SAFETY: the C library's own, for this thread.
    unsafe { *libc::__errno_location() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_memory_is_zero_aligned_and_lazy() {
        let request = |size| MemRequest { name: "m", size, align: 64, numa_node: -1 };
        let p = MapMemory::alloc(&PLATFORM, &request(10_000)).unwrap();
        assert_eq!(p.as_ptr() as usize % page_size(), 0);
        // SAFETY: just allocated with that size; freed once.
        unsafe {
            assert!(core::slice::from_raw_parts(p.as_ptr(), 10_000).iter().all(|&b| b == 0));
            p.as_ptr().write(1);
            MapMemory::free(&PLATFORM, p, 10_000);
        }
        // More than this machine has.
        let huge = MapMemory::alloc(&PLATFORM, &request(1 << 40)).unwrap();
        // SAFETY: as above.
        unsafe { MapMemory::free(&PLATFORM, huge, 1 << 40) };
        assert_eq!(MapMemory::alloc(&PLATFORM, &request(usize::MAX - 100)), None);
    }

    #[test]
    fn large_memory_asks_for_huge_pages() {
        let size = 5 << 20;
        let request = MemRequest { name: "m", size, align: 64, numa_node: -1 };
        let p = MapMemory::alloc(&PLATFORM, &request).unwrap();
        assert_eq!(p.as_ptr() as usize % (2 << 20), 0);
        // SAFETY: just allocated with that size; freed once.
        unsafe {
            let bytes = core::slice::from_raw_parts_mut(p.as_ptr(), size);
            assert!(bytes.iter().all(|&b| b == 0));
            bytes.fill(1);
        }
        let start = |l: &str| usize::from_str_radix(l.split('-').next()?, 16).ok();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|l| start(l) != Some(p.as_ptr() as usize));
        let flags = lines.find(|l| l.starts_with("VmFlags:")).unwrap();
        // "hg": asked for, which a kernel without huge pages refuses.
        let has_some = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
        assert_eq!(flags.split_whitespace().any(|f| f == "hg"), has_some, "{flags}");
        // SAFETY: as above.
        unsafe { MapMemory::free(&PLATFORM, p, size) };
    }

    #[test]
    fn read_only_memory_keeps_its_content() {
        let request = MemRequest { name: ".rodata", size: 100, align: 64, numa_node: 0 };
        let p = MapMemory::alloc(&PLATFORM, &request).unwrap();
        // SAFETY: just allocated with that size; only read afterwards; freed once.
        unsafe {
            p.as_ptr().write(7);
            assert!(PLATFORM.protect_read_only(p, 100));
            assert_eq!(p.as_ptr().read(), 7);
            MapMemory::free(&PLATFORM, p, 100);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn sealed_code_runs_and_lies_near() {
        let near = page_size as fn() -> usize as usize;
        let p = CodeMemory::alloc(&PLATFORM, 6, near).unwrap();
        assert!((p.as_ptr() as usize).abs_diff(near) < 1 << 31, "{p:?} is not near {near:#x}");
        // mov eax, 42; ret
        // SAFETY: the code is a whole function of that signature; freed when it is done.
        unsafe {
            p.as_ptr().copy_from([0xb8, 42, 0, 0, 0, 0xc3].as_ptr(), 6);
            PLATFORM.seal(p, 6).unwrap();
            let run = core::mem::transmute::<*mut u8, extern "C" fn() -> u32>(p.as_ptr());
            assert_eq!(run(), 42);
            CodeMemory::free(&PLATFORM, p, 6);
        }
    }

    #[test]
    fn many_pieces_of_code_have_places_of_their_own() {
        let near = page_size as fn() -> usize as usize;
        let pieces: [_; 20] = core::array::from_fn(|_| CodeMemory::alloc(&PLATFORM, 10_000, near).unwrap());
        for (i, p) in pieces.iter().enumerate() {
            assert!(
                pieces[..i].iter().all(|q| (p.as_ptr() as usize).abs_diff(q.as_ptr() as usize) >= 10_000)
            );
        }
        for p in pieces {
            // SAFETY: from `alloc` with that size.
            unsafe { CodeMemory::free(&PLATFORM, p, 10_000) };
        }
    }

    #[test]
    fn the_stack_holds_what_is_on_it() {
        let on_it = move || {
            let local = core::hint::black_box([0u8; 8]);
            let stack = PLATFORM.thread_stack().unwrap();
            stack.contains(&core::ptr::from_ref(&local).addr())
        };
        assert!(on_it());
        assert!(std::thread::spawn(on_it).join().unwrap());
    }

    #[test]
    fn clocks_run_and_random_bytes_differ() {
        for clock in [Clock::Monotonic, Clock::Boottime, Clock::Coarse, Clock::Tai, Clock::Realtime] {
            let first = PLATFORM.clock_ns(clock).unwrap();
            assert!(first > 0 && PLATFORM.clock_ns(clock).unwrap() >= first, "{clock:?}");
        }
        let (mut a, mut b) = ([0; 32], [0; 32]);
        assert!(PLATFORM.random(&mut a) && PLATFORM.random(&mut b));
        assert_ne!(a, b);
        PLATFORM.yield_now();
    }
}
