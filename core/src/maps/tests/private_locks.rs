//! Writers of maps of references, which take turns by a lock of their process: one that stands still makes the others busy, not wait.

use super::*;

fn with_lock_held(map: &Map, work: &mut dyn FnMut()) {
    match &map.kind {
        Kind::ProgArray(a) => a.with_lock_held(work),
        _ => map.control_ops().unwrap().with_lock_held(work),
    }
}

#[test]
fn writer_that_stands_still_makes_others_busy_and_readers_go_on() {
    const ARRAY: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);
    let kinds = [
        MapType::ProgArray,
        MapType::ArrayOfMaps,
        MapType::HashOfMaps,
        MapType::Devmap,
        MapType::DevmapHash,
        MapType::Cpumap,
        MapType::Xskmap,
    ];
    for kind in kinds {
        let outer = matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps);
        let map = make(&MapSpec { inner: outer.then(|| ARRAY.as_inner()), ..spec(kind, 4, 4, 2) });
        let inner = Map::create("inner", 7, &ARRAY, &config(Heap::leaked())).unwrap();
        let value = core::cell::Cell::new(4);
        let set = || match kind {
            MapType::ProgArray => code(map.set_prog(1, None)),
            _ if outer => code(map.set_map(0, &[1, 0, 0, 0], inner.clone(), 0)),
            _ => {
                value.set(value.get() + 1);
                code(map.set_target(0, &[1, 0, 0, 0], &[value.get(), 0, 0, 0], None, 0))
            }
        };
        assert_eq!(set(), 0, "{kind:?}");
        let there = map.next_key(None, &mut [0; 4]);
        with_lock_held(&map, &mut || {
            assert_eq!(set(), 16, "{kind:?}");
            assert_eq!(code(map.delete_elem(0, &[1, 0, 0, 0])), 16, "{kind:?}");
            assert_eq!(map.next_key(None, &mut [0; 4]), there, "{kind:?}");
            // SAFETY: the key has four bytes.
            let seen = unsafe { map.lookup([1u8, 0, 0, 0].as_ptr(), 0) };
            assert_eq!(seen.is_null(), kind == MapType::ProgArray, "{kind:?}");
        });
        assert_eq!(Arc::strong_count(&inner), if outer { 2 } else { 1 }, "what was refused is not kept");
        assert_eq!(set(), 0, "{kind:?}");
        assert_eq!(code(map.delete_elem(0, &[1, 0, 0, 0])), if kind == MapType::ProgArray { 2 } else { 0 });
    }
}

#[test]
fn batch_that_takes_is_busy_where_a_writer_stands_still() {
    const ARRAY: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);
    let map = make(&MapSpec { inner: Some(ARRAY.as_inner()), ..spec(MapType::HashOfMaps, 4, 4, 2) });
    let inner = Map::create("inner", 7, &ARRAY, &config(Heap::leaked())).unwrap();
    map.set_map(0, &[1; 4], inner, 0).unwrap();
    let read = |take: bool| {
        let (mut keys, mut values, mut next) = ([0; 8], [0; 8], [0; 4]);
        let mut b = Batch { keys: &mut keys, values: &mut values, count: 2, elem_flags: 0, flags: 0 };
        let answer = match take {
            true => map.lookup_and_delete_batch(0, None, &mut next, &mut b, &mut drop),
            false => map.lookup_batch(None, &mut next, &mut b),
        };
        (code(answer), b.count)
    };
    with_lock_held(&map, &mut || assert_eq!((read(true), read(false)), ((16, 0), (2, 1))));
    assert_eq!((read(true), read(false)), ((2, 1), (2, 0)));
}
