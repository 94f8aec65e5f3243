//! Instruction words by name: short constructors for programs written in Rust, in tests above all.
//!
//! Register numbers are cut to four bits and nothing is checked: [`super::decode`] is the judge.

use super::insn::Insn;
use super::op::*;
use super::typed::{AluOp, AtomicOp, Cond, Size};

/// `dst op= imm`, 64-bit.
pub const fn alu64_imm(op: AluOp, dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU64 | op.bits() | BPF_K, dst, 0, op.off(), imm)
}

/// `dst op= src`, 64-bit.
pub const fn alu64_reg(op: AluOp, dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU64 | op.bits() | BPF_X, dst, src, op.off(), 0)
}

/// `wdst op= imm`, 32-bit.
pub const fn alu32_imm(op: AluOp, dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU | op.bits() | BPF_K, dst, 0, op.off(), imm)
}

/// `wdst op= wsrc`, 32-bit.
pub const fn alu32_reg(op: AluOp, dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU | op.bits() | BPF_X, dst, src, op.off(), 0)
}

/// `dst = imm`, sign-extended.
pub const fn mov64_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
}

/// `dst = src`.
pub const fn mov64_reg(dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
}

/// `wdst = imm`.
pub const fn mov32_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm)
}

/// `wdst = wsrc`.
pub const fn mov32_reg(dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0)
}

/// The two slots of `dst = imm` in full width.
pub const fn ld_imm64(dst: u8, imm: u64) -> [Insn; 2] {
    wide(dst, 0, imm as u32 as i32, (imm >> 32) as u32 as i32)
}

/// The two slots of `dst = map[idx]`: a map by its place in the list of maps.
pub const fn ld_map_idx(dst: u8, idx: u32) -> [Insn; 2] {
    wide(dst, BPF_PSEUDO_MAP_IDX, idx as i32, 0)
}

/// The two slots of `dst = map[idx][0] + off`: an address inside the first value of a map.
pub const fn ld_map_value(dst: u8, idx: u32, off: u32) -> [Insn; 2] {
    wide(dst, BPF_PSEUDO_MAP_IDX_VALUE, idx as i32, off as i32)
}

/// The two slots of `dst = &function`, the function `off` slots behind the next instruction word.
pub const fn ld_func(dst: u8, off: i32) -> [Insn; 2] {
    wide(dst, BPF_PSEUDO_FUNC, off, 0)
}

const fn wide(dst: u8, src: u8, low: i32, high: i32) -> [Insn; 2] {
    [Insn::new(LD_IMM64, dst, src, 0, low), Insn::new(0, 0, 0, 0, high)]
}

/// `dst = *(size *)(base + off)`.
pub const fn ldx(size: Size, dst: u8, base: u8, off: i16) -> Insn {
    Insn::new(BPF_LDX | BPF_MEM | size.code(), dst, base, off, 0)
}

/// `*(size *)(base + off) = src`.
pub const fn stx(size: Size, base: u8, off: i16, src: u8) -> Insn {
    Insn::new(BPF_STX | BPF_MEM | size.code(), base, src, off, 0)
}

/// `*(size *)(base + off) = imm`.
pub const fn st(size: Size, base: u8, off: i16, imm: i32) -> Insn {
    Insn::new(BPF_ST | BPF_MEM | size.code(), base, 0, off, imm)
}

/// `lock *(size *)(base + off) op= src`, without fetch unless the operation always does.
pub const fn atomic(op: AtomicOp, size: Size, base: u8, off: i16, src: u8) -> Insn {
    Insn::new(BPF_STX | BPF_ATOMIC | size.code(), base, src, off, op.imm())
}

/// `src = atomic_fetch_op(base + off, src)`.
pub const fn atomic_fetch(op: AtomicOp, size: Size, base: u8, off: i16, src: u8) -> Insn {
    Insn::new(BPF_STX | BPF_ATOMIC | size.code(), base, src, off, op.imm() | BPF_FETCH)
}

/// `goto pc+off`.
pub const fn ja(off: i16) -> Insn {
    Insn::new(BPF_JMP | BPF_JA, 0, 0, off, 0)
}

/// `if dst cond imm goto pc+off`, 64-bit.
pub const fn jmp_imm(cond: Cond, dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(BPF_JMP | cond.bits() | BPF_K, dst, 0, off, imm)
}

/// `if dst cond src goto pc+off`, 64-bit.
pub const fn jmp_reg(cond: Cond, dst: u8, src: u8, off: i16) -> Insn {
    Insn::new(BPF_JMP | cond.bits() | BPF_X, dst, src, off, 0)
}

/// `if wdst cond imm goto pc+off`, 32-bit.
pub const fn jmp32_imm(cond: Cond, dst: u8, imm: i32, off: i16) -> Insn {
    Insn::new(BPF_JMP32 | cond.bits() | BPF_K, dst, 0, off, imm)
}

/// `if wdst cond wsrc goto pc+off`, 32-bit.
pub const fn jmp32_reg(cond: Cond, dst: u8, src: u8, off: i16) -> Insn {
    Insn::new(BPF_JMP32 | cond.bits() | BPF_X, dst, src, off, 0)
}

/// Calls a helper by number.
pub const fn call(helper: u32) -> Insn {
    Insn::new(BPF_JMP | BPF_CALL, 0, 0, 0, helper as i32)
}

/// Calls the BPF function `off` slots behind the next instruction.
pub const fn call_local(off: i32) -> Insn {
    Insn::new(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, off)
}

/// Returns R0.
pub const fn exit() -> Insn {
    Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
}
