//! Route and MTU questions, answered from what the host publishes ([`crate::net`]).
//!
//! Source: the kernel's `net/core/filter.c` (`bpf_xdp_fib_lookup`, `bpf_xdp_check_mtu`). There are no policy rules here: a mark is accepted and decides nothing.

use super::{Access, ArgType, Helper, Proto, RetType};
use crate::error::Errno;
use crate::net::{Found, Query, Refused, RouteKind, Tables};
use crate::vm::Ctx;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const FIB_LOOKUP: Helper = Helper {
    id: 69,
    name: "bpf_fib_lookup",
    proto: Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Mem { access: Access::Modify, nullable: false },
            ArgType::ConstSize,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
    func: Some(fib_lookup),
};

pub(super) const CHECK_MTU: Helper = Helper {
    id: 163,
    name: "bpf_check_mtu",
    proto: Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Anything,
            ArgType::FixedMem { access: Access::Modify, size: 4, aligned: true },
            ArgType::Anything,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
    func: Some(check_mtu),
};

/// `struct bpf_fib_lookup`, with the names of its inner unions' members that are used.
#[repr(C)]
#[derive(Clone, Copy)]
struct Params {
    family: u8,
    l4_protocol: u8,
    sport: u16,
    dport: u16,
    /// In: the packet's length or 0. Out: the route's MTU.
    tot_len: u16,
    /// In: where it came in (or goes out). Out: where it goes.
    ifindex: u32,
    /// In: type of service (its first byte) or flow label. Out: the route's metric.
    tos: u32,
    src: [u8; 16],
    dst: [u8; 16],
    /// In: the table. Out: VLAN protocol and tag, always 0.
    tbid: u32,
    smac: [u8; 6],
    dmac: [u8; 6],
}

const _: () = assert!(size_of::<Params>() == 64);

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const DIRECT: u64 = 1;
const OUTPUT: u64 = 2;
const SKIP_NEIGH: u64 = 4;
const TBID: u64 = 8;
const SRC: u64 = 16;
const MARK: u64 = 32;

/// Why a packet is not to be forwarded by the program (`BPF_FIB_LKUP_RET_*`).
#[derive(Clone, Copy)]
enum Ret {
    Success = 0,
    Blackhole = 1,
    Unreachable = 2,
    Prohibit = 3,
    NotFwded = 4,
    FwdDisabled = 5,
    UnsuppLwt = 6,
    NoNeigh = 7,
    FragNeeded = 8,
    NoSrcAddr = 9,
}

impl Params {
    fn address(self, bytes: [u8; 16]) -> IpAddr {
        let [a, b, c, d, ..] = bytes;
        if self.family == AF_INET { [a, b, c, d].into() } else { bytes.into() }
    }

    /// Puts an address where one stands; one of IPv4 takes the first four bytes.
    fn put(place: &mut [u8; 16], address: IpAddr) {
        match address {
            IpAddr::V4(a) => place.iter_mut().zip(a.octets()).for_each(|(p, b)| *p = b),
            IpAddr::V6(a) => *place = a.octets(),
        }
    }
}

unsafe extern "C" fn fib_lookup(_: u64, at: u64, size: u64, flags: u64, _: u64, ctx: *mut Ctx) -> u64 {
    let flags = u64::from(flags as u32);
    let size = size as u32 as i32;
    if size < size_of::<Params>() as i32 || flags & !(DIRECT | OUTPUT | SKIP_NEIGH | TBID | SRC | MARK) != 0 {
        return Errno::EINVAL.to_ret();
    }
    // SAFETY: the verifier proved r3 readable and writable bytes at r2, at least as many as were just tested; the context is the run's.
    unsafe {
        let at = at as *mut Params;
        let mut params = at.read_unaligned();
        if params.family != AF_INET && params.family != AF_INET6 {
            return Errno::EAFNOSUPPORT.to_ret();
        }
        let Some(tables) = (*ctx).env.as_ref().and_then(|e| e.network()) else {
            return Errno::ENODEV.to_ret();
        };
        let done = lookup(tables, &mut params, flags);
        at.write_unaligned(params);
        done.map_or_else(Errno::to_ret, |ret| ret as u64)
    }
}

/// Whether an address is only for its own link: such packets are never forwarded (`rt6_need_strict`).
fn is_strict(address: Ipv6Addr) -> bool {
    address.is_multicast() || address.is_unicast_link_local() || address.is_loopback()
}

