//! Processes that know of each other, and memory that they share between two pages that nobody may touch.

use super::*;
use crate::platform::Processes;
use core::ptr::NonNull;
use std::collections::HashSet;
use std::sync::Mutex;
use std::vec::Vec;

/// Processes by word of mouth.
#[derive(Debug)]
pub(super) struct Town {
    own: u64,
    dead: &'static Mutex<HashSet<u64>>,
    realm: u64,
}

impl Town {
    /// So many processes that know of each other's death.
    pub(super) fn of<const N: usize>() -> ([&'static Town; N], &'static Mutex<HashSet<u64>>) {
        let dead = std::boxed::Box::leak(std::boxed::Box::default());
        let town =
            |i| &*std::boxed::Box::leak(std::boxed::Box::from(Town { own: i as u64 + 1, dead, realm: 7 }));
        (core::array::from_fn(town), dead)
    }

    /// Another process, whose number means nothing here.
    pub(super) fn foreign(&self) -> &'static Town {
        std::boxed::Box::leak(std::boxed::Box::from(Town { own: 9, dead: self.dead, realm: 8 }))
    }
}

impl Processes for Town {
    fn own(&self) -> Option<u64> {
        Some(self.own)
    }
    fn is_gone(&self, process: u64) -> bool {
        self.dead.lock().unwrap().contains(&process)
    }
    fn realm(&self) -> u64 {
        self.realm
    }
}

/// Memory between two pages that nobody may touch, right before the second.
pub(super) struct Guarded {
    start: *mut libc::c_void,
    len: usize,
    base: NonNull<u8>,
    pub(super) size: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    pub(super) fn new(size: usize) -> Guarded {
        let len = size.next_multiple_of(PAGE) + 2 * PAGE;
        // SAFETY: a new mapping, of which the first and last page lose their access.
        unsafe {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let start = libc::mmap(core::ptr::null_mut(), len, rw, private, -1, 0);
            assert!(start != libc::MAP_FAILED);
            libc::mprotect(start, PAGE, libc::PROT_NONE);
            libc::mprotect(start.add(len - PAGE), PAGE, libc::PROT_NONE);
            let base = NonNull::new(start.add(len - PAGE - size).cast()).unwrap();
            Guarded { start, len, base, size }
        }
    }

    /// The memory, lent.
    pub(super) fn place(&self) -> MapPlace {
        // SAFETY: mapped until this is dropped, after the maps of the tests.
        unsafe { MapPlace::new(self.base, self.size, &LENT) }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        // SAFETY: mapped, of that size; the tests do not write meanwhile.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.size) }.to_vec()
    }

    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size);
        // SAFETY: inside, as just checked.
        unsafe { self.base.as_ptr().add(at).copy_from(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

pub(super) fn of_process(process: &'static Town) -> MapConfig {
    MapConfig { processes: Some(process), writer_slots: 6, ..config(Heap::leaked()) }
}

/// A map of each kind that can be shared.
pub(super) fn sharable() -> Vec<MapSpec> {
    use spec::flags::{BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC};
    let lpm = spec(MapType::LpmTrie, 8, 8, 40).with_flags(BPF_F_NO_PREALLOC);
    Vec::from([
        spec(MapType::Array, 4, 12, 10),
        spec(MapType::PercpuArray, 4, 12, 10),
        spec(MapType::Hash, 8, 8, 24),
        spec(MapType::Hash, 40, 24, 24),
        spec(MapType::PercpuHash, 8, 8, 24),
        spec(MapType::LruHash, 8, 8, 24),
        spec(MapType::LruPercpuHash, 12, 8, 24).with_flags(BPF_F_NO_COMMON_LRU),
        lpm,
        MapSpec { key_size: 20, ..lpm },
        spec(MapType::Queue, 0, 8, 16),
        spec(MapType::Stack, 0, 8, 16),
        spec(MapType::BloomFilter, 0, 8, 16),
        spec(MapType::Ringbuf, 0, 0, 4096),
        spec(MapType::UserRingbuf, 0, 0, 4096),
    ])
}

pub(super) fn memory_for(spec: &MapSpec, cfg: &MapConfig) -> Guarded {
    Guarded::new(memory_size(spec, cfg).unwrap())
}

/// A key with a number in it.
pub(super) fn key_of(spec: &MapSpec, n: u64) -> Vec<u8> {
    let mut key = std::vec![0; spec.key_size as usize];
    let at = if spec.kind == MapType::LpmTrie {
        let bits = (spec.key_size - 4) * 8;
        key[..4].copy_from_slice(&(bits - n as u32 % 5).to_le_bytes());
        4
    } else {
        0
    };
    let n = if at == 0 { n.to_le_bytes() } else { n.reverse_bits().to_be_bytes() };
    for (to, from) in key[at..].iter_mut().zip(if at == 0 { n } else { [n[0], n[1], n[2], n[3], 0, 0, 0, 0] })
    {
        *to = from;
    }
    key
}
