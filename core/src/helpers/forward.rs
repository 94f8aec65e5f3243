//! Where a packet goes: redirects.

use super::{ArgType, Helper, Proto, RetType};
use crate::maps::{Map, MapType};
use crate::vm::{Action, BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS, Ctx, Redirect, RedirectKind};

/// What `bpf_redirect_map` takes.
const TARGETS: &[MapType] = &[MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap];

/// The bits of the flags that are the action where there is no target.
const ACTIONS: u64 = 3;

pub(super) const REDIRECT: Helper = Helper {
    id: 23,
    name: "bpf_redirect",
    proto: Proto::new(&[ArgType::Anything, ArgType::Anything], RetType::Integer),
    func: Some(redirect),
};

pub(super) const REDIRECT_MAP: Helper = Helper {
    id: 51,
    name: "bpf_redirect_map",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::Anything, ArgType::Anything], RetType::Integer)
        .on(TARGETS),
    func: Some(redirect_map),
};

/// As `bpf_xdp_redirect` in the kernel's `net/core/filter.c`: any flag aborts.
unsafe extern "C" fn redirect(ifindex: u64, flags: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    if flags != 0 {
        return Action::Aborted as u64;
    }
    let target = u64::from(ifindex as u32);
    // SAFETY: the context is the run's.
    unsafe { (*ctx).redirect = Redirect { kind: RedirectKind::Ifindex, target, ..Redirect::NONE } };
    Action::Redirect as u64
}

/// As `__bpf_xdp_redirect_map` in the kernel's `include/linux/filter.h`.
unsafe extern "C" fn redirect_map(map: u64, index: u64, flags: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    let index = index as u32;
    // SAFETY: the verifier proved that r1 is a map of the program.
    let m = unsafe { &*(map as *const Map) };
    let (kind, known) = match m.spec().kind {
        MapType::Devmap | MapType::DevmapHash => {
            (RedirectKind::Devmap, ACTIONS | BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS)
        }
        MapType::Cpumap => (RedirectKind::Cpumap, ACTIONS),
        _ => (RedirectKind::Xskmap, ACTIONS),
    };
    if flags & !known != 0 {
        return Action::Aborted as u64;
    }
    let all = flags & BPF_F_BROADCAST != 0;
    // SAFETY: null, or an entry that lives until this worker's next quiescent point.
    let entry = unsafe { m.redirect(index).as_ref() };
    let (target, egress_prog) = match entry {
        _ if all => (0, core::ptr::null()),
        None => {
            // SAFETY: the context is the run's.
            unsafe { (*ctx).redirect = Redirect::NONE };
            return flags & ACTIONS;
        }
        Some(e) if kind == RedirectKind::Cpumap => (index.into(), e.prog()),
        Some(e) => (e.value().into(), e.prog()),
    };
    let flags = if all { flags } else { 0 };
    let map = core::ptr::from_ref(m).cast();
    // SAFETY: the context is the run's.
    unsafe {
        (*ctx).redirect = Redirect { kind, index, flags, target, map, egress_prog: egress_prog.cast() }
    };
    Action::Redirect as u64
}
