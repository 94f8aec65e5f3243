//! The memory of states at rest: one arena, with the limit that the caller set.
//!
//! It has two stores. Bytes come in blocks of some sizes, for what of a state differs in length; records come in runs of one to eight, a record a frame, for what is looked at and
//! marked in place. What is given back waits in a list by its size, since states that prune nothing go one by one and in any order; the rest goes with
//! the arena. A handle is a place: it holds no memory, and losing one wastes the place until the verification ends.
//!
//! Relies on nothing but fallible memory. Refuses to grow beyond the limit: that is [`OutOfMemory`], as where the machine has no more.

use super::kept::Frame;
use crate::limits::MAX_CALL_FRAMES;
use crate::mem::{OutOfMemory, Vec};

/// The end of a list.
const END: u32 = u32::MAX;
/// Blocks are multiples of this; the smallest has room for the place of the next free one.
const UNIT: usize = 16;
/// Sizes of blocks: four between two powers of two, from one unit to more than the largest state.
const SIZES: usize = 64;

/// A block of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// In units.
    at: u32,
    /// In bytes.
    len: u32,
}

/// Some records in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    at: u32,
    len: u32,
}

impl Run {
    /// How many.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    fn range(self) -> core::ops::Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

/// The memory of all states at rest.
#[derive(Debug)]
pub(crate) struct Arena {
    limit: usize,
    bytes: Vec<u8>,
    free_blocks: [u32; SIZES],
    records: Vec<Frame>,
    free_runs: [u32; MAX_CALL_FRAMES],
}

/// The size class of a block, and the units that it takes.
fn class(len: usize) -> (usize, usize) {
    let units = len.div_ceil(UNIT).max(1);
    if units <= 4 {
        return (units - 1, units);
    }
    // Three bits tell the sizes apart: four to each power of two.
    let shift = units.ilog2() - 2;
    let steps = units.div_ceil(1 << shift);
    (shift as usize * 4 + steps - 1, steps << shift)
}

impl Arena {
    /// An empty one.
    pub(crate) fn new(limit: usize) -> Self {
        Arena {
            limit,
            bytes: Vec::new(),
            free_blocks: [END; SIZES],
            records: Vec::new(),
            free_runs: [END; MAX_CALL_FRAMES],
        }
    }

    /// Bytes that it has taken from the machine.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<Frame>()
    }

    /// Copies bytes into a block.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<Block, OutOfMemory> {
        let (class, units) = class(bytes.len());
        let free = self.free_blocks.get_mut(class).ok_or(OutOfMemory)?;
        let at = match *free {
            END => {
                let at = self.bytes.len() / UNIT;
                let room = self.limit.saturating_sub(self.size());
                grow(&mut self.bytes, units * UNIT, room)?;
                self.bytes.resize((at + units) * UNIT, 0)?;
                u32::try_from(at).map_err(|_| OutOfMemory)?
            }
            at => {
                let link = self.bytes.get(at as usize * UNIT..).and_then(<[u8]>::first_chunk);
                *free = link.map_or(END, |link| u32::from_le_bytes(*link));
                at
            }
        };
        let block = Block { at, len: bytes.len() as u32 };
        self.bytes[range(block)].copy_from_slice(bytes);
        Ok(block)
    }

    /// What a block holds.
    pub(crate) fn get(&self, block: Block) -> &[u8] {
        self.bytes.get(range(block)).unwrap_or_default()
    }

    /// Gives a block back.
    pub(crate) fn give(&mut self, block: Block) {
        let (class, _) = class(block.len as usize);
        let (Some(free), Some(link)) = (
            self.free_blocks.get_mut(class),
            self.bytes.get_mut(block.at as usize * UNIT..).and_then(<[u8]>::first_chunk_mut),
        ) else {
            return;
        };
        *link = core::mem::replace(free, block.at).to_le_bytes();
    }

    /// Takes a run of one to eight records; they hold what they held.
    pub(crate) fn take_run(&mut self, len: usize) -> Result<Run, OutOfMemory> {
        let free = len.checked_sub(1).and_then(|i| self.free_runs.get_mut(i)).ok_or(OutOfMemory)?;
        let at = match *free {
            END => {
                let at = self.records.len();
                let room = self.limit.saturating_sub(self.size()) / size_of::<Frame>();
                grow(&mut self.records, len, room)?;
                self.records.resize(at + len, Frame::default())?;
                u32::try_from(at).map_err(|_| OutOfMemory)?
            }
            at => {
                *free = self.records.get(at as usize).map_or(END, |r| r.func);
                at
            }
        };
        Ok(Run { at, len: len as u32 })
    }

    /// The records of a run.
    #[inline]
    pub(crate) fn run(&self, run: Run) -> &[Frame] {
        self.records.get(run.range()).unwrap_or_default()
    }

    /// The records of a run, to change.
    #[inline]
    pub(crate) fn run_mut(&mut self, run: Run) -> &mut [Frame] {
        self.records.get_mut(run.range()).unwrap_or_default()
    }

    /// Gives a run back.
    pub(crate) fn give_run(&mut self, run: Run) {
        let free = run.len().checked_sub(1).and_then(|i| self.free_runs.get_mut(i));
        let (Some(free), Some(first)) = (free, self.records.get_mut(run.at as usize)) else { return };
        first.func = core::mem::replace(free, run.at);
    }
}

