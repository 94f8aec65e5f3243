//! Whole programs: local calls, function values, frames, loops.

use super::{Asm, EXIT, List, add_imm, call, ldx, mov, mov_imm, stx};
use crate::isa::Insn;
use crate::isa::op::*;

const fn add(dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0)
}

const fn mul_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU64 | BPF_MUL | BPF_K, dst, 0, 0, imm)
}

fn add_calls(list: &mut List) {
    let p = [mov_imm(0, 1), call(1), EXIT, mov_imm(0, 7), EXIT];
    list.push(format_args!("call local"), &p, &[], 7);

    // All five arguments arrive, in order.
    let mut p = Asm::default();
    for r in 1..=5 {
        p = p.put(mov_imm(r, i32::from(r)));
    }
    p = p.put(call(1)).exit().put(mov_imm(0, 0));
    for r in 1..=5 {
        p = p.put(mul_imm(0, 10)).put(add(0, r));
    }
    list.push(format_args!("call local: arguments"), &p.exit().0, &[], 12345);

    // A callee may use r6 to r9; the caller's come back.
    let mut p = Asm::default();
    for r in 6..=9 {
        p = p.put(mov_imm(r, i32::from(r)));
    }
    p = p.put(call(6)).put(mov(0, 6)).put(mul_imm(0, 10)).put(add(0, 7)).put(add(0, 8)).put(add(0, 9)).exit();
    for r in 6..=9 {
        p = p.put(mov_imm(r, -1));
    }
    list.push(format_args!("call local: saved registers"), &p.exit().0, &[], 60 + 7 + 8 + 9);

    // Frames are apart: the callee's writes leave the caller's alone, and its own slot is its own.
    let store = Insn::new(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 11);
    let other = Insn::new(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, 22);
    let p = [store, call(3), ldx(BPF_DW, 1, 10, -8), add(0, 1), EXIT, other, ldx(BPF_DW, 0, 10, -8), EXIT];
    list.push(format_args!("call local: own frame"), &p, &[], 33);

    // A callee's frame reads as zero, though an earlier call wrote where it lies.
    let p = [
        mov_imm(6, 1),
        call(4),
        mov_imm(1, 0),
        call(2),
        EXIT,
        EXIT,
        ldx(BPF_DW, 0, 10, -256),
        mov_imm(2, 77),
        stx(BPF_DW, 10, -256, 2),
        EXIT,
    ];
    list.push(format_args!("call local: frame cleared"), &p, &[], 0);

    // A pointer into the caller's frame works in the callee.
    let p = [
        store,
        mov(1, 10),
        add_imm(1, -8),
        call(2),
        ldx(BPF_DW, 0, 10, -8),
        EXIT,
        Insn::new(BPF_ST | BPF_MEM | BPF_DW, 1, 0, 0, 99),
        EXIT,
    ];
    list.push(format_args!("call local: caller's frame"), &p, &[], 99);

    // The main function and seven below it: each adds its depth to what the deeper ones return.
    let mut p = Asm::default();
    for depth in 0..7 {
        p = p.put(mov_imm(6, 1 << depth)).put(call(2)).put(add(0, 6)).exit();
    }
    p = p.put(mov_imm(0, 1 << 7)).exit();
    list.push(format_args!("call local: eight frames"), &p.0, &[], 255);

    // Recursion: the sum from 6 down to 1.
    let p = [
        mov_imm(1, 6),
        call(1),
        EXIT,
        mov(6, 1),
        mov_imm(0, 0),
        Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 3, 0),
        add_imm(1, -1),
        call(-5),
        add(0, 6),
        EXIT,
    ];
    list.push(format_args!("call local: recursion"), &p, &[], 21);

    callx(list);
}

/// A function value is called through its register.
fn callx(list: &mut List) {
    for reg in [0, 3, 6, 9] {
        let func = |delta| [Insn::new(LD_IMM64, reg, BPF_PSEUDO_FUNC, 0, delta), Insn::new(0, 0, 0, 0, 0)];
        let [lo, hi] = func(5);
        let go = Insn::new(BPF_JMP | BPF_CALL | BPF_X, reg, 0, 0, 0);
        let p = [mov_imm(1, 40), lo, hi, go, add_imm(0, 1), EXIT, EXIT, mov(0, 1), add_imm(0, 1), EXIT];
        list.push(format_args!("callx r{reg}"), &p, &[], 42);
    }
}

fn add_loops(list: &mut List) {
    // Greatest common divisor by remainders.
    let p = Asm::default().set(1, 1_071_000).set(2, 462_462);
    let p = p.put(Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 5, 0)).put(mov(3, 1));
    let p = p.put(Insn::new(BPF_ALU64 | BPF_MOD | BPF_X, 3, 2, 0, 0)).put(mov(1, 2)).put(mov(2, 3));
    let p = p.put(Insn::new(BPF_JMP | BPF_JA, 0, 0, -6, 0)).put(mov(0, 1)).exit();
    list.push(format_args!("loop: gcd"), &p.0, &[], 42);

    // Fletcher-like sum over memory, a byte at a time.
    let mem = super::pattern();
    let (mut a, mut b) = (1u64, 0u64);
    for &byte in &mem {
        a = a.wrapping_add(u64::from(byte));
        b = b.wrapping_add(a);
    }
    let p = Asm::default().put(add(2, 1)).put(mov_imm(3, 1)).put(mov_imm(0, 0));
    let p = p.put(Insn::new(BPF_JMP | BPF_JGE | BPF_X, 1, 2, 5, 0)).put(ldx(BPF_B, 4, 1, 0));
    let p = p.put(add(3, 4)).put(add(0, 3)).put(add_imm(1, 1));
    let p = p.put(Insn::new(BPF_JMP | BPF_JA, 0, 0, -6, 0));
    let p = p.put(Insn::new(BPF_ALU64 | BPF_LSH | BPF_K, 0, 0, 0, 16)).put(add(0, 3)).exit();
    list.push(format_args!("loop: sum of memory"), &p.0, &mem, (b << 16).wrapping_add(a));

    // Two values swapped in a loop: parallel copies at the back edge.
    let p = Asm::default().put(mov_imm(6, 3)).put(mov_imm(7, 1000)).put(mov_imm(8, 5));
    let p = p.put(mov(1, 6)).put(mov(6, 7)).put(mov(7, 1)).put(add_imm(6, 1)).put(add_imm(8, -1));
    let p = p.put(Insn::new(BPF_JMP | BPF_JNE | BPF_K, 8, 0, -6, 0));
    let p = p.put(mov(0, 6)).put(mul_imm(0, 10_000)).put(add(0, 7)).exit();
    let (mut x, mut y) = (3u64, 1000u64);
    for _ in 0..5 {
        (x, y) = (y + 1, x);
    }
    list.push(format_args!("loop: swap"), &p.0, &[], x * 10_000 + y);

    // Exit from the middle.
    let p = [mov_imm(0, 3), Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 3), EXIT, mov_imm(0, 4), EXIT];
    list.push(format_args!("exit: two"), &p, &[], 4);
}

pub(super) fn add_all(list: &mut List) {
    add_calls(list);
    add_loops(list);
}
