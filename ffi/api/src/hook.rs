//! Hooks: where programs are attached.

use crate::env::resolve;
use crate::handle::{free_raw, into_raw};
use crate::opts;
use crate::status::{Failed, arg, fail, number, out, status};
use crate::{
    UXDP_ATTACH_BY_PRIORITY, UXDP_OFFERS_STATED, uxdp_attach_opts, uxdp_env, uxdp_hook_opts, uxdp_prog,
};
use core::ffi::c_int;
use uxdp_core::error::Errno;
use uxdp_core::mem::Vec;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, Hook, Link, Mtu, Needs, Offers, Prog};

/// A hook: an attach point, such as a port's queue or just a loop, with an ordered set of programs.
pub struct uxdp_hook {
    pub(crate) hook: Arc<Hook>,
    /// What contexts of it start with.
    pub(crate) ingress_ifindex: u32,
    pub(crate) rx_queue_index: u32,
    /// Part of a program's handle: its programs stay, and it goes with the handle.
    fixed: bool,
}

impl uxdp_hook {
    /// The hook that is a program's own.
    pub(crate) fn of_prog(env: &Arc<Env>, prog: &Arc<Prog>) -> Result<Self, Errno> {
        let hook = Hook::create(env)?;
        hook.set(core::slice::from_ref(prog))?;
        Ok(uxdp_hook { hook, ingress_ifindex: 0, rx_queue_index: 0, fixed: true })
    }
}

/// Makes a hook with no program: until uxdp_hook_set, packets are UXDP_ABORTED.
///
/// `*out` is the caller's until uxdp_hook_free. `env` stays the caller's; NULL is the default one. Any thread. 0, -EINVAL (for NULL, unknown offers, an MTU without its
/// buffer size or the other way round), -E2BIG for options
/// that this version does not know, -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `opts` is NULL or points at `opts->sz` bytes; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_hook_create(
    env: *mut uxdp_env,
    opts: *const uxdp_hook_opts,
    out: *mut *mut uxdp_hook,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word, for all three.
        let (out, opts, env) = unsafe { (self::out(out)?, opts::read(opts)?, resolve(env, 0)?) };
        let known = UXDP_OFFERS_STATED | Needs::from_bits(u32::MAX).bits();
        if opts.offers & !known != 0 {
            return Err(fail(Errno::EINVAL, format_args!("unknown offers {:#x}", opts.offers & !known)));
        }
        if (opts.mtu == 0) != (opts.buffer_size == 0) {
            return Err(fail(Errno::EINVAL, format_args!("mtu and buffer_size are stated together")));
        }
        let offers = Offers {
            can: (opts.offers & UXDP_OFFERS_STATED != 0).then(|| Needs::from_bits(opts.offers)),
            mtu: (opts.mtu != 0).then_some(Mtu { bytes: opts.mtu, buffer: opts.buffer_size }),
        };
        *out = into_raw(uxdp_hook {
            hook: Hook::create_at(&env, offers)?,
            ingress_ifindex: opts.ingress_ifindex,
            rx_queue_index: opts.rx_queue_index,
            fixed: false,
        })?;
        Ok(())
    })
}

