//! Bytes as instruction words.

use crate::world;
use uxdp_core::isa::Insn;
use uxdp_core::isa::op::*;
use uxdp_core::limits::BPF_MAX_SUBPROGS;
use uxdp_core::mem;
use uxdp_core::program::{ArgKind, AttachType, Code, Signature, Subprog};

/// Instructions as they are, but for maps, which are taken from those that there are; functions are where calls lead.
pub fn program(bytes: &[u8], global: bool) -> Code {
    let mut insns: Vec<Insn> =
        bytes.as_chunks::<8>().0.iter().map(|b| Insn::from_bytes(*b)).take(4096).collect();
    let maps = (world::MADE.len() + world::JUDGED.len()) as i32;
    for insn in &mut insns {
        if insn.code == LD_IMM64 && matches!(insn.src(), BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE) {
            insn.imm = insn.imm.rem_euclid(maps + 1);
        }
    }
    code(&insns, global)
}

/// What global functions take: two numbers, and eight bytes.
const SIGNATURE: Signature = Signature {
    args: [Some(ArgKind::Scalar), Some(ArgKind::Scalar), Some(ArgKind::Mem { size: 8 }), None, None],
    returns_scalar: true,
};

/// A program of these instructions; all functions but the first are global where that is said.
pub fn code(insns: &[Insn], global: bool) -> Code {
    let calls = |insn: &Insn| {
        (insn.code == BPF_JMP | BPF_CALL && insn.src() == BPF_PSEUDO_CALL)
            || (insn.code == LD_IMM64 && insn.src() == BPF_PSEUDO_FUNC)
    };
    let target = |(pc, insn): (usize, &Insn)| {
        let to = pc as i64 + 1 + i64::from(insn.imm);
        usize::try_from(to).ok().filter(|to| *to < insns.len())
    };
    let mut starts: Vec<usize> =
        insns.iter().enumerate().filter(|(_, i)| calls(i)).filter_map(target).collect();
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    starts.truncate(BPF_MAX_SUBPROGS);
    let subprog = |i: usize| Subprog {
        name: mem::String::from_text(if i == 0 { "main" } else { "function" }).expect("memory"),
        start: starts[i] as u32,
        end: starts.get(i + 1).map_or(insns.len(), |s| *s) as u32,
        global: global && i > 0,
        signature: (global && i > 0).then_some(SIGNATURE),
    };
    Code {
        name: mem::String::from_text("fuzz").expect("memory"),
        insns: mem::Vec::from_slice(insns).expect("memory"),
        subprogs: mem::Vec::from_fn(starts.len(), subprog).expect("memory"),
        attach: AttachType::Xdp,
        ..Code::default()
    }
}
