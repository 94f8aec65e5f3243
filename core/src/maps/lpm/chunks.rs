//! The table in front of a small trie of IPv4 addresses: a word for the first 16 bits, and a cache line for the 17th to the 24th where they matter.
//!
//! ```text
//! word = n + 1        element n has the longest prefix of every address with these 16 bits; 0: none has one
//! word = CHUNK | c    chunk c says it for each value of the next eight bits
//! word >= HIDDEN      ask the trie
//! ```
//!
//! A chunk has a leaf for each *run* of values with one answer, and a bit map of where runs begin; the leaf of a value is found by counting bits (ranges as in DXR, Zec, Rizzo and
//! Mikuc 2012). A leaf is what a word is, without chunks. One line holds twelve runs; what has more takes nine lines.
//!
//! It holds nothing that the trie does not, and "ask" is right at any time. A writer, under the trie's lock, first hides the answers that change, then changes the
//! trie, then puts the new answers there. A chunk says whether it is hidden or free, and has a version that every writing moves; a reader believes a leaf if the chunk was
//! neither, its version is the same afterwards, and the word still names it. So chunks are rewritten and reused at once.
//!
//! Only a map of one process has it: elements wait for grace periods there, so that an answer's element is whole for whoever got it.

use super::{Bits, LENGTH_BYTES, SMALL, TINY, Trie, Word};
use crate::maps::MapSpec;
use crate::maps::layout::CACHE_LINE;
use crate::sync::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use core::hint::select_unpredictable as select;
use core::ops::Range;
use core::ptr::NonNull;

/// Bits of an address that have a word.
const WORD_BITS: u32 = 16;
const WORDS: usize = 1 << WORD_BITS;
/// Bits of an address that chunks know.
const BITS: u32 = 24;
/// Values of a chunk's eight bits.
const CELLS: u32 = 1 << (BITS - WORD_BITS);
/// Marks a word that names a chunk.
const CHUNK: u16 = 1 << 15;
/// The trie has to be asked: longer prefixes begin with these bits, or there was no chunk.
const ASK: u16 = CHUNK - 1;
/// The same while a writer is at work where there was no chunk.
const HIDDEN: u16 = ASK - 1;
/// A chunk's state: that it is hidden, and the version.
const HIDDEN_CHUNK: u64 = 1 << 63;
const VERSION: u64 = !HIDDEN_CHUNK & u64::MAX << 32;
const VERSION_ONE: u64 = 1 << 32;
/// Runs that one line holds.
const NARROW: usize = 12;
/// Lines of a chunk that holds any number of runs.
const WIDE_LINES: u32 = 9;
/// The root's bits of a trie that has it: the root is seldom asked.
pub(super) const ROOT_BITS: u32 = 6;

const _: () = assert!(size_of::<Chunk>() == CACHE_LINE);
const _: () =
    assert!(size_of::<Chunk>() - 2 * NARROW + 2 * CELLS as usize <= WIDE_LINES as usize * CACHE_LINE);

/// Whether a trie has it.
pub(super) fn are_for(spec: &MapSpec) -> bool {
    let entries = TINY + 1..=SMALL;
    spec.key_size as usize == LENGTH_BYTES + 4 && entries.contains(&spec.max_entries)
}

/// Chunks of one line: one for each prefix, since a wide one has at least six.
fn lines(spec: &MapSpec) -> u32 {
    spec.max_entries
}