/// Attaches `n` programs in order in place of what was there; 0 detaches all. Each runs after the one before it says UXDP_PASS, or what that one's XDP_RUN_CONFIG or
/// `opts` name; behind the last one the action is UXDP_PASS, as behind libxdp's dispatcher.
///
/// Atomic for every worker: a burst uses one set throughout, the next burst may use the next; no packet is lost. Never blocks; the
/// former programs are freed when every online worker was quiescent. The hook takes references of its own: `progs` and the programs stay the
/// caller's. Any thread. 0; -EINVAL for NULL, a program that is not loaded, is of another environment or is for entries of a device or CPU map, or for
/// uxdp_prog_hook's; -EOPNOTSUPP for one that needs what the hook's port does not offer, with the list (and the sizes, where it is for the MTU) in uxdp_last_error; -E2BIG for options that this version does not know, -ENOMEM. The hook keeps what it had then.
///
/// # Safety
/// `h` is a handle; `progs` are `n` handles; `opts` is NULL or points at `opts->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_hook_set(
    h: *mut uxdp_hook,
    progs: *const *mut uxdp_prog,
    n: usize,
    opts: *const uxdp_attach_opts,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (h, opts) = unsafe { (arg(h, "hook")?, opts::read(opts)?) };
        if h.fixed {
            return Err(fail(
                Errno::EINVAL,
                format_args!("the hook of uxdp_prog_hook always has its own program"),
            ));
        }
        if opts.flags & !UXDP_ATTACH_BY_PRIORITY != 0 {
            return Err(fail(Errno::EINVAL, format_args!("unknown attach flags {:#x}", opts.flags)));
        }
        // SAFETY: the caller's word.
        let list = unsafe { collect(progs, n, &opts) }?;
        for link in &list {
            let missing = h.hook.missing(link);
            if !missing.is_empty() {
                let name = link.prog.name();
                return Err(fail(
                    Errno::EOPNOTSUPP,
                    format_args!("the port does not offer what program {name} needs: {missing}"),
                ));
            }
        }
        h.hook.set_links(list).map_err(|e| {
            fail(e, format_args!("the hook keeps its programs: one is of another environment or not for hooks, or memory is short"))
        })
    })
}

/// The programs of `n` handles, in the order in which they run.
///
/// # Safety
/// `progs` are `n` pointers, each NULL or a handle; the arrays of `opts` are NULL or `n` numbers.
unsafe fn collect(
    progs: *const *mut uxdp_prog,
    n: usize,
    opts: &uxdp_attach_opts,
) -> Result<Vec<Link>, Failed> {
    let number = |array: *const u32, i: usize, own: u32| match array.is_null() {
        true => own,
        // SAFETY: `n` numbers, and `i` is below.
        false => unsafe { array.add(i).read() },
    };
    let mut list: Vec<(u32, Link)> = Vec::with_capacity(n)?;
    for i in 0..n {
        // SAFETY: the caller's word.
        let prog = unsafe { arg(*arg(progs.wrapping_add(i), "progs")?, "program")? };
        let mut link = Link::of(&prog.loaded()?.prog);
        let priority = number(opts.priorities, i, link.prog.program().code().run.priority);
        link.chain_call_actions = number(opts.chain_call_actions, i, link.chain_call_actions);
        let at = match opts.flags & UXDP_ATTACH_BY_PRIORITY {
            0 => i,
            _ => list.iter().position(|(other, _)| *other > priority).unwrap_or(i),
        };
        list.insert(at, (priority, link))?;
    }
    let mut links = Vec::with_capacity(n)?;
    links.extend(list.into_iter().map(|(_, link)| link))?;
    Ok(links)
}

/// Frees a hook; NULL is allowed. Its programs are freed when every online worker was quiescent, unless others hold them.
///
/// Takes `h`: no context of it is used any more. What uxdp_prog_hook returned stays untouched: it goes with its program. Any thread.
/// Cannot fail.
///
/// # Safety
/// `h` came from uxdp_hook_create or uxdp_prog_hook and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_hook_free(h: *mut uxdp_hook) {
    // SAFETY: the caller's word; a fixed one is a part of something else.
    unsafe {
        if h.as_ref().is_some_and(|h| !h.fixed) {
            free_raw(h);
        }
    }
}

/// Whether every attached program takes packets in several buffers (section `xdp.frags`): 1 or 0. Where one does not,
/// such packets are not run: UXDP_ABORTED, with the reason UXDP_ABORT_SEVERAL_BUFFERS.
///
/// `h` stays the caller's. Any thread; what is attached may change afterwards. -EINVAL for NULL.
///
/// # Safety
/// `h` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_hook_takes_frags(h: *const uxdp_hook) -> c_int {
    // SAFETY: the caller's word.
    number(|| Ok(c_int::from(unsafe { arg(h, "hook")? }.hook.takes_frags())))
}
