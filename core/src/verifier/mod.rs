//! The verifier: proves a program safe before anything runs it.
//!
//! [`verify`] takes a linked program and the maps that it refers to, and gives back the only kind of program that engines take, with what they must
//! apply and what they may use. One job a file:
//!
//! - numbers: [`tnum`] knows bits, [`range`] bounds, [`lane`] lets the two refine each other at one width, [`scalar`] does so across 64 and 32
//!   bits, [`alu`] and [`refine`] say what instructions and branches do to them;
//! - states: `reg` (a register), `stack` (a frame, byte by byte), `state` (a call chain);
//! - shape: `cfg` (decoding, functions, reachability), `live` (dead registers);
//! - judging: `obligation` (what must hold, from the instruction alone), `check` (obligations against a state);
//! - refusing more than safety needs: `policy` (where addresses may go);
//! - moving: `transfer`, `pointer`, `branch`, `subprog`, `uses` (what an instruction touches); calls of helpers: `calls`, `args`, `callback`, `objects` (dynamic pointers and
//!   iterators on the stack), `held` (what must be given back);
//! - exploring: `explore` (the loop), `explored` (states that were met), `prune` (when one covers another), `backtrack` (which numbers
//!   a judgement rests on), `widen` and `turns` (how loops of callbacks and iterators end);
//! - results: `facts`, `frames` (slots to clear), `log` and `show` (states as text), `loops`, `error`;
//! - refusals for people: `advice`, `trail` (path and values), `remedy` (the check that would do), `explain`.
//!
//! Invariant of the whole: a state describes every concrete state that can be at its instruction on its path; an instruction is passed only
//! when its obligations hold for all of them. What is not supported is refused by name, never accepted.

mod advice;
pub mod alu;
mod arena;
mod args;
mod backtrack;
mod branch;
mod callback;
mod calls;
mod cfg;
mod check;
mod error;
mod explain;
mod explore;
mod explored;
mod facts;
mod frames;
mod held;
mod input;
mod kept;
pub mod lane;
mod live;
mod log;
mod loops;
mod objects;
mod obligation;
mod packed;
mod pointer;
mod policy;
mod prune;
pub mod range;
pub mod refine;
mod reg;
mod remedy;
pub mod scalar;
mod show;
mod signs;
mod stack;
mod state;
mod subprog;
mod text;
pub mod tnum;
mod trail;
mod transfer;
mod turns;
mod uses;
mod widen;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod sampled;
#[cfg(test)]
pub(crate) mod tests;

pub use error::{Rejection, VerifierError};
pub use explain::Explanation;
pub use input::{MapInfo, VerifyOptions};
pub use policy::Mode;
pub use remedy::Remedy;
pub use trail::{Access, Base, Step, Trail, Value, Way};

use crate::helpers::HelperSet;
use crate::maps::Map;
use crate::mem::{Box, Vec};
use crate::program::{Code, Facts, Loaded, Program, Rewrites, Verified, VerifierStats};
use crate::sync::Arc;
use error::Reject;
use explore::{Observer, Verifier};
use input::Input;
use log::Log;

/// What a proof yields.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) rewrites: Rewrites,
    pub(crate) facts: Facts,
    pub(crate) stats: VerifierStats,
}

/// Proves a program safe against these maps (the object's list, in its order) and helpers, or says why it is not.
///
/// The log gets the kernel's lines at `opts.log_level`; the reason of a refusal is its last line but the closing one at any level.
///
/// # Errors
/// The reason, its place and its cost. `E2BIG` (too many instructions or branches) and `ENOMEM` (memory of the verifier) are verdicts of
/// their own: the program is neither safe nor unsafe.
pub fn verify(
    program: Program<Loaded>,
    maps: Vec<Arc<Map>>,
    helpers: HelperSet,
    opts: &VerifyOptions,
    log: &mut dyn core::fmt::Write,
) -> Result<Program<Verified>, Rejection> {
    let infos = Vec::from_fn(maps.len(), |i| MapInfo {
        spec: *maps[i].spec(),
        name: maps[i].name(),
        frozen: maps[i].const_data(),
    });
    let proof = match infos {
        Ok(infos) => prove(program.code(), &infos, helpers, opts, log)?,
        Err(e) => {
            return Err(Rejection {
                error: e.into(),
                pc: None,
                stats: VerifierStats::default(),
                trail: None,
            });
        }
    };
    Ok(program.into_verified(maps, proof.rewrites, proof.facts, (proof.stats, opts.nr_cpus)))
}

/// [`verify`], without the program's ownership.
pub(crate) fn prove(
    code: &Code,
    maps: &[MapInfo<'_>],
    helpers: HelperSet,
    opts: &VerifyOptions,
    log: &mut dyn core::fmt::Write,
) -> Result<Proof, Rejection> {
    prove_observed(Input { code, maps, helpers, opts: *opts, judging: false }, log, None)
}

/// The verdict on a program for maps that need not exist, and helpers that nothing need provide: what a machine that has them would say.
///
/// # Errors
/// As [`verify`], but for helpers that are not provided.
pub fn judge(
    code: &Code,
    maps: &[MapInfo<'_>],
    helpers: HelperSet,
    opts: &VerifyOptions,
    log: &mut dyn core::fmt::Write,
) -> Result<VerifierStats, Rejection> {
    let input = Input { code, maps, helpers, opts: *opts, judging: true };
    prove_observed(input, log, None).map(|proof| proof.stats)
}

/// [`prove`], with somebody who looks on.
pub(crate) fn prove_observed(
    input: Input<'_>,
    log: &mut dyn core::fmt::Write,
    observer: Option<Observer<'_>>,
) -> Result<Proof, Rejection> {
    let (code, opts) = (input.code, input.opts);
    let (mut stats, mut trail) = (VerifierStats::default(), None);
    let result = Verifier::new(input, Log::new(log, opts.log_level), observer).and_then(|mut v| {
        let outcome = v.run().and_then(|()| proof(&v));
        v.log.flush();
        stats = v.counts();
        let found = core::mem::take(&mut v.trail);
        trail = if outcome.is_err() { Box::new(found).ok() } else { None };
        outcome
    });
    let mut log = Log::new(log, opts.log_level);
    if let Err(Reject { error, pc }) = &result {
        match pc.and_then(|pc| code.line_at(pc)) {
            Some(l) => log.reason(format_args!(
                "{error} (insn {}, {}:{})",
                pc.unwrap_or(0),
                code.string(l.file),
                l.line
            )),
            None => log.reason(format_args!("{error}")),
        }
        if let Some(why) = pc.and_then(|pc| code.unresolved_at(pc)) {
            log.reason(format_args!("{why}"));
        }
    }
    log.closing(&stats, opts.insn_budget);
    result.map_err(|Reject { error, pc }| Rejection { error, pc, stats, trail })
}

fn proof(v: &Verifier<'_, '_, '_>) -> Result<Proof, Reject> {
    Ok(Proof {
        rewrites: Rewrites { insns: v.facts.rewrites()?, frames: v.frames.frames(v.input.code, &v.cfg)? },
        facts: v.facts.facts()?,
        stats: v.counts(),
    })
}
