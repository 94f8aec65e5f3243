//! BLOOM_FILTER: the kernel's sizes.

use super::*;

fn filter(value_size: u32, max_entries: u32, extra: u64) -> MapSpec {
    MapSpec { extra, ..spec(MapType::BloomFilter, 0, value_size, max_entries) }
}

#[test]
fn nothing_is_popped() {
    let map = make(&filter(4, 4, 0));
    // SAFETY: the value has four bytes.
    assert_eq!(unsafe { map.pop([0u8; 4].as_mut_ptr(), 0) }, Err(Errno::EOPNOTSUPP));
}

/// Sizes as the kernel computes them: 7/5 bits a value and hash, a power of two.
#[test]
fn bits_are_as_many_as_the_kernels() {
    for (max_entries, extra, bits) in [
        (1u32, 0u64, 64usize),
        (45, 0, 64),
        (46, 0, 128),
        (1000, 0, 8192),
        (1000, 15, 32768),
        (u32::MAX, 15, 1 << 32),
    ] {
        let size = memory_size(&filter(4, max_entries, extra), &config(Heap::leaked())).unwrap();
        let want = (512 + bits / 8).next_multiple_of(64);
        assert_eq!(size, want, "{max_entries} {extra}");
    }
}

#[test]
fn numbers_of_hashes_are_answered_as_linux() {
    let heap = Heap::leaked();
    for (extra, good) in [(0, true), (1, true), (15, true), (16, false), (1 << 40, false)] {
        assert_eq!(memory_size(&filter(4, 10, extra), &config(heap)).is_ok(), good, "{extra}");
    }
}
