//! What programs may know of the network around them: links, routes, neighbours, as a host gives them (`bpf_fib_lookup`, `bpf_check_mtu`).
//!
//! A host fills a [`Fib`], which is its own, and publishes it as a whole: [`Fib::tables`] makes immutable [`Tables`], [`crate::vm::Env::set_network`] puts them in the place of the
//! former ones, which go after a grace period. A lookup takes no lock and sees one version throughout. Nothing here reads a kernel.
//!
//! ```
//! use uxdp_core::net::{Fib, Link, MAIN, NextHop, Prefix, Route};
//!
//! let mut fib = Fib::new();
//! fib.set_link(Link { mtu: 1500, address: [2, 0, 0, 0, 0, 1], ..Link::forwarding(3) })?;
//! fib.set_route(&Route::unicast(MAIN, Prefix::v4([10, 0, 0, 0], 8), NextHop::on(3)))?;
//! fib.set_neighbour(3, [10, 0, 0, 1].into(), [2, 0, 0, 0, 0, 9])?;
//! let tables = fib.tables()?;
//! assert_eq!(tables.link(3).map(|l| l.mtu), Some(1500));
//! # Ok::<(), uxdp_core::error::Errno>(())
//! ```

mod intervals;
mod set;
mod tables;

pub use tables::{Found, Query, Refused, Tables};

use crate::error::Errno;
use crate::mem::{OutOfMemory, Vec};
use core::net::IpAddr;
use set::{Element, Set};

/// The table of routes to addresses of the host itself (`RT_TABLE_LOCAL`).
pub const LOCAL: u32 = 255;
/// The table of ordinary routes (`RT_TABLE_MAIN`).
pub const MAIN: u32 = 254;
/// The table that is asked last (`RT_TABLE_DEFAULT`).
pub const DEFAULT: u32 = 253;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, not 0.
    pub ifindex: u32,
    /// Bytes of its largest packet, without link header.
    pub mtu: u32,
    /// Bytes of its link header.
    pub header_len: u32,
    /// Its own address.
    pub address: [u8; 6],
    /// Whether IPv4 packets that come in here are forwarded.
    pub forwards_v4: bool,
    /// Whether IPv6 packets are.
    pub forwards_v6: bool,
}

impl Link {
    /// An Ethernet interface that forwards both families, of 1500 bytes, with a zero address.
    pub const fn forwarding(ifindex: u32) -> Link {
        Link { ifindex, mtu: 1500, header_len: 14, address: [0; 6], forwards_v4: true, forwards_v6: true }
    }
}

/// The leading bits of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address; bits behind the length are ignored.
    pub address: IpAddr,
    /// How many bits count.
    pub len: u8,
}

impl Prefix {
    /// A prefix of IPv4.
    pub fn v4(address: [u8; 4], len: u8) -> Prefix {
        Prefix { address: address.into(), len }
    }

    /// A prefix of IPv6.
    pub fn v6(address: [u8; 16], len: u8) -> Prefix {
        Prefix { address: address.into(), len }
    }

