//! From bytecode to SSA.
//!
//! ```text
//! for each function:  find its blocks by following every edge that a run may take
//!                     find which registers each block reads before it writes them (live-in)
//! for each function:  a block with several ways in gets a parameter a live-in register, one with a single way in continues with its predecessor's
//!                     values; then each instruction in turn; then the arguments of every edge
//! ```
//!
//! What the parameters are not needed for is the work of `opt::params`. Rewrites are applied here: context loads read our context, map references become `map_ptr` and
//! `map_value`, calls name helper rows and functions, and a slot that no path reaches becomes the function's trap block. Facts cut edges that no run takes.
//!
//! Relies on the verifier: jumps stay inside their function, registers are written before they are read (else they are `undef`).

mod cfg;

use super::{Block, BlockData, Compare, Edge, Func, Inst, InstData, Module, Op, Term, Value, ValueDef};
use crate::isa::{self, AluOp, AtomicOp, Callee, EndKind, Operand, Reg, Size, WideImm, Width};
use crate::jit::{CompileError, CompileOptions, UseFacts};
use crate::mem::Vec;
use crate::program::{CtxFieldKind, Fact, Frame, MapSel, MemClass, Program, Rewrite, Verified};
use cfg::{Cfg, Next};

/// `bpf_tail_call`.
const TAIL_CALL: u32 = 12;

/// The IR of a program.
///
/// # Errors
/// What the compiler does not take, and a shortage of memory.
pub fn build(program: &Program<Verified>, options: &CompileOptions) -> Result<Module, CompileError> {
    let source = Source { program, options };
    let count = program.code().subprogs.len().max(1);
    let mut cfgs = Vec::with_capacity(count)?;
    for index in 0..count {
        cfgs.push(Cfg::new(&source, index)?)?;
    }
    // Which arguments a function reads follows from those that its callees read.
    let mut args: Vec<u16> = Vec::filled(0, count)?;
    loop {
        let mut changed = false;
        for (i, cfg) in cfgs.iter_mut().enumerate() {
            cfg.find_live(&source, &args)?;
            changed |= core::mem::replace(&mut args[i], cfg.live_at_start()) != cfg.live_at_start();
        }
        if !changed {
            break;
        }
    }
    let mut funcs = Vec::with_capacity(count)?;
    for (index, cfg) in cfgs.iter().enumerate() {
        funcs.push(Builder::new(&source, cfg, &args, index)?.build()?)?;
    }
    Ok(Module { funcs })
}

/// What is compiled, and how.
struct Source<'a> {
    program: &'a Program<Verified>,
    options: &'a CompileOptions,
}

impl Source<'_> {
    fn rewrite(&self, pc: u32) -> Rewrite {
        self.program.rewrites().insns.get(pc as usize).copied().unwrap_or(Rewrite::Dead)
    }

    fn fact(&self, pc: u32) -> Fact {
        match self.options.facts {
            UseFacts::Yes => self.program.facts().at(pc),
            UseFacts::No => Fact::default(),
        }
    }

    /// What reaching a slot takes from the run's budget, where runs are limited. Only slots that blocks begin at cost anything.
    fn cost(&self, pc: u32) -> Option<i64> {
        let cost = *self.program.limit()?.costs.get(pc as usize)?;
        (cost != 0).then_some(i64::from(cost))
    }

    /// How many of r1 to r5 a call reads, as a set of registers.
    fn call_args(&self, pc: u32, funcs: &[u16]) -> u16 {
        const ALL: u16 = 0b11_1110;
        match self.rewrite(pc) {
            Rewrite::CallHelper { row, .. } => self.options.helpers.get(row).map_or(ALL, |h| {
                let used = h.proto.args.iter().rposition(|a| *a != crate::helpers::ArgType::DontCare);
                ALL & ((2 << used.map_or(0, |n| n + 1)) - 1)
            }),
            Rewrite::CallSubprog(f) => funcs.get(f as usize).map_or(ALL, |live| live & ALL),
            _ => ALL,
        }
    }
}

