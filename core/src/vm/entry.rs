//! Programs of entries: what runs on a packet on its way to a device or a CPU, after the hook's programs redirected it to an entry of a map that has one.
//!
//! The helper leaves the entry's program in the context's redirect; the host says when it runs ([`run_entry`]), since it alone knows when the packet leaves. A packet that is
//! for every entry of a map is copied by the host, which asks for the entries one by one ([`next_target`]).
//!
//! Source of the semantics: `dev_map_bpf_prog_run` and `dev_map_enqueue_multi` in the kernel's `kernel/bpf/devmap.c`, `cpu_map_bpf_prog_run_xdp` in `kernel/bpf/cpumap.c`.

use super::run::{begin, count_abort, finish_where, in_several_buffers};
use super::{AbortReason, Action, Counting, Ctx, Prog, Redirect, RedirectKind, limit};
use crate::maps::{Map, ProgRef, TailTarget};
use core::ptr::null;

/// To every entry of a device map.
pub(crate) const BPF_F_BROADCAST: u64 = 1 << 3;
/// But not to where the packet came from.
pub(crate) const BPF_F_EXCLUDE_INGRESS: u64 = 1 << 4;

/// Runs the program of the entry that the context's redirect names on the context's packet; the action's code.
///
/// XDP_PASS: the packet goes on, out of the device or up on the CPU; where the entry has no program, or the redirect is not to an entry of a device or CPU map, at once.
/// XDP_REDIRECT, of a CPU map's entry alone: it goes where the context's redirect says now. Everything else drops it; what means nothing here (XDP_TX, and of a device
/// map's entry XDP_REDIRECT) is aborted as an unknown code. Aborts are counted by reason for the entry's program, whose limit holds.
///
/// For a device map's entry `egress_ifindex` is set to the redirect's target, and the redirect stays as it is whatever the program does.
/// Kernel: such a program sees queue 0; uxdp: the queue of the context.
///
/// # Safety
/// As [`super::xdp_run`], with a packet that is the context's. The redirect was left by a run of this worker since its last quiescent point, or by [`next_target`] since then, or its
/// program is held ([`hold_entry`]).
pub unsafe fn run_entry(ctx: *mut Ctx) -> u32 {
    // SAFETY: the caller's. Programs get into entries by `Env::set_target` alone, so that this one is a `Prog`, alive until this worker is quiescent or held.
    unsafe {
        let c = &mut *ctx;
        let going = c.redirect;
        let (to_device, target) = match (going.kind, going.egress_prog.cast::<TailTarget>()) {
            (RedirectKind::Devmap, target) if !target.is_null() => (true, target),
            (RedirectKind::Cpumap, target) if !target.is_null() => (false, target),
            _ => return Action::Pass as u32,
        };
        let prog = Prog::of(target);
        if to_device {
            c.egress_ifindex = going.target as u32;
        }
        begin(ctx);
        c.prog = target.cast();
        let code = if in_several_buffers(c) && !prog.program().code().frags {
            c.set_abort(AbortReason::SeveralBuffers);
            count_abort(c);
            Action::Aborted as u32
        } else {
            limit::begin(c, prog.program());
            let r0 = (prog.target().entry)(ctx, target);
            let code = finish_where(r0, ctx, |action| match action {
                Action::Tx => false,
                Action::Redirect => !to_device,
                Action::Aborted | Action::Drop | Action::Pass => true,
            });
            if prog.counting() == Counting::Actions {
                prog.stats().count((*ctx).slot, Action::from_code(code).unwrap_or(Action::Aborted));
            }
            code
        };
        let c = &mut *ctx;
        c.prog = null();
        if to_device {
            c.redirect = going;
        }
        code
    }
}

/// Where a packet goes that is for every entry of a device map: the first entry at or behind `cursor`, which begins at 0 and is moved behind it, as a redirect to that entry alone.
/// `None` behind the last one, and for a redirect that is not for all. With BPF_F_EXCLUDE_INGRESS entries that lead to `ingress_ifindex` are left out.
///
/// In the order of the map: of its indices, or for DEVMAP_HASH of its own. A walk is bounded; entries that change meanwhile may be missed or met twice. Neither allocates nor waits.
///
/// # Safety
/// The redirect was left by a run of this worker since its last quiescent point; so long what comes back may be used, too.
pub unsafe fn next_target(all: &Redirect, ingress_ifindex: u32, cursor: &mut u32) -> Option<Redirect> {
    if all.kind != RedirectKind::Devmap || all.flags & BPF_F_BROADCAST == 0 {
        return None;
    }
    // SAFETY: null, or the map that the helper left; whoever holds it goes after this worker is quiescent.
    let map = unsafe { all.map.cast::<Map>().as_ref() }?;
    loop {
        let (index, target) = map.next_target(cursor)?;
        // SAFETY: an entry that lives until this worker is quiescent.
        let target = unsafe { &*target };
        if all.flags & BPF_F_EXCLUDE_INGRESS != 0 && target.value() == ingress_ifindex {
            continue;
        }
        let egress_prog = target.prog().cast();
        return Some(Redirect { index, flags: 0, target: target.value().into(), egress_prog, ..*all });
    }
}

/// A reference to the program of a redirect's entry, for a packet that another worker takes over: it keeps the program until it is dropped, on any thread. `None` where there is no program.
///
/// Neither allocates nor waits; dropping the last reference frees the program.
///
/// # Safety
/// The redirect was left by a run of this worker since its last quiescent point.
pub unsafe fn hold_entry(redirect: &Redirect) -> Option<ProgRef> {
    let target = redirect.egress_prog.cast::<TailTarget>();
    // SAFETY: not null, so a `Prog` as in `run_entry`, which lives until this worker is quiescent.
    (!target.is_null()).then(|| unsafe { Prog::of(target) }.retain())
}
