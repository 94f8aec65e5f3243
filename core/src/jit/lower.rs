//! From allocated IR to code, for any machine: blocks in layout order, moves where places differ, one macro-assembler call an operation.
//!
//! The program's code begins with the host's entry, then the raw main function (where the entry is not a copy of it), then the others, then the table that far calls go
//! through. A small main function that makes no tail call is written twice, once with the entry's check of the action in its returns; else the entry is a wrapper
//! around the raw one.
//!
//! Left to others: encodings ([`Masm`]), where code will be ([`super::exec`]).

use super::buffer::Label;
use super::chains::helper;
use super::masm::{Addr, Externs, FrameSpec, Masm, Opnd, ReturnMode};
use super::{CompileError, CompileOptions, FuncCode};
use crate::helpers::Helper;
use crate::ir::{Block, Compare, Edge, Func, Inst, InstData, Op, Shape, Term, Value};
use crate::maps::Map;
use crate::mem::Vec;
use crate::program::MemClass;
use crate::regalloc::moves::{Move, sequence};
use crate::regalloc::{Allocation, Constraints, Loc, Machine};
use crate::sync::Arc;
use crate::vm::AbortReason;

/// `bpf_map_lookup_elem`.
const LOOKUP: u32 = 1;
/// Operations up to which a main function is written twice.
const SMALL: usize = 400;

/// One function, ready to be written.
pub(crate) struct Ready<'a> {
    pub(crate) func: &'a Func,
    pub(crate) alloc: Allocation,
    pub(crate) spec: FrameSpec,
    /// Whether it, or what it calls, can end the run.
    pub(crate) may_fault: bool,
    /// Whether it, or what it calls, makes tail calls.
    pub(crate) may_leave: bool,
    /// Whether a helper that it calls calls functions of the program.
    pub(crate) calls_back: bool,
}

/// What lowering knows of the program.
pub(crate) struct Program<'a> {
    pub(crate) funcs: Vec<Ready<'a>>,
    pub(crate) maps: &'a [Arc<Map>],
    pub(crate) options: &'a CompileOptions,
    pub(crate) externs: Externs,
}

/// What one pass over the program writes, beside the code itself.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) tail_entry: u32,
    pub(crate) funcs: Vec<FuncCode>,
    /// Offset in the code and the instruction that it comes from.
    pub(crate) pcs: Vec<(u32, u32)>,
    /// Offset of each far call's table entry, and its address.
    pub(crate) veneers: Vec<(usize, u32)>,
    /// Where each function's record is, for functions that are used as values.
    pub(crate) records: Vec<(u32, u32)>,
    /// Functions that are, by index.
    pub(crate) values: Vec<bool>,
}

/// How a module's functions look to their frames.
pub(crate) fn frame_spec(func: &Func) -> FrameSpec {
    let mut spec = FrameSpec { main: func.index == 0, leaf: true, bpf_stack: 0, clear: func.frame.clear };
    let mut uses_frame = false;
    for (_, data) in func.live_blocks() {
        for inst in &data.insts {
            let d = &func.insts[inst.index()];
            spec.leaf &= !d.op.is_call();
            uses_frame |= d.op == Op::FrameAddr || (d.op.is_memory() && d.args[0].is_none());
        }
    }
    if uses_frame {
        spec.bpf_stack = func.frame.size.next_multiple_of(8);
    }
    spec
}

/// Writes what stands behind the code: the table that far calls go through, and the records of functions that are values.
fn tables<M: Masm>(
    m: &mut M,
    written: &mut Written,
    funcs: &[Label],
    records: &[Label],
) -> Result<(), CompileError> {
    for i in 0..written.values.len() {
        if let (true, Some(func), Some(record)) = (written.values[i], funcs.get(i), records.get(i)) {
            let thunk = m.thunk(*func);
            let at = m.record(*record, i as u64);
            written.records.push((at, thunk))?;
        }
    }
    let mut targets = Vec::new();
    m.buf().extern_targets(&mut targets)?;
    for target in targets {
        written.veneers.push((target, m.buf().offset()))?;
        m.veneer(target);
    }
    Ok(())
}

