//! Running packets: the entries that hosts call, and what happens around a program.
//!
//! A context names the running program during a run alone; where it names none, the program is the hook's first (compiled code enters it without a word).
//! Before a run the context forgets the last one's redirect, tail calls and abort; after it [`finish`] turns r0 into an action. An aborted run is counted by reason,
//! for the program that ran last and for the worker.

use super::hook::{Hook, Link, Unit};
use super::limit::{self, give_objects, give_records};
use super::{AbortReason, Action, Counting, Ctx, Func, Pkt, Prog, RedirectKind, Worker, WorkerBlock};
use crate::error::Errno;
use crate::limits::MAX_TAIL_CALL_CNT;
use crate::maps::Map;
use crate::sync::Ordering;

/// Ties a context to a worker and a hook. Everything else is reset.
///
/// # Errors
/// EINVAL where both are of different environments.
///
/// # Safety
/// `ctx` may be written. The worker stays registered and the hook alive while the context is used, by the worker's thread alone.
pub unsafe fn ctx_init(ctx: *mut Ctx, worker: &Worker, hook: &Hook) -> Result<(), Errno> {
    let env = worker.env();
    if !crate::sync::Arc::ptr_eq(env, hook.env()) {
        return Err(Errno::EINVAL);
    }
    let mut fresh = Ctx::empty();
    fresh.entry = hook.entry_slot();
    fresh.percpu =
        env.block(worker.slot()).map_or(core::ptr::null_mut(), |b| core::ptr::from_ref(b).cast_mut().cast());
    fresh.slot = worker.slot();
    fresh.env = env.run_env();
    // SAFETY: the caller's.
    unsafe { ctx.write(fresh) };
    Ok(())
}

/// Runs the hook's programs on the context's packet; the action's code.
///
/// # Safety
/// The context was made by [`ctx_init`], whose conditions hold; its five pointers describe a buffer that this thread owns.
#[inline]
pub unsafe fn xdp_run(ctx: *mut Ctx) -> u32 {
    // SAFETY: handed on.
    unsafe {
        let hook = Hook::of(ctx);
        if in_several_buffers(&*ctx) {
            return run_chain(hook, ctx);
        }
        hook.entry()(ctx)
    }
}

/// Whether the packet goes on behind its first buffer.
#[inline(always)]
pub(super) fn in_several_buffers(c: &Ctx) -> bool {
    // SAFETY: null, or what the host set for this run.
    !c.frags.is_null() && unsafe { !(*c.frags).is_empty() }
}

/// Runs a packet in several buffers, by programs that all take such.
///
/// # Safety
/// As [`xdp_run`].
#[cold]
unsafe fn run_chain(hook: &Hook, ctx: *mut Ctx) -> u32 {
    // SAFETY: handed on.
    unsafe {
        match hook.unit() {
            None => unit_of_none(ctx),
            Some(unit) if !unit.takes_frags => refuse_chain(ctx),
            Some(unit) => match unit.direct {
                Some(entry) => entry(ctx),
                None => run_unit(unit, ctx),
            },
        }
    }
}

/// The end of a run of programs that do not all take packets in several buffers, before it began.
///
/// # Safety
/// As [`xdp_run`], with programs attached.
#[cold]
unsafe fn refuse_chain(ctx: *mut Ctx) -> u32 {
    // SAFETY: the caller's; no program runs, so that the hook's first one is counted for.
    unsafe {
        begin(ctx);
        (*ctx).set_abort(AbortReason::SeveralBuffers);
        count_abort(&*ctx);
    }
    Action::Aborted as u32
}

/// Whether the program that runs may know of the buffers behind the first: one of `xdp.frags`, or where nothing is known of programs.
pub(crate) fn takes_frags(ctx: &Ctx) -> bool {
    // SAFETY: helpers ask during a run, on its own thread.
    unsafe { running(ctx) }.is_none_or(|prog| prog.program().code().frags)
}

/// Runs the hook's programs on each packet in order; actions, ends of packets and redirects are written back. One burst uses one set of programs.
///
/// # Safety
/// As [`xdp_run`], for each packet; `pkts` are `n` packets.
pub unsafe fn xdp_run_burst(ctx: *mut Ctx, pkts: *mut Pkt, n: u32) {
    if n == 0 {
        return;
    }
    // SAFETY: the caller's; what runs a packet is what the hook's entry would run.
    unsafe {
        let pkts = core::slice::from_raw_parts_mut(pkts, n as usize);
        let Some(unit) = Hook::of(ctx).unit() else {
            return each(ctx, pkts, Ends::Stay, true, |ctx| unit_of_none(ctx));
        };
        let frags = unit.takes_frags;
        match (unit.direct, unit.ends) {
            (Some(entry), Ends::Stay) => each(ctx, pkts, Ends::Stay, frags, |ctx| entry(ctx)),
            (Some(entry), Ends::Move) => each(ctx, pkts, Ends::Move, frags, |ctx| entry(ctx)),
            (None, ends) => each(ctx, pkts, ends, frags, |ctx| run_unit(unit, ctx)),
        }
    }
}

