//! The table in front of a small trie of IPv4 addresses: a word for the first 16 bits, and a cache line for the 17th to the 24th where they matter.
//!
//! ```text
//! word = n + 1   element n has the longest prefix of every address with these 16 bits; 0: none has one
//! word = !c      negative: chunk c says it for each value of the next eight bits
//! word = ASK     ask the trie
//! ```
//!
//! A chunk has a leaf for each *run* of values with one answer, and a bit map of where runs end; the leaf of a value is found by counting the ends from there on (ranges as in
//! DXR, Zec, Rizzo and Mikuc 2012), so that leaves stand in the order from the last run to the first. A leaf is what a word is, without chunks. One line holds thirteen runs; what has
//! more takes nine lines. Words stand in the order of the address's two bytes as this machine loads them, so that a reader takes them from the key as they are.
//!
//! It holds nothing that the trie does not, and "ask" is right at any time. A writer, under the trie's lock, changes the trie first and then what stands here, before the
//! element that is no answer any more is deferred. Where runs end in a chunk never changes while a word names it: a change of that makes another chunk, and the old one waits
//! for a grace period like the nodes of the trie. Leaves change in place, each by one store. So a reader reads a word, a line and a leaf, and asks nothing twice.
//!
//! Only a map of one process has it: elements and chunks wait for grace periods there, so that an answer's element is whole for whoever got it.

use super::pool::Gone;
use super::{Bits, LENGTH_BYTES, SMALL, TINY, Trie, Word};
use crate::maps::MapSpec;
use crate::maps::layout::CACHE_LINE;
use crate::sync::{
    AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use core::ops::Range;
use core::ptr::NonNull;

/// Bits of an address that have a word.
const WORD_BITS: u32 = 16;
const WORDS: usize = 1 << WORD_BITS;
/// Bits of an address that chunks know.
const BITS: u32 = 24;
/// Values of a chunk's eight bits.
const CELLS: u32 = 1 << (BITS - WORD_BITS);
/// The trie has to be asked: longer prefixes begin with these bits, or there was no chunk.
const ASK: u16 = i16::MAX.cast_unsigned();
/// Runs that one line holds.
const NARROW: usize = 13;
/// Lines beyond one for each prefix, for what waits for a grace period.
const SPARE: u32 = 64;
/// Lines of a chunk that holds any number of runs.
const WIDE_LINES: u32 = 9;
/// The root's bits of a trie that has it: the root is seldom asked.
pub(super) const ROOT_BITS: u32 = 6;

/// Lines behind the last, for a leaf with any number that can be reckoned.
const PADDING: u32 = 11;

const _: () = {
    let leaves = core::mem::offset_of!(Chunk, leaves);
    assert!(size_of::<Chunk>() == CACHE_LINE);
    assert!(leaves + 2 * (CELLS as usize + 1) <= WIDE_LINES as usize * CACHE_LINE);
    assert!(leaves + 2 * (u8::MAX as usize + 64 + 1) <= PADDING as usize * CACHE_LINE);
};

/// Whether a trie has it.
pub(super) fn are_for(spec: &MapSpec) -> bool {
    let entries = TINY + 1..=SMALL;
    spec.key_size as usize == LENGTH_BYTES + 4 && entries.contains(&spec.max_entries)
}

fn lines(spec: &MapSpec) -> u32 {
    spec.max_entries + SPARE
}

/// Bytes that it takes: none for tries that have none.
pub(super) fn bytes(spec: &MapSpec) -> usize {
    match are_for(spec) {
        true => CACHE_LINE + 2 * WORDS + (lines(spec) + PADDING) as usize * CACHE_LINE,
        false => 0,
    }
}

/// What is free, the writer's, under the lock.
#[repr(C, align(64))]
struct Supply {
    /// Chunks of one line that were ever given out, from the first line on.
    narrow: AtomicU32,
    /// Lines that wide chunks ever took, from the last line down.
    wide: AtomicU32,
    /// Lists of free ones, by chunk + 1.
    free_narrow: AtomicU32,
    free_wide: AtomicU32,
}

/// The answers for the addresses with the same first 16 bits.
#[repr(C, align(64))]
struct Chunk {
    /// A bit for each cell in which a run ends; the last is always set.
    ends: [AtomicU64; 4],
    /// For each of those words: runs that end behind it.
    after: [AtomicU8; 4],
    /// The runs' answers from the second on, the last run's first; a wide chunk's go on in the lines behind. Of a free chunk the first two are the link.
    leaves: [AtomicU16; 1 + NARROW],
}

impl Chunk {
    fn ends_at(&self, cell: usize) -> bool {
        self.ends[cell / 64 % 4].load(Relaxed) >> (cell % 64) & 1 != 0
    }
}

/// An answer for each cell.
type Leaves = [u16; CELLS as usize];

/// Whether a run ends in a cell.
fn is_end(leaves: &Leaves, cell: usize) -> bool {
    leaves.get(cell + 1) != leaves.get(cell)
}

fn leaf_of(leaves: &Leaves, cell: usize) -> u16 {
    leaves.get(cell).copied().unwrap_or(ASK)
}

/// The ends in 64 cells, a bit each.
fn ends_of(leaves: &Leaves, nth: usize) -> u64 {
    (0..64).map(|bit| u64::from(is_end(leaves, 64 * nth + bit)) << bit).sum()
}

/// The line that a word names.
fn line_of(word: u16) -> Option<u32> {
    (word.cast_signed() < 0).then_some(u32::from(!word))
}

/// The table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    supply: NonNull<Supply>,
    words: NonNull<AtomicU16>,
    chunks: NonNull<Chunk>,
    lines: u32,
    /// The highest answer that is one.
    elements: u32,
}

