//! SYN cookies without a socket.

use super::{Access, ArgType, Helper, Proto, RetType};

const fn header(size: u32) -> ArgType {
    ArgType::FixedMem { access: Access::Read, size, aligned: false }
}

/// Bytes of `struct iphdr`, `struct ipv6hdr`, `struct tcphdr`.
const IPV4: u32 = 20;
const IPV6: u32 = 40;
const TCP: u32 = 20;

const TCP_OPTIONS: ArgType = ArgType::Mem { access: Access::Read, nullable: false };

pub(super) const GEN_IPV4: Helper = Helper::known(
    204,
    "bpf_tcp_raw_gen_syncookie_ipv4",
    Proto::new(&[header(IPV4), TCP_OPTIONS, ArgType::ConstSizeOrZero], RetType::Integer).taking_packet(),
);

pub(super) const GEN_IPV6: Helper = Helper::known(
    205,
    "bpf_tcp_raw_gen_syncookie_ipv6",
    Proto::new(&[header(IPV6), TCP_OPTIONS, ArgType::ConstSizeOrZero], RetType::Integer).taking_packet(),
);

pub(super) const CHECK_IPV4: Helper = Helper::known(
    206,
    "bpf_tcp_raw_check_syncookie_ipv4",
    Proto::new(&[header(IPV4), header(TCP)], RetType::Integer).taking_packet(),
);

pub(super) const CHECK_IPV6: Helper = Helper::known(
    207,
    "bpf_tcp_raw_check_syncookie_ipv6",
    Proto::new(&[header(IPV6), header(TCP)], RetType::Integer).taking_packet(),
);
