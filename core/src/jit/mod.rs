//! From verified programs to machine code.
//!
//! ```text
//! Program<Verified> ── ir::build ──► opt ──► regalloc ──► lower + masm ──► Artifact ── exec::install ──► ExecCode
//! ```
//!
//! [`compile`] gives bytes that could run at any address, with the places that depend on it; [`exec`] puts them into executable memory. The code's entry is a
//! [`crate::vm::Entry`]; functions of the program take r1 to r5 and return r0 as the C ABI does, with the context pinned in a register.
//!
//! Left to others: what is safe (the verifier), and what happens to an aborted run ([`CompileOptions::on_abort`]).

pub mod buffer;
mod chains;
pub mod exec;
mod listing;
mod lower;
mod masm;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod unit;
mod x86_64;

pub use listing::Listing;
pub use target::{CpuFeatures, Target};

use crate::error::{Errno, Status};
use crate::helpers::{HelperFn, HelperSet};
use crate::ir::{self, Module};
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Limit, Program, Verified};
use crate::regalloc;
use crate::vm::{Ctx, NO_LIMIT, Redirect};
use buffer::{BufferError, CodeBuffer, Extern};
use core::fmt;
use core::mem::offset_of;
use masm::{Externs, Masm};

/// Called when a run ends without a plain action, with r0 as it was: records why, gives the action.
pub type OnAbort = unsafe extern "C" fn(*mut Ctx, u64) -> u32;

/// Whether compilation uses what the verifier found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseFacts {
    /// It does.
    Yes,
    /// Only what is mandatory: for tests, which run both ways.
    No,
}

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct CompileOptions {
    /// The architecture; `None` where the host's has no backend.
    pub target: Option<Target>,
    /// Instructions that may be used.
    pub features: CpuFeatures,
    /// The helpers that the program was verified with.
    pub helpers: HelperSet,
    /// What the entry calls for codes that are no plain action.
    pub on_abort: OnAbort,
    /// Tail calls that one run may make.
    pub tail_call_limit: u32,
    /// Whether facts are used.
    pub facts: UseFacts,
}

/// Where one function's code is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncCode {
    /// Index among the program's functions; the main one may appear twice.
    pub func: u32,
    /// First byte.
    pub start: u32,
    /// One behind the last.
    pub end: u32,
    /// Native stack of one call, in bytes.
    pub frame: u32,
}

/// Compiled code, not yet in executable memory.
#[derive(Debug)]
pub struct Artifact {
    /// The code; its first byte is the host's entry.
    pub bytes: Vec<u8>,
    /// Where the raw main function begins, for tail calls.
    pub tail_entry: u32,
    /// Functions in order of their code.
    pub funcs: Vec<FuncCode>,
    /// Offset in the code, and the pc it comes from, sorted by offset: each applies up to the next.
    pub pcs: Vec<(u32, u32)>,
    /// Native stack that a run takes at most, helpers apart.
    pub stack: u32,
    /// Far calls: where their distance is, and their target.
    pub(crate) externs: Vec<Extern>,
    /// For each target, an absolute jump to it.
    pub(crate) veneers: Vec<(usize, u32)>,
    /// Records of functions that are values, and the function's offset.
    pub(crate) records: Vec<(u32, u32)>,
}

/// Why a program could not be compiled or installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompileError {
    /// The machine's architecture has no backend.
    NoBackend,
    /// Memory was short.
    OutOfMemory,
    /// An instruction that no engine runs.
    Unsupported {
        /// Where.
        pc: u32,
    },
    /// A helper that the set does not have.
    NoHelper {
        /// Where.
        pc: u32,
    },
    /// A tail call through a map that is no program array.
    TailCallMap {
        /// Where.
        pc: u32,
    },
    /// A map's address where the map has no array of values.
    MapValue {
        /// Where.
        pc: u32,
    },
    /// A call of a function that the program does not have, or no function at all.
    NoFunction,
    /// A jump out of the machine's reach.
    TooLarge,
    /// The system refuses executable memory.
    NoCodeMemory(Errno),
}

impl From<OutOfMemory> for CompileError {
    fn from(_: OutOfMemory) -> Self {
        CompileError::OutOfMemory
    }
}

impl From<BufferError> for CompileError {
    fn from(e: BufferError) -> Self {
        match e {
            BufferError::OutOfMemory => CompileError::OutOfMemory,
            BufferError::UnboundLabel => CompileError::NoFunction,
            BufferError::OutOfReach => CompileError::TooLarge,
        }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            CompileError::NoBackend => {
                f.write_str("this architecture has no compiler backend: the interpreter serves")
            }
            CompileError::OutOfMemory => f.write_str("out of memory while compiling"),
            CompileError::Unsupported { pc } => write!(f, "insn {pc}: not compiled"),
            CompileError::NoHelper { pc } => write!(f, "insn {pc}: call of a helper that is not there"),
            CompileError::TailCallMap { pc } => {
                write!(f, "insn {pc}: tail call through a map that is not known")
            }
            CompileError::MapValue { pc } => {
                write!(f, "insn {pc}: address into a map that has no array of values")
            }
            CompileError::NoFunction => f.write_str("call of a function that is not there"),
            CompileError::TooLarge => f.write_str("program too large for the machine's jumps"),
            CompileError::NoCodeMemory(e) => write!(f, "no executable memory: {e}"),
        }
    }
}

