//! What is published: links, routes and neighbours in the form that lookups want, and the lookup itself.
//!
//! The rules are those of the kernel's `bpf_ipv4_fib_lookup` and `bpf_ipv6_fib_lookup` (`net/core/filter.c`), and of the lookups below them: the longest prefix first, then the
//! lowest metric; a route without a usable way gives way to a shorter one.

use super::intervals::{Intervals, NONE, Span};
use super::{DEFAULT, Fib, LOCAL, Link, MAIN, Neighbour, NextHop, Own, Route, RouteKind, Set, key};
use crate::mem::{OutOfMemory, Vec};
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv6Addr};

/// What is asked of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Where the packet goes.
    pub destination: IpAddr,
    /// Where it came from.
    pub source: IpAddr,
    /// IPv4: its type of service.
    pub tos: u8,
    /// The table to ask; none: all, in their order.
    pub table: Option<u32>,
    /// Where it came in.
    pub input: u32,
    /// Where it must go out; 0: anywhere.
    pub output: u32,
}

/// Why there is no way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no route that forwards.
    NotForwarded,
    /// There is one that swallows, rejects or forbids.
    Kind(RouteKind),
}

/// A way.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Route,
    /// Which of its ways.
    pub hop: NextHop,
    /// The interface of that.
    pub link: &'a Link,
}

/// Routes of one table and family.
#[derive(Debug)]
struct Table {
    id: u32,
    is_v4: bool,
    prefixes: Intervals,
}

/// Links, routes and neighbours that never change.
#[derive(Debug)]
pub struct Tables {
    /// By number.
    links: Vec<Link>,
    /// By table, family, prefix and precedence.
    routes: Vec<Route>,
    tables: Vec<Table>,
    neighbours: Set<Neighbour>,
    own: Vec<Own>,
}

/// The table that a route is looked up in: IPv4's local and main ones are one, as the kernel merges them.
fn merged(id: u32, is_v4: bool) -> u32 {
    if is_v4 && id == LOCAL { MAIN } else { id }
}

impl Tables {
    pub(super) fn of(fib: &Fib) -> Result<Tables, OutOfMemory> {
        let mut links = Vec::from_slice(&fib.links)?;
        links.sort_unstable_by_key(|l| l.ifindex);
        let mut routes = Vec::with_capacity(fib.routes.all().len())?;
        routes.extend(fib.routes.all().iter().cloned())?;
        let place = |r: &Route| {
            let (is_v4, (first, last)) = (r.prefix.address.is_ipv4(), r.prefix.span());
            (merged(r.table, is_v4), is_v4, first, Reverse(last))
        };
        routes.sort_unstable_by_key(|r| (place(r), Reverse(r.table), Reverse(r.tos), r.metric));
        let mut tables = Vec::new();
        let mut spans: Vec<Span> = Vec::new();
        for (i, route) in routes.iter().enumerate() {
            let (id, is_v4, first, Reverse(last)) = place(route);
            let before = i.checked_sub(1).map(|b| place(&routes[b]));
            let here = i as u32;
            match before {
                Some(b) if b == place(route) => {
                    if let Some(span) = spans.last_mut() {
                        span.items.1 = here + 1;
                    }
                    continue;
                }
                Some((t, v4, ..)) if (t, v4) != (id, is_v4) => {
                    let done = core::mem::take(&mut spans);
                    tables.push(Table { id: t, is_v4: v4, prefixes: Intervals::new(done)? })?;
                }
                _ => {}
            }
            spans.push(Span { first, last, parent: NONE, items: (here, here + 1) })?;
        }
        if let Some((id, is_v4, ..)) = routes.last().map(place) {
            tables.push(Table { id, is_v4, prefixes: Intervals::new(spans)? })?;
        }
        let own = Vec::from_slice(&fib.own)?;
        Ok(Tables { links, routes, tables, neighbours: fib.neighbours.try_clone()?, own })
    }

