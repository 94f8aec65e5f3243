//! Calls of the C API in the order that the input says, with the arguments that it says, by a caller who keeps the rules of ownership and of threads and no
//! other: sizes, flags, options, NULL, objects with bytes flipped, and map memory that somebody else scribbles over.
//!
//! Every status is one, every error has its words, and when all handles are given back no heap memory, no code, no shared memory and no descriptor is kept.

mod handles;
mod maps;
mod objects;
mod runs;

use crate::bytes::Bytes;
use crate::memory;
use core::ffi::{CStr, c_int};
use handles::World;
use std::sync::Once;
use uxdp_capi::*;

/// Makes the calls.
///
/// # Panics
/// Where something is kept, or an answer is none.
pub fn run(bytes: &[u8]) {
    static WARM: Once = Once::new();
    // What is made once in a process: the default environment, this thread's last error, tables.
    WARM.call_once(|| calls(&[0x55; 300]));
    let (heap, open, mapped) = (memory::reset(), descriptors(), mappings());
    calls(bytes);
    assert_eq!(memory::in_use(), heap, "memory is kept");
    assert_eq!(descriptors(), open, "descriptors are kept");
    assert_eq!(mappings(), mapped, "code or shared memory is kept");
}

/// Pages of code and of memfds. Those of maps in memory of the library's own are not told from the sanitizer's.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let of_ours = |line: &&str| line.contains("/memfd:") || line.contains(" r-xp 00000000 00:00 0 ");
    maps.lines().filter(|line| of_ours(line) && !line.ends_with(']')).count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn calls(bytes: &[u8]) {
    let mut bytes = Bytes::new(bytes);
    let mut world = World::new(&mut bytes);
    while !bytes.is_empty() {
        match bytes.below(16) {
            0..2 => objects::open(&mut world, &mut bytes),
            2 => objects::adjust(&mut world, &mut bytes),
            3 => objects::load(&mut world, &mut bytes),
            4 => maps::create(&mut world, &mut bytes),
            5 => maps::share(&mut world, &mut bytes),
            6..9 => maps::element(&mut world, &mut bytes),
            9 => maps::ring(&mut world, &mut bytes),
            10 => maps::refer(&mut world, &mut bytes),
            11 => runs::hook(&mut world, &mut bytes),
            12 => runs::worker(&mut world, &mut bytes),
            13 => runs::packets(&mut world, &mut bytes),
            14 => runs::ask(&mut world, &mut bytes),
            _ => world.give_back_one(&mut bytes),
        }
    }
}

/// A status: 0, a count, or an error that has words.
fn said(status: c_int) -> c_int {
    assert!(status >= -4095, "{status}");
    // SAFETY: a sentence is static and ends with NUL.
    let sentence = unsafe { CStr::from_ptr(uxdp_strerror(status)) };
    assert!(!sentence.is_empty());
    if status < 0 {
        let mut text = [0x7f; 600];
        // SAFETY: the buffer has its bytes.
        let len = unsafe { uxdp_last_error(text.as_mut_ptr().cast(), text.len()) };
        let said = CStr::from_bytes_until_nul(&text).expect("it ends with NUL");
        assert!(len > 0 && said.to_str().is_ok_and(|s| !s.is_empty()), "{status} has no words");
    }
    status
}

/// A size of an options struct: its own, a shorter one, a longer one.
fn size_of_struct<T>(bytes: &mut Bytes<'_>) -> usize {
    match bytes.below(32) {
        0 => bytes.below(size_of::<T>()),
        1 => 0,
        _ => size_of::<T>(),
    }
}

/// A number: mostly small, or one bit, or whatever.
fn number(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.below(8) {
        0 => 1 << bytes.below(32),
        1 => u32::MAX - u32::from(bytes.byte()),
        2 => u32::from_le_bytes([bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte()]),
        3..5 => u32::from(bytes.byte()),
        _ => bytes.below(5) as u32,
    }
}
