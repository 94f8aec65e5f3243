//! The open-coded iterator over numbers, inlined: `bpf_iter_num_new`, `_next` and `_destroy` on the eight bytes of the iterator.
//!
//! ```text
//! new(it, start, end)   =>   n = (s64)end - (s64)start;  ok = (u64)n <= BPF_MAX_LOOPS
//!                            *it = ok ? start - 1, end : 0, 0;   ok ? 0 : n < 0 ? -EINVAL : -E2BIG
//! next(it)              =>   i = it->current + 1;  more = i < it->end
//!                            *it = more ? i, it->end : 0, 0;     more ? it : null
//! destroy(it)           =>   *it = 0, 0
//! ```
//!
//! Source: the functions in `helpers::iter`, which the interpreter calls.

use crate::error::Errno;
use crate::helpers::{HelperSet, ITER_NUM_DESTROY, ITER_NUM_NEW, ITER_NUM_NEXT};
use crate::ir::{Cond, Ext, Func, Inst, InstData, Op, Size, Value, Width};
use crate::jit::CompileError;
use crate::limits::BPF_MAX_LOOPS;
use crate::mem::Vec;
use crate::program::MemClass;

/// Where the iterator's end is; what it gave last is before that.
const END: i32 = 4;

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func, helpers: HelperSet) -> Result<(), CompileError> {
    for b in 0..func.blocks.len() {
        let is_call = |i: &Inst| function(&func.insts[i.index()], helpers).is_some();
        if !func.blocks[b].insts.iter().any(is_call) {
            continue;
        }
        let old = core::mem::take(&mut func.blocks[b].insts);
        let mut list = Vec::with_capacity(old.len() + 16)?;
        for inst in old {
            let d = func.insts[inst.index()];
            match function(&d, helpers) {
                Some(id) => Inline { func, list: &mut list, pc: d.pc }.call(id, &d)?,
                None => list.push(inst)?,
            }
        }
        func.blocks[b].insts = list;
    }
    Ok(())
}

/// Which of the three an operation calls.
fn function(d: &InstData, helpers: HelperSet) -> Option<u32> {
    if d.op != Op::CallHelper {
        return None;
    }
    let id = helpers.get(u16::try_from(d.imm).ok()?)?.id;
    (ITER_NUM_NEW..=ITER_NUM_DESTROY).contains(&id).then_some(id)
}

struct Inline<'a> {
    func: &'a mut Func,
    list: &'a mut Vec<Inst>,
    pc: u32,
}

impl Inline<'_> {
    fn inst(&self, op: Op) -> InstData {
        InstData::new(op, self.pc)
    }

    fn add(&mut self, d: InstData) -> Result<Option<Value>, CompileError> {
        let inst = self.func.add_inst(d)?;
        self.list.push(inst)?;
        Ok(self.func.insts[inst.index()].result)
    }

    fn push(&mut self, d: InstData) -> Result<Value, CompileError> {
        self.add(d)?.ok_or(CompileError::Unsupported { pc: self.pc })
    }

    fn constant(&mut self, value: i64) -> Result<Value, CompileError> {
        self.push(self.inst(Op::Const).with_imm(value))
    }

    /// Stores both numbers of an iterator.
    fn store(&mut self, iter: Value, current: Value, end: Value) -> Result<(), CompileError> {
        for (value, off) in [(current, 0), (end, END)] {
            let store = self.inst(Op::Store).with_args(&[Some(iter), Some(value)]);
            self.add(InstData { size: Size::W, off, mem: MemClass::Stack, ..store })?;
        }
        Ok(())
    }

    fn call(mut self, id: u32, d: &InstData) -> Result<(), CompileError> {
        let (Some(result), Some(iter)) = (d.result, d.args[0]) else {
            return Err(CompileError::Unsupported { pc: d.pc });
        };
        let value = match (id, d.args[1], d.args[2]) {
            (ITER_NUM_NEW, Some(start), Some(end)) => self.make(iter, start, end)?,
            (ITER_NUM_NEXT, ..) => self.next(iter)?,
            _ => {
                let zero = self.constant(0)?;
                self.store(iter, zero, zero)?;
                zero
            }
        };
        self.func.replace(result, value);
        Ok(())
    }

    fn make(&mut self, iter: Value, start: Value, end: Value) -> Result<Value, CompileError> {
        let signed = |v: Value, s: &Self| InstData { size: Size::W, ..s.inst(Op::Sext).with_arg(v) };
        let (first, last) = (self.push(signed(start, self))?, self.push(signed(end, self))?);
        let turns = self.push(self.inst(Op::Sub).with_args(&[Some(last), Some(first)]))?;
        let before = self.inst(Op::Sub).with_arg(first).with_imm(1).with_width(Width::W32);
        let before = self.push(before)?;
        let zero = self.constant(0)?;
        let mut where_made = |made: Value, not: Value| {
            let select = self.inst(Op::Select).with_args(&[Some(turns), None, Some(made), Some(not)]);
            self.push(InstData { cond: Cond::Le, imm: i64::from(BPF_MAX_LOOPS), ..select })
        };
        let (current, end) = (where_made(before, zero)?, where_made(last, zero)?);
        let (invalid, too_big) = (Errno::EINVAL.to_ret() as i64, Errno::E2BIG.to_ret() as i64);
        let (invalid, too_big) = (self.constant(invalid)?, self.constant(too_big)?);
        let error = self.inst(Op::Select).with_args(&[Some(turns), None, Some(invalid), Some(too_big)]);
        let error = self.push(InstData { cond: Cond::Slt, ..error })?;
        let result = self.inst(Op::Select).with_args(&[Some(turns), None, Some(zero), Some(error)]);
        let result = self.push(InstData { cond: Cond::Le, imm: i64::from(BPF_MAX_LOOPS), ..result })?;
        self.store(iter, current, end)?;
        Ok(result)
    }

    fn next(&mut self, iter: Value) -> Result<Value, CompileError> {
        let load = |off: i32, s: &Self| InstData {
            size: Size::W,
            ext: Ext::Zero,
            off,
            mem: MemClass::Stack,
            ..s.inst(Op::Load).with_arg(iter)
        };
        let (current, end) = (self.push(load(0, self))?, self.push(load(END, self))?);
        let following = self.inst(Op::Add).with_arg(current).with_imm(1).with_width(Width::W32);
        let following = self.push(following)?;
        let zero = self.constant(0)?;
        let mut where_more = |more: Value| {
            let args = [Some(following), Some(end), Some(more), Some(zero)];
            let select = self.inst(Op::Select).with_args(&args);
            self.push(InstData { cond: Cond::Slt, width: Width::W32, ..select })
        };
        let (now, last, at) = (where_more(following)?, where_more(end)?, where_more(iter)?);
        self.store(iter, now, last)?;
        Ok(at)
    }
}
