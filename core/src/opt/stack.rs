//! The BPF stack: loads of what was just stored take the stored value, and stores that nothing reads are dropped.
//!
//! Forwarding works inside a block, on accesses at the same place and of the same size; a store that overlaps ends it. Where the frame's address goes nowhere but into
//! loads and stores of this function (it does not escape), other memory and calls cannot touch it, and stores to bytes that no load of the function reads are
//! dropped; a frame that is then unused costs nothing.

use crate::ir::{Effect, Ext, Func, Inst, InstData, Op, Shape, Size, Value};
use crate::mem::{OutOfMemory, Vec};

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    let escapes = escapes(func);
    for b in 0..func.blocks.len() {
        forward(func, b, escapes)?;
    }
    func.apply_replacements();
    if !escapes {
        drop_dead_stores(func)?;
    }
    Ok(())
}

fn in_frame(d: &InstData) -> bool {
    d.op.is_memory() && d.args[0].is_none()
}

/// Whether an address of the frame is used as a value: anything but the base of an access.
fn escapes(func: &Func) -> bool {
    let is_frame = |v: &Value| func.def_inst(*v).is_some_and(|d| d.op == Op::FrameAddr);
    func.live_blocks().any(|(_, data)| {
        data.insts.iter().any(|i| func.insts[i.index()].args.iter().flatten().any(is_frame))
            || data.term.operands().iter().flatten().any(is_frame)
            || data.term.edges().iter().flat_map(|e| &e.args).any(is_frame)
    })
}

/// What a store left at a place.
struct Stored {
    off: i32,
    size: Size,
    value: Option<Value>,
    imm: i64,
}

fn overlap(a: (i32, Size), b: (i32, Size)) -> bool {
    let end = |(off, size): (i32, Size)| i64::from(off) + i64::from(size.bytes());
    i64::from(a.0) < end(b) && i64::from(b.0) < end(a)
}

fn forward(func: &mut Func, b: usize, escapes: bool) -> Result<(), OutOfMemory> {
    let mut known: Vec<Stored> = Vec::new();
    for i in 0..func.blocks[b].insts.len() {
        let inst = func.blocks[b].insts[i];
        let d = func.insts[inst.index()];
        if !in_frame(&d) {
            if escapes && d.op.effect() == Effect::Write {
                known.clear();
            }
            continue;
        }
        match d.op {
            Op::Load => {
                let same = known.iter().find(|s| s.off == d.off && s.size == d.size);
                if let (Some(s), Ext::Zero) = (same, d.ext) {
                    take(func, inst, d, s);
                }
            }
            Op::Store => {
                known.retain(|s| !overlap((s.off, s.size), (d.off, d.size)));
                known.push(Stored { off: d.off, size: d.size, value: d.args[1], imm: d.imm })?;
            }
            _ => known.retain(|s| !overlap((s.off, s.size), (d.off, d.size))),
        }
    }
    Ok(())
}

/// Turns a load into the value that was stored there.
fn take(func: &mut Func, inst: Inst, d: InstData, s: &Stored) {
    let new = match s.value {
        Some(v) => InstData { size: d.size, ..InstData::new(Op::Zext, d.pc).with_arg(v) },
        None => InstData::new(Op::Const, d.pc)
            .with_imm((s.imm as u64 & (u64::MAX >> (64 - d.size.bits()))) as i64),
    };
    func.insts[inst.index()] = InstData { result: d.result, ..new };
}

fn drop_dead_stores(func: &mut Func) -> Result<(), OutOfMemory> {
    let mut read: Vec<(i32, Size)> = Vec::new();
    for (_, data) in func.live_blocks() {
        for inst in &data.insts {
            let d = &func.insts[inst.index()];
            if in_frame(d) && d.op != Op::Store && d.op.shape() != Shape::Leaf {
                read.push((d.off, d.size))?;
            }
        }
    }
    let is_read = |off: i32, size: Size| read.iter().any(|r| overlap(*r, (off, size)));
    let Func { insts, blocks, frame, .. } = func;
    for block in blocks.iter_mut() {
        block.insts.retain(|i| {
            let d = &insts[i.index()];
            !(in_frame(d) && d.op == Op::Store && !is_read(d.off, d.size))
        });
    }
    for slot in 0..64 {
        if !is_read(-8 * (slot + 1), Size::DW) {
            frame.clear &= !(1 << slot);
        }
    }
    Ok(())
}
