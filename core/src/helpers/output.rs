//! Records for readers outside: ring buffers and perf event arrays.

use super::{Access, ArgType, Callback, DynptrKind, DynptrUse, Helper, Proto, RetType, chain, dynptr};
use crate::error::Errno;
use crate::maps::{Commit, Map, MapType, commit};
use crate::vm::{Ctx, Func, maps_of};
use core::ops::ControlFlow;
use dynptr::Dynptr;

/// The entry of the worker's own slot.
const BPF_F_CURRENT_CPU: u64 = 0xffff_ffff;
/// The bits of the flags that are the entry.
const BPF_F_INDEX_MASK: u64 = 0xffff_ffff;
/// The bits of the flags that say how many bytes of the packet go with the data.
const BPF_F_CTXLEN_MASK: u64 = 0xf_ffff << 32;

const RINGBUF: &[MapType] = &[MapType::Ringbuf];
const READ: ArgType = ArgType::Mem { access: Access::Read, nullable: false };

pub(super) const PERF_EVENT_OUTPUT: Helper = Helper {
    id: 25,
    name: "bpf_perf_event_output",
    proto: Proto::new(
        &[ArgType::Ctx, ArgType::ConstMapPtr, ArgType::Anything, READ, ArgType::ConstSizeOrZero],
        RetType::Integer,
    )
    .on(&[MapType::PerfEventArray]),
    func: Some(perf_event_output),
};

pub(super) const RINGBUF_OUTPUT: Helper = Helper {
    id: 130,
    name: "bpf_ringbuf_output",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, READ, ArgType::ConstSizeOrZero, ArgType::Anything],
        RetType::Integer,
    )
    .on(RINGBUF),
    func: Some(ringbuf_output),
};

pub(super) const RINGBUF_RESERVE: Helper = Helper {
    id: 131,
    name: "bpf_ringbuf_reserve",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, ArgType::AllocSize, ArgType::Anything],
        RetType::RingbufMemOrNull,
    )
    .on(RINGBUF),
    func: Some(ringbuf_reserve),
};

pub(super) const RINGBUF_SUBMIT: Helper = Helper {
    id: 132,
    name: "bpf_ringbuf_submit",
    proto: Proto::new(&[ArgType::RingbufMem, ArgType::Anything], RetType::Void),
    func: Some(ringbuf_submit),
};

pub(super) const RINGBUF_DISCARD: Helper = Helper {
    id: 133,
    name: "bpf_ringbuf_discard",
    proto: Proto::new(&[ArgType::RingbufMem, ArgType::Anything], RetType::Void),
    func: Some(ringbuf_discard),
};

pub(super) const RINGBUF_QUERY: Helper = Helper {
    id: 134,
    name: "bpf_ringbuf_query",
    proto: Proto::new(&[ArgType::ConstMapPtr, ArgType::Anything], RetType::Integer).on(RINGBUF),
    func: Some(ringbuf_query),
};

pub(super) const RINGBUF_RESERVE_DYNPTR: Helper = Helper {
    id: 198,
    name: "bpf_ringbuf_reserve_dynptr",
    proto: Proto::new(
        &[
            ArgType::ConstMapPtr,
            ArgType::Anything,
            ArgType::Anything,
            ArgType::Dynptr(DynptrUse::New(DynptrKind::Ringbuf)),
        ],
        RetType::Integer,
    )
    .on(RINGBUF),
    func: Some(dynptr::reserve),
};

const RELEASE: &[ArgType] = &[ArgType::Dynptr(DynptrUse::Release), ArgType::Anything];

pub(super) const RINGBUF_SUBMIT_DYNPTR: Helper = Helper {
    id: 199,
    name: "bpf_ringbuf_submit_dynptr",
    proto: Proto::new(RELEASE, RetType::Void),
    func: Some(submit_dynptr),
};

pub(super) const RINGBUF_DISCARD_DYNPTR: Helper = Helper {
    id: 200,
    name: "bpf_ringbuf_discard_dynptr",
    proto: Proto::new(RELEASE, RetType::Void),
    func: Some(discard_dynptr),
};

pub(super) const USER_RINGBUF_DRAIN: Helper = Helper {
    id: 209,
    name: "bpf_user_ringbuf_drain",
    proto: Proto::new(
        &[ArgType::ConstMapPtr, ArgType::Func, ArgType::StackOrNull, ArgType::Anything],
        RetType::Integer,
    )
    .on(&[MapType::UserRingbuf])
    .calling(Callback::Drain),
    func: Some(user_ringbuf_drain),
};

