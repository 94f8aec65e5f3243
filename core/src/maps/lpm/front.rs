//! The table in front of a large trie of IPv4 addresses: what the first 24 bits say, in one word.
//!
//! ```text
//! word = 0      no prefix longer than the root's bits covers these 24 bits or begins with them: the root's word has the answer
//! word = n + 1  element n has the longest prefix of every address with these 24 bits, longer than the root's bits
//! word = ASK    ask the trie: longer prefixes begin with these 24 bits, or a writer is at work
//! ```
//!
//! It holds nothing that the trie does not, and ASK is right at any time. A writer, under the trie's lock, first sets the words to ASK that its prefix covers, then
//! changes the trie, then asks the trie for those words anew. So a word never outlives what it says, and whoever dies on the way leaves what is still true:
//! there is nothing to repair. Prefixes that the root's words name do not concern it, so that a change writes 32 words at most.
//!
//! A lookup loads both words, and neither depends on the other nor on a branch that is hard to foresee: lookups of many addresses overlap. An answer of the root's
//! counts only if its word is the same before and after the front's was read: then there was a moment at which both said so.
//! (One word for 24 bits: Gupta, Lin and McKeown, 1998.)

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
        let root = self.root(u64::from(address >> (32 - ROOT_BITS)));
        // Acquire: pairs with the stores that publish elements, and keeps the three loads in order.
        let before = root.load(Ordering::Acquire);
        // Acquire: pairs with the store in `refill_front`.
        let word = front.word(address).load(Ordering::Acquire);
        let after = root.load(Ordering::Relaxed);
        let found = core::hint::select_unpredictable(word == 0, RootWord(before).element(), word);
        (word != ASK && before == after).then_some(found)
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
        let found = self.find(&bits, BITS);
        let len = self.pool.element(found).map_or(0, |element| {
            // SAFETY: an element begins with its key, and a key with its length; 8-aligned.
            unsafe { (*element.cast::<AtomicU32>()).load(Ordering::Relaxed) }
        });
        if len > ROOT_BITS { found } else { 0 }
    }

    /// Whether a prefix of more than 24 bits begins with the first 24 of these.
    fn leads_on(&self, bits: &Word) -> bool {
        let unit = RootWord(self.root(first(bits.at(0), ROOT_BITS)).load(Ordering::Relaxed)).node();
        let Some(node) = self.pool.node(unit) else { return false };
        let rest = BITS - ROOT_BITS;
        match node.skip() {
            // The node's own cell begins here, and ends with the 24th bit.
            skip if skip.bits() == 0 => node.way(first(bits.at(ROOT_BITS), rest) as u32).is_some(),
            skip => first(skip.window(), rest) == first(bits.at(ROOT_BITS), rest),
        }
    }
}
