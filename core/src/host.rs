//! What only a host can do for a program: sockets, SYN cookies of its listeners, connection tracking. One trait, called on the run path.
//!
//! An environment is made with a [`Host`] or without; a program that calls a helper whose service is not there is not installed ([`MissingService`] says which). Objects of
//! the host are opaque to programs, which give each one back: the verifier proves it.

use crate::error::Errno;
use crate::helpers::STANDARD;
use crate::platform::Clock;
use core::ffi::c_void;
use core::fmt;
use core::ptr::NonNull;

/// An object of the host's: what it means is the host's business.
pub type Object = NonNull<c_void>;

/// Which socket a program asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SocketKind {
    /// A TCP connection or listener (`bpf_sk_lookup_tcp`).
    Tcp = 0,
    /// A UDP socket (`bpf_sk_lookup_udp`).
    Udp = 1,
    /// A TCP socket of any state (`bpf_skc_lookup_tcp`).
    TcpAnyState = 2,
}

/// A question for a socket.
#[derive(Clone, Copy, Debug)]
pub struct SocketQuery<'a> {
    /// Which kind.
    pub kind: SocketKind,
    /// Source and destination address, source and destination port, as `struct bpf_sock_tuple` has them: 12 bytes for IPv4, 36 for IPv6, network byte order.
    pub tuple: &'a [u8],
    /// The network name space; -1: the packet's own.
    pub netns: i32,
    /// Where the packet came in.
    pub ingress_ifindex: u32,
}

/// A question for a tracked connection, or a new one.
#[derive(Clone, Copy, Debug)]
pub struct CtQuery<'a> {
    /// As [`SocketQuery::tuple`].
    pub tuple: &'a [u8],
    /// The network name space; -1: the packet's own.
    pub netns: i32,
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// The zone; 0: the default one.
    pub zone: u16,
    /// The directions that the zone is for; 0: both.
    pub zone_direction: u8,
}

/// A tracked connection that was found.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// It.
    pub object: Object,
    /// The direction of the packet: 0 original, 1 reply.
    pub direction: u8,
}

/// The host's services. Each is called on a worker's thread, between two packets of its run, and must neither wait nor call programs.
///
/// The defaults are what a service answers that is not there; a host says with [`Host::provides`] which it has.
pub trait Host: Send + Sync {
    /// Whether a service is there; asked when programs are installed.
    fn provides(&self, service: Service) -> bool;

    /// A socket, which the program gives back by [`Host::sk_release`].
    fn sk_lookup(&self, query: &SocketQuery<'_>) -> Option<Object> {
        let _ = query;
        None
    }

    /// Takes a socket back.
    fn sk_release(&self, socket: Object) {
        let _ = socket;
    }

