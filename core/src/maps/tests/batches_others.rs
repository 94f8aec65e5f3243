//! Batches of tries and of maps of maps beside what the model tests ask: short buffers, numbers, references that come back.

use super::*;
use spec::flags::BPF_F_NO_PREALLOC;
use std::vec::Vec;

const ARRAY: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);

#[test]
fn short_buffers_are_bad_addresses() {
    let map = make(&spec(MapType::LpmTrie, 8, 8, 8).with_flags(BPF_F_NO_PREALLOC));
    let mut short = BatchInput { keys: &[0; 15], values: &[0; 16], count: 2, elem_flags: 0 };
    assert_eq!(map.update_batch(0, &mut short), Err(Errno::EFAULT));
    let (mut keys, mut values) = ([0; 8], [0; 8]);
    let mut b = Batch { keys: &mut keys, values: &mut values, count: 1, elem_flags: 0, flags: 0 };
    assert_eq!(map.lookup_batch(None, &mut [0; 4], &mut b), Err(Errno::EFAULT), "a cursor is a key");
}

#[test]
fn array_of_maps_takes_no_numbers() {
    let map = make(&MapSpec { inner: Some(ARRAY.as_inner()), ..spec(MapType::ArrayOfMaps, 4, 4, 8) });
    let mut b = BatchInput {
        keys: &[1, 0, 0, 0, 2, 0, 0, 0],
        values: &[1, 0, 0, 0, 2, 0, 0, 0],
        count: 2,
        elem_flags: 0,
    };
    assert_eq!((map.update_batch(0, &mut b), b.count), (Err(Errno::EINVAL), 0));
}

#[test]
fn hash_of_maps_walks_every_key_once_and_gives_its_references_back() {
    for take in [false, true] {
        for room in [1u32, 3, 7, 50] {
            let map = make(&MapSpec { inner: Some(ARRAY.as_inner()), ..spec(MapType::HashOfMaps, 4, 4, 50) });
            let inner = Map::create("inner", 9, &ARRAY, &config(Heap::leaked())).unwrap();
            (0..40u32).for_each(|k| drop(map.set_map(0, &k.to_le_bytes(), inner.clone(), 0).unwrap()));
            let (mut seen, mut came, mut cursor) = (Vec::new(), 0, None::<[u8; 4]>);
            loop {
                let (mut keys, mut values, mut next) = ([0; 200], [0; 200], [0; 4]);
                let mut b =
                    Batch { keys: &mut keys, values: &mut values, count: room, elem_flags: 0, flags: 0 };
                let from = cursor.as_ref().map(|c| &c[..]);
                let answer = match take {
                    true => map.lookup_and_delete_batch(0, from, &mut next, &mut b, &mut |old| {
                        assert_eq!(old.id(), 9);
                        came += 1;
                    }),
                    false => map.lookup_batch(from, &mut next, &mut b),
                };
                let n = 4 * b.count as usize;
                assert!(values[..n].chunks(4).all(|v| v == [9, 0, 0, 0]));
                seen.extend(keys[..n].chunks(4).map(<[u8]>::to_vec));
                cursor = Some(next);
                if answer.is_err() {
                    assert_eq!(answer, Err(Errno::ENOENT));
                    break;
                }
            }
            seen.sort();
            seen.dedup();
            assert_eq!((seen.len(), came), (40, if take { 40 } else { 0 }));
            assert_eq!(Arc::strong_count(&inner), if take { 1 } else { 41 });
        }
    }
}