    /// Whether its length fits its family.
    fn is_valid(self) -> bool {
        self.len <= if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// First and last address, as numbers whose top bits are the address.
    fn span(self) -> (u128, u128) {
        let rest = u128::MAX.checked_shr(u32::from(self.len)).unwrap_or(0);
        let first = key(self.address) & !rest;
        (first, first | rest)
    }

    /// The first address.
    fn first(self) -> IpAddr {
        let (first, _) = self.span();
        match self.address {
            IpAddr::V4(_) => IpAddr::V4(((first >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(first.into()),
        }
    }

    /// Whether an address has these bits.
    fn contains(self, address: IpAddr) -> bool {
        let (first, last) = self.span();
        self.address.is_ipv4() == address.is_ipv4() && (first..=last).contains(&key(address))
    }
}

/// An address as a number whose top bits it is.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// What becomes of packets to a prefix (`RTN_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// They are forwarded.
    #[default]
    Unicast,
    /// They are the host's, or for everybody on the link: not forwarded.
    Local,
    /// They vanish.
    Blackhole,
    /// They are refused: there is no way.
    Unreachable,
    /// They are refused: it is forbidden.
    Prohibit,
    /// The next table is asked.
    Throw,
}

/// One way of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The interface.
    pub ifindex: u32,
    /// Who takes the packet there; none: its destination itself. IPv4 routes may have an IPv6 gateway.
    pub gateway: Option<IpAddr>,
    /// Its part among several, from 1.
    pub weight: u16,
    /// Whether packets are encapsulated on the way, which programs cannot do.
    pub encapsulates: bool,
}

impl NextHop {
    /// Directly onto a link.
    pub const fn on(ifindex: u32) -> NextHop {
        NextHop { ifindex, gateway: None, weight: 1, encapsulates: false }
    }

    /// By a gateway on a link.
    pub const fn via(gateway: IpAddr, ifindex: u32) -> NextHop {
        NextHop { ifindex, gateway: Some(gateway), weight: 1, encapsulates: false }
    }
}

/// Most ways of one route.
pub const MAX_NEXT_HOPS: usize = 16;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub prefix: Prefix,
    /// The table that it is in.
    pub table: u32,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Among routes to one prefix the lowest is taken.
    pub metric: u32,
    /// IPv4: only packets of this type of service take it; 0: all.
    pub tos: u8,
    /// Bytes of the largest packet; 0: the link's. Of Linux's routes only a locked one (`mtu lock`) is to be given: it goes by no other.
    pub mtu: u32,
    /// The source address that packets of the host take; none: one of the link's.
    pub source: Option<IpAddr>,
    /// The ways, for unicast. A local route may name its interface.
    pub next_hops: heapless::Vec<NextHop, MAX_NEXT_HOPS>,
}

impl Route {
    /// A route with one way.
    pub fn unicast(table: u32, prefix: Prefix, hop: NextHop) -> Route {
        let mut route = Route::of_kind(RouteKind::Unicast, table, prefix);
        let fits = route.next_hops.push(hop);
        debug_assert!(fits.is_ok(), "the list is empty");
        route
    }

    /// A route without a way.
    pub const fn of_kind(kind: RouteKind, table: u32, prefix: Prefix) -> Route {
        Route {
            prefix,
            table,
            kind,
            metric: 0,
            tos: 0,
            mtu: 0,
            source: None,
            next_hops: heapless::Vec::new(),
        }
    }
}

/// One route of a table is told from another by its prefix, metric and type of service.
impl Element for Route {
    fn hash(&self) -> usize {
        let number = u64::from(self.table) << 32
            ^ u64::from(self.metric) << 16
            ^ u64::from(self.tos) << 8
            ^ u64::from(self.prefix.len);
        set::hash(self.prefix.first(), number)
    }

    fn is_same(&self, other: &Route) -> bool {
        (self.table, self.metric, self.tos, self.prefix.len)
            == (other.table, other.metric, other.tos, other.prefix.len)
            && self.prefix.address.is_ipv4() == other.prefix.address.is_ipv4()
            && self.prefix.span() == other.prefix.span()
    }
}

/// Who is at an address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour {
    ifindex: u32,
    address: IpAddr,
    link_address: [u8; 6],
}

impl Element for Neighbour {
    fn hash(&self) -> usize {
        set::hash(self.address, self.ifindex.into())
    }

    fn is_same(&self, other: &Neighbour) -> bool {
        (self.ifindex, self.address) == (other.ifindex, other.address)
    }
}

/// An address of the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    ifindex: u32,
    prefix: Prefix,
}

/// Links, routes and neighbours of a host, to be published. Changing it changes nothing that programs see.
///
/// A change of a route or neighbour takes the same time however many there are; one of a link or an address looks at all of them. Lookups take time with the logarithm of
/// the routes, and find a neighbour at once.
#[derive(Debug, Default)]
pub struct Fib {
    links: Vec<Link>,
    routes: Set<Route>,
    neighbours: Set<Neighbour>,
    own: Vec<Own>,
}

