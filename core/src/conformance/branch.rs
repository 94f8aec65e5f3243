//! Jumps: every condition, width and operand form over edge values; forward, backward, long, empty.

use super::{Asm, EDGES, EXIT, IMM_EDGES, List, add_imm, mov_imm};
use crate::isa::Insn;
use crate::isa::op::*;

/// A condition with its meaning in 64 and in 32 bits.
struct Cond(&'static str, u8, fn(u64, u64) -> bool, fn(u32, u32) -> bool);

const CONDS: [Cond; 11] = [
    Cond("jeq", BPF_JEQ, |a, b| a == b, |a, b| a == b),
    Cond("jne", BPF_JNE, |a, b| a != b, |a, b| a != b),
    Cond("jgt", BPF_JGT, |a, b| a > b, |a, b| a > b),
    Cond("jge", BPF_JGE, |a, b| a >= b, |a, b| a >= b),
    Cond("jlt", BPF_JLT, |a, b| a < b, |a, b| a < b),
    Cond("jle", BPF_JLE, |a, b| a <= b, |a, b| a <= b),
    Cond("jset", BPF_JSET, |a, b| a & b != 0, |a, b| a & b != 0),
    Cond("jsgt", BPF_JSGT, |a, b| a as i64 > b as i64, |a, b| a as i32 > b as i32),
    Cond("jsge", BPF_JSGE, |a, b| a as i64 >= b as i64, |a, b| a as i32 >= b as i32),
    Cond("jslt", BPF_JSLT, |a, b| (a as i64) < b as i64, |a, b| (a as i32) < b as i32),
    Cond("jsle", BPF_JSLE, |a, b| a as i64 <= b as i64, |a, b| a as i32 <= b as i32),
];

pub(super) fn add(list: &mut List) {
    for cond in &CONDS {
        for a in EDGES {
            for b in EDGES {
                both_widths(list, cond, a, b, None);
            }
            for imm in IMM_EDGES {
                both_widths(list, cond, a, i64::from(imm) as u64, Some(imm));
            }
        }
    }
    unconditional(list);
}

fn both_widths(list: &mut List, Cond(name, code, wide, narrow): &Cond, a: u64, b: u64, imm: Option<i32>) {
    for (class, width, taken) in [(BPF_JMP, 64, wide(a, b)), (BPF_JMP32, 32, narrow(a as u32, b as u32))] {
        let jump = match imm {
            Some(imm) => Insn::new(class | code | BPF_K, 6, 0, 1, imm),
            None => Insn::new(class | code | BPF_X, 6, 4, 1, 0),
        };
        let p = Asm::default().set(6, a).set(4, b);
        let p = p.put(mov_imm(0, 1)).put(jump).put(mov_imm(0, 2)).exit();
        let form = if imm.is_some() { "imm" } else { "reg" };
        let expected = if taken { 1 } else { 2 };
        list.push(format_args!("{name}{width} {a:#x}, {form} {b:#x}"), &p.0, &[], expected);
    }
}

fn unconditional(list: &mut List) {
    let ja = |off| Insn::new(BPF_JMP | BPF_JA, 0, 0, off, 0);
    let gotol = |imm| Insn::new(BPF_JMP32 | BPF_JA, 0, 0, 0, imm);
    for (name, forward, none, backward) in
        [("ja", ja(1), ja(0), ja(-4)), ("gotol", gotol(1), gotol(0), gotol(-4))]
    {
        list.push(format_args!("{name} forward"), &[mov_imm(0, 1), forward, mov_imm(0, 2), EXIT], &[], 1);
        list.push(format_args!("{name} to the next"), &[mov_imm(0, 1), none, mov_imm(0, 2), EXIT], &[], 2);
        // Sums 5 + 4 + 3 + 2 + 1.
        let count = Insn::new(BPF_ALU64 | BPF_ADD | BPF_X, 0, 1, 0, 0);
        let done = Insn::new(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 3, 0);
        let p = [mov_imm(0, 0), mov_imm(1, 5), done, count, add_imm(1, -1), backward, EXIT];
        list.push(format_args!("{name} backward"), &p, &[], 15);
    }
    // Farther than 16 bits of offset reach.
    let mut far = Asm::default().put(mov_imm(0, 1)).put(gotol(40_000));
    for _ in 0..40_000 {
        far = far.put(mov_imm(0, 2));
    }
    list.push(format_args!("gotol far"), &far.exit().0, &[], 1);
}
