//! The BPF instruction set (RFC 9669): the instruction word, one table of opcodes, decoder, encoder and disassembler.
//!
//! [`decode`] is the only place that takes instruction words apart: verifier, interpreter and IR builder match on [`Op`]. The table
//! in [`opcode`] says which opcodes exist and which of their fields are reserved; everything else here derives from it.

pub mod build;
mod decode;
mod disasm;
mod encode;
mod error;
mod helper_names;
mod insn;
pub mod op;
pub mod opcode;
mod typed;

pub use decode::decode;
pub use disasm::{Disasm, Listing, Names, NoNames, Source};
pub use encode::Encoded;
pub use error::{InsnError, InsnReason, Reserved};
pub use helper_names::helper_name;
pub use insn::Insn;
pub use opcode::{Group, Opcode};
pub use typed::{
    AluOp, AtomicOp, Callee, Cond, EndKind, Ext, JaForm, LEGACY_PACKET_REFUSAL, Op, Operand, PacketMode, Reg,
    Size, WideImm, Width,
};
