//! The loop: fetch, decode by class, execute.

use super::atomic::{self, Outcome};
use super::frames::Frames;
use super::memory::{Access, AccessKind, Memory, load, store};
use super::{Fault, FaultKind, alu, callback};
use crate::helpers::{Helper, HelperSet, TAIL_CALL};
use crate::isa::Insn;
use crate::isa::op::*;
use crate::limits::MAX_TAIL_CALL_CNT;
use crate::maps::Map;
use crate::program::{CtxField, CtxFieldKind, Program, Rewrite, Verified};
use crate::sync::Ordering;
use crate::vm::{Ctx, Func, interpreted};

/// What a watcher sees before each instruction.
#[derive(Debug)]
pub struct Step<'a> {
    /// The program that runs.
    pub program: &'a Program<Verified>,
    /// The slot that comes next.
    pub pc: u32,
    /// r0 to r10.
    pub regs: &'a [u64],
    /// The context.
    pub ctx: *const Ctx,
}

/// One run.
pub(super) struct Machine<'a, 'm, M> {
    program: &'a Program<Verified>,
    /// What the context calls the running program; differs from the one it began with after a tail call.
    prog: *const u8,
    helpers: HelperSet,
    pub(super) ctx: *mut Ctx,
    memory: &'m mut M,
    /// Sixteen, so that a four-bit number is always within.
    pub(super) regs: [u64; 16],
    frames: Frames<'a>,
    pub(super) pc: u32,
    /// What ended the run inside of a callback, on its way out through the helper.
    pub(super) ended: Option<Fault>,
}

const FP: u8 = 10;

/// How an instruction ends.
pub(super) enum Next {
    /// With the slot behind it.
    Follow,
    /// The run is over.
    Exit,
}

impl<'a, 'm, M: Memory> Machine<'a, 'm, M> {
    /// # Safety
    /// As [`super::run_with`].
    #[inline(always)]
    pub(super) unsafe fn new(
        program: &'a Program<Verified>,
        helpers: HelperSet,
        ctx: *mut Ctx,
        args: [u64; 5],
        memory: &'m mut M,
    ) -> Self {
        let mut regs = [0; 16];
        [regs[1], regs[2], regs[3], regs[4], regs[5]] = args;
        // SAFETY: the caller says that the context is null or valid.
        let prog = unsafe { ctx.as_ref() }.map_or(core::ptr::null(), |c| c.prog);
        Machine { program, prog, helpers, ctx, memory, regs, frames: Frames::new(), pc: 0, ended: None }
    }

    /// # Safety
    /// As [`super::run_with`].
    pub(super) unsafe fn run(&mut self) -> Result<u64, Fault> {
        // SAFETY: handed on.
        unsafe { self.run_from(0) }
    }

    /// Runs from the start of a function.
    ///
    /// # Safety
    /// As [`super::run_with`].
    pub(super) unsafe fn run_from(&mut self, function: u32) -> Result<u64, Fault> {
        self.enter(function).map_err(|kind| kind.at(0))?;
        // SAFETY: handed on.
        unsafe { self.drive() }
    }

    /// Goes on until the main function ends, or the function that a helper called.
    ///
    /// # Safety
    /// As [`super::run_with`].
    pub(super) unsafe fn drive(&mut self) -> Result<u64, Fault> {
        loop {
            let pc = self.pc;
            // SAFETY: handed on.
            match unsafe { self.step() } {
                Ok(Next::Follow) => {}
                Ok(Next::Exit) => return Ok(self.regs[0]),
                Err(kind) => return Err(self.ended.unwrap_or(kind.at(pc))),
            }
        }
    }

    fn reg(&self, number: u8) -> u64 {
        self.regs[usize::from(number & 15)]
    }

    fn set(&mut self, number: u8, value: u64) {
        self.regs[usize::from(number & 15)] = value;
    }

