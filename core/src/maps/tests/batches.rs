//! Batches, lookup-and-delete, one CPU's value, walks and bursts: the errors as Linux 6.18 gave them, and what concurrent changes may do.

use super::*;
use core::ops::ControlFlow;
use spec::flags::{BPF_F_RDONLY, BPF_F_WRONLY};
use std::collections::HashSet;
use std::vec::Vec;

const HASHES: [MapType; 4] = [MapType::Hash, MapType::PercpuHash, MapType::LruHash, MapType::LruPercpuHash];
const ARRAYS: [MapType; 2] = [MapType::Array, MapType::PercpuArray];

/// A read batch's errno and count, of two elements unless said otherwise.
fn read(map: &Map, take: bool, count: u32, elem_flags: u64, flags: u64) -> (i32, u32) {
    let mut keys = [0; 64];
    let mut values = std::vec![0; 16 * map.value_buffer_size()];
    let mut b = Batch { keys: &mut keys, values: &mut values, count, elem_flags, flags };
    let answer = if take {
        map.lookup_and_delete_batch(0, None, &mut [0; 4], &mut b, &mut drop)
    } else {
        map.lookup_batch(None, &mut [0; 4], &mut b)
    };
    (code(answer), b.count)
}

fn write(map: &Map, delete: bool, count: u32, elem_flags: u64) -> (i32, u32) {
    let keys: Vec<u8> = (0..4u32).flat_map(u32::to_le_bytes).collect();
    let values = std::vec![7; 4 * map.value_buffer_size()];
    let mut b = BatchInput { keys: &keys, values: &values, count, elem_flags };
    let answer = if delete { map.delete_batch(0, &mut b, &mut drop) } else { map.update_batch(0, &mut b) };
    (code(answer), b.count)
}

/// Lookup, lookup-and-delete, update and delete batches.
fn four(map: &Map, count: u32, elem_flags: u64) -> [(i32, u32); 4] {
    [
        read(map, false, count, elem_flags, 0),
        read(map, true, count, elem_flags, 0),
        write(map, false, count, elem_flags),
        write(map, true, count, elem_flags),
    ]
}

#[test]
fn batches_answer_flags_and_empty_ones_as_linux() {
    for kind in HASHES {
        let map = make(&spec(kind, 4, 4, 8));
        for flags in [1, 2, 4, 8, 1 << 40] {
            assert_eq!(four(&map, 2, flags), [(22, 2); 4], "{kind:?} {flags}");
            assert_eq!(four(&map, 0, flags), [(22, 0); 4], "{kind:?} {flags}");
            assert_eq!(read(&map, false, 2, 0, flags), (22, 2));
        }
        assert_eq!(four(&map, 0, 0), [(0, 0); 4]);
        assert_eq!(read(&map, false, 2, 0, 0), (2, 0));
    }
    for kind in ARRAYS {
        let map = make(&spec(kind, 4, 4, 3));
        assert_eq!(four(&map, 2, 1), [(22, 2), (524, 2), (22, 2), (524, 2)]);
        assert_eq!(four(&map, 0, 1), [(22, 0), (524, 0), (22, 0), (524, 0)]);
        assert_eq!(four(&map, 0, 0), [(0, 0), (524, 0), (0, 0), (524, 0)]);
        assert_eq!(read(&map, false, 2, 0, 1), (0, 2), "an array ignores the call's flags");
        assert_eq!((read(&map, false, 3, 0, 0), read(&map, false, 4, 0, 0)), ((0, 3), (2, 3)));
        assert_eq!(write(&map, false, 4, 0), (7, 3));
    }
    let map = make(&spec(MapType::ProgArray, 4, 4, 3));
    assert_eq!(four(&map, 2, 1), [(524, 2); 4]);
}

