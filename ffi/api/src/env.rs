//! Environments: the default one, and others that a host makes.

use crate::handle::{free_raw, into_raw};
use crate::host::{self, Kept};
use crate::opts;
use crate::status::{Failed, arg, fail, number, out, status};
use crate::uxdp_env_opts;
use core::ffi::{c_char, c_int};
use uxdp_core::error::Errno;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, EnvOptions};

/// An environment: worker slots, ids, grace periods. What is of one environment cannot be used with another.
pub struct uxdp_env {
    env: Arc<Env>,
}

/// The environment that NULL stands for, made when it is first needed; it stays until the process ends.
static DEFAULT: spin::Mutex<Option<Arc<Env>>> = spin::Mutex::new(None);

fn create(nr_cpus: u32, (host, helpers): Kept) -> Result<Arc<Env>, Failed> {
    let options = EnvOptions { nr_cpus, host, helpers, ..EnvOptions::default() };
    Env::new(&uxdp_platform::PLATFORM, &options)
        .map_err(|e| fail(e, format_args!("cannot make an environment of {nr_cpus} CPUs: {}", e.text())))
}

/// The environment that a handle or NULL means, which has `nr_cpus` slots if that is not 0.
///
/// # Safety
/// `env` is NULL or a handle.
pub(crate) unsafe fn resolve(env: *const uxdp_env, nr_cpus: u32) -> Result<Arc<Env>, Failed> {
    // SAFETY: the caller's word.
    let found = match unsafe { env.as_ref() } {
        Some(e) => e.env.clone(),
        None => {
            let mut default = DEFAULT.lock();
            match default.as_ref() {
                Some(e) => e.clone(),
                None => default.insert(create(nr_cpus, (None, None))?).clone(),
            }
        }
    };
    match found.nr_cpus() {
        n if nr_cpus == 0 || nr_cpus == n => Ok(found),
        n => Err(fail(Errno::EINVAL, format_args!("the environment has {n} CPUs, {nr_cpus} are asked for"))),
    }
}

/// Makes an environment of one's own; most programs need none but the default one, which NULL stands for everywhere.
///
/// `*out` is the caller's until uxdp_env_free. Any thread. 0, -EINVAL for bad options, more than 4,096 CPUs or a helper that is none, -EEXIST for two helpers of one
/// number or name, -E2BIG for options that this version does not know, -ENOMEM.
///
/// # Safety
/// `opts` is NULL or points at `opts->sz` bytes, and what it points to is as its structs say; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_env_create(opts: *const uxdp_env_opts, out: *mut *mut uxdp_env) -> c_int {
    status(|| {
        // SAFETY: the caller's word, for both.
        let (out, opts) = unsafe { (self::out(out)?, opts::read(opts)?) };
        // SAFETY: as above.
        let kept = unsafe { host::keep(opts.host, opts.helpers, opts.nr_helpers)? };
        *out = into_raw(uxdp_env { env: create(opts.nr_cpus, kept)? })?;
        Ok(())
    })
}

/// Frees an environment's handle; NULL is allowed. Objects, programs, maps, workers and hooks of it stay usable and keep it alive.
///
/// Takes `env`. Any thread. Cannot fail.
///
/// # Safety
/// `env` came from uxdp_env_create and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_env_free(env: *mut uxdp_env) {
    // SAFETY: the caller's word.
    unsafe { free_raw(env) };
}

/// Waits until every worker that is online now was quiescent, and frees what waited for that. Not from a worker's thread while it is online:
/// it would wait for itself.
///
/// `env` stays the caller's; NULL is the default one. Any other thread. 0 or -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_synchronize(env: *mut uxdp_env) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        unsafe { resolve(env, 0) }?.synchronize();
        Ok(())
    })
}

/// How much waits to be freed because it was replaced, and which worker holds it up by not calling uxdp_worker_quiescent.
///
/// `out->sz` is set before (UXDP_STRUCT does it); `env` and `out` stay the caller's; NULL is the default environment. Any thread, while programs run, which it costs
/// nothing. 0, -EINVAL for a NULL `out`, -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `out` is NULL or points at `out->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_reclaim_stats(env: *mut uxdp_env, out: *mut opts::uxdp_reclaim_stats) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let now = unsafe { resolve(env, 0) }?.reclamation();
        let (slot, behind) = now.held_up_by.map_or((-1, 0), |(slot, behind)| (slot as i32, behind));
        let stats = opts::uxdp_reclaim_stats {
            waiting: now.waiting,
            held_up_by: slot,
            behind,
            ..opts::uxdp_reclaim_stats::EMPTY
        };
        // SAFETY: the caller's word.
        unsafe { opts::write(out, stats) }
    })
}

/// Takes messages of bpf_trace_printk out of the environment, oldest first, as many whole lines as fit, NUL-terminated.
///
/// Returns the bytes written without the NUL, 0 when there is nothing. `buf` stays the caller's. Any thread, one message reaches one reader.
/// -EINVAL for a NULL buffer, -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `buf` has `n` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_trace_read(env: *mut uxdp_env, buf: *mut c_char, n: usize) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        unsafe { arg(buf, "buf")? };
        // More than an int can say is not read at once.
        let n = n.min(1 << 30);
        if n == 0 {
            return Ok(0);
        }
        // SAFETY: the caller's word; zeroed because C need not have initialised it.
        let (env, buf) = unsafe {
            buf.write_bytes(0, n);
            (resolve(env, 0)?, core::slice::from_raw_parts_mut(buf.cast::<u8>(), n))
        };
        let Some((nul, lines)) = buf.split_last_mut() else { return Ok(0) };
        *nul = 0;
        Ok(env.trace_read(lines) as c_int)
    })
}
