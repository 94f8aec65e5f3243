//! PROG_ARRAY: references are owned, replaced ones come back, the cycle of programs and maps is cut by the last user handle.

use super::*;
use crate::sync::Ordering::Relaxed;
use crate::vm::Ctx;
use core::ptr::NonNull;

#[repr(C)]
pub(super) struct Prog {
    pub(super) target: TailTarget,
    pub(super) released: AtomicU32,
}

unsafe extern "C" fn entry(_: *mut Ctx, _: *const TailTarget) -> u64 {
    2
}

unsafe fn release(target: *const TailTarget) {
    // SAFETY: `prog` below embeds the target at its start, and leaks it.
    unsafe { (*target.cast::<Prog>()).released.fetch_add(1, Relaxed) };
}

pub(super) fn prog(id: u32) -> (&'static Prog, ProgRef) {
    let p: &'static Prog = std::boxed::Box::leak(std::boxed::Box::from(Prog {
        target: TailTarget { entry, id, release },
        released: AtomicU32::new(0),
    }));
    // SAFETY: leaked, so that it is valid for ever; the whole `Prog` may be reached through the address.
    (p, unsafe { ProgRef::new(NonNull::from(p).cast()) })
}

#[test]
fn replaced_program_comes_back_and_the_new_one_is_seen() {
    let map = make(&spec(MapType::ProgArray, 4, 4, 2));
    let ((a, ra), (b, rb)) = (prog(11), prog(12));
    assert!(map.set_prog(1, Some(ra)).unwrap().is_none());
    let g = map.prog_array().unwrap();
    // SAFETY: the array has two entries.
    let seen = || unsafe { (*g.shadow.add(1)).load(crate::sync::Ordering::Acquire) };
    assert_eq!(seen().cast_const(), &raw const a.target);
    let mut id = [0; 4];
    map.lookup_elem(&1u32.to_le_bytes(), &mut id, 0).unwrap();
    assert_eq!(u32::from_le_bytes(id), 11);
    let old = map.set_prog(1, Some(rb)).unwrap().unwrap();
    assert_eq!((old.id(), a.released.load(Relaxed)), (11, 0));
    drop(old);
    assert_eq!(a.released.load(Relaxed), 1);
    assert_eq!(seen().cast_const(), &raw const b.target);
    let gone = map.delete_elem(0, &1u32.to_le_bytes()).unwrap().unwrap();
    assert_eq!((gone.id(), seen().is_null()), (12, true));
    assert_eq!(map.delete_elem(0, &1u32.to_le_bytes()).unwrap_err(), Errno::ENOENT);
    drop(gone);
    assert_eq!(b.released.load(Relaxed), 1);
}

#[test]
fn refused_program_is_released() {
    let map = make(&spec(MapType::ProgArray, 4, 4, 2));
    let (a, ra) = prog(1);
    assert_eq!(map.set_prog(2, Some(ra)).unwrap_err(), Errno::E2BIG);
    assert_eq!(a.released.load(Relaxed), 1);
    let (b, rb) = prog(2);
    map.freeze().unwrap();
    assert_eq!(map.set_prog(0, Some(rb)).unwrap_err(), Errno::EPERM);
    assert_eq!(b.released.load(Relaxed), 1);
}

#[test]
fn last_user_handle_clears_the_programs_and_a_dropped_map_releases_them() {
    let map = make(&spec(MapType::ProgArray, 4, 4, 3));
    let ((a, ra), (b, rb)) = (prog(1), prog(2));
    map.set_prog(0, Some(ra)).unwrap();
    map.set_prog(2, Some(rb)).unwrap();
    map.add_user();
    let mut retired = std::vec::Vec::from([]);
    map.drop_user(&mut |_| unreachable!("one user is left"));
    map.drop_user(&mut |p| retired.push(p));
    assert_eq!(retired.iter().map(Reference::id).collect::<std::vec::Vec<_>>(), [1, 2]);
    assert_eq!((a.released.load(Relaxed), b.released.load(Relaxed)), (0, 0));
    let (c, rc) = prog(3);
    map.set_prog(1, Some(rc)).unwrap();
    drop(map);
    assert_eq!(c.released.load(Relaxed), 1);
}
