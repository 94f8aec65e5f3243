//! The states that were met, by instruction: what pruning and loop detection look at.
//!
//! A node is a state at an instruction where paths meet, with its parent (the node before it on its path) and the number of paths from it that
//! are not finished. Exploration is depth first, so a node with unfinished paths is an ancestor of the path at hand: a state that equals
//! it has come round a loop without a change. Finished nodes prune. Nodes that miss more often than they hit give their
//! state back, finished or not: a loop that counts is not slowed down by all its turns.

use super::prune::{Compare, IdMap, covers};
use super::state::State;
use crate::mem::{OutOfMemory, Vec};

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node {
    /// `None` once it was given back.
    state: Option<State>,
    /// Next node at the same instruction.
    next: u32,
    parent: u32,
    /// Paths that are not finished.
    open: u32,
    hits: u32,
    misses: u32,
}

/// What meeting an instruction again found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing that covers it.
    New,
    /// The path need not go on.
    Covered,
    /// The path came back to where it was.
    Loop,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Explored {
    nodes: Vec<Node>,
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

    /// Compares a state with the older ones at its instruction. `counts`: whether a miss counts against them.
    pub(crate) fn meet(&mut self, pc: u32, state: &State, counts: bool) -> Result<Met, OutOfMemory> {
        let mut previous = NONE;
        let mut at = self.heads[pc as usize];
        while at != NONE {
            let (nodes, ids) = (&mut self.nodes, &mut self.ids);
            let node = &mut nodes[at as usize];
            let next = node.next;
            if let Some(old) = &node.state {
                if node.open > 0 {
                    if covers(old, state, Compare::Same, ids)? {
                        return Ok(Met::Loop);
                    }
                } else if covers(old, state, Compare::Covers, ids)? {
                    node.hits += 1;
                    self.hits += 1;
                    return Ok(Met::Covered);
                }
            }
            node.misses += u32::from(counts);
            let tired = node.misses > node.hits * 3 + 3;
            if tired {
                if let Some(old) = node.state.take() {
                    self.bytes -= old.bytes();
                    self.kept -= 1;
                }
                match previous {
                    NONE => self.heads[pc as usize] = next,
                    p => self.nodes[p as usize].next = next,
                }
            } else {
                previous = at;
            }
            at = next;
        }
        Ok(Met::New)
    }

    /// Keeps a state; the path at hand goes on below it. Returns its node.
    pub(crate) fn keep(&mut self, pc: u32, state: State, parent: u32) -> Result<u32, OutOfMemory> {
        let index = self.nodes.len() as u32;
        self.bytes += state.bytes();
        let next = self.heads[pc as usize];
        self.nodes.push(Node { state: Some(state), next, parent, open: 1, hits: 0, misses: 0 })?;
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
            at = n.parent;
        }
    }
}