/// Bytes that it takes: none for tries that have none.
pub(super) fn bytes(spec: &MapSpec) -> usize {
    match are_for(spec) {
        // A wide chunk may be said to begin at the line behind the last.
        true => CACHE_LINE + 2 * WORDS + (lines(spec) + 1 + WIDE_LINES) as usize * CACHE_LINE,
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
    /// A bit for each cell in which a run begins; the first is always set.
    starts: [AtomicU64; 4],
    /// For each of those words a byte, runs that begin before it, less one; in the upper half the version, whose highest bit is set while the chunk is hidden or free.
    state: AtomicU64,
    /// The runs' answers; a wide chunk's go on in the lines behind. Of a free chunk the first two are the link.
    leaves: [AtomicU16; NARROW],
}

/// An answer for each cell.
type Leaves = [u16; CELLS as usize];

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
        let elements = elements.min(u32::from(HIDDEN - 1));
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

    #[inline(always)]
    fn word(&self, address: u32) -> &AtomicU16 {
        // SAFETY: there is a word for each value of 16 bits.
        unsafe { self.words.add((address >> (32 - WORD_BITS)) as usize).as_ref() }
    }

    /// The chunk at a line; beyond the end the line behind the last, which nobody writes: a chunk whose leaves are 0.
    #[inline(always)]
    fn chunk(&self, line: u32) -> &Chunk {
        // SAFETY: at most `lines`, behind which there are lines.
        unsafe { self.chunks.add(line.min(self.lines) as usize).as_ref() }
    }

    /// A run's leaf.
    #[inline(always)]
    fn leaf<'a>(&self, chunk: &'a Chunk, run: u32) -> &'a AtomicU16 {
        let leaves = (&raw const *chunk).cast::<u8>().wrapping_add(core::mem::offset_of!(Chunk, leaves));
        // SAFETY: the lines of a wide chunk follow each line of the section, and hold as many leaves as a number below 256 names.
        unsafe { &*leaves.cast::<AtomicU16>().add((run % CELLS) as usize) }
    }

    /// The element of an address, as index + 1; 0 for none. `None`: only the trie knows.
    #[inline(always)]
    pub(super) fn find(&self, address: u32) -> Option<u32> {
        let at = self.word(address);
        // Acquire: pairs with the store in `show`.
        let word = at.load(Acquire);
        // A word without the mark is a line beyond the end.
        let chunk = self.chunk(u32::from(word ^ CHUNK));
        // Acquire: pairs with the store in `write`.
        let state = chunk.state.load(Acquire);
        let cell = address >> (32 - BITS) & (CELLS - 1);
        let starts = chunk.starts[(cell / 64) as usize].load(Relaxed) << (63 - cell % 64);
        let before = state as u32 >> (cell / 64 * 8);
        let leaf = self.leaf(chunk, before + starts.count_ones()).load(Relaxed);
        fence(Acquire); // pairs with the fence in `hide_chunk`: of a chunk that was written meanwhile the state is another
        if state.cast_signed() < 0 || chunk.state.load(Relaxed) != state || at.load(Relaxed) != word {
            return None;
        }
        let answer = u32::from(select(word & CHUNK != 0, leaf, word));
        (answer <= self.elements).then_some(answer)
    }

    /// The words that a prefix covers, as the addresses that they begin with.
    fn covered(address: u32, len: u32) -> impl Iterator<Item = u32> {
        let step = 1 << (32 - WORD_BITS);
        let first = address & u32::MAX.checked_shl(32 - len.min(WORD_BITS)).unwrap_or(0);
        (0..1u32 << (WORD_BITS - len.min(WORD_BITS))).map(move |n| first + n * step)
    }

    /// Lets readers ask the trie.
    fn hide_chunk(chunk: &Chunk) -> u64 {
        let state = chunk.state.load(Relaxed) | HIDDEN_CHUNK;
        // Relaxed: whoever sees what is published afterwards, sees this.
        chunk.state.store(state, Relaxed);
        fence(Release); // pairs with the fence in `find`
        state
    }

    fn hide(&self, address: u32) {
        let at = self.word(address);
        let word = at.load(Relaxed);
        if word & CHUNK != 0 {
            Self::hide_chunk(self.chunk(u32::from(word & !CHUNK)));
        } else if word != ASK {
            // Relaxed: as above.
            at.store(HIDDEN, Relaxed);
        }
    }

    /// The cells of a chunk.
    fn read(&self, chunk: &Chunk, out: &mut Leaves) {
        let (mut run, mut leaf) = (0u32, ASK);
        for (cell, out) in (0u32..).zip(out) {
            let starts = chunk.starts[(cell / 64 % 4) as usize].load(Relaxed);
            if starts >> (cell % 64) & 1 != 0 {
                leaf = self.leaf(chunk, run).load(Relaxed);
                run += 1;
            }
            *out = leaf;
        }
    }

    fn write(&self, chunk: &Chunk, leaves: &Leaves) {
        let version = Self::hide_chunk(chunk).wrapping_add(VERSION_ONE) & VERSION;
        let (mut runs, mut last, mut before) = (0u32, None, 0u32);
        for (nth, (word, cells)) in chunk.starts.iter().zip(leaves.chunks(64)).enumerate() {
            before |= (runs.wrapping_sub(1) & 255) << (8 * nth);
            let mut starts = 0;
            for (bit, &leaf) in cells.iter().enumerate() {
                if last != Some(leaf) {
                    starts |= 1 << bit;
                    self.leaf(chunk, runs).store(leaf, Relaxed);
                    (runs, last) = (runs + 1, Some(leaf));
                }
            }
            word.store(starts, Relaxed);
        }
        // Release: pairs with the load in `find`.
        chunk.state.store(version | u64::from(before), Release);
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

    /// Takes back a chunk that no word names.
    fn free(&self, line: u32) {
        let chunk = self.chunk(line);
        Self::hide_chunk(chunk);
        let s = self.supply();
        let list = if self.is_wide(line) { &s.free_wide } else { &s.free_narrow };
        let next = list.load(Relaxed);
        let [low, high, ..] = &chunk.leaves;
        low.store(next as u16, Relaxed);
        high.store((next >> 16) as u16, Relaxed);
        list.store(line + 1, Relaxed);
    }

    /// Makes the answers those of the addresses of a word.
    fn show(&self, address: u32, leaves: &Leaves) {
        let at = self.word(address);
        let old = at.load(Relaxed);
        let old = (old & CHUNK != 0).then_some(u32::from(old & !CHUNK));
        let runs = 1 + leaves.iter().zip(leaves.iter().skip(1)).filter(|(a, b)| a != b).count();
        let is_wide = runs > NARROW;
        if let Some(line) = old.filter(|line| runs > 1 && self.is_wide(*line) == is_wide) {
            return self.write(self.chunk(line), leaves);
        }
        let mut word = leaves[0];
        if runs > 1 {
            word = match self.take(is_wide) {
                Some(line) => {
                    self.write(self.chunk(line), leaves);
                    line as u16 | CHUNK
                }
                None => ASK,
            };
        }
        // Release: the element's key and value, and the chunk, come first. Pairs with the load in `find`.
        at.store(word, Release);
        if let Some(line) = old {
            self.free(line);
        }
    }
}

