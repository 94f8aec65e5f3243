//! What must hold for an instruction to be safe, taken from the instruction alone.
//!
//! One list an instruction: which registers must be initialised, which one must not be the frame pointer, what constants must be, what memory
//! is touched and how. [`super::check`] judges the list against a state; [`super::transfer`] moves the state and relies on the judgement.
//! Calls carry obligations of their own ([`super::calls`]), since they come from prototypes.

use super::error::VerifierError as E;
use super::live::called_row;
use crate::isa::{AluOp, AtomicOp, Callee, Ext, Op, Operand, Reg, Size, Width};

/// How memory is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessKind {
    /// Read.
    Load,
    /// Read, with the sign copied above.
    LoadSigned,
    /// Written.
    Store,
    /// Read and written at once.
    Atomic,
    /// Read or written with an order: a plain access with the rules of atomics.
    Ordered {
        /// Whether it writes.
        writes: bool,
    },
}

/// One memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemAccess {
    /// The pointer.
    pub(crate) base: Reg,
    /// Bytes from where it points.
    pub(crate) off: i16,
    /// Bytes touched.
    pub(crate) size: Size,
    /// How.
    pub(crate) kind: AccessKind,
}

/// One thing that must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Obligation {
    /// The register can be read.
    Readable(Reg),
    /// The register can be written: it is not the frame pointer.
    Writable(Reg),
    /// The access is within memory that may be touched so.
    Mem(MemAccess),
    /// The value may be stored there: a pointer goes to the stack whole, and one to a stack not into a caller's.
    Spill {
        /// What is stored.
        value: Reg,
        /// Through which pointer.
        base: Reg,
        /// Bytes.
        size: Size,
    },
    /// Cannot hold: the instruction is wrong whatever the state.
    Never(E),
}

/// The obligations of one instruction, in the order in which the kernel reports them.
pub(crate) type Obligations = heapless::Vec<Obligation, 6>;

/// Extracts them.
pub(crate) fn of(op: &Op) -> Obligations {
    use Obligation::{Mem, Never, Readable, Spill, Writable};
    let mut out = Obligations::new();
    // No instruction has more than six, see the longest list below.
    let mut must = |o: Obligation| {
        let _full = out.push(o);
    };
    let operand = |src: Operand| match src {
        Operand::Reg(r) => Some(Readable(r)),
        Operand::Imm(_) => None,
    };
    match *op {
        Op::Alu { op, width, dst, src } => {
            if let Operand::Imm(imm) = src
                && let Some(e) = constant_operand(op, width, imm)
            {
                must(Never(e));
            }
            operand(src).into_iter().for_each(&mut must);
            must(Readable(dst));
            must(Writable(dst));
        }
        Op::Mov { dst, src, .. } => {
            operand(src).into_iter().for_each(&mut must);
            must(Writable(dst));
        }
        Op::MovSx { dst, src, .. } => {
            must(Readable(src));
            must(Writable(dst));
        }
        Op::Neg { dst, .. } | Op::End { dst, .. } => {
            must(Readable(dst));
            must(Writable(dst));
        }
        Op::LdImm64 { dst, .. } => must(Writable(dst)),
        Op::Load { size, ext, dst, base, off } => {
            must(Readable(base));
            must(Writable(dst));
            let kind = if ext == Ext::Sign { AccessKind::LoadSigned } else { AccessKind::Load };
            must(Mem(MemAccess { base, off, size, kind }));
        }
        Op::LoadAcq { size, dst, base, off } => {
            must(Readable(base));
            must(Writable(dst));
            must(Mem(MemAccess { base, off, size, kind: AccessKind::Ordered { writes: false } }));
        }
        Op::Store { size, base, off, src } => {
            operand(src).into_iter().for_each(&mut must);
            must(Readable(base));
            must(Mem(MemAccess { base, off, size, kind: AccessKind::Store }));
            if let Operand::Reg(value) = src {
                must(Spill { value, base, size });
            }
        }
        Op::StoreRel { size, base, off, src } => {
            must(Readable(src));
            must(Readable(base));
            must(Mem(MemAccess { base, off, size, kind: AccessKind::Ordered { writes: true } }));
            must(Spill { value: src, base, size });
        }
        Op::Atomic { op, fetch, size, base, off, src } => {
            must(Readable(src));
            must(Readable(base));
            if op == AtomicOp::Cmpxchg {
                must(Readable(Reg::R0));
            } else if fetch {
                must(Writable(src));
            }
            must(Mem(MemAccess { base, off, size, kind: AccessKind::Atomic }));
        }
        Op::Jmp { dst, src, .. } => {
            operand(src).into_iter().for_each(&mut must);
            must(Readable(dst));
        }
        Op::Call(Callee::Reg(_)) => must(Never(E::CallReg)),
        Op::Call(Callee::Kfunc { id, .. }) if called_row(op).is_none() => must(Never(E::Kfunc { id })),
        Op::Call(Callee::Helper(_) | Callee::Local(_) | Callee::Kfunc { .. }) | Op::Ja { .. } | Op::Exit => {}
        Op::LegacyPacket { .. } => must(Never(E::LegacyPacket)),
    }
    out
}

/// What is wrong with a constant operand, if anything.
fn constant_operand(op: AluOp, width: Width, imm: i32) -> Option<E> {
    let bits = if width == Width::W64 { 64 } else { 32 };
    match op {
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if imm == 0 => Some(E::DivByZero),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh if !(0..bits).contains(&imm) => {
            Some(E::InvalidShift { by: imm })
        }
        _ => None,
    }
}
