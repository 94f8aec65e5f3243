//! The interpreter: runs a `Program<Verified>` instruction by instruction. It is the oracle for every compiled engine, and the engine where
//! executable memory cannot be had.
//!
//! It applies the program's [`Rewrites`](crate::program::Rewrites) and nothing else: no Facts. Generic over [`Memory`]: [`Raw`] trusts the
//! verifier, [`Checked`] tests every access against a list of regions. The run path neither allocates nor panics: BPF frames and return
//! records stand in fixed arrays on the native stack, and what cannot be (a dead instruction, a frame too many) ends the run as a [`Fault`].
//!
//! Kernel: the order of stack frames in memory is a matter of the engine; uxdp: the same.
//! Source: RFC 9669.

mod alu;
mod atomic;
mod callback;
mod frames;
mod machine;
mod memory;

pub(crate) use callback::Caller;
pub use machine::Step;
pub use memory::{Access, AccessKind, Checked, Memory, Raw, Region};

use crate::helpers::{Helper, HelperSet};
use crate::limits::MAX_CALL_FRAMES;
use crate::program::{Program, Rewrite, Verified};
use crate::vm::{AbortReason, Ctx};
use machine::Machine;
use memory::Limited;

/// Why a run cannot go on; where and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The slot that did it.
    pub pc: u32,
    /// What it did.
    pub kind: FaultKind,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The instruction is one that no path reaches, or the program ended without an exit.
    Dead,
    /// No such instruction, or its rewrite does not fit it.
    BadInsn,
    /// An access that [`Memory`] refused.
    BadAccess {
        /// First byte.
        addr: u64,
        /// Bytes.
        size: u32,
    },
    /// More frames, or more bytes of them, than any verified program needs.
    CallDepth,
    /// A call through a register that holds no function.
    BadCallee,
    /// A helper ended the run; the context says why.
    Aborted,
    /// The watcher's budget of instructions is used up, or the run's, or its time.
    Fuel,
    /// The watcher found what must not be.
    Watch,
}

impl FaultKind {
    /// Why a run is aborted that ended so.
    fn reason(self) -> AbortReason {
        if self == FaultKind::Fuel { AbortReason::Limit } else { AbortReason::Fault }
    }
}

/// Runs a verified program on a context; returns all of r0. A fault counts as aborted: the result is 0 and the context notes why.
///
/// # Safety
/// `ctx` is a context whose pointers hold what [`Ctx`] says, owned by this thread until the call returns; the program's maps live.
/// `helpers` is the set that verified the program.
pub unsafe fn run(program: &Program<Verified>, helpers: HelperSet, ctx: *mut Ctx) -> u64 {
    // SAFETY: handed on; the verifier proved every access, and the rewrites say which context loads there are.
    let done = unsafe { run_from(program, helpers, 0, [ctx as u64, 0, 0, 0, 0], ctx) };
    done.unwrap_or_else(|fault| {
        // SAFETY: the caller's context.
        unsafe { (*ctx).set_abort(fault.kind.reason()) };
        0
    })
}

/// Runs a function over the memory of a verified program, counting where its runs are limited.
///
/// # Safety
/// As [`run`].
unsafe fn run_from(
    program: &Program<Verified>,
    helpers: HelperSet,
    index: u32,
    args: [u64; 5],
    ctx: *mut Ctx,
) -> Result<u64, Fault> {
    // SAFETY: handed on; the context outlives the run.
    unsafe {
        match program.limit() {
            None => Machine::new(program, helpers, ctx, args, &mut Raw).run_from(index),
            Some(_) => {
                let mut limited = Limited { ctx };
                Machine::new(program, helpers, ctx, args, &mut limited).run_from(index)
            }
        }
    }
}

/// Runs one function of a verified program, as a run of its own: a timer's callback.
///
/// # Safety
/// As [`run`], and the verifier proved the arguments for that function.
pub(crate) unsafe fn run_function(
    program: &Program<Verified>,
    helpers: HelperSet,
    index: u32,
    args: [u64; 5],
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: handed on.
    unsafe {
        run_from(program, helpers, index, args, ctx).unwrap_or_else(|fault| {
            (*ctx).set_abort(fault.kind.reason());
            0
        })
    }
}

/// Runs a program with the arguments r1 to r5 over any memory.
///
/// # Errors
/// The fault that ended it.
///
/// # Safety
/// As [`run`], for what `memory` lets through; `ctx` may be null where the program has neither context loads nor helper calls.
pub unsafe fn run_with<M: Memory>(
    program: &Program<Verified>,
    helpers: HelperSet,
    ctx: *mut Ctx,
    args: [u64; 5],
    memory: &mut M,
) -> Result<u64, Fault> {
    // SAFETY: handed on.
    unsafe { Machine::new(program, helpers, ctx, args, memory).run() }
}

/// Native stack that a run takes at most, helpers apart: the machine with all frames, and what stands between it and each callback.
pub(crate) fn stack(program: &Program<Verified>, helpers: HelperSet) -> u32 {
    /// Most of the interpreter's own frames, and of each turn back into it, the helper's in between included. A test measures it.
    const OWN: u32 = 2048;
    let calls_back = |rewrite: &Rewrite| match rewrite {
        Rewrite::CallHelper { row, .. } => helpers.get(*row).is_some_and(Helper::calls_back),
        _ => false,
    };
    let nested = if program.rewrites().insns.iter().any(calls_back) { MAX_CALL_FRAMES as u32 } else { 1 };
    size_of::<Machine<'_, '_, Raw>>() as u32 + nested * OWN
}

/// Runs a function of the program that the interpreter is in, called by a helper of that run; r0, or 1 where the run is over.
///
/// # Safety
/// The interpreter of `ctx`'s run has called a helper that calls back, which has not returned. The verifier proved the arguments for that function.
pub(crate) unsafe fn call_back(ctx: *mut Ctx, index: u32, args: [u64; 5]) -> u64 {
    // SAFETY: the caller's: the interpreter set it before it called the helper, and it stands on that interpreter's stack.
    unsafe {
        let caller = (*ctx).caller;
        ((*caller).run)((*caller).machine, index, args)
    }
}

#[cfg(test)]
mod tests;
