//! Putting a trie in order whose writer died under the lock.
//!
//! Nodes are published by one store each, so that the trie itself is whole: with the change or without it. What may be half done is a copy of the truth:
//! which short prefix the words of the root name, how many prefixes there are under each, and which memory is free. All of that is told anew from the short prefixes
//! and the nodes, in the time of a walk over all of them. Readers go on; a repair that is cut off is begun again by whoever takes the lock next.

use super::node::units_for;
use super::update::DEPTH;
use super::{RootWord, ShortWord, Trie};
use crate::sync::Ordering;

const _: () = assert!(units_for(0) == 1);

impl Trie {
    /// The caller holds the lock.
    #[cold]
    pub(super) fn repair(&self) {
        self.pool.clear_marks();
        for index in 0..1u64 << self.root_bits {
            self.repair_root(index);
        }
        for heap in (1..2u64 << self.root_bits).rev() {
            let word = self.short(heap);
            let element = ShortWord(word.load(Ordering::Relaxed)).element();
            let own = self.pool.mark_element(element);
            let below = if heap >> self.root_bits == 0 {
                let count = |h| ShortWord(self.short(h).load(Ordering::Relaxed)).count();
                count(2 * heap).wrapping_add(count(2 * heap + 1))
            } else {
                self.survey(RootWord(self.root(heap - (1 << self.root_bits)).load(Ordering::Relaxed)).node())
            };
            let count = below.wrapping_add(own.into());
            // Release: as every store of a short prefix, though the element is the same.
            word.store(ShortWord::new(if own { element } else { 0 }, count).0, Ordering::Release);
        }
        let entries = ShortWord(self.short(1).load(Ordering::Relaxed)).count();
        self.pool.entries().store(entries, Ordering::Relaxed);
        self.pool.free_unmarked();
    }

    /// A word of the root names the longest short prefix that covers it.
    fn repair_root(&self, index: u64) {
        let element = |len: u32| {
            let word = self.short(1 << len | index >> (self.root_bits - len)).load(Ordering::Relaxed);
            ShortWord(word).element()
        };
        let best = (0..=self.root_bits).rev().map(|len| (element(len), len));
        let (element, len) = best.into_iter().find(|(e, _)| *e != 0).unwrap_or((0, 0));
        let old = RootWord(self.root(index).load(Ordering::Relaxed));
        let new = RootWord::new(element, len, old.node());
        if new.0 != old.0 {
            self.set_root(index, old, new);
        }
    }

    /// Marks the nodes from `unit` down, and their elements; how many prefixes they have. A node that is met twice, which only a hostile peer brings about, is
    /// not entered again.
    fn survey(&self, unit: u32) -> u32 {
        let mut path = [(0, 0); DEPTH];
        let mut depth = 0;
        let mut prefixes = 0u32;
        let mut next = Some(unit);
        loop {
            if let Some(unit) = next.take()
                && let Some(place) = path.get_mut(depth)
                && self.pool.mark_node(unit)
            {
                prefixes = prefixes.wrapping_add(self.mark_ends(unit));
                *place = (unit, 0);
                depth += 1;
            }
            let Some((unit, way)) = depth.checked_sub(1).and_then(|d| path.get_mut(d)) else {
                return prefixes;
            };
            match self.pool.node(*unit) {
                Some(node) if *way < node.ways().count_ones() => {
                    next = Some(node.item(*way).load(Ordering::Relaxed));
                    *way += 1;
                }
                _ => depth -= 1,
            }
        }
    }

    /// Marks the elements of a node; how many.
    fn mark_ends(&self, unit: u32) -> u32 {
        let Some(node) = self.pool.node(unit) else { return 0 };
        let ways = node.ways().count_ones();
        let ends = node.ends().count_ones() + (node.inner() & !0b11).count_ones();
        for nth in ways..ways + ends {
            self.pool.mark_element(node.item(nth).load(Ordering::Relaxed));
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Errno;
    use crate::maps::memory::test_heap::Heap;
    use crate::maps::spec::flags::BPF_F_NO_PREALLOC;
    use crate::maps::tests::Random;
    use crate::maps::{Arc, Map, MapType, tests};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn trie(key_size: u32, max_entries: u32) -> Arc<Map> {
        let spec = tests::spec(MapType::LpmTrie, key_size, 8, max_entries).with_flags(BPF_F_NO_PREALLOC);
        Map::create("t", 1, &spec, &tests::config(Heap::leaked())).unwrap()
    }

    fn key(size: u32, random: &mut Random) -> Vec<u8> {
        let bits = (size - 4) * 8;
        let len = [8, 12, 20, bits - 1, bits, bits, random.below(u64::from(bits) + 1) as u32]
            [random.below(7) as usize]
            .min(bits);
        let mut key = std::vec![0; size as usize];
        key[..4].copy_from_slice(&len.to_le_bytes());
        for at in 0..len {
            if random.below(4) == 0 {
                key[4 + at as usize / 8] |= 0x80 >> (at % 8);
            }
        }
        key
    }

    /// At any time a repair finds the same prefixes, the same order of them, and all memory that they do not take.
    #[test]
    fn a_repair_changes_no_answer_and_loses_no_memory() {
        for (size, entries) in [(8, 40), (8, 3000), (12, 192), (20, 300)] {
            let map = trie(size, entries);
            let mut model = BTreeMap::new();
            let mut random = Random(u64::from(size) * 77 + u64::from(entries));
            for turn in 0..8 * u64::from(entries) {
                let key = key(size, &mut random);
                let value = turn.to_le_bytes();
                if random.below(3) == 0 {
                    assert_eq!(map.delete_elem(0, &key).is_ok(), model.remove(&key).is_some());
                } else {
                    match map.update_elem(0, &key, &value, 0) {
                        Ok(()) => _ = model.insert(key, value),
                        Err(e) => assert_eq!((e, model.len()), (Errno::ENOSPC, entries as usize)),
                    }
                }
                if turn % 40 == 0 {
                    map.control_ops().unwrap().repair_for_test();
                    let mut out = [0; 8];
                    for (key, value) in &model {
                        assert_eq!(map.lookup_elem(key, &mut out, 0), Ok(()), "turn {turn}: {key:?}");
                        assert_eq!(out, *value, "turn {turn}: {key:?}");
                    }
                    let (mut at, mut n) = (None, 0);
                    let mut next = std::vec![0; size as usize];
                    while map.next_key(at.as_deref(), &mut next).is_ok() {
                        assert!(model.contains_key(&next), "turn {turn}");
                        (at, n) = (Some(next.clone()), n + 1);
                    }
                    assert_eq!(n, model.len());
                }
            }
            assert!(model.len() > entries as usize / 3);
        }
    }
}
