//! `bpf_loop` with a function that is known and no flags, inlined: a loop of direct calls.
//!
//! ```text
//! r = bpf_loop(n, f, data, 0)   =>        n = (u32)n;  n <= BPF_MAX_LOOPS ? head(0) : after(-E2BIG)
//!                               head(i):  i < n ? turn : after(i)
//!                               turn:     f(i, data) == 0 ? head(i + 1) : after(i + 1)
//!                               after(r):
//! ```
//!
//! A turn that ends the run leaves the loop as every call of a function does. Source: `inline_bpf_loop` in the kernel's `kernel/bpf/verifier.c`, which does the same.

use crate::error::Errno;
use crate::helpers::HelperSet;
use crate::ir::{
    Block, BlockData, Compare, Cond, Edge, Func, Inst, InstData, Op, Size, Term, Value, ValueDef, Width,
};
use crate::jit::CompileError;
use crate::limits::BPF_MAX_LOOPS;
use crate::mem::Vec;

/// `bpf_loop`.
const LOOP: u32 = 181;

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func, helpers: HelperSet) -> Result<(), CompileError> {
    let mut b = 0;
    while b < func.blocks.len() {
        match find(func, b, helpers) {
            Some(found) => {
                inline(func, b, &found)?;
                // What was behind the call is in the third block from here.
                b += 3;
            }
            None => b += 1,
        }
    }
    Ok(())
}

/// A call that can be inlined.
struct Found {
    /// Its place among the block's operations.
    at: usize,
    function: i64,
    turns: Value,
    data: Value,
    result: Value,
    pc: u32,
}

fn find(func: &Func, b: usize, helpers: HelperSet) -> Option<Found> {
    func.blocks[b].insts.iter().enumerate().find_map(|(at, inst)| {
        let d = &func.insts[inst.index()];
        let is_loop = d.op == Op::CallHelper
            && u16::try_from(d.imm).ok().and_then(|row| helpers.get(row)).is_some_and(|h| h.id == LOOP);
        let (turns, f, data, flags) = (d.args[0]?, d.args[1]?, d.args[2]?, d.args[3]?);
        let f = func.def_inst(f).filter(|f| f.op == Op::FuncPtr)?;
        let plain = is_loop && func.constant(flags) == Some(0);
        plain.then_some(Found { at, function: f.imm, turns, data, result: d.result?, pc: d.pc })
    })
}

/// Makes room for three blocks behind a block.
fn make_room(func: &mut Func, b: usize) {
    let moved = |block: &mut Block| {
        if block.index() > b {
            block.0 += 3;
        }
    };
    for block in func.blocks.iter_mut() {
        block.term.edges_mut().iter_mut().for_each(|e| moved(&mut e.to));
    }
    for value in func.values.iter_mut() {
        if let ValueDef::Param(block) = value {
            moved(block);
        }
    }
}

fn inline(func: &mut Func, b: usize, found: &Found) -> Result<(), CompileError> {
    make_room(func, b);
    let [head, turn, after] = [1, 2, 3].map(|i| Block((b + i) as u32));
    let new = |op| InstData::new(op, found.pc);
    let compare = |cond, a, b, imm| Compare { cond, width: Width::W64, a, b, imm };
    let mut insts = Vec::new();
    let add = |func: &mut Func, insts: &mut Vec<Inst>, d: InstData| -> Result<Value, CompileError> {
        let inst = func.add_inst(d)?;
        insts.push(inst)?;
        func.insts[inst.index()].result.ok_or(CompileError::Unsupported { pc: found.pc })
    };
    // The block keeps what was before the call.
    let mut behind = Vec::new();
    let before = core::mem::take(&mut func.blocks[b].insts);
    for (i, inst) in before.into_iter().enumerate() {
        match i.cmp(&found.at) {
            core::cmp::Ordering::Less => insts.push(inst)?,
            core::cmp::Ordering::Equal => {}
            core::cmp::Ordering::Greater => behind.push(inst)?,
        }
    }
    let turns = InstData { size: Size::W, ..new(Op::Zext).with_arg(found.turns) };
    let turns = add(func, &mut insts, turns)?;
    let zero = add(func, &mut insts, new(Op::Const))?;
    let too_many = add(func, &mut insts, new(Op::Const).with_imm(Errno::E2BIG.to_ret() as i64))?;
    let limit = compare(Cond::Le, turns, None, i64::from(BPF_MAX_LOOPS));
    let term = Term::Branch(limit, [edge(head, &[zero])?, edge(after, &[too_many])?]);
    let term = core::mem::replace(&mut func.blocks[b].term, term);
    func.blocks[b].insts = insts;

    let (i, result) = (func.add_value(ValueDef::Param(head))?, func.add_value(ValueDef::Param(after))?);
    let more = compare(Cond::Lt, i, Some(turns), 0);
    let to_turn = Term::Branch(more, [edge(turn, &[])?, edge(after, &[i])?]);
    let mut insts = Vec::new();
    let call = new(Op::CallFunc).with_imm(found.function).with_args(&[Some(i), Some(found.data)]);
    let stop = add(func, &mut insts, call)?;
    let next = add(func, &mut insts, new(Op::Add).with_arg(i).with_imm(1))?;
    let go_on = compare(Cond::Eq, stop, None, 0);
    let again = Term::Branch(go_on, [edge(head, &[next])?, edge(after, &[next])?]);
    let block = |params, insts, term| BlockData { params, insts, term, pc: found.pc, dead: false };
    func.blocks.insert(b + 1, block(Vec::from_slice(&[i])?, Vec::new(), to_turn))?;
    func.blocks.insert(b + 2, block(Vec::new(), insts, again))?;
    func.blocks.insert(b + 3, block(Vec::from_slice(&[result])?, behind, term))?;
    func.replace(found.result, result);
    func.apply_replacements();
    Ok(())
}

fn edge(to: Block, args: &[Value]) -> Result<Edge, CompileError> {
    Ok(Edge { to, args: Vec::from_slice(args)? })
}
