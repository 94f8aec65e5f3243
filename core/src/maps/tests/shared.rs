//! Maps in memory that others have, too: what is attached, what is refused, and who holds which slot.

use super::model::{Ours, Subject};
use super::town::{Guarded, Town, key_of, memory_for, of_process, sharable};
use super::*;
use crate::error::Status;
use core::ops::ControlFlow;
use std::vec::Vec;

#[test]
fn a_map_that_one_process_made_is_the_same_for_another() {
    for spec in sharable() {
        let ([a, b], _) = Town::of();
        let memory = memory_for(&spec, &of_process(a));
        let made = Map::create_in(memory.place(), "both", 1, &spec, &of_process(a)).unwrap();
        let found = Map::attach(memory.place(), 9, &of_process(b)).unwrap();
        assert_eq!((found.spec(), found.name(), found.id()), (made.spec(), "both", 9));
        assert!(found.is_shared() && made.is_shared());
        let mut ours = Ours::new(made.clone(), 2..3);
        let mut theirs = Ours::new(found, 2..3);
        match spec.kind {
            MapType::Ringbuf => {
                let record = made.ringbuf_reserve(5, 0);
                // SAFETY: five bytes were reserved, and are committed once.
                unsafe {
                    record.copy_from(b"hello".as_ptr(), 5);
                    commit(record, Commit::Submit, 0, core::iter::once(&*made));
                }
                let mut got = Vec::new();
                theirs
                    .map
                    .ringbuf_consume(&mut |r| {
                        got = r.to_vec();
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(got, b"hello");
                assert_eq!(made.ringbuf_query(0), 0);
            }
            MapType::UserRingbuf => {
                let sample = made.user_ringbuf_reserve(5, 0).unwrap();
                // SAFETY: five bytes were reserved, and are ended once.
                unsafe {
                    sample.copy_from(b"hello".as_ptr(), 5);
                    made.user_ringbuf_end(sample, Commit::Submit);
                }
                let mut got = Vec::new();
                let shown = theirs.map.user_ringbuf_drain(0, &mut |bytes, len| {
                    // SAFETY: the sample's bytes.
                    got.extend_from_slice(unsafe { core::slice::from_raw_parts(bytes, len as usize) });
                    let theirs = made.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(()));
                    assert_eq!(theirs, Err(Errno::EBUSY), "one process drains at a time");
                    ControlFlow::Continue(())
                });
                assert_eq!((shown, &got[..]), (Ok(1), &b"hello"[..]));
                let nothing = made.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(()));
                assert_eq!(nothing, Ok(0), "it is gone for both");
            }
            MapType::Queue | MapType::Stack | MapType::BloomFilter => {
                made.update_elem(2, &[], &[7; 8], 0).unwrap();
                let mut out = [7; 8];
                theirs.map.lookup_elem(&[], &mut out, 0).unwrap();
                assert_eq!(out, [7; 8]);
            }
            _ => {
                let value = std::vec![3; made.value_buffer_size()];
                for n in 0..8 {
                    made.update_elem(2, &key_of(&spec, n), &value, 0).unwrap();
                    theirs.map.update_elem(2, &key_of(&spec, n + 8), &value, 0).ok();
                }
                assert_eq!(ours.contents(), theirs.contents(), "{spec:?}");
                assert!(ours.contents().len() >= 10 || spec.kind == MapType::LpmTrie);
            }
        }
        theirs.map.freeze().unwrap();
        let value = std::vec![0; made.value_buffer_size()];
        if !matches!(spec.kind, MapType::Ringbuf | MapType::UserRingbuf) {
            assert_eq!(
                made.update_elem(2, &key_of(&spec, 1), &value, 0),
                Err(Errno::EPERM),
                "frozen by the other"
            );
        }
        assert_eq!(made.freeze(), Err(Errno::EPERM));
    }
}

#[test]
fn a_slot_is_one_processs_and_the_last_one_is_told_busy() {
    let spec = spec(MapType::Hash, 8, 8, 8);
    let ([a, b, c, d, e], dead) = Town::of();
    let memory = memory_for(&spec, &of_process(a));
    // Two CPU slots and four clients.
    let map = Map::create_in(memory.place(), "m", 1, &spec, &of_process(a)).unwrap();
    let other = Map::attach(memory.place(), 1, &of_process(b)).unwrap();
    let update = |m: &Map, slot| {
        // SAFETY: key and value have their sizes; the slot is this thread's.
        unsafe { m.update([1; 8].as_ptr(), [2; 8].as_ptr(), 0, slot) }
    };
    assert_eq!(update(&map, 0), Ok(()));
    assert_eq!(update(&other, 0), Err(Errno::EBUSY), "the other's worker has that number");
    assert_eq!(update(&other, 1), Ok(()));
    // Client slots have numbers of each process's own.
    assert_eq!(update(&map, 2), Ok(()));
    assert_eq!(update(&other, 2), Ok(()));
    assert_eq!(update(&map, 3), Err(Errno::EBUSY), "two readers and two clients: all four are held");
    let refused = Map::attach(memory.place(), 1, &of_process(c)).unwrap_err();
    assert_eq!((refused, refused.errno()), (MapError::Attach(AttachError::NoSlot), Errno::EBUSY));
    drop(other);
    let third = Map::attach(memory.place(), 1, &of_process(c)).unwrap();
    assert_eq!(update(&third, 1), Ok(()), "a process that left gave its slots back");
    assert_eq!(update(&third, 2), Ok(()));
    // It dies with all that it has.
    dead.lock().unwrap().insert(3);
    core::mem::forget(third);
    assert_eq!(update(&map, 1), Err(Errno::EBUSY));
    assert_eq!(map.recover(), Ok(3));
    assert_eq!(update(&map, 1), Ok(()));
    let fourth = Map::attach(memory.place(), 1, &of_process(d)).unwrap();
    assert_eq!(update(&fourth, 2), Ok(()));
    // All clients are held, two by one who is dead: attaching puts that in order by itself.
    dead.lock().unwrap().insert(4);
    core::mem::forget(fourth);
    let fifth = Map::attach(memory.place(), 1, &of_process(e)).unwrap();
    assert_eq!(update(&fifth, 2), Ok(()));
}