/// Answers in `params`; what it says when there is no way stays as far as it got, as the kernel leaves it.
fn lookup(tables: &Tables, params: &mut Params, flags: u64) -> Result<Ret, Errno> {
    let (source, destination) = (params.address(params.src), params.address(params.dst));
    if let (IpAddr::V6(s), IpAddr::V6(d)) = (source, destination)
        && (is_strict(s) || is_strict(d))
    {
        return Ok(Ret::NotFwded);
    }
    let is_v4 = params.family == AF_INET;
    let link = tables.link(params.ifindex).ok_or(Errno::ENODEV)?;
    if !(if is_v4 { link.forwards_v4 } else { link.forwards_v6 }) {
        return Ok(Ret::FwdDisabled);
    }
    let table = match flags & (DIRECT | TBID) {
        DIRECT => Some(crate::net::MAIN),
        n if n == DIRECT | TBID => Some(core::mem::take(&mut params.tbid)),
        _ => None,
    };
    let (input, output) = if flags & OUTPUT != 0 { (1, params.ifindex) } else { (params.ifindex, 0) };
    let query = Query { destination, source, tos: params.tos as u8, table, input, output };
    let found = match tables.route(&query) {
        Ok(found) => found,
        Err(Refused::Kind(RouteKind::Blackhole)) => return Ok(Ret::Blackhole),
        Err(Refused::Kind(RouteKind::Unreachable)) => return Ok(Ret::Unreachable),
        Err(Refused::Kind(RouteKind::Prohibit)) => return Ok(Ret::Prohibit),
        Err(_) => return Ok(Ret::NotFwded),
    };
    let mtu = mtu_of(&found, is_v4);
    if u32::from(params.tot_len) > mtu {
        params.tot_len = mtu as u16;
        return Ok(Ret::FragNeeded);
    }
    if found.hop.encapsulates {
        return Ok(Ret::UnsuppLwt);
    }
    fill(tables, params, flags, &found, destination, mtu)
}

fn mtu_of(found: &Found<'_>, is_v4: bool) -> u32 {
    let own = if found.route.mtu != 0 { found.route.mtu } else { found.link.mtu };
    // IP_MAX_MTU; IP6_MAX_MTU is its header more, and no length here says it.
    if is_v4 { own.min(0xffff) } else { own.min(0xffff + 40) }
}

fn fill(
    tables: &Tables,
    params: &mut Params,
    flags: u64,
    found: &Found<'_>,
    destination: IpAddr,
    mtu: u32,
) -> Result<Ret, Errno> {
    let is_v4 = params.family == AF_INET;
    let next = found.hop.gateway.unwrap_or(destination);
    if !is_v4 {
        Params::put(&mut params.dst, next);
    }
    params.tos = found.route.metric;
    params.ifindex = found.link.ifindex;
    if flags & SRC != 0 {
        match tables.source(found, destination) {
            Some(source) => Params::put(&mut params.src, source),
            None if is_v4 => Params::put(&mut params.src, Ipv4Addr::UNSPECIFIED.into()),
            None => return Ok(Ret::NoSrcAddr),
        }
    }
    if is_v4 {
        if next.is_ipv6() {
            params.family = AF_INET6;
        }
        Params::put(&mut params.dst, next);
    }
    if flags & SKIP_NEIGH == 0 {
        let Some(address) = tables.neighbour(found.link.ifindex, next) else { return Ok(Ret::NoNeigh) };
        (params.dmac, params.smac) = (address, found.link.address);
    }
    params.tbid = 0;
    if mtu != 0 {
        params.tot_len = mtu as u16;
    }
    Ok(Ret::Success)
}

/// Whether the packet, changed in length by r4, fits an interface: 0, or `BPF_MTU_CHK_RET_FRAG_NEEDED`. The interface's MTU is the answer at r3.
unsafe extern "C" fn check_mtu(
    _: u64,
    ifindex: u64,
    mtu: u64,
    difference: u64,
    flags: u64,
    ctx: *mut Ctx,
) -> u64 {
    if flags != 0 {
        return Errno::EINVAL.to_ret();
    }
    // SAFETY: the context is the run's; the verifier proved an aligned number at r3.
    unsafe {
        let c = &*ctx;
        let ifindex = if ifindex as u32 == 0 { c.ingress_ifindex } else { ifindex as u32 };
        let network = c.env.as_ref().and_then(|e| e.network());
        let Some(link) = network.and_then(|t| t.link(ifindex)) else { return Errno::ENODEV.to_ret() };
        let mtu = mtu as *mut u32;
        let header = link.header_len as i32;
        // A length in L3's terms, or the first buffer's.
        let len = match mtu.read() {
            0 => (c.data_end.addr() - c.data.addr()) as i32,
            given => (given as i32).wrapping_add(header),
        };
        let too_long = len.wrapping_add(difference as i32) > (link.mtu as i32).wrapping_add(header);
        mtu.write(link.mtu);
        u64::from(too_long)
    }
}
