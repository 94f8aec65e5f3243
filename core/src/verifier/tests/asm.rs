//! A small assembler, so that a case is a line of text.
//!
//! Statements end with `;` or a new line. `r1 = 5`, `w1 += w2`, `r1 = u32[r2+4]`, `s8` for sign-extending loads, `u8[r10-1] = 7`,
//! `lock u64[r1+0] f+= r2` (`f`: fetch; `xchg`, `cmpxchg` too), `r1 = acq u32[r2+0]`, `rel u32[r2+0] = r1`, `if r1 s> 3 goto x`, `goto x`, `x:`,
//! `@f:` starts a function, `call 1`, `call @f`, `r1 = map0`, `r1 = map3[8]`, `r1 = &@f`, `r1 = ll 0x123456789`, `exit`,
//! `r1 = (s8)r2`, `r1 = be16 r1`, `r1 = -r1`, `raw code dst src off imm`.

use crate::isa::op::*;
use crate::isa::{AluOp, AtomicOp, Cond, Insn, Size, build};
use std::collections::HashMap;

/// Instructions and the starts of functions.
pub(crate) struct Assembled {
    pub(crate) insns: Vec<Insn>,
    pub(crate) functions: Vec<(String, u32)>,
}

enum Fix {
    Jump,
    Call,
    Func,
}

pub(crate) fn assemble(text: &str) -> Assembled {
    let mut insns: Vec<Insn> = Vec::new();
    let mut labels = HashMap::new();
    let mut functions = vec![("main".to_string(), 0)];
    let mut fixes = Vec::new();
    for s in text.split([';', '\n']).map(str::trim).filter(|s| !s.is_empty()) {
        if let Some(label) = s.strip_suffix(':') {
            labels.insert(label.to_string(), insns.len());
            if let Some(name) = label.strip_prefix('@') {
                functions.push((name.to_string(), insns.len() as u32));
            }
            continue;
        }
        let at = insns.len();
        let (words, fix) = statement(s);
        insns.extend(words);
        if let Some((kind, label)) = fix {
            fixes.push((at, kind, label));
        }
    }
    for (at, kind, label) in fixes {
        let to = match label.parse::<i64>() {
            Ok(relative) => at as i64 + 1 + relative,
            Err(_) => *labels.get(&label).unwrap_or_else(|| panic!("no label {label} in {text}")) as i64,
        };
        let distance = to - at as i64 - 1;
        match kind {
            Fix::Jump => insns[at].off = distance as i16,
            Fix::Call | Fix::Func => insns[at].imm = distance as i32,
        }
    }
    Assembled { insns, functions }
}

fn number(s: &str) -> i64 {
    let (negative, digits) = s.strip_prefix('-').map_or((false, s), |d| (true, d));
    let v = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("number {s}")) as i64,
        None => digits.parse().unwrap_or_else(|_| panic!("number {s}")),
    };
    if negative { -v } else { v }
}

/// A register: its number and whether it is the 64-bit one.
fn reg(s: &str) -> Option<(u8, bool)> {
    let wide = s.starts_with('r');
    let n = s.strip_prefix(['r', 'w'])?;
    Some((n.parse().ok()?, wide))
}

/// `u32[r1+4]`: size, signed, base, offset.
fn mem(s: &str) -> Option<(Size, bool, u8, i16)> {
    let (ty, rest) = s.split_once('[')?;
    let inner = rest.strip_suffix(']')?;
    let size = Size::from_bits(ty.get(1..)?.parse().ok()?)?;
    let cut = inner.find(['+', '-'])?;
    let off = number(inner[cut..].trim_start_matches('+'));
    Some((size, ty.starts_with('s'), reg(&inner[..cut])?.0, off as i16))
}