impl Trie {
    /// A prefix is about to change. The caller holds the lock.
    pub(super) fn hide_in_chunks<B: Bits>(&self, bits: &B, len: u32) {
        let Some(chunks) = self.chunks else { return };
        Chunks::covered((bits.at(0) >> 32) as u32, len).for_each(|address| chunks.hide(address));
    }

    /// A prefix has changed. The caller holds the lock.
    pub(super) fn show_in_chunks<B: Bits>(&self, bits: &B, len: u32) {
        let Some(chunks) = self.chunks else { return };
        let prefix = (bits.at(0) >> 32) as u32;
        for address in Chunks::covered(prefix, len) {
            let word = chunks.word(address).load(Relaxed);
            let mut leaves: Leaves = [ASK; CELLS as usize];
            match word {
                // No longer prefix than those of the word's bits was there.
                HIDDEN => leaves.fill(self.find(&Word(u64::from(address) << 32), WORD_BITS) as u16),
                ASK => self.answer_cells(address, 0..CELLS, &mut leaves),
                _ => chunks.read(chunks.chunk(u32::from(word & !CHUNK)), &mut leaves),
            }
            if len > WORD_BITS {
                let beyond = BITS.saturating_sub(len);
                let first = prefix >> (32 - BITS) & (CELLS - 1) >> beyond << beyond;
                self.answer_cells(address, first..first + (1 << beyond), &mut leaves);
            } else if word & CHUNK != 0 {
                self.answer_runs(address, &mut leaves);
            }
            chunks.show(address, &leaves);
        }
    }

    fn answer_cells(&self, address: u32, cells: Range<u32>, leaves: &mut Leaves) {
        for cell in cells {
            if let Some(leaf) = leaves.get_mut(cell as usize) {
                *leaf = self.answer(address | cell << (32 - BITS));
            }
        }
    }

    /// As far as a prefix of the word's bits changes answers, it changes those of whole runs; none of it changes "ask".
    fn answer_runs(&self, address: u32, leaves: &mut Leaves) {
        let (mut old, mut new) = (ASK, ASK);
        for (cell, leaf) in (0..).zip(leaves) {
            if *leaf != old {
                old = *leaf;
                new = if old == ASK { ASK } else { self.answer(address | cell << (32 - BITS)) };
            }
            *leaf = new;
        }
    }

    /// What the trie says of all addresses with the first bits of this one.
    fn answer(&self, address: u32) -> u16 {
        let bits = Word(u64::from(address) << 32);
        if self.leads_on(&bits) { ASK } else { self.find(&bits, BITS) as u16 }
    }
}
