//! States that were met, and what became of them: what pruning and the loop detection look at.
//!
//! A node is a state at an instruction where paths meet, with its parent (the node before it on its path) and the number of paths from it that
//! are not finished. Exploration is depth first, so a node with unfinished paths is an ancestor of the path at hand: a state that equals
//! it has come round a loop without a change. Finished nodes prune. Nodes that miss more often than they hit give their
//! state back, finished or not: a loop that counts is not slowed down by all its turns.
//!
//! Each node notes what mattered of it to the paths below: half slots of the stack that were read before they were written, and numbers
//! that a judgement rested on ([`super::backtrack`]). The notes are complete once no path below is open, which is when the node starts to prune;
//! a path that it cuts off takes the notes over, for its own ancestors.

use super::backtrack::{Demand, Entry, Halves, Need, Walk};
use super::cfg::{Bounded, Cfg};
use super::kept::{Frame, Kept, Rest};
use super::prune::{Compare, IdMap, covers};
use super::reg::{IterState, Kind, Reg};
use super::state::State;
use super::turns::Edge;
use crate::isa::Reg as R;
use crate::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES};
use crate::mem::{OutOfMemory, Vec};

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Misses for each hit, and one more time as many, after which a state is given back.
const PATIENCE: u32 = 3;
/// As above where something bounds the loop and every turn keeps a state.
const PATIENCE_IN_BOUNDED_LOOP: u32 = 64;

#[derive(Debug)]
pub(crate) struct Node {
    /// The state; its frames, with what is noted of them, stay until the node is released.
    kept: Kept,
    /// Whether its values were given back.
    gone: bool,
    /// Entries of the trace before it; of meaning while it is open.
    pub(crate) position: u32,
    /// Next node at the same instruction, or next free one.
    next: u32,
    pub(crate) parent: u32,
    /// Paths that are not finished.
    pub(crate) open: u32,
    /// Which instruction.
    pc: u32,
    /// The outermost node to which a path below came round before that was finished: until it is, the notes say too little, and states are compared
    /// in full.
    pub(crate) head: u32,
    hits: u32,
    misses: u32,
}

/// What meeting an instruction again found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing that covers it.
    New,
    /// The path need not go on, because of that node.
    Covered(u32),
    /// The path came back to where it was.
    Loop,
    /// The path came round a loop that something else bounds, to that node, with nothing that was not seen there.
    Turned(u32),
}

/// How long ago a state was kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Long enough to keep one.
    pub(crate) worth: bool,
    /// Long enough to keep one in a loop that is still running.
    pub(crate) worth_in_loop: bool,
    /// What bounds a loop through this instruction, where something does: then a state is always kept.
    pub(crate) bounded: Option<Bounded>,
    /// Whether states that prune nothing are given back.
    pub(crate) tires: bool,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) nodes: Vec<Node>,
    free: u32,
    heads: Vec<u32>,
    ids: IdMap,
    /// All states at rest, those that wait included.
    pub(crate) rest: Rest,
    /// Ways round to nodes that are not finished.
    pub(crate) edges: Vec<Edge>,
    /// Bytes that the edges take.
    pub(crate) edge_bytes: usize,
    /// States kept now.
    pub(crate) kept: u32,
    /// Most states kept at a time.
    pub(crate) peak: u32,
    /// States kept ever.
    pub(crate) total: u32,
    /// Most states at one instruction.
    pub(crate) most_at_one: u32,
    /// Paths that were cut off.
    pub(crate) hits: u32,
}

impl Explored {
    /// None yet, for a program of that many slots; states may take `limit` bytes.
    pub(crate) fn new(slots: usize, limit: usize) -> Result<Self, OutOfMemory> {
        Ok(Explored {
            nodes: Vec::new(),
            free: NONE,
            heads: Vec::filled(NONE, slots)?,
            ids: IdMap::new(),
            rest: Rest::new(limit),
            edges: Vec::new(),
            edge_bytes: 0,
            kept: 0,
            peak: 0,
            total: 0,
            most_at_one: 0,
            hits: 0,
        })
    }

