//! LRU_HASH and LRU_PERCPU_HASH: never refused, bounded, the newest key there, values right, used keys survive.

use super::kernel::KernelMap;
use super::*;
use spec::flags::{BPF_ANY, BPF_F_NO_COMMON_LRU};
use std::vec::Vec;

const LRUS: [MapType; 2] = [MapType::LruHash, MapType::LruPercpuHash];

fn value(map: &Map, fill: u8) -> Vec<u8> {
    let mut value = std::vec![0; map.value_buffer_size()];
    for slot in value.chunks_mut(map.spec().slot_value_size()) {
        slot[..map.spec().value_size as usize].fill(fill);
    }
    value
}

fn put(map: &Map, slot: u32, key: u64) {
    map.update_elem(slot, &key.to_le_bytes(), &value(map, key as u8), BPF_ANY).unwrap();
}

fn has(map: &Map, key: u64) -> bool {
    map.lookup_elem(&key.to_le_bytes(), &mut value(map, 0), 0).is_ok()
}

fn count(map: &Map) -> u64 {
    map.for_each(0, |_, _| core::ops::ControlFlow::Continue(()))
}

#[test]
fn per_cpu_lists_round_up_and_evict_their_own() {
    let map = make(&MapSpec { flags: BPF_F_NO_COMMON_LRU, ..spec(MapType::LruHash, 8, 8, 199) });
    assert_eq!(map.spec().max_entries, 200, "the same number for each of two CPUs");
    for key in 0..100 {
        put(&map, 1, key);
    }
    for key in 1000..2000 {
        put(&map, 0, key);
    }
    assert!((0..100).all(|key| has(&map, key)), "the other CPU's keys stay");
    assert_eq!(count(&map), 200);
}

#[test]
fn unused_keys_go_in_about_the_order_they_came() {
    for kind in LRUS {
        let map = make(&spec(kind, 8, 8, 1000));
        for key in 0..10_000 {
            put(&map, 0, key);
        }
        assert_eq!(count(&map), 1000);
        assert!((9100..10_000).all(|key| has(&map, key)), "{kind:?}: the last nine tenths of a map's size");
    }
}

#[test]
fn deleted_elements_are_used_before_a_key_is_evicted() {
    for kind in LRUS {
        let map = make(&spec(kind, 8, 8, 1000));
        (0..1000).for_each(|key| put(&map, 0, key));
        assert_eq!(count(&map), 1000);
        // In one burst, by one writer: what it deleted serves its next insert.
        for round in 0..300u64 {
            map.delete_elem(0, &round.to_le_bytes()).unwrap();
            put(&map, 0, 10_000 + round);
        }
        assert!((300..1000).all(|key| has(&map, key)), "{kind:?}");
        // Many, by another writer: found by the hand, so that few keys go while there are free elements.
        for key in 300..800u64 {
            map.delete_elem(3, &key.to_le_bytes()).unwrap();
        }
        for key in 0..400 {
            put(&map, 1, 20_000 + key);
        }
        let left = (800..1000).filter(|k| has(&map, *k)).count()
            + (10_000..10_300).filter(|k| has(&map, *k)).count();
        assert!(left >= 450, "{kind:?}: {left} of 500 keys are left though elements were free");
    }
}

#[test]
fn known_key_is_updated_whatever_the_map_holds_and_counts_as_used() {
    for kind in LRUS {
        let map = make(&spec(kind, 8, 8, 200));
        (0..200).for_each(|key| put(&map, 0, key));
        for round in 0..2000 {
            put(&map, 0, 7);
            put(&map, 0, 1000 + round);
            assert!(has(&map, 7), "{kind:?} round {round}");
        }
    }
}

#[test]
fn eight_million_entries_are_made_at_once_and_cost_no_more_than_the_kernels() {
    let started = std::time::Instant::now();
    let before = resident();
    let map = make(&spec(MapType::LruHash, 16, 16, 8_000_000));
    let took = started.elapsed();
    assert!(took.as_millis() < 500, "{took:?}");
    assert!(resident() < before + map.memory_size() / 4, "creation touched its elements");
    map.update_elem(0, &[9; 16], &[5; 16], 0).unwrap();
    for kind in LRUS {
        for (key, value) in [(4, 4), (16, 16), (40, 64)] {
            let spec = spec(kind, key, value, 100_000);
            let Some(kernel) = KernelMap::create(&spec) else { return };
            let cpus = super::kernel::possible_cpus();
            let cfg = MapConfig { nr_cpus: cpus, writer_slots: cpus + 64, ..config(Heap::leaked()) };
            let ours = memory_size(&spec, &cfg).unwrap();
            assert!(ours <= kernel.memory(), "{spec:?}: {ours} bytes, the kernel's {}", kernel.memory());
        }
    }
}