    /// One instruction.
    ///
    /// # Safety
    /// As [`super::run_with`].
    #[inline(always)]
    unsafe fn step(&mut self) -> Result<Next, FaultKind> {
        let at = self.pc as usize;
        let (insns, rewrites) = (&self.program.code().insns, &self.program.rewrites().insns);
        let (Some(&insn), Some(&rewrite)) = (insns.get(at), rewrites.get(at)) else {
            return Err(FaultKind::Dead);
        };
        if rewrite == Rewrite::Dead {
            return Err(FaultKind::Dead);
        }
        let regs = &self.regs[..11];
        self.memory.step(&Step { program: self.program, pc: self.pc, regs, ctx: self.ctx })?;
        self.pc += 1;
        let value = match insn.code & BPF_X {
            0 => i64::from(insn.imm) as u64,
            _ => self.reg(insn.src()),
        };
        match insn.class() {
            BPF_ALU64 => self.alu64(insn, value)?,
            BPF_ALU => self.alu32(insn, value)?,
            BPF_JMP => {
                // SAFETY: handed on.
                return unsafe { self.jump(insn, rewrite, value) };
            }
            BPF_JMP32 if insn.code & 0xf0 == BPF_JA => self.branch(insn.imm),
            BPF_JMP32 => {
                let (a, b) = (self.reg(insn.dst()) as i32 as u64, value as i32 as u64);
                if alu::condition(insn.code & 0xf0, a, b).ok_or(FaultKind::BadInsn)? {
                    self.branch(i32::from(insn.off));
                }
            }
            BPF_LD => self.wide_immediate(insn, rewrite)?,
            // SAFETY: handed on.
            BPF_LDX => unsafe { self.load(insn, rewrite)? },
            // SAFETY: handed on.
            BPF_ST => unsafe { self.store(insn, i64::from(insn.imm) as u64)? },
            // SAFETY: handed on.
            _ if insn.code & 0xe0 == BPF_ATOMIC => unsafe { self.atomic(insn)? },
            // SAFETY: handed on.
            _ => unsafe { self.store(insn, self.reg(insn.src()))? },
        }
        Ok(Next::Follow)
    }

    #[inline(always)]
    fn alu64(&mut self, insn: Insn, value: u64) -> Result<(), FaultKind> {
        let (op, a) = (insn.code & 0xf0, self.reg(insn.dst()));
        let result = match op {
            BPF_END => alu::byte_order(true, insn.imm, a),
            _ => alu::alu64(op, insn.off, a, value),
        };
        self.set(insn.dst(), result.ok_or(FaultKind::BadInsn)?);
        Ok(())
    }

    #[inline(always)]
    fn alu32(&mut self, insn: Insn, value: u64) -> Result<(), FaultKind> {
        let (op, a) = (insn.code & 0xf0, self.reg(insn.dst()));
        let result = match op {
            BPF_END => alu::byte_order(insn.code & BPF_TO_BE != 0, insn.imm, a),
            _ => alu::alu32(op, insn.off, a as u32, value as u32).map(u64::from),
        };
        self.set(insn.dst(), result.ok_or(FaultKind::BadInsn)?);
        Ok(())
    }

    /// Moves on by `delta` slots; a place outside the program is found at the next fetch.
    fn branch(&mut self, delta: i32) {
        self.pc = self.pc.wrapping_add_signed(delta);
    }

    /// # Safety
    /// As [`super::run_with`].
    #[inline(always)]
    unsafe fn jump(&mut self, insn: Insn, rewrite: Rewrite, value: u64) -> Result<Next, FaultKind> {
        match insn.code & 0xf0 {
            BPF_JA => self.branch(i32::from(insn.off)),
            // SAFETY: handed on.
            BPF_CALL => return unsafe { self.call(insn, rewrite) },
            BPF_EXIT => return Ok(self.exit()),
            op => {
                if alu::condition(op, self.reg(insn.dst()), value).ok_or(FaultKind::BadInsn)? {
                    self.branch(i32::from(insn.off));
                }
            }
        }
        Ok(Next::Follow)
    }

