//! Links, routes and neighbours that a host publishes for programs (`bpf_fib_lookup`, `bpf_check_mtu`).

use crate::env::resolve;
use crate::handle::{free_raw, into_raw};
use crate::opts;
use crate::status::{Failed, arg, fail, out, status};
use crate::uxdp_env;
use core::ffi::c_int;
use core::net::IpAddr;
use uxdp_core::error::Errno;
use uxdp_core::net::{Fib, Link, NextHop, Prefix, Route, RouteKind};

/// Links, routes and neighbours of a host, to be published. Changing it changes nothing that programs see.
pub struct uxdp_fib {
    fib: spin::Mutex<Fib>,
}

/// What becomes of packets to a prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_route_kind {
    /// They are forwarded.
    UXDP_ROUTE_UNICAST = 0,
    /// They are the host's, or for everybody on the link: not forwarded.
    UXDP_ROUTE_LOCAL = 1,
    /// They vanish.
    UXDP_ROUTE_BLACKHOLE = 2,
    /// They are refused: there is no way.
    UXDP_ROUTE_UNREACHABLE = 3,
    /// They are refused: it is forbidden.
    UXDP_ROUTE_PROHIBIT = 4,
    /// The next table is asked.
    UXDP_ROUTE_THROW = 5,
}

/// The table of ordinary routes (`RT_TABLE_MAIN`).
pub const UXDP_TABLE_MAIN: u32 = 254;

/// An address: IPv4 in the first four bytes, network byte order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_ip {
    /// 4 or 6; 0: none.
    pub family: u8,
    /// Bits that count, where it is a prefix.
    pub prefix_len: u8,
    /// 0.
    pub reserved: [u8; 2],
    /// The address.
    pub bytes: [u8; 16],
}

/// An interface. Declare one with `UXDP_STRUCT(uxdp_link, link, .ifindex = 1, .mtu = 1500, ...)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_link {
    /// `sizeof(struct uxdp_link)`.
    pub sz: usize,
    /// Its number, not 0.
    pub ifindex: u32,
    /// Bytes of its largest packet, without link header.
    pub mtu: u32,
    /// Bytes of its link header: 14 for Ethernet.
    pub header_len: u32,
    /// Its own address.
    pub address: [u8; 6],
    /// 1: IPv4 packets that come in here are forwarded.
    pub forwards_v4: u8,
    /// 1: IPv6 packets are.
    pub forwards_v6: u8,
    /// 0.
    pub reserved: u32,
}

/// One way of a route.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_next_hop {
    /// The interface.
    pub ifindex: u32,
    /// Its part among several; 0: as 1.
    pub weight: u16,
    /// 1: packets are encapsulated on the way, which programs cannot do.
    pub encapsulates: u8,
    /// 0.
    pub reserved: u8,
    /// Who takes the packet there; no family: its destination itself.
    pub gateway: uxdp_ip,
}

/// A route. Declare one with `UXDP_STRUCT(uxdp_route, route, .table = UXDP_TABLE_MAIN, ...)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_route {
    /// `sizeof(struct uxdp_route)`.
    pub sz: usize,
    /// Where it leads.
    pub prefix: uxdp_ip,
    /// The source address that packets of the host take; no family: one of the link's.
    pub source: uxdp_ip,
    /// The table that it is in.
    pub table: u32,
    /// One of `enum uxdp_route_kind`.
    pub kind: u32,
    /// Among routes to one prefix the lowest is taken.
    pub metric: u32,
    /// Bytes of the largest packet; 0: the link's. Of Linux's routes only a locked one is to be given.
    pub mtu: u32,
    /// IPv4: only packets of this type of service take it; 0: all.
    pub tos: u32,
    /// How many ways; at least one for unicast, at most 16.
    pub nr_hops: u32,
    /// The ways. Used during the call only.
    pub hops: *const uxdp_next_hop,
}