    /// Bytes that all of it takes.
    pub(crate) fn size(&self) -> usize {
        self.rest.size() + self.nodes.capacity() * size_of::<Node>() + self.edge_bytes
    }

    /// Compares a state with the older ones at its instruction. Also says whether it is worth keeping, where nothing covers it.
    pub(crate) fn meet(&mut self, pc: u32, state: &State, pace: Pace) -> Result<(Met, bool), OutOfMemory> {
        let mut worth = pace.worth;
        let mut previous = NONE;
        let mut at = self.heads[pc as usize];
        while at != NONE {
            let (rest, ids) = (&self.rest, &mut self.ids);
            let node = &mut self.nodes[at as usize];
            let next = node.next;
            if !node.gone {
                let old = rest.view(node.kept);
                let how = if node.head == NONE { Compare::Covers } else { Compare::Within };
                if node.open > 0 {
                    match pace.bounded {
                        Some(bounded)
                            if next_turn(rest, node.kept, state, bounded)?
                                && covers(old, state, Compare::Within, ids)? =>
                        {
                            return Ok((Met::Turned(at), false));
                        }
                        Some(_) => {}
                        None if covers(old, state, Compare::Same, ids)? => {
                            return Ok((Met::Loop, false));
                        }
                        None => {}
                    }
                    worth &= pace.worth_in_loop;
                } else if covers(old, state, how, ids)? {
                    node.hits += 1;
                    self.hits += 1;
                    return Ok((Met::Covered(at), false));
                }
            }
            node.misses += u32::from(worth || pace.bounded.is_some());
            let patience = if pace.bounded.is_some() { PATIENCE_IN_BOUNDED_LOOP } else { PATIENCE };
            let tired = pace.tires && node.misses > (node.hits + 1).saturating_mul(patience);
            if tired {
                if !core::mem::replace(&mut node.gone, true) {
                    self.kept -= 1;
                    self.rest.give_values(node.kept);
                }
                let needed = node.open > 0 || node.head != NONE;
                match previous {
                    NONE => self.heads[pc as usize] = next,
                    p => self.nodes[p as usize].next = next,
                }
                if !needed {
                    self.release(at);
                }
            } else {
                previous = at;
            }
            at = next;
        }
        Ok((Met::New, worth || pace.bounded.is_some()))
    }

    /// Keeps a state; the path at hand goes on below it. Returns its node.
    pub(crate) fn keep(
        &mut self,
        pc: u32,
        state: &State,
        parent: u32,
        position: usize,
    ) -> Result<u32, OutOfMemory> {
        let node = Node {
            kept: self.rest.pack(state)?,
            gone: false,
            position: position as u32,
            pc,
            head: NONE,
            next: self.heads[pc as usize],
            parent,
            open: 1,
            hits: 0,
            misses: 0,
        };
        let index = match self.nodes.get_mut(self.free as usize) {
            Some(free) => {
                let index = core::mem::replace(&mut self.free, free.next);
                *free = node;
                index
            }
            None => {
                self.nodes.push(node)?;
                self.nodes.len() as u32 - 1
            }
        };
        self.heads[pc as usize] = index;
        self.kept += 1;
        self.total += 1;
        self.peak = self.peak.max(self.kept);
        let (mut count, mut at) = (0, index);
        while at != NONE {
            count += 1;
            at = self.nodes[at as usize].next;
        }
        self.most_at_one = self.most_at_one.max(count);
        Ok(index)
    }

    /// Another path starts below a node.
    pub(crate) fn open(&mut self, node: u32) {
        if let Some(n) = self.nodes.get_mut(node as usize) {
            n.open += 1;
        }
    }