impl Chunks {
    /// In a section of [`bytes`] bytes, which is not empty and starts on a cache line.
    pub(super) fn new(section: NonNull<u8>, spec: &MapSpec, elements: u32) -> Chunks {
        // SAFETY: offsets within the section.
        let (words, chunks) = unsafe { (section.add(CACHE_LINE), section.add(CACHE_LINE + 2 * WORDS)) };
        let elements = elements.min(u32::from(ASK - 1));
        Chunks {
            supply: section.cast(),
            words: words.cast(),
            chunks: chunks.cast(),
            lines: lines(spec),
            elements,
        }
    }

    fn supply(&self) -> &Supply {
        // SAFETY: the section begins with it, zeroed, and lives as long as the map.
        unsafe { self.supply.as_ref() }
    }

    /// The word of the two bytes that an address begins with, as a key has them.
    #[inline(always)]
    fn word_of(&self, bytes: u16) -> &AtomicU16 {
        // SAFETY: there is a word for each value of 16 bits.
        unsafe { self.words.add(bytes.into()).as_ref() }
    }

    fn word(&self, address: u32) -> &AtomicU16 {
        self.word_of(((address >> (32 - WORD_BITS)) as u16).to_be())
    }

    /// The chunk at a line.
    #[inline(always)]
    fn chunk(&self, line: u32) -> &Chunk {
        debug_assert!(line < self.lines, "lines come from `take`");
        // SAFETY: `take` gave the line out, or it is 0; nobody but this process writes the memory of such a map.
        unsafe { self.chunks.add(line as usize).as_ref() }
    }