/// A host's route from C's.
///
/// # Safety
/// `hops` are `nr_hops` structs.
unsafe fn route_of(r: &uxdp_route) -> Result<Route, Failed> {
    let kind = match r.kind {
        0 => RouteKind::Unicast,
        1 => RouteKind::Local,
        2 => RouteKind::Blackhole,
        3 => RouteKind::Unreachable,
        4 => RouteKind::Prohibit,
        5 => RouteKind::Throw,
        _ => return Err(fail(Errno::EINVAL, format_args!("kind is not one of enum uxdp_route_kind"))),
    };
    let mut route = Route::of_kind(kind, r.table, prefix(&r.prefix)?);
    (route.metric, route.mtu, route.source) = (r.metric, r.mtu, address(&r.source)?);
    route.tos = u8::try_from(r.tos).map_err(|_| fail(Errno::EINVAL, format_args!("tos is above 255")))?;
    if r.nr_hops != 0 {
        // SAFETY: the caller's word.
        let hops = unsafe { core::slice::from_raw_parts(arg(r.hops, "hops")?, r.nr_hops as usize) };
        for h in hops {
            let hop = NextHop {
                ifindex: h.ifindex,
                gateway: address(&h.gateway)?,
                weight: h.weight.max(1),
                encapsulates: h.encapsulates != 0,
            };
            let full = || fail(Errno::EINVAL, format_args!("a route has at most 16 ways"));
            route.next_hops.push(hop).map_err(|_| full())?;
        }
    }
    Ok(route)
}

fn address(ip: &uxdp_ip) -> Result<Option<IpAddr>, Failed> {
    let [a, b, c, d, ..] = ip.bytes;
    match ip.family {
        0 => Ok(None),
        4 => Ok(Some([a, b, c, d].into())),
        6 => Ok(Some(ip.bytes.into())),
        f => Err(fail(Errno::EINVAL, format_args!("an address has family {f}; it is 4 or 6"))),
    }
}

fn given(ip: &uxdp_ip) -> Result<IpAddr, Failed> {
    address(ip)?.ok_or_else(|| fail(Errno::EINVAL, format_args!("an address has no family")))
}

fn prefix(ip: &uxdp_ip) -> Result<Prefix, Failed> {
    Ok(Prefix { address: given(ip)?, len: ip.prefix_len })
}

/// Makes an empty set of links, routes and neighbours.
///
/// `*out` is the caller's until uxdp_fib_free. Any thread. 0, -EINVAL for NULL, -ENOMEM.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_create(out: *mut *mut uxdp_fib) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let out = unsafe { self::out(out)? };
        *out = into_raw(uxdp_fib { fib: spin::Mutex::new(Fib::new()) })?;
        Ok(())
    })
}

/// Frees a set; NULL is allowed. What was published of it stays.
///
/// Takes `fib`. Any thread. Cannot fail.
///
/// # Safety
/// `fib` came from uxdp_fib_create and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_free(fib: *mut uxdp_fib) {
    // SAFETY: the caller's word.
    unsafe { free_raw(fib) };
}

/// Changes a set under its lock.
///
/// # Safety
/// `fib` is NULL or a handle.
unsafe fn change(fib: *const uxdp_fib, change: impl FnOnce(&mut Fib) -> Result<(), Failed>) -> c_int {
    // SAFETY: the caller's word.
    status(|| change(&mut unsafe { arg(fib, "fib")? }.fib.lock()))
}

/// Adds an interface, in place of one with its number.
///
/// Both stay the caller's; the link is copied. Any thread. 0, -EINVAL for NULL or number 0, -E2BIG for fields that this version does not know, -ENOMEM.
///
/// # Safety
/// `fib` is NULL or a handle; `link` is NULL or points at `link->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_set_link(fib: *mut uxdp_fib, link: *const uxdp_link) -> c_int {
    // SAFETY: the caller's word.
    unsafe {
        change(fib, |fib| {
            let l = opts::read(arg(link, "link")?)?;
            let uxdp_link { ifindex, mtu, header_len, address, .. } = l;
            let (forwards_v4, forwards_v6) = (l.forwards_v4 != 0, l.forwards_v6 != 0);
            Ok(fib.set_link(Link { ifindex, mtu, header_len, address, forwards_v4, forwards_v6 })?)
        })
    }
}

