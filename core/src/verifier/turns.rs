//! Loops whose end something else bounds: what mattered goes round.
//!
//! A path that comes round to a node *A* which is not finished is cut off there, since A's other paths are its future too. But what matters to that future is known only when
//! all of them are explored: until then the notes of A, and of the nodes between A and the cut, say too little. Those nodes have A as their `head`; they
//! may prune meanwhile, with states compared in full. Each cut is kept as an [`Edge`], with the part of the trace that leads to it.
//!
//! When A is finished, what mattered is carried round the edges until nothing is new:
//!
//! ```text
//! repeat: for each edge: walk back from its end with the notes of its target, marking nodes up to A
//! until no mark of an edge's `until` changed; then go on from A to those above it
//! ```
//!
//! Where A is itself inside a loop to an older node, that one's end is waited for; the way from A up to it is an edge as well. A path that is cut off
//! at a finished node with a head is an edge to that node. Edges are dropped with the outermost loop.

use super::backtrack::Entry;
use super::cfg::Cfg;
use super::explored::{Explored, NONE};
use super::state::State;
use crate::limits::MAX_CALL_FRAMES;
use crate::mem::{OutOfMemory, Vec};

/// A way to a state whose notes are not complete.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The trace, from the position of `until` to the cut.
    trace: Vec<Entry>,
    /// The node above the cut.
    parent: u32,
    /// The node that cut it off.
    target: u32,
    /// Up to which node notes are carried.
    until: u32,
    /// Half slots of each frame that were overwritten between `parent` and the cut.
    written: [u128; MAX_CALL_FRAMES],
}

impl Explored {
    /// The path at hand is cut off at a node whose notes are not complete.
    pub(crate) fn comes_round(
        &mut self,
        trace: &[Entry],
        parent: u32,
        state: &State,
        target: u32,
    ) -> Result<(), OutOfMemory> {
        let Some(n) = self.nodes.get(target as usize) else { return Ok(()) };
        let (head, until) = match (n.head, n.open > 0) {
            (NONE, _) => (target, target),
            (head, true) => (head, target),
            (head, false) => (head, head),
        };
        let mut written = [u128::MAX; MAX_CALL_FRAMES];
        for (w, f) in written.iter_mut().zip(&state.frames) {
            *w = f.written;
        }
        self.waits_for(parent, until, head);
        self.edge(trace, parent, target, until, written)
    }

    fn edge(
        &mut self,
        trace: &[Entry],
        parent: u32,
        target: u32,
        until: u32,
        written: [u128; MAX_CALL_FRAMES],
    ) -> Result<(), OutOfMemory> {
        let first = self.nodes.get(until as usize).map_or(0, |n| n.position as usize);
        let trace = Vec::from_slice(trace.get(first..).unwrap_or_default())?;
        self.edge_bytes += size_of::<Edge>() + trace.len() * size_of::<Entry>();
        self.edges.push(Edge { trace, parent, target, until, written })
    }

    /// The nodes from `from` up to `until` wait for `head`, where they do not wait for an older one.
    fn waits_for(&mut self, from: u32, until: u32, head: u32) {
        let position = self.nodes.get(head as usize).map_or(0, |n| n.position);
        let mut at = from;
        loop {
            let older = self.nodes.get(at as usize).map(|n| n.head).filter(|h| *h != NONE);
            let older =
                older.and_then(|h| self.nodes.get(h as usize)).is_some_and(|h| h.position <= position);
            let Some(n) = self.nodes.get_mut(at as usize) else { return };
            if !older {
                n.head = head;
            }
            if at == until {
                return;
            }
            at = n.parent;
        }
    }

    /// A node with a head has no open path any more.
    pub(crate) fn turns_end(&mut self, cfg: &Cfg, trace: &[Entry], node: u32) -> Result<(), OutOfMemory> {
        let Some(n) = self.nodes.get(node as usize) else { return Ok(()) };
        let (head, parent, position) = (n.head, n.parent, n.position as usize);
        let upto = trace.get(..position).unwrap_or_default();
        let mut written = [u128::MAX; MAX_CALL_FRAMES];
        for (frame, w) in written.iter_mut().enumerate() {
            *w = self.written(node, frame);
        }
        if head != node {
            // Only a target of edges has more to tell than its own path did.
            if self.edges.iter().any(|e| e.until == node) {
                return self.edge(upto, parent, node, head, written);
            }
            return Ok(());
        }
        self.carry_round(cfg, node);
        let (demand, reads, depth) = self.notes(node);
        for (frame, halves) in reads.into_iter().enumerate() {
            self.read_above(parent, NONE, frame, halves & !written[frame]);
        }
        self.demand(cfg, upto, parent, demand, depth);
        self.drop_edges(node);
        Ok(())
    }

    /// Carries notes round all edges of a loop until nothing is new.
    fn carry_round(&mut self, cfg: &Cfg, head: u32) {
        let edges = core::mem::take(&mut self.edges);
        loop {
            let mut changed = false;
            for e in &edges {
                if self.nodes.get(e.until as usize).is_none_or(|n| n.head != head) {
                    continue;
                }
                let first = self.nodes.get(e.until as usize).map_or(0, |n| n.position as usize);
                let (demand, reads, depth) = self.notes(e.target);
                for (frame, halves) in reads.into_iter().enumerate() {
                    changed |= self.read_above(e.parent, e.until, frame, halves & !e.written[frame]);
                }
                changed |= self.demand_until(cfg, (&e.trace, first), (e.parent, e.until), demand, depth);
            }
            if !changed {
                break;
            }
        }
        self.edges = edges;
    }

    /// A loop is done: its nodes wait no more.
    fn drop_edges(&mut self, head: u32) {
        let mut edges = core::mem::take(&mut self.edges);
        let first =
            edges.iter().position(|e| self.nodes.get(e.until as usize).is_some_and(|n| n.head == head));
        for e in edges.drain(first.unwrap_or(0)..) {
            self.edge_bytes -= size_of::<Edge>() + e.trace.len() * size_of::<Entry>();
            let mut at = e.parent;
            while let Some(n) = self.nodes.get(at as usize) {
                let (parent, waits) = (n.parent, n.head == head);
                if waits {
                    self.settled(at);
                }
                if at == e.until {
                    break;
                }
                at = parent;
            }
        }
        self.edges = edges;
        self.settled(head);
    }
}