    fn exit(&mut self) -> Next {
        let Some(record) = self.frames.pop() else { return Next::Exit };
        [self.regs[6], self.regs[7], self.regs[8], self.regs[9]] = record.saved;
        self.set(FP, record.fp);
        (self.program, self.pc) = (record.program, record.pc);
        if self.prog != record.prog {
            self.prog = record.prog;
            // SAFETY: only a tail call changes it, and that has a context.
            unsafe { (*self.ctx).prog = record.prog };
        }
        if self.pc == callback::HELPER { Next::Exit } else { Next::Follow }
    }

    /// # Safety
    /// As [`super::run_with`].
    unsafe fn call(&mut self, insn: Insn, rewrite: Rewrite) -> Result<Next, FaultKind> {
        if insn.code & BPF_X != 0 {
            // SAFETY: handed on.
            return unsafe { self.call_register(self.reg(insn.dst())) };
        }
        match rewrite {
            Rewrite::CallSubprog(index) => self.call_subprog(index),
            // SAFETY: handed on.
            Rewrite::CallHelper { row, .. } => unsafe { self.call_helper(row) },
            _ => Err(FaultKind::BadInsn),
        }
    }

    pub(super) fn call_subprog(&mut self, index: u32) -> Result<Next, FaultKind> {
        let saved = [self.regs[6], self.regs[7], self.regs[8], self.regs[9]];
        self.frames.push(self.program, self.prog, self.pc, self.reg(FP), saved)?;
        self.enter(index)
    }

    /// Starts a function of the running program.
    fn enter(&mut self, index: u32) -> Result<Next, FaultKind> {
        let code = self.program.code();
        let frames = &self.program.rewrites().frames;
        let (Some(subprog), Some(frame)) = (code.subprogs.get(index as usize), frames.get(index as usize))
        else {
            return Err(FaultKind::BadCallee);
        };
        let fp = self.frames.enter(frame)?;
        self.pc = subprog.start;
        self.set(FP, fp);
        Ok(Next::Follow)
    }

    /// A function value is the address of its [`Func`]; a small number is a helper's.
    ///
    /// # Safety
    /// As [`super::run_with`].
    unsafe fn call_register(&mut self, callee: u64) -> Result<Next, FaultKind> {
        if let Some(row) = u32::try_from(callee).ok().and_then(|id| self.helpers.row_of(id)) {
            // SAFETY: handed on.
            return unsafe { self.call_helper(row) };
        }
        self.call_subprog(Func::index_of(callee).ok_or(FaultKind::BadCallee)?)
    }

    /// # Safety
    /// As [`super::run_with`].
    unsafe fn call_helper(&mut self, row: u16) -> Result<Next, FaultKind> {
        let helper = self.helpers.get(row).ok_or(FaultKind::BadInsn)?;
        if helper.id == TAIL_CALL {
            // SAFETY: handed on.
            return unsafe { self.tail_call(helper) };
        }
        let func = helper.func.ok_or(FaultKind::BadInsn)?;
        let r = &self.regs;
        if helper.ends_runs() {
            let args = [r[1], r[2], r[3], r[4], r[5]];
            // SAFETY: handed on.
            return unsafe { self.call_ending(func, args) };
        }
        // SAFETY: the verifier proved the arguments against the helper's prototype; the context is the caller's.
        let result = unsafe { func(r[1], r[2], r[3], r[4], r[5], self.ctx) };
        self.regs[0] = result;
        Ok(Next::Follow)
    }