/// Removes an interface.
///
/// `fib` stays the caller's. Any thread. 0, -EINVAL for NULL, -ENOENT.
///
/// # Safety
/// `fib` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_remove_link(fib: *mut uxdp_fib, ifindex: u32) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.remove_link(ifindex)?)) }
}

/// Gives an interface an address with its prefix, of which routes without a source take theirs.
///
/// Both stay the caller's. Any thread. 0, -EINVAL for NULL, a family or a length that there is not, -ENOMEM.
///
/// # Safety
/// `fib` is NULL or a handle; `ip` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_set_address(fib: *mut uxdp_fib, ifindex: u32, ip: *const uxdp_ip) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.set_address(ifindex, prefix(arg(ip, "ip")?)?)?)) }
}

/// Removes an address of an interface.
///
/// Both stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOENT.
///
/// # Safety
/// As uxdp_fib_set_address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_remove_address(
    fib: *mut uxdp_fib,
    ifindex: u32,
    ip: *const uxdp_ip,
) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.remove_address(ifindex, given(arg(ip, "ip")?)?)?)) }
}

/// Adds a route, in place of one of its table with its prefix, metric and type of service.
///
/// Both stay the caller's; the route is copied. Any thread. 0, -EINVAL for NULL and what is no route, -E2BIG for fields that this version does not know, -ENOMEM.
///
/// # Safety
/// `fib` is NULL or a handle; `route` is NULL or points at `route->sz` bytes, its `hops` at `nr_hops` structs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_set_route(fib: *mut uxdp_fib, route: *const uxdp_route) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.set_route(&route_of(&opts::read(arg(route, "route")?)?)?)?)) }
}

/// Removes the route with the table, prefix, metric and type of service of this one.
///
/// Both stay the caller's. Any thread. 0, -EINVAL for NULL and what is no route, -E2BIG, -ENOENT.
///
/// # Safety
/// As uxdp_fib_set_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_remove_route(fib: *mut uxdp_fib, route: *const uxdp_route) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.remove_route(&route_of(&opts::read(arg(route, "route")?)?)?)?)) }
}

/// Says who is at an address of a link: six bytes.
///
/// All stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOMEM.
///
/// # Safety
/// `fib` is NULL or a handle; `ip` is NULL or valid; `link_address` is NULL or has six bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_set_neighbour(
    fib: *mut uxdp_fib,
    ifindex: u32,
    ip: *const uxdp_ip,
    link_address: *const u8,
) -> c_int {
    // SAFETY: the caller's word.
    unsafe {
        change(fib, |fib| {
            let at = *arg(link_address.cast::<[u8; 6]>(), "link_address")?;
            Ok(fib.set_neighbour(ifindex, given(arg(ip, "ip")?)?, at)?)
        })
    }
}

/// Removes a neighbour.
///
/// Both stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOENT.
///
/// # Safety
/// `fib` is NULL or a handle; `ip` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_remove_neighbour(
    fib: *mut uxdp_fib,
    ifindex: u32,
    ip: *const uxdp_ip,
) -> c_int {
    // SAFETY: the caller's word.
    unsafe { change(fib, |fib| Ok(fib.remove_neighbour(ifindex, given(arg(ip, "ip")?)?)?)) }
}

/// Removes everything from a set.
///
/// `fib` stays the caller's. Any thread. 0 or -EINVAL for NULL.
///
/// # Safety
/// `fib` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_clear(fib: *mut uxdp_fib) -> c_int {
    // SAFETY: the caller's word.
    unsafe {
        change(fib, |fib| {
            fib.clear();
            Ok(())
        })
    }
}

/// Publishes a set to the programs of an environment, in place of what was published before: each lookup sees one or the other. Copies and sorts all of it.
/// Programs that look routes up can be loaded from the first time on.
///
/// Both stay the caller's; NULL is the default environment. Any thread, never waits for workers. 0, -EINVAL for NULL, -ENOMEM; what was published before stays
/// then.
///
/// # Safety
/// `fib` and `env` are NULL or handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_fib_publish(fib: *const uxdp_fib, env: *mut uxdp_env) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (fib, env) = unsafe { (arg(fib, "fib")?, resolve(env, 0)?) };
        let tables = fib.fib.lock().tables()?;
        Ok(env.set_network(tables)?)
    })
}
