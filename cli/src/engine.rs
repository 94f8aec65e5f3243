//! Which engine runs a program, and what it made of it.

use crate::args::EngineArg;
use crate::outcome::{Machine, note};
use anyhow::Result;
use uxdp_core::vm::{Engine, EngineChoice, Prog};

/// What a session is asked for.
pub(crate) fn choice(engine: EngineArg) -> EngineChoice {
    match engine {
        EngineArg::Jit => EngineChoice::Best,
        EngineArg::Interp => EngineChoice::Interp,
    }
}

/// Bytes of machine code; 0 where a program is interpreted.
pub(crate) fn code_bytes(prog: &Prog) -> usize {
    prog.engine().code().map_or(0, |c| c.code().len())
}

/// Refuses the interpreter where the compiler was asked for by name; says so where it was only preferred.
pub(crate) fn check(asked: Option<EngineArg>, prog: &Prog) -> Result<()> {
    let Engine::Interp(Some(why)) = prog.engine() else { return Ok(()) };
    let why = format!("program \"{}\" is not compiled: {why}", prog.name());
    match asked {
        Some(EngineArg::Jit) => Err(Machine(format!("{why}; use --engine interp")).into()),
        _ => {
            note(&format!("{why}; it is interpreted"));
            Ok(())
        }
    }
}