impl core::error::Error for CompileError {}

impl Status for CompileError {
    fn errno(&self) -> Errno {
        match *self {
            CompileError::OutOfMemory => Errno::ENOMEM,
            CompileError::TooLarge => Errno::E2BIG,
            CompileError::NoCodeMemory(e) => e,
            CompileError::NoHelper { .. } | CompileError::NoFunction => Errno::EINVAL,
            CompileError::NoBackend
            | CompileError::Unsupported { .. }
            | CompileError::TailCallMap { .. }
            | CompileError::MapValue { .. } => Errno::EOPNOTSUPP,
        }
    }
}

/// The program as optimised IR: what code is made from.
///
/// # Errors
/// What the compiler does not take, and a shortage of memory.
pub fn optimised(program: &Program<Verified>, options: &CompileOptions) -> Result<Module, CompileError> {
    let mut module = ir::build::build(program, options)?;
    crate::opt::run(&mut module, program, options)?;
    Ok(module)
}

/// Compiles a program.
///
/// # Errors
/// An architecture without a backend, what the compiler does not take, and a shortage of memory.
pub fn compile(program: &Program<Verified>, options: &CompileOptions) -> Result<Artifact, CompileError> {
    let target = options.target.ok_or(CompileError::NoBackend)?;
    let module = optimised(program, options)?;
    match target {
        Target::X86_64 => {
            let assembler = |buf| x86_64::Assembler::new(buf, options.features);
            generate(program, options, &module, assembler, x86_64::Assembler::into_buffer)
        }
    }
}

/// Allocates registers and writes the code, twice: the second time with short jumps.
fn generate<M: Masm>(
    program: &Program<Verified>,
    options: &CompileOptions,
    module: &Module,
    assembler: impl Fn(CodeBuffer) -> M,
    into_buffer: impl Fn(M) -> CodeBuffer,
) -> Result<Artifact, CompileError> {
    let mut m = assembler(CodeBuffer::new());
    let faulting = chains::faulting(module, options.helpers)?;
    let leaving = chains::leaving(module)?;
    let mut funcs = Vec::with_capacity(module.funcs.len())?;
    for (i, func) in module.funcs.iter().enumerate() {
        let spec = lower::frame_spec(func);
        let machine = m.machine(&spec);
        let alloc = regalloc::allocate(func, &machine)?;
        #[cfg(test)]
        if let Err(fault) = regalloc::checker::check(func, &alloc, &machine) {
            panic!("register allocation is wrong: {fault:?}\n{func}");
        }
        drop(machine);
        let calls_back = chains::calls_back(func, options.helpers);
        funcs.push(lower::Ready {
            func,
            alloc,
            spec,
            may_fault: faulting[i],
            may_leave: leaving[i],
            calls_back,
        })?;
    }
    let externs = Externs {
        tail_calls: offset_of!(Ctx, tail_calls) as i32,
        abort: offset_of!(Ctx, abort) as i32,
        prog: offset_of!(Ctx, prog) as i32,
        budget: offset_of!(Ctx, budget) as i32,
        limit: program.limit().map_or(NO_LIMIT, Limit::first),
        beyond: program.limit().map(|l| {
            let left = (offset_of!(Ctx, left) as i32, l.insns - l.first());
            [left, (offset_of!(Ctx, nanos) as i32, l.nanos), (offset_of!(Ctx, deadline) as i32, 0)]
        }),
        refill: crate::vm::refill as unsafe extern "C" fn(*mut Ctx) -> u32 as usize,
        redirect: (offset_of!(Ctx, redirect) + offset_of!(Redirect, kind)) as i32,
        redirects: chains::redirects(module, options.helpers),
        tail_call_limit: options.tail_call_limit as i32,
        tail_target: crate::vm::tail_target as HelperFn as usize,
        on_abort: options.on_abort as usize,
    };
    let ready = lower::Program { funcs, maps: program.maps(), options, externs };
    lower::write(&mut m, &ready)?;
    let short = into_buffer(m).short_jumps()?;
    let mut m = assembler(CodeBuffer::with_short_jumps(short));
    let written = lower::write(&mut m, &ready)?;
    let stack = chains::worst_stack(module, &written, options.helpers)?;
    let (bytes, externs) = into_buffer(m).finish()?;
    Ok(Artifact {
        bytes,
        tail_entry: written.tail_entry,
        funcs: written.funcs,
        pcs: written.pcs,
        stack,
        externs,
        veneers: written.veneers,
        records: written.records,
    })
}