    /// A path below a node ended; `trace` is that path's.
    pub(crate) fn close(&mut self, cfg: &Cfg, trace: &[Entry], node: u32) -> Result<(), OutOfMemory> {
        let mut at = node;
        while let Some(n) = self.nodes.get_mut(at as usize) {
            n.open -= 1;
            if n.open > 0 {
                break;
            }
            let (parent, gone, head) = (n.parent, n.gone, n.head);
            if head != NONE {
                self.turns_end(cfg, trace, at)?;
            } else if gone {
                self.release(at);
            }
            at = parent;
        }
        Ok(())
    }

    /// A finished node on which nothing waits any more.
    pub(crate) fn settled(&mut self, index: u32) {
        let Some(n) = self.nodes.get_mut(index as usize) else { return };
        n.head = NONE;
        if n.open == 0 && n.gone {
            self.release(index);
        }
    }

    /// A finished node without a state: nobody looks at it any more.
    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        self.rest.give_frames(node.kept);
        node.next = core::mem::replace(&mut self.free, index);
    }

    /// The path at hand reads half slots of a frame: they mattered to its ancestors, as far as they come from there.
    pub(crate) fn read(&mut self, parent: u32, state: &State, frame: usize, halves: Halves) {
        let Some(f) = state.frames.get(frame) else { return };
        self.read_above(parent, NONE, frame, halves & !f.written);
    }

    /// Half slots matter to a node and to those above it, down to where they were written, and no further than `until`. Whether that is new of `until`.
    pub(crate) fn read_above(&mut self, node: u32, until: u32, frame: usize, halves: Halves) -> bool {
        let (mut need, mut at) = (halves, node);
        while need != 0
            && let Some(node) = self.nodes.get(at as usize)
            && let Some(f) = self.rest.frames_mut(node.kept).get_mut(frame)
        {
            need &= !f.mattered.read;
            f.mattered.read |= need;
            if at == until {
                return need != 0;
            }
            need &= !f.written;
            at = node.parent;
        }
        false
    }

    /// Half slots of a frame that were overwritten on the way to a node from the one above it.
    pub(crate) fn written(&self, node: u32, frame: usize) -> Halves {
        let frames = self.nodes.get(node as usize).map(|n| self.rest.frames(n.kept));
        frames.and_then(|f| f.get(frame)).map_or(Halves::MAX, |f| f.written)
    }

    /// The values that a demand names, at the end of the path at hand, must be what they are: marks them in its ancestors.
    pub(crate) fn demand(&mut self, cfg: &Cfg, trace: &[Entry], parent: u32, demand: Demand, depth: usize) {
        self.demand_until(cfg, (trace, 0), (parent, NONE), demand, depth);
    }

    /// As above, for the part of a path whose trace begins at position `first`, and no further than the node `until`. Whether something is new of `until`.
    pub(crate) fn demand_until(
        &mut self,
        cfg: &Cfg,
        (trace, first): (&[Entry], usize),
        (parent, until): (u32, u32),
        demand: Demand,
        depth: usize,
    ) -> bool {
        let mut walk = Walk::new(demand, depth);
        let (mut at, mut left) = (parent, trace.len());
        while !walk.demand.is_empty() {
            while let Some(node) = self.nodes.get(at as usize)
                && node.position as usize == first + left
            {
                mark(self.rest.frames_mut(node.kept), &mut walk.demand);
                if at == until {
                    return !walk.demand.is_empty();
                }
                at = node.parent;
            }
            let Some(entry) = left.checked_sub(1).and_then(|i| trace.get(i)) else { return false };
            left -= 1;
            walk.undo(cfg, *entry);
        }
        false
    }

    /// What is known to matter of a node: numbers as a demand, and half slots that are read, frame by frame.
    pub(crate) fn notes(&self, node: u32) -> (Demand, [Halves; MAX_CALL_FRAMES], usize) {
        let (mut demand, mut reads) = (Demand::default(), [0; MAX_CALL_FRAMES]);
        let Some(n) = self.nodes.get(node as usize) else { return (demand, reads, 0) };
        let frames = self.rest.frames(n.kept);
        for ((f, need), read) in frames.iter().zip(&mut demand.frames).zip(&mut reads) {
            *need = f.mattered.precise;
            *read = f.mattered.read;
        }
        (demand, reads, frames.len().saturating_sub(1))
    }

    /// A node cut a path off: what mattered below the node matters to the path's ancestors.
    pub(crate) fn take_over(
        &mut self,
        cfg: &Cfg,
        trace: &[Entry],
        parent: u32,
        state: &State,
        node: u32,
    ) -> Result<(), OutOfMemory> {
        let (demand, reads, _) = self.notes(node);
        for (frame, halves) in reads.into_iter().enumerate() {
            self.read(parent, state, frame, halves);
        }
        self.demand(cfg, trace, parent, demand, state.depth());
        match self.nodes.get(node as usize) {
            Some(n) if n.head != NONE || n.open > 0 => self.comes_round(trace, parent, state, node),
            _ => Ok(()),
        }
    }

    /// The node above one.
    pub(crate) fn parent_of(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NONE, |n| n.parent)
    }

    /// The latest state of the path that ends at a node that was kept at an instruction with the same calls open, and what is known to matter of it.
    pub(crate) fn previous(
        &self,
        node: u32,
        pc: u32,
        state: &State,
    ) -> Result<Option<(State, &[Frame])>, OutOfMemory> {
        let path =
            core::iter::successors(self.nodes.get(node as usize), |n| self.nodes.get(n.parent as usize));
        let found = path.filter(|n| n.pc == pc).find_map(|n| {
            let old = self.rest.frames(n.kept);
            let alike = old.len() == state.frames.len()
                && old.iter().zip(&state.frames).skip(1).all(|(a, b)| a.callsite == b.callsite);
            (alike && !n.gone).then_some((n.kept, old))
        });
        found.map(|(kept, frames)| Ok((self.rest.unpacked(kept)?, frames))).transpose()
    }

    /// What mattered of every kept state, for oracles.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, State, &[Frame])> {
        self.heads.iter().enumerate().flat_map(move |(pc, head)| {
            core::iter::successors(self.nodes.get(*head as usize), |n| self.nodes.get(n.next as usize))
                .filter(|n| !n.gone)
                .filter_map(move |n| {
                    Some((pc as u32, self.rest.unpacked(n.kept).ok()?, self.rest.frames(n.kept)))
                })
        })
    }
}