    /// An interface.
    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&ifindex, |l| l.ifindex).ok()?;
        self.links.get(at)
    }

    /// Who is at an address of a link.
    pub fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        let like = Neighbour { ifindex, address, link_address: [0; 6] };
        self.neighbours.find(&like).map(|n| n.link_address)
    }

    /// The way of a packet.
    ///
    /// # Errors
    /// Where there is none.
    pub fn route(&self, query: &Query) -> Result<Found<'_>, Refused> {
        let is_v4 = query.destination.is_ipv4();
        let all: &[u32] = if is_v4 { &[MAIN, DEFAULT] } else { &[LOCAL, MAIN] };
        let one = query.table.map(|t| [merged(t, is_v4)]);
        for id in one.as_ref().map_or(all, |t| t.as_slice()) {
            let Some(table) = self.tables.iter().find(|t| (t.id, t.is_v4) == (*id, is_v4)) else { continue };
            match self.in_table(table, query) {
                Some(Err(Refused::Kind(RouteKind::Throw))) | None => {}
                Some(answer) => return answer,
            }
        }
        Err(Refused::NotForwarded)
    }

    /// The answer of one table: none where it has no route that fits.
    fn in_table(&self, table: &Table, query: &Query) -> Option<Result<Found<'_>, Refused>> {
        let mut at = table.prefixes.longest(key(query.destination));
        while let Some(span) = table.prefixes.span(at) {
            let (start, end) = span.items;
            let routes = self.routes.get(start as usize..end as usize).unwrap_or_default();
            let answer = if table.is_v4 { self.first_v4(routes, query) } else { self.best_v6(routes, query) };
            if answer.is_some() {
                return answer;
            }
            at = span.parent;
        }
        None
    }

    /// IPv4: the first route that fits the type of service and the output.
    fn first_v4<'a>(&'a self, routes: &'a [Route], query: &Query) -> Option<Result<Found<'a>, Refused>> {
        let fits = |r: &&Route| r.tos == 0 || r.tos & 0xfc == query.tos & 0xfc;
        routes.iter().filter(fits).find_map(|r| self.answer(r, query))
    }

    /// IPv6: among routes of the lowest metric one by the interface that the packet came in or goes out by, else the first.
    fn best_v6<'a>(&'a self, routes: &'a [Route], query: &Query) -> Option<Result<Found<'a>, Refused>> {
        let wanted = if query.output != 0 { query.output } else { query.input };
        let lowest = routes.iter().find(|r| self.answer(r, query).is_some())?.metric;
        let usable = || routes.iter().filter(|r| r.metric == lowest);
        let here = |r: &&Route| r.next_hops.iter().any(|h| h.ifindex == wanted);
        let preferred = usable().filter(here).find_map(|r| self.answer(r, query));
        preferred.or_else(|| usable().find_map(|r| self.answer(r, query)))
    }

    fn answer<'a>(&'a self, route: &'a Route, query: &Query) -> Option<Result<Found<'a>, Refused>> {
        match route.kind {
            RouteKind::Unicast => {
                let hop = self.hop(route, query)?;
                Some(Ok(Found { route, hop, link: self.link(hop.ifindex)? }))
            }
            // One that is for another interface than the wanted output is none.
            RouteKind::Local if !route.next_hops.is_empty() => {
                self.hop(route, query).map(|_| Err(Refused::NotForwarded))
            }
            RouteKind::Local => Some(Err(Refused::NotForwarded)),
            kind => Some(Err(Refused::Kind(kind))),
        }
    }

    /// Which way of a route: the only one, the one by the wanted output, or one by the packet's addresses.
    ///
    /// Kernel: a keyed hash whose key nobody knows; uxdp: a fixed one, as even and as constant for a flow.
    fn hop(&self, route: &Route, query: &Query) -> Option<NextHop> {
        let mut usable = route.next_hops.iter().filter(|h| self.link(h.ifindex).is_some());
        if query.output != 0 {
            let way = usable.clone().find(|h| h.ifindex == query.output);
            // IPv6 takes any route where packets go out; the output is a preference there.
            let any = if query.destination.is_ipv4() { None } else { usable.next() };
            return way.or(any).copied();
        }
        let total: u64 = usable.clone().map(|h| u64::from(h.weight)).sum();
        let flow = key(query.source).rotate_left(64) ^ key(query.destination);
        let folded = ((flow >> 64) as u64 ^ flow as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut left = ((u128::from(folded) * u128::from(total)) >> 64) as u64;
        usable.find_map(|h| match left.checked_sub(u64::from(h.weight)) {
            Some(rest) => {
                left = rest;
                None
            }
            None => Some(*h),
        })
    }

    /// The address that packets of the host take on a way.
    pub fn source(&self, found: &Found<'_>, destination: IpAddr) -> Option<IpAddr> {
        if found.route.source.is_some() {
            return found.route.source;
        }
        match destination {
            IpAddr::V4(_) => self.source_v4(found.link.ifindex, found.hop.gateway),
            IpAddr::V6(to) => self.source_v6(found.link.ifindex, to),
        }
    }

    /// One in the gateway's subnet, else the link's first; of a link without addresses the first that another link has (`inet_select_addr`).
    fn source_v4(&self, ifindex: u32, gateway: Option<IpAddr>) -> Option<IpAddr> {
        let of_link = self.own.iter().filter(|o| o.prefix.address.is_ipv4() && o.ifindex == ifindex);
        let near = |o: &&Own| gateway.is_some_and(|g| o.prefix.contains(g));
        let own = of_link.clone().find(near).or_else(|| of_link.clone().next());
        let others = || {
            let all =
                self.own.iter().filter(|o| o.prefix.address.is_ipv4() && !o.prefix.address.is_loopback());
            all.min_by_key(|o| o.ifindex)
        };
        own.or_else(others).map(|o| o.prefix.address)
    }

    /// Of all addresses the best by RFC 6724, the rules that apply to what is known here, in their order: scope, interface, label, longest prefix. Of equal ones the first
    /// of the first link (`ipv6_dev_get_saddr`).
    fn source_v6(&self, ifindex: u32, destination: Ipv6Addr) -> Option<IpAddr> {
        let wanted = scope(destination);
        let worth = |own: &Own, address: Ipv6Addr| {
            let scope = scope(address);
            let scope = if scope >= wanted { -scope } else { scope - 128 };
            let common = (address.to_bits() ^ destination.to_bits()).leading_zeros();
            let same_label = label(address) == label(destination);
            (scope, own.ifindex == ifindex, same_label, common.min(own.prefix.len.into()))
        };
        let own = self.own.iter().filter_map(|own| match own.prefix.address {
            IpAddr::V6(a) => Some((own.ifindex, worth(own, a), a)),
            IpAddr::V4(_) => None,
        });
        own.min_by_key(|(link, worth, _)| (Reverse(*worth), *link)).map(|(.., address)| address.into())
    }
}

/// How far an address is known, as a multicast address has it: a link's 2, a site's 5, everybody's 14.
fn scope(address: Ipv6Addr) -> i32 {
    match address.segments()[0] {
        _ if address.is_loopback() => 2,
        first if first & 0xffc0 == 0xfe80 => 2,
        first if first & 0xffc0 == 0xfec0 => 5,
        _ => 14,
    }
}

/// Prefixes whose addresses go together, longest first (`ip6addrlbl_init_table`).
const LABELS: [(u128, u8, u8); 10] = [
    (1, 128, 0),
    (0xffff << 32, 96, 4),
    (0, 96, 3),
    (0x2001 << 112, 32, 6),
    (0x2001_0010 << 96, 28, 7),
    (0x2002 << 112, 16, 2),
    (0x3ffe << 112, 16, 12),
    (0xfec0 << 112, 10, 11),
    (0xfc00 << 112, 7, 5),
    (0, 0, 1),
];

fn label(address: Ipv6Addr) -> u8 {
    let has =
        |(prefix, len, _): &&(u128, u8, u8)| (address.to_bits() ^ prefix).leading_zeros() >= (*len).into();
    LABELS.iter().find(has).map_or(0, |(.., label)| *label)
}