/// The values of r0 to r9.
type Regs = [Option<Value>; 10];

struct Builder<'a> {
    source: &'a Source<'a>,
    cfg: &'a Cfg,
    args: &'a [u16],
    func: Func,
    regs: Regs,
    /// Values at the end of each block.
    out: Vec<Regs>,
    block: Block,
    undef: Value,
}

impl<'a> Builder<'a> {
    fn new(
        source: &'a Source<'a>,
        cfg: &'a Cfg,
        args: &'a [u16],
        index: usize,
    ) -> Result<Self, CompileError> {
        let frame = source.program.rewrites().frames.get(index).copied().unwrap_or(Frame::WHOLE);
        let mut func = Func {
            index: index as u32,
            insts: Vec::new(),
            values: Vec::new(),
            blocks: Vec::with_capacity(cfg.blocks.len())?,
            frame,
        };
        for b in &cfg.blocks {
            func.blocks.push(BlockData {
                params: Vec::new(),
                insts: Vec::new(),
                term: Term::Trap,
                pc: b.start,
                dead: false,
            })?;
        }
        let undef = func.add_inst(InstData::new(Op::Undef, 0))?;
        func.blocks[0].insts.push(undef)?;
        let undef = func.insts[undef.index()].result.unwrap_or(Value::new(0));
        let out = Vec::filled([None; 10], cfg.blocks.len())?;
        Ok(Builder { source, cfg, args, func, regs: [None; 10], out, block: Block::ENTRY, undef })
    }

    fn build(mut self) -> Result<Func, CompileError> {
        self.entry()?;
        for i in 0..self.cfg.order.len() {
            self.block(self.cfg.order[i])?;
        }
        self.edges()?;
        Ok(self.func)
    }

    /// The entry's parameters are r1 to r5; in the main function r1 is the context.
    fn entry(&mut self) -> Result<(), CompileError> {
        for r in 1..=5 {
            let v = self.func.add_value(ValueDef::Param(Block::ENTRY))?;
            self.func.blocks[0].params.push(v)?;
            self.regs[r] = Some(v);
        }
        if self.func.index == 0 {
            self.regs[1] = Some(self.push(InstData::new(Op::Env, 0))?);
        }
        self.out[0] = self.regs;
        Ok(())
    }

    fn block(&mut self, block: Block) -> Result<(), CompileError> {
        if block == Block::ENTRY {
            return Ok(());
        }
        self.block = block;
        let cfg = self.cfg;
        let data = &cfg.blocks[block.index()];
        match data.single_pred {
            Some(pred) => self.regs = self.out[pred.index()],
            None => {
                self.regs = [None; 10];
                for r in (0..10).filter(|r| data.live_in >> r & 1 == 1) {
                    let v = self.func.add_value(ValueDef::Param(block))?;
                    self.func.blocks[block.index()].params.push(v)?;
                    self.regs[r] = Some(v);
                }
            }
        }
        if let Some(cost) = self.source.cost(data.start) {
            self.push(InstData::new(Op::Spend, data.start).with_imm(cost))?;
        }
        let mut pc = data.start;
        while pc < data.end {
            let op = cfg.op(pc);
            self.insn(pc, op)?;
            pc += op.slots();
        }
        self.out[block.index()] = self.regs;
        Ok(())
    }

    /// Ends every block, once all values are there.
    fn edges(&mut self) -> Result<(), CompileError> {
        for i in 0..self.cfg.blocks.len() {
            self.block = Block(i as u32);
            self.regs = self.out[i];
            let cfg = self.cfg;
            let term = match cfg.blocks[i].next {
                Next::Trap => Term::Trap,
                Next::Return => Term::Return(self.read(Reg::R0)?),
                Next::Jump(to) => Term::Jump(self.edge(to)?),
                Next::Branch { pc, taken, not_taken } => {
                    let isa::Op::Jmp { cond, width, dst, src, .. } = cfg.op(pc) else {
                        return Err(CompileError::Unsupported { pc });
                    };
                    let a = self.read_at(dst, pc)?;
                    let (b, imm) = self.operand(src, pc)?;
                    Term::Branch(
                        Compare { cond, width, a, b, imm },
                        [self.edge(taken)?, self.edge(not_taken)?],
                    )
                }
            };
            self.func.blocks[i].term = term;
        }
        Ok(())
    }

