//! HASH and PERCPU_HASH: the properties that programs rely on.

use super::*;
use spec::flags::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use std::collections::HashSet;
use std::vec::Vec;

pub(super) fn key_of(n: u64, size: u32) -> Vec<u8> {
    let mut key = std::vec![0; size as usize];
    let bytes = n.to_le_bytes();
    for (i, b) in key.iter_mut().enumerate() {
        *b = bytes[i % 8] ^ (i / 8) as u8;
    }
    key
}

fn all_keys(map: &Map) -> Vec<Vec<u8>> {
    let mut keys = std::vec![];
    let mut key: Option<Vec<u8>> = None;
    let mut next = std::vec![0; map.spec().key_size as usize];
    while map.next_key(key.as_deref(), &mut next).is_ok() {
        keys.push(next.clone());
        key = Some(next.clone());
    }
    keys
}

#[test]
fn full_map_refuses_new_keys_takes_known_ones_and_the_place_of_a_deleted_one() {
    for kind in [MapType::Hash, MapType::PercpuHash] {
        let map = make(&spec(kind, 4, 4, 1000));
        let value = std::vec![1; map.value_buffer_size()];
        // Whoever deletes or inserts: elements are found wherever they were freed.
        let put = |k: u32, flags| map.update_elem(k % 4, &k.to_le_bytes(), &value, flags);
        for k in 0..1000 {
            assert_eq!(put(k, BPF_NOEXIST), Ok(()), "{k}");
        }
        for round in 0..200u32 {
            let (old, new) = (round, 1000 + round);
            assert_eq!(put(new, BPF_ANY), Err(Errno::E2BIG));
            assert_eq!(put(new, BPF_EXIST), Err(Errno::ENOENT));
            assert_eq!(put(old, BPF_ANY), Ok(()));
            assert_eq!(map.delete_elem((round + 1) % 4, &old.to_le_bytes()).unwrap().map(|p| p.id()), None);
            assert_eq!(put(new, BPF_ANY), Ok(()));
        }
        assert_eq!(all_keys(&map).len(), 1000);
    }
}

#[test]
fn iteration_that_deletes_every_key_sees_each_once() {
    let map = make(&spec(MapType::Hash, 4, 4, 500));
    for k in 0..500u32 {
        map.update_elem(0, &k.to_le_bytes(), &[0; 4], 0).unwrap();
    }
    let mut seen = HashSet::new();
    let mut key = [0; 4];
    map.next_key(None, &mut key).unwrap();
    loop {
        assert!(seen.insert(key));
        let mut next = [0; 4];
        let more = map.next_key(Some(&key), &mut next);
        map.delete_elem(0, &key).unwrap();
        if more.is_err() {
            break;
        }
        key = next;
    }
    assert_eq!(seen.len(), 500);
    assert_eq!(map.next_key(None, &mut key), Err(Errno::ENOENT));
}

#[test]
fn missing_key_restarts_the_iteration() {
    let map = make(&spec(MapType::Hash, 4, 4, 8));
    for k in 0..4u32 {
        map.update_elem(0, &k.to_le_bytes(), &[0; 4], 0).unwrap();
    }
    let (mut first, mut again) = ([0; 4], [0; 4]);
    map.next_key(None, &mut first).unwrap();
    map.next_key(Some(&99u32.to_le_bytes()), &mut again).unwrap();
    assert_eq!(first, again);
}

#[test]
fn program_writes_through_its_pointer_and_an_update_installs_another_element() {
    let map = make(&spec(MapType::Hash, 4, 8, 8));
    let key = 7u32.to_le_bytes();
    map.update_elem(0, &key, &1u64.to_le_bytes(), 0).unwrap();
    // SAFETY: the key has four bytes; the pointers are to values of eight.
    unsafe {
        let held = map.lookup(key.as_ptr(), 0).cast::<u64>();
        held.write(2);
        let mut out = [0; 8];
        map.lookup_elem(&key, &mut out, 0).unwrap();
        assert_eq!(u64::from_le_bytes(out), 2);
        map.update_elem(0, &key, &3u64.to_le_bytes(), 0).unwrap();
        assert_eq!((held.read(), map.lookup(key.as_ptr(), 0).cast::<u64>().read()), (2, 3));
    }
}

#[test]
fn writer_slots_that_are_none_or_in_use_are_busy() {
    for kind in [MapType::Hash, MapType::PercpuHash] {
        let map = make(&spec(kind, 4, 4, 8));
        let value = std::vec![0; map.value_buffer_size()];
        assert_eq!(map.update_elem(4, &[0; 4], &value, 0), Err(Errno::EBUSY));
        assert_eq!(map.delete_elem(4, &[0; 4]).unwrap_err(), Errno::EBUSY);
        // SAFETY: key and value have their sizes.
        assert_eq!(unsafe { map.update([0; 4].as_ptr(), value.as_ptr(), 0, 9) }, Err(Errno::EBUSY));
    }
}

#[test]
fn creation_of_a_large_hash_touches_no_element() {
    let before = resident();
    let map = make(&spec(MapType::Hash, 16, 64, 8_000_000));
    assert!(resident() < before + map.memory_size() / 2, "creation touched its elements");
    let value = [5; 64];
    map.update_elem(3, &[9; 16], &value, 0).unwrap();
    let mut out = [0; 64];
    map.lookup_elem(&[9; 16], &mut out, 0).unwrap();
    assert_eq!(out, value);
}

#[test]
fn zero_seed_places_keys_alike_in_every_map() {
    let heap = Heap::leaked();
    let spec = MapSpec { flags: spec::flags::BPF_F_ZERO_SEED, ..spec(MapType::Hash, 4, 4, 64) };
    let order = |secret| {
        let map = Map::create("z", 1, &spec, &MapConfig { secret, ..config(heap) }).unwrap();
        for k in 0..64u32 {
            map.update_elem(0, &k.to_le_bytes(), &[0; 4], 0).unwrap();
        }
        all_keys(&map)
    };
    assert_eq!(order([1, 2]), order([3, 4]));
}
