//! The x86-64 backend.
//!
//! Compiles on every host; what it writes runs on x86-64 with SSE2, and with BMI2 where [`CpuFeatures`] says so.

mod abi;
mod enc;
mod fixed;
mod masm;
mod regs;
#[cfg(test)]
mod tests;
mod unit;

pub(crate) use masm::Assembler;

use super::buffer::{CodeBuffer, Label};
use super::masm::{Addr, Externs, FrameSpec, Masm, Opnd, ReturnMode};
use super::target::CpuFeatures;
use crate::ir::{Compare, Ext, Func, InstData, Op, Size};
use crate::maps::ProgArrayGeometry;
use crate::mem::OutOfMemory;
use crate::regalloc::{Allocation, Constraints, Machine, PReg, RegSet};
use crate::vm::AbortReason;
use regs::*;

impl Assembler {
    /// An assembler that writes to `buf`.
    pub(crate) fn new(buf: CodeBuffer, features: CpuFeatures) -> Self {
        Assembler { buf, features, frame: abi::FrameLayout::default(), registers: usize::MAX }
    }

    /// The same with few registers for values.
    #[cfg(test)]
    pub(crate) fn with_registers(mut self, registers: usize) -> Self {
        self.registers = registers;
        self
    }

    /// The code, to be finished.
    pub(crate) fn into_buffer(self) -> CodeBuffer {
        self.buf
    }
}

/// The machine as one kind of function sees it.
struct X64 {
    allocatable: &'static [PReg],
    features: CpuFeatures,
}

impl Machine for X64 {
    fn allocatable(&self) -> &[PReg] {
        self.allocatable
    }

    fn callee_saved(&self) -> RegSet {
        CALLEE_SAVED
    }

    fn arguments(&self) -> [PReg; 5] {
        ARGUMENTS
    }

    fn result(&self) -> PReg {
        RAX
    }

    fn scratch(&self) -> PReg {
        R11
    }

    fn constraints(&self, _: &Func, inst: &InstData) -> Constraints {
        match inst.op {
            Op::CallHelper | Op::CallFunc | Op::CallValue | Op::TailCallAny => {
                Constraints { fixed: CALL_OPERANDS.map(Some), clobbers: CALLER_SAVED, result: Some(RAX) }
            }
            _ => fixed::constraints(inst, self.features.bmi2),
        }
    }

    fn is_large(&self, imm: i64) -> bool {
        i32::try_from(imm).is_err()
    }
}

impl Masm for Assembler {
    fn buf(&mut self) -> &mut CodeBuffer {
        &mut self.buf
    }

    fn machine(&self, spec: &FrameSpec) -> impl Machine {
        let allocatable = if spec.main && spec.leaf { PINNED_RDI } else { PINNED_RBX };
        let allocatable = allocatable.get(..self.registers).unwrap_or(allocatable);
        X64 { allocatable, features: self.features }
    }

    fn enter(&mut self, spec: &FrameSpec, alloc: &Allocation) -> Result<(), OutOfMemory> {
        self.prologue(spec, alloc);
        Ok(())
    }

    fn frame_bytes(&self) -> u32 {
        self.frame.bytes
    }

    fn env(&self) -> PReg {
        self.frame.env()
    }

    fn mov(&mut self, dst: Opnd, src: Opnd) {
        self.mov_any(dst, src);
    }

    fn binary(&mut self, d: &InstData, dst: Opnd, a: Opnd, b: Opnd) {
        self.binary_op(d, dst, a, b);
    }

    fn unary(&mut self, d: &InstData, dst: Opnd, a: Opnd) {
        self.unary_op(d, dst, a);
    }

    fn select(&mut self, cmp: &Compare, dst: Opnd, cmp_args: [Opnd; 2], values: [Opnd; 2]) {
        self.select_op(cmp, dst, cmp_args, values);
    }

    fn load(&mut self, size: Size, ext: Ext, dst: Opnd, addr: Addr) {
        self.load_op(size, ext, dst, addr);
    }

    fn store(&mut self, size: Size, addr: Addr, src: Opnd) {
        self.store_op(size, addr, src);
    }

    fn atomic(&mut self, d: &InstData, dst: Opnd, addr: Addr, args: [Opnd; 2]) {
        self.atomic_op(d, dst, addr, args);
    }

    fn call_helper(&mut self, target: usize) {
        self.call_helper_op(target);
    }

    fn call_func(&mut self, target: Label) {
        self.call_func_op(target);
    }

    fn call_value(&mut self) {
        self.call_value_op();
    }

    fn keep_prog(&mut self, ext: &Externs) -> u32 {
        self.keep_prog_op(ext)
    }

    fn take_prog(&mut self) {
        self.take_prog_op();
    }

    fn name_prog(&mut self, ext: &Externs) {
        self.name_prog_op(ext);
    }

    fn thunk(&mut self, func: Label) -> u32 {
        self.thunk_op(func)
    }

    fn record(&mut self, label: Label, index: u64) -> u32 {
        while !self.buf.offset().is_multiple_of(8) {
            self.buf.push(0xcc);
        }
        let at = self.buf.offset();
        self.buf.dynamic_label(label);
        self.buf.push_i64(0);
        self.buf.push_i64(index as i64);
        at
    }

    fn tail_call(&mut self, ext: &Externs, table: &ProgArrayGeometry, index: Opnd) {
        self.tail_call_op(ext, table, index);
    }

    fn tail_call_any(&mut self, ext: &Externs) {
        self.tail_call_any_op(ext);
    }

    fn jump(&mut self, to: Label) {
        enc::jmp(&mut self.buf, to);
    }

    fn branch(&mut self, cmp: &Compare, args: [Opnd; 2], when: bool, to: Label) {
        self.branch_op(cmp, args, when, to);
    }

    fn branch_if_aborted(&mut self, ext: &Externs, to: Label) {
        self.branch_if_aborted_op(ext, to);
    }

    fn set_abort(&mut self, ext: &Externs, why: AbortReason) {
        self.set_abort_op(ext, why);
    }

    fn spend(&mut self, ext: &Externs, cost: i32, to: Label) {
        self.spend_op(ext, cost, to);
    }

    fn ask_for_more(&mut self, refill: Label, back: Label, ended: Label) {
        self.ask_for_more_op(refill, back, ended);
    }

    fn refill(&mut self, ext: &Externs) {
        self.refill_op(ext);
    }

    fn ret(&mut self, mode: ReturnMode, value: Opnd, slow: Label) {
        self.ret_op(mode, value, slow);
    }

    fn forget_redirect(&mut self, ext: &Externs) {
        self.forget_redirect_op(ext);
    }

    fn slow_return(&mut self, ext: &Externs) {
        self.slow_return_op(ext);
    }

    fn wrapper(&mut self, ext: &Externs, main: Label) {
        self.wrapper_op(ext, main);
    }

    fn veneer(&mut self, target: usize) {
        self.veneer_op(target);
    }
}
