//! Whether the runs of a program have to name it in the context.
//!
//! A hook's only program is entered at once, and the context names none: what asks meanwhile ([`super::run::running`]) takes the hook's program for it. Where that is
//! replaced in the middle of the run, it would be another's fragments, functions or rings. A program that asks is therefore entered by code that names it first.

use crate::helpers::HelperSet;
use crate::program::{Program, Rewrite, Verified};

/// `bpf_timer_set_callback`, whose callback is one of the program that runs.
const TIMER_SET_CALLBACK: u32 = 170;
/// `bpf_spin_lock`: a lock that is not to be had ends the run, which then gives back its records.
const SPIN_LOCK: u32 = 93;

/// Whether something asks during the program's runs which program it is: helpers that see fragments, timers, and a run that may be ended early.
pub(super) fn asks(program: &Program<Verified>, helpers: HelperSet) -> bool {
    let by_helper = |rewrite: &Rewrite| match *rewrite {
        Rewrite::CallHelper { row, .. } => {
            helpers.get(row).is_none_or(|h| matches!(h.id, TIMER_SET_CALLBACK | SPIN_LOCK))
        }
        _ => false,
    };
    program.code().frags || program.limit().is_some() || program.rewrites().insns.iter().any(by_helper)
}
