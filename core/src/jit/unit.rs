//! Several programs as one: the code that a hook's set of programs is entered by.
//!
//! One direct call a program, then a comparison of its action with those after which the next one runs; behind the last one the action is XDP_PASS. Programs keep
//! their own entries, which prepare the context and judge r0; what is left to do here is to name the program that runs.
//! The code holds neither programs nor memory of them: whoever holds it holds them as long.

use super::buffer::CodeBuffer;
use super::{Artifact, CompileError, CompileOptions, Target, x86_64};
use crate::mem::Vec;
use crate::vm::{Action, Ctx};
use core::mem::offset_of;

/// All actions, as a set of bits.
pub(crate) const EVERY_ACTION: u32 = (1 << (Action::Redirect as u32 + 1)) - 1;

/// One program of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Its entry, for hosts.
    pub(crate) entry: usize,
    /// What the context calls it.
    pub(crate) prog: usize,
    /// Bit n: after action n the next one runs.
    pub(crate) next: u32,
}

/// Where in the context the program is named that runs.
pub(crate) const PROG: i32 = offset_of!(Ctx, prog) as i32;

/// Compiles a set.
///
/// # Errors
/// An architecture without a backend, and a shortage of memory.
pub(crate) fn compile(members: &[Member], options: &CompileOptions) -> Result<Artifact, CompileError> {
    let target = options.target.ok_or(CompileError::NoBackend)?;
    let mut veneers = Vec::new();
    let (bytes, externs) = match target {
        Target::X86_64 => {
            let mut m = x86_64::Assembler::new(CodeBuffer::new(), options.features);
            m.unit(members, &mut veneers)?;
            m.into_buffer().finish()?
        }
    };
    // The entry's own: return address and saved register. What a program takes comes on top.
    let stack = 16;
    let (funcs, pcs, records) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Artifact { bytes, tail_entry: 0, funcs, pcs, stack, externs, veneers, records })
}
