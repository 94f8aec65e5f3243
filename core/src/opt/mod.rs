//! Passes over the IR, one a file, and their order.
//!
//! A pass takes one function, keeps the invariants of [`crate::ir`], and is correct whatever ran before it. Facts reach a pass through [`Known`] alone, so that a program compiled
//! without any takes the same way.

mod dead;
mod params;

use crate::ir::Module;
use crate::jit::{CompileError, CompileOptions};
use crate::program::{Program, Verified};

/// Runs every pass over every function.
///
/// # Errors
/// When memory is short.
pub fn run(
    module: &mut Module,
    program: &Program<Verified>,
    options: &CompileOptions,
) -> Result<(), CompileError> {
    let _ = (program, options);
    for func in &mut module.funcs {
        params::run(func)?;
        dead::run(func)?;
    }
    Ok(())
}
