//! Where a packet goes: redirects, route and MTU questions.

use super::{Access, ArgType, Helper, Proto, RetType};
use crate::maps::MapType;

/// What `bpf_redirect_map` takes.
const TARGETS: &[MapType] = &[MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap];

pub(super) const REDIRECT: Helper =
    Helper::known(23, "bpf_redirect", Proto::new(&[ArgType::Anything, ArgType::Anything], RetType::Integer));

pub(super) const REDIRECT_MAP: Helper = Helper::known(
    51,
    "bpf_redirect_map",
    Proto::new(&[ArgType::ConstMapPtr, ArgType::Anything, ArgType::Anything], RetType::Integer).on(TARGETS),
);

pub(super) const FIB_LOOKUP: Helper = Helper::known(
    69,
    "bpf_fib_lookup",
    Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Mem { access: Access::Modify, nullable: false },
            ArgType::ConstSize,
            ArgType::Anything,
        ],
        RetType::Integer,
    )
    .taking_packet(),
);

pub(super) const CHECK_MTU: Helper = Helper::known(
    163,
    "bpf_check_mtu",
    Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Anything,
            ArgType::FixedMem { access: Access::Modify, size: 4, aligned: true },
            ArgType::Anything,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
);