    /// A run's leaf: the last run's is number 1. Of memory that is no chunk it may be any.
    #[inline(always)]
    fn leaf<'a>(&self, chunk: &'a Chunk, nth: usize) -> &'a AtomicU16 {
        let leaves = (&raw const *chunk).cast::<u8>().wrapping_add(core::mem::offset_of!(Chunk, leaves));
        // SAFETY: the lines of a wide chunk or PADDING lines follow each line of the section; they hold as many leaves as `find` reckons at most.
        unsafe { &*leaves.cast::<AtomicU16>().add(nth) }
    }

    /// The element of an address, as index + 1; 0 for none. `None`: only the trie knows.
    /// `bytes` are its first two as a key has them, `cell` is the third.
    #[inline(always)]
    pub(super) fn find(&self, bytes: u16, cell: u8) -> Option<u32> {
        // Acquire: pairs with the store in `publish`.
        let word = i32::from(self.word_of(bytes).load(Acquire).cast_signed());
        // All ones where there is a chunk; the first one is looked at where there is none. No jump: which words have one is what nobody could foretell.
        let is_chunk = word >> 31;
        let chunk = self.chunk((!word & is_chunk).cast_unsigned());
        let nth = usize::from(cell / 64);
        let ends = chunk.ends[nth].load(Relaxed) >> (cell % 64);
        let run = usize::from(chunk.after[nth].load(Relaxed)) + ends.count_ones() as usize;
        // Acquire: pairs with the store in `set_leaf`.
        let leaf = i32::from(self.leaf(chunk, run).load(Acquire));
        let answer = (word ^ (word ^ leaf) & is_chunk).cast_unsigned();
        (answer <= self.elements).then_some(answer)
    }

    /// The words that a prefix covers, as the addresses that they begin with.
    fn covered(address: u32, len: u32) -> impl Iterator<Item = u32> {
        let step = 1 << (32 - WORD_BITS);
        let first = address & u32::MAX.checked_shl(32 - len.min(WORD_BITS)).unwrap_or(0);
        (0..1u32 << (WORD_BITS - len.min(WORD_BITS))).map(move |n| first + n * step)
    }

    /// Release: the element's key and value come first. Pairs with the load in `find`.
    fn set_leaf(&self, chunk: &Chunk, nth: usize, leaf: u16) {
        self.leaf(chunk, nth).store(leaf, Release);
    }

    /// Release: the element's key and value, or the chunk, come first. Pairs with the load in `find`.
    fn publish(&self, address: u32, word: u16) {
        self.word(address).store(word, Release);
    }

    /// The cells of a chunk.
    fn read(&self, chunk: &Chunk, out: &mut Leaves) {
        let (mut runs, mut leaf) = (0, ASK);
        for (cell, out) in out.iter_mut().enumerate().rev() {
            if chunk.ends_at(cell) {
                runs += 1;
                leaf = self.leaf(chunk, runs).load(Relaxed);
            }
            *out = leaf;
        }
    }

    /// Makes a chunk that no word names.
    fn write(&self, chunk: &Chunk, leaves: &Leaves) {
        let mut runs = 0;
        for (nth, (ends, after)) in chunk.ends.iter().zip(&chunk.after).enumerate().rev() {
            after.store(runs as u8, Relaxed);
            ends.store(ends_of(leaves, nth), Relaxed);
            for cell in (64 * nth..64 * (nth + 1)).rev().filter(|cell| is_end(leaves, *cell)) {
                runs += 1;
                self.set_leaf(chunk, runs, leaf_of(leaves, cell));
            }
        }
    }

    /// Makes the answers of a chunk others, where runs end as they do already.
    fn rewrite(&self, chunk: &Chunk, leaves: &Leaves) -> bool {
        if (0..).zip(&chunk.ends).any(|(nth, ends)| ends.load(Relaxed) != ends_of(leaves, nth)) {
            return false;
        }
        let ends = (0..leaves.len()).rev().filter(|cell| is_end(leaves, *cell));
        (1..).zip(ends).for_each(|(nth, cell)| self.set_leaf(chunk, nth, leaf_of(leaves, cell)));
        true
    }

    /// Makes the answer of each run what `answer` says of its last cell and the answer before.
    fn change_runs(&self, chunk: &Chunk, answer: impl Fn(u32, u16) -> u16) {
        for (nth, cell) in (1..).zip((0..CELLS).rev().filter(|cell| chunk.ends_at(*cell as usize))) {
            let old = self.leaf(chunk, nth).load(Relaxed);
            self.set_leaf(chunk, nth, answer(cell, old));
        }
    }

    /// Whether the chunk at a line has nine of them.
    fn is_wide(&self, line: u32) -> bool {
        line >= self.lines.saturating_sub(self.supply().wide.load(Relaxed))
    }

    /// A chunk of which nobody knows.
    fn take(&self, wide: bool) -> Option<u32> {
        let s = self.supply();
        let list = if wide { &s.free_wide } else { &s.free_narrow };
        if let Some(line) = list.load(Relaxed).checked_sub(1).filter(|line| *line < self.lines) {
            let [low, high, ..] = &self.chunk(line).leaves;
            list.store(u32::from(low.load(Relaxed)) | u32::from(high.load(Relaxed)) << 16, Relaxed);
            return Some(line);
        }
        let (narrow, taken) = (s.narrow.load(Relaxed), s.wide.load(Relaxed));
        let lines = if wide { WIDE_LINES } else { 1 };
        if narrow.checked_add(taken)?.checked_add(lines)? > self.lines {
            return None;
        }
        if wide {
            s.wide.store(taken + lines, Relaxed);
            Some(self.lines - taken - lines)
        } else {
            s.narrow.store(narrow + lines, Relaxed);
            Some(narrow)
        }
    }

    /// Takes back a chunk that nobody reads.
    pub(super) fn free(&self, line: u32) {
        let chunk = self.chunk(line);
        let s = self.supply();
        let list = if self.is_wide(line) { &s.free_wide } else { &s.free_narrow };
        let next = list.load(Relaxed);
        let [low, high, ..] = &chunk.leaves;
        low.store(next as u16, Relaxed);
        high.store((next >> 16) as u16, Relaxed);
        list.store(line + 1, Relaxed);
    }

    /// Makes the answers those of the addresses of a word. The chunk that no word names any more, if that is so.
    fn show(&self, address: u32, leaves: &Leaves, reclaim: impl Fn()) -> Option<u32> {
        let old = line_of(self.word(address).load(Relaxed));
        let runs = 1 + leaves.iter().zip(leaves.iter().skip(1)).filter(|(a, b)| a != b).count();
        if runs == 1 {
            self.publish(address, leaves[0]);
            return old;
        }
        if old.is_some_and(|line| self.rewrite(self.chunk(line), leaves)) {
            return None;
        }
        let is_wide = runs > NARROW;
        let free = self.take(is_wide).or_else(|| {
            reclaim();
            self.take(is_wide)
        });
        match free {
            Some(line) => {
                self.write(self.chunk(line), leaves);
                self.publish(address, !(line as u16));
            }
            // The trie is asked until a prefix here changes again.
            None => self.publish(address, ASK),
        }
        old
    }
}

