//! The BPF instruction set (RFC 9669): the instruction word, one table of opcodes, and the disassembler.

mod insn;
pub mod op;

pub use insn::Insn;
