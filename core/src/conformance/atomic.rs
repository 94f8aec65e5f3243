//! Atomics: every operation, with and without fetch, in both widths; exchange, compare-and-exchange, load-acquire, store-release.

use super::{Asm, EDGES, List, SIZES, ldx, mov, pattern, read, stx, zext};
use crate::isa::Insn;
use crate::isa::op::*;

/// Memory before the operation: the word that is worked on, and one behind it that must not change.
const BEFORE: [u64; 6] = [0, 1, u64::MAX, i64::MIN as u64, 0xffff_ffff, 0x0123_4567_89ab_cdef];
const BEHIND: u64 = 0x5555_aaaa_3333_cccc;

/// An operation and its meaning on the low `bytes` bytes.
type Op = (&'static str, i32, fn(u64, u64) -> u64);

const OPS: [Op; 5] = [
    ("add", BPF_ADD as i32, |m, v| m.wrapping_add(v)),
    ("or", BPF_OR as i32, |m, v| m | v),
    ("and", BPF_AND as i32, |m, v| m & v),
    ("xor", BPF_XOR as i32, |m, v| m ^ v),
    ("xchg", BPF_XCHG, |_, v| v),
];

pub(super) fn add(list: &mut List) {
    for (size, bytes) in [(BPF_W, 4), (BPF_DW, 8)] {
        for before in BEFORE {
            for value in EDGES {
                for op in &OPS {
                    read_modify_write(list, size, bytes, before, value, op);
                }
                compare_exchange(list, size, bytes, before, value);
            }
        }
    }
    for (size, bytes, bits) in SIZES {
        for off in [0, 8, 16] {
            acquire_release(list, size, bytes, bits, off);
        }
    }
    every_register(list);
}

fn atomic(size: u8, base: u8, off: i16, src: u8, imm: i32) -> Insn {
    Insn::new(BPF_STX | BPF_ATOMIC | size, base, src, off, imm)
}

fn memory(before: u64) -> [u8; 16] {
    let mut mem = [0; 16];
    mem[..8].copy_from_slice(&before.to_le_bytes());
    mem[8..].copy_from_slice(&BEHIND.to_le_bytes());
    mem
}

/// `word` with its low `bytes` bytes replaced by those of `value`.
fn replace_low(word: u64, value: u64, bytes: usize) -> u64 {
    (word ^ zext(word, bytes)) | zext(value, bytes)
}

fn read_modify_write(list: &mut List, size: u8, bytes: usize, before: u64, value: u64, op: &Op) {
    let (name, code, meaning) = *op;
    let after = replace_low(before, meaning(zext(before, bytes), zext(value, bytes)), bytes);
    let forms: &[(i32, &str, u64)] = match code {
        BPF_XCHG => &[(BPF_XCHG, "", zext(before, bytes))],
        _ => &[(code, "", value), (code | BPF_FETCH, "_fetch", zext(before, bytes))],
    };
    for &(imm, suffix, source_after) in forms {
        let bits = 8 * bytes;
        let rest = ldx(BPF_DW, 4, 1, 8);
        let fold = Insn::new(BPF_ALU64 | BPF_XOR | BPF_X, 0, 4, 0, 0);
        let p = Asm::default().set(3, value).put(atomic(size, 1, 0, 3, imm));
        let p = p.put(ldx(BPF_DW, 0, 1, 0)).put(rest).put(fold).exit();
        let mem = memory(before);
        list.push(
            format_args!("atomic{bits} {name}{suffix} {before:#x}, {value:#x}: memory"),
            &p.0,
            &mem,
            after ^ BEHIND,
        );
        let p = Asm::default().set(3, value).put(atomic(size, 1, 0, 3, imm)).put(mov(0, 3)).exit();
        list.push(
            format_args!("atomic{bits} {name}{suffix} {before:#x}, {value:#x}: source"),
            &p.0,
            &mem,
            source_after,
        );
    }
}

/// `value` is stored where memory holds what r0 does; both outcomes, and an r0 that differs above the width alone.
fn compare_exchange(list: &mut List, size: u8, bytes: usize, before: u64, value: u64) {
    let bits = 8 * bytes;
    for expected in [before, before ^ 1, before ^ (1 << 40)] {
        let equal = zext(expected, bytes) == zext(before, bytes);
        let after = if equal { replace_low(before, value, bytes) } else { before };
        let name = format_args!("cmpxchg{bits} {before:#x}, r0 {expected:#x}, {value:#x}");
        let start = || Asm::default().set(0, expected).set(3, value).put(atomic(size, 1, 0, 3, BPF_CMPXCHG));
        let mem = memory(before);
        list.push(format_args!("{name}: r0"), &start().exit().0, &mem, zext(before, bytes));
        let p = start().put(ldx(BPF_DW, 0, 1, 0)).exit();
        list.push(format_args!("{name}: memory"), &p.0, &mem, after);
        list.push(format_args!("{name}: source"), &start().put(mov(0, 3)).exit().0, &mem, value);
    }
}

fn acquire_release(list: &mut List, size: u8, bytes: usize, bits: &str, off: i16) {
    let mem = pattern();
    for dst in [0, 1, 7] {
        let load = Insn::new(BPF_STX | BPF_ATOMIC | size, dst, 1, off, BPF_LOAD_ACQ);
        let p = Asm::default().put(load).put(mov(0, dst)).exit();
        let expected = read(&mem, off as usize, bytes);
        list.push(format_args!("load_acquire{bits} r{dst} [{off}]"), &p.0, &mem, expected);
    }
    for value in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
        let p = Asm::default().set(3, value).put(atomic(size, 1, off, 3, BPF_STORE_REL));
        let p = p.put(ldx(BPF_DW, 0, 1, off)).exit();
        let expected = replace_low(read(&mem, off as usize, 8), value, bytes);
        list.push(format_args!("store_release{bits} [{off}] {value:#x}"), &p.0, &mem, expected);
    }
}

/// Fetching operations with every base and source register, r0 among them, on the stack.
fn every_register(list: &mut List) {
    for base in 0..10u8 {
        for src in 0..10u8 {
            if src == base {
                continue;
            }
            for (size, bytes, bits) in [(BPF_W, 4, "32"), (BPF_DW, 8, "64")] {
                for (name, imm, meaning) in OPS {
                    let (before, value) = (0x1122_3344_5566_7788u64, 0x0f0f_0000_ff00_aa55u64);
                    let p = Asm::default().set(src, before).put(stx(BPF_DW, 10, -16, src)).set(src, value);
                    let p = p.put(mov(base, 10)).put(atomic(size, base, -16, src, imm | BPF_FETCH));
                    let p = p.put(stx(BPF_DW, 10, -24, src)).put(ldx(BPF_DW, 0, 10, -16));
                    let p = p.put(ldx(BPF_DW, 1, 10, -24));
                    let p = p.put(Insn::new(BPF_ALU64 | BPF_SUB | BPF_X, 0, 1, 0, 0)).exit();
                    let after = replace_low(before, meaning(zext(before, bytes), zext(value, bytes)), bytes);
                    let expected = after.wrapping_sub(zext(before, bytes));
                    list.push(format_args!("atomic{bits} {name} [r{base}], r{src}"), &p.0, &[], expected);
                }
            }
        }
    }
}
