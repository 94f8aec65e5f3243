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
        let word = self.root(index);
        let old = RootWord(word.load(Ordering::Relaxed));
        let new = RootWord::new(element, len, old.node());
        if new.0 != old.0 {
            word.store(new.0, Ordering::Release); // pairs with the loads in `find`
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
