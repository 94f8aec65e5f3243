//! The watchdog: a run that takes more instructions or more time than it may is aborted, on every engine at the same place.
//!
//! Verified programs end, but callbacks in callbacks may take 8 million turns a level. What is counted are the ways to go on and on: entering a function other than the main one
//! costs its length, and each time an instruction is reached that a jump leads back to, the slots from there to the jump. Straight-line code of the main function is
//! free: it is short. The budget stands in the context; a program that is reached by tail call goes on with what is left.
//!
//! Time is looked at where instructions are counted: such a run has a budget of [`TURN`] at a time, and asks for more where that is used up ([`refill`]). It is then that the clock is
//! read; the first reading is what its time begins with. Runs that end before cost no reading.
//!
//! An aborted run gives back its lock, the records that it had reserved in rings, and the objects of the host that it holds ([`super::held`]).

use super::prog::maps_of;
use super::{AbortReason, Ctx, WorkerBlock};
use crate::isa::{self, Op};
use crate::mem::{OutOfMemory, Vec};
use crate::platform::Clock;
use crate::program::{Edge, Limit, Program, Rewrite, Verified};

/// What a run without a limit starts with.
pub(crate) const NO_LIMIT: u64 = u64::MAX;

/// Instructions between two looks at the clock: some microseconds.
pub(crate) const TURN: u64 = 4096;

impl Limit {
    /// What a run starts with; the rest is there to be asked for.
    pub(crate) fn first(&self) -> u64 {
        if self.nanos == 0 { self.insns } else { self.insns.min(TURN) }
    }
}

/// What reaching each slot costs. Jumps that no run takes lead nowhere: compiled code may not have them.
fn costs(program: &Program<Verified>) -> Result<Vec<u32>, OutOfMemory> {
    let (code, rewrites) = (program.code(), &program.rewrites().insns);
    let mut costs = Vec::filled(0u32, code.insns.len())?;
    let mut pc = 0;
    while (pc as usize) < code.insns.len() {
        let Ok(op) = isa::decode(&code.insns, pc) else {
            pc += 1;
            continue;
        };
        let target = match op {
            _ if rewrites.get(pc as usize).is_none_or(|r| *r == Rewrite::Dead) => None,
            Op::Jmp { .. } if program.facts().at(pc).edge == Edge::NeverTaken => None,
            Op::Ja { target, .. } | Op::Jmp { target, .. } => Some(target),
            _ => None,
        };
        if let Some(target) = target.filter(|t| *t <= pc)
            && let Some(cost) = costs.get_mut(target as usize)
        {
            *cost = (*cost).max(pc + 1 - target);
        }
        pc += op.slots();
    }
    for func in code.subprogs.iter().skip(1) {
        if let Some(cost) = costs.get_mut(func.start as usize) {
            *cost += func.end.saturating_sub(func.start);
        }
    }
    Ok(costs)
}

/// Limits the runs of a program, to instructions and to nanoseconds; 0 is no limit of that kind.
///
/// # Errors
/// Where memory is short.
pub(super) fn set(program: &mut Program<Verified>, insns: u64, nanos: u64) -> Result<(), OutOfMemory> {
    let costs = costs(program)?;
    let insns = if insns == 0 { NO_LIMIT } else { insns };
    program.set_limit(Limit { insns: insns.min(NO_LIMIT - 1), nanos, costs });
    Ok(())
}

/// What a run of a program starts with.
pub(super) fn begin(c: &mut Ctx, program: &Program<Verified>) {
    c.budget = NO_LIMIT;
    if let Some(limit) = program.limit() {
        c.budget = limit.first();
        (c.left, c.nanos, c.deadline) = (limit.insns - c.budget, limit.nanos, 0);
    }
}

/// What engines call where the budget is used up, which they have taken the cost from all the same: 1 where there is more, 0 where the run ends, with the reason in the
/// context.
///
/// # Safety
/// `ctx` is the run's context.
pub(crate) unsafe extern "C" fn refill(ctx: *mut Ctx) -> u32 {
    // SAFETY: the caller's.
    let c = unsafe { &mut *ctx };
    match more(c) {
        Ok(()) => 1,
        Err(reason) => {
            // Nothing is left, also where a caller goes on behind a tail call.
            (c.budget, c.left, c.nanos) = (0, 0, 0);
            c.set_abort(reason);
            0
        }
    }
}

fn more(c: &mut Ctx) -> Result<(), AbortReason> {
    let owed = c.budget.wrapping_neg();
    if owed > c.left {
        return Err(AbortReason::Limit);
    }
    if c.nanos != 0 {
        // SAFETY: null, or the context's services, which outlive it.
        let env = unsafe { c.env.as_ref() };
        let now = env.and_then(|e| e.platform.clock_ns(Clock::Monotonic)).unwrap_or(u64::MAX);
        match c.deadline {
            0 => c.deadline = now.saturating_add(c.nanos),
            deadline if now >= deadline => return Err(AbortReason::Time),
            _ => {}
        }
    }
    let part = TURN.max(owed).min(c.left);
    c.left -= part;
    c.budget = part - owed;
    Ok(())
}

/// Discards the records that an aborted run had reserved in the rings of its program.
///
/// # Safety
/// `ctx` is the context of a run that is over, of which nothing was cleared yet.
#[cold]
pub(super) unsafe fn give_records(ctx: &Ctx) {
    for map in maps_of(ctx) {
        map.discard_records(ctx.slot);
    }
}

/// Gives back the objects of the host that an aborted run held.
///
/// # Safety
/// As [`give_records`].
#[cold]
pub(super) unsafe fn give_objects(ctx: &Ctx) {
    // SAFETY: the context's services and its worker's block outlive it.
    let (env, block) = unsafe { (ctx.env.as_ref(), WorkerBlock::of(ctx)) };
    if let (Some(host), Some(block)) = (env.and_then(|e| e.host), block) {
        block.held.give_all(host);
    }
}