    /// Goes on in another program: in place of this one in its main function, in place of the running function elsewhere. Without a target
    /// the program goes on behind the call.
    ///
    /// # Safety
    /// As [`super::run_with`].
    unsafe fn tail_call(&mut self, helper: &Helper) -> Result<Next, FaultKind> {
        // SAFETY: the verifier proved that r2 is a map of the program; the context is the run's.
        let (array, ctx) = unsafe { ((*(self.regs[2] as *const Map)).prog_array(), &mut *self.ctx) };
        let target = array.filter(|_| ctx.tail_calls < MAX_TAIL_CALL_CNT).and_then(|array| {
            let index = self.regs[3] as u32;
            // SAFETY: the index is below the number of entries. Acquire: pairs with the swap that set the entry.
            (index < array.max_entries)
                .then(|| unsafe { (*array.shadow.add(index as usize)).load(Ordering::Acquire) })
        });
        let Some(target) = target.filter(|t| !t.is_null()) else {
            let missed = helper.func.ok_or(FaultKind::BadInsn)?;
            // SAFETY: it reads none of its arguments.
            self.regs[0] = unsafe { missed(0, 0, 0, 0, 0, self.ctx) };
            return Ok(Next::Follow);
        };
        ctx.tail_calls += 1;
        // A target is the first field of its program.
        self.prog = target.cast_const().cast();
        ctx.prog = self.prog;
        // SAFETY: a target in the array lives until this worker was quiescent.
        if let Some(prog) = unsafe { interpreted(target) } {
            self.frames.leave_frame();
            self.program = prog.program();
            self.regs[1] = self.ctx as u64;
            return self.enter(0);
        }
        // SAFETY: as above; an entry takes the context and its own target.
        let (r0, aborted) = unsafe { (((*target).entry)(self.ctx, target), (*self.ctx).abort != 0) };
        if aborted {
            return Err(FaultKind::Aborted);
        }
        self.regs[0] = r0;
        // What it called in its turn left its own name.
        // SAFETY: the context is the run's.
        unsafe { (*self.ctx).prog = self.prog };
        Ok(self.exit())
    }

    fn wide_immediate(&mut self, insn: Insn, rewrite: Rewrite) -> Result<(), FaultKind> {
        let high = self.program.code().insns.get(self.pc as usize).ok_or(FaultKind::Dead)?.imm;
        let value = match rewrite {
            Rewrite::Plain => u64::from(insn.imm as u32) | u64::from(high as u32) << 32,
            Rewrite::MapPtr(index) => {
                let map = self.program.maps().get(index as usize).ok_or(FaultKind::BadInsn)?;
                crate::sync::Arc::as_ptr(map) as u64
            }
            Rewrite::MapValue { map, offset } => {
                let map = self.program.maps().get(map as usize).ok_or(FaultKind::BadInsn)?;
                let values = map.array().ok_or(FaultKind::BadInsn)?;
                values.base as u64 + u64::from(offset)
            }
            Rewrite::Func(index) => {
                core::ptr::from_ref(Func::interpreted(index).ok_or(FaultKind::BadInsn)?) as u64
            }
            _ => return Err(FaultKind::BadInsn),
        };
        if insn.code != LD_IMM64 {
            return Err(FaultKind::BadInsn);
        }
        self.pc += 1;
        self.set(insn.dst(), value);
        Ok(())
    }

    /// The address of an access, when it may happen.
    #[inline(always)]
    fn access(&mut self, base: u8, off: i16, size: u8, kind: AccessKind) -> Result<u64, FaultKind> {
        let addr = self.reg(base).wrapping_add_signed(i64::from(off));
        let size = match size {
            BPF_B => 1,
            BPF_H => 2,
            BPF_W => 4,
            _ => 8,
        };
        // SAFETY: the caller of the run says that the context is null or valid.
        let ctx = unsafe { self.ctx.as_ref() };
        if self.memory.allows(&Access { addr, size, kind }, self.frames.live(), ctx) {
            Ok(addr)
        } else {
            Err(FaultKind::BadAccess { addr, size })
        }
    }

