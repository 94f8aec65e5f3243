//! Producers and the consumer of a ring under every order of their accesses: `cargo xtask loom`.
//!
//! A record's bytes are one word, written and read by relaxed accesses: that they are seen whole is the ring's doing. The lock of the producers is tried a few times only.

use super::tests::{config, spec};
use super::*;
use crate::maps::memory::test_heap::Heap;
use crate::sync::AtomicU64;
use crate::sync::model::{check, prepare};
use ::loom::thread;
use core::ops::ControlFlow;
use std::sync::Arc as StdArc;
use std::vec::Vec;

const SIZE: u64 = 4096;

/// A ring, both of whose positions stand at `at`, with what stands for its first `words` words of data behind there.
fn ring(at: u64, words: usize) -> StdArc<Arc<Map>> {
    let map =
        Map::create("r", 1, &spec(MapType::Ringbuf, 0, 0, SIZE as u32), &config(Heap::leaked())).unwrap();
    let ring = map.ops().and_then(MapOps::ring).unwrap();
    let pages = core::ptr::from_ref(ring.consumed()).cast::<u8>().cast_mut();
    // SAFETY: positions, producers' page and data, in map memory that only atomic accesses touch from here on.
    unsafe {
        ring.consumed().as_ptr().write(at);
        ring.produced().as_ptr().write(at);
        ring.set_pending_for_test(at);
        prepare(map.region.base().as_ptr(), pages.addr() - map.region.base().as_ptr().addr());
        prepare(pages, 8);
        prepare(pages.add(SIZE as usize), 8);
        for word in 0..words {
            prepare(pages.add(2 * SIZE as usize + (at as usize + 8 * word) % SIZE as usize), 8);
        }
    }
    StdArc::new(map)
}

fn word<'a>(bytes: *const u8) -> &'a AtomicU64 {
    // SAFETY: a record of eight bytes or more in map memory, which lives as long as the model.
    unsafe { AtomicU64::from_ptr(bytes.cast_mut().cast()) }
}

/// A record with one word; whether there was room and the lock was to be had.
fn put(map: &Map, value: u64, slot: u32, how: Commit) -> bool {
    let record = map.ringbuf_reserve(8, slot);
    if record.is_null() {
        return false;
    }
    word(record).store(value, Ordering::Relaxed);
    // SAFETY: just reserved.
    unsafe { map.ringbuf_commit(record, how, 0) };
    true
}

fn read(map: &Map, into: &mut Vec<u64>) {
    map.ringbuf_consume(&mut |record| {
        into.push(word(record.as_ptr()).load(Ordering::Relaxed));
        ControlFlow::Continue(())
    })
    .unwrap();
}

#[test]
fn each_record_of_two_producers_is_read_once_and_whole() {
    check(2, || {
        let map = ring(0, 4);
        let (one, two) = (map.clone(), map.clone());
        let first = thread::spawn(move || put(&one, 11, 0, Commit::Submit));
        let second = thread::spawn(move || put(&two, 22, 1, Commit::Submit));
        let mut seen = Vec::from([]);
        read(&map, &mut seen);
        let made = [(11, first.join().unwrap()), (22, second.join().unwrap())];
        read(&map, &mut seen);
        seen.sort_unstable();
        let want: Vec<u64> = made.iter().filter(|(_, made)| *made).map(|(value, _)| *value).collect();
        assert_eq!(seen, want);
    });
}

#[test]
fn what_is_dropped_or_still_busy_holds_nothing_up_for_ever() {
    check(3, || {
        let map = ring(SIZE - 16, 4);
        let other = map.clone();
        let producer =
            thread::spawn(move || (put(&other, 1, 0, Commit::Discard), put(&other, 2, 0, Commit::Submit)));
        let mut seen = Vec::from([]);
        read(&map, &mut seen);
        assert_eq!(producer.join().unwrap(), (true, true));
        read(&map, &mut seen);
        assert_eq!((seen, map.ringbuf_query(0)), (Vec::from([2]), 0));
    });
}

#[test]
fn a_record_is_not_written_over_before_it_was_read() {
    check(3, || {
        let map = ring(0, 4);
        // All but sixteen bytes are taken: room for another record is where the first one is.
        let large = map.ringbuf_reserve(SIZE - 32, 0);
        word(large).store(7, Ordering::Relaxed);
        // SAFETY: just reserved.
        unsafe { map.ringbuf_commit(large, Commit::Submit, 0) };
        let other = map.clone();
        let producer =
            thread::spawn(move || (0..3).filter(|i| put(&other, 100 + i, 1, Commit::Submit)).count());
        let mut seen = Vec::from([]);
        read(&map, &mut seen);
        let made = producer.join().unwrap();
        read(&map, &mut seen);
        assert_eq!((seen.first(), seen.len()), (Some(&7), 1 + made));
    });
}
