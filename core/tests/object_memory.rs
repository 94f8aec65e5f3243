//! What opening an object does with memory: a shortage at any point is an error without a leak, and what it takes is in proportion to the file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use uxdp_core::object::{Object, ObjectErrorKind, OpenOptions};

thread_local! {
    /// Allocations that still succeed; the live bytes; the most there were.
    static ALLOWED: Cell<usize> = const { Cell::new(usize::MAX) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Scarce;

// SAFETY: every request goes to the system's allocator or is refused with a null pointer.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ALLOWED.get() == 0 {
            return std::ptr::null_mut();
        }
        ALLOWED.set(ALLOWED.get().saturating_sub(usize::from(ALLOWED.get() != usize::MAX)));
        LIVE.set(LIVE.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller's layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the caller's pointer came from `alloc` above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Scarce = Scarce;

const FEATURES: &[u8] = include_bytes!("objects/features.o");
const CORE: &[u8] = include_bytes!("objects/core.o");
const TARGET: &[u8] = include_bytes!("objects/core_target.o");

/// Opens and links all; the kind of the first refusal.
fn load_all(bytes: &[u8]) -> Result<(), ObjectErrorKind> {
    let object = Object::open(bytes, &OpenOptions { name: "features", ..OpenOptions::default() })
        .map_err(|e| e.kind)?;
    for index in 0..object.programs().len() {
        object.link(index).map_err(|e| e.kind)?;
    }
    Ok(())
}

/// The same with CO-RE against other types, where some programs are refused for good reasons.
fn load_core(btf: &[u8]) -> Result<(), ObjectErrorKind> {
    let options = OpenOptions { name: "core", btf: Some(btf) };
    let object = Object::open(CORE, &options).map_err(|e| e.kind)?;
    for index in 0..object.programs().len() {
        match object.link(index).map_err(|e| e.kind) {
            Err(ObjectErrorKind::OutOfMemory) => return Err(ObjectErrorKind::OutOfMemory),
            _ => continue,
        }
    }
    Ok(())
}

#[test]
fn a_shortage_at_any_allocation_is_an_error_without_a_leak() {
    shortage(|| load_all(FEATURES));
    shortage(|| load_core(TARGET));
}

fn shortage(load: impl Fn() -> Result<(), ObjectErrorKind>) {
    let before = LIVE.get();
    let mut allowed = 0;
    loop {
        ALLOWED.set(allowed);
        let result = load();
        ALLOWED.set(usize::MAX);
        assert_eq!(LIVE.get(), before, "after {allowed} allocations");
        match result {
            Ok(()) => break,
            Err(kind) => assert_eq!(kind, ObjectErrorKind::OutOfMemory, "after {allowed} allocations"),
        }
        allowed += 1;
    }
    assert!(allowed > 100);
}

#[test]
fn memory_stays_in_proportion_to_the_file_whatever_a_word_says() {
    let mut bytes = FEATURES.to_vec();
    let base = LIVE.get();
    for at in (0..FEATURES.len() - 4).step_by(4) {
        for word in [0xffff_ffffu32, 0x7fff_fff8, 0x00ff_ffff, 0x0001_0000] {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            PEAK.set(LIVE.get());
            let _ = load_all(&bytes);
            assert!(
                PEAK.get() - base < 16 * FEATURES.len() as isize,
                "{word:#x} at {at:#x}: {} bytes",
                PEAK.get() - base
            );
        }
        bytes[at..at + 4].copy_from_slice(&FEATURES[at..at + 4]);
    }
}

#[test]
fn memory_stays_in_proportion_to_given_types_whatever_a_word_says() {
    let mut target = TARGET.to_vec();
    let base = LIVE.get();
    for at in (0..TARGET.len() - 4).step_by(4) {
        for word in [0xffff_ffffu32, 0x00ff_ffff, 0x0001_0000] {
            target[at..at + 4].copy_from_slice(&word.to_le_bytes());
            PEAK.set(LIVE.get());
            let _ = load_core(&target);
            let taken = PEAK.get() - base;
            assert!(taken < 16 * (CORE.len() + TARGET.len()) as isize, "{word:#x} at {at:#x}: {taken} bytes");
        }
        target[at..at + 4].copy_from_slice(&TARGET[at..at + 4]);
    }
}
