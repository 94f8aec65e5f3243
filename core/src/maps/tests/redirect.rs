//! Device, CPU and socket maps: targets with programs, what programs see.

use super::progs::prog;
use super::*;
use crate::sync::Ordering::Relaxed;

fn key(i: u32) -> [u8; 4] {
    i.to_le_bytes()
}

#[test]
fn entries_are_set_as_a_whole_and_a_value_without_room_takes_no_program() {
    for kind in [MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap] {
        let map = make(&spec(kind, 4, 4, 2));
        assert_eq!(map.update_elem(0, &key(0), &key(1), 0), Err(Errno::EINVAL), "by set_target");
        let (p, r) = prog(5);
        assert_eq!(code(map.set_target(0, &key(0), &key(1), Some(r), 0)), 22);
        assert_eq!(p.released.load(Relaxed), 1);
    }
}

#[test]
fn socket_that_an_entry_holds_is_no_change_whatever_the_flags_say() {
    let map = make(&spec(MapType::Xskmap, 4, 4, 2));
    let set = |k, socket, flags| code(map.set_target(0, &key(k), &key(socket), None, flags));
    assert_eq!(set(0, 7, spec::flags::BPF_NOEXIST), 0);
    assert_eq!([0, 1, 2, 3].map(|flags| set(0, 7, flags)), [0, 0, 0, 22]);
    assert_eq!((set(0, 8, 1), set(1, 7, 2), set(2, 7, 1)), (17, 2, 7));
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
