//! HASH and PERCPU_HASH as programs use them, against a model, and the properties that they rely on.

use super::*;
use spec::flags::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use std::collections::{HashMap, HashSet};
use std::vec::Vec;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}

pub(super) fn key_of(n: u64, size: u32) -> Vec<u8> {
    let mut key = std::vec![0; size as usize];
    let bytes = n.to_le_bytes();
    for (i, b) in key.iter_mut().enumerate() {
        *b = bytes[i % 8] ^ (i / 8) as u8;
    }
    key
}

/// What the kernel's map of that type would hold and answer.
struct Model {
    elements: HashMap<Vec<u8>, Vec<u8>>,
    max_entries: usize,
}

impl Model {
    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        match (self.elements.contains_key(key), flags) {
            (_, 3..) => return Err(Errno::EINVAL),
            (true, BPF_NOEXIST) => return Err(Errno::EEXIST),
            (false, BPF_EXIST) => return Err(Errno::ENOENT),
            (false, _) if self.elements.len() == self.max_entries => return Err(Errno::E2BIG),
            _ => {}
        }
        self.elements.insert(key.to_vec(), value.to_vec());
        Ok(())
    }
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

fn run_against_model(kind: MapType, key_size: u32, value_size: u32, max_entries: u32, seed: u64) {
    let map = make(&spec(kind, key_size, value_size, max_entries));
    let mut model = Model { elements: HashMap::new(), max_entries: max_entries as usize };
    let mut random = Random(seed);
    let key_space = (u64::from(max_entries) * 3 / 2 + 2).min(1 << (8 * key_size.min(4)));
    let size = map.value_buffer_size();
    let stride = map.spec().slot_value_size();
    for _ in 0..if cfg!(miri) { 300 } else { 20_000 } {
        let key = key_of(random.below(key_space), key_size);
        let slot = random.below(4) as u32;
        match random.below(8) {
            0..3 => {
                let mut value = std::vec![0; size];
                for chunk in value.chunks_mut(stride) {
                    chunk[..value_size as usize].fill(random.next() as u8);
                }
                let flags = [BPF_ANY, BPF_ANY, BPF_NOEXIST, BPF_EXIST, 3][random.below(5) as usize];
                let got = map.update_elem(slot, &key, &value, flags);
                assert_eq!(got, model.update(&key, &value, flags), "{kind:?} flags {flags}");
            }
            3 => {
                // A program's update, in slot 1 of the two CPUs.
                let fill = random.next() as u8;
                let mut value = model.elements.get(&key).cloned().unwrap_or(std::vec![0; size]);
                let own = if kind.is_percpu() { stride } else { 0 };
                value[own..own + value_size as usize].fill(fill);
                let given = std::vec![fill; value_size as usize];
                // SAFETY: key and value have their sizes; no other thread is here.
                let got = unsafe { map.update(key.as_ptr(), given.as_ptr(), BPF_ANY, 1) };
                assert_eq!(got, model.update(&key, &value, BPF_ANY));
            }
            4 | 5 => {
                let want = model.elements.remove(&key).map(|_| ()).ok_or(Errno::ENOENT);
                assert_eq!(map.delete_elem(slot, &key).map(|none| assert!(none.is_none())), want);
            }
            _ => {
                let mut out = std::vec![0xee; size];
                let got = map.lookup_elem(&key, &mut out, 0);
                // SAFETY: the key has its size.
                let p = unsafe { map.lookup(key.as_ptr(), 1) };
                match model.elements.get(&key) {
                    Some(value) => {
                        assert_eq!((got, &out), (Ok(()), value));
                        let own = if kind.is_percpu() { stride } else { 0 };
                        // SAFETY: the address of a value.
                        let seen = unsafe { core::slice::from_raw_parts(p, value_size as usize) };
                        assert_eq!(seen, &value[own..own + value_size as usize]);
                        assert!(p.addr().is_multiple_of(8));
                    }
                    None => assert!(got == Err(Errno::ENOENT) && p.is_null()),
                }
            }
        }
    }
    let keys = all_keys(&map);
    let distinct: HashSet<_> = keys.iter().cloned().collect();
    assert_eq!(keys.len(), distinct.len(), "no key twice");
    assert_eq!(distinct, model.elements.keys().cloned().collect());
}

#[test]
fn random_operations_do_what_the_model_does() {
    let shapes = [(1, 1), (2, 3), (4, 8), (6, 4), (8, 16), (12, 5), (13, 40), (16, 8), (17, 24), (40, 64)];
    for kind in [MapType::Hash, MapType::PercpuHash] {
        for (i, (key_size, value_size)) in shapes.into_iter().enumerate() {
            for max_entries in [1, 2, 7, 8, 100] {
                run_against_model(kind, key_size, value_size, max_entries, 0x1234_5678 + i as u64);
                if cfg!(miri) {
                    break;
                }
            }
        }
    }
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