fn statement(s: &str) -> (Vec<Insn>, Option<(Fix, String)>) {
    let w: Vec<&str> = s.split_whitespace().collect();
    let one = |i: Insn| (vec![i], None);
    match w[..] {
        ["exit"] => one(build::exit()),
        ["goto", l] => (vec![build::ja(0)], Some((Fix::Jump, l.into()))),
        ["call", l] if l.starts_with('@') => (vec![build::call_local(0)], Some((Fix::Call, l.into()))),
        ["call", n] => one(build::call(number(n) as u32)),
        ["raw", code, dst, src, off, imm] => one(Insn::new(
            number(code) as u8,
            number(dst) as u8,
            number(src) as u8,
            number(off) as i16,
            number(imm) as i32,
        )),
        ["if", a, op, b, "goto", l] => {
            let cond = *Cond::ALL.iter().find(|c| c.symbol() == op).unwrap_or_else(|| panic!("{s}"));
            let (dst, wide) = reg(a).unwrap_or_else(|| panic!("{s}"));
            let i = match (reg(b), wide) {
                (Some((src, _)), true) => build::jmp_reg(cond, dst, src, 0),
                (Some((src, _)), false) => build::jmp32_reg(cond, dst, src, 0),
                (None, true) => build::jmp_imm(cond, dst, number(b) as i32, 0),
                (None, false) => build::jmp32_imm(cond, dst, number(b) as i32, 0),
            };
            (vec![i], Some((Fix::Jump, l.into())))
        }
        ["lock", m, op, src] => {
            let (size, _, base, off) = mem(m).unwrap_or_else(|| panic!("{s}"));
            let (src, _) = reg(src).unwrap_or_else(|| panic!("{s}"));
            let (fetch, op) = op.strip_prefix('f').map_or((false, op), |o| (true, o));
            let op = match op {
                "+=" => AtomicOp::Add,
                "|=" => AtomicOp::Or,
                "&=" => AtomicOp::And,
                "^=" => AtomicOp::Xor,
                "xchg" => AtomicOp::Xchg,
                "cmpxchg" => AtomicOp::Cmpxchg,
                _ => panic!("{s}"),
            };
            one(if fetch {
                build::atomic_fetch(op, size, base, off, src)
            } else {
                build::atomic(op, size, base, off, src)
            })
        }
        ["rel", m, "=", src] => {
            let (size, _, base, off) = mem(m).unwrap_or_else(|| panic!("{s}"));
            let src = reg(src).unwrap_or_else(|| panic!("{s}")).0;
            one(Insn::new(BPF_STX | BPF_ATOMIC | size.code(), base, src, off, BPF_STORE_REL))
        }
        [dst, "=", "acq", m] => {
            let (size, _, base, off) = mem(m).unwrap_or_else(|| panic!("{s}"));
            let dst = reg(dst).unwrap_or_else(|| panic!("{s}")).0;
            one(Insn::new(BPF_STX | BPF_ATOMIC | size.code(), dst, base, off, BPF_LOAD_ACQ))
        }
        [dst, "=", "ll", v] => {
            (build::ld_imm64(reg(dst).unwrap_or_else(|| panic!("{s}")).0, number(v) as u64).to_vec(), None)
        }
        [dst, "=", end, _] if end.starts_with("be") || end.starts_with("le") || end.starts_with("bswap") => {
            let dst = reg(dst).unwrap_or_else(|| panic!("{s}")).0;
            let bits = end.trim_start_matches(char::is_alphabetic).parse().unwrap();
            let code = match &end[..2] {
                "be" => BPF_ALU | BPF_END | BPF_TO_BE,
                "le" => BPF_ALU | BPF_END | BPF_TO_LE,
                _ => BPF_ALU64 | BPF_END,
            };
            one(Insn::new(code, dst, 0, 0, bits))
        }
        [left, op, right] => assign(s, left, op, right),
        _ => panic!("cannot assemble {s}"),
    }
}

fn assign(s: &str, left: &str, op: &str, right: &str) -> (Vec<Insn>, Option<(Fix, String)>) {
    let one = |i: Insn| (vec![i], None);
    if let Some((size, _, base, off)) = mem(left) {
        return one(match reg(right) {
            Some((src, _)) => build::stx(size, base, off, src),
            None => build::st(size, base, off, number(right) as i32),
        });
    }
    let (dst, wide) = reg(left).unwrap_or_else(|| panic!("{s}"));
    if op == "=" {
        if let Some((size, signed, base, off)) = mem(right).filter(|_| !right.starts_with("map")) {
            let mode = if signed { BPF_MEMSX } else { BPF_MEM };
            return one(Insn::new(BPF_LDX | mode | size.code(), dst, base, off, 0));
        }
        if let Some(map) = right.strip_prefix("map") {
            return match map.split_once('[') {
                None => (build::ld_map_idx(dst, number(map) as u32).to_vec(), None),
                Some((map, off)) => {
                    let off = number(off.trim_end_matches(']')) as u32;
                    (build::ld_map_value(dst, number(map) as u32, off).to_vec(), None)
                }
            };
        }
        if let Some(label) = right.strip_prefix('&') {
            return (build::ld_func(dst, 0).to_vec(), Some((Fix::Func, label.into())));
        }
        if let Some((ty, src)) = right.strip_prefix("(s").and_then(|r| r.split_once(')')) {
            let src = reg(src).unwrap_or_else(|| panic!("{s}")).0;
            let class = if wide { BPF_ALU64 } else { BPF_ALU };
            return one(Insn::new(class | BPF_MOV | BPF_X, dst, src, number(ty) as i16, 0));
        }
        if right.starts_with("-r") || right.starts_with("-w") {
            let class = if wide { BPF_ALU64 } else { BPF_ALU };
            return one(Insn::new(class | BPF_NEG, dst, 0, 0, 0));
        }
        return one(match (reg(right), wide) {
            (Some((src, _)), true) => build::mov64_reg(dst, src),
            (Some((src, _)), false) => build::mov32_reg(dst, src),
            (None, true) => build::mov64_imm(dst, number(right) as i32),
            (None, false) => build::mov32_imm(dst, number(right) as i32),
        });
    }
    let op = *AluOp::ALL.iter().find(|a| a.symbol() == op).unwrap_or_else(|| panic!("{s}"));
    one(match (reg(right), wide) {
        (Some((src, _)), true) => build::alu64_reg(op, dst, src),
        (Some((src, _)), false) => build::alu32_reg(op, dst, src),
        (None, true) => build::alu64_imm(op, dst, number(right) as i32),
        (None, false) => build::alu32_imm(op, dst, number(right) as i32),
    })
}