    fn edge(&mut self, to: Block) -> Result<Edge, CompileError> {
        let mut args = Vec::new();
        let data = &self.cfg.blocks[to.index()];
        if data.single_pred.is_none() {
            for r in (0..10).filter(|r| data.live_in >> r & 1 == 1) {
                args.push(self.regs[r].unwrap_or(self.undef))?;
            }
        }
        Ok(Edge { to, args })
    }

    /// Appends an operation; its value, or some other where it has none.
    fn push(&mut self, data: InstData) -> Result<Value, CompileError> {
        let inst: Inst = self.func.add_inst(data)?;
        self.func.blocks[self.block.index()].insts.push(inst)?;
        Ok(self.func.insts[inst.index()].result.unwrap_or(self.undef))
    }

    fn read(&mut self, r: Reg) -> Result<Value, CompileError> {
        self.read_at(r, self.cfg.blocks[self.block.index()].start)
    }

    fn read_at(&mut self, r: Reg, pc: u32) -> Result<Value, CompileError> {
        match self.regs.get(r.index()) {
            Some(v) => Ok(v.unwrap_or(self.undef)),
            None => self.push(InstData::new(Op::FrameAddr, pc)),
        }
    }

    fn write(&mut self, r: Reg, v: Value) {
        if let Some(slot) = self.regs.get_mut(r.index()) {
            *slot = Some(v);
        }
    }

    fn operand(&mut self, o: Operand, pc: u32) -> Result<(Option<Value>, i64), CompileError> {
        Ok(match o {
            Operand::Reg(r) => (Some(self.read_at(r, pc)?), 0),
            Operand::Imm(i) => (None, i64::from(i)),
        })
    }

