//! What runs a program: the interpreter, or code compiled for it. The one place where engines are told apart.

use super::Entry;
use super::prog::{Prog, interpret};
use crate::error::Errno;
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
}

/// What runs a program.
#[derive(Debug)]
#[non_exhaustive]
pub enum Engine {
    /// The interpreter.
    Interp,
}

/// How a program is entered by a tail call or a hook: the context, the program's own target; all of r0, unjudged.
pub(super) type TailEntry = unsafe extern "C" fn(*mut Ctx, *const TailTarget) -> u64;

impl Engine {
    /// The engine for a program.
    ///
    /// # Errors
    /// Where the choice cannot be met.
    pub fn select(_program: &Program<Verified>, _choice: EngineChoice) -> Result<Engine, Errno> {
        Ok(Engine::Interp)
    }

    /// Its name: `interp` or `jit`.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Interp => "interp",
        }
    }

    pub(super) fn tail_entry(&self) -> TailEntry {
        match self {
            Engine::Interp => interpret,
        }
    }

    /// Code that is a hook's whole entry for this program: it prepares the context, runs, judges r0 and counts.
    pub(super) fn direct_entry(&self, _prog: &Prog) -> Option<Entry> {
        match self {
            Engine::Interp => None,
        }
    }
}
