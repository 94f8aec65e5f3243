//! Passes over the IR, one a file, and their order.
//!
//! A pass takes one function, keeps the invariants of [`crate::ir`], and is correct whatever ran before it. Facts only ever make code
//! better: a program compiled without any takes the same way.

mod dead;
mod eval;
mod fold;
mod iter;
mod lookup;
mod merge;
mod null;
mod params;
mod returns;
mod stack;
mod turns;
mod zext;

pub(crate) use eval::compare;

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
    for func in &mut module.funcs {
        params::run(func)?;
        turns::run(func, options.helpers)?;
        lookup::run(func, program, options)?;
        iter::run(func, options.helpers)?;
        fold::run(func)?;
        dead::run(func)?;
        stack::run(func)?;
        null::run(func)?;
        params::run(func)?;
        fold::run(func)?;
        returns::run(func)?;
        zext::run(func)?;
        dead::run(func)?;
        merge::run(func)?;
    }
    Ok(())
}
