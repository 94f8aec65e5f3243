//! The table alone: overflowing buckets, distances, and inserters of one key that meet halfway.

use super::key::OneWord;
use super::*;
use crate::maps::layout::CACHE_LINE;
use crate::maps::memory::test_heap::Heap;
use crate::maps::{MapType, tests};
use crate::platform::MemRequest;

fn table(max_entries: u32) -> (Region, Table) {
    table_of(8, max_entries)
}

fn table_of(value_size: u32, max_entries: u32) -> (Region, Table) {
    let heap = Heap::leaked();
    let (spec, cfg) = (tests::spec(MapType::Hash, 8, value_size, max_entries), tests::config(heap));
    let l = layout_of(&spec, &cfg);
    let request = MemRequest { name: "t", size: l.total, align: l.align, numa_node: -1 };
    let region = Region::new(&request, heap).unwrap();
    let table = Table::new(&region, &spec, &cfg, &l);
    (region, table)
}

pub(super) fn layout_of(spec: &MapSpec, cfg: &MapConfig) -> Layout {
    Layout::of(spec, cfg).unwrap()
}

pub(super) fn key(k: u64) -> OneWord {
    // SAFETY: the eight bytes of a number.
    unsafe { OneWord::at((&raw const k).cast(), 8) }
}

fn put(t: &Table, k: u64, slot: u32) -> Result<(), Exists> {
    let index = t.pool().take(slot).unwrap();
    t.write_key(&key(k), index);
    t.insert(&key(k), index).inspect_err(|_| t.pool().give(slot, index))
}

fn home(t: &Table, k: u64) -> u32 {
    key(k).hash(t.secret).bucket(t.nr_buckets)
}

fn at_home(t: &Table, home_bucket: u32, n: usize) -> std::vec::Vec<u64> {
    (0..).filter(|k| home(t, *k) == home_bucket).take(n).collect()
}

#[test]
fn keys_beyond_their_home_are_found_and_leave_no_trace() {
    let (_region, t) = table(60);
    // The last bucket, so that the keys go around the end.
    let last = t.nr_buckets - 1;
    let keys = at_home(&t, last, 20);
    for k in &keys {
        assert_eq!(put(&t, *k, 0), Ok(()));
    }
    assert_eq!(t.reach(last), 2);
    assert!(keys.iter().all(|k| t.find(&key(*k)).is_some()));
    assert!(keys.iter().all(|k| put(&t, *k, 0) == Err(Exists::Key)));
    for k in &keys {
        let index = t.remove(t.find(&key(*k)).unwrap()).unwrap();
        t.pool().give(0, index);
        assert!(t.find(&key(*k)).is_none());
    }
    assert!((0..t.nr_buckets).all(|b| t.bucket(b).overflow.load(Ordering::Relaxed) == 0));
    assert!(
        (0..t.nr_buckets).all(|b| t
            .bucket(b)
            .words
            .iter()
            .all(|w| Word(w.load(Ordering::Relaxed)).is_empty()))
    );
}

/// An inserter of `k` that stops after its claim.
fn stalled(t: &Table, k: u64) -> (Place, Word) {
    let index = t.pool().take(1).unwrap();
    t.write_key(&key(k), index);
    t.claim(key(k).hash(t.secret), index).unwrap()
}

#[test]
fn inserter_behind_a_stalled_one_finishes_it_and_gives_way() {
    let (_region, t) = table(16);
    let (place, word) = stalled(&t, 5);
    assert!(t.find(&key(5)).is_none(), "not in the table yet");
    assert_eq!(put(&t, 5, 0), Err(Exists::Key));
    assert_eq!(t.find(&key(5)).unwrap().index(), word.index());
    assert_eq!(t.finish(&key(5), key(5).hash(t.secret), place, word), Ok(()));
    assert_eq!(t.find(&key(5)).unwrap().index(), word.index());
}

