//! Which registers an instruction's future may read: a backward dataflow over the control flow, once per program.
//!
//! What is dead need not be compared when paths meet. `live[pc]` has bit r where register r may be read before it is written, from `pc` on:
//! in = use ∪ (out \ def), out = union over successors. Calls of functions read R1 to R5 and write R0 to R5; helpers read what their
//! prototype names; the frame pointer is always live. Any superset is sound.

use super::cfg::Cfg;
use crate::helpers::{ArgType, HelperSet, KFUNC_BASE};
use crate::isa::{AtomicOp, Callee, Op, Operand, Reg};
use crate::mem::{OutOfMemory, Vec};
use crate::program::Code;

const CALLER_SAVED: u16 = 0x3f;

const fn bit(r: Reg) -> u16 {
    1 << r.num()
}

fn operand(src: Operand) -> u16 {
    match src {
        Operand::Reg(r) => bit(r),
        Operand::Imm(_) => 0,
    }
}

/// The number of the helper or kernel function that an instruction calls.
pub(crate) fn called_row(op: &Op) -> Option<u32> {
    match *op {
        Op::Call(Callee::Helper(id)) => Some(id),
        Op::Call(Callee::Kfunc { id, off: 0 }) => u32::try_from(id).ok().filter(|id| *id >= KFUNC_BASE),
        _ => None,
    }
}

/// What an instruction reads, and what it writes for sure.
pub(crate) fn use_def(op: &Op, helpers: &HelperSet) -> (u16, u16) {
    match *op {
        Op::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        Op::Mov { dst, src, .. } => (operand(src), bit(dst)),
        Op::MovSx { dst, src, .. } => (bit(src), bit(dst)),
        Op::Neg { dst, .. } | Op::End { dst, .. } => (bit(dst), bit(dst)),
        Op::LdImm64 { dst, .. } => (0, bit(dst)),
        Op::Load { dst, base, .. } | Op::LoadAcq { dst, base, .. } => (bit(base), bit(dst)),
        Op::Store { base, src, .. } => (bit(base) | operand(src), 0),
        Op::StoreRel { base, src, .. } => (bit(base) | bit(src), 0),
        Op::Atomic { op: AtomicOp::Cmpxchg, base, src, .. } => (bit(base) | bit(src) | 1, 1),
        Op::Atomic { fetch, base, src, .. } => (bit(base) | bit(src), if fetch { bit(src) } else { 0 }),
        Op::Ja { .. } => (0, 0),
        Op::Jmp { dst, src, .. } => (bit(dst) | operand(src), 0),
        Op::Call(Callee::Helper(_) | Callee::Kfunc { .. }) => {
            let row = called_row(op).and_then(|id| helpers.row_of(id)).and_then(|r| helpers.get(r));
            let reads = row.map_or(0x3e, |h| {
                let used = |(i, a): (usize, &ArgType)| {
                    u16::from(!matches!(a, ArgType::DontCare | ArgType::Unchecked)) * (2 << i)
                };
                h.proto.args.iter().enumerate().map(used).sum()
            });
            (reads, CALLER_SAVED)
        }
        Op::Call(_) => (0x3e, CALLER_SAVED),
        Op::Exit => (1, 0),
        Op::LegacyPacket { .. } => (0x7ff, 0),
    }
}

/// Live registers before each slot.
pub(crate) fn registers(code: &Code, cfg: &Cfg, helpers: &HelperSet) -> Result<Vec<u16>, OutOfMemory> {
    let mut live = Vec::filled(bit(Reg::FP), code.insns.len())?;
    let mut again = true;
    while again {
        again = false;
        for (pc, op) in cfg.iter().rev() {
            let out = cfg
                .successors(pc)
                .into_iter()
                .flatten()
                .filter_map(|to| live.get(to as usize))
                .fold(0, |all, l| all | l);
            let (uses, defs) = use_def(op, helpers);
            let before = uses | (out & !defs) | bit(Reg::FP);
            if let Some(l) = live.get_mut(pc as usize)
                && *l != before
            {
                *l = before;
                again = true;
            }
        }
    }
    Ok(live)
}