/// Whether the programs of a unit may move the ends of a packet. Where they stay, nobody looks at the buffer around them, and there is nothing to write back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    Stay,
    Move,
}

/// Runs `run` on each packet, between taking the packet over and writing it back; without `frags` packets in several buffers are refused.
///
/// # Safety
/// As [`xdp_run`], for each packet.
#[inline(always)]
unsafe fn each(
    ctx: *mut Ctx,
    pkts: &mut [Pkt],
    ends: Ends,
    frags: bool,
    mut run: impl FnMut(*mut Ctx) -> u32,
) {
    for pkt in pkts {
        // SAFETY: handed on; nothing else uses the context while `run` does not.
        unsafe {
            let c = &mut *ctx;
            if ends == Ends::Move {
                word(&mut c.data_hard_start, &pkt.data_hard_start);
                word(&mut c.frame_end, &pkt.frame_end);
            }
            word(&mut c.data_meta, &pkt.data_meta);
            word(&mut c.data, &pkt.data);
            word(&mut c.data_end, &pkt.data_end);
            c.frags = pkt.frags;
            if pkt.rx.valid | c.rx.valid != 0 {
                c.rx = pkt.rx;
            }
            pkt.action = if in_several_buffers(c) && !frags { refuse_chain(ctx) } else { run(ctx) };
            let c = &*ctx;
            if ends == Ends::Move {
                word(&mut pkt.data_meta, &c.data_meta);
                word(&mut pkt.data, &c.data);
                word(&mut pkt.data_end, &c.data_end);
            }
            if pkt.action == Action::Redirect as u32 {
                pkt.redirect = c.redirect;
            }
        }
    }
}

/// Copies one pointer on its own. Two of them read as one, out of two stores, would wait until both are in the cache: twelve cycles and more a packet.
#[inline(always)]
pub(super) fn word(to: &mut *mut u8, from: &*mut u8) {
    // SAFETY: both are references; volatile only keeps the compiler from joining neighbours.
    unsafe { core::ptr::from_mut(to).write_volatile(core::ptr::from_ref(from).read_volatile()) };
}

/// The entry of a hook whose unit has no function of its own.
pub(super) unsafe extern "C" fn unit_entry(ctx: *mut Ctx) -> u32 {
    // SAFETY: hosts call a hook's entry with a context of that hook.
    unsafe {
        match Hook::of(ctx).unit() {
            Some(unit) if in_several_buffers(&*ctx) && !unit.takes_frags => refuse_chain(ctx),
            Some(unit) => run_unit(unit, ctx),
            None => unit_of_none(ctx),
        }
    }
}

/// The entry of a hook that has no program.
pub(super) unsafe extern "C" fn unit_of_none(ctx: *mut Ctx) -> u32 {
    // SAFETY: as `unit_entry`.
    unsafe {
        begin(ctx);
        (*ctx).set_abort(AbortReason::NoProgram);
        let block = WorkerBlock::of(ctx);
        block.inspect(|b| b.count_abort(AbortReason::NoProgram));
        Action::Aborted as u32
    }
}

/// What every run starts with.
///
/// # Safety
/// `ctx` is the run's context.
#[inline(always)]
pub(super) unsafe fn begin(ctx: *mut Ctx) {
    // SAFETY: the caller's.
    let c = unsafe { &mut *ctx };
    c.tail_calls = 0;
    c.abort = 0;
    c.redirect.kind = RedirectKind::None;
}

/// # Safety
/// As [`xdp_run`].
unsafe fn run_unit(unit: &Unit, ctx: *mut Ctx) -> u32 {
    for Link { prog, chain_call_actions } in &unit.links {
        let target = prog.target();
        // SAFETY: the target's own entry and address; the context is the run's.
        let code = unsafe {
            begin(ctx);
            limit::begin(&mut *ctx, prog.program());
            (*ctx).prog = crate::sync::Arc::as_ptr(prog).cast();
            let code = finish((target.entry)(ctx, target), ctx);
            (*ctx).prog = core::ptr::null();
            code
        };
        // SAFETY: the run's context.
        let slot = unsafe { (*ctx).slot };
        if prog.counting() == Counting::Actions {
            prog.stats().count(slot, Action::from_code(code).unwrap_or(Action::Aborted));
        }
        if chain_call_actions.checked_shr(code).unwrap_or(0) & 1 == 0 {
            return code;
        }
    }
    Action::Pass as u32
}

