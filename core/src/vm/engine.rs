//! What runs a program: the interpreter, or code compiled for it. The one place where engines are told apart.

use super::prog::{Prog, interpret};
use super::run::finish;
use super::{Ctx, Entry, Env};
use crate::error::Errno;
use crate::jit::exec::ExecCode;
use crate::jit::{self, CompileError, CompileOptions, CpuFeatures, Target, UseFacts};
use crate::limits::MAX_TAIL_CALL_CNT;
use crate::maps::TailTarget;
use crate::program::{Program, Verified};

/// What a loader asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Compiled where that is possible, else interpreted.
    #[default]
    Best,
    /// Interpreted.
    Interp,
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
    /// ENOMEM. Where the machine has no backend or refuses executable memory, the interpreter serves instead.
    pub fn select(env: &Env, program: &Program<Verified>, choice: EngineChoice) -> Result<Engine, Errno> {
        match choice {
            EngineChoice::Interp => Ok(Engine::Interp(None)),
            EngineChoice::Best => match compiled(env, program) {
                Ok(code) => Ok(Engine::Compiled(code)),
                Err(CompileError::OutOfMemory) => Err(Errno::ENOMEM),
                Err(why) => Ok(Engine::Interp(Some(why))),
            },
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

    /// Code that is a hook's whole entry for this program: it prepares the context, runs, judges r0 and counts.
    pub(super) fn direct_entry(&self, _prog: &Prog) -> Option<Entry> {
        None
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

fn compiled(env: &Env, program: &Program<Verified>) -> Result<ExecCode<'static>, CompileError> {
    let memory = env.platform().code_memory().ok_or(CompileError::NoCodeMemory(Errno::EOPNOTSUPP))?;
    let artifact = jit::compile(program, &compile_options(env))?;
    // Near a function of ours: helpers are within reach of a direct call.
    jit::exec::install(artifact, memory, on_abort as jit::OnAbort as usize)
}

/// What compiled code calls for a code that needs a judge.
unsafe extern "C" fn on_abort(ctx: *mut Ctx, code: u64) -> u32 {
    // SAFETY: compiled code hands over its own context.
    unsafe { finish(code, ctx) }
}