/// Each sample is shown as a dynamic pointer of its own, which is gone with the call.
unsafe extern "C" fn user_ringbuf_drain(
    map: u64,
    func: u64,
    data: u64,
    flags: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    let mut show = |bytes: *mut u8, len: u32| match Dynptr::memory(bytes, len) {
        // SAFETY: the verifier proved that r2 is a function of the program that takes a dynamic pointer and r3; the context is the run's.
        Ok(sample) => unsafe { (*(func as *const Func)).turn([&raw const sample as u64, data, 0, 0], ctx) },
        // The ring's samples are no longer than what a dynamic pointer can say.
        Err(_) => ControlFlow::Break(()),
    };
    // SAFETY: the verifier proved that r1 is a map of the program.
    let shown = unsafe { &*(map as *const Map) }.user_ringbuf_drain(flags, &mut show);
    shown.map_or_else(|e| e.to_ret(), u64::from)
}

/// As `bpf_xdp_event_output` in the kernel's `net/core/filter.c`.
unsafe extern "C" fn perf_event_output(
    _: u64,
    map: u64,
    flags: u64,
    data: u64,
    size: u64,
    ctx: *mut Ctx,
) -> u64 {
    if flags & !(BPF_F_INDEX_MASK | BPF_F_CTXLEN_MASK) != 0 {
        return Errno::EINVAL.to_ret();
    }
    // SAFETY: the context is the run's.
    let c = unsafe { &*ctx };
    let wanted = ((flags & BPF_F_CTXLEN_MASK) >> 32) as usize;
    if wanted as u64 > chain::length(c) {
        return Errno::EFAULT.to_ret();
    }
    let index = if flags & BPF_F_INDEX_MASK == BPF_F_CURRENT_CPU { c.slot } else { flags as u32 };
    let packet = chain::first(c, wanted);
    // SAFETY: the verifier proved that r2 is a map of the program, and r4 readable for r5 bytes; the packet has `wanted` bytes; the worker holds its slot.
    let done = unsafe {
        (*(map as *const Map)).perf_output(index, (data as *const u8, size as usize), &packet, c.slot)
    };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn ringbuf_output(
    map: u64,
    data: u64,
    size: u64,
    flags: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved that r1 is a map of the program, and r2 readable for r3 bytes.
    let done = unsafe { (*(map as *const Map)).ringbuf_output(data as *const u8, size, flags, (*ctx).slot) };
    done.map_or_else(|e| e.to_ret(), |()| 0)
}

unsafe extern "C" fn ringbuf_reserve(map: u64, size: u64, flags: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    if flags != 0 {
        return 0;
    }
    // SAFETY: the verifier proved that r1 is a map of the program.
    unsafe { (*(map as *const Map)).ringbuf_reserve(size, (*ctx).slot) as u64 }
}

/// Ends a reservation; of a ring that the program does not name, an inner map, all readers are told.
///
/// # Safety
/// `bytes` is a reservation that did not end yet, `ctx` a context of a worker.
unsafe fn end_record(bytes: u64, how: Commit, flags: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the caller's word.
    let told = unsafe { commit(bytes as *mut u8, how, flags, maps_of(&*ctx).iter().map(|m| &**m)) };
    // SAFETY: null, or the environment of the worker whose context it is.
    if let Some(env) = unsafe { (*ctx).env.as_ref() }
        && !told
    {
        env.wakes.ring_all();
    }
    0
}

unsafe extern "C" fn ringbuf_submit(bytes: u64, flags: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is a reservation that did not end yet.
    unsafe { end_record(bytes, Commit::Submit, flags, ctx) }
}

unsafe extern "C" fn ringbuf_discard(bytes: u64, flags: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `ringbuf_submit`.
    unsafe { end_record(bytes, Commit::Discard, flags, ctx) }
}

unsafe extern "C" fn submit_dynptr(at: u64, flags: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is a handle of a reservation that did not end yet; it may have failed.
    unsafe { dynptr::take_record(at).map_or(0, |bytes| ringbuf_submit(bytes as u64, flags, 0, 0, 0, ctx)) }
}

unsafe extern "C" fn discard_dynptr(at: u64, flags: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `submit_dynptr`.
    unsafe { dynptr::take_record(at).map_or(0, |bytes| ringbuf_discard(bytes as u64, flags, 0, 0, 0, ctx)) }
}

unsafe extern "C" fn ringbuf_query(map: u64, what: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is a map of the program.
    unsafe { (*(map as *const Map)).ringbuf_query(what) }
}