    /// # Safety
    /// As [`super::run_with`].
    #[inline(always)]
    unsafe fn load(&mut self, insn: Insn, rewrite: Rewrite) -> Result<(), FaultKind> {
        if let Rewrite::CtxLoad(field) = rewrite {
            // SAFETY: a program with context loads has a context.
            let value = unsafe { context_field(self.ctx, field) };
            let signed = insn.code & 0xe0 == BPF_MEMSX;
            self.set(insn.dst(), if signed { value as i32 as u64 } else { value });
            return Ok(());
        }
        let size = insn.code & 0x18;
        let addr = self.access(insn.src(), insn.off, size, AccessKind::Read)?;
        // SAFETY: the verifier proved the access, or `Memory` checked it.
        let value = unsafe {
            match (insn.code & 0xe0, size) {
                (BPF_MEM, BPF_B) => u64::from(load::<u8>(addr)),
                (BPF_MEM, BPF_H) => u64::from(load::<u16>(addr)),
                (BPF_MEM, BPF_W) => u64::from(load::<u32>(addr)),
                (BPF_MEM, _) => load::<u64>(addr),
                (BPF_MEMSX, BPF_B) => load::<u8>(addr) as i8 as u64,
                (BPF_MEMSX, BPF_H) => load::<u16>(addr) as i16 as u64,
                (BPF_MEMSX, BPF_W) => load::<u32>(addr) as i32 as u64,
                _ => return Err(FaultKind::BadInsn),
            }
        };
        self.set(insn.dst(), value);
        Ok(())
    }

    /// # Safety
    /// As [`super::run_with`].
    #[inline(always)]
    unsafe fn store(&mut self, insn: Insn, value: u64) -> Result<(), FaultKind> {
        let size = insn.code & 0x18;
        let addr = self.access(insn.dst(), insn.off, size, AccessKind::Write)?;
        // SAFETY: the verifier proved the access, or `Memory` checked it.
        unsafe {
            match (insn.code & 0xe0, size) {
                (BPF_MEM, BPF_B) => store(addr, value as u8),
                (BPF_MEM, BPF_H) => store(addr, value as u16),
                (BPF_MEM, BPF_W) => store(addr, value as u32),
                (BPF_MEM, _) => store(addr, value),
                _ => return Err(FaultKind::BadInsn),
            }
        }
        Ok(())
    }

    /// # Safety
    /// As [`super::run_with`].
    unsafe fn atomic(&mut self, insn: Insn) -> Result<(), FaultKind> {
        let size = insn.code & 0x18;
        let base = if insn.imm == BPF_LOAD_ACQ { insn.src() } else { insn.dst() };
        let addr = self.access(base, insn.off, size, AccessKind::Atomic)?;
        let (value, r0) = (self.reg(insn.src()), self.regs[0]);
        // SAFETY: the verifier proved the access and its alignment, or `Memory` checked both.
        let outcome = unsafe {
            match (insn.imm, size) {
                (BPF_LOAD_ACQ, _) => {
                    let loaded = atomic::load_acquire(size, addr);
                    self.set(insn.dst(), loaded);
                    Outcome::None
                }
                (BPF_STORE_REL, _) => {
                    atomic::store_release(size, addr, value);
                    Outcome::None
                }
                (imm, BPF_DW) => atomic::modify64(imm, addr, value, r0).ok_or(FaultKind::BadInsn)?,
                (imm, BPF_W) => atomic::modify32(imm, addr, value, r0).ok_or(FaultKind::BadInsn)?,
                _ => return Err(FaultKind::BadInsn),
            }
        };
        match outcome {
            Outcome::None => {}
            Outcome::Src(old) => self.set(insn.src(), old),
            Outcome::R0(old) => self.regs[0] = old,
        }
        Ok(())
    }
}

/// A field of the context: pointers whole, numbers zero-extended.
///
/// # Safety
/// `ctx` is a valid context.
#[inline(always)]
unsafe fn context_field(ctx: *const Ctx, field: CtxField) -> u64 {
    let (offset, kind) = field.in_ctx();
    // SAFETY: the offset is one of the context's own fields, of that kind.
    unsafe {
        let at = ctx.cast::<u8>().add(offset);
        match kind {
            CtxFieldKind::Pointer => at.cast::<u64>().read(),
            CtxFieldKind::U32 => u64::from(at.cast::<u32>().read()),
        }
    }
}
