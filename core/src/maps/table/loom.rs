//! The protocols of the table under every order of a few threads' accesses: `cargo xtask loom`.
//!
//! Each model is a handful of operations on one or two keys in a table of a few slots. What it shows holds for orders with at most the stated preemptions.

use super::tests::{key, layout_of};
use super::*;
use crate::maps::memory::test_heap::Heap;
use crate::maps::{MapType, tests};
use crate::platform::MemRequest;
use crate::sync::model::{check, prepare};
use ::loom::thread;
use std::sync::Arc;
use std::vec::Vec;

/// A table and an LRU's clock in memory of their own.
struct World<S> {
    table: Table,
    supply: S,
    _region: Region,
}

// SAFETY: what the table points at is only touched by atomic accesses.
unsafe impl<S> Send for World<S> {}
// SAFETY: as above.
unsafe impl<S> Sync for World<S> {}

fn world<S: Supply>(kind: MapType, max_entries: u32) -> Arc<World<S>> {
    let heap = Heap::leaked();
    let (spec, cfg) = (tests::spec(kind, 8, 8, max_entries), tests::config(heap));
    let l = layout_of(&spec, &cfg);
    let request = MemRequest { name: "t", size: l.total, align: l.align, numa_node: -1 };
    let region = Region::new(&request, heap).unwrap();
    // SAFETY: the region's memory, which the table alone uses.
    unsafe { prepare(region.base().as_ptr().add(l.buckets), l.total - l.buckets) };
    Arc::new(World {
        table: Table::new(&region, &spec, &cfg, &l),
        supply: S::new(&region, &spec, &cfg, &l),
        _region: region,
    })
}

impl<S: Supply> World<S> {
    /// The value of an element: one word.
    fn value(&self, index: u32) -> &AtomicU64 {
        let element = self.table.pool().element(index).unwrap();
        // SAFETY: a key of one word, the supply's mark, a value of one word.
        unsafe { &*element.add(1 + S::MARK_BYTES / 8) }
    }

    /// An update that inserts, or replaces what is there; the value is ten times the key and something.
    fn put(&self, k: u64, value: u64, slot: u32) -> Result<(), Exists> {
        let index = self.supply.take(&self.table, slot).expect("the models leave room");
        self.table.write_key(&key(k), index);
        self.value(index).store(value, Ordering::Relaxed);
        self.table.insert(&key(k), index).inspect_err(|_| self.supply.give(&self.table, slot, index))
    }

    fn replace(&self, k: u64, value: u64, slot: u32) -> bool {
        let Some(found) = self.table.find(&key(k)) else { return false };
        let index = self.supply.take_other(&self.table, slot, found.index()).unwrap();
        self.table.write_key(&key(k), index);
        self.value(index).store(value, Ordering::Relaxed);
        let done = self.table.replace(found, index).is_ok();
        match done {
            true => self.supply.give_replaced(&self.table, slot, found.index()),
            false => self.supply.give_other(&self.table, slot, index),
        }
        done
    }

    fn delete(&self, k: u64, slot: u32) -> bool {
        let Some(found) = self.table.find(&key(k)) else { return false };
        let Ok(index) = self.table.remove(found) else { return false };
        self.supply.give(&self.table, slot, index);
        true
    }

    /// A copy as the control plane makes it: the value counts if the word stood still.
    fn get(&self, k: u64) -> Option<u64> {
        let found = self.table.find(&key(k))?;
        let value = self.value(found.index()).load(Ordering::Relaxed);
        self.table.is_still(found).then_some(value)
    }

    fn members(&self) -> usize {
        let (mut from, mut n) = (0, 0);
        while let Some(m) = self.table.member_from(from) {
            (from, n) = (m.nth() + 1, n + 1);
        }
        n
    }
}

/// Gives each of so many writers a free element of its own, so that a model is about the index alone.
fn ready(w: &World<FreeLists>, writers: u32) {
    let taken: Vec<_> = (0..writers).map(|_| w.table.pool().take(0).unwrap()).collect();
    (0..writers).zip(taken).for_each(|(slot, index)| w.table.pool().give(slot, index));
}

