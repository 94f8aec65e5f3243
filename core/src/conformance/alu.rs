//! Arithmetic: every operation, width and operand form over edge values, and every pair of registers.

use super::{Asm, EDGES, IMM_EDGES, List, lddw, mov, mov_imm, sext, zext};
use crate::isa::Insn;
use crate::isa::op::*;

/// An operation with its meaning in 64 and in 32 bits; the offset 1 selects signed division.
struct Op {
    name: &'static str,
    code: u8,
    off: i16,
    wide: fn(u64, u64) -> u64,
    narrow: fn(u32, u32) -> u32,
}

const fn op(
    name: &'static str,
    code: u8,
    off: i16,
    wide: fn(u64, u64) -> u64,
    narrow: fn(u32, u32) -> u32,
) -> Op {
    Op { name, code, off, wide, narrow }
}

/// RFC 9669, section 4.1: a quotient by zero is 0, a remainder by zero the dividend, shifts are masked to the width.
const OPS: [Op; 15] = [
    op("add", BPF_ADD, 0, |a, b| a.wrapping_add(b), |a, b| a.wrapping_add(b)),
    op("sub", BPF_SUB, 0, |a, b| a.wrapping_sub(b), |a, b| a.wrapping_sub(b)),
    op("mul", BPF_MUL, 0, |a, b| a.wrapping_mul(b), |a, b| a.wrapping_mul(b)),
    op("div", BPF_DIV, 0, |a, b| a.checked_div(b).unwrap_or(0), |a, b| a.checked_div(b).unwrap_or(0)),
    op(
        "sdiv",
        BPF_DIV,
        1,
        |a, b| if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 },
        |a, b| if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 },
    ),
    op("or", BPF_OR, 0, |a, b| a | b, |a, b| a | b),
    op("and", BPF_AND, 0, |a, b| a & b, |a, b| a & b),
    op("lsh", BPF_LSH, 0, |a, b| a << (b & 63), |a, b| a << (b & 31)),
    op("rsh", BPF_RSH, 0, |a, b| a >> (b & 63), |a, b| a >> (b & 31)),
    op("mod", BPF_MOD, 0, |a, b| a.checked_rem(b).unwrap_or(a), |a, b| a.checked_rem(b).unwrap_or(a)),
    op(
        "smod",
        BPF_MOD,
        1,
        |a, b| if b == 0 { a } else { (a as i64).wrapping_rem(b as i64) as u64 },
        |a, b| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 },
    ),
    op("xor", BPF_XOR, 0, |a, b| a ^ b, |a, b| a ^ b),
    op("mov", BPF_MOV, 0, |_, b| b, |_, b| b),
    op("arsh", BPF_ARSH, 0, |a, b| ((a as i64) >> (b & 63)) as u64, |a, b| ((a as i32) >> (b & 31)) as u32),
    // Negation has no second operand and no register form; below it is made with a zero immediate.
    op("neg", BPF_NEG, 0, |a, _| a.wrapping_neg(), |a, _| a.wrapping_neg()),
];

pub(super) fn add(list: &mut List) {
    for op in &OPS {
        if op.code == BPF_NEG {
            unary(list, op);
        } else {
            by_register(list, op);
            by_immediate(list, op);
            every_register_pair(list, op);
        }
    }
    sign_extending_moves(list);
    byte_orders(list);
    wide_immediates(list);
}

fn unary(list: &mut List, op: &Op) {
    for a in EDGES {
        for (class, width, expected) in
            [(BPF_ALU64, 64, (op.wide)(a, 0)), (BPF_ALU, 32, u64::from((op.narrow)(a as u32, 0)))]
        {
            let p = Asm::default().set(0, a).put(Insn::new(class | op.code, 0, 0, 0, 0)).exit();
            list.push(format_args!("{}{width} {a:#x}", op.name), &p.0, &[], expected);
        }
    }
}

fn by_register(list: &mut List, op: &Op) {
    for a in EDGES {
        for b in EDGES {
            for (class, width, expected) in
                [(BPF_ALU64, 64, (op.wide)(a, b)), (BPF_ALU, 32, u64::from((op.narrow)(a as u32, b as u32)))]
            {
                let insn = Insn::new(class | op.code | BPF_X, 0, 3, op.off, 0);
                let p = Asm::default().set(0, a).set(3, b).put(insn).exit();
                list.push(format_args!("{}{width} {a:#x}, reg {b:#x}", op.name), &p.0, &[], expected);
            }
        }
    }
}

