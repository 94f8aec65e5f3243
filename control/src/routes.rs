//! What the kernel knows of the network, by rtnetlink: interfaces, addresses, routes and neighbours, as tables for `bpf_fib_lookup`.
//!
//! A [`Reader`] asks for all of it at a time; a [`Changes`] tells when it is time to ask again. No message is believed further than its bytes go: what is cut short is
//! as if it were not there. Source: rtnetlink(7) and the kernel's `include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`, `neighbour.h`, `fib_rules.h`.

mod message;

use message::{Message, messages};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;
use std::net::IpAddr;
use uxdp_core::error::Errno;
use uxdp_core::net::{DEFAULT, Fib, LOCAL, Link, MAIN, NextHop, Prefix, Route, RouteKind};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const RTM_NEWRULE: u16 = 32;
/// From a message that tells to the one that asks for it.
const GET: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// Of an answer: something changed meanwhile.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Bytes of the longest request's head: `struct ifinfomsg`.
const REQUEST_BODY: usize = 16;
/// The kernel's answers are shorter.
const ANSWER: usize = 1 << 16;
/// How often an answer that changed meanwhile is asked for again.
const TRIES: u32 = 8;

/// Asks the kernel.
pub struct Reader {
    socket: Socket,
    seq: u32,
}

impl Reader {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    /// The system's, where it has no such sockets.
    pub fn open() -> io::Result<Reader> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        Ok(Reader { socket, seq: 0 })
    }

    /// The number of the interface with that name.
    ///
    /// # Errors
    /// `NotFound`, or what the kernel says.
    pub fn index_of(&mut self, name: &str) -> io::Result<u32> {
        let mut found = None;
        self.dump(RTM_NEWLINK, &mut |m| {
            if m.attrs(16).text(3) == Some(name) {
                found = m.u32(4);
            }
            Ok(())
        })?;
        found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no interface \"{name}\""))
        })
    }

    /// All that there is. `number` gives each of the kernel's interfaces the number that programs see, which is not 0.
    ///
    /// # Errors
    /// What the kernel says, `Interrupted` where the network changes faster than it can be read; `OutOfMemory`.
    pub fn read(&mut self, number: &dyn Fn(u32) -> u32) -> io::Result<Fib> {
        for _ in 0..TRIES {
            let mut fib = Fib::new();
            let put = &mut |m: &Message<'_>| match m.kind {
                RTM_NEWLINK => link(m, number).map_or(Ok(()), |link| fib.set_link(link)),
                RTM_NEWADDR => address(m).map_or(Ok(()), |(i, prefix)| fib.set_address(number(i), prefix)),
                RTM_NEWROUTE => route(m, number).map_or(Ok(()), |route| fib.set_route(&route)),
                _ => neighbour(m).map_or(Ok(()), |(i, ip, mac)| fib.set_neighbour(number(i), ip, mac)),
            };
            let mut whole = true;
            for kind in [RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH] {
                whole &= self.dump(kind, put)?;
            }
            if whole {
                return Ok(fib);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// Rules that choose a table (`ip rule`), those aside that every system has: lookups ask the local, main and default tables in their order, and know nothing of others.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn policy_rules(&mut self) -> io::Result<usize> {
        let mut others = 0;
        self.dump(RTM_NEWRULE, &mut |m| {
            // Of IPv4 and IPv6: multicast routing has rules of its own.
            others += usize::from(matches!(m.u8(0), Some(2 | 10)) && !is_standard_rule(m));
            Ok(())
        })?;
        Ok(others)
    }

    /// Calls `each` with every message of a kind; whether nothing changed meanwhile. What a message makes wrong is left out; memory that is short ends it.
    fn dump(
        &mut self,
        kind: u16,
        each: &mut dyn FnMut(&Message<'_>) -> Result<(), Errno>,
    ) -> io::Result<bool> {
        self.seq = self.seq.wrapping_add(1);
        let mut request = Vec::with_capacity(16 + REQUEST_BODY);
        request.extend((16 + REQUEST_BODY as u32).to_ne_bytes());
        request.extend((kind + GET).to_ne_bytes());
        request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        request.extend(self.seq.to_ne_bytes());
        request.resize(16 + REQUEST_BODY, 0);
        self.socket.send(&request, 0)?;
        let mut whole = true;
        loop {
            let mut answer = Vec::with_capacity(ANSWER);
            self.socket.recv(&mut answer, 0)?;
            for m in messages(&answer).filter(|m| m.seq == self.seq) {
                whole &= m.flags & NLM_F_DUMP_INTR == 0;
                match m.kind {
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => {
                        let errno = m.u32(0).map_or(0, |e| (e as i32).wrapping_neg());
                        return Err(io::Error::from_raw_os_error(errno));
                    }
                    told if told == kind && each(&m) == Err(Errno::ENOMEM) => {
                        return Err(io::ErrorKind::OutOfMemory.into());
                    }
                    _ => (),
                }
            }
        }
    }
}

/// Tells when something changed.
pub struct Changes(Socket);

impl Changes {
    /// From now on, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The system's, where it has no such sockets.
    pub fn listen() -> io::Result<Changes> {
        /// Links, neighbours, addresses and routes of both families, and whether interfaces forward (`RTNLGRP_*`, from 1).
        const GROUPS: [u32; 8] = [1, 3, 5, 7, 9, 11, 24, 25];
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, GROUPS.iter().map(|g| 1 << (g - 1)).sum()))?;
        Ok(Changes(socket))
    }

    /// Waits for a change.
    ///
    /// # Errors
    /// The system's. Changes that came too fast to be told one by one are a change.
    pub fn wait(&self) -> io::Result<()> {
        const ENOBUFS: i32 = 105;
        match self.0.recv(&mut Vec::with_capacity(ANSWER), 0) {
            Err(e) if e.raw_os_error() != Some(ENOBUFS) => Err(e),
            _ => Ok(()),
        }
    }
}