/// Whether a state of the path at hand is at the same bounded loop as an older one of that path, and not at another run of it: so that the loop's own
/// bound ends what the exploration does not follow.
fn next_turn(rest: &Rest, old: Kept, new: &State, bounded: Bounded) -> Result<bool, OutOfMemory> {
    Ok(match bounded {
        Bounded::Callback => new.frame().turns > 0,
        Bounded::Iterator => match iterator(new).filter(|b| b.kind == Kind::IterSlot(IterState::Active)) {
            Some(b) if rest.view(old).depth() == new.depth() => {
                iterator(&rest.unpacked(old)?).is_some_and(|a| a.owner == b.owner)
            }
            _ => false,
        },
    })
}

/// The iterator that R1 points to.
fn iterator(state: &State) -> Option<Reg> {
    let r1 = state.reg(R::R1);
    let Kind::Stack(frame) = r1.kind else { return None };
    let off = i64::from(r1.off) + r1.var.known()? as i64;
    let inside = (-i64::from(MAX_BPF_STACK)..0).contains(&off);
    let stack = &state.frames.get(usize::from(frame)).filter(|_| inside)?.stack;
    stack.slot(off as i32).object().copied()
}

/// Marks in a node what is demanded; what is no number there, and what was marked before, is not demanded of those before it.
fn mark(frames: &mut [Frame], demand: &mut Demand) {
    for (f, need) in frames.iter_mut().zip(&mut demand.frames) {
        let precise = &mut f.mattered.precise;
        let new = Need {
            regs: need.regs & !f.pointers.regs & !precise.regs,
            halves: need.halves & !f.pointers.halves & !precise.halves,
        };
        precise.regs |= new.regs;
        precise.halves |= new.halves;
        *need = new;
    }
}