    /// The cookie and the MSS of the answer to a SYN for a listener; `ip` and `tcp` are the headers, of the sizes that they say.
    ///
    /// # Errors
    /// ENOENT where no cookie is due, EINVAL where `socket` is no listener.
    fn tcp_gen_syncookie(&self, socket: Object, ip: &[u8], tcp: &[u8]) -> Result<(u32, u16), Errno> {
        let _ = (socket, ip, tcp);
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether an ACK answers a cookie of a listener.
    ///
    /// # Errors
    /// ENOENT where it does not, EINVAL where `socket` is no listener.
    fn tcp_check_syncookie(&self, socket: Object, ip: &[u8], tcp: &[u8]) -> Result<(), Errno> {
        let _ = (socket, ip, tcp);
        Err(Errno::EOPNOTSUPP)
    }

    /// A new connection, not known to anybody yet.
    ///
    /// # Errors
    /// EEXIST, ENOMEM, as the host has it; ENONET for a name space that there is not.
    fn ct_alloc(&self, query: &CtQuery<'_>) -> Result<Object, Errno> {
        let _ = query;
        Err(Errno::EOPNOTSUPP)
    }

    /// A tracked connection, which the program gives back by [`Host::ct_release`].
    ///
    /// # Errors
    /// ENOENT where there is none; ENONET for a name space that there is not.
    fn ct_lookup(&self, query: &CtQuery<'_>) -> Result<Tracked, Errno> {
        let _ = query;
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a new connection known. Its reference goes; the tracked one's comes, or none where that failed.
    fn ct_insert(&self, new: Object) -> Option<Object> {
        let _ = new;
        None
    }

    /// Takes a tracked connection back; or a new one that is not to be inserted.
    fn ct_release(&self, tracked: Object) {
        let _ = tracked;
    }

    /// Sets the time to live of a new connection, in milliseconds.
    fn ct_set_timeout(&self, new: Object, timeout: u32) {
        let _ = (new, timeout);
    }

    /// Changes the time to live of a tracked connection, in milliseconds.
    ///
    /// # Errors
    /// EPERM for one whose time is fixed.
    fn ct_change_timeout(&self, tracked: Object, timeout: u32) -> Result<(), Errno> {
        let _ = (tracked, timeout);
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets the status bits (`IPS_*`) of a new connection.
    ///
    /// # Errors
    /// EBUSY or EINVAL for bits that cannot be set.
    fn ct_set_status(&self, new: Object, status: u32) -> Result<(), Errno> {
        let _ = (new, status);
        Err(Errno::EOPNOTSUPP)
    }

    /// Changes the status bits of a tracked connection.
    ///
    /// # Errors
    /// As [`Host::ct_set_status`].
    fn ct_change_status(&self, tracked: Object, status: u32) -> Result<(), Errno> {
        let _ = (tracked, status);
        Err(Errno::EOPNOTSUPP)
    }
}

/// What helpers want of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Published tables of links, routes and neighbours ([`crate::vm::Env::set_network`]).
    Network,
    /// Random numbers of the platform ([`crate::platform::Platform::random`]), for secrets.
    Random,
    /// A clock of the platform ([`crate::platform::Platform::clock_ns`]).
    Clock(Clock),
    /// [`Host::sk_lookup`].
    SkLookup,
    /// [`Host::sk_release`].
    SkRelease,
    /// [`Host::tcp_gen_syncookie`].
    TcpGenSyncookie,
    /// [`Host::tcp_check_syncookie`].
    TcpCheckSyncookie,
    /// [`Host::ct_alloc`].
    CtAlloc,
    /// [`Host::ct_lookup`].
    CtLookup,
    /// [`Host::ct_insert`].
    CtInsert,
    /// [`Host::ct_release`].
    CtRelease,
    /// [`Host::ct_set_timeout`].
    CtSetTimeout,
    /// [`Host::ct_change_timeout`].
    CtChangeTimeout,
    /// [`Host::ct_set_status`].
    CtSetStatus,
    /// [`Host::ct_change_status`].
    CtChangeStatus,
}

/// Helpers by name, what they want, and what that is called in C. A helper that wants several things has a row for each.
const NEEDS: &[(&str, Service, &str)] = &[
    ("bpf_fib_lookup", Service::Network, "uxdp_fib_publish"),
    ("bpf_check_mtu", Service::Network, "uxdp_fib_publish"),
    ("bpf_tcp_raw_gen_syncookie_ipv4", Service::Random, "random numbers"),
    ("bpf_tcp_raw_gen_syncookie_ipv6", Service::Random, "random numbers"),
    ("bpf_tcp_raw_check_syncookie_ipv4", Service::Random, "random numbers"),
    ("bpf_tcp_raw_check_syncookie_ipv6", Service::Random, "random numbers"),
    ("bpf_ktime_get_ns", Service::Clock(Clock::Monotonic), "CLOCK_MONOTONIC"),
    ("bpf_ktime_get_boot_ns", Service::Clock(Clock::Boottime), "CLOCK_BOOTTIME"),
    ("bpf_ktime_get_coarse_ns", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_ktime_get_tai_ns", Service::Clock(Clock::Tai), "CLOCK_TAI"),
    ("bpf_jiffies64", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_timer_start", Service::Clock(Clock::Monotonic), "CLOCK_MONOTONIC"),
    ("bpf_tcp_raw_gen_syncookie_ipv4", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_tcp_raw_gen_syncookie_ipv6", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_tcp_raw_check_syncookie_ipv4", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_tcp_raw_check_syncookie_ipv6", Service::Clock(Clock::Coarse), "CLOCK_MONOTONIC_COARSE"),
    ("bpf_sk_lookup_tcp", Service::SkLookup, "sk_lookup"),
    ("bpf_sk_lookup_udp", Service::SkLookup, "sk_lookup"),
    ("bpf_skc_lookup_tcp", Service::SkLookup, "sk_lookup"),
    ("bpf_sk_release", Service::SkRelease, "sk_release"),
    ("bpf_tcp_gen_syncookie", Service::TcpGenSyncookie, "tcp_gen_syncookie"),
    ("bpf_tcp_check_syncookie", Service::TcpCheckSyncookie, "tcp_check_syncookie"),
    ("bpf_xdp_ct_alloc", Service::CtAlloc, "ct_alloc"),
    ("bpf_xdp_ct_lookup", Service::CtLookup, "ct_lookup"),
    ("bpf_ct_insert_entry", Service::CtInsert, "ct_insert"),
    ("bpf_ct_release", Service::CtRelease, "ct_release"),
    ("bpf_ct_set_timeout", Service::CtSetTimeout, "ct_set_timeout"),
    ("bpf_ct_change_timeout", Service::CtChangeTimeout, "ct_change_timeout"),
    ("bpf_ct_set_status", Service::CtSetStatus, "ct_set_status"),
    ("bpf_ct_change_status", Service::CtChangeStatus, "ct_change_status"),
];

/// A service that a program wants and nobody provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingService {
    /// The helper that wants it.
    pub helper: &'static str,
    /// Its number.
    pub id: u32,
    /// What would provide it, as the C API calls it.
    pub provider: &'static str,
}

impl MissingService {
    /// What a helper wants and `has` denies.
    pub(crate) fn of(helper: &'static str, id: u32, has: impl Fn(Service) -> bool) -> Option<MissingService> {
        let (.., provider) = NEEDS.iter().find(|(name, service, _)| *name == helper && !has(*service))?;
        Some(MissingService { helper, id, provider })
    }

    /// Every helper that wants a service, with what provides it: what a platform and a host that have nothing refuse.
    pub fn all() -> impl Iterator<Item = MissingService> {
        let helpers = STANDARD.rows().iter();
        helpers.flat_map(|h| {
            let wants = NEEDS.iter().filter(|(name, ..)| *name == h.name);
            wants.map(|(.., provider)| MissingService { helper: h.name, id: h.id, provider })
        })
    }
}

impl fmt::Display for MissingService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MissingService { helper, id, provider } = self;
        write!(f, "{helper}#{id} wants the host, which does not provide {provider}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_wanted_by_a_helper_that_there_is() {
        for (name, ..) in NEEDS {
            assert!(STANDARD.rows().iter().any(|h| h.name == *name), "{name}");
        }
    }
}
