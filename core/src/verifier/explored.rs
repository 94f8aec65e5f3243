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
use super::prune::{Compare, IdMap, Mattered, covers};
use super::reg::{IterState, Kind, Reg};
use super::state::State;
use crate::isa::Reg as R;
use crate::limits::MAX_BPF_STACK;
use crate::mem::{OutOfMemory, Vec};

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// Misses for each hit, and one more time as many, after which a state is given back.
const PATIENCE: u32 = 3;
/// As above where something bounds the loop and every turn keeps a state.
const PATIENCE_IN_BOUNDED_LOOP: u32 = 64;

#[derive(Debug)]
struct Node {
    /// `None` once it was given back.
    state: Option<State>,
    /// One a frame; none once the node is finished and was given back.
    mattered: Vec<Mattered>,
    /// Half slots of each frame that were overwritten between the parent and here.
    written: Vec<Halves>,
    /// Entries of the trace before it; of meaning while it is open.
    position: u32,
    /// Next node at the same instruction, or next free one.
    next: u32,
    parent: u32,
    /// Paths that are not finished.
    open: u32,
    /// Which instruction.
    pc: u32,
    /// Whether a path below was cut off at a state that was not finished: then the notes say too little, and states are compared in full.
    exact: bool,
    hits: u32,
    misses: u32,
}

impl Node {
    fn bytes(&self) -> usize {
        let notes = self.mattered.len() * (size_of::<Mattered>() + size_of::<Halves>());
        self.state.as_ref().map_or(0, State::bytes) + notes
    }
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
    /// The path came round a loop that something else bounds, with nothing that was not seen at the turn before.
    Turned,
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
    nodes: Vec<Node>,
    free: u32,
    heads: Vec<u32>,
    ids: IdMap,
    /// Bytes that kept states take.
    pub(crate) bytes: usize,
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
    /// None yet, for a program of that many slots.
    pub(crate) fn new(slots: usize) -> Result<Self, OutOfMemory> {
        Ok(Explored {
            nodes: Vec::new(),
            free: NONE,
            heads: Vec::filled(NONE, slots)?,
            ids: IdMap::new(),
            bytes: 0,
            kept: 0,
            peak: 0,
            total: 0,
            most_at_one: 0,
            hits: 0,
        })
    }

