//! Removes what nothing needs: blocks that nothing leads to, parameters and operations whose value nothing reads.

use crate::ir::{Block, Effect, Func, InstData, Op, Term, Value, ValueDef};
use crate::mem::{OutOfMemory, Vec};

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    blocks(func)?;
    let needed = needed(func)?;
    let Func { insts, blocks, .. } = func;
    let mut keep: Vec<Vec<bool>> = Vec::with_capacity(blocks.len())?;
    for b in blocks.iter() {
        let mut list = Vec::with_capacity(b.params.len())?;
        for p in &b.params {
            list.push(needed[p.index()])?;
        }
        keep.push(list)?;
    }
    // The entry's parameters are the function's signature.
    if let Some(entry) = keep.first_mut() {
        entry.fill(true);
    }
    for inst in insts.iter_mut().filter(|d| d.result.is_some_and(|v| !needed[v.index()])) {
        forget_fetched(inst);
    }
    for (i, block) in blocks.iter_mut().enumerate() {
        block.insts.retain(|inst| {
            let d = &insts[inst.index()];
            d.op.effect() == Effect::Write || d.result.is_some_and(|v| needed[v.index()])
        });
        filter(&mut block.params, &keep[i]);
        for edge in block.term.edges_mut() {
            filter(&mut edge.args, &keep[edge.to.index()]);
        }
    }
    Ok(())
}

/// An atomic operation whose old value nothing reads need not fetch it.
fn forget_fetched(d: &mut InstData) {
    d.op = match d.op {
        Op::FetchAdd => Op::AtomicAdd,
        Op::FetchAnd => Op::AtomicAnd,
        Op::FetchOr => Op::AtomicOr,
        Op::FetchXor => Op::AtomicXor,
        _ => return,
    };
    d.result = None;
}

fn filter(list: &mut Vec<Value>, keep: &[bool]) {
    let mut i = 0;
    list.retain(|_| {
        i += 1;
        keep.get(i - 1).copied().unwrap_or(false)
    });
}

/// Marks blocks that nothing leads to.
fn blocks(func: &mut Func) -> Result<(), OutOfMemory> {
    let mut seen = Vec::filled(false, func.blocks.len())?;
    let mut work = Vec::from_slice(&[Block::ENTRY])?;
    while let Some(block) = work.pop() {
        if core::mem::replace(&mut seen[block.index()], true) {
            continue;
        }
        for edge in func.blocks[block.index()].term.edges() {
            work.push(edge.to)?;
        }
    }
    for (block, seen) in func.blocks.iter_mut().zip(&seen) {
        if !seen {
            block.dead = true;
            block.insts.clear();
            block.params.clear();
            block.term = Term::Trap;
        }
    }
    Ok(())
}

/// Which values something with an effect reads, directly or through others.
fn needed(func: &Func) -> Result<Vec<bool>, OutOfMemory> {
    let mut needed = Vec::filled(false, func.values.len())?;
    let mut work: Vec<Value> = Vec::new();
    // The edges into each block, for the arguments of parameters.
    let preds = crate::regalloc::liveness::predecessors(func)?;
    for (_, data) in func.live_blocks() {
        for inst in &data.insts {
            let d = &func.insts[inst.index()];
            if d.op.effect() == Effect::Write {
                work.extend(d.args.iter().flatten().copied())?;
            }
        }
        work.extend(data.term.operands().into_iter().flatten())?;
    }
    while let Some(v) = work.pop() {
        if core::mem::replace(&mut needed[v.index()], true) {
            continue;
        }
        match func.values[v.index()] {
            ValueDef::Inst(i) => work.extend(func.insts[i.index()].args.iter().flatten().copied())?,
            ValueDef::Param(block) => {
                let Some(i) = func.blocks[block.index()].params.iter().position(|p| *p == v) else {
                    continue;
                };
                for pred in preds.of(block) {
                    let edges = func.blocks[pred.index()].term.edges().iter().filter(|e| e.to == block);
                    work.extend(edges.filter_map(|e| e.args.get(i).copied()))?;
                }
            }
            ValueDef::Alias(to) => work.push(to)?,
        }
    }
    Ok(needed)
}