#[test]
fn batches_and_lookup_and_delete_obey_access_flags_as_linux() {
    type Case<'a> = (&'a [MapType], u32, [(i32, u32); 4]);
    let cases: [Case<'_>; 6] = [
        (&HASHES, BPF_F_RDONLY, [(2, 0), (1, 2), (1, 2), (1, 2)]),
        (&HASHES, BPF_F_WRONLY, [(1, 2), (1, 2), (0, 2), (0, 2)]),
        (&ARRAYS, BPF_F_RDONLY, [(0, 2), (1, 2), (1, 2), (1, 2)]),
        (&ARRAYS, BPF_F_WRONLY, [(1, 2), (1, 2), (0, 2), (524, 2)]),
        (&[MapType::ProgArray], BPF_F_RDONLY, [(524, 2), (1, 2), (1, 2), (1, 2)]),
        (&[MapType::ProgArray], BPF_F_WRONLY, [(1, 2), (1, 2), (524, 2), (524, 2)]),
    ];
    for (kinds, flags, want) in cases {
        for kind in kinds {
            let map = make(&MapSpec { flags, ..spec(*kind, 4, 4, 4) });
            assert_eq!(four(&map, 2, 0), want, "{kind:?} {flags:#x}");
            let mut out = std::vec![0; map.value_buffer_size()];
            assert_eq!(code(map.lookup_and_delete_elem(0, &[0; 4], &mut out, 0)), 1);
            assert_eq!(code(map.lookup_and_delete_elem(0, &[0; 4], &mut out, 8)), 22);
        }
    }
    for kind in HASHES {
        let map = make(&spec(kind, 4, 4, 4));
        map.freeze().unwrap();
        assert_eq!(four(&map, 2, 0), [(2, 0), (1, 2), (1, 2), (1, 2)], "{kind:?} frozen");
    }
}

#[test]
fn short_buffers_are_bad_addresses_and_nothing_happens() {
    let map = make(&spec(MapType::Hash, 4, 4, 4));
    let (mut keys, mut values) = ([1; 8], [1; 4]);
    let mut b = Batch { keys: &mut keys, values: &mut values, count: 2, elem_flags: 0, flags: 0 };
    assert_eq!((map.lookup_batch(None, &mut [0; 4], &mut b), b.count), (Err(Errno::EFAULT), 2));
    assert_eq!(map.lookup_batch(Some(&[0; 3]), &mut [0; 4], &mut b), Err(Errno::EFAULT));
    let mut b = BatchInput { keys: &[0; 8], values: &[0; 7], count: 2, elem_flags: 0 };
    assert_eq!(map.update_batch(0, &mut b), Err(Errno::EFAULT));
    let mut b = BatchInput { keys: &[0; 7], values: &[], count: 2, elem_flags: 0 };
    assert_eq!(map.delete_batch(0, &mut b, &mut drop), Err(Errno::EFAULT));
    assert_eq!(map.next_key(None, &mut [0; 4]), Err(Errno::ENOENT));
}

#[test]
fn cursors_lead_through_every_key_once_whatever_the_room() {
    for kind in HASHES {
        for room in [1u32, 3, 7, 64, 500] {
            let map = make(&spec(kind, 4, 4, 300));
            let value = std::vec![1; map.value_buffer_size()];
            (0..300u32).for_each(|k| map.update_elem(0, &k.to_le_bytes(), &value, 0).unwrap());
            for take in [false, true] {
                let mut seen = HashSet::new();
                let mut cursor: Option<[u8; 4]> = None;
                loop {
                    let mut keys = std::vec![0; 4 * room as usize];
                    let mut values = std::vec![0; value.len() * room as usize];
                    let mut b =
                        Batch { keys: &mut keys, values: &mut values, count: room, elem_flags: 0, flags: 0 };
                    let mut next = [0; 4];
                    let from = cursor.as_ref().map(|c| &c[..]);
                    let answer = match take {
                        true => map.lookup_and_delete_batch(0, from, &mut next, &mut b, &mut drop),
                        false => map.lookup_batch(from, &mut next, &mut b),
                    };
                    let n = b.count as usize;
                    assert!(keys.chunks(4).take(n).all(|k| seen.insert(k.to_vec())), "{kind:?}: a key twice");
                    cursor = Some(next);
                    match answer {
                        Ok(()) => assert_eq!(n, room as usize),
                        Err(e) => {
                            assert_eq!(e, Errno::ENOENT);
                            break;
                        }
                    }
                }
                assert_eq!(seen.len(), 300, "{kind:?} room {room}");
            }
            assert_eq!(map.next_key(None, &mut [0; 4]), Err(Errno::ENOENT), "all taken");
        }
    }
}

