//! Changes of a trie, under its lock: nodes that change are built anew and published by one store.
//!
//! ```text
//! insert (prefix of L bits below the root):
//!   walk down from the root word; at each pointer, at bit p:
//!     nothing there                             -> a path to L's cell, published here
//!     the node's skip differs from the prefix, or L's cell is inside the skip
//!                                               -> a fork at the first cell where they part, above a copy of the node with a shorter skip
//!     the node's cell is L's                    -> a copy with the element
//!     the way is not there                      -> a copy with a way to a path
//!     else follow the way
//! delete: a copy without the element; a node without items goes, and its parent gets a copy without the way; a node with one way and
//!         nothing else is joined with the node below, where the skips fit
//! ```

use super::node::{CELL, Draft, End, MAX_SKIP, Node, Skip};
use super::pool::Gone;
use super::{Bits, Long, RootWord, ShortWord, Trie, first, publish};
use crate::error::Errno;
use crate::maps::memory::store;
use crate::maps::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Most nodes of a path.
pub(super) const DEPTH: usize = 8 * super::MAX_DATA / CELL as usize + 2;

/// Where a node's number stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    Root(&'a AtomicU64),
    Way(&'a AtomicU32),
}

impl Place<'_> {
    fn get(self) -> u32 {
        match self {
            Place::Root(word) => RootWord(word.load(Ordering::Relaxed)).node(),
            Place::Way(word) => word.load(Ordering::Relaxed),
        }
    }

    fn publish(self, unit: u32) {
        match self {
            Place::Root(word) => {
                let old = RootWord(word.load(Ordering::Relaxed));
                // Release: pairs with the loads in `find`.
                word.store(RootWord::new(old.element(), old.len(), unit).0, Ordering::Release);
            }
            Place::Way(word) => publish(word, unit),
        }
    }
}

/// A step of a way down.
#[derive(Clone, Copy)]
pub(super) struct Step {
    unit: u32,
    /// The six bits that lead on.
    way: u32,
}

/// The way down to a prefix's element.
struct Path {
    steps: [Step; DEPTH],
    len: usize,
    end: End,
}

/// The six bits at `at`.
fn cell<B: Bits>(bits: &B, at: u32) -> u32 {
    first(bits.at(at), CELL) as u32
}

impl Trie {
    /// Where the cell of a prefix begins that is longer than the root's bits.
    pub(super) fn cell_of(&self, len: u32) -> u32 {
        self.root_bits + (len - self.root_bits - 1) / CELL * CELL
    }

    fn root_place<B: Bits>(&self, bits: &B) -> &AtomicU64 {
        self.root(first(bits.at(0), self.root_bits))
    }

    /// The word that names the element of exactly this prefix, longer than the root's bits.
    pub(super) fn exact<B: Bits>(&self, bits: &B, len: u32) -> Option<&AtomicU32> {
        let (mut at, to) = (self.root_bits, self.cell_of(len));
        let mut unit = Place::Root(self.root_place(bits)).get();
        loop {
            let node = self.pool.node(unit)?;
            let skip = node.skip();
            if !skip.fits(bits.at(at)) {
                return None;
            }
            at += skip.bits();
            if at == to {
                return node.end(End::new(cell(bits, at), len - at));
            }
            if at > to {
                return None;
            }
            unit = node.way(cell(bits, at))?.load(Ordering::Relaxed);
            at += CELL;
        }
    }

