//! Why an instruction word is not an instruction, in the kernel's words.

use crate::error::{Errno, Status};
use core::fmt;

/// An instruction that cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InsnError {
    /// Where.
    pub pc: u32,
    /// Why.
    pub reason: InsnReason,
}

/// What is wrong with an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsnReason {
    /// The pc is beyond the program.
    PastEnd,
    /// No such opcode.
    UnknownOpcode(u8),
    /// A field that the opcode does not use is not zero, or has a value without a meaning.
    Reserved(Reserved),
    /// No such register.
    InvalidReg(u8),
    /// The second slot of a wide immediate is missing or not plain.
    BadWide,
    /// A kind of wide immediate that does not exist.
    UnknownWide,
    /// The immediate of an atomic names no operation.
    UnknownAtomic(i32),
    /// Atomics exist for four and eight bytes only.
    AtomicSize,
    /// A branch leaves the program.
    JumpOutOfRange {
        /// Where it would go.
        to: i64,
    },
    /// A call or function reference leaves the program.
    CallOutOfRange {
        /// Where it would go.
        to: i64,
    },
    /// A Linux instruction outside RFC 9669 that this version does not run.
    NotSupported(&'static str),
}

/// The family whose fields the kernel reports as reserved.
#[expect(missing_docs, reason = "the kernel's names")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    Alu,
    Neg,
    End,
    Mov,
    LdImm64,
    Ldx,
    St,
    Stx,
    Atomic,
    Jmp,
    Ja,
    Call,
    Exit,
}

impl Reserved {
    /// The name in the kernel's message.
    pub const fn name(self) -> &'static str {
        match self {
            Reserved::Alu => "BPF_ALU",
            Reserved::Neg => "BPF_NEG",
            Reserved::End => "BPF_END",
            Reserved::Mov => "BPF_MOV",
            Reserved::LdImm64 => "BPF_LD_IMM64",
            Reserved::Ldx => "BPF_LDX",
            Reserved::St => "BPF_ST",
            Reserved::Stx => "BPF_STX",
            Reserved::Atomic => "BPF_ATOMIC",
            Reserved::Jmp => "BPF_JMP/JMP32",
            Reserved::Ja => "BPF_JA",
            Reserved::Call => "BPF_CALL",
            Reserved::Exit => "BPF_EXIT",
        }
    }
}

impl fmt::Display for InsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            InsnReason::PastEnd => write!(f, "invalid insn idx {}", self.pc),
            InsnReason::UnknownOpcode(code) => write!(f, "unknown opcode {code:02x}"),
            InsnReason::Reserved(family) => write!(f, "{} uses reserved fields", family.name()),
            InsnReason::InvalidReg(n) => write!(f, "R{n} is invalid"),
            InsnReason::BadWide => f.write_str("invalid bpf_ld_imm64 insn"),
            InsnReason::UnknownWide => f.write_str("unrecognized bpf_ld_imm64 insn"),
            InsnReason::UnknownAtomic(imm) => write!(f, "BPF_ATOMIC uses invalid atomic opcode {imm:02x}"),
            InsnReason::AtomicSize => f.write_str("invalid atomic operand size"),
            InsnReason::JumpOutOfRange { to } => {
                write!(f, "jump out of range from insn {} to {to}", self.pc)
            }
            InsnReason::CallOutOfRange { .. } => f.write_str("call to invalid destination"),
            InsnReason::NotSupported(what) => write!(f, "{what} is not supported in this version"),
        }
    }
}

impl core::error::Error for InsnError {}

impl Status for InsnError {
    fn errno(&self) -> Errno {
        match self.reason {
            InsnReason::NotSupported(_) => Errno::EOPNOTSUPP,
            _ => Errno::EINVAL,
        }
    }
}
