//! The table in front of a large trie of IPv4 addresses: what the first 24 bits say, in one word.
//!
//! ```text
//! word = n + 1  element n has the longest prefix of every address with these 24 bits
//! word = 0      no prefix covers them
//! word = ASK    ask the trie: longer prefixes begin with these 24 bits, or a writer is at work
//! ```
//!
//! It holds nothing that the trie does not, and ASK is right at any time. A writer, under the trie's lock, first sets the words to ASK whose answer changes, then
//! changes the trie, then gives those words their new answer. So a word never outlives what it says, and whoever dies on the way leaves what is still true, once
//! the words of the root are repaired as they are changed.
//!
//! A prefix longer than the root's bits has 32 words at most, and the trie is asked for each. A shorter one changes words of the root, and with each the 64 words here that
//! said what it said. The shortest prefixes change millions, as in every table of this kind: their writer holds the lock for milliseconds.
//! (One word for 24 bits: Gupta, Lin and McKeown, 1998.)

use super::node::CELL;
use super::{Bits, LENGTH_BYTES, RootWord, Trie, Word, first};
use crate::maps::MapSpec;
use crate::sync::{AtomicU32, Ordering};
use core::ptr::NonNull;

/// Bits of an address that a word stands for.
const BITS: u32 = 24;
/// The root's bits of a trie that has it.
pub(super) const ROOT_BITS: u32 = 18;
/// The trie has to be asked.
const ASK: u32 = u32::MAX;
/// Up to so many entries a trie is quick without it.
const LARGE: u32 = 65_536;

/// Bytes that it takes: none for tries that have none.
pub(super) fn bytes(spec: &MapSpec) -> usize {
    let is_large = spec.key_size as usize == LENGTH_BYTES + 4 && spec.max_entries > LARGE;
    if is_large { size_of::<AtomicU32>() << BITS } else { 0 }
}

/// A word for each value of the first 24 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front(NonNull<AtomicU32>);

impl Front {
    /// In a section of [`bytes`] bytes, which is not empty.
    pub(super) fn new(section: NonNull<u8>) -> Front {
        Front(section.cast())
    }

    /// The word of an address.
    #[inline(always)]
    pub(super) fn word(&self, address: u32) -> &AtomicU32 {
        // SAFETY: the section has a word for each value of 24 bits, and lives as long as the map.
        unsafe { self.0.add((address >> (32 - BITS)) as usize).as_ref() }
    }
}

/// The words that a prefix covers, as the addresses that they begin with.
fn covered(address: u32, len: u32) -> impl Iterator<Item = u32> {
    let len = len.min(BITS);
    let start = first(u64::from(address) << 32, len) << (BITS - len);
    (start..start + (1 << (BITS - len))).map(|n| (n as u32) << (32 - BITS))
}

impl Trie {
    /// The element of an IPv4 address, as index + 1; 0 for none. `None`: only the trie knows.
    #[inline(always)]
    pub(super) fn find_in_front(&self, front: Front, address: u32) -> Option<u32> {
        // Acquire: pairs with the stores below.
        let word = front.word(address).load(Ordering::Acquire);
        (word != ASK).then_some(word)
    }

    /// Sets a word of the root, and what follows from it here. The caller holds the lock.
    pub(super) fn set_root(&self, index: u64, old: RootWord, new: RootWord) {
        let address = |i: u64| ((index << (BITS - ROOT_BITS) | i) << (32 - BITS)) as u32;
        let mut changed = 0u64;
        if let Some(front) = &self.front
            && old.element() != new.element()
        {
            for i in 0..1 << (BITS - ROOT_BITS) {
                let word = front.word(address(i));
                if word.load(Ordering::Relaxed) == old.element() {
                    // Relaxed: whoever sees what is published afterwards, sees this.
                    word.store(ASK, Ordering::Relaxed);
                    changed |= 1 << i;
                }
            }
        }
        // Release: pairs with the loads in `find`.
        self.root(index).store(new.0, Ordering::Release);
        if let Some(front) = &self.front {
            for i in (0..1 << (BITS - ROOT_BITS)).filter(|i| changed >> i & 1 != 0) {
                // Release: the element's key and value come first. Pairs with the load in `find_in_front`.
                front.word(address(i)).store(new.element(), Ordering::Release);
            }
        }
    }

    /// A prefix is about to change. The caller holds the lock.
    pub(super) fn clear_front<B: Bits>(&self, bits: &B, len: u32) {
        let Some(front) = self.front.filter(|_| len > ROOT_BITS) else { return };
        for address in covered((bits.at(0) >> 32) as u32, len) {
            // Relaxed: whoever sees what is published afterwards, sees this.
            front.word(address).store(ASK, Ordering::Relaxed);
        }
    }

    /// A prefix has changed. The caller holds the lock.
    pub(super) fn refill_front<B: Bits>(&self, bits: &B, len: u32) {
        self.show_in_chunks(bits, len);
        let Some(front) = self.front.filter(|_| len > ROOT_BITS) else { return };
        for address in covered((bits.at(0) >> 32) as u32, len) {
            // Release: the element's key and value come first. Pairs with the load in `find_in_front`.
            front.word(address).store(self.front_word(address), Ordering::Release);
        }
    }

    /// What the trie says of all addresses with the first bits of this one.
    fn front_word(&self, address: u32) -> u32 {
        let bits = Word(u64::from(address) << 32);
        if self.leads_on(&bits) {
            return ASK;
        }
        self.find(&bits, BITS)
    }

    /// Whether a prefix of more than 24 bits begins with the first 24 of these.
    pub(super) fn leads_on(&self, bits: &Word) -> bool {
        let mut at = self.root_bits;
        let mut unit = RootWord(self.root(first(bits.at(0), at)).load(Ordering::Relaxed)).node();
        while let Some(node) = self.pool.node(unit) {
            let skip = node.skip();
            let rest = BITS.saturating_sub(at);
            if skip.bits() >= rest {
                // All that is below is longer, and begins with what is skipped.
                return first(skip.window(), rest) == first(bits.at(at), rest);
            }
            if !skip.fits(bits.at(at)) {
                return false;
            }
            at += skip.bits();
            let Some(way) = node.way(first(bits.at(at), CELL) as u32) else { return false };
            at += CELL;
            if at >= BITS {
                return true;
            }
            unit = way.load(Ordering::Relaxed);
        }
        false
    }
}
