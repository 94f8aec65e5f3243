//! Which bytes of each frame may be read before they are written: a dataflow of its own, after the exploration.
//!
//! The exploration notes for every instruction which bytes of its own frame it may read and which it writes on every visit; an access from a
//! callee is noted as a read at the call. Then, forwards over the control flow of each function and byte by byte:
//! in = ∩ out of predecessors (nothing at the entry), out = in ∪ writes; a byte read outside `in` may be unwritten. The slots that hold
//! such bytes are what engines clear on entry. Stack offsets are compared in full when paths are pruned, so the notes cover pruned paths.

use super::cfg::Cfg;
use crate::limits::MAX_BPF_STACK;
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Code, Frame};

/// A set of bytes of a frame: bit i is the byte at r10 - 512 + i.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes([u64; 8]);

impl Bytes {
    const NONE: Bytes = Bytes([0; 8]);
    const ALL: Bytes = Bytes([u64::MAX; 8]);

    fn add(&mut self, from: i32, to: i32) {
        for off in from.max(-(MAX_BPF_STACK as i32))..to.min(0) {
            let i = (off + MAX_BPF_STACK as i32) as usize;
            self.0[i / 64] |= 1 << (i % 64);
        }
    }

    fn zip(self, other: Bytes, f: impl Fn(u64, u64) -> u64) -> Bytes {
        Bytes(core::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    fn union(self, other: Bytes) -> Bytes {
        self.zip(other, |a, b| a | b)
    }

    fn intersect(self, other: Bytes) -> Bytes {
        self.zip(other, |a, b| a & b)
    }

    fn without(self, other: Bytes) -> Bytes {
        self.zip(other, |a, b| a & !b)
    }

    /// Slots, as [`Frame::clear`] numbers them, with a byte in the set.
    fn slots(self) -> u64 {
        let touched = |slot: usize| self.0[slot / 8] >> (slot % 8 * 8) & 0xff != 0;
        (0..64).filter(|s| touched(63 - s)).fold(0, |bits, s| bits | 1 << s)
    }
}

#[derive(Clone, Copy, Debug)]
struct Use {
    reads: Bytes,
    writes: Bytes,
}

const NO_USE: u32 = u32::MAX;

/// The notes of the exploration.
#[derive(Debug)]
pub(crate) struct StackUse {
    /// One a slot: which entry of `uses`.
    index: Vec<u32>,
    uses: Vec<Use>,
    /// What the instruction at hand did so far.
    now: Use,
    touched: bool,
    /// One a function: bytes used, a multiple of 8.
    pub(crate) depth: Vec<u32>,
}

impl StackUse {
    pub(crate) fn new(slots: usize, functions: usize) -> Result<Self, OutOfMemory> {
        Ok(StackUse {
            index: Vec::filled(NO_USE, slots)?,
            uses: Vec::new(),
            now: Use { reads: Bytes::NONE, writes: Bytes::NONE },
            touched: false,
            depth: Vec::filled(0, functions)?,
        })
    }

    /// A function's frame is used from `from` up.
    pub(crate) fn deepen(&mut self, func: u32, from: i32) {
        if let Some(d) = self.depth.get_mut(func as usize) {
            *d = (*d).max(((-from).max(0) as u32).next_multiple_of(8));
        }
    }

    /// The instruction at hand touches its own frame.
    pub(crate) fn own(&mut self, from: i32, to: i32, reads: bool, writes: bool) {
        self.touched = true;
        if reads {
            // A byte that the same instruction wrote before is not in the set yet: helpers read their arguments first.
            self.now.reads.add(from, to);
        }
        if writes {
            self.now.writes.add(from, to);
        }
    }

    /// A callee, or the instruction at hand, touches the frame of the function that called at `callsite`.
    pub(crate) fn callers(&mut self, callsite: u32, from: i32, to: i32) -> Result<(), OutOfMemory> {
        let mut reads = Bytes::NONE;
        reads.add(from, to);
        self.merge(callsite, Use { reads, writes: Bytes::NONE })
    }

    /// The instruction at hand is done.
    pub(crate) fn commit(&mut self, pc: u32) -> Result<(), OutOfMemory> {
        let known = self.index.get(pc as usize).is_some_and(|i| *i != NO_USE);
        if self.touched || known {
            let now = self.now;
            self.merge(pc, now)?;
        }
        self.now = Use { reads: Bytes::NONE, writes: Bytes::NONE };
        self.touched = false;
        Ok(())
    }

    /// An instruction that may write memory did not touch its frame on this visit: it does not always write there.
    fn merge(&mut self, pc: u32, visit: Use) -> Result<(), OutOfMemory> {
        let Some(index) = self.index.get_mut(pc as usize) else { return Ok(()) };
        if *index == NO_USE {
            *index = self.uses.len() as u32;
            return self.uses.push(visit);
        }
        if let Some(u) = self.uses.get_mut(*index as usize) {
            u.reads = u.reads.union(visit.reads);
            u.writes = u.writes.intersect(visit.writes);
        }
        Ok(())
    }

    /// An access that is not to the stack, by an instruction that could be: on this visit nothing of the frame was written.
    pub(crate) fn elsewhere(&mut self) {
        self.touched = true;
    }

    fn at(&self, pc: u32) -> Option<&Use> {
        self.uses.get(*self.index.get(pc as usize)? as usize)
    }

    /// The frames of all functions.
    pub(crate) fn frames(&self, code: &Code, cfg: &Cfg) -> Result<Vec<Frame>, OutOfMemory> {
        let mut frames = Vec::new();
        for (f, sub) in code.subprogs.iter().enumerate() {
            let clear = match self.depth[f] {
                0 => 0,
                _ => self.unwritten(sub.start, sub.end, cfg)?.slots(),
            };
            frames.push(Frame { size: self.depth[f], clear })?;
        }
        Ok(frames)
    }

    /// Bytes that may be read before they are written in the function at `start .. end`.
    fn unwritten(&self, start: u32, end: u32, cfg: &Cfg) -> Result<Bytes, OutOfMemory> {
        let len = (end - start) as usize;
        let mut written = Vec::filled(Bytes::ALL, len)?;
        written[0] = Bytes::NONE;
        let mut queued = Vec::filled(false, len)?;
        let mut todo = Vec::new();
        todo.push(start)?;
        let mut first = Vec::filled(true, len)?;
        let mut unwritten = Bytes::NONE;
        while let Some(pc) = todo.pop() {
            let i = (pc - start) as usize;
            queued[i] = false;
            first[i] = false;
            let mut out = written[i];
            if let Some(u) = self.at(pc) {
                unwritten = unwritten.union(u.reads.without(out));
                out = out.union(u.writes);
            }
            for to in cfg.successors(pc).into_iter().flatten().filter(|to| (start..end).contains(to)) {
                let j = (to - start) as usize;
                let met = written[j].intersect(out);
                if (met != written[j] || first[j]) && !queued[j] {
                    queued[j] = true;
                    todo.push(to)?;
                }
                written[j] = met;
            }
        }
        Ok(unwritten)
    }
}
