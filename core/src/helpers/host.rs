//! Sockets and SYN cookies of listeners: the host's, by its callbacks ([`crate::host::Host`]). What can be judged without it is judged here, as the kernel does.
//!
//! Source: the kernel's `net/core/filter.c`.

use super::{Access, ArgType, Handle, Helper, HelperFn, Proto, RetType};
use crate::error::Errno;
use crate::host::{Host, Object, SocketKind, SocketQuery};
use crate::vm::{Ctx, HeldKind, WorkerBlock};

const READ: ArgType = ArgType::Mem { access: Access::Read, nullable: false };

/// Bytes of the two forms of `struct bpf_sock_tuple`.
pub(super) const TUPLES: [usize; 2] = [12, 36];

const fn lookup(id: u32, name: &'static str, handle: Handle, func: HelperFn) -> Helper {
    // (context, tuple, its size, name space, flags).
    let args = &[ArgType::Ctx, READ, ArgType::ConstSize, ArgType::Anything, ArgType::Anything];
    let proto = Proto::new(args, RetType::HandleOrNull(handle)).taking_packet();
    Helper { id, name, proto, func: Some(func) }
}

pub(super) const SK_LOOKUP_TCP: Helper = lookup(84, "bpf_sk_lookup_tcp", Handle::Sock, sk_lookup_tcp);
pub(super) const SK_LOOKUP_UDP: Helper = lookup(85, "bpf_sk_lookup_udp", Handle::Sock, sk_lookup_udp);
pub(super) const SKC_LOOKUP_TCP: Helper =
    lookup(99, "bpf_skc_lookup_tcp", Handle::SockCommon, skc_lookup_tcp);

pub(super) const SK_RELEASE: Helper = Helper {
    id: 86,
    name: "bpf_sk_release",
    proto: Proto::new(&[ArgType::Handle { handle: Handle::SockCommon, release: true }], RetType::Integer),
    func: Some(sk_release),
};

const fn cookie(id: u32, name: &'static str, func: HelperFn) -> Helper {
    // (socket, IP header, its size, TCP header, its size).
    let socket = ArgType::Handle { handle: Handle::SockCommon, release: false };
    let args = &[socket, READ, ArgType::ConstSize, READ, ArgType::ConstSize];
    Helper { id, name, proto: Proto::new(args, RetType::Integer).taking_packet(), func: Some(func) }
}

pub(super) const TCP_CHECK_SYNCOOKIE: Helper = cookie(100, "bpf_tcp_check_syncookie", check_syncookie);
pub(super) const TCP_GEN_SYNCOOKIE: Helper = cookie(110, "bpf_tcp_gen_syncookie", gen_syncookie);

/// The host of a run, where there is one: programs that call it were refused otherwise.
///
/// # Safety
/// `ctx` is the run's context.
pub(super) unsafe fn host(ctx: *const Ctx) -> Option<&'static dyn Host> {
    // SAFETY: the caller's; the context's services outlive it.
    unsafe { (*ctx).env.as_ref() }.and_then(|e| e.host)
}

/// Notes that the run holds an object, for the case that it is ended; false where there is no room, which no proven program comes to.
///
/// # Safety
/// `ctx` is the run's context.
pub(super) unsafe fn hold(kind: HeldKind, object: Object, ctx: *const Ctx) -> bool {
    // SAFETY: the caller's.
    unsafe { WorkerBlock::of(ctx) }.is_none_or(|b| b.held.take(kind, object))
}

/// Forgets an object that goes back to the host.
///
/// # Safety
/// `ctx` is the run's context.
pub(super) unsafe fn let_go(kind: HeldKind, object: Object, ctx: *const Ctx) {
    // SAFETY: the caller's.
    if let Some(block) = unsafe { WorkerBlock::of(ctx) } {
        block.held.give(kind, object);
    }
}

/// # Safety
/// `at` is readable for `size` bytes, `ctx` the run's context.
unsafe fn socket(kind: SocketKind, at: u64, size: u64, netns: u64, flags: u64, ctx: *mut Ctx) -> u64 {
    let size = size as u32 as usize;
    let own = (netns as i32) < 0;
    if !TUPLES.contains(&size) || flags != 0 || !(own || netns <= i32::MAX as u64) {
        return 0;
    }
    // SAFETY: the caller's.
    unsafe {
        let Some(host) = host(ctx) else { return 0 };
        let tuple = core::slice::from_raw_parts(at as *const u8, size);
        let netns = if own { -1 } else { netns as i32 };
        let query = SocketQuery { kind, tuple, netns, ingress_ifindex: (*ctx).ingress_ifindex };
        let Some(found) = host.sk_lookup(&query) else { return 0 };
        if !hold(HeldKind::Socket, found, ctx) {
            host.sk_release(found);
            return 0;
        }
        found.as_ptr() as u64
    }
}

