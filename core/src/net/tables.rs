//! What is published: links, routes and neighbours in the form that lookups want, and the lookup itself.
//!
//! The rules are those of the kernel's `bpf_ipv4_fib_lookup` and `bpf_ipv6_fib_lookup` (`net/core/filter.c`), and of the lookups below them: the longest prefix first, then the
//! lowest metric; a route without a usable way gives way to a shorter one.

use super::intervals::{Intervals, NONE, Span};
use super::{DEFAULT, Fib, LOCAL, Link, MAIN, Neighbour, NextHop, Own, Prefix, Route, RouteKind, Set, key};
use crate::mem::{OutOfMemory, Vec};
use core::cmp::Reverse;
use core::net::IpAddr;

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
        let usable = |h: &&NextHop| self.link(h.ifindex).is_some();
        // IPv6 takes any route where packets go out; the output is a preference there.
        if query.output != 0 && query.destination.is_ipv4() {
            return route.next_hops.iter().filter(usable).find(|h| h.ifindex == query.output).copied();
        }
        let total: u64 = route.next_hops.iter().filter(usable).map(|h| u64::from(h.weight)).sum();
        let flow = key(query.source).rotate_left(64) ^ key(query.destination);
        let folded = ((flow >> 64) as u64 ^ flow as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut left = ((u128::from(folded) * u128::from(total)) >> 64) as u64;
        route.next_hops.iter().filter(usable).find_map(|h| match left.checked_sub(u64::from(h.weight)) {
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
        let is_v4 = destination.is_ipv4();
        let of_link = |o: &&Own| o.prefix.address.is_ipv4() == is_v4 && o.ifindex == found.link.ifindex;
        let near = found.hop.gateway.unwrap_or(destination);
        if is_v4 {
            let on_subnet = |o: &&Own| o.prefix.contains(near);
            let mut own = self.own.iter().filter(of_link);
            return own.clone().find(on_subnet).or_else(|| own.next()).map(|o| o.prefix.address);
        }
        // The same scope, then the longest common prefix (RFC 6724, the rules that apply to one interface).
        let common = |p: Prefix| (key(p.address) ^ key(destination)).leading_zeros();
        let scope = |a: IpAddr| key(a) >> 118 == 0xfe80 >> 6;
        let same_scope = |o: &&Own| scope(o.prefix.address) == scope(destination);
        // Of equal ones the first that was given.
        let own = self.own.iter().filter(of_link).filter(same_scope);
        let best = own.min_by_key(|o| Reverse(common(o.prefix)));
        best.or_else(|| self.own.iter().find(of_link)).map(|o| o.prefix.address)
    }
}