fn by_immediate(list: &mut List, op: &Op) {
    for a in EDGES {
        for imm in IMM_EDGES {
            for (class, width, expected) in [
                (BPF_ALU64, 64, (op.wide)(a, i64::from(imm) as u64)),
                (BPF_ALU, 32, u64::from((op.narrow)(a as u32, imm as u32))),
            ] {
                let insn = Insn::new(class | op.code | BPF_K, 7, 0, op.off, imm);
                let p = Asm::default().set(7, a).put(insn).put(mov(0, 7)).exit();
                list.push(format_args!("{}{width} {a:#x}, imm {imm:#x}", op.name), &p.0, &[], expected);
            }
        }
    }
}

/// Every destination with every source, all other registers filled: the result is folded over all of them, so that one which was
/// clobbered shows.
fn every_register_pair(list: &mut List, op: &Op) {
    for dst in 0..10u8 {
        for src in 0..10u8 {
            for (class, width) in [(BPF_ALU64, 64), (BPF_ALU, 32)] {
                let mut regs = [0u64; 10];
                let mut p = Asm::default();
                for r in 0..10u8 {
                    let value = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(u64::from(r) + 3);
                    regs[r as usize] = value;
                    p = p.set(r, value);
                }
                p = p.put(Insn::new(class | op.code | BPF_X, dst, src, op.off, 0));
                let (a, b) = (regs[dst as usize], regs[src as usize]);
                regs[dst as usize] =
                    if width == 64 { (op.wide)(a, b) } else { u64::from((op.narrow)(a as u32, b as u32)) };
                let mut expected = regs[0];
                for r in 1..10u8 {
                    p = p.put(Insn::new(BPF_ALU64 | BPF_MUL | BPF_K, 0, 0, 0, 31));
                    p = p.put(Insn::new(BPF_ALU64 | BPF_XOR | BPF_X, 0, r, 0, 0));
                    expected = expected.wrapping_mul(31) ^ regs[r as usize];
                }
                list.push(format_args!("{}{width} r{dst}, r{src}", op.name), &p.exit().0, &[], expected);
            }
        }
    }
}

fn sign_extending_moves(list: &mut List) {
    let values = [0x7f, 0x80, 0x7fff, 0x8000, 0x7fff_ffff, 0x1234_5680];
    for a in EDGES.into_iter().chain(values) {
        for bytes in [1, 2, 4usize] {
            let bits = 8 * bytes as i16;
            for dst in [0, 4] {
                let insn = Insn::new(BPF_ALU64 | BPF_MOV | BPF_X, dst, 4, bits, 0);
                let p = Asm::default().set(4, a).put(insn).put(mov(0, dst)).exit();
                list.push(format_args!("movsx{bits}to64 r{dst}, {a:#x}"), &p.0, &[], sext(a, bytes));
                if bytes < 4 {
                    let insn = Insn::new(BPF_ALU | BPF_MOV | BPF_X, dst, 4, bits, 0);
                    let p = Asm::default().set(4, a).put(insn).put(mov(0, dst)).exit();
                    let expected = zext(sext(a, bytes), 4);
                    list.push(format_args!("movsx{bits}to32 r{dst}, {a:#x}"), &p.0, &[], expected);
                }
            }
        }
    }
}

fn byte_orders(list: &mut List) {
    for a in EDGES.into_iter().chain([0xa1b2_c3d4_e5f6_0718, 0x80, 0x8001]) {
        for bytes in [2, 4, 8usize] {
            let bits = 8 * bytes as i32;
            let swapped = zext(a, bytes).swap_bytes() >> (64 - bits);
            for (name, code, expected) in [
                ("le", BPF_ALU | BPF_END | BPF_TO_LE, zext(a, bytes)),
                ("be", BPF_ALU | BPF_END | BPF_TO_BE, swapped),
                ("bswap", BPF_ALU64 | BPF_END, swapped),
            ] {
                for reg in [0, 5, 9] {
                    let insn = Insn::new(code, reg, 0, 0, bits);
                    let p = Asm::default().set(reg, a).put(insn).put(mov(0, reg)).exit();
                    list.push(format_args!("{name}{bits} r{reg} {a:#x}"), &p.0, &[], expected);
                }
            }
        }
    }
}

fn wide_immediates(list: &mut List) {
    for a in EDGES {
        let [lo, hi] = lddw(0, a);
        list.push(format_args!("lddw {a:#x}"), &[lo, hi, super::EXIT], &[], a);
    }
    // A jump over a wide instruction counts both of its slots.
    let [lo, hi] = lddw(0, u64::MAX);
    let skip = Insn::new(BPF_JMP | BPF_JA, 0, 0, 2, 0);
    list.push(format_args!("ja over lddw"), &[mov_imm(0, 1), skip, lo, hi, super::EXIT], &[], 1);
}
