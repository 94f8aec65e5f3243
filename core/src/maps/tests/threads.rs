//! Threads that disturb each other: values stay whole, keys stay unique, elements come back, whatever meets whatever.

use super::random::Random;
use super::*;
use crate::sync::{AtomicBool, Ordering::Relaxed};
use spec::flags::{BPF_ANY, BPF_NOEXIST};
use std::thread;

const WRITERS: u32 = 4;
const TURNS: u64 = if cfg!(miri) { 60 } else { 60_000 };

fn shared(kind: MapType, value_size: u32, max_entries: u32) -> Arc<Map> {
    let cfg = MapConfig { nr_cpus: WRITERS, writer_slots: WRITERS + 1, ..config(Heap::leaked()) };
    Map::create("shared", 1, &spec(kind, 8, value_size, max_entries), &cfg).unwrap()
}

/// A value that says whose it is in every word, and which one in the whole.
fn value_of(key: u64, nonce: u64) -> [u8; 48] {
    let mut value = [0; 48];
    for (i, word) in value.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(key << 48 | (nonce & 0xffff_ffff) << 8 | i as u64).to_le_bytes());
    }
    value
}

fn words(value: &[u8]) -> impl Iterator<Item = u64> + '_ {
    value.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap()))
}

/// After all: every element can be had, none twice.
fn drain_and_fill(map: &Map, max_entries: u64) {
    let mut key = [0; 8];
    while map.next_key(None, &mut key).is_ok() {
        map.delete_elem(0, &key).unwrap();
    }
    let value = std::vec![0; map.value_buffer_size()];
    for k in 0..max_entries {
        assert_eq!(map.update_elem(k as u32 % WRITERS, &k.to_le_bytes(), &value, BPF_NOEXIST), Ok(()), "{k}");
    }
    assert_eq!(map.update_elem(0, &u64::MAX.to_le_bytes(), &value, BPF_ANY), Err(Errno::E2BIG));
}

#[test]
fn values_are_whole_and_their_keys_own_under_updates_and_deletions() {
    values_are_whole(MapType::Hash);
}

#[test]
fn values_are_whole_and_their_keys_own_under_eviction() {
    values_are_whole(MapType::LruHash);
}