#[test]
fn what_belongs_to_one_process_is_refused_by_name() {
    use spec::flags::BPF_F_RDONLY_PROG;
    let inner = Some(spec(MapType::Array, 4, 4, 1).as_inner());
    let fields = |spin_lock, timer| MapSpec {
        fields: ValueFields { spin_lock, timer },
        ..spec(MapType::Hash, 4, 24, 1)
    };
    for (spec, words) in [
        (
            spec(MapType::ProgArray, 4, 4, 1),
            "map type prog_array cannot be shared: its entries are references of one process",
        ),
        (MapSpec { inner, ..spec(MapType::ArrayOfMaps, 4, 4, 1) }, "array_of_maps cannot be shared"),
        (MapSpec { inner, ..spec(MapType::HashOfMaps, 4, 4, 1) }, "hash_of_maps cannot be shared"),
        (spec(MapType::Devmap, 4, 4, 1), "devmap cannot be shared"),
        (spec(MapType::DevmapHash, 4, 4, 1), "devmap_hash cannot be shared"),
        (spec(MapType::Cpumap, 4, 4, 1), "cpumap cannot be shared"),
        (spec(MapType::Xskmap, 4, 4, 1), "xskmap cannot be shared"),
        (
            spec(MapType::PerfEventArray, 4, 4, 1),
            "this perf_event_array cannot be shared: an open event belongs to one process",
        ),
        (spec(MapType::Array, 4, 4, 1).with_flags(BPF_F_RDONLY_PROG), "constant data"),
        (fields(Some(0), None), "a bpf_spin_lock"),
        (fields(None, Some(8)), "a bpf_timer"),
    ] {
        let ([a], _) = Town::of();
        let memory = memory_for(&spec, &of_process(a));
        let refused = Map::create_in(memory.place(), "m", 1, &spec, &of_process(a)).unwrap_err();
        assert_eq!(refused.errno(), Errno::EOPNOTSUPP);
        assert!(std::format!("{refused}").contains(words), "{refused}");
    }
}

#[test]
fn memory_that_does_not_fit_is_refused() {
    let spec = spec(MapType::Hash, 8, 8, 24);
    let ([a, b], _) = Town::of();
    let cfg = of_process(a);
    let memory = memory_for(&spec, &cfg);
    let small = Guarded::new(memory_size(&spec, &cfg).unwrap() - 64);
    let refuse = |place, cfg: &MapConfig| match Map::create_in(place, "m", 1, &spec, cfg).unwrap_err() {
        MapError::Attach(why) => why,
        other => panic!("{other}"),
    };
    assert!(matches!(refuse(small.place(), &cfg), AttachError::Truncated { .. }));
    let crooked = Guarded::new(memory_size(&spec, &cfg).unwrap() + 8);
    assert_eq!(refuse(crooked.place(), &cfg), AttachError::Alignment(memory_alignment(&spec, &cfg).unwrap()));
    assert_eq!(refuse(memory.place(), &config(Heap::leaked())), AttachError::NoProcesses);
    let map = Map::create_in(memory.place(), "m", 1, &spec, &cfg).unwrap();
    assert_eq!(refuse(memory.place(), &cfg), AttachError::Occupied);
    let attach = |cfg: &MapConfig| match Map::attach(memory.place(), 1, cfg) {
        Err(MapError::Attach(why)) => Some(why),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    assert_eq!(attach(&of_process(b)), None);
    assert_eq!(attach(&MapConfig { nr_cpus: 3, ..of_process(b) }), Some(AttachError::Cpus(2, 3)));
    assert_eq!(Map::cpus_of(&memory.place()), Ok(2));
    assert_eq!(
        attach(&MapConfig { page_size: 16384, ..of_process(b) }),
        Some(AttachError::PageSize(4096, 16384))
    );
    assert_eq!(attach(&config(Heap::leaked())), Some(AttachError::Field("writer slots")));
    assert_eq!(attach(&of_process(b.foreign())), Some(AttachError::Realm));
    drop(map);
    let blank = memory_for(&spec, &cfg);
    assert_eq!(Map::attach(blank.place(), 1, &cfg).unwrap_err(), MapError::Attach(AttachError::Magic));
    let nothing = Guarded::new(64);
    assert!(matches!(
        Map::attach(nothing.place(), 1, &cfg),
        Err(MapError::Attach(AttachError::Truncated { .. }))
    ));
}
