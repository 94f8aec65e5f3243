//! A set by what its elements are told apart by: an open-addressed index over a list, so that a change takes the same time however many there are.
//!
//! The list has no order. Slots hold indices, at least half of them are empty, and an element that goes closes the gap behind it, so that searches end at the first
//! empty slot.

use super::key;
use crate::mem::{OutOfMemory, Vec};
use core::net::IpAddr;

/// No element.
const EMPTY: u32 = u32::MAX;

/// What can be in a set.
pub(super) trait Element {
    /// A number that is the same for the same element.
    fn hash(&self) -> usize;
    /// Whether it stands in the other's place.
    fn is_same(&self, other: &Self) -> bool;
}

/// A hash of an address and a number.
pub(super) fn hash(address: IpAddr, number: u64) -> usize {
    let key = key(address);
    let folded =
        (key >> 64) as u64 ^ (key as u64).rotate_left(32) ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    let wide = u128::from(folded ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93u64);
    ((wide >> 64) as u64 ^ wide as u64) as usize
}

/// Takes the first empty slot from a hash on; there is one.
fn occupy(slots: &mut [u32], hash: usize, index: u32) {
    let mask = slots.len() - 1;
    let mut places = (0..slots.len()).map(|step| hash.wrapping_add(step) & mask);
    if let Some(place) = places.find(|p| slots[*p] == EMPTY) {
        slots[place] = index;
    }
}

/// The set.
#[derive(Debug)]
pub(super) struct Set<T> {
    list: Vec<T>,
    /// A power of two, or none.
    slots: Vec<u32>,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set::new()
    }
}

impl<T> Set<T> {
    pub(super) const fn new() -> Set<T> {
        Set { list: Vec::new(), slots: Vec::new() }
    }

    /// All, in no order.
    pub(super) fn all(&self) -> &[T] {
        &self.list
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }
}

impl<T: Element> Set<T> {
    /// The slot of an element that stands in the place of this one, and its index.
    fn slot_of(&self, like: &T) -> Option<(usize, usize)> {
        let start = like.hash();
        for step in 0..self.slots.len() {
            let slot = start.wrapping_add(step) & self.mask();
            let index = *self.slots.get(slot)? as usize;
            if self.list.get(index)?.is_same(like) {
                return Some((slot, index));
            }
        }
        None
    }

    pub(super) fn find(&self, like: &T) -> Option<&T> {
        self.slot_of(like).and_then(|(_, index)| self.list.get(index))
    }

    /// Adds an element, or puts it in the place of the one that it is the same as.
    pub(super) fn put(&mut self, new: T) -> Result<(), OutOfMemory> {
        if let Some(old) = self.slot_of(&new).and_then(|(_, index)| self.list.get_mut(index)) {
            *old = new;
            return Ok(());
        }
        self.list.reserve(1)?;
        if 2 * (self.list.len() + 1) > self.slots.len() {
            let mut slots = Vec::filled(EMPTY, (4 * (self.list.len() + 1)).next_power_of_two())?;
            for (element, index) in self.list.iter().zip(0..) {
                occupy(&mut slots, element.hash(), index);
            }
            self.slots = slots;
        }
        occupy(&mut self.slots, new.hash(), self.list.len() as u32);
        self.list.push(new)
    }

    /// Removes the element that stands in the place of this one; whether there was one.
    pub(super) fn remove(&mut self, like: &T) -> bool {
        let Some((slot, index)) = self.slot_of(like) else { return false };
        self.close(slot);
        let last = self.list.len() - 1;
        if index != last
            && let Some((slot, _)) = self.list.get(last).and_then(|element| self.slot_of(element))
        {
            self.slots[slot] = index as u32;
        }
        self.list.swap_remove(index);
        true
    }

    /// Empties a slot; what was put behind it because it was taken moves up.
    fn close(&mut self, mut gap: usize) {
        let mask = self.mask();
        let mut slot = gap;
        loop {
            slot = (slot + 1) & mask;
            let index = self.slots[slot];
            let Some(element) = self.list.get(index as usize) else { break };
            // How far it is from where it would like to be, and how far the gap is in front of it.
            if slot.wrapping_sub(element.hash()) & mask >= slot.wrapping_sub(gap) & mask {
                self.slots[gap] = index;
                gap = slot;
            }
        }
        self.slots[gap] = EMPTY;
    }
}

impl<T: Element + Clone> Set<T> {
    pub(super) fn try_clone(&self) -> Result<Set<T>, OutOfMemory> {
        Ok(Set { list: Vec::from_slice(&self.list)?, slots: Vec::from_slice(&self.slots)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Number and value; many numbers have the same hash.
    #[derive(Clone)]
    struct Entry(u32, u32);

    impl Element for Entry {
        fn hash(&self) -> usize {
            (self.0 / 5) as usize * 3
        }

        fn is_same(&self, other: &Entry) -> bool {
            self.0 == other.0
        }
    }

    #[test]
    fn changes_in_any_order_leave_what_a_sorted_map_has() {
        let (mut set, mut model) = (Set::new(), BTreeMap::new());
        let mut random = 1u64;
        for turn in 0..40_000u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (random >> 33) as u32 % 400;
            // It grows, and shrinks, and grows again.
            if (random >> 60) as u32 % 8 < if turn / 4000 % 2 == 0 { 6 } else { 2 } {
                set.put(Entry(number, turn)).unwrap();
                model.insert(number, turn);
            } else {
                assert_eq!(set.remove(&Entry(number, 0)), model.remove(&number).is_some());
            }
            let asked = (random >> 20) as u32 % 400;
            assert_eq!(set.find(&Entry(asked, 0)).map(|e| e.1), model.get(&asked).copied());
            assert_eq!(set.all().len(), model.len());
        }
        let copy = set.try_clone().unwrap();
        assert!(
            model.iter().all(|(number, value)| copy.find(&Entry(*number, 0)).is_some_and(|e| e.1 == *value))
        );
    }
}
