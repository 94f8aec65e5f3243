//! Removes zero-extensions of values whose upper half is zero anyway.
//!
//! Every 32-bit operation leaves zeros there. A parameter does where all its arguments do: assumed at first, and taken back until nothing changes, so that loops
//! do not stand in their own way.

use crate::ir::{Func, Op, Size, Value, ValueDef};
use crate::mem::{OutOfMemory, Vec};

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    let zero = upper_half_zero(func)?;
    for b in 0..func.blocks.len() {
        for i in 0..func.blocks[b].insts.len() {
            let d = func.insts[func.blocks[b].insts[i].index()];
            if let (Op::Zext, Size::W, Some(a), Some(result)) = (d.op, d.size, d.args[0], d.result) {
                let a = func.resolve(a);
                if zero[a.index()] {
                    func.replace(result, a);
                }
            }
        }
    }
    func.apply_replacements();
    Ok(())
}

fn upper_half_zero(func: &Func) -> Result<Vec<bool>, OutOfMemory> {
    let mut zero = Vec::from_fn(func.values.len(), |i| match func.def(Value::new(i)) {
        ValueDef::Inst(inst) => func.insts[inst.index()].zeroes_upper_half(),
        ValueDef::Param(block) => block != crate::ir::Block::ENTRY,
        ValueDef::Alias(_) => false,
    })?;
    let mut changed = true;
    while core::mem::take(&mut changed) {
        for (_, data) in func.live_blocks() {
            for edge in data.term.edges() {
                for (&arg, &param) in edge.args.iter().zip(&func.blocks[edge.to.index()].params) {
                    if zero[param.index()] && !zero[func.resolve(arg).index()] {
                        zero[param.index()] = false;
                        changed = true;
                    }
                }
            }
        }
    }
    Ok(zero)
}