/// Whether a rule is one of those that Linux begins with: everything goes to a table at the place where it stands.
fn is_standard_rule(m: &Message<'_>) -> bool {
    const FR_ACT_TO_TBL: u8 = 1;
    let attrs = m.attrs(12);
    let place = (attrs.u32(6).unwrap_or(0), attrs.u32(15).or(m.u8(4).map(u32::from)));
    let selects_nothing = [1, 2, 3].iter().all(|at| m.u8(*at) == Some(0))
        && [3, 10, 17].iter().all(|a| attrs.get(*a).is_none());
    m.u8(7) == Some(FR_ACT_TO_TBL)
        && selects_nothing
        && matches!(place, (0, Some(LOCAL)) | (32766, Some(MAIN)) | (32767, Some(DEFAULT)))
}

fn link(m: &Message<'_>, number: &dyn Fn(u32) -> u32) -> Option<Link> {
    const ARPHRD_ETHER: u16 = 1;
    let attrs = m.attrs(16);
    let families = attrs.nested(26);
    // The first entry of either list of settings.
    let forwards = |family, list| {
        let first = families.nested(family).get(list).and_then(|settings| settings.first_chunk::<4>());
        first.is_some_and(|on| u32::from_ne_bytes(*on) != 0)
    };
    Some(Link {
        ifindex: number(m.u32(4)?),
        mtu: attrs.u32(4)?,
        header_len: if m.u16(2)? == ARPHRD_ETHER { 14 } else { 0 },
        address: attrs.get(1).and_then(|a| a.try_into().ok()).unwrap_or_default(),
        forwards_v4: forwards(2, 1),
        forwards_v6: forwards(10, 2),
    })
}

fn address(m: &Message<'_>) -> Option<(u32, Prefix)> {
    let attrs = m.attrs(8);
    let own = attrs.ip(2).or_else(|| attrs.ip(1))?;
    Some((m.u32(4)?, Prefix { address: own, len: m.u8(1)? }))
}

fn neighbour(m: &Message<'_>) -> Option<(u32, IpAddr, [u8; 6])> {
    /// Reachable, stale, delay, probe, noarp, permanent.
    const NUD_VALID: u16 = 0xde;
    let attrs = m.attrs(12);
    let usable = m.u16(8)? & NUD_VALID != 0;
    let mac = attrs.get(2)?.try_into().ok()?;
    usable.then_some((m.u32(4)?, attrs.ip(1)?, mac))
}

fn route(m: &Message<'_>, number: &dyn Fn(u32) -> u32) -> Option<Route> {
    const RTM_F_CLONED: u32 = 0x200;
    const RTAX_MTU: u16 = 2;
    let attrs = m.attrs(12);
    // A cached copy, or one that asks for the source, which programs' lookups know nothing of.
    if m.u32(8)? & RTM_F_CLONED != 0 || m.u8(2)? != 0 {
        return None;
    }
    let kind = match m.u8(7)? {
        1 => RouteKind::Unicast,
        2..=5 => RouteKind::Local,
        6 => RouteKind::Blackhole,
        7 => RouteKind::Unreachable,
        8 => RouteKind::Prohibit,
        9 => RouteKind::Throw,
        _ => return None,
    };
    let any: IpAddr = if m.u8(0)? == 2 { [0u8; 4].into() } else { [0u8; 16].into() };
    let prefix = Prefix { address: attrs.ip(1).unwrap_or(any), len: m.u8(1)? };
    let table = attrs.u32(15).or(m.u8(4).map(u32::from))?;
    let mut route = Route::of_kind(kind, table, prefix);
    route.metric = attrs.u32(6).unwrap_or(0);
    route.tos = m.u8(3)?;
    route.source = attrs.ip(7);
    let metrics = attrs.nested(8);
    if metrics.u32(1).is_some_and(|locked| locked & 1 << RTAX_MTU != 0) {
        route.mtu = metrics.u32(RTAX_MTU).unwrap_or(0);
    }
    let alone = || Some((attrs.u32(4)?, m.u32(8)?, 1, attrs));
    for (ifindex, flags, weight, attrs) in alone().into_iter().chain(attrs.hops(9)) {
        const RTNH_F_DEAD: u32 = 1;
        let gateway = attrs.ip(5).or_else(|| attrs.get(18)?.get(2..).and_then(message::ip));
        let encapsulates = attrs.get(21).is_some();
        let hop = NextHop { ifindex: number(ifindex), gateway, weight, encapsulates };
        // Ways beyond the most that a route can have are left out.
        if flags & RTNH_F_DEAD == 0 && route.next_hops.push(hop).is_err() {
            break;
        }
    }
    Some(route)
}
