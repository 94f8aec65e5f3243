//! What runs a program: the interpreter, or code compiled for it. The one place where engines are told apart.

use super::prog::interpret;
use super::run::on_abort;
use super::{Entry, Env};
use crate::error::{Errno, Status};
use crate::jit::exec::{self, ExecCode};
use crate::jit::{CompileError, CompileOptions, CpuFeatures, Target, UseFacts, compile};
use crate::limits::MAX_TAIL_CALL_CNT;
use crate::maps::TailTarget;
use crate::program::{Program, Verified};
use crate::vm::Ctx;

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
    /// Compiled from what is mandatory alone, without the verifier's facts: for tests, which run both ways.
    JitWithoutFacts,
}

/// What runs a program.
#[derive(Debug)]
#[non_exhaustive]
pub enum Engine {
    /// The interpreter.
    Interp,
    /// Machine code.
    Compiled(ExecCode<'static>),
}

/// How a program is entered by a tail call or a hook: the context, the program's own target; all of r0, unjudged.
pub(super) type TailEntry = unsafe extern "C" fn(*mut Ctx, *const TailTarget) -> u64;

impl Engine {
    /// The engine for a program of `env`.
    ///
    /// # Errors
    /// Where the choice cannot be met; ENOMEM in any case where memory is short.
    pub fn select(
        env: &Env,
        program: &Program<Verified>,
        choice: EngineChoice,
    ) -> Result<Engine, CompileError> {
        let facts = match choice {
            EngineChoice::Interp => return Ok(Engine::Interp),
            EngineChoice::Best | EngineChoice::Jit => UseFacts::Yes,
            EngineChoice::JitWithoutFacts => UseFacts::No,
        };
        match Self::compiled(env, program, facts) {
            Err(e) if choice == EngineChoice::Best && e.errno() != Errno::ENOMEM => Ok(Engine::Interp),
            other => other,
        }
    }

    fn compiled(env: &Env, program: &Program<Verified>, facts: UseFacts) -> Result<Engine, CompileError> {
        let memory = env.platform().code_memory().ok_or(CompileError::NoCodeMemory(Errno::EOPNOTSUPP))?;
        let options = CompileOptions {
            target: Target::HOST,
            features: CpuFeatures::host(),
            helpers: env.helpers(),
            on_abort,
            tail_call_limit: MAX_TAIL_CALL_CNT,
            facts,
        };
        let artifact = compile(program, &options)?;
        // Near the library's own text, where the helpers are.
        let near = on_abort as super::run::OnAbort as usize;
        Ok(Engine::Compiled(exec::install(artifact, memory, near)?))
    }

    /// Its name: `interp` or `jit`.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Interp => "interp",
            Engine::Compiled(_) => "jit",
        }
    }

    /// The machine code, where there is some.
    pub fn code(&self) -> Option<&ExecCode<'static>> {
        match self {
            Engine::Interp => None,
            Engine::Compiled(code) => Some(code),
        }
    }

    pub(super) fn tail_entry(&self) -> TailEntry {
        match self {
            Engine::Interp => interpret,
            Engine::Compiled(code) => code.tail_entry(),
        }
    }

    /// Code that is a hook's whole entry for this program: it runs it and judges r0, through [`on_abort`] where that is no plain action.
    pub(super) fn direct_entry(&self) -> Option<Entry> {
        match self {
            Engine::Interp => None,
            Engine::Compiled(code) => Some(code.entry()),
        }
    }
}