    fn insn(&mut self, pc: u32, op: isa::Op) -> Result<(), CompileError> {
        let new = |op| InstData::new(op, pc);
        let mem = self.source.fact(pc).mem;
        match op {
            isa::Op::Alu { op, width, dst, src } => {
                let a = self.read_at(dst, pc)?;
                let (b, imm) = self.operand(src, pc)?;
                let d = InstData { imm, width, ..new(alu(op)).with_args(&[Some(a), b]) };
                let v = self.push(d)?;
                self.write(dst, v);
            }
            isa::Op::Mov { width, dst, src } => {
                let v = match (src, width) {
                    (Operand::Reg(r), Width::W64) => self.read_at(r, pc)?,
                    (Operand::Reg(r), Width::W32) => {
                        let a = self.read_at(r, pc)?;
                        self.push(InstData { size: Size::W, ..new(Op::Zext).with_arg(a) })?
                    }
                    (Operand::Imm(i), Width::W64) => self.push(new(Op::Const).with_imm(i64::from(i)))?,
                    (Operand::Imm(i), Width::W32) => {
                        self.push(new(Op::Const).with_imm(i64::from(i as u32)))?
                    }
                };
                self.write(dst, v);
            }
            isa::Op::MovSx { width, from, dst, src } => {
                let a = self.read_at(src, pc)?;
                let v = self.push(InstData { size: from, width, ..new(Op::Sext).with_arg(a) })?;
                self.write(dst, v);
            }
            isa::Op::Neg { width, dst } => {
                let a = self.read_at(dst, pc)?;
                let v = self.push(new(Op::Neg).with_arg(a).with_width(width))?;
                self.write(dst, v);
            }
            isa::Op::End { kind: EndKind::Le, size: Size::DW, .. } => {}
            isa::Op::End { kind, size, dst } => {
                let a = self.read_at(dst, pc)?;
                let op = if kind == EndKind::Le { Op::Zext } else { Op::Bswap };
                let v = self.push(InstData { size, ..new(op).with_arg(a) })?;
                self.write(dst, v);
            }
            isa::Op::LdImm64 { dst, imm } => {
                let d = self.wide(pc, imm)?;
                let v = self.push(d)?;
                self.write(dst, v);
            }
            isa::Op::Load { size, ext, dst, base, off } => {
                let d = match self.source.rewrite(pc) {
                    Rewrite::CtxLoad(field) => {
                        let (at, kind) = field.in_ctx();
                        let size = if kind == CtxFieldKind::Pointer { Size::DW } else { Size::W };
                        let env = self.push(new(Op::Env))?;
                        // Fields that are pointers are never loaded with their sign: the verifier refuses it.
                        InstData {
                            size,
                            ext,
                            off: at as i32,
                            mem: MemClass::Ctx,
                            ..new(Op::Load).with_arg(env)
                        }
                    }
                    _ => {
                        let base = self.read_at(base, pc)?;
                        InstData { size, ext, off: i32::from(off), mem, ..new(Op::Load).with_arg(base) }
                    }
                };
                let v = self.push(d)?;
                self.write(dst, v);
            }
            isa::Op::LoadAcq { size, dst, base, off } => {
                let base = self.read_at(base, pc)?;
                let v = self.push(InstData {
                    size,
                    off: i32::from(off),
                    mem,
                    ..new(Op::LoadAcq).with_arg(base)
                })?;
                self.write(dst, v);
            }
            isa::Op::Store { size, base, off, src } => {
                let base = self.read_at(base, pc)?;
                let (b, imm) = self.operand(src, pc)?;
                let d = new(Op::Store).with_args(&[Some(base), b]);
                self.push(InstData { size, imm, off: i32::from(off), mem, ..d })?;
            }
            isa::Op::StoreRel { size, base, off, src } => {
                let args = [Some(self.read_at(base, pc)?), Some(self.read_at(src, pc)?)];
                let d = new(Op::StoreRel).with_args(&args);
                self.push(InstData { size, off: i32::from(off), mem, ..d })?;
            }
            isa::Op::Atomic { op, fetch, size, base, off, src } => {
                let (a, b) = (self.read_at(base, pc)?, self.read_at(src, pc)?);
                let d = InstData { size, off: i32::from(off), mem, ..new(atomic(op, fetch)) };
                if op == AtomicOp::Cmpxchg {
                    let expected = self.read_at(Reg::R0, pc)?;
                    let v = self.push(d.with_args(&[Some(a), Some(expected), Some(b)]))?;
                    self.write(Reg::R0, v);
                } else {
                    let v = self.push(d.with_args(&[Some(a), Some(b)]))?;
                    if fetch {
                        self.write(src, v);
                    }
                }
            }
            isa::Op::Call(callee) => self.call(pc, callee)?,
            isa::Op::Ja { .. } | isa::Op::Jmp { .. } | isa::Op::Exit => {}
            isa::Op::LegacyPacket { .. } => return Err(CompileError::Unsupported { pc }),
        }
        Ok(())
    }

    fn wide(&self, pc: u32, imm: WideImm) -> Result<InstData, CompileError> {
        let new = |op| InstData::new(op, pc);
        match (self.source.rewrite(pc), imm) {
            (Rewrite::MapPtr(map), _) => Ok(new(Op::MapPtr).with_imm(i64::from(map))),
            (Rewrite::MapValue { map, offset }, _) => {
                let known = self.source.program.maps().get(map as usize).and_then(|m| m.array());
                match (known, i32::try_from(offset)) {
                    (Some(_), Ok(off)) => Ok(InstData { off, ..new(Op::MapValue).with_imm(i64::from(map)) }),
                    _ => Err(CompileError::MapValue { pc }),
                }
            }
            (Rewrite::Func(f), _) => Ok(new(Op::FuncPtr).with_imm(i64::from(f))),
            (_, WideImm::Imm(i)) => Ok(new(Op::Const).with_imm(i as i64)),
            _ => Err(CompileError::Unsupported { pc }),
        }
    }