impl Fib {
    /// Nothing.
    pub const fn new() -> Fib {
        Fib { links: Vec::new(), routes: Set::new(), neighbours: Set::new(), own: Vec::new() }
    }

    /// Adds an interface, in place of one with its number.
    ///
    /// # Errors
    /// EINVAL for number 0; ENOMEM.
    pub fn set_link(&mut self, link: Link) -> Result<(), Errno> {
        if link.ifindex == 0 {
            return Err(Errno::EINVAL);
        }
        put(&mut self.links, link, |l| l.ifindex == link.ifindex)
    }

    /// Gives an interface an address, of which routes without a source take theirs.
    ///
    /// # Errors
    /// EINVAL for a length that the family does not have; ENOMEM.
    pub fn set_address(&mut self, ifindex: u32, prefix: Prefix) -> Result<(), Errno> {
        if !prefix.is_valid() {
            return Err(Errno::EINVAL);
        }
        put(&mut self.own, Own { ifindex, prefix }, |o| {
            o.ifindex == ifindex && o.prefix.address == prefix.address
        })
    }

    /// Adds a route, in place of one of its table with its prefix, metric and type of service.
    ///
    /// # Errors
    /// EINVAL for a length that the family does not have, a unicast route without a way, a way of weight 0; ENOMEM.
    pub fn set_route(&mut self, route: &Route) -> Result<(), Errno> {
        let ways = route.next_hops.as_slice();
        let wrong =
            (route.kind == RouteKind::Unicast && ways.is_empty()) || ways.iter().any(|h| h.weight == 0);
        if !route.prefix.is_valid() || wrong {
            return Err(Errno::EINVAL);
        }
        Ok(self.routes.put(route.clone())?)
    }

    /// Says who is at an address of a link.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn set_neighbour(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        link_address: [u8; 6],
    ) -> Result<(), Errno> {
        Ok(self.neighbours.put(Neighbour { ifindex, address, link_address })?)
    }

    /// Removes an interface.
    ///
    /// # Errors
    /// ENOENT without one.
    pub fn remove_link(&mut self, ifindex: u32) -> Result<(), Errno> {
        remove(&mut self.links, |l| l.ifindex == ifindex)
    }

    /// Removes an address.
    ///
    /// # Errors
    /// ENOENT where there is none.
    pub fn remove_address(&mut self, ifindex: u32, address: IpAddr) -> Result<(), Errno> {
        remove(&mut self.own, |o| o.ifindex == ifindex && o.prefix.address == address)
    }

    /// Removes the route with the table, prefix, metric and type of service of this one.
    ///
    /// # Errors
    /// ENOENT where there is none.
    pub fn remove_route(&mut self, route: &Route) -> Result<(), Errno> {
        self.routes.remove(route).then_some(()).ok_or(Errno::ENOENT)
    }

    /// Removes a neighbour.
    ///
    /// # Errors
    /// ENOENT where there is none.
    pub fn remove_neighbour(&mut self, ifindex: u32, address: IpAddr) -> Result<(), Errno> {
        let gone = self.neighbours.remove(&Neighbour { ifindex, address, link_address: [0; 6] });
        gone.then_some(()).ok_or(Errno::ENOENT)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        *self = Fib::new();
    }

    /// What programs look up: a copy, sorted for lookups. Takes time in proportion to all that is in it.
    ///
    /// # Errors
    /// When memory is short.
    pub fn tables(&self) -> Result<Tables, OutOfMemory> {
        Tables::of(self)
    }
}

/// Replaces the element that `is_it` says, or adds one.
fn put<T>(list: &mut Vec<T>, new: T, is_it: impl Fn(&T) -> bool) -> Result<(), Errno> {
    match list.iter_mut().find(|x| is_it(x)) {
        Some(old) => *old = new,
        None => list.push(new)?,
    }
    Ok(())
}

fn remove<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Result<(), Errno> {
    let index = list.iter().position(is_it).ok_or(Errno::ENOENT)?;
    list.remove(index);
    Ok(())
}

#[cfg(test)]
mod tests;