    /// The element of exactly this prefix, as index + 1; 0 for none.
    pub(super) fn exact_element<B: Bits>(&self, bits: &B, len: u32) -> u32 {
        if len <= self.root_bits {
            let word = self.short(1 << len | first(bits.at(0), len));
            return ShortWord(word.load(Ordering::Relaxed)).element();
        }
        self.exact(bits, len).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// # Safety
    /// `key` and `value` are readable for their sizes. The caller holds the lock.
    pub(super) unsafe fn insert(&self, key: *const u8, value: *const u8, flags: u64) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        let (len, data) = unsafe { self.split(key) };
        if len > self.max_bits {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's word.
        let bits = unsafe { Long::new(data, self.data_size) };
        let old = self.exact_element(&bits, len);
        match (old, flags) {
            (0, BPF_EXIST) => return Err(Errno::ENOENT),
            (0, _) if self.pool.entries().load(Ordering::Relaxed) >= self.max_entries => {
                return Err(Errno::ENOSPC);
            }
            (1.., BPF_NOEXIST) => return Err(Errno::EEXIST),
            _ => {}
        }
        self.pool.prepare()?;
        let new = self.pool.take_element().ok_or(Errno::ENOMEM)?;
        let element = self.pool.element(new).ok_or(Errno::ENOMEM)?;
        // SAFETY: an element that nobody reads, key and value 8-aligned; the caller's word for what is copied.
        unsafe {
            store(element, key, super::LENGTH_BYTES + self.data_size);
            store(self.values.of(new), value, self.value_size);
        }
        self.clear_front(&bits, len);
        let mut done = Ok(());
        if len <= self.root_bits {
            self.set_short(&bits, len, old, new);
        } else if old != 0 {
            if let Some(word) = self.exact(&bits, len) {
                publish(word, new);
            }
        } else {
            done = self.add(&bits, len, new);
        }
        self.refill_front(&bits, len);
        if let Err(e) = done {
            self.pool.free_element(new);
            return Err(e);
        }
        if old == 0 {
            self.count(&bits, len, 1);
        } else {
            self.pool.defer(&[Gone::Element(old)]);
        }
        Ok(())
    }

    /// One prefix more (1), or less (-1).
    fn count<B: Bits>(&self, bits: &B, len: u32, by: i32) {
        let all = bits.at(0);
        for short in 0..=len.min(self.root_bits) {
            let word = self.short(1 << short | first(all, short));
            let old = ShortWord(word.load(Ordering::Relaxed));
            let count = old.count().wrapping_add_signed(by);
            word.store(ShortWord::new(old.element(), count).0, Ordering::Relaxed);
        }
        let entries = self.pool.entries();
        entries.store(entries.load(Ordering::Relaxed).wrapping_add_signed(by), Ordering::Relaxed);
    }

    /// Sets the element of a short prefix (0: none), and what the root says of addresses that no longer short prefix covers.
    fn set_short<B: Bits>(&self, bits: &B, len: u32, old: u32, new: u32) {
        let all = bits.at(0);
        let word = self.short(1 << len | first(all, len));
        let count = ShortWord(word.load(Ordering::Relaxed)).count();
        // Release: pairs with the loads in `find_short`.
        word.store(ShortWord::new(new, count).0, Ordering::Release);
        let (best, best_len) = match new {
            0 => (0..len)
                .rev()
                .map(|l| (ShortWord(self.short(1 << l | first(all, l)).load(Ordering::Relaxed)).element(), l))
                .find(|(element, _)| *element != 0)
                .unwrap_or((0, 0)),
            new => (new, len),
        };
        let range = self.root_bits - len;
        let start = first(all, len) << range;
        for index in start..start + (1 << range) {
            let at = RootWord(self.root(index).load(Ordering::Relaxed));
            let covered = if old == 0 { at.element() == 0 || at.len() < len } else { at.element() == old };
            if covered {
                self.set_root(index, at, RootWord::new(best, best_len, at.node()));
            }
        }
    }

    /// A path of nodes from bit `at` to a prefix's cell, with its element.
    fn chain<B: Bits>(&self, bits: &B, at: u32, len: u32, element: u32) -> Option<u32> {
        let to = self.cell_of(len);
        // From below: the last node skips the most that it can.
        let mut skip = to.checked_sub(at)?.min(MAX_SKIP);
        let mut start = to - skip;
        let mut draft = Draft::new(Skip::new(bits.at(start), skip));
        draft.add_end(End::new(cell(bits, to), len - to), element);
        let mut unit = self.pool.make(&draft, false)?;
        while start > at {
            let here = start.saturating_sub(CELL).max(at);
            skip = (here - at).min(MAX_SKIP);
            start = here - skip;
            let mut draft = Draft::new(Skip::new(bits.at(start), skip));
            draft.add_way(cell(bits, here), unit);
            match self.pool.make(&draft, false) {
                Some(above) => unit = above,
                None => {
                    self.pool.unmake(unit);
                    return None;
                }
            }
        }
        Some(unit)
    }

    /// Adds a prefix that is not there, longer than the root's bits.
    fn add<B: Bits>(&self, bits: &B, len: u32, element: u32) -> Result<(), Errno> {
        let to = self.cell_of(len);
        let mut place = Place::Root(self.root_place(bits));
        let mut at = self.root_bits;
        loop {
            let unit = place.get();
            let Some(node) = self.pool.node(unit) else {
                place.publish(self.chain(bits, at, len, element).ok_or(Errno::ENOMEM)?);
                return Ok(());
            };
            let skip = node.skip();
            let same = (bits.at(at) ^ skip.window()).leading_zeros().min(skip.bits());
            let start = at + skip.bits();
            if same < skip.bits() || to < start {
                // Only memory that somebody else wrote to has a cell in front of this node.
                let fork = (at + same / CELL * CELL).min(to).max(at);
                let new = self.fork(bits, (at, fork), node, len, element).ok_or(Errno::ENOMEM)?;
                place.publish(new);
                self.pool.defer(&[Gone::Block(unit)]);
                return Ok(());
            }
            let way = cell(bits, start);
            let mut draft;
            if start == to {
                draft = Draft::copy_of(node);
                draft.add_end(End::new(way, len - to), element);
                place.publish(self.pool.make(&draft, false).ok_or(Errno::ENOMEM)?);
            } else if let Some(word) = node.way(way) {
                place = Place::Way(word);
                at = start + CELL;
                continue;
            } else {
                let below = self.chain(bits, start + CELL, len, element).ok_or(Errno::ENOMEM)?;
                draft = Draft::copy_of(node);
                draft.add_way(way, below);
                let Some(new) = self.pool.make(&draft, false) else {
                    self.pool.unmake(below);
                    return Err(Errno::ENOMEM);
                };
                place.publish(new);
            }
            self.pool.defer(&[Gone::Block(unit)]);
            return Ok(());
        }
    }

    /// A node at `fork`, which lies inside the skip of `node` (which begins at `at`): below it a copy of the node, and the new prefix.
    fn fork<B: Bits>(
        &self,
        bits: &B,
        (at, fork): (u32, u32),
        node: Node<'_>,
        len: u32,
        element: u32,
    ) -> Option<u32> {
        let skip = node.skip();
        let taken = fork - at;
        let rest = skip.bits().checked_sub(taken + CELL)?;
        let mut below = Draft::copy_of(node);
        below.skip = Skip::new(skip.window() << (taken + CELL), rest);
        let below = self.pool.make(&below, false)?;
        let mut draft = Draft::new(Skip::new(skip.window(), taken));
        draft.add_way(first(skip.window() << taken, CELL) as u32, below);
        let way = cell(bits, fork);
        let mut path = 0;
        if fork == self.cell_of(len) {
            draft.add_end(End::new(way, len - fork), element);
        } else {
            match self.chain(bits, fork + CELL, len, element) {
                Some(unit) => path = unit,
                None => {
                    self.pool.free_one(below);
                    return None;
                }
            }
            draft.add_way(way, path);
        }
        let made = self.pool.make(&draft, false);
        if made.is_none() {
            self.pool.unmake(path);
            self.pool.free_one(below);
        }
        made
    }

    /// # Safety
    /// `key` is readable for the key size. The caller holds the lock.
    pub(super) unsafe fn withdraw(&self, key: *const u8) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        let (len, data) = unsafe { self.split(key) };
        if len > self.max_bits {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's word.
        let bits = unsafe { Long::new(data, self.data_size) };
        let old = self.exact_element(&bits, len);
        if old == 0 {
            return Err(Errno::ENOENT);
        }
        self.pool.prepare()?;
        self.clear_front(&bits, len);
        let done = if len <= self.root_bits {
            self.set_short(&bits, len, old, 0);
            Ok(())
        } else {
            self.cut(&bits, len)
        };
        self.refill_front(&bits, len);
        done?;
        self.pool.defer(&[Gone::Element(old)]);
        self.count(&bits, len, -1);
        Ok(())
    }

    /// The nodes down to a prefix that is there.
    fn path<B: Bits>(&self, bits: &B, len: u32) -> Option<Path> {
        let none = Step { unit: 0, way: 0 };
        let mut path = Path { steps: [none; DEPTH], len: 0, end: End::Sixth(0) };
        let (mut at, to) = (self.root_bits, self.cell_of(len));
        let mut unit = Place::Root(self.root_place(bits)).get();
        loop {
            let node = self.pool.node(unit)?;
            at += node.skip().bits();
            let way = cell(bits, at);
            *path.steps.get_mut(path.len)? = Step { unit, way };
            path.len += 1;
            if at >= to {
                path.end = End::new(way, len.checked_sub(at)?);
                return Some(path);
            }
            unit = node.way(way)?.load(Ordering::Relaxed);
            at += CELL;
        }
    }

    /// Takes the element of a prefix out, and the nodes that nothing is left in.
    fn cut<B: Bits>(&self, bits: &B, len: u32) -> Result<(), Errno> {
        let path = self.path(bits, len).ok_or(Errno::ENOENT)?;
        let mut gone = [Gone::Block(0); DEPTH + 2];
        let mut nr_gone = 0;
        let mut take = |unit| {
            if let Some(place) = gone.get_mut(nr_gone) {
                *place = Gone::Block(unit);
                nr_gone += 1;
            }
        };
        let steps = path.steps.get(..path.len).unwrap_or_default();
        let (last, mut above) = steps.split_last().ok_or(Errno::ENOENT)?;
        let mut node = self.pool.node(last.unit).ok_or(Errno::ENOENT)?;
        let mut draft = Draft::copy_of(node);
        draft.remove_end(path.end);
        take(last.unit);
        while draft.len() == 0 {
            let Some((step, rest)) = above.split_last() else { break };
            node = self.pool.node(step.unit).ok_or(Errno::ENOENT)?;
            draft = Draft::copy_of(node);
            draft.remove_way(step.way);
            take(step.unit);
            above = rest;
        }
        if let Some((way, unit)) = draft.only_way()
            && let Some(below) = self.pool.node(unit)
            && draft.skip.bits() + CELL + below.skip().bits() <= MAX_SKIP
        {
            let here = draft.skip.bits();
            let joined = draft.skip.window()
                | u64::from(way) << (64 - CELL) >> here
                | below.skip().window() >> (here + CELL);
            let skip = Skip::new(joined, here + CELL + below.skip().bits());
            draft = Draft::copy_of(below);
            draft.skip = skip;
            take(unit);
        }
        let place = match above.split_last() {
            None => Place::Root(self.root_place(bits)),
            Some((step, _)) => {
                let node = self.pool.node(step.unit).ok_or(Errno::ENOENT)?;
                Place::Way(node.way(step.way).ok_or(Errno::ENOENT)?)
            }
        };
        let new = match draft.len() {
            0 => 0,
            _ => self.pool.make(&draft, true).ok_or(Errno::ENOMEM)?,
        };
        place.publish(new);
        self.pool.defer(gone.get(..nr_gone).unwrap_or_default());
        Ok(())
    }
}