/// Keys with one home, the first bucket.
fn neighbours<S: Supply>(w: &World<S>) -> Vec<u64> {
    let home = |k: &u64| key(*k).hash(w.table.secret).bucket(w.table.nr_buckets);
    (0..).filter(|k| home(k) == 0).take(3).collect()
}

#[test]
fn two_inserters_of_one_key_leave_one_member() {
    check(2, || {
        let w = world::<FreeLists>(MapType::Hash, 4);
        ready(&w, 2);
        let other = {
            let w = w.clone();
            thread::spawn(move || w.put(5, 51, 1))
        };
        let mine = w.put(5, 50, 0);
        let theirs = other.join().unwrap();
        assert_eq!(usize::from(mine.is_ok()) + usize::from(theirs.is_ok()), 1, "{mine:?} {theirs:?}");
        assert_eq!(w.members(), 1);
        assert_eq!(w.get(5), Some(if mine.is_ok() { 50 } else { 51 }));
    });
}

#[test]
fn inserter_and_deleter_of_one_key_leave_it_or_not_but_never_twice() {
    check(2, || {
        let w = world::<FreeLists>(MapType::Hash, 4);
        w.put(5, 50, 0).unwrap();
        ready(&w, 2);
        let other = {
            let w = w.clone();
            thread::spawn(move || (w.delete(5, 1), w.put(5, 51, 1)))
        };
        let mine = w.put(5, 52, 0);
        let (deleted, theirs) = other.join().unwrap();
        assert!(deleted && (mine.is_ok() != theirs.is_ok()));
        assert_eq!(w.members(), 1);
    });
}

#[test]
fn reader_sees_a_value_that_the_key_had_while_its_element_becomes_another_keys() {
    check(3, || {
        let w = world::<FreeLists>(MapType::Hash, 2);
        w.put(5, 50, 1).unwrap();
        let writer = {
            let w = w.clone();
            thread::spawn(move || {
                assert!(w.delete(5, 1));
                w.put(6, 60, 1).unwrap(); // the very element
            })
        };
        assert!(matches!(w.get(5), None | Some(50)));
        assert!(matches!(w.get(6), None | Some(60)));
        writer.join().unwrap();
        assert_eq!((w.get(5), w.get(6)), (None, Some(60)));
    });
}

#[test]
fn reader_finds_a_replaced_key_with_its_old_value_or_the_new_one() {
    check(2, || {
        let w = world::<FreeLists>(MapType::Hash, 2);
        w.put(5, 50, 1).unwrap();
        let writer = {
            let w = w.clone();
            thread::spawn(move || {
                assert!(w.replace(5, 51, 1));
                assert!(w.replace(5, 52, 1)); // into the first element again
            })
        };
        assert!(w.table.find(&key(5)).is_some(), "a replaced key is never away");
        assert!(matches!(w.get(5), None | Some(50..=52)));
        writer.join().unwrap();
        assert_eq!(w.get(5), Some(52));
    });
}

#[test]
fn reader_misses_no_key_beyond_its_home_while_a_neighbour_comes_and_goes() {
    check(2, || {
        let w = world::<FreeLists>(MapType::Hash, 4);
        let keys = neighbours(&w);
        // Two fill the home; the third goes further.
        for k in &keys {
            w.put(*k, k * 10, 0).unwrap();
        }
        assert!(w.table.reach(0) > 0);
        let (first, last) = (keys[0], keys[2]);
        let writer = {
            let w = w.clone();
            thread::spawn(move || {
                assert!(w.delete(first, 1));
                w.put(first, first * 10, 1).unwrap();
            })
        };
        assert_eq!(w.get(last), Some(last * 10), "nobody touches that key");
        writer.join().unwrap();
        assert_eq!(w.members(), 3);
    });
}

