//! Maps of maps: the template, ids for control planes, pointers for programs, references that come back.

use super::*;
use crate::sync::Ordering::Relaxed;

fn outer(kind: MapType, max_entries: u32, inner: &MapSpec) -> Arc<Map> {
    make(&MapSpec { inner: Some(inner.as_inner()), ..spec(kind, 4, 4, max_entries) })
}

fn inner(id: u32, spec: &MapSpec) -> Arc<Map> {
    Map::create("inner", id, spec, &config(Heap::leaked())).unwrap()
}

fn key(i: u32) -> [u8; 4] {
    i.to_le_bytes()
}

fn seen(map: &Map, k: u32) -> *const Map {
    // SAFETY: the key has four bytes.
    unsafe { map.lookup(key(k).as_ptr(), 0) }.cast()
}

const KINDS: [MapType; 2] = [MapType::ArrayOfMaps, MapType::HashOfMaps];
const ARRAY: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);

#[test]
fn program_sees_the_pointer_and_the_control_plane_the_id() {
    for kind in KINDS {
        let map = outer(kind, 2, &ARRAY);
        let (a, b) = (inner(7, &ARRAY), inner(8, &ARRAY));
        assert!(seen(&map, 1).is_null());
        assert!(map.set_map(0, &key(1), a.clone(), 0).unwrap().is_none());
        assert_eq!(seen(&map, 1), Arc::as_ptr(&a));
        let mut id = [0; 4];
        map.lookup_elem(&key(1), &mut id, 0).unwrap();
        assert_eq!(u32::from_le_bytes(id), 7);
        let old = map.set_map(0, &key(1), b.clone(), 0).unwrap().unwrap();
        assert_eq!((old.id(), Arc::strong_count(&a)), (7, 2));
        assert_eq!(seen(&map, 1), Arc::as_ptr(&b));
        assert_eq!(map.delete_elem(0, &key(1)).unwrap().unwrap().id(), 8);
        assert!(seen(&map, 1).is_null());
        assert_eq!(map.lookup_elem(&key(1), &mut id, 0), Err(Errno::ENOENT));
        assert_eq!(map.delete_elem(0, &key(1)).unwrap_err(), Errno::ENOENT);
        drop(old);
        assert_eq!(Arc::strong_count(&a), 1);
    }
}

#[test]
fn dropped_outer_map_gives_its_inner_maps_back() {
    for kind in KINDS {
        let heap = Heap::leaked();
        let cfg = config(heap);
        let template = Some(ARRAY.as_inner());
        let map = Map::create("o", 1, &MapSpec { inner: template, ..spec(kind, 4, 4, 3) }, &cfg).unwrap();
        let a = inner(7, &ARRAY);
        map.set_map(0, &key(0), a.clone(), 0).unwrap();
        map.set_map(0, &key(2), a.clone(), 0).unwrap();
        assert_eq!(Arc::strong_count(&a), 3);
        drop(map);
        assert_eq!((Arc::strong_count(&a), heap.live.load(Relaxed)), (1, 0));
    }
}

/// As Linux 6.18 answered for each pair.
#[test]
fn inner_maps_have_to_be_like_the_template() {
    let cases: &[(MapSpec, MapSpec, i32)] = &[
        (ARRAY, MapSpec::new(MapType::Array, 4, 4, 3), 22),
        (ARRAY, MapSpec::new(MapType::Array, 4, 8, 2), 22),
        (ARRAY, MapSpec::new(MapType::Hash, 4, 4, 2), 22),
        (ARRAY, ARRAY.with_flags(spec::flags::BPF_F_RDONLY), 22),
        (
            ARRAY.with_flags(spec::flags::BPF_F_INNER_MAP),
            MapSpec::new(MapType::Array, 4, 4, 3).with_flags(spec::flags::BPF_F_INNER_MAP),
            0,
        ),
        (MapSpec::new(MapType::Hash, 4, 4, 2), MapSpec::new(MapType::Hash, 4, 4, 4), 0),
        (MapSpec::new(MapType::PercpuArray, 4, 4, 2), MapSpec::new(MapType::PercpuArray, 4, 4, 4), 0),
        (MapSpec::new(MapType::Xskmap, 4, 4, 2), MapSpec::new(MapType::Xskmap, 4, 4, 4), 22),
        (MapSpec::new(MapType::Devmap, 4, 4, 2), MapSpec::new(MapType::Devmap, 4, 4, 4), 0),
    ];
    for (template, given, want) in cases {
        for kind in KINDS {
            let map = outer(kind, 2, template);
            assert_eq!(code(map.set_map(0, &key(0), inner(3, given), 0)), *want, "{template:?} {given:?}");
            assert_eq!(code(map.set_map(0, &key(0), inner(3, template), 0)), 0);
        }
    }
}

#[test]
fn full_hash_of_maps_refuses_a_new_key_and_replaces_a_known_one() {
    let map = outer(MapType::HashOfMaps, 2, &ARRAY);
    for round in 0..1000 {
        let m = inner(round + 1, &ARRAY);
        map.set_map(0, &key(round % 2), m.clone(), 0).unwrap();
        assert_eq!(seen(&map, round % 2), Arc::as_ptr(&m));
    }
    let m = inner(9999, &ARRAY);
    assert_eq!(map.set_map(0, &key(2), m.clone(), 0).unwrap_err(), Errno::E2BIG);
    assert_eq!(Arc::strong_count(&m), 1);
    let mut keys = std::vec::Vec::from([]);
    let mut at = None;
    let mut next = [0; 4];
    while map.next_key(at.as_ref().map(|k: &[u8; 4]| &k[..]), &mut next).is_ok() {
        keys.push(u32::from_le_bytes(next));
        at = Some(next);
    }
    keys.sort();
    assert_eq!(keys, [0, 1]);
}

#[test]
fn lookups_during_replacement_see_the_old_map_or_the_new_one() {
    for kind in KINDS {
        let map = outer(kind, 2, &ARRAY);
        let maps = [inner(5, &ARRAY), inner(6, &ARRAY)];
        map.set_map(0, &key(1), maps[0].clone(), 0).unwrap();
        let done = crate::sync::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                for round in 0..20_000usize {
                    map.set_map(1, &key(1), maps[round % 2].clone(), 0).unwrap();
                }
                done.store(true, Relaxed);
            });
            while !done.load(Relaxed) {
                let p = seen(&map, 1);
                assert!(maps.iter().any(|m| Arc::as_ptr(m) == p), "{kind:?}");
            }
        });
    }
}
