//! Registers of x86-64 and what each is for.
//!
//! `rbx` holds the context in every function but a main one that calls nothing: there it stays in `rdi`, where it came. `r10` and `r11` are scratch.

use crate::regalloc::{PReg, RegSet};

pub(crate) const RAX: PReg = PReg(0);
pub(crate) const RCX: PReg = PReg(1);
pub(crate) const RDX: PReg = PReg(2);
pub(crate) const RBX: PReg = PReg(3);
pub(crate) const RSP: PReg = PReg(4);
pub(crate) const RBP: PReg = PReg(5);
pub(crate) const RSI: PReg = PReg(6);
pub(crate) const RDI: PReg = PReg(7);
pub(crate) const R8: PReg = PReg(8);
pub(crate) const R9: PReg = PReg(9);
pub(crate) const R10: PReg = PReg(10);
pub(crate) const R11: PReg = PReg(11);
pub(crate) const R12: PReg = PReg(12);
pub(crate) const R13: PReg = PReg(13);
pub(crate) const R14: PReg = PReg(14);
pub(crate) const R15: PReg = PReg(15);

/// Registers that a call destroys, scratch apart.
pub(crate) const CALLER_SAVED: RegSet = RegSet::of(&[RAX, RCX, RDX, RSI, RDI, R8, R9]);
/// Registers that a function gives back as it found them.
pub(crate) const CALLEE_SAVED: RegSet = RegSet::of(&[RBX, RBP, R12, R13, R14, R15]);
/// Where arguments are (System V).
pub(crate) const ARGUMENTS: [PReg; 5] = [RDI, RSI, RDX, RCX, R8];

/// Where the operands of a call are: its arguments, and what is called where that is a value.
pub(crate) const CALL_OPERANDS: [PReg; 6] = [RDI, RSI, RDX, RCX, R8, R10];

/// For functions with the context in `rbx`. Short encodings first, then what calls keep.
pub(crate) const PINNED_RBX: &[PReg] = &[RCX, RDX, RSI, RDI, RAX, R8, R9, RBP, R14, R15, R13, R12];
/// For a main function that calls nothing.
pub(crate) const PINNED_RDI: &[PReg] = &[RCX, RDX, RSI, RAX, R8, R9, RBX, RBP, R14, R15, R13, R12];
