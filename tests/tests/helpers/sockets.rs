//! Listeners, UDP sockets and their cookies beside Linux's: real sockets in a network name space of this test's own, and the host of `host.rs` with the same.

use crate::row::row;
use crate::{host, judge, linux};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use uxdp_core::error::Errno;
use uxdp_core::host::{Host, Object, Service, SocketKind, SocketQuery};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, EnvOptions};

/// Addresses of the loopback device, and cookies for every SYN.
fn set_up() -> bool {
    // SAFETY: it takes a number; this thread alone is in the new name space.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return false;
    }
    let ip = |line: &str| Command::new("ip").args(line.split(' ')).status().is_ok_and(|s| s.success());
    ip("link set lo up")
        && ["10.0.0.1/8", "10.0.0.2/8"].iter().all(|a| ip(&format!("addr add {a} dev lo")))
        && ["fc00::1/64", "fc00::2/64"].iter().all(|a| ip(&format!("-6 addr add {a} dev lo nodad")))
        && std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").is_ok()
}

#[test]
fn sockets_and_cookies_are_found_as_linux_finds_them() {
    if !linux::can_ask() {
        return linux::skip("bpf(2) is not permitted");
    }
    let asked = std::thread::spawn(|| {
        if !set_up() {
            linux::skip("no name spaces, or no `ip`");
            return Vec::new();
        }
        let _tcp = ["10.0.0.2:80", "[fc00::2]:80"].map(|a| TcpListener::bind(a).unwrap());
        let _udp = ["10.0.0.2:53", "[fc00::2]:53"].map(|a| UdpSocket::bind(a).unwrap());
        let rows = ["sockets_ipv4", "sockets_ipv6"].map(|program| {
            row("sockets", program).env(host::env).expect(|o| {
                let numbers: Vec<i64> = (0..26).map(|i| o.number(i)).collect();
                assert_eq!(numbers[..13], [1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
                let cookies = [1440, -22, -22, -22, -2, 0, -22, -22, -22, -2, -2, -22, -22];
                assert_eq!(numbers[13..], cookies);
            })
        });
        let wrong = rows.iter().filter_map(|r| Some(format!("{}: {}", r.program, judge(r, true).err()?)));
        wrong.collect()
    });
    let wrong: Vec<String> = asked.join().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An end of something, as the kernel has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Listen,
    Open,
    /// Closed, but for segments that may still come.
    TimeWait,
    Udp,
}

/// A socket: its state, its own end, the other one. Address 0 and port 0 stand for any.
struct Socket {
    state: State,
    own: SocketAddrV4,
    other: SocketAddrV4,
    held: AtomicU32,
}

fn at(last: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(if last == 0 { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::new(10, 0, 0, last) }, port)
}

/// The sockets that [`every_state`] makes.
struct States(Vec<Socket>);

impl Host for States {
    fn provides(&self, _: Service) -> bool {
        true
    }

    fn sk_lookup(&self, query: &SocketQuery<'_>) -> Option<Object> {
        let [a, b, c, d, e, f, g, h, sport0, sport1, dport0, dport1] = *query.tuple else { return None };
        let from = SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([sport0, sport1]));
        let to = SocketAddrV4::new([e, f, g, h].into(), u16::from_be_bytes([dport0, dport1]));
        let is_of_kind = |s: &&Socket| match (query.kind, s.state) {
            (SocketKind::Udp, state) => state == State::Udp,
            (SocketKind::Tcp, state) => matches!(state, State::Listen | State::Open),
            (SocketKind::TcpAnyState, state) => state != State::Udp,
        };
        let is = |one: SocketAddrV4, asked: SocketAddrV4| {
            (one.ip().is_unspecified() || one.ip() == asked.ip())
                && (one.port() == 0 || one.port() == asked.port())
        };
        let mut found = self.0.iter().filter(is_of_kind);
        let found = found.find(|s| is(s.own, to) && is(s.other, from))?;
        found.held.fetch_add(1, Ordering::Relaxed);
        Some(std::ptr::NonNull::from(found).cast())
    }

    fn sk_release(&self, socket: Object) {
        assert_eq!(state(socket).held.fetch_sub(1, Ordering::Relaxed), 1);
    }

    fn tcp_gen_syncookie(&self, socket: Object, _: &[u8], _: &[u8]) -> Result<(u32, u16), Errno> {
        // What a SYN without the option gets.
        if state(socket).state == State::Listen { Ok((77, 536)) } else { Err(Errno::EINVAL) }
    }

    fn tcp_check_syncookie(&self, socket: Object, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        Err(if state(socket).state == State::Listen { Errno::ENOENT } else { Errno::EINVAL })
    }
}

fn state(socket: Object) -> &'static Socket {
    // SAFETY: the tables of this file are never freed, and give away nothing else.
    unsafe { socket.cast::<Socket>().as_ref() }
}

