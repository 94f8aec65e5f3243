//! Walking over all members, in the order of slots, while others insert and delete.
//!
//! A key stays in its slot until it is deleted. So a walk meets every key that is there throughout exactly once; keys that come or go meanwhile are met or
//! not. What a visitor gets was copied between two looks at the slot word. The number of slots bounds a walk.

use super::group::SLOTS;
use super::key::{self, Hash};
use super::word::{State, Word};
use super::{Found, Key, Place, RETRIES, Table};
use crate::sync::{AtomicU64, Ordering};
use core::ops::ControlFlow;

/// Bytes of a key that a visitor gets as a copy. Programs have no larger ones on their stack (`MAX_BPF_STACK`).
const COPIED_KEY: usize = 512;

/// A member met on a walk: which slot of the whole table, and what stood there.
#[derive(Clone, Copy, Debug)]
pub(in crate::maps) struct Member {
    nth: u64,
    word: Word,
}

impl Member {
    /// The number of its slot.
    pub(in crate::maps) fn nth(self) -> u64 {
        self.nth
    }

    pub(in crate::maps) fn index(self) -> u32 {
        self.word.index()
    }
}

impl Table {
    pub(in crate::maps) fn nr_slots(&self) -> u64 {
        u64::from(self.nr_buckets) * SLOTS as u64
    }

    /// The slot with that number, where there is one.
    fn nth_slot(&self, nth: u64) -> Option<&AtomicU64> {
        let number = u32::try_from(nth / SLOTS as u64).ok().filter(|n| *n < self.nr_buckets)?;
        self.bucket(number).words.get((nth % SLOTS as u64) as usize)
    }

    /// The first member at or behind a slot. A word that names no element is none.
    pub(in crate::maps) fn member_from(&self, from: u64) -> Option<Member> {
        (from..self.nr_slots()).find_map(|nth| {
            // Acquire: pairs with the exchange that published the element.
            let word = Word(self.nth_slot(nth)?.load(Ordering::Acquire));
            let is_member = word.state() == State::Member && self.pool.element(word.index()).is_some();
            is_member.then_some(Member { nth, word })
        })
    }

    /// Whether what was read of a member's element since it was met is the member's.
    pub(in crate::maps) fn is_still_member(&self, member: Member) -> bool {
        self.nth_slot(member.nth).is_some_and(|at| Self::still(at, member.word))
    }

    /// Copies a member's key; the caller asks [`Table::is_still_member`] afterwards.
    pub(in crate::maps) fn copy_key_of(&self, member: Member, out: &mut [u8]) {
        if let Some(element) = self.pool.element(member.index()) {
            // SAFETY: an element of this table; `out` has the key size, which callers have checked.
            unsafe { key::read_out(element, out) };
        }
    }

    /// Takes a member out of the table whose key, as copied and validated, is `key`. False: the slot has changed.
    pub(in crate::maps) fn remove_member<K: Key>(&self, member: Member, key: &K) -> bool {
        self.found(member, key.hash(self.secret)).is_some_and(|found| self.remove(found).is_ok())
    }

    /// The member as seen from the home that its hash names.
    fn found(&self, member: Member, hash: Hash) -> Option<Found> {
        let bucket = u32::try_from(member.nth / SLOTS as u64).ok()?;
        let home = hash.bucket(self.nr_buckets);
        let distance = if bucket >= home { bucket - home } else { bucket + (self.nr_buckets - home) };
        let nth = distance.checked_mul(SLOTS as u32)? + (member.nth % SLOTS as u64) as u32;
        Some(Found { place: Place { home, nth }, word: member.word })
    }

    /// Copies the first key at or behind a slot.
    fn key_from(&self, from: u64, out: &mut [u8]) -> bool {
        let mut at = from;
        let mut tries = 0;
        while let Some(member) = self.member_from(at) {
            self.copy_key_of(member, out);
            if self.is_still_member(member) {
                return true;
            }
            // The slot has changed under our eyes: look again, but not for ever.
            tries += 1;
            at = if tries % RETRIES == 0 { member.nth + 1 } else { member.nth };
        }
        false
    }

    /// Copies the first key in the order of slots.
    pub(in crate::maps) fn first(&self, out: &mut [u8]) -> bool {
        self.key_from(0, out)
    }

    /// Copies the key that follows `after` in the order of slots; the first one where `after` is nowhere.
    pub(in crate::maps) fn next<K: Key>(&self, after: &K, out: &mut [u8]) -> bool {
        let from = self.find(after).map_or(0, |found| {
            let bucket = self.behind(found.place.home, found.place.nth / SLOTS as u32);
            u64::from(bucket) * SLOTS as u64 + u64::from(found.place.nth) % SLOTS as u64 + 1
        });
        self.key_from(from, out)
    }

    /// Shows every member to `visit` until it breaks: the key, and the element's index. Returns how many it saw. The visitor may delete what it is shown.
    ///
    /// The key is a copy that the member had, for keys beyond [`COPIED_KEY`] the element's own.
    pub(in crate::maps) fn each(&self, mut visit: impl FnMut(*const u8, u32) -> ControlFlow<()>) -> u64 {
        let mut copy = [0u64; COPIED_KEY / 8];
        let mut seen = 0;
        let mut from = 0;
        while let Some(member) = self.member_from(from) {
            from = member.nth + 1;
            let Some(key) = self.key_for_visitor(member, &mut copy) else { continue };
            seen += 1;
            if visit(key, member.index()).is_break() {
                break;
            }
        }
        seen
    }

    /// The key to show, where the member still has it.
    fn key_for_visitor(&self, member: Member, copy: &mut [u64; COPIED_KEY / 8]) -> Option<*const u8> {
        if self.key_size > COPIED_KEY {
            return self.pool.element(member.index()).map(|e| e.cast());
        }
        let to = copy.as_mut_ptr().cast::<u8>();
        // SAFETY: the copy has room for the key size, as just checked.
        self.copy_key_of(member, unsafe { core::slice::from_raw_parts_mut(to, self.key_size) });
        self.is_still_member(member).then_some(to.cast_const())
    }
}