unsafe extern "C" fn sk_lookup_tcp(_: u64, at: u64, size: u64, netns: u64, flags: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved r3 readable bytes at r2; the context is the run's.
    unsafe { socket(SocketKind::Tcp, at, size, netns, flags, ctx) }
}

unsafe extern "C" fn sk_lookup_udp(_: u64, at: u64, size: u64, netns: u64, flags: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `sk_lookup_tcp`.
    unsafe { socket(SocketKind::Udp, at, size, netns, flags, ctx) }
}

unsafe extern "C" fn skc_lookup_tcp(
    _: u64,
    at: u64,
    size: u64,
    netns: u64,
    flags: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: as `sk_lookup_tcp`.
    unsafe { socket(SocketKind::TcpAnyState, at, size, netns, flags, ctx) }
}

unsafe extern "C" fn sk_release(sk: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the context is the run's; the verifier proved that r1 is what a lookup returned, not null and not given back yet.
    unsafe {
        if let (Some(host), Some(sk)) = (host(ctx), Object::new(sk as *mut _)) {
            let_go(HeldKind::Socket, sk, ctx);
            host.sk_release(sk);
        }
    }
    0
}

/// Bytes of the shortest headers.
const IPV4: usize = 20;
const IPV6: usize = 40;
const TCP: usize = 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Both headers.
struct Headers<'a> {
    ip: &'a [u8],
    tcp: &'a [u8],
}

impl Headers<'_> {
    /// # Safety
    /// Both are readable for their sizes, for as long as the result is used.
    unsafe fn at<'a>(ip: u64, ip_size: u64, tcp: u64, tcp_size: u64) -> Headers<'a> {
        // SAFETY: the caller's.
        unsafe {
            Headers {
                ip: core::slice::from_raw_parts(ip as *const u8, ip_size as u32 as usize),
                tcp: core::slice::from_raw_parts(tcp as *const u8, tcp_size as u32 as usize),
            }
        }
    }

    fn flags(&self) -> u8 {
        self.tcp.get(13).copied().unwrap_or(0)
    }

    /// Whether the IP header is one, whole.
    fn has_ip(&self) -> bool {
        match self.ip.first().map(|b| b >> 4) {
            Some(4) => self.ip.len() >= IPV4,
            Some(6) => self.ip.len() >= IPV6,
            _ => false,
        }
    }

    /// Bytes of the TCP header, as it says.
    fn tcp_size(&self) -> usize {
        self.tcp.get(12).map_or(0, |b| usize::from(b >> 4) * 4)
    }
}

unsafe extern "C" fn gen_syncookie(
    sk: u64,
    ip: u64,
    ip_size: u64,
    tcp: u64,
    tcp_size: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved the memory arguments and that r1 is a socket; the context is the run's.
    let (headers, host) = unsafe { (Headers::at(ip, ip_size, tcp, tcp_size), host(ctx)) };
    let (Some(host), Some(sk)) = (host, Object::new(sk as *mut _)) else { return Errno::EINVAL.to_ret() };
    let whole = headers.tcp.len() >= TCP && headers.tcp.len() == headers.tcp_size();
    if !whole || headers.flags() & (SYN | ACK | FIN | RST) != SYN || !headers.has_ip() {
        return Errno::EINVAL.to_ret();
    }
    match host.tcp_gen_syncookie(sk, headers.ip, headers.tcp) {
        Ok((cookie, mss)) => u64::from(cookie) | u64::from(mss) << 32,
        Err(e) => e.to_ret(),
    }
}

unsafe extern "C" fn check_syncookie(
    sk: u64,
    ip: u64,
    ip_size: u64,
    tcp: u64,
    tcp_size: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: as `gen_syncookie`.
    let (headers, host) = unsafe { (Headers::at(ip, ip_size, tcp, tcp_size), host(ctx)) };
    let (Some(host), Some(sk)) = (host, Object::new(sk as *mut _)) else { return Errno::EINVAL.to_ret() };
    if headers.tcp.len() < TCP {
        return Errno::EINVAL.to_ret();
    }
    if headers.flags() & (ACK | RST | SYN) != ACK {
        return Errno::ENOENT.to_ret();
    }
    if !headers.has_ip() {
        return Errno::EINVAL.to_ret();
    }
    host.tcp_check_syncookie(sk, headers.ip, headers.tcp).map_or_else(Errno::to_ret, |()| 0)
}
