//! BLOOM_FILTER: no false negatives, few false positives, the kernel's sizes and answers.

use super::kernel::KernelMap;
use super::random::Random;
use super::*;

fn filter(value_size: u32, max_entries: u32, extra: u64) -> MapSpec {
    MapSpec { extra, ..spec(MapType::BloomFilter, 0, value_size, max_entries) }
}

fn value(random: &mut Random, size: u32) -> std::vec::Vec<u8> {
    (0..size).map(|_| random.below(256) as u8).collect()
}

#[test]
fn what_was_pushed_is_there_and_little_else() {
    for (value_size, extra) in [(4u32, 0u64), (8, 5), (13, 3), (16, 5), (40, 8), (257, 15)] {
        let spec = filter(value_size, 1000, extra);
        let (map, kernel) = (make(&spec), KernelMap::create(&spec));
        let mut random = Random(99 + extra);
        let pushed: std::vec::Vec<_> = (0..1000).map(|_| value(&mut random, value_size)).collect();
        for v in &pushed {
            assert_eq!(map.update_elem(0, &[], v, 0), Ok(()));
            assert!(kernel.as_ref().is_none_or(|k| k.update_elem(&[], v, 0).is_ok()));
        }
        for v in &pushed {
            assert_eq!(map.lookup_elem(&[], &mut v.clone(), 0), Ok(()), "a false negative");
        }
        let (mut ours, mut kernels) = (0, 0);
        for _ in 0..20_000 {
            let mut v = value(&mut random, value_size);
            ours += u32::from(map.lookup_elem(&[], &mut v, 0).is_ok());
            kernels += kernel.as_ref().map_or(0, |k| u32::from(k.lookup_elem(&[], &mut v, 0).is_ok()));
        }
        // 4-byte values drawn at random are those pushed in one of two million cases.
        assert!(ours < 20_000 / 20, "{ours} false positives of 20,000 (kernel {kernels}) at {extra} hashes");
        if kernel.is_some() {
            assert!(ours < kernels + kernels / 2 + 100, "{ours} false positives, kernel {kernels}");
        }
    }
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
