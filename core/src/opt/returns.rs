//! Returns at the end of every way to them.
//!
//! Compilers of BPF join all ways at one exit. Where that block does nothing but return, a jump to it becomes a return of the value it brings: a constant action then
//! needs neither a jump nor the entry's check of what is returned. A branch that brings a constant gets a block of its own for it, behind all others.

use crate::ir::{Block, BlockData, Edge, Func, Term, Value};
use crate::mem::{OutOfMemory, Vec};

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    for b in 0..func.blocks.len() {
        let returns = match &func.blocks[b].term {
            Term::Jump(edge) => returned(func, edge),
            _ => None,
        };
        match returns {
            Some(v) => func.blocks[b].term = Term::Return(v),
            None => branch(func, b)?,
        }
    }
    Ok(())
}

/// Gives each edge of a branch that only returns a constant a block that does so.
fn branch(func: &mut Func, b: usize) -> Result<(), OutOfMemory> {
    for way in 0..2 {
        let Term::Branch(_, edges) = &func.blocks[b].term else { return Ok(()) };
        let Some(v) = returned(func, &edges[way]).filter(|v| func.constant(*v).is_some()) else { continue };
        let (to, pc) = (Block(func.blocks.len() as u32), func.blocks[edges[way].to.index()].pc);
        let term = Term::Return(v);
        func.blocks.push(BlockData { params: Vec::new(), insts: Vec::new(), term, pc, dead: false })?;
        if let Term::Branch(_, edges) = &mut func.blocks[b].term {
            edges[way] = Edge { to, args: Vec::new() };
        }
    }
    Ok(())
}

/// What is returned by way of an edge, where its target does nothing else.
fn returned(func: &Func, edge: &Edge) -> Option<Value> {
    let exit = &func.blocks[edge.to.index()];
    let Term::Return(v) = exit.term else { return None };
    if !exit.insts.is_empty() || exit.params.is_empty() {
        return None;
    }
    match exit.params.iter().position(|p| *p == v) {
        Some(i) => edge.args.get(i).copied(),
        None => Some(v),
    }
}