/// Writes the whole program.
pub(crate) fn write<M: Masm>(m: &mut M, program: &Program<'_>) -> Result<Written, CompileError> {
    let mut out = Written { values: Vec::filled(false, program.funcs.len())?, ..Written::default() };
    let labels = Vec::from_fn(program.funcs.len(), |_| m.buf().new_label())?;
    let records = Vec::from_fn(program.funcs.len(), |_| m.buf().new_label())?;
    let Some(main) = program.funcs.first() else { return Err(CompileError::NoFunction) };
    let tail_calls = program.funcs.iter().any(|f| has_tail_call(f.func));
    // What reads the reason of an abort needs an entry that has cleared it.
    let plain = !tail_calls && !main.may_fault && !program.funcs.iter().any(|f| f.calls_back);
    if main.func.insts.len() <= SMALL && plain {
        let label = m.buf().new_label();
        Lower::new(m, program, [&labels, &records], main, ReturnMode::Action, &mut out).function(label)?;
    } else {
        m.wrapper(&program.externs, labels[0]);
    }
    for (i, func) in program.funcs.iter().enumerate() {
        Lower::new(m, program, [&labels, &records], func, ReturnMode::Raw, &mut out).function(labels[i])?;
    }
    tables(m, &mut out, &labels, &records)?;
    out.tail_entry = m.buf().label_offset(labels[0]).unwrap_or(0);
    Ok(out)
}

fn has_tail_call(func: &Func) -> bool {
    func.live_blocks()
        .flat_map(|(_, b)| &b.insts)
        .any(|i| matches!(func.insts[i.index()].op, Op::TailCall | Op::TailCallAny))
}

struct Lower<'a, M> {
    m: &'a mut M,
    program: &'a Program<'a>,
    labels: &'a [Label],
    records: &'a [Label],
    ready: &'a Ready<'a>,
    func: &'a Func,
    mode: ReturnMode,
    /// The function's first byte.
    start: u32,
    out: &'a mut Written,
    blocks: Vec<Label>,
    /// Where returns that are no plain actions go; used where written.
    slow: Label,
    aborted: Label,
    slow_used: bool,
    /// Bytes of stack that a call takes beyond the frame.
    kept: u32,
    aborted_used: bool,
    /// Where the budget is asked for more, each with the place to go on at.
    asks: Vec<(Label, Label)>,
    /// Ways out whose moves are written behind the function.
    stubs: Vec<(Label, Block, usize)>,
    pending: Vec<Move>,
    order: Vec<Move>,
}

