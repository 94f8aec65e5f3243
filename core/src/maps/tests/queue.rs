//! QUEUE and STACK: many threads that push and pop, a lock that is held.

use super::*;

const KINDS: [MapType; 2] = [MapType::Queue, MapType::Stack];

#[test]
fn other_types_know_no_pushes() {
    let array = make(&spec(MapType::Array, 4, 4, 2));
    let mut out = [0; 4];
    // SAFETY: the value has four bytes.
    let answers = unsafe {
        [array.push(out.as_ptr(), 0, 0), array.pop(out.as_mut_ptr(), 0), array.peek(out.as_mut_ptr(), 0)]
    };
    assert_eq!(answers, [Err(Errno::EOPNOTSUPP); 3]);
}

#[test]
fn every_value_that_threads_push_is_popped_once() {
    for kind in KINDS {
        let map = make(&spec(kind, 0, 8, 64));
        let popped = std::sync::Mutex::new(std::vec::Vec::from([]));
        std::thread::scope(|s| {
            for slot in 0..2u32 {
                let (map, popped) = (&map, &popped);
                s.spawn(move || {
                    for i in 0..20_000u64 {
                        let value = (u64::from(slot) << 32 | i).to_le_bytes();
                        // SAFETY: the value has eight bytes; each thread has a slot of its own.
                        while unsafe { map.push(value.as_ptr(), 0, slot) }.is_err() {
                            std::thread::yield_now();
                        }
                    }
                });
                s.spawn(move || {
                    let mut mine = std::vec::Vec::from([]);
                    while mine.len() < 20_000 {
                        let mut value = [0; 8];
                        // SAFETY: as above.
                        match unsafe { map.pop(value.as_mut_ptr(), slot + 2) } {
                            Ok(()) => mine.push(u64::from_le_bytes(value)),
                            Err(_) => std::thread::yield_now(),
                        }
                    }
                    popped.lock().unwrap().extend(mine);
                });
            }
        });
        let mut all = popped.into_inner().unwrap();
        all.sort();
        let want: std::vec::Vec<u64> = (0..20_000).chain((1 << 32)..(1 << 32) + 20_000).collect();
        assert!(all == want, "{kind:?}");
    }
}

#[test]
fn a_held_lock_is_an_answer_not_a_wait() {
    let heap = Heap::leaked();
    let spec = spec(MapType::Queue, 0, 4, 2);
    let map = Map::create("q", 1, &spec, &config(heap)).unwrap();
    map.update_elem(0, &[], &[1; 4], 0).unwrap();
    let l = super::layout::Layout::of(&spec, &config(heap)).unwrap();
    let lock = map.region.section(l.pool, 4).cast::<AtomicU32>();
    // SAFETY: the lock's word, in map memory.
    let lock = unsafe { lock.as_ref() };
    lock.store(9, Ordering::Relaxed);
    let mut out = [7; 4];
    // SAFETY: the value has four bytes.
    assert_eq!(unsafe { map.pop(out.as_mut_ptr(), 0) }, Err(Errno::EBUSY));
    assert_eq!(out, [0; 4], "a program may read it");
    assert_eq!(map.update_elem(0, &[], &[1; 4], 0), Err(Errno::EBUSY));
    lock.store(0, Ordering::Relaxed);
    assert_eq!(map.lookup_and_delete_elem(0, &[], &mut out, 0), Ok(()));
    assert_eq!(out, [1; 4]);
}