#[test]
fn freed_elements_are_taken_once_by_their_owner_or_a_thief() {
    check(2, || {
        let w = world::<FreeLists>(MapType::Hash, 2);
        let (a, b) = (w.table.pool().take(0).unwrap(), w.table.pool().take(0).unwrap());
        w.table.pool().give(0, a);
        w.table.pool().give(0, b);
        let thief = {
            let w = w.clone();
            thread::spawn(move || {
                let got = w.table.pool().take(1);
                got.inspect(|index| w.table.pool().give(1, *index))
            })
        };
        let mine = w.table.pool().take(0);
        assert!(mine.is_some(), "two elements, one thief");
        thief.join().unwrap();
        let last = w.table.pool().take(2);
        assert!(last.is_some() && last != mine, "{last:?} {mine:?}");
        assert!(w.table.pool().take(2).is_none());
    });
}

#[test]
fn pinned_element_is_not_another_keys_before_its_writer_is_done() {
    check(3, || {
        let w = world::<FreeLists>(MapType::Hash, 1);
        w.put(5, 50, 0).unwrap();
        let found = w.table.find(&key(5)).unwrap();
        let writer = {
            let w = w.clone();
            thread::spawn(move || {
                w.table.pool().pin(1, found.index());
                if w.table.is_still_pinned(found) {
                    w.value(found.index()).store(51, Ordering::Relaxed);
                }
                w.table.pool().unpin(1);
            })
        };
        assert!(w.delete(5, 0));
        let index = w.table.pool().take(0).unwrap();
        if !w.table.pool().is_pinned(index) {
            w.value(index).store(60, Ordering::Relaxed);
            assert_eq!(w.value(index).load(Ordering::Relaxed), 60);
            writer.join().unwrap();
            assert_eq!(
                w.value(index).load(Ordering::Relaxed),
                60,
                "written in place behind the new owner's back"
            );
        } else {
            writer.join().unwrap();
        }
    });
}

#[test]
fn evicted_element_is_one_writers_and_readers_see_values_of_their_key() {
    check(2, || {
        let w = world::<Clock>(MapType::LruHash, 2);
        w.put(5, 50, 0).unwrap();
        w.put(6, 60, 0).unwrap();
        let other = {
            let w = w.clone();
            thread::spawn(move || w.put(7, 70, 1).unwrap())
        };
        assert!(matches!(w.get(5), None | Some(50)));
        w.put(8, 80, 0).unwrap();
        other.join().unwrap();
        assert_eq!((w.get(7), w.get(8)), (Some(70), Some(80)), "each has its own element");
        assert_eq!(w.members(), 2);
    });
}

#[test]
fn element_that_is_deleted_and_evicted_at_once_goes_to_one() {
    check(2, || {
        let w = world::<Clock>(MapType::LruHash, 2);
        w.put(5, 50, 0).unwrap();
        w.put(6, 60, 0).unwrap();
        let deleter = {
            let w = w.clone();
            thread::spawn(move || {
                w.delete(5, 1);
                w.put(7, 70, 1)
            })
        };
        w.put(8, 80, 0).unwrap();
        deleter.join().unwrap().unwrap();
        assert!(w.members() <= 2);
        assert!(matches!(w.get(7), None | Some(70)) && matches!(w.get(8), None | Some(80)));
        assert!(w.get(7).is_some() || w.get(8).is_some());
    });
}

#[test]
fn lookups_that_mark_disturb_no_eviction() {
    check(3, || {
        let w = world::<Clock>(MapType::LruHash, 1);
        w.put(5, 50, 0).unwrap();
        let reader = {
            let w = w.clone();
            thread::spawn(move || {
                if let Some(found) = w.table.find(&key(5)) {
                    w.supply.mark_used(&w.table, found.index());
                }
            })
        };
        w.put(6, 60, 0).unwrap();
        reader.join().unwrap();
        assert_eq!((w.get(5), w.get(6), w.members()), (None, Some(60), 1));
    });
}