impl<'a, M: Masm> Lower<'a, M> {
    fn new(
        m: &'a mut M,
        program: &'a Program<'a>,
        [labels, records]: [&'a [Label]; 2],
        ready: &'a Ready<'a>,
        mode: ReturnMode,
        out: &'a mut Written,
    ) -> Self {
        let (slow, aborted) = (m.buf().new_label(), m.buf().new_label());
        Lower {
            m,
            program,
            labels,
            records,
            ready,
            func: ready.func,
            mode,
            start: 0,
            out,
            blocks: Vec::new(),
            slow,
            aborted,
            slow_used: false,
            kept: 0,
            aborted_used: false,
            asks: Vec::new(),
            stubs: Vec::new(),
            pending: Vec::new(),
            order: Vec::new(),
        }
    }

    fn function(mut self, label: Label) -> Result<(), CompileError> {
        let func = self.func;
        self.blocks = Vec::from_fn(func.blocks.len(), |_| self.m.buf().new_label())?;
        let start = self.m.buf().offset();
        self.start = start;
        self.m.buf().dynamic_label(label);
        self.m.enter(&self.ready.spec, &self.ready.alloc)?;
        self.arguments()?;
        if self.mode == ReturnMode::Action && self.program.externs.redirects {
            self.m.forget_redirect(&self.program.externs);
        }
        let mut blocks = func.live_blocks().peekable();
        while let Some((block, data)) = blocks.next() {
            let next = blocks.peek().map(|(b, _)| *b);
            self.m.buf().dynamic_label(self.blocks[block.index()]);
            for &inst in &data.insts {
                self.note_pc(func.insts[inst.index()].pc)?;
                self.inst(inst)?;
            }
            self.term(block, &data.term, next)?;
        }
        self.finish()?;
        let end = self.m.buf().offset();
        let frame = self.m.frame_bytes() + self.kept;
        self.out.funcs.push(FuncCode { func: func.index, start, end, frame })?;
        Ok(())
    }

    fn note_pc(&mut self, pc: u32) -> Result<(), CompileError> {
        let at = self.m.buf().offset();
        match self.out.pcs.last_mut() {
            Some(last) if last.1 == pc && last.0 >= self.start => Ok(()),
            Some(last) if last.0 == at => {
                last.1 = pc;
                Ok(())
            }
            _ => Ok(self.out.pcs.push((at, pc))?),
        }
    }

    /// Moves arguments to where they live.
    fn arguments(&mut self) -> Result<(), CompileError> {
        let registers = self.m.machine(&self.ready.spec).arguments();
        for (&v, reg) in self.func.blocks[0].params.iter().zip(registers) {
            self.pending.push(Move { dst: self.ready.alloc.of(v), src: Loc::Reg(reg) })?;
        }
        self.moves()
    }

    /// Writes the pending moves.
    fn moves(&mut self) -> Result<(), CompileError> {
        let scratch = self.m.machine(&self.ready.spec).scratch();
        sequence(&mut self.pending, scratch, &mut self.order)?;
        for i in 0..self.order.len() {
            let Move { dst, src } = self.order[i];
            let (dst, src) = (self.place(dst), self.place(src));
            self.m.mov(dst, src);
        }
        self.order.clear();
        Ok(())
    }

    fn place(&self, loc: Loc) -> Opnd {
        match loc {
            Loc::Reg(r) => Opnd::Reg(r),
            Loc::Stack(s) => Opnd::Stack(s),
            Loc::None => Opnd::None,
            Loc::Remat(v) => self.func.def_inst(v).map_or(Opnd::None, |d| self.leaf(d)),
        }
    }

    /// What an operation without operands stands for.
    fn leaf(&self, d: &InstData) -> Opnd {
        let map = |i: i64| usize::try_from(i).ok().and_then(|i| self.program.maps.get(i));
        match d.op {
            Op::Const => Opnd::Imm(d.imm),
            Op::FrameAddr => Opnd::Frame(d.imm as i32),
            Op::FuncPtr => usize::try_from(d.imm)
                .ok()
                .and_then(|i| self.records.get(i))
                .map_or(Opnd::None, |l| Opnd::Code(*l)),
            Op::Env => Opnd::Reg(self.m.env()),
            Op::MapPtr => map(d.imm).map_or(Opnd::None, |m| Opnd::Imm(Arc::as_ptr(m) as i64)),
            Op::MapValue => map(d.imm)
                .and_then(|m| m.array())
                .map_or(Opnd::None, |a| Opnd::Imm((a.base as i64).wrapping_add(i64::from(d.off)))),
            _ => Opnd::None,
        }
    }

    fn value(&self, v: Value) -> Opnd {
        self.place(self.ready.alloc.of(v))
    }

    /// The second operand: a value, or the constant beside it.
    fn second(&self, v: Option<Value>, imm: i64) -> Opnd {
        v.map_or(Opnd::Imm(imm), |v| self.value(v))
    }

    fn inst(&mut self, inst: Inst) -> Result<(), CompileError> {
        let func = self.func;
        let d = &func.insts[inst.index()];
        let c = self.m.machine(&self.ready.spec).constraints(func, d);
        let dst = d.result.map_or(Opnd::None, |v| self.value(v));
        if d.op.shape() == Shape::Leaf {
            if let (Op::FuncPtr, Some(used)) = (d.op, self.out.values.get_mut(d.imm as usize)) {
                *used = true;
            }
            if let (Opnd::Reg(_) | Opnd::Stack(_), true) = (dst, d.op != Op::Undef && d.op != Op::Env) {
                let what = self.leaf(d);
                self.m.mov(dst, what);
            }
            return Ok(());
        }
        self.fixed_operands(d, &c)?;
        let arg = |s: &Self, i: usize| match (d.args[i], c.fixed[i]) {
            (Some(_), Some(reg)) => Opnd::Reg(reg),
            (v, _) => s.second(v, d.imm),
        };
        let base = match d.args[0] {
            None => Opnd::Frame(0),
            Some(_) => arg(self, 0),
        };
        let addr = Addr { base, off: d.off };
        match d.op.shape() {
            Shape::Leaf => {}
            Shape::Unary => self.m.unary(d, dst, base),
            Shape::Binary => {
                let b = arg(self, 1);
                self.m.binary(d, dst, base, b);
            }
            Shape::Select => {
                let a = d.args[0].unwrap_or(Value::new(0));
                let cmp = Compare { cond: d.cond, width: d.width, a, b: d.args[1], imm: d.imm };
                let (b, yes, no) = (arg(self, 1), arg(self, 2), arg(self, 3));
                self.m.select(&cmp, dst, [base, b], [yes, no]);
            }
            Shape::Load if d.op == Op::Load => self.m.load(d.size, d.ext, dst, addr),
            Shape::Store if d.op == Op::Store => {
                let src = arg(self, 1);
                self.m.store(d.size, addr, src);
            }
            Shape::Load => self.m.atomic(d, dst, addr, [Opnd::None; 2]),
            Shape::Store | Shape::Swap => {
                let args =
                    [arg(self, 1), if d.op.shape() == Shape::Swap { arg(self, 2) } else { Opnd::None }];
                self.m.atomic(d, dst, addr, args);
            }
            Shape::Call => self.call(d, dst, &c)?,
        }
        Ok(())
    }

    fn fixed_operands(&mut self, d: &InstData, c: &Constraints) -> Result<(), CompileError> {
        for (arg, reg) in d.args.iter().zip(c.fixed) {
            if let (Some(v), Some(reg)) = (arg, reg) {
                self.pending.push(Move { dst: Loc::Reg(reg), src: self.ready.alloc.of(*v) })?;
            }
        }
        self.moves()
    }

    /// The map that an operation is known to be about.
    fn map_of(&self, d: &InstData) -> Option<&Map> {
        let MemClass::Map(index) = d.mem else { return None };
        self.program.maps.get(index as usize).map(|m| &**m)
    }

    fn call(&mut self, d: &InstData, dst: Opnd, c: &Constraints) -> Result<(), CompileError> {
        let externs = self.program.externs;
        let funcs = &self.program.funcs;
        // A tail call in what is called comes back here, and leaves the other program's name.
        let comes_back = match d.op {
            Op::CallFunc => funcs.get(d.imm as usize).is_none_or(|f| f.may_leave),
            Op::CallValue => funcs.iter().any(|f| f.may_leave),
            _ => false,
        };
        if comes_back {
            self.kept = self.m.keep_prog(&externs);
        }
        match d.op {
            Op::CallHelper => {
                let helper = helper(self.program.options.helpers, d);
                let func = helper.and_then(|h| h.func).ok_or(CompileError::NoHelper { pc: d.pc })?;
                let own = helper.filter(|h| h.id == LOOKUP).and_then(|_| self.map_of(d)?.lookup_helper());
                self.m.call_helper(own.unwrap_or(func) as usize);
                if helper.is_some_and(Helper::ends_runs) && self.ready.may_fault {
                    self.aborted_used = true;
                    self.m.branch_if_aborted(&externs, self.aborted);
                }
            }
            Op::Spend => {
                let (ask, back) = (self.m.buf().new_label(), self.m.buf().new_label());
                self.asks.push((ask, back))?;
                self.m.spend(&externs, d.imm as i32, ask);
                self.m.buf().dynamic_label(back);
                return Ok(());
            }
            Op::TailCallAny => {
                self.m.tail_call_any(&externs);
                self.m.mov(dst, Opnd::Imm(crate::error::Errno::EINVAL.to_ret() as i64));
                return Ok(());
            }
            Op::CallFunc => {
                let label = self.labels.get(d.imm as usize).ok_or(CompileError::NoFunction)?;
                self.m.call_func(*label);
                self.take_prog(comes_back);
                if self.program.funcs[d.imm as usize].may_fault {
                    self.aborted_used = true;
                    self.m.branch_if_aborted(&externs, self.aborted);
                }
            }
            Op::CallValue => {
                self.m.call_value();
                self.take_prog(comes_back);
                if self.program.funcs.iter().any(|f| f.may_fault) {
                    self.aborted_used = true;
                    self.m.branch_if_aborted(&externs, self.aborted);
                }
            }
            _ => {
                let map = usize::try_from(d.imm).ok().and_then(|i| self.program.maps.get(i));
                let table = map.and_then(|m| m.prog_array()).ok_or(CompileError::TailCallMap { pc: d.pc })?;
                let index = d.args[0].map_or(Opnd::None, |v| self.value(v));
                self.m.tail_call(&externs, &table, index);
                self.m.mov(dst, Opnd::Imm(crate::error::Errno::EINVAL.to_ret() as i64));
                return Ok(());
            }
        }
        if comes_back {
            self.m.name_prog(&externs);
        }
        if let Some(result) = c.result {
            self.m.mov(dst, Opnd::Reg(result));
        }
        Ok(())
    }

    fn take_prog(&mut self, comes_back: bool) {
        if comes_back {
            self.m.take_prog();
        }
    }

    fn term(&mut self, block: Block, term: &Term, next: Option<Block>) -> Result<(), CompileError> {
        match term {
            Term::Jump(edge) => self.leave_by(edge, next),
            Term::Branch(cmp, [yes, no]) => {
                let args = [self.value(cmp.a), self.second(cmp.b, cmp.imm)];
                let (yes_moves, no_moves) = (self.has_moves(yes), self.has_moves(no));
                if !yes_moves && (Some(yes.to) != next || no_moves) {
                    self.m.branch(cmp, args, true, self.blocks[yes.to.index()]);
                    self.leave_by(no, next)
                } else if !no_moves {
                    self.m.branch(cmp, args, false, self.blocks[no.to.index()]);
                    self.leave_by(yes, next)
                } else {
                    let stub = self.m.buf().new_label();
                    self.stubs.push((stub, block, 0))?;
                    self.m.branch(cmp, args, true, stub);
                    self.leave_by(no, next)
                }
            }
            Term::Return(v) => {
                let value = self.value(*v);
                let plain = matches!(value, Opnd::Imm(action) if (1..=3).contains(&action));
                self.slow_used |= self.mode == ReturnMode::Action && !plain;
                self.m.ret(self.mode, value, self.slow);
                Ok(())
            }
            Term::Trap => {
                self.m.set_abort(&self.program.externs, AbortReason::Fault);
                self.aborted_used = true;
                self.m.jump(self.aborted);
                Ok(())
            }
        }
    }

    fn has_moves(&self, edge: &Edge) -> bool {
        let params = &self.func.blocks[edge.to.index()].params;
        edge.args.iter().zip(params).any(|(&arg, &param)| {
            let (to, from) = (self.ready.alloc.of(param), self.ready.alloc.of(arg));
            to != Loc::None && to != from && self.place(from) != Opnd::None
        })
    }

    /// Moves the edge's arguments and goes on, by a jump where the target does not follow.
    fn leave_by(&mut self, edge: &Edge, next: Option<Block>) -> Result<(), CompileError> {
        let params = &self.func.blocks[edge.to.index()].params;
        for (&arg, &param) in edge.args.iter().zip(params) {
            self.pending.push(Move { dst: self.ready.alloc.of(param), src: self.ready.alloc.of(arg) })?;
        }
        self.moves()?;
        if next != Some(edge.to) {
            self.m.jump(self.blocks[edge.to.index()]);
        }
        Ok(())
    }

    /// What stands behind the function's blocks.
    fn finish(&mut self) -> Result<(), CompileError> {
        let func = self.func;
        for (stub, block, way) in core::mem::take(&mut self.stubs) {
            self.m.buf().dynamic_label(stub);
            if let Some(edge) = func.blocks[block.index()].term.edges().get(way) {
                self.leave_by(edge, None)?;
            }
        }
        if !self.asks.is_empty() {
            let refill = self.m.buf().new_label();
            for (ask, back) in core::mem::take(&mut self.asks) {
                self.m.buf().dynamic_label(ask);
                self.m.ask_for_more(refill, back, self.aborted);
            }
            self.m.buf().dynamic_label(refill);
            self.m.refill(&self.program.externs);
            self.aborted_used = true;
        }
        if self.aborted_used {
            self.m.buf().dynamic_label(self.aborted);
            self.slow_used |= self.mode == ReturnMode::Action;
            self.m.ret(self.mode, Opnd::Imm(0), self.slow);
        }
        if self.slow_used {
            self.m.buf().dynamic_label(self.slow);
            self.m.slow_return(&self.program.externs);
        }
        Ok(())
    }
}
