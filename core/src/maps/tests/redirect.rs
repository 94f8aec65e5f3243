//! Device, CPU and socket maps: the kernel's answers, targets with programs, what programs see.

use super::progs::prog;
use super::*;
use crate::sync::Ordering::Relaxed;

const INDEXED: [MapType; 3] = [MapType::Devmap, MapType::Cpumap, MapType::Xskmap];

fn key(i: u32) -> [u8; 4] {
    i.to_le_bytes()
}

/// Flags, and what Linux 6.18 answers to an update of key 0, which exists, and of key 7.
#[test]
fn flags_of_updates_are_answered_as_linux() {
    let beyond = [(0u64, [0, 7]), (1, [17, 7]), (2, [0, 7]), (3, [22, 22]), (4, [22, 22]), (8, [22, 22])];
    let hash = [(0u64, [0, 0]), (1, [17, 0]), (2, [0, 0]), (3, [22, 22]), (4, [22, 22]), (8, [22, 22])];
    for kind in [MapType::Devmap, MapType::Cpumap, MapType::Xskmap, MapType::DevmapHash] {
        for (flags, want) in if kind == MapType::DevmapHash { hash } else { beyond } {
            let map = make(&spec(kind, 4, 4, 2));
            map.set_target(0, &key(0), &key(64), None, 0).unwrap();
            let got = [0, 7].map(|k| code(map.set_target(0, &key(k), &key(64), None, flags)));
            assert_eq!(got, want, "{kind:?} {flags}");
        }
    }
}

#[test]
fn values_that_cannot_be_targets_are_answered_as_linux() {
    for (kind, value, k, want) in [
        (MapType::Devmap, 0, 0, 0),
        (MapType::DevmapHash, 0, 0, 22),
        (MapType::Cpumap, 0, 0, 0),
        (MapType::Cpumap, 16384, 0, 0),
        (MapType::Cpumap, 16385, 0, 75),
        (MapType::Cpumap, 16385, 2, 75),
        (MapType::Cpumap, 64, 2, 19),
        (MapType::Xskmap, 0, 0, 0),
    ] {
        let map = make(&spec(kind, 4, 4, 4));
        assert_eq!(code(map.set_target(0, &key(k), &key(value), None, 0)), want, "{kind:?} {value}");
    }
    let map = make(&spec(MapType::Devmap, 4, 8, 1));
    let (p, r) = prog(5);
    assert_eq!(code(map.set_target(0, &key(0), &[0; 8], Some(r), 0)), 22, "a program without an interface");
    assert_eq!(p.released.load(Relaxed), 1);
    let map = make(&spec(MapType::Devmap, 4, 4, 1));
    assert_eq!(code(map.set_target(0, &key(0), &key(1), Some(prog(5).1), 0)), 22, "no room for a program");
}

/// Lookup and deletion of an entry that is set, then of one that is not, then beyond the end.
#[test]
fn lookups_and_deletions_are_answered_as_linux() {
    for (kind, want) in [
        (MapType::Devmap, [0, 0, 2, 0, 2, 22]),
        (MapType::Cpumap, [0, 0, 2, 0, 2, 22]),
        (MapType::Xskmap, [95, 0, 95, 0, 95, 22]),
        (MapType::DevmapHash, [0, 0, 2, 2, 2, 2]),
    ] {
        let map = make(&spec(kind, 4, 4, 2));
        map.set_target(0, &key(0), &key(64), None, 0).unwrap();
        let mut got = std::vec::Vec::from([]);
        for k in [0, 0, 9] {
            got.push(code(map.lookup_elem(&key(k), &mut [0; 4], 0)));
            got.push(code(map.delete_elem(0, &key(k))));
        }
        assert_eq!(got, want, "{kind:?}");
        assert_eq!(map.lookup_and_delete_elem(0, &key(0), &mut [0; 4], 0), Err(Errno::ENOTSUPP));
        assert_eq!(map.update_elem(0, &key(0), &key(1), 0), Err(Errno::EINVAL), "by set_target");
    }
    for kind in INDEXED {
        let map = make(&spec(kind, 4, 4, 2));
        let mut next = [0; 4];
        assert_eq!((code(map.next_key(Some(&key(9)), &mut next)), next), (0, key(0)));
        assert_eq!((code(map.next_key(Some(&key(0)), &mut next)), next), (0, key(1)));
        assert_eq!(code(map.next_key(Some(&key(1)), &mut next)), 2);
    }
}

#[test]
fn target_carries_value_and_program_and_comes_back_when_replaced() {
    for kind in [MapType::Devmap, MapType::Cpumap, MapType::DevmapHash] {
        let map = make(&spec(kind, 4, 8, 2));
        let ((a, ra), (b, rb)) = (prog(11), prog(12));
        assert!(map.redirect(1).is_null());
        map.set_target(0, &key(1), &[9, 0, 0, 0, 0, 0, 0, 0], Some(ra), 0).unwrap();
        // SAFETY: set, and nothing is retired in this test before its end.
        let target = unsafe { &*map.redirect(1) };
        assert_eq!((target.kind(), target.value(), target.prog()), (kind, 9, &raw const a.target));
        let mut value = [0; 8];
        map.lookup_elem(&key(1), &mut value, 0).unwrap();
        assert_eq!(value, [9, 0, 0, 0, 11, 0, 0, 0]);
        let old = map.set_target(0, &key(1), &[8, 0, 0, 0, 0, 0, 0, 0], Some(rb), 0).unwrap();
        assert_eq!((a.released.load(Relaxed), old.is_some()), (0, true));
        drop(old);
        assert_eq!(a.released.load(Relaxed), 1);
        // SAFETY: as above.
        assert_eq!(unsafe { (*map.redirect(1)).value() }, 8);
        drop(map.delete_elem(0, &key(1)).unwrap());
        assert!(map.redirect(1).is_null() && map.redirect(7).is_null());
        assert_eq!(b.released.load(Relaxed), 1);
        let (c, rc) = prog(13);
        map.set_target(0, &key(0), &[8, 0, 0, 0, 0, 0, 0, 0], Some(rc), 0).unwrap();
        drop(map);
        assert_eq!(c.released.load(Relaxed), 1, "a dropped map releases its programs");
    }
}

#[test]
fn programs_read_entries_of_device_and_socket_maps() {
    for kind in [MapType::Devmap, MapType::DevmapHash, MapType::Xskmap] {
        let map = make(&spec(kind, 4, 4, 2));
        // SAFETY: the key has four bytes.
        let look = |k: u32| unsafe { map.lookup(key(k).as_ptr(), 0) };
        assert!(look(1).is_null());
        map.set_target(0, &key(1), &key(3), None, 0).unwrap();
        // SAFETY: not null: at least four readable bytes.
        assert_eq!(unsafe { look(1).cast::<u32>().read() }, 3);
        assert!(look(0).is_null() && look(2).is_null());
        // SAFETY: key and value have their sizes.
        let refused = unsafe { map.update(key(1).as_ptr(), key(4).as_ptr(), 0, 0) };
        assert_eq!(refused, Err(Errno::EINVAL), "programs do not write");
    }
}