fn range(block: Block) -> core::ops::Range<usize> {
    let at = block.at as usize * UNIT;
    at..at + block.len as usize
}

/// Makes room for `n` further items, and half as many as there are where `room` for so many is left.
fn grow<T>(items: &mut Vec<T>, n: usize, room: usize) -> Result<(), OutOfMemory> {
    let spare = items.capacity() - items.len();
    if n <= spare {
        return Ok(());
    }
    let (least, wish) = (n - spare, n.max(items.capacity() / 2).max(1024 / size_of::<T>()));
    if least > room {
        return Err(OutOfMemory);
    }
    items.reserve_exact(spare + wish.clamp(least, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_rise() {
        let mut last = (0, 1);
        for len in 1..200_000 {
            let (class, units) = class(len);
            assert!(units * UNIT >= len && class < SIZES, "{len}");
            assert!(units * UNIT <= len + len / 4 + UNIT, "{len}: {units} units");
            assert_eq!(class == last.0, units == last.1, "{len}");
            assert!(class >= last.0, "{len}");
            last = (class, units);
        }
    }

    #[test]
    fn blocks_keep_their_bytes_and_are_used_again() {
        let mut arena = Arena::new(1 << 20);
        let held: std::vec::Vec<_> =
            (0..200u8).map(|i| (i, arena.put(&std::vec![i; usize::from(i) * 3]).unwrap())).collect();
        for (i, block) in &held {
            assert_eq!(arena.get(*block), std::vec![*i; usize::from(*i) * 3]);
        }
        let size = arena.size();
        for (i, block) in &held {
            if i % 2 == 0 {
                arena.give(*block);
            }
        }
        for (i, _) in held.iter().filter(|(i, _)| i % 2 == 0) {
            arena.put(&std::vec![0xee; usize::from(*i) * 3]).unwrap();
        }
        assert_eq!(arena.size(), size, "what was given back is used again");
        for (i, block) in held.iter().filter(|(i, _)| i % 2 == 1) {
            assert_eq!(arena.get(*block), std::vec![*i; usize::from(*i) * 3]);
        }
    }

    #[test]
    fn runs_of_a_length_are_used_again() {
        let mut arena = Arena::new(1 << 20);
        let runs: std::vec::Vec<_> = (1..=8).map(|n| arena.take_run(n).unwrap()).collect();
        assert!(arena.take_run(0).is_err() && arena.take_run(9).is_err());
        let size = arena.size();
        for run in &runs {
            arena.give_run(*run);
        }
        for n in (1..=8).rev() {
            assert_eq!(arena.take_run(n).unwrap().len(), n);
        }
        assert_eq!(arena.size(), size);
    }

    #[test]
    fn limit_is_never_passed() {
        for limit in [0, 100, 5_000, 100_000] {
            let mut arena = Arena::new(limit);
            let mut n = 0;
            while arena.put(&[1; 100]).is_ok() && arena.take_run(2).is_ok() {
                n += 1;
                assert!(arena.size() <= limit, "{} of {limit}", arena.size());
            }
            assert!(n < 1_000 && (limit < 5_000 || n > 5), "{n} pairs within {limit}");
        }
    }
}
