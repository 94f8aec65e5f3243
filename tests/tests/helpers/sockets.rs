//! Listeners, UDP sockets and their cookies beside Linux's: real sockets in a network name space of this test's own, and the host of `host.rs` with the same.

use crate::row::row;
use crate::{host, judge, linux};
use std::net::{TcpListener, UdpSocket};
use std::process::Command;

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
