//! A list whose elements are found by what tells them apart: an element is put, replaced and removed in the same time however many there are.
//!
//! Elements lie side by side, in no order that means anything; beside them an open-addressed table of their places, at least half of it empty. A removed element's
//! place is filled by the last one, and the entries behind its own move up, so that no search meets a gap.

use crate::error::Errno;
use crate::mem::Vec;

/// What elements are told apart by.
pub(super) trait Keyed {
    /// Equal for elements that are the same one.
    fn hash(&self) -> u64;
    /// Whether one takes the place of the other.
    fn is_same(&self, other: &Self) -> bool;
}

/// No element.
const EMPTY: u32 = u32::MAX;

/// The list.
#[derive(Debug)]
pub(super) struct Indexed<T> {
    items: Vec<T>,
    /// Indices of `items`; a power of two, or none.
    slots: Vec<u32>,
}

impl<T> Default for Indexed<T> {
    fn default() -> Self {
        Indexed::new()
    }
}

impl<T> Indexed<T> {
    pub(super) const fn new() -> Indexed<T> {
        Indexed { items: Vec::new(), slots: Vec::new() }
    }

    pub(super) fn items(&self) -> &[T] {
        &self.items
    }
}

impl<T: Keyed> Indexed<T> {
    /// Adds an element, in place of the same one.
    ///
    /// # Errors
    /// ENOMEM; nothing changes then.
    pub(super) fn put(&mut self, new: T) -> Result<(), Errno> {
        let found = self.slot_of(&new).and_then(|slot| self.slots.get(slot)).copied();
        if let Some(old) = found.and_then(|at| self.items.get_mut(at as usize)) {
            *old = new;
            return Ok(());
        }
        let at = u32::try_from(self.items.len()).ok().filter(|at| *at != EMPTY).ok_or(Errno::ENOMEM)?;
        if 2 * (self.items.len() + 1) > self.slots.len() {
            self.grow()?;
        }
        let hash = new.hash();
        self.items.push(new)?;
        self.note(hash, at);
        Ok(())
    }

    /// Removes the element that is the same as this one.
    ///
    /// # Errors
    /// ENOENT where there is none.
    pub(super) fn remove(&mut self, wanted: &T) -> Result<(), Errno> {
        let slot = self.slot_of(wanted).ok_or(Errno::ENOENT)?;
        let at = self.slots[slot];
        let last = self.items.len() as u32 - 1;
        // The last element's entry, before anything moves.
        let moved = self.items.last().and_then(|item| self.slot_of(item));
        if let Some(moved) = moved.filter(|_| at != last) {
            self.slots[moved] = at;
        }
        self.items.swap_remove(at as usize);
        self.close(slot);
        Ok(())
    }

    /// The slot of an element.
    fn slot_of(&self, wanted: &T) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = wanted.hash() as usize & mask;
        loop {
            let item = self.items.get(*self.slots.get(slot)? as usize)?;
            if item.is_same(wanted) {
                return Some(slot);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Notes where an element is; there is an empty slot.
    fn note(&mut self, hash: u64, at: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = at;
    }

    fn grow(&mut self) -> Result<(), Errno> {
        self.slots = Vec::filled(EMPTY, (4 * (self.items.len() + 1)).next_power_of_two())?;
        for i in 0..self.items.len() {
            self.note(self.items[i].hash(), i as u32);
        }
        Ok(())
    }

    /// Empties a slot: entries behind it that would not be found any more move up.
    fn close(&mut self, mut gap: usize) {
        let mask = self.slots.len() - 1;
        let mut slot = gap;
        loop {
            slot = (slot + 1) & mask;
            let at = self.slots[slot];
            let Some(item) = self.items.get(at as usize) else { break };
            let home = item.hash() as usize & mask;
            // As far from home as from the gap, or farther: a search from home passes the gap.
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(gap) & mask {
                self.slots[gap] = at;
                gap = slot;
            }
        }
        self.slots[gap] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with few hashes, so that searches meet each other.
    #[derive(Clone, Debug, PartialEq)]
    struct Pair(u64, u64);

    impl Keyed for Pair {
        fn hash(&self) -> u64 {
            self.0 * self.0 % 13
        }
        fn is_same(&self, other: &Pair) -> bool {
            self.0 == other.0
        }
    }

    #[test]
    fn elements_are_those_of_a_map_whatever_was_put_and_removed() {
        let mut state = 5u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let (mut list, mut map) = (Indexed::new(), std::collections::BTreeMap::new());
        for round in 0..20_000u64 {
            let key = next() % 60;
            if next() % 2 == 0 {
                list.put(Pair(key, round)).unwrap();
                map.insert(key, round);
            } else {
                assert_eq!(list.remove(&Pair(key, 0)).is_ok(), map.remove(&key).is_some());
            }
            let mut items: std::vec::Vec<_> = list.items().iter().map(|p| (p.0, p.1)).collect();
            items.sort_unstable();
            assert_eq!(items, map.iter().map(|(k, v)| (*k, *v)).collect::<std::vec::Vec<_>>());
        }
    }
}