    fn call(&mut self, pc: u32, callee: Callee) -> Result<(), CompileError> {
        let reads = self.source.call_args(pc, self.args);
        let mut d = match self.source.rewrite(pc) {
            Rewrite::CallSubprog(f) => InstData::new(Op::CallFunc, pc).with_imm(i64::from(f)),
            Rewrite::CallHelper { row, map } => {
                let helper = self.source.options.helpers.get(row).ok_or(CompileError::NoHelper { pc })?;
                if helper.id == TAIL_CALL {
                    return self.tail_call(pc, map);
                }
                let mem = match map {
                    MapSel::Known(map) => MemClass::Map(map),
                    MapSel::None | MapSel::Many => MemClass::Unknown,
                };
                InstData { mem, ..InstData::new(Op::CallHelper, pc).with_imm(i64::from(row)) }
            }
            _ => match callee {
                Callee::Reg(r) => {
                    let target = self.read_at(r, pc)?;
                    InstData::new(Op::CallValue, pc).with_args(&[None, None, None, None, None, Some(target)])
                }
                Callee::Helper(_) | Callee::Local(_) | Callee::Kfunc { .. } => {
                    return Err(CompileError::Unsupported { pc });
                }
            },
        };
        for r in (1..=5).filter(|r| reads >> r & 1 == 1) {
            d.args[r - 1] = self.regs[r];
        }
        self.called(d)
    }

    fn tail_call(&mut self, pc: u32, map: MapSel) -> Result<(), CompileError> {
        let index = self.read_at(Reg::R3, pc)?;
        let MapSel::Known(map) = map else {
            let map = self.read_at(Reg::R2, pc)?;
            return self.called(InstData::new(Op::TailCallAny, pc).with_args(&[Some(map), Some(index)]));
        };
        self.called(InstData::new(Op::TailCall, pc).with_imm(i64::from(map)).with_arg(index))
    }

    /// Appends a call: r0 is its result, r1 to r5 are gone.
    fn called(&mut self, d: InstData) -> Result<(), CompileError> {
        let v = self.push(d)?;
        self.regs[1..=5].fill(None);
        self.write(Reg::R0, v);
        Ok(())
    }
}

const fn alu(op: AluOp) -> Op {
    match op {
        AluOp::Add => Op::Add,
        AluOp::Sub => Op::Sub,
        AluOp::Mul => Op::Mul,
        AluOp::Div => Op::Div,
        AluOp::Sdiv => Op::Sdiv,
        AluOp::Or => Op::Or,
        AluOp::And => Op::And,
        AluOp::Lsh => Op::Lsh,
        AluOp::Rsh => Op::Rsh,
        AluOp::Mod => Op::Mod,
        AluOp::Smod => Op::Smod,
        AluOp::Xor => Op::Xor,
        AluOp::Arsh => Op::Arsh,
    }
}

const fn atomic(op: AtomicOp, fetch: bool) -> Op {
    match (op, fetch) {
        (AtomicOp::Add, false) => Op::AtomicAdd,
        (AtomicOp::Add, true) => Op::FetchAdd,
        (AtomicOp::Or, false) => Op::AtomicOr,
        (AtomicOp::Or, true) => Op::FetchOr,
        (AtomicOp::And, false) => Op::AtomicAnd,
        (AtomicOp::And, true) => Op::FetchAnd,
        (AtomicOp::Xor, false) => Op::AtomicXor,
        (AtomicOp::Xor, true) => Op::FetchXor,
        (AtomicOp::Xchg, _) => Op::Xchg,
        (AtomicOp::Cmpxchg, _) => Op::CmpXchg,
    }
}