impl Trie {
    /// A prefix has changed. The caller holds the lock, and defers the element that went after this.
    pub(super) fn show_in_chunks<B: Bits>(&self, bits: &B, len: u32) {
        let Some(chunks) = self.pool.chunks() else { return };
        let prefix = (bits.at(0) >> 32) as u32;
        for address in Chunks::covered(prefix, len) {
            let word = chunks.word(address).load(Relaxed);
            let chunk = line_of(word).map(|line| chunks.chunk(line));
            if len <= WORD_BITS {
                match chunk {
                    // Such a prefix changes the answers of whole runs; none of it changes "ask".
                    Some(chunk) => chunks.change_runs(chunk, |cell, old| match old {
                        ASK => ASK,
                        _ => self.answer(address | cell << (32 - BITS)),
                    }),
                    None if word == ASK => {}
                    None => {
                        let found = self.find(&Word(u64::from(address) << 32), WORD_BITS);
                        chunks.publish(address, found as u16);
                    }
                }
                continue;
            }
            let mut leaves: Leaves = [word; CELLS as usize];
            match chunk {
                Some(chunk) => chunks.read(chunk, &mut leaves),
                None if word == ASK => self.answer_cells(address, 0..CELLS, &mut leaves),
                None => {}
            }
            let beyond = BITS.saturating_sub(len);
            let first = prefix >> (32 - BITS) & (CELLS - 1) >> beyond << beyond;
            self.answer_cells(address, first..first + (1 << beyond), &mut leaves);
            if let Some(line) = chunks.show(address, &leaves, || self.pool.reclaim_all()) {
                self.pool.defer(&[Gone::Chunk(line)]);
            }
        }
    }

    fn answer_cells(&self, address: u32, cells: Range<u32>, leaves: &mut Leaves) {
        for cell in cells {
            if let Some(leaf) = leaves.get_mut(cell as usize) {
                *leaf = self.answer(address | cell << (32 - BITS));
            }
        }
    }

    /// What the trie says of all addresses with the first bits of this one.
    fn answer(&self, address: u32) -> u16 {
        let bits = Word(u64::from(address) << 32);
        if self.leads_on(&bits) { ASK } else { self.find(&bits, BITS) as u16 }
    }
}