fn states_env() -> Arc<Env> {
    use State::{Listen, Open, TimeWait, Udp};
    let all = [
        (Open, at(2, 84), at(1, 2000)),
        (Open, at(1, 2000), at(2, 84)),
        (TimeWait, at(1, 2001), at(2, 84)),
        (Listen, at(0, 85), at(0, 0)),
        (Listen, at(0, 87), at(0, 0)),
        (Udp, at(0, 54), at(0, 0)),
        (Udp, at(2, 55), at(1, 2000)),
    ];
    let all = all.map(|(state, own, other)| Socket { state, own, other, held: AtomicU32::new(0) });
    let host: &'static States = Box::leak(Box::new(States(all.into())));
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions { host: Some(host), ..EnvOptions::default() }).unwrap()
}

/// A connection from a port of the first address, both ends.
fn connected(port: u16, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = |a: SocketAddrV4| libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: a.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
        sin_zero: [0; 8],
    };
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: both addresses have their size; a descriptor that is new belongs to nobody else.
    let stream = unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        let stream = OwnedFd::from_raw_fd(fd);
        let (from, to) = (address(at(1, port)), address(at(2, 84)));
        assert_eq!(libc::bind(fd, (&raw const from).cast(), size), 0);
        assert_eq!(libc::connect(fd, (&raw const to).cast(), size), 0);
        TcpStream::from(stream)
    };
    (stream, listener.accept().unwrap().0)
}

/// A listener of IPv6, for IPv4 too or not.
fn listener_v6(port: u16, alone: bool) -> TcpListener {
    let any = libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as _,
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    };
    let alone = i32::from(alone);
    // SAFETY: address and option have their sizes; a descriptor that is new belongs to nobody else.
    unsafe {
        let fd = libc::socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        let listener = TcpListener::from(OwnedFd::from_raw_fd(fd));
        let set = libc::setsockopt(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, (&raw const alone).cast(), 4);
        assert_eq!(set, 0);
        assert_eq!(libc::bind(fd, (&raw const any).cast(), size_of_val(&any) as _), 0);
        assert_eq!(libc::listen(fd, 8), 0);
        listener
    }
}

/// What the lookups of one tuple find: TCP, TCP of any state, each with the cookie's MSS and the answer of the check, then UDP.
const NOTHING: [i64; 8] = [0; 8];
const LISTENER: [i64; 8] = [1, 536, -2, 1, 536, -2, 0, 0];
const CONNECTION: [i64; 8] = [1, -22, -22, 1, -22, -22, 0, 0];
const WAITING: [i64; 8] = [0, 0, 0, 1, -22, -22, 0, 0];
const UDP: [i64; 8] = [0, 0, 0, 0, 0, 0, 1, -22];

#[test]
fn sockets_of_every_state_are_found_as_linux_finds_them() {
    if !linux::can_ask() {
        return linux::skip("bpf(2) is not permitted");
    }
    let asked = std::thread::spawn(|| {
        if !set_up() {
            linux::skip("no name spaces, or no `ip`");
            return Ok(());
        }
        let listener = TcpListener::bind("10.0.0.2:84").unwrap();
        let _open = connected(2000, &listener);
        let (first, second) = connected(2001, &listener);
        drop(listener);
        drop(first);
        std::thread::sleep(Duration::from_millis(100));
        drop(second);
        std::thread::sleep(Duration::from_millis(100));
        let _everybody = TcpListener::bind("0.0.0.0:85").unwrap();
        let _families = [listener_v6(86, true), listener_v6(87, false)];
        let udp = ["0.0.0.0:54", "10.0.0.2:55"].map(|a| UdpSocket::bind(a).unwrap());
        udp[1].connect("10.0.0.1:2000").unwrap();
        let row = row("sockets", "sockets_states").env(states_env).expect(|o| {
            let found: Vec<[i64; 8]> =
                (0..12).map(|i| std::array::from_fn(|k| o.number(8 * i + k))).collect();
            let expected = [
                CONNECTION, CONNECTION, NOTHING, WAITING, NOTHING, LISTENER, NOTHING, LISTENER, UDP, UDP,
                NOTHING, NOTHING,
            ];
            assert_eq!(found, expected);
        });
        judge(&row, true)
    });
    let judged: Result<(), String> = asked.join().unwrap();
    judged.unwrap_or_else(|e| panic!("{e}"));
}
