//! Removes block parameters that always get the same value.
//!
//! Every join has a parameter for each live register at first; where all ways in agree (a loop's own back edge aside), the value itself will do. Repeated, since one
//! removal lets others agree.
//!
//! Source: Braun et al., "Simple and Efficient Construction of Static Single Assignment Form", trivial phi functions.

use crate::ir::{Block, Func, Value};
use crate::mem::{OutOfMemory, Vec};
use crate::regalloc::liveness::predecessors;

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    let preds = predecessors(func)?;
    let mut changed = true;
    let mut gone: Vec<Vec<bool>> = Vec::with_capacity(func.blocks.len())?;
    for b in &func.blocks {
        gone.push(Vec::filled(false, b.params.len())?)?;
    }
    while core::mem::take(&mut changed) {
        for b in 1..func.blocks.len() {
            let block = Block(b as u32);
            for i in 0..func.blocks[b].params.len() {
                if gone[b][i] {
                    continue;
                }
                let param = func.blocks[b].params[i];
                if let Some(v) = only_value(func, preds.of(block), block, i, param) {
                    func.replace(param, v);
                    gone[b][i] = true;
                    changed = true;
                }
            }
        }
    }
    func.apply_replacements();
    for b in 1..func.blocks.len() {
        remove(&mut func.blocks[b].params, &gone[b]);
        for edge in func.blocks[b].term.edges_mut() {
            remove(&mut edge.args, &gone[edge.to.index()]);
        }
    }
    for edge in func.blocks[0].term.edges_mut() {
        remove(&mut edge.args, &gone[edge.to.index()]);
    }
    Ok(())
}

fn remove(list: &mut Vec<Value>, gone: &[bool]) {
    let mut i = 0;
    list.retain(|_| {
        i += 1;
        !gone.get(i - 1).copied().unwrap_or(false)
    });
}

/// The one value, other than itself, that a parameter gets.
fn only_value(func: &Func, preds: &[Block], block: Block, i: usize, param: Value) -> Option<Value> {
    let mut found = None;
    for pred in preds {
        for edge in func.blocks[pred.index()].term.edges().iter().filter(|e| e.to == block) {
            let v = func.resolve(*edge.args.get(i)?);
            if v == param || found == Some(v) {
                continue;
            }
            if found.is_some() {
                return None;
            }
            found = Some(v);
        }
    }
    found
}
