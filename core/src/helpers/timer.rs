//! Timers in map values. What they are, and who runs them: [`crate::vm::Timers`].
//!
//! The sixteen bytes of `struct bpf_timer` hold the number of the element's timer, 0 before it was made. Only these helpers touch them.
//! Source of the results: `bpf_timer_init` and its neighbours in the kernel's `kernel/bpf/helpers.c`.

use super::{ArgType, Callback, Helper, Proto, RetType};
use crate::error::Errno;
use crate::maps::Map;
use crate::platform::Clock;
use crate::sync::{AtomicU64, Ordering};
use crate::vm::{Ctx, Func, RunEnv, Timer, owner_of, timer_clock};

/// The expiry is a time of the timer's clock, not a distance from now.
const BPF_F_TIMER_ABS: u64 = 1;
/// The callback is to run on the CPU that started it.
const BPF_F_TIMER_CPU_PIN: u64 = 2;

pub(super) const INIT: Helper = Helper {
    id: 169,
    name: "bpf_timer_init",
    proto: Proto::new(&[ArgType::Timer, ArgType::ConstMapPtr, ArgType::Anything], RetType::Integer),
    func: Some(init),
};

pub(super) const SET_CALLBACK: Helper = Helper {
    id: 170,
    name: "bpf_timer_set_callback",
    proto: Proto::new(&[ArgType::Timer, ArgType::Func], RetType::Integer).calling(Callback::Timer),
    func: Some(set_callback),
};

pub(super) const START: Helper = Helper {
    id: 171,
    name: "bpf_timer_start",
    proto: Proto::new(&[ArgType::Timer, ArgType::Anything, ArgType::Anything], RetType::Integer),
    func: Some(start),
};

pub(super) const CANCEL: Helper = Helper {
    id: 172,
    name: "bpf_timer_cancel",
    proto: Proto::new(&[ArgType::Timer], RetType::Integer),
    func: Some(cancel),
};

fn result(done: Result<u64, Errno>) -> u64 {
    done.unwrap_or_else(Errno::to_ret)
}

/// The services of a run.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn services<'a>(ctx: *mut Ctx) -> Result<&'a RunEnv, Errno> {
    // SAFETY: the caller's; an environment outlives its runs.
    unsafe { (*ctx).env.as_ref() }.ok_or(Errno::EOPNOTSUPP)
}

/// The timer of a value, where it was made.
///
/// # Safety
/// `field` is the timer field of a value, which the verifier proved.
unsafe fn timer_at(field: u64, env: &RunEnv) -> Result<&Timer, Errno> {
    // SAFETY: the caller's: an 8-aligned word of map memory.
    let id = unsafe { (*(field as *const AtomicU64)).load(Ordering::Relaxed) };
    env.timers.find(id).ok_or(Errno::EINVAL)
}

unsafe extern "C" fn init(field: u64, map: u64, flags: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is the timer of a value of the map r2; the context is the run's.
    result((|| unsafe {
        let (env, map) = (services(ctx)?, &*(map as *const Map));
        let clock = timer_clock(flags)?;
        let at = map.spec().fields.timer.ok_or(Errno::EINVAL)?;
        let table = map.timers().ok_or(Errno::EOPNOTSUPP)?;
        let index = map.element_index((field as *const u8).wrapping_sub(at as usize)).ok_or(Errno::EINVAL)?;
        if !map.has_users() {
            return Err(Errno::EPERM);
        }
        let timer = table.timer(index).ok_or(Errno::EINVAL)?;
        timer.make(table, clock, (*ctx).slot, env.platform)?;
        (*(field as *const AtomicU64)).store(table.id(index), Ordering::Relaxed);
        Ok(0)
    })())
}

unsafe extern "C" fn set_callback(field: u64, func: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `init`; r2 is a function of the program that runs.
    result((|| unsafe {
        let env = services(ctx)?;
        let (timer, func) = (timer_at(field, env)?, &*(func as *const Func));
        if timer.map().is_some_and(|m| !m.has_users()) {
            return Err(Errno::EPERM);
        }
        let prog = owner_of(func, &*ctx).ok_or(Errno::EINVAL)?;
        if timer.set_callback(prog, func.code(), func.index(), (*ctx).slot, env.platform)? {
            env.timers.ask(timer);
        }
        Ok(0)
    })())
}

/// Kernel: a timer of the real-time clock follows when that is set; uxdp: its expiry is converted when it starts.
unsafe extern "C" fn start(field: u64, nanoseconds: u64, flags: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `init`.
    result((|| unsafe {
        if flags & !(BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN) != 0 {
            return Err(Errno::EINVAL);
        }
        let env = services(ctx)?;
        let timer = timer_at(field, env)?;
        let read = |clock| env.platform.clock_ns(clock).ok_or(Errno::EOPNOTSUPP);
        let now = read(Clock::Monotonic)?;
        let expiry = match (flags & BPF_F_TIMER_ABS, timer.clock()) {
            (0, _) => now.saturating_add(nanoseconds),
            (_, Clock::Monotonic) => nanoseconds,
            (_, clock) => now.saturating_add(nanoseconds.saturating_sub(read(clock)?)),
        };
        timer.start(expiry, flags & BPF_F_TIMER_CPU_PIN != 0, (*ctx).slot, env.platform)?;
        env.timers.ask(timer);
        Ok(0)
    })())
}

/// 1 where it was to expire, 0 where not.
unsafe extern "C" fn cancel(field: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `init`.
    result((|| unsafe {
        let env = services(ctx)?;
        let timer = timer_at(field, env)?;
        let own = core::ptr::eq((*ctx).timer, timer);
        let armed = timer.cancel(own, (*ctx).slot, env.platform)?;
        env.timers.ask(timer);
        timer.wait(env.platform);
        Ok(u64::from(armed))
    })())
}