#[test]
fn one_cpus_value_is_read_and_written_alone() {
    for kind in [MapType::PercpuHash, MapType::LruPercpuHash, MapType::PercpuArray] {
        let map = make(&spec(kind, 4, 6, 2));
        let (key, mut one) = ([1, 0, 0, 0], [0; 6]);
        map.update_elem_cpu(3, &key, (1, &[5; 6]), 0).unwrap();
        map.lookup_elem_cpu(&key, 1, &mut one).unwrap();
        assert_eq!(one, [5; 6]);
        map.lookup_elem_cpu(&key, 0, &mut one).unwrap();
        assert_eq!(one, [0; 6], "a new key's other values are zero");
        map.update_elem_cpu(3, &key, (0, &[7; 6]), 0).unwrap();
        let mut all = [9; 16];
        map.lookup_elem(&key, &mut all, 0).unwrap();
        assert_eq!(all, [7, 7, 7, 7, 7, 7, 0, 0, 5, 5, 5, 5, 5, 5, 0, 0]);
        assert_eq!(map.lookup_elem_cpu(&key, 2, &mut one), Err(Errno::ERANGE));
        assert_eq!(map.update_elem_cpu(3, &key, (2, &[7; 6]), 0), Err(Errno::ERANGE));
        assert_eq!(map.lookup_elem_cpu(&key, 0, &mut [0; 8]), Err(Errno::EINVAL));
        // SAFETY: the key has four bytes.
        assert!(unsafe { map.lookup(key.as_ptr(), 2) }.is_null());
    }
    let map = make(&spec(MapType::Hash, 4, 6, 2));
    assert_eq!(map.lookup_elem_cpu(&[0; 4], 0, &mut [0; 6]), Err(Errno::EINVAL));
}

#[test]
fn walk_shows_every_element_stops_when_told_and_bears_deletion() {
    for kind in HASHES.into_iter().chain(ARRAYS) {
        let map = make(&spec(kind, 4, 8, 100));
        let mut value = std::vec![0; map.value_buffer_size()];
        for k in 0..100u32 {
            value.chunks_mut(8).for_each(|v| v[..4].copy_from_slice(&k.to_le_bytes()));
            map.update_elem(0, &k.to_le_bytes(), &value, 0).unwrap();
        }
        let mut seen = HashSet::new();
        let n = map.for_each(1, |key, value| {
            // SAFETY: a key has four bytes, a value eight.
            let (k, v) = unsafe { (key.cast::<u32>().read(), value.cast::<u32>().read()) };
            assert!(k == v && seen.insert(k), "{kind:?}");
            ControlFlow::Continue(())
        });
        assert_eq!((n, seen.len()), (100, 100), "{kind:?}");
        let mut left = 7;
        let stop = |_, _| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(map.for_each(0, stop), 7, "{kind:?}");
        if HASHES.contains(&kind) {
            let n = map.for_each(0, |key, _| {
                // SAFETY: the key that a visitor gets is readable; no other thread is here.
                unsafe { map.delete(key, 1) }.unwrap();
                ControlFlow::Continue(())
            });
            assert_eq!((n, map.next_key(None, &mut [0; 4])), (100, Err(Errno::ENOENT)), "{kind:?}");
        }
    }
}

