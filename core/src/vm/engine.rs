//! What runs a program: the interpreter, or code compiled for it. The one place where engines are told apart.

use super::prog::interpret;
use super::run::on_abort;
use super::{Counting, Ctx, Entry, Env, Link};
use crate::error::{Errno, Status};
use crate::jit::exec::ExecCode;
use crate::jit::unit::{self, Member};
use crate::jit::{self, CompileError, CompileOptions, CpuFeatures, Target, UseFacts};
use crate::limits::MAX_TAIL_CALL_CNT;
use crate::maps::TailTarget;
use crate::mem::Vec;
use crate::program::{Program, Verified};

/// What a loader asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Compiled where that is possible, else interpreted.
    #[default]
    Best,
    /// Interpreted.
    Interp,
    /// Compiled, or not loaded.
    Jit,
    /// Compiled from what is mandatory alone, without the verifier's facts, or not loaded: for tests, which run both ways.
    JitWithoutFacts,
}

/// What runs a program.
#[derive(Debug)]
pub enum Engine {
    /// The interpreter; why it was not compiled, where it was to be.
    Interp(Option<CompileError>),
    /// Machine code.
    Compiled(ExecCode<'static>),
}

/// How a program is entered by a tail call or a hook: the context, the program's own target; all of r0, unjudged.
pub(super) type TailEntry = unsafe extern "C" fn(*mut Ctx, *const TailTarget) -> u64;

impl Engine {
    /// The engine for a program.
    ///
    /// # Errors
    /// ENOMEM. Where the machine has no backend or refuses executable memory, the best engine is the interpreter; a compiled one is EOPNOTSUPP then.
    pub fn select(env: &Env, program: &Program<Verified>, choice: EngineChoice) -> Result<Engine, Errno> {
        let facts = match choice {
            EngineChoice::Interp => return Ok(Engine::Interp(None)),
            EngineChoice::Best | EngineChoice::Jit => UseFacts::Yes,
            EngineChoice::JitWithoutFacts => UseFacts::No,
        };
        match compiled(env, program, facts) {
            Ok(code) => Ok(Engine::Compiled(code)),
            Err(why) if choice != EngineChoice::Best || why == CompileError::OutOfMemory => Err(why.errno()),
            Err(why) => Ok(Engine::Interp(Some(why))),
        }
    }

    /// Its name: `interp` or `jit`.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Interp(_) => "interp",
            Engine::Compiled(_) => "jit",
        }
    }

    /// The machine code, where there is some.
    pub fn code(&self) -> Option<&ExecCode<'static>> {
        match self {
            Engine::Interp(_) => None,
            Engine::Compiled(code) => Some(code),
        }
    }

    pub(super) fn tail_entry(&self) -> TailEntry {
        match self {
            Engine::Interp(_) => interpret,
            Engine::Compiled(code) => code.tail_entry(),
        }
    }

    /// Code that is a hook's whole entry for this program: it runs it and judges r0, through [`on_abort`] where that is no plain action.
    pub(super) fn direct_entry(&self) -> Option<Entry> {
        match self {
            Engine::Interp(_) => None,
            Engine::Compiled(code) => Some(code.entry()),
        }
    }
}

/// How programs of an environment are compiled for the machine that this library runs on.
pub fn compile_options(env: &Env) -> CompileOptions {
    CompileOptions {
        target: Target::HOST,
        features: CpuFeatures::host(),
        helpers: env.helpers(),
        on_abort,
        tail_call_limit: MAX_TAIL_CALL_CNT,
        facts: UseFacts::Yes,
    }
}

/// A set of programs as one function, where all of them are compiled and nothing is to be counted of their runs; `None`: they are run one by one.
///
/// # Errors
/// ENOMEM. Where executable memory cannot be had, they are run one by one.
pub(super) fn compile_unit(env: &Env, links: &[Link]) -> Result<Option<ExecCode<'static>>, Errno> {
    let mut members = Vec::with_capacity(links.len())?;
    for Link { prog, chain_call_actions } in links {
        let entry = prog.engine().direct_entry().filter(|_| prog.counting() == Counting::Aborts);
        let Some(entry) = entry else { return Ok(None) };
        let prog = crate::sync::Arc::as_ptr(prog) as usize;
        members.push(Member { entry: entry as usize, prog, next: *chain_call_actions })?;
    }
    let Some(memory) = env.platform().code_memory() else { return Ok(None) };
    let code = unit::compile(&members, &compile_options(env))
        .and_then(|artifact| jit::exec::install(artifact, memory, on_abort as jit::OnAbort as usize));
    match code {
        Ok(code) => Ok(Some(code)),
        Err(CompileError::OutOfMemory) => Err(Errno::ENOMEM),
        Err(_) => Ok(None),
    }
}

fn compiled(
    env: &Env,
    program: &Program<Verified>,
    facts: UseFacts,
) -> Result<ExecCode<'static>, CompileError> {
    let memory = env.platform().code_memory().ok_or(CompileError::NoCodeMemory(Errno::EOPNOTSUPP))?;
    let artifact = jit::compile(program, &CompileOptions { facts, ..compile_options(env) })?;
    // Near a function of ours: helpers are within reach of a direct call.
    jit::exec::install(artifact, memory, on_abort as jit::OnAbort as usize)
}