fn values_are_whole(kind: MapType) {
    let map = shared(kind, 48, 24);
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        let writers: std::vec::Vec<_> = (0..WRITERS)
            .map(|slot| {
                let map = &map;
                s.spawn(move || {
                    let mut random = Random(0x9999 + u64::from(slot));
                    for turn in 0..TURNS {
                        let key = random.below(32);
                        let value = value_of(key, turn);
                        // SAFETY: key and value have their sizes; the slot is this thread's.
                        let answer = unsafe {
                            match random.below(4) {
                                0 => map.delete(key.to_le_bytes().as_ptr(), slot),
                                _ => map.update(key.to_le_bytes().as_ptr(), value.as_ptr(), BPF_ANY, slot),
                            }
                        };
                        let full = kind == MapType::Hash && answer == Err(Errno::E2BIG);
                        assert!(full || matches!(answer, Ok(()) | Err(Errno::ENOENT)), "{answer:?}");
                    }
                })
            })
            .collect();
        let readers = [1u64, 2].map(|seed| {
            let (map, done) = (&map, &done);
            s.spawn(move || {
                let (mut random, mut hits) = (Random(seed), 0);
                let (mut out, mut next) = ([0; 48], [0; 8]);
                while !done.load(Relaxed) {
                    let key = random.below(32);
                    match map.lookup_elem(&key.to_le_bytes(), &mut out, 0) {
                        Ok(()) => {
                            let nonce = words(&out).next().unwrap() >> 8 & 0xffff_ffff;
                            assert_eq!(out, value_of(key, nonce), "key {key}");
                            hits += 1;
                        }
                        Err(e) => assert_eq!(e, Errno::ENOENT),
                    }
                    if map.next_key(Some(&key.to_le_bytes()), &mut next).is_ok() {
                        assert!(u64::from_le_bytes(next) < 32);
                    }
                }
                hits
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Relaxed);
        let hits: u64 = readers.into_iter().map(|r| r.join().unwrap()).sum();
        assert!(hits > 0 || cfg!(miri));
    });
    match kind {
        MapType::Hash => drain_and_fill(&map, 24),
        _ => fill_to_the_last(&map, 24),
    }
}

/// After all: an LRU has lost no element, and none is two keys'.
fn fill_to_the_last(map: &Map, max_entries: u64) {
    let value = std::vec![0; map.value_buffer_size()];
    for k in 0..max_entries * 8 {
        assert_eq!(map.update_elem(k as u32 % WRITERS, &(k + 1000).to_le_bytes(), &value, BPF_ANY), Ok(()));
    }
    assert_eq!(map.for_each(0, |_, _| core::ops::ControlFlow::Continue(())), max_entries);
}

/// One key in the table however many insert it: what went in less what came out is what is there.
fn inserts_and_deletes_balance(kind: MapType, keys: u64, max_entries: u32) {
    let map = shared(kind, 8, max_entries);
    let value = std::vec![0; map.value_buffer_size()];
    let balance: std::vec::Vec<std::sync::atomic::AtomicI64> = (0..keys).map(|_| 0.into()).collect();
    thread::scope(|s| {
        for slot in 0..WRITERS {
            let (map, balance, value) = (&map, &balance, &value);
            s.spawn(move || {
                let mut random = Random(77 + u64::from(slot));
                for _ in 0..TURNS {
                    let key = random.below(keys);
                    let bytes = key.to_le_bytes();
                    if random.below(2) == 0 {
                        match map.update_elem(slot, &bytes, value, BPF_NOEXIST) {
                            Ok(()) => _ = balance[key as usize].fetch_add(1, Relaxed),
                            Err(e) => assert_eq!(e, Errno::EEXIST),
                        }
                    } else {
                        match map.delete_elem(slot, &bytes) {
                            Ok(_) => _ = balance[key as usize].fetch_sub(1, Relaxed),
                            Err(e) => assert_eq!(e, Errno::ENOENT),
                        }
                    }
                }
            });
        }
    });
    let mut out = value.clone();
    for (key, balance) in balance.iter().enumerate() {
        let there = map.lookup_elem(&(key as u64).to_le_bytes(), &mut out, 0).is_ok();
        assert_eq!(balance.load(Relaxed), i64::from(there), "key {key}");
    }
    drain_and_fill(&map, u64::from(max_entries));
}

#[test]
fn threads_that_insert_the_same_keys_leave_one_of_each() {
    for kind in [MapType::Hash, MapType::PercpuHash] {
        inserts_and_deletes_balance(kind, 2, 8);
        inserts_and_deletes_balance(kind, 60, 64);
    }
}

#[test]
fn per_cpu_values_never_become_another_keys() {
    for kind in [MapType::PercpuHash, MapType::LruPercpuHash] {
        per_cpu_values_stay(kind);
    }
}

fn per_cpu_values_stay(kind: MapType) {
    let map = shared(kind, 16, 6);
    thread::scope(|s| {
        for slot in 0..WRITERS {
            let map = &map;
            s.spawn(move || {
                let mut random = Random(4242 + u64::from(slot));
                let mut all = std::vec![0; map.value_buffer_size()];
                for turn in 0..TURNS {
                    let key = random.below(8) + 1;
                    let bytes = key.to_le_bytes();
                    let mut value = [0; 16];
                    value[..8].copy_from_slice(&bytes);
                    value[8..].copy_from_slice(&turn.to_le_bytes());
                    match random.below(4) {
                        0 => _ = map.delete_elem(slot, &bytes),
                        1 => {
                            if map.lookup_elem(&bytes, &mut all, 0).is_ok() {
                                let mut owners = words(&all).step_by(2);
                                assert!(owners.all(|owner| owner == 0 || owner == key), "{key}: {all:?}");
                            }
                        }
                        // SAFETY: key and value have their sizes; the slot is this thread's.
                        _ => _ = unsafe { map.update(bytes.as_ptr(), value.as_ptr(), BPF_ANY, slot) },
                    }
                }
            });
        }
    });
    match kind {
        MapType::PercpuHash => drain_and_fill(&map, 6),
        _ => fill_to_the_last(&map, 6),
    }
}

#[test]
fn walkers_and_batches_go_on_while_others_insert_delete_and_evict() {
    for kind in [MapType::Hash, MapType::LruHash] {
        let map = shared(kind, 48, 64);
        let done = AtomicBool::new(false);
        thread::scope(|s| {
            let (map, done) = (&map, &done);
            let walkers = [0, 1].map(|_| {
                s.spawn(move || {
                    let mut shown = 0;
                    loop {
                        // A walk after the last write as well, where the writers were quicker.
                        let last = done.load(Relaxed);
                        shown += map.for_each(0, |key, value| {
                            // SAFETY: the key is a copy of eight bytes.
                            let key = unsafe { key.cast::<u64>().read() };
                            assert!(key < 96 && !value.is_null());
                            core::ops::ControlFlow::Continue(())
                        });
                        let (mut keys, mut values) = ([0; 8 * 64], [0; 48 * 64]);
                        let mut b = Batch {
                            keys: &mut keys,
                            values: &mut values,
                            count: 64,
                            elem_flags: 0,
                            flags: 0,
                        };
                        assert!(matches!(
                            map.lookup_batch(None, &mut [0; 4], &mut b),
                            Ok(()) | Err(Errno::ENOENT)
                        ));
                        let n = b.count as usize;
                        for (key, value) in keys.chunks(8).zip(values.chunks(48)).take(n) {
                            let key = u64::from_le_bytes(key.try_into().unwrap());
                            let nonce = words(value).next().unwrap() >> 8 & 0xffff_ffff;
                            assert_eq!(value, value_of(key, nonce), "key {key}");
                        }
                        if last {
                            break;
                        }
                    }
                    shown
                })
            });
            let writers: std::vec::Vec<_> = (0..WRITERS)
                .map(|slot| {
                    s.spawn(move || {
                        let mut random = Random(0x77 + u64::from(slot));
                        for turn in 0..TURNS / 2 {
                            let key = random.below(96);
                            let mut out = [0; 48];
                            match random.below(4) {
                                0 => _ = map.delete_elem(slot, &key.to_le_bytes()),
                                1 => {
                                    if map
                                        .lookup_and_delete_elem(slot, &key.to_le_bytes(), &mut out, 0)
                                        .is_ok()
                                    {
                                        let nonce = words(&out).next().unwrap() >> 8 & 0xffff_ffff;
                                        assert_eq!(out, value_of(key, nonce), "key {key}");
                                    }
                                }
                                _ => {
                                    _ = map.update_elem(
                                        slot,
                                        &key.to_le_bytes(),
                                        &value_of(key, turn),
                                        BPF_ANY,
                                    )
                                }
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|w| w.join().unwrap());
            done.store(true, Relaxed);
            let shown: u64 = walkers.into_iter().map(|w| w.join().unwrap()).sum();
            assert!(shown > 0 || cfg!(miri));
        });
    }
}

#[test]
fn tail_targets_are_swapped_while_others_read_them() {
    let map = make(&spec(MapType::ProgArray, 4, 4, 1));
    let done = AtomicBool::new(false);
    thread::scope(|s| {
        let (map, done) = (&map, &done);
        let reader = s.spawn(move || {
            let g = map.prog_array().unwrap();
            while !done.load(Relaxed) {
                // SAFETY: the first entry of an array of one, alive as long as the map.
                let target = unsafe { (*g.shadow).load(crate::sync::Ordering::Acquire) };
                if !target.is_null() {
                    // SAFETY: the targets of this test are never freed.
                    assert!(unsafe { (*target).id } > 0);
                }
            }
        });
        for id in 1..500 {
            map.set_prog(0, Some(super::progs::prog(id).1)).unwrap();
        }
        done.store(true, Relaxed);
        reader.join().unwrap();
    });
}
