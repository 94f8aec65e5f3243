//! Records for readers outside: ring buffers and perf event arrays.

use super::{Access, ArgType, Callback, DynptrKind, DynptrUse, Helper, Proto, RetType};
use crate::maps::MapType;

const RINGBUF: &[MapType] = &[MapType::Ringbuf];
const READ: ArgType = ArgType::Mem { access: Access::Read, nullable: false };

pub(super) const PERF_EVENT_OUTPUT: Helper = Helper::known(
    25,
    "bpf_perf_event_output",
    Proto::new(
        &[ArgType::Ctx, ArgType::ConstMapPtr, ArgType::Anything, READ, ArgType::ConstSizeOrZero],
        RetType::Integer,
    )
    .on(&[MapType::PerfEventArray]),
);

pub(super) const RINGBUF_OUTPUT: Helper = Helper::known(
    130,
    "bpf_ringbuf_output",
    Proto::new(&[ArgType::ConstMapPtr, READ, ArgType::ConstSizeOrZero, ArgType::Anything], RetType::Integer)
        .on(RINGBUF),
);

pub(super) const RINGBUF_RESERVE: Helper = Helper::known(
    131,
    "bpf_ringbuf_reserve",
    Proto::new(&[ArgType::ConstMapPtr, ArgType::AllocSize, ArgType::Anything], RetType::RingbufMemOrNull)
        .on(RINGBUF),
);

pub(super) const RINGBUF_SUBMIT: Helper = Helper::known(
    132,
    "bpf_ringbuf_submit",
    Proto::new(&[ArgType::RingbufMem, ArgType::Anything], RetType::Void),
);

pub(super) const RINGBUF_DISCARD: Helper = Helper::known(
    133,
    "bpf_ringbuf_discard",
    Proto::new(&[ArgType::RingbufMem, ArgType::Anything], RetType::Void),
);

pub(super) const RINGBUF_QUERY: Helper = Helper::known(
    134,
    "bpf_ringbuf_query",
    Proto::new(&[ArgType::ConstMapPtr, ArgType::Anything], RetType::Integer).on(RINGBUF),
);

pub(super) const RINGBUF_RESERVE_DYNPTR: Helper = Helper::known(
    198,
    "bpf_ringbuf_reserve_dynptr",
    Proto::new(
        &[
            ArgType::ConstMapPtr,
            ArgType::Anything,
            ArgType::Anything,
            ArgType::Dynptr(DynptrUse::New(DynptrKind::Ringbuf)),
        ],
        RetType::Integer,
    )
    .on(RINGBUF),
);

const RELEASE: &[ArgType] = &[ArgType::Dynptr(DynptrUse::Release), ArgType::Anything];

pub(super) const RINGBUF_SUBMIT_DYNPTR: Helper =
    Helper::known(199, "bpf_ringbuf_submit_dynptr", Proto::new(RELEASE, RetType::Void));

pub(super) const RINGBUF_DISCARD_DYNPTR: Helper =
    Helper::known(200, "bpf_ringbuf_discard_dynptr", Proto::new(RELEASE, RetType::Void));

pub(super) const USER_RINGBUF_DRAIN: Helper = Helper::known(
    209,
    "bpf_user_ringbuf_drain",
    Proto::new(
        &[ArgType::ConstMapPtr, ArgType::Func, ArgType::StackOrNull, ArgType::Anything],
        RetType::Integer,
    )
    .on(&[MapType::UserRingbuf])
    .calling(Callback::Drain),
);
