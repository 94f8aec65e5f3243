//! What only the host knows of a packet or a connection: the descriptor's metadata, sockets, connection tracking.

use super::{Access, ArgType, Handle, Helper, KFUNC_BASE, Proto, RetType};

const READ: ArgType = ArgType::Mem { access: Access::Read, nullable: false };
const MODIFY: ArgType = ArgType::Mem { access: Access::Modify, nullable: false };

const fn out(size: u32) -> ArgType {
    ArgType::FixedMem { access: Access::Modify, size, aligned: false }
}

pub(super) const RX_HASH: Helper = Helper::known(
    KFUNC_BASE,
    "bpf_xdp_metadata_rx_hash",
    Proto::new(&[ArgType::Ctx, out(4), out(4)], RetType::Integer).taking_packet(),
);

pub(super) const RX_TIMESTAMP: Helper = Helper::known(
    KFUNC_BASE + 1,
    "bpf_xdp_metadata_rx_timestamp",
    Proto::new(&[ArgType::Ctx, out(8)], RetType::Integer).taking_packet(),
);

pub(super) const RX_VLAN_TAG: Helper = Helper::known(
    KFUNC_BASE + 2,
    "bpf_xdp_metadata_rx_vlan_tag",
    Proto::new(&[ArgType::Ctx, out(2), out(2)], RetType::Integer).taking_packet(),
);

/// (context, tuple, its size, name space, flags).
const LOOKUP: &[ArgType] = &[ArgType::Ctx, READ, ArgType::ConstSize, ArgType::Anything, ArgType::Anything];

pub(super) const SK_LOOKUP_TCP: Helper = Helper::known(
    84,
    "bpf_sk_lookup_tcp",
    Proto::new(LOOKUP, RetType::HandleOrNull(Handle::Sock)).taking_packet(),
);

pub(super) const SK_LOOKUP_UDP: Helper = Helper::known(
    85,
    "bpf_sk_lookup_udp",
    Proto::new(LOOKUP, RetType::HandleOrNull(Handle::Sock)).taking_packet(),
);

pub(super) const SK_RELEASE: Helper = Helper::known(
    86,
    "bpf_sk_release",
    Proto::new(&[ArgType::Handle { handle: Handle::SockCommon, release: true }], RetType::Integer),
);

pub(super) const SKC_LOOKUP_TCP: Helper = Helper::known(
    99,
    "bpf_skc_lookup_tcp",
    Proto::new(LOOKUP, RetType::HandleOrNull(Handle::SockCommon)).taking_packet(),
);

/// (socket, IP header, its size, TCP header, its size).
const COOKIE: &[ArgType] = &[
    ArgType::Handle { handle: Handle::SockCommon, release: false },
    READ,
    ArgType::ConstSize,
    READ,
    ArgType::ConstSize,
];

pub(super) const TCP_CHECK_SYNCOOKIE: Helper =
    Helper::known(100, "bpf_tcp_check_syncookie", Proto::new(COOKIE, RetType::Integer).taking_packet());

pub(super) const TCP_GEN_SYNCOOKIE: Helper =
    Helper::known(110, "bpf_tcp_gen_syncookie", Proto::new(COOKIE, RetType::Integer).taking_packet());

/// (context, tuple, its size, options, their size).
const CT: &[ArgType] = &[ArgType::Ctx, MODIFY, ArgType::ConstSizeOrZero, MODIFY, ArgType::ConstSizeOrZero];

pub(super) const CT_ALLOC: Helper = Helper::known(
    KFUNC_BASE + 14,
    "bpf_xdp_ct_alloc",
    Proto::new(CT, RetType::HandleOrNull(Handle::NewConn)).taking_packet(),
);

pub(super) const CT_LOOKUP: Helper = Helper::known(
    KFUNC_BASE + 15,
    "bpf_xdp_ct_lookup",
    Proto::new(CT, RetType::HandleOrNull(Handle::Conn)).taking_packet(),
);

const NEW: ArgType = ArgType::Handle { handle: Handle::NewConn, release: false };
const CONN: ArgType = ArgType::Handle { handle: Handle::Conn, release: false };

pub(super) const CT_INSERT: Helper = Helper::known(
    KFUNC_BASE + 16,
    "bpf_ct_insert_entry",
    Proto::new(
        &[ArgType::Handle { handle: Handle::NewConn, release: true }],
        RetType::HandleOrNull(Handle::Conn),
    ),
);

pub(super) const CT_RELEASE: Helper = Helper::known(
    KFUNC_BASE + 17,
    "bpf_ct_release",
    Proto::new(&[ArgType::Handle { handle: Handle::Conn, release: true }], RetType::Void),
);

pub(super) const CT_SET_TIMEOUT: Helper =
    Helper::known(KFUNC_BASE + 18, "bpf_ct_set_timeout", Proto::new(&[NEW, ArgType::Scalar], RetType::Void));

pub(super) const CT_CHANGE_TIMEOUT: Helper = Helper::known(
    KFUNC_BASE + 19,
    "bpf_ct_change_timeout",
    Proto::new(&[CONN, ArgType::Scalar], RetType::Integer),
);

pub(super) const CT_SET_STATUS: Helper = Helper::known(
    KFUNC_BASE + 20,
    "bpf_ct_set_status",
    Proto::new(&[NEW, ArgType::Scalar], RetType::Integer),
);

pub(super) const CT_CHANGE_STATUS: Helper = Helper::known(
    KFUNC_BASE + 21,
    "bpf_ct_change_status",
    Proto::new(&[CONN, ArgType::Scalar], RetType::Integer),
);