    /// Compares a state with the older ones at its instruction. Also says whether it is worth keeping, where nothing covers it.
    pub(crate) fn meet(&mut self, pc: u32, state: &State, pace: Pace) -> Result<(Met, bool), OutOfMemory> {
        let mut worth = pace.worth;
        let mut previous = NONE;
        let mut at = self.heads[pc as usize];
        while at != NONE {
            let (nodes, ids) = (&mut self.nodes, &mut self.ids);
            let node = &mut nodes[at as usize];
            let next = node.next;
            if let Some(old) = &node.state {
                let how = if node.exact { Compare::Within } else { Compare::Covers };
                if node.open > 0 {
                    match pace.bounded {
                        Some(bounded) if next_turn(old, state, bounded) => {
                            if covers(old, state, Compare::Within, &node.mattered, ids)? {
                                return Ok((Met::Turned, false));
                            }
                        }
                        Some(_) => {}
                        None if covers(old, state, Compare::Same, &node.mattered, ids)? => {
                            return Ok((Met::Loop, false));
                        }
                        None => {}
                    }
                    worth &= pace.worth_in_loop;
                } else if covers(old, state, how, &node.mattered, ids)? {
                    node.hits += 1;
                    self.hits += 1;
                    return Ok((Met::Covered(at), false));
                }
            }
            node.misses += u32::from(worth || pace.bounded.is_some());
            let patience = if pace.bounded.is_some() { PATIENCE_IN_BOUNDED_LOOP } else { PATIENCE };
            let tired = pace.tires && node.misses > (node.hits + 1).saturating_mul(patience);
            if tired {
                let before = node.bytes();
                if node.state.take().is_some() {
                    self.kept -= 1;
                }
                let open = node.open > 0;
                self.bytes -= before - node.bytes();
                match previous {
                    NONE => self.heads[pc as usize] = next,
                    p => self.nodes[p as usize].next = next,
                }
                if !open {
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
        state: State,
        parent: u32,
        position: usize,
    ) -> Result<u32, OutOfMemory> {
        let frames = state.frames.len();
        let node = Node {
            mattered: Vec::filled(Mattered::default(), frames)?,
            written: Vec::from_fn(frames, |i| state.frames[i].written)?,
            state: Some(state),
            position: position as u32,
            pc,
            exact: false,
            next: self.heads[pc as usize],
            parent,
            open: 1,
            hits: 0,
            misses: 0,
        };
        self.bytes += node.bytes();
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

    /// A path below a node ended.
    pub(crate) fn close(&mut self, node: u32) {
        let mut at = node;
        while let Some(n) = self.nodes.get_mut(at as usize) {
            n.open -= 1;
            if n.open > 0 {
                break;
            }
            let (parent, gone) = (n.parent, n.state.is_none());
            if gone {
                self.release(at);
            }
            at = parent;
        }
    }

    /// A finished node without a state: nobody looks at it any more.
    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        self.bytes -= node.bytes();
        node.mattered = Vec::new();
        node.written = Vec::new();
        node.next = core::mem::replace(&mut self.free, index);
    }

    /// The path at hand reads half slots of a frame: they mattered to its ancestors, as far as they come from there.
    pub(crate) fn read(&mut self, parent: u32, state: &State, frame: usize, halves: Halves) {
        let Some(f) = state.frames.get(frame) else { return };
        let mut need = halves & !f.written;
        let mut at = parent;
        while need != 0
            && let Some(node) = self.nodes.get_mut(at as usize)
            && let (Some(m), Some(written)) = (node.mattered.get_mut(frame), node.written.get(frame))
        {
            need &= !m.read;
            m.read |= need;
            need &= !written;
            at = node.parent;
        }
    }

    /// The values that a demand names, at the end of the path at hand, must be what they are: marks them in its ancestors.
    pub(crate) fn demand(&mut self, cfg: &Cfg, trace: &[Entry], parent: u32, demand: Demand, depth: usize) {
        let mut walk = Walk::new(demand, depth);
        let (mut at, mut left) = (parent, trace.len());
        while !walk.demand.is_empty() {
            while let Some(node) = self.nodes.get_mut(at as usize)
                && node.position as usize == left
            {
                mark(node, &mut walk.demand);
                at = node.parent;
            }
            let Some(entry) = left.checked_sub(1).and_then(|i| trace.get(i)) else { return };
            left -= 1;
            walk.undo(cfg, *entry);
        }
    }

    /// A node cut a path off: what mattered below the node matters to the path's ancestors.
    pub(crate) fn take_over(&mut self, cfg: &Cfg, trace: &[Entry], parent: u32, state: &State, node: u32) {
        let Some(n) = self.nodes.get(node as usize) else { return };
        let mut demand = Demand::default();
        let mut reads = [0; crate::limits::MAX_CALL_FRAMES];
        for ((m, need), read) in n.mattered.iter().zip(&mut demand.frames).zip(&mut reads) {
            *need = m.precise;
            *read = m.read;
        }
        let exact = n.exact;
        for (frame, halves) in reads.into_iter().enumerate() {
            self.read(parent, state, frame, halves);
        }
        self.demand(cfg, trace, parent, demand, state.depth());
        if exact {
            self.needs_all(parent);
        }
    }

    /// A path below a node was cut off at a state of which it is not known yet what matters: neither is it of the node, nor of any above.
    pub(crate) fn needs_all(&mut self, node: u32) {
        let mut at = node;
        while let Some(n) = self.nodes.get_mut(at as usize)
            && !n.exact
        {
            n.exact = true;
            at = n.parent;
        }
    }

    /// The node above one.
    pub(crate) fn parent_of(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NONE, |n| n.parent)
    }

    /// The latest state of the path that ends at a node that was kept at an instruction with the same calls open, and what is known to matter of it.
    pub(crate) fn previous(&self, node: u32, pc: u32, state: &State) -> Option<(&State, &[Mattered])> {
        let path =
            core::iter::successors(self.nodes.get(node as usize), |n| self.nodes.get(n.parent as usize));
        path.filter(|n| n.pc == pc).find_map(|n| {
            let old = n.state.as_ref()?;
            let alike = old.frames.len() == state.frames.len()
                && old.frames.iter().zip(&state.frames).skip(1).all(|(a, b)| a.callsite == b.callsite);
            alike.then_some((old, &n.mattered[..]))
        })
    }

    /// What mattered of every kept state, for oracles.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &State, &[Mattered])> {
        self.heads.iter().enumerate().flat_map(move |(pc, head)| {
            core::iter::successors(self.nodes.get(*head as usize), |n| self.nodes.get(n.next as usize))
                .filter_map(move |n| Some((pc as u32, n.state.as_ref()?, &n.mattered[..])))
        })
    }
}

/// Whether a state of the path at hand is at the same bounded loop as an older one of that path, and not at another run of it: so that the loop's own
/// bound ends what the exploration does not follow.
fn next_turn(old: &State, new: &State, bounded: Bounded) -> bool {
    match bounded {
        Bounded::Callback => new.frame().turns > 0,
        Bounded::Iterator => match (iterator(old), iterator(new)) {
            (Some(a), Some(b)) => a.owner == b.owner && b.kind == Kind::IterSlot(IterState::Active),
            _ => false,
        },
    }
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
fn mark(node: &mut Node, demand: &mut Demand) {
    for (i, (m, need)) in node.mattered.iter_mut().zip(&mut demand.frames).enumerate() {
        if let Some(frame) = node.state.as_ref().and_then(|s| s.frames.get(i)) {
            for (r, reg) in frame.regs.iter().enumerate() {
                if reg.kind.is_pointer() {
                    need.regs &= !(1 << r);
                }
            }
            for (slot, s) in frame.stack.slots().iter().enumerate() {
                if s.spilled().is_some_and(|r| r.kind.is_pointer()) {
                    need.halves &= !super::backtrack::halves_of(slot);
                }
            }
        }
        let new = Need { regs: need.regs & !m.precise.regs, halves: need.halves & !m.precise.halves };
        m.precise.regs |= new.regs;
        m.precise.halves |= new.halves;
        *need = new;
    }
}
