//! Loads and stores: every size and extension, aligned and not, with positive and negative offsets, memory and stack.

use super::{Asm, EDGES, List, SIZES, add_imm, ldx, mov, pattern, read, sext, stx, zext};
use crate::isa::Insn;
use crate::isa::op::*;

/// Offsets into [`pattern`], aligned and not, leaving eight bytes beyond each.
const OFFSETS: [i16; 8] = [0, 1, 2, 3, 4, 7, 8, 21];

pub(super) fn add(list: &mut List) {
    loads(list);
    stores(list);
    stack(list);
    list.push(format_args!("r2 is the length"), &[mov(0, 2), super::EXIT], &pattern(), 32);
}

fn loads(list: &mut List) {
    let mem = pattern();
    for (size, bytes, bits) in SIZES {
        for off in OFFSETS {
            let raw = read(&mem, off as usize, bytes);
            let mut case = |name: &str, mode: u8, expected: u64| {
                // From the base itself, from a base beyond the bytes, and over the base register.
                let load = |dst, base, off| Insn::new(BPF_LDX | mode | size, dst, base, off, 0);
                let p = Asm::default().put(load(0, 1, off)).exit();
                list.push(format_args!("{name}{bits} [{off}]"), &p.0, &mem, expected);
                let p = Asm::default().put(add_imm(1, 24)).put(load(0, 1, off - 24)).exit();
                list.push(format_args!("{name}{bits} [24 {}]", off - 24), &p.0, &mem, expected);
                let p = Asm::default().put(load(1, 1, off)).put(mov(0, 1)).exit();
                list.push(format_args!("{name}{bits} r1, [r1 + {off}]"), &p.0, &mem, expected);
            };
            case("ldx", BPF_MEM, raw);
            if bytes < 8 {
                case("ldxs", BPF_MEMSX, sext(raw, bytes));
            }
        }
    }
}

fn stores(list: &mut List) {
    for (size, bytes, bits) in SIZES {
        for off in OFFSETS {
            for value in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef, 0x8000_0000] {
                for reg in [true, false] {
                    let stored = if reg { value } else { i64::from(value as i32) as u64 };
                    let mut mem = pattern();
                    let at = off as usize;
                    mem[at..at + bytes].copy_from_slice(&stored.to_le_bytes()[..bytes]);
                    // What stands at the offset, its neighbours before and behind included.
                    let from = at.saturating_sub(1);
                    let expected = read(&mem, from, 8) ^ read(&mem, from + 2, 8).wrapping_mul(3);
                    let store = if reg {
                        stx(size, 1, off, 3)
                    } else {
                        Insn::new(BPF_ST | BPF_MEM | size, 1, 0, off, value as i32)
                    };
                    let p = Asm::default().set(3, value).put(store);
                    let p = p.put(ldx(BPF_DW, 0, 1, from as i16)).put(ldx(BPF_DW, 4, 1, from as i16 + 2));
                    let p = p.put(Insn::new(BPF_ALU64 | BPF_MUL | BPF_K, 4, 0, 0, 3));
                    let p = p.put(Insn::new(BPF_ALU64 | BPF_XOR | BPF_X, 0, 4, 0, 0)).exit();
                    let name = if reg { "stx" } else { "st" };
                    list.push(format_args!("{name}{bits} [{off}] {value:#x}"), &p.0, &pattern(), expected);
                }
            }
        }
    }
}

fn stack(list: &mut List) {
    for (size, bytes, bits) in SIZES {
        for value in EDGES {
            for off in [-8, -16, -512] {
                let p = Asm::default().set(3, value).put(stx(size, 10, off, 3));
                let p = p.put(ldx(size, 0, 10, off)).exit();
                let expected = zext(value, bytes);
                list.push(format_args!("stack{bits} [{off}] {value:#x}"), &p.0, &[], expected);
            }
        }
        // A frame that was never written reads as zero.
        let p = Asm::default().put(ldx(size, 0, 10, -40)).exit();
        list.push(format_args!("stack{bits} unwritten"), &p.0, &[], 0);
    }
    // The parts of a word written apart, read whole through a copy of the frame pointer.
    let p = Asm::default().put(mov(6, 10)).put(add_imm(6, -24));
    let p = p.put(Insn::new(BPF_ST | BPF_MEM | BPF_W, 10, 0, -24, 0x5566_7788));
    let p = p.put(Insn::new(BPF_ST | BPF_MEM | BPF_H, 10, 0, -20, 0x3344));
    let p = p.put(Insn::new(BPF_ST | BPF_MEM | BPF_B, 10, 0, -18, 0x22));
    let p = p.put(Insn::new(BPF_ST | BPF_MEM | BPF_B, 10, 0, -17, 0x11));
    let p = p.put(ldx(BPF_DW, 0, 6, 0)).exit();
    list.push(format_args!("stack parts"), &p.0, &[], 0x1122_3344_5566_7788);
}
