//! BLOOM_FILTER: the kernel's sizes and answers.

use super::*;

fn filter(value_size: u32, max_entries: u32, extra: u64) -> MapSpec {
    MapSpec { extra, ..spec(MapType::BloomFilter, 0, value_size, max_entries) }
}

#[test]
fn operations_and_flags_are_answered_as_linux() {
    let map = make(&filter(4, 4, 0));
    let mut v = [5, 0, 0, 0];
    assert_eq!(code(map.lookup_elem(&[], &mut v, 0)), 2);
    for (flags, want) in [(0, 0), (1, 22), (2, 22), (4, 22)] {
        assert_eq!(code(map.update_elem(0, &[], &v, flags)), want, "{flags}");
    }
    assert_eq!(code(map.lookup_elem(&[], &mut v, 0)), 0);
    assert_eq!(v, [5, 0, 0, 0]);
    assert_eq!(code(map.delete_elem(0, &[])), 95);
    assert_eq!(code(map.next_key(None, &mut [])), 95);
    assert_eq!(code(map.lookup_and_delete_elem(0, &[], &mut v, 0)), 524);
    // SAFETY: the value has four bytes.
    assert_eq!(unsafe { map.pop(v.as_mut_ptr(), 0) }, Err(Errno::EOPNOTSUPP));
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
