//! ARRAY and PERCPU_ARRAY: addresses, slots, memory, initial images, constants.

use super::*;
use crate::sync::Ordering::Relaxed;

#[test]
fn huge_array_is_made_untouched_and_its_last_element_works() {
    let heap = Heap::leaked();
    let spec = spec(MapType::Array, 4, 8, 33_554_944);
    let cfg = config(heap);
    let before = resident();
    let map = Map::create("ring", 7, &spec, &cfg).unwrap();
    assert!(resident() < before + map.memory_size() / 2, "creation touched its elements");
    assert_eq!(memory_size(&spec, &cfg), Ok(map.memory_size()));
    assert_eq!(heap.live.load(Relaxed), map.memory_size());
    let last = 33_554_943u32.to_le_bytes();
    map.update_elem(0, &last, &5u64.to_le_bytes(), 0).unwrap();
    let g = map.array().unwrap();
    // SAFETY: the key has four bytes.
    let p = unsafe { map.lookup(last.as_ptr(), 0) };
    assert_eq!(p.addr(), g.base + 33_554_943 * g.stride as usize);
    // SAFETY: the address of a value of eight bytes.
    assert_eq!(unsafe { p.cast::<u64>().read() }, 5);
    drop(map);
    assert_eq!(heap.live.load(Relaxed), 0);
}

#[test]
fn values_of_any_size_stand_on_eight_bytes_and_round_trip() {
    for value_size in [1u32, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 63, 1025] {
        let map = make(&spec(MapType::Array, 4, value_size, 3));
        let g = map.array().unwrap();
        assert_eq!(g.stride, value_size.next_multiple_of(8));
        assert!(g.base.is_multiple_of(64));
        for i in 0..3u32 {
            let value = std::vec![i as u8 + 1; value_size as usize];
            // SAFETY: key and value have their sizes.
            unsafe { map.update(i.to_le_bytes().as_ptr(), value.as_ptr(), 0, 0).unwrap() };
        }
        let mut out = std::vec![0; value_size as usize];
        for i in 0..3u32 {
            map.lookup_elem(&i.to_le_bytes(), &mut out, 0).unwrap();
            assert!(out.iter().all(|b| *b == i as u8 + 1), "{value_size}");
        }
    }
}

#[test]
fn program_sees_its_slot_and_the_control_plane_all_slots() {
    let map = make(&spec(MapType::PercpuArray, 4, 6, 2));
    assert_eq!(map.value_buffer_size(), 16);
    let one = 1u32.to_le_bytes();
    for slot in 0..2u32 {
        // SAFETY: key and value have their sizes.
        unsafe { map.update(one.as_ptr(), [slot as u8 + 1; 6].as_ptr(), 0, slot).unwrap() };
    }
    let mut all = [9; 16];
    map.lookup_elem(&one, &mut all, 0).unwrap();
    assert_eq!(all, [1, 1, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2, 2, 2, 0, 0]);
    map.update_elem(3, &one, &[7; 16], spec::flags::BPF_EXIST).unwrap();
    // SAFETY: the key has four bytes.
    let slots = [0, 1].map(|slot| unsafe { map.lookup(one.as_ptr(), slot) });
    let g = map.array().unwrap();
    assert_eq!(slots[1].addr() - slots[0].addr(), g.cpu_stride);
    assert!(g.cpu_stride.is_multiple_of(64));
    // SAFETY: addresses of values of six bytes.
    assert!(slots.iter().all(|p| unsafe { p.cast::<[u8; 6]>().read() } == [7; 6]));
    // SAFETY: the key has four bytes.
    assert!(unsafe { map.lookup(one.as_ptr(), 2) }.is_null(), "no third slot");
}

#[test]
fn rodata_becomes_constant_when_frozen_and_only_then() {
    let (shared, private) = (Heap::leaked(), Heap::leaked());
    let cfg = MapConfig { memory: shared, private_memory: private, ..config(shared) };
    let spec = MapSpec { flags: spec::flags::BPF_F_RDONLY_PROG, ..spec(MapType::Array, 4, 12, 1) };
    let map = Map::create(".rodata", 1, &spec, &cfg).unwrap();
    assert_eq!(shared.live.load(Relaxed), 0, "constants are private");
    map.set_initial(b"hello").unwrap();
    assert_eq!(map.set_initial(&[0; 13]), Err(Errno::EINVAL));
    assert!(map.const_data().is_none());
    let key = [0; 4];
    // SAFETY: key and value have their sizes.
    assert_eq!(unsafe { map.update(key.as_ptr(), [0; 12].as_ptr(), 0, 0) }, Err(Errno::EPERM));
    map.freeze().unwrap();
    assert_eq!(map.const_data(), Some(&b"hello\0\0\0\0\0\0\0"[..]));
    assert_eq!(private.sealed.load(Relaxed), 1);
    assert_eq!(map.set_initial(b"x"), Err(Errno::EPERM));
    assert_eq!(map.update_elem(0, &key, &[1; 12], 0), Err(Errno::EPERM));
}

#[test]
fn a_frozen_map_that_programs_may_write_is_no_constant() {
    let map = make(&spec(MapType::Array, 4, 8, 1));
    map.freeze().unwrap();
    assert!(map.const_data().is_none());
    // SAFETY: key and value have their sizes.
    assert_eq!(unsafe { map.update([0; 4].as_ptr(), [1; 8].as_ptr(), 0, 0) }, Ok(()));
}

#[test]
fn memory_that_cannot_be_had_is_named_and_leaves_nothing() {
    let heap = Heap::leaked();
    heap.limit.store(4096, Relaxed);
    let refused = Map::create("big", 1, &spec(MapType::Array, 4, 8, 1 << 20), &config(heap)).unwrap_err();
    assert!(matches!(refused, MapError::Memory(n) if n > 8 << 20));
    let huge = spec(MapType::PercpuArray, 4, 32768, u32::MAX);
    let refused = Map::create("huge", 1, &huge, &config(heap)).unwrap_err();
    assert_eq!(refused, MapError::Memory(memory_size(&huge, &config(heap)).unwrap()));
    assert_eq!(heap.live.load(Relaxed), 0);
}
