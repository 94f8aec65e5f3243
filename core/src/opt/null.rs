//! Null tests of bounded lookups: the bound itself decides.
//!
//! ```text
//! v = select k < max, address, 0;  br v == 0, null, found   =>   br k < max, found, null
//! ```
//!
//! and in every block that can only be reached through `found`, `v` is the address. Where nothing else reads the select it goes, and the lookup costs one comparison.

use super::fold::is_address;
use crate::ir::{Block, Compare, Cond, Func, Op, Term, Value, Width};
use crate::mem::{OutOfMemory, Vec};
use crate::regalloc::liveness::{Preds, predecessors};

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    let mut preds = None;
    for b in 0..func.blocks.len() {
        let Some(test) = null_test(func, b) else { continue };
        let preds = match &preds {
            Some(preds) => preds,
            None => preds.insert(predecessors(func)?),
        };
        if test.found == test.null {
            continue;
        }
        decide(func, b, &test);
        if *preds.of(test.found) == [Block(b as u32)] {
            let inside = only_through(func, preds, test.found)?;
            substitute(func, &inside, test.value, test.address);
        }
    }
    Ok(())
}

/// A branch on whether a bounded lookup found something.
struct Test {
    value: Value,
    address: Value,
    zero: Value,
    bound: Compare,
    found: Block,
    null: Block,
    /// Which edge is taken when something was found.
    found_edge: usize,
}

fn null_test(func: &Func, b: usize) -> Option<Test> {
    let Term::Branch(c, edges) = &func.blocks[b].term else { return None };
    let found_edge = match c.cond {
        Cond::Eq => 1,
        Cond::Ne => 0,
        _ => return None,
    };
    if c.b.is_some() || c.imm != 0 || c.width != Width::W64 {
        return None;
    }
    let d = func.def_inst(c.a).filter(|d| d.op == Op::Select)?;
    let (address, zero) = (d.args[2]?, d.args[3]?);
    if func.constant(zero) != Some(0) || !is_address(func, address) {
        return None;
    }
    let bound = Compare { cond: d.cond, width: d.width, a: d.args[0]?, b: d.args[1], imm: d.imm };
    let (found, null) = (edges[found_edge].to, edges[1 - found_edge].to);
    Some(Test { value: c.a, address, zero, bound, found, null, found_edge })
}

/// Lets the bound decide; the found edge comes first.
fn decide(func: &mut Func, b: usize, test: &Test) {
    if let Term::Branch(c, edges) = &mut func.blocks[b].term {
        *c = test.bound;
        if test.found_edge == 1 {
            edges.swap(0, 1);
        }
        for (edge, to) in edges.iter_mut().zip([test.address, test.zero]) {
            edge.args.iter_mut().filter(|v| **v == test.value).for_each(|v| *v = to);
        }
    }
}

/// The blocks that are reached through `head` alone, `head` itself included: those all of whose ways in come from such blocks.
fn only_through(func: &Func, preds: &Preds, head: Block) -> Result<Vec<bool>, OutOfMemory> {
    let mut inside = Vec::filled(false, func.blocks.len())?;
    inside[head.index()] = true;
    let mut changed = true;
    while core::mem::take(&mut changed) {
        for (block, _) in func.live_blocks().filter(|(b, _)| *b != Block::ENTRY) {
            let ways = preds.of(block);
            if !inside[block.index()] && !ways.is_empty() && ways.iter().all(|p| inside[p.index()]) {
                inside[block.index()] = true;
                changed = true;
            }
        }
    }
    Ok(inside)
}

fn substitute(func: &mut Func, inside: &[bool], from: Value, to: Value) {
    let swap = |v: &mut Value| {
        if *v == from {
            *v = to;
        }
    };
    let Func { insts, blocks, .. } = func;
    for block in blocks.iter_mut().zip(inside).filter(|(_, inside)| **inside).map(|(block, _)| block) {
        for inst in &block.insts {
            insts[inst.index()].args.iter_mut().flatten().for_each(swap);
        }
        match &mut block.term {
            Term::Branch(c, _) => {
                swap(&mut c.a);
                c.b.iter_mut().for_each(swap);
            }
            Term::Return(v) => swap(v),
            Term::Jump(_) | Term::Trap => {}
        }
        for edge in block.term.edges_mut() {
            edge.args.iter_mut().for_each(swap);
        }
    }
}
