//! The watchdog: a run that takes more instructions than it may is aborted, on every engine at the same place.
//!
//! Verified programs end, but callbacks in callbacks may take 8 million turns a level. What is counted are the ways to go on and on: entering a function other than the main one
//! costs its length, and each time an instruction is reached that a jump leads back to, the slots from there to the jump. Straight-line code of the main function is
//! free: it is short. The budget stands in the context; a program that is reached by tail call goes on with what is left.
//!
//! An aborted run gives back its lock and the records that it had reserved in rings. Objects of the host cannot be given back so, so that a program that holds some cannot be
//! limited.

use super::Ctx;
use super::prog::maps_of;
use crate::error::Errno;
use crate::helpers::{HelperSet, RetType};
use crate::isa::{self, Op};
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Edge, Limit, Program, Rewrite, Verified};

/// What a run without a limit starts with.
pub(crate) const NO_LIMIT: u64 = u64::MAX;

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

/// Limits the runs of a program.
///
/// # Errors
/// EINVAL for a limit of 0 or one that stands for none; EOPNOTSUPP for a program that holds objects of the host; ENOMEM.
pub(super) fn set(program: &mut Program<Verified>, helpers: HelperSet, insns: u64) -> Result<(), Errno> {
    let holds = |rewrite: &Rewrite| match rewrite {
        Rewrite::CallHelper { row, .. } => {
            helpers.get(*row).is_some_and(|h| matches!(h.proto.ret, RetType::HandleOrNull(_)))
        }
        _ => false,
    };
    if program.rewrites().insns.iter().any(holds) {
        return Err(Errno::EOPNOTSUPP);
    }
    let costs = costs(program)?;
    program.set_limit(Limit { insns: insns.min(NO_LIMIT - 1), costs });
    Ok(())
}

/// What the runs of a program may take.
pub(super) fn budget(program: &Program<Verified>) -> u64 {
    program.limit().map_or(NO_LIMIT, |l| l.insns)
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