#[test]
fn keys_too_long_to_copy_are_walked_and_hashed_alike() {
    let map = make(&spec(MapType::LruHash, 600, 8, 4));
    for fill in 0..20u8 {
        map.update_elem(0, &[fill; 600], &[fill; 8], 0).unwrap();
    }
    let mut n = 0;
    map.for_each(0, |key, value| {
        // SAFETY: a key has 600 bytes, a value eight.
        let (first, last, v) = unsafe { (*key, *key.add(599), *value) };
        assert!(first == last && last == v);
        n += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(n, 4);
}

#[test]
fn burst_finds_what_single_lookups_find() {
    for (kind, key_size) in HASHES.into_iter().flat_map(|k| [4, 12, 40].map(|size| (k, size))) {
        let map = make(&spec(kind, key_size, 8, 200));
        let value = std::vec![3; map.value_buffer_size()];
        let keys: Vec<Vec<u8>> = (0..150).map(|n| super::hash::key_of(n * 2, key_size)).collect();
        keys.iter().for_each(|k| map.update_elem(0, k, &value, 0).unwrap());
        let asked: Vec<Vec<u8>> = (0..300).map(|n| super::hash::key_of(n, key_size)).collect();
        let pointers: Vec<*const u8> = asked.iter().map(|k| k.as_ptr()).collect();
        for n in [0, 1, 31, 32, 33, 300] {
            let mut out = std::vec![core::ptr::dangling_mut(); n];
            // SAFETY: the keys have their size; no other thread is here.
            unsafe {
                pointers[..n].iter().for_each(|k| map.prefetch(*k));
                map.lookup_burst(&pointers[..n], &mut out, 1);
                for (key, out) in pointers.iter().zip(out) {
                    assert_eq!(map.lookup(*key, 1), out, "{kind:?}");
                }
            }
        }
    }
    let map = make(&spec(MapType::Array, 4, 8, 4));
    let indices = [0u32, 3, 4, u32::MAX];
    let mut out = [core::ptr::null_mut(); 4];
    // SAFETY: the keys have four bytes.
    unsafe {
        indices.iter().for_each(|i| map.prefetch((&raw const *i).cast()));
        map.lookup_burst(&indices.each_ref().map(|i| (&raw const *i).cast()), &mut out, 0);
    }
    let base = map.array().unwrap().base;
    assert_eq!(out.map(|p| p.addr()), [base, base + 24, 0, 0]);
}

#[test]
fn values_with_a_lock_are_copied_under_it_as_linux() {
    use spec::flags::BPF_F_LOCK;
    let with_lock = |kind| {
        let fields = ValueFields { spin_lock: Some(0), timer: None };
        make(&MapSpec { fields, ..spec(kind, 4, 8, if kind == MapType::Array { 3 } else { 8 }) })
    };
    let (hash, array) = (with_lock(MapType::Hash), with_lock(MapType::Array));
    for lock in [0, BPF_F_LOCK] {
        assert_eq!([0, 2].map(|n| write(&hash, false, n, lock)), [(0, 0), (0, 2)]);
        assert_eq!([1, 2, 4].map(|n| read(&hash, false, n, lock, 0)), [(0, 1), (2, 2), (2, 2)]);
        assert_eq!([1, 4, 4].map(|n| read(&hash, true, n, lock, 0)), [(0, 1), (2, 1), (2, 0)]);
        assert_eq!(write(&hash, true, 2, lock), (2, 0));
        assert_eq!([3, 4].map(|n| write(&array, false, n, lock)), [(0, 3), (7, 3)]);
        assert_eq!([3, 4].map(|n| read(&array, false, n, lock, 0)), [(0, 3), (2, 3)]);
        assert_eq!((read(&array, true, 2, lock, 0), write(&array, true, 2, lock)), ((524, 2), (524, 2)));
        hash.update_elem(0, &[1, 0, 0, 0], &[7; 8], 0).unwrap();
        let mut out = [1; 8];
        assert_eq!(hash.lookup_and_delete_elem(0, &[1, 0, 0, 0], &mut out, lock), Ok(()));
        assert_eq!(out, [0, 0, 0, 0, 7, 7, 7, 7], "the lock comes as zero");
        assert_eq!(code(array.lookup_and_delete_elem(0, &[0; 4], &mut out, lock)), 524);
    }
    assert_eq!(four(&hash, 2, 8), [(22, 2); 4]);
    assert_eq!(four(&array, 2, 8), [(22, 2), (524, 2), (22, 2), (524, 2)]);
    assert_eq!(code(array.lookup_and_delete_elem(0, &[0; 4], &mut [0; 8], 8)), 22);
}

#[test]
fn a_lock_that_is_not_to_be_had_ends_a_batch_where_it_stands() {
    use spec::flags::BPF_F_LOCK;
    let fields = ValueFields { spin_lock: Some(4), timer: None };
    for kind in [MapType::Hash, MapType::Array] {
        let map = make(&MapSpec { fields, ..spec(kind, 4, 8, 3) });
        assert_eq!(write(&map, false, 3, 0), (0, 3));
        // The lock of the last in the map's order.
        let mut last = core::ptr::null_mut();
        map.for_each(0, |_, value| {
            last = value;
            ControlFlow::Continue(())
        });
        // SAFETY: a value of this map, whose lock is at 4.
        let held = unsafe { ValueLock::at(last.add(4)) }.hold(1).unwrap();
        assert_eq!(read(&map, false, 3, BPF_F_LOCK, 0), (16, 2), "{kind:?}");
        assert_eq!(read(&map, false, 3, 0, 0).1, 3, "{kind:?}: without the flag nobody asks for it");
        drop(held);
        assert_eq!(read(&map, false, 3, BPF_F_LOCK, 0).1, 3, "{kind:?}");
    }
}
