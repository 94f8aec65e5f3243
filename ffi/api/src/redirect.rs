//! What happens to a redirected packet before it leaves: programs of entries, and the targets of packets that are for all.

use crate::{uxdp_action, uxdp_ctx, uxdp_redirect, uxdp_redirect_kind};
use core::ffi::c_int;
use core::ptr::NonNull;
use uxdp_core::maps::ProgRef;
use uxdp_core::vm;

/// `flags` of a redirect to a device map: the packet is for every entry (the kernel's BPF_F_BROADCAST). `target` is 0 then; uxdp_redirect_next names the targets.
pub const UXDP_REDIRECT_BROADCAST: u64 = 1 << 3;
/// `flags` beside UXDP_REDIRECT_BROADCAST: but not to where it came from (the kernel's BPF_F_EXCLUDE_INGRESS).
pub const UXDP_REDIRECT_EXCLUDE_INGRESS: u64 = 1 << 4;

const DEVMAP: u32 = uxdp_redirect_kind::UXDP_REDIRECT_DEVMAP as u32;
const CPUMAP: u32 = uxdp_redirect_kind::UXDP_REDIRECT_CPUMAP as u32;

/// Runs the program of the entry that `ctx->redirect` names on the packet in the context, as Linux does before a packet leaves by a device (`SEC("xdp/devmap")`) or when a
/// CPU has taken it over (`SEC("xdp/cpumap")`). Call it after a run that ended with UXDP_REDIRECT: at once, or for a packet of a burst with its pointers, `frags` and
/// `redirect` copied to the context; for CPU maps on the worker that took the packet over (uxdp_redirect_hold).
///
/// UXDP_PASS: the packet goes on, out of interface `redirect.target` or up on that CPU; also where the entry has no program or the redirect has no entry, so that it may be called for every
/// redirect. UXDP_REDIRECT, of CPU maps alone: it goes where `redirect` says now. Everything else drops it; UXDP_TX, and of device maps UXDP_REDIRECT, are UXDP_ABORTED with
/// the reason UXDP_ABORT_UNKNOWN_CODE. Aborts are counted for the entry's program, and its `run_limit` and `run_time_limit` hold. For device maps `ctx->egress_ifindex` becomes
/// `redirect.target`, and `redirect` stays as it is.
///
/// The context and the buffer stay the caller's. The worker's thread, before its next uxdp_worker_quiescent after the run. Cannot fail: errors are UXDP_ABORTED, counted by reason.
///
/// # Safety
/// As uxdp_run; `redirect` was left by a run of this worker since its last quiescent point or by uxdp_redirect_next since then, or it is held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_run_entry(ctx: *mut uxdp_ctx) -> u32 {
    // SAFETY: the caller's word; the kind is one that the core knows.
    unsafe {
        match (*ctx).redirect.kind {
            DEVMAP | CPUMAP => vm::run_entry(ctx.cast()),
            _ => uxdp_action::UXDP_PASS as u32,
        }
    }
}

/// The next target of a packet that is for every entry of a device map: 1, and `*target` is a redirect to that entry alone, with its interface and program; 0 behind the last one, and
/// for a redirect without UXDP_REDIRECT_BROADCAST. `*cursor` is 0 before the first call and belongs to the walk. With UXDP_REDIRECT_EXCLUDE_INGRESS entries that
/// lead to `ingress_ifindex` are left out.
///
/// In the order of the map: of its indices, or for DEVMAP_HASH of its own. The host sends a copy of the packet to each target, after uxdp_run_entry on that copy where the
/// target has a program. Entries that change during the walk may be missed or met twice. All arguments stay the caller's. The worker's thread, before its next
/// uxdp_worker_quiescent after the run, as long as `*target` may be used, too. Neither allocates nor waits; cannot fail.
///
/// # Safety
/// `all` was left by a run of this worker since its last quiescent point; `cursor` and `target` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_redirect_next(
    all: *const uxdp_redirect,
    ingress_ifindex: u32,
    cursor: *mut u32,
    target: *mut uxdp_redirect,
) -> c_int {
    // SAFETY: the caller's word; the structs are the same (ctx.rs), and the kind is one that the core knows.
    unsafe {
        if (*all).kind != DEVMAP {
            return 0;
        }
        match vm::next_target(&*all.cast::<vm::Redirect>(), ingress_ifindex, &mut *cursor) {
            Some(next) => {
                target.cast::<vm::Redirect>().write(next);
                1
            }
            None => 0,
        }
    }
}

/// Keeps the program of a redirect's entry until uxdp_redirect_release, so that another worker can run it: call it before the packet and its `redirect` are handed over.
/// Where the entry has no program it does nothing.
///
/// `r` stays the caller's. The thread of the worker that ran the packet, before its next uxdp_worker_quiescent. Neither allocates nor waits; cannot fail.
///
/// # Safety
/// `r` was left by a run of this worker since its last quiescent point.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_redirect_hold(r: *const uxdp_redirect) {
    // SAFETY: the caller's word; a program means that the kind is one that the core knows.
    unsafe {
        if matches!((*r).kind, DEVMAP | CPUMAP)
            && let Some(held) = vm::hold_entry(&*r.cast::<vm::Redirect>())
        {
            core::mem::forget(held);
        }
    }
}

/// Gives back what uxdp_redirect_hold took, once for each, also for a packet that was never run. `r` is a copy of that redirect.
///
/// `r` stays the caller's. Any thread; frees the program where everybody else has given it up. Cannot fail.
///
/// # Safety
/// `r` is a copy of what was held and not yet given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_redirect_release(r: *const uxdp_redirect) {
    // SAFETY: the caller's word: the reference that `hold` forgot is given back once.
    unsafe {
        if matches!((*r).kind, DEVMAP | CPUMAP)
            && let Some(target) = NonNull::new((*r).egress_prog.cast_mut())
        {
            drop(ProgRef::new(target.cast()));
        }
    }
}
