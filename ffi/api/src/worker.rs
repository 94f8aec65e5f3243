//! Workers: the right of a thread to run programs.

use crate::env::resolve;
use crate::handle::{free_raw, into_raw};
use crate::opts;
use crate::status::{arg, fail, number, out, status};
use crate::uxdp_env;
use core::ffi::c_int;
use uxdp_core::error::Errno;
use uxdp_core::vm::Worker;

/// A worker: the holder of a slot, which is `bpf_get_smp_processor_id()` and the index in per-CPU maps.
pub struct uxdp_worker {
    pub(crate) worker: Worker,
}

/// Takes a slot for the calling thread, which is online then: it has to call uxdp_worker_quiescent again and again.
///
/// Slots are dense numbers below the environment's `nr_cpus`, not lcore ids. `*out` is the caller's until uxdp_worker_unregister, on this
/// thread alone. `env` stays the caller's; NULL is the default one. 0, -ERANGE beyond the last slot, -EBUSY for a slot that is taken, -EINVAL, -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_register(
    env: *mut uxdp_env,
    slot: u32,
    out: *mut *mut uxdp_worker,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word, for both.
        let (out, env) = unsafe { (self::out(out)?, resolve(env, 0)?) };
        let worker = Worker::register(&env, slot).map_err(|e| match e {
            Errno::ERANGE => {
                fail(e, format_args!("slot {slot} is beyond the environment's {} CPUs", env.nr_cpus()))
            }
            Errno::EBUSY => fail(e, format_args!("slot {slot} is taken")),
            e => e.into(),
        })?;
        *out = into_raw(uxdp_worker { worker })?;
        Ok(())
    })
}

/// Says that the worker holds nothing of what it used before: after every burst, also when there was none. Costs a few nanoseconds; may free
/// what was replaced. A worker that is offline stays so.
///
/// `w` stays the caller's. The worker's thread, not inside a run. Cannot fail; NULL is ignored.
///
/// # Safety
/// `w` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_quiescent(w: *mut uxdp_worker) {
    // SAFETY: the caller's word.
    if let Some(w) = unsafe { w.as_ref() } {
        w.worker.quiescent();
    }
}

/// Before the worker sleeps: nobody waits for it until it is online again. It runs no program meanwhile.
///
/// `w` stays the caller's. The worker's thread. Cannot fail; NULL is ignored.
///
/// # Safety
/// `w` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_offline(w: *mut uxdp_worker) {
    // SAFETY: the caller's word.
    if let Some(w) = unsafe { w.as_ref() } {
        w.worker.offline();
    }
}

/// After the worker slept: it may run programs again.
///
/// `w` stays the caller's. The worker's thread. Cannot fail; NULL is ignored.
///
/// # Safety
/// `w` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_online(w: *mut uxdp_worker) {
    // SAFETY: the caller's word.
    if let Some(w) = unsafe { w.as_ref() } {
        w.worker.online();
    }
}

/// Runs the callbacks of timers in map values (`bpf_timer_start`) that have expired, in the worker's slot, at most `max` of them: in the main loop, beside
/// uxdp_worker_quiescent, or in a thread that does nothing else and sleeps meanwhile. Without such a call no timer expires.
///
/// Every worker of an environment may call it; each timer runs once. One that was started with BPF_F_TIMER_CPU_PIN waits for the worker that started it. Costs a few
/// nanoseconds where nothing has expired. `next_ns` is NULL, or gets the nanoseconds to the next expiry as far as is known: 0 where more has expired, UINT64_MAX where
/// no timer is armed. `w` stays the caller's. The worker's thread, not inside a run. The number of callbacks that ran, or -EINVAL for NULL.
///
/// # Safety
/// `w` is NULL or a handle; `next_ns` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_run_timers(w: *mut uxdp_worker, max: u32, next_ns: *mut u64) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let w = unsafe { arg(w, "w")? };
        let run = w.worker.run_timers(max.min(c_int::MAX as u32));
        // SAFETY: the caller's word.
        if let Some(next) = unsafe { next_ns.as_mut() } {
            *next = run.next.unwrap_or(u64::MAX);
        }
        Ok(run.ran as c_int)
    })
}

/// What the worker of a slot has reported: whether there is one, whether it is online, and how far it is behind.
///
/// `out->sz` is set before (UXDP_STRUCT does it); `env` and `out` stay the caller's; NULL is the default environment. Any thread, while programs run, which it costs
/// nothing. 0, -ERANGE beyond the last slot, -EINVAL for a NULL `out`, -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `out` is NULL or points at `out->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_stats(
    env: *mut uxdp_env,
    slot: u32,
    out: *mut opts::uxdp_worker_stats,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let env = unsafe { resolve(env, 0)? };
        let said = env.reported(slot).ok_or_else(|| {
            fail(
                Errno::ERANGE,
                format_args!("slot {slot} is beyond the environment's {} CPUs", env.nr_cpus()),
            )
        })?;
        let stats = opts::uxdp_worker_stats {
            registered: said.held.into(),
            online: said.online.into(),
            behind: said.behind,
            ..opts::uxdp_worker_stats::EMPTY
        };
        // SAFETY: the caller's word.
        unsafe { opts::write(out, stats) }
    })
}

/// Gives the slot back; NULL is allowed.
///
/// Takes `w`: no context of it is used any more. The worker's thread. Cannot fail.
///
/// # Safety
/// `w` came from uxdp_worker_register and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_worker_unregister(w: *mut uxdp_worker) {
    // SAFETY: the caller's word.
    unsafe { free_raw(w) };
}