/// Gives back the lock that a run held when it was ended.
pub(super) fn give_lock(c: &mut Ctx) {
    let lock = core::mem::replace(&mut c.lock, core::ptr::null());
    // SAFETY: null, or the lock of a value in a map of the program that ran, which lives until this worker was quiescent.
    if let Some(lock) = unsafe { lock.as_ref() } {
        lock.give();
    }
}

/// Turns what a program left in r0 into an action's code. What is no action, or a redirect without a target, is aborted; aborted runs are counted.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn finish(r0: u64, ctx: *mut Ctx) -> u32 {
    // SAFETY: the caller's.
    unsafe { finish_where(r0, ctx, |_| true) }
}

/// [`finish`] where not every action means something.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn finish_where(r0: u64, ctx: *mut Ctx, means: impl Fn(Action) -> bool) -> u32 {
    // SAFETY: the caller's.
    let c = unsafe { &mut *ctx };
    // An action is what the kernel makes of r0: its low half.
    let reason = match Action::from_code(r0 as u32).filter(|action| means(*action)) {
        Some(Action::Redirect) if c.redirect.kind == RedirectKind::None => AbortReason::NoRedirectTarget,
        Some(Action::Aborted) => AbortReason::Returned,
        Some(action) => return action as u32,
        None => AbortReason::UnknownCode,
    };
    give_lock(c);
    if c.abort != 0 {
        // SAFETY: the run is over.
        unsafe {
            give_records(c);
            give_objects(c);
        }
    }
    c.set_abort(reason);
    // SAFETY: the caller's.
    unsafe { count_abort(c) };
    Action::Aborted as u32
}

/// What compiled entries call where r0 is no plain action, or the run faulted: judges r0 as [`finish`], and ends the run.
///
/// # Safety
/// `ctx` is the run's context.
pub unsafe extern "C" fn on_abort(ctx: *mut Ctx, r0: u64) -> u32 {
    // SAFETY: the run's context.
    unsafe {
        let code = finish(r0, ctx);
        (*ctx).prog = core::ptr::null();
        code
    }
}

/// The program that a context runs: the one that it names, else the first of its hook.
///
/// # Safety
/// During a run, on its own thread.
pub(super) unsafe fn running<'a>(ctx: &Ctx) -> Option<&'a Prog> {
    // SAFETY: a program that is named during a run, and a unit of the hook, live until this worker's next quiescent point.
    unsafe {
        match ctx.prog.cast::<Prog>().as_ref() {
            Some(prog) => Some(prog),
            None if ctx.entry.is_null() => None,
            None => Hook::of(ctx)
                .unit()
                .and_then(|u| u.links.first())
                .map(|l| &*crate::sync::Arc::as_ptr(&l.prog)),
        }
    }
}

/// The program that a function value of a run is of, which is the one that runs.
///
/// # Safety
/// During a run, on its own thread; the value is one of that run's.
pub(crate) unsafe fn owner_of<'a>(func: &Func, ctx: &Ctx) -> Option<&'a Prog> {
    // SAFETY: the caller's.
    unsafe { running(ctx) }.filter(|p| p.has(func))
}

/// Finds what compiled code jumps to in a tail call through a map that is only known at run time: its address, or null. Counts the call.
pub(crate) unsafe extern "C" fn tail_target(
    map: u64,
    index: u64,
    _: u64,
    _: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved that the map is one of the program's maps; the context is the run's.
    let (array, ctx) = unsafe { ((*(map as *const Map)).prog_array(), &mut *ctx) };
    let Some(array) = array.filter(|a| ctx.tail_calls < MAX_TAIL_CALL_CNT && (index as u32) < a.max_entries)
    else {
        return 0;
    };
    // SAFETY: the index is below the number of entries. Acquire: pairs with the swap that set the entry.
    let target = unsafe { (*array.shadow.add(index as u32 as usize)).load(Ordering::Acquire) };
    if !target.is_null() {
        ctx.tail_calls += 1;
        ctx.prog = target.cast_const().cast();
    }
    target as u64
}

/// Counts the context's abort.
///
/// # Safety
/// As [`finish`].
#[cold]
pub(super) unsafe fn count_abort(c: &Ctx) {
    let Some(reason) = c.abort_reason() else { return };
    // SAFETY: the program lives while it runs; the block is the worker's own.
    unsafe {
        if let Some(prog) = running(c) {
            prog.stats().count_abort(c.slot, reason);
        }
        if let Some(block) = WorkerBlock::of(c) {
            block.count_abort(reason);
        }
    }
}