#[test]
fn inserter_in_front_of_a_stalled_one_stops_it() {
    let (_region, t) = table(16);
    let keys = at_home(&t, 3, 2);
    assert_eq!(put(&t, keys[0], 0), Ok(()));
    let (place, word) = stalled(&t, keys[1]);
    assert_eq!(place.nth, 1);
    t.remove(t.find(&key(keys[0])).unwrap()).unwrap();
    assert_eq!(put(&t, keys[1], 0), Ok(()));
    let winner = t.find(&key(keys[1])).unwrap();
    assert_ne!(winner.index(), word.index());
    assert_eq!(t.finish(&key(keys[1]), key(keys[1]).hash(t.secret), place, word), Err(Exists::Key));
    assert!(Word(t.slot(place).load(Ordering::Relaxed)).is_empty());
    assert_eq!(t.find(&key(keys[1])).unwrap().index(), winner.index());
}

#[test]
fn stopped_inserter_whose_rival_went_away_succeeds() {
    let (_region, t) = table(16);
    let (place, word) = stalled(&t, 5);
    exchange_for_test(&t, place, word);
    assert_eq!(t.finish(&key(5), key(5).hash(t.secret), place, word), Ok(()));
    assert_eq!(t.find(&key(5)).unwrap().index(), word.index());
}

fn exchange_for_test(t: &Table, place: Place, word: Word) {
    t.slot(place).store(word.collided().0, Ordering::SeqCst);
}

#[test]
fn every_element_is_given_out_once_whoever_freed_it() {
    let (_region, t) = table(50);
    let mut seen = std::collections::HashSet::new();
    for round in 0..3 {
        seen.clear();
        while let Some(index) = t.pool().take(round) {
            assert!(index < 50 && seen.insert(index), "{index} twice");
        }
        assert_eq!(seen.len(), 50);
        for index in &seen {
            t.pool().give((round + index) % 4, *index);
        }
    }
    let spares: std::collections::HashSet<_> = (0..4).map(|slot| t.pool().spare(slot)).collect();
    assert_eq!(spares, (50..54).collect());
}

#[test]
fn hostile_words_find_nothing_and_touch_nothing() {
    let (_region, t) = table(16);
    assert_eq!(put(&t, 5, 0), Ok(()));
    let found = t.find(&key(5)).unwrap();
    t.slot(found.place).store(found.word.replaced(54321).0, Ordering::SeqCst);
    assert!(t.find(&key(5)).is_none());
    let bucket = t.bucket(home(&t, 5));
    bucket.overflow.store(u64::MAX, Ordering::SeqCst);
    assert!(t.find(&key(6)).is_none(), "the reach is bounded");
    assert!(!t.first(&mut [0; 8]));
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_full_table_keeps_its_keys_near_their_homes() {
    let (_region, t) = table(30_000);
    for k in 0..30_000 {
        put(&t, k, 0).unwrap();
    }
    let away = (0..t.nr_buckets).filter(|b| t.reach(*b) > 0).count();
    assert!(away * 50 < t.nr_buckets as usize, "{away} of {} homes reach further", t.nr_buckets);
}

/// Cache lines that a hit reads in a full table: those of the buckets up to the key's, and those of its element.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_hit_in_a_full_table_reads_two_lines() {
    const N: u64 = 30_000;
    for value_size in [1, 4, 8, 16, 24, 40, 56] {
        let (_region, t) = table_of(value_size, N as u32);
        for k in 0..N {
            put(&t, k, 0).unwrap();
        }
        let size = 8 + (value_size as usize).next_multiple_of(8);
        let lines_of = |from: usize, len: usize| (from + len - 1) / CACHE_LINE - from / CACHE_LINE + 1;
        let mut lines = 0;
        for k in 0..N {
            let found = t.find(&key(k)).unwrap();
            let element = t.pool().element(found.index()).unwrap().addr();
            assert_eq!(lines_of(element, size), 1, "an element of {size} bytes at {element:#x}");
            lines += 2 + u64::from(found.place.nth) / SLOTS as u64;
        }
        assert!(lines * 1000 < 2025 * N, "{lines} lines for {N} hits on values of {value_size} bytes");
    }
}
