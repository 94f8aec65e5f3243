//! The order of a trie's keys: what is more specific comes before what covers it, lower addresses before higher ones (post-order, the kernel's).
//!
//! The key after a prefix is found bit by bit: for each bit of it from the last to the first, the prefixes under its sibling, where it is the lower one, then the
//! prefix that ends before the bit. Whether there is any prefix under another is asked of the counts of short prefixes and of the nodes' bit maps.

use super::node::{CELL, Node};
use super::{Bits, Long, MAX_DATA, RootWord, ShortWord, Trie, first};
use crate::error::Errno;
use crate::maps::memory::load;
use crate::sync::Ordering;

/// A prefix on its way: address and length.
struct Cursor {
    data: [u8; MAX_DATA],
    len: u32,
}

impl Cursor {
    fn bit(&self, at: u32) -> bool {
        self.data.get(at as usize / 8).is_some_and(|b| b >> (7 - at % 8) & 1 != 0)
    }

    fn set_bit(&mut self, at: u32, one: bool) {
        if let Some(byte) = self.data.get_mut(at as usize / 8) {
            let mask = 1 << (7 - at % 8);
            if one { *byte |= mask } else { *byte &= !mask }
        }
    }
}

impl Bits for Cursor {
    fn at(&self, at: u32) -> u64 {
        // SAFETY: the array lives over the call.
        unsafe { Long::new(self.data.as_ptr(), MAX_DATA) }.at(at)
    }
}

/// Whether a node has anything under the first `len` (1 to 5) of the bits `way`.
fn any_inside(node: Node<'_>, way: u32, len: u32) -> bool {
    let ways = (u64::MAX >> (64 - (1u32 << (CELL - len)))) << (way >> (CELL - len) << (CELL - len));
    let heap = 1 << len | way >> (CELL - len);
    let inner = (0..CELL - len).fold(0, |all, deeper| {
        let lowest = heap << deeper;
        all | (u64::MAX >> (64 - (1u32 << deeper))) << lowest
    });
    (node.ways() | node.ends()) & ways != 0 || node.inner() & inner != 0
}

impl Trie {
    /// Whether there is a prefix of at least `c.len` bits that begins with the first `c.len` bits of `c`.
    fn any(&self, c: &Cursor) -> bool {
        let len = c.len;
        if len <= self.root_bits {
            let word = self.short(1 << len | first(c.at(0), len));
            return ShortWord(word.load(Ordering::Relaxed)).count() != 0;
        }
        let mut at = self.root_bits;
        let mut unit = RootWord(self.root(first(c.at(0), self.root_bits)).load(Ordering::Relaxed)).node();
        while let Some(node) = self.pool.node(unit) {
            let skip = node.skip();
            let same = (c.at(at) ^ skip.window()).leading_zeros().min(skip.bits());
            if same < skip.bits().min(len - at) {
                return false;
            }
            at += skip.bits();
            if len <= at {
                return true;
            }
            let way = first(c.at(at), CELL) as u32;
            if len - at < CELL {
                return any_inside(node, way, len - at);
            }
            if len - at == CELL {
                return (node.ways() | node.ends()) >> way & 1 != 0;
            }
            let Some(word) = node.way(way) else { return false };
            unit = word.load(Ordering::Relaxed);
            at += CELL;
        }
        false
    }

    /// Goes to the first prefix under `c`, which has some.
    fn descend(&self, c: &mut Cursor) {
        while c.len < self.max_bits {
            let at = c.len;
            c.len = at + 1;
            c.set_bit(at, false);
            if self.any(c) {
                continue;
            }
            c.set_bit(at, true);
            if self.any(c) {
                continue;
            }
            c.set_bit(at, false);
            c.len = at;
            return;
        }
    }

    /// Goes to the prefix after `c`; false after the last.
    fn advance(&self, c: &mut Cursor) -> bool {
        while let Some(at) = c.len.checked_sub(1) {
            if !c.bit(at) {
                c.set_bit(at, true);
                if self.any(c) {
                    self.descend(c);
                    return true;
                }
            }
            c.set_bit(at, false);
            c.len = at;
            if self.exact_element(c, at) != 0 {
                return true;
            }
        }
        false
    }

    /// Copies the key after `key` out, as it was given; the first one for `None` or a prefix that is not there.
    pub(super) fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        if self.pool.entries().load(Ordering::Relaxed) == 0 {
            return Err(Errno::ENOENT);
        }
        let mut c = Cursor { data: [0; MAX_DATA], len: 0 };
        let from =
            key.and_then(|k| k.split_first_chunk()).map(|(len, data)| (u32::from_le_bytes(*len), data));
        let known = match from {
            Some((len, data)) if len <= self.max_bits => {
                for (to, from) in c.data.iter_mut().zip(data) {
                    *to = *from;
                }
                for at in len..(len.next_multiple_of(8)).min(self.max_bits) {
                    c.set_bit(at, false);
                }
                c.len = len;
                self.exact_element(&c, len) != 0
            }
            _ => false,
        };
        if !known {
            c.len = 0;
            self.descend(&mut c);
        } else if !self.advance(&mut c) {
            return Err(Errno::ENOENT);
        }
        let element = self.pool.element(self.exact_element(&c, c.len)).ok_or(Errno::ENOENT)?;
        // SAFETY: an element begins with its key, 8-aligned; `out` has the key size, as `control` checked.
        unsafe { load(out.as_mut_ptr(), element, out.len()) };
        Ok(())
    }
}
