//! Programs of another's making, unchanged: xdp-filter of Debian's xdp-tools with filled maps, and libxdp's dispatcher, on every engine and on Linux.
//!
//! What is not installed is said and left out.

use crate::row::{Packet, Row, plain_env, row};
use crate::{judge, linux};
use std::path::Path;

const FOLDERS: [&str; 3] =
    ["/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib/aarch64-linux-gnu/bpf", "/usr/lib/bpf"];

/// The path of an installed object.
fn installed(object: &str) -> Option<String> {
    let paths = FOLDERS.map(|folder| format!("{folder}/{object}.o"));
    paths.into_iter().find(|p| Path::new(p).exists())
}

fn not_installed() {
    linux::skip("the objects of Debian's xdp-tools and libxdp1 are not installed");
}

/// The flags of xdp-filter's maps.
const SRC: u64 = 1;
const DST: u64 = 2;
const TCP: u64 = 4;
const UDP: u64 = 8;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
const V4: [u8; 4] = [10, 1, 2, 3];
const OTHER_V4: [u8; 4] = [10, 1, 2, 4];
const V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
const OTHER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
const PORT: u16 = 443;
const OTHER_PORT: u16 = 4433;

/// A frame of Ethernet.
fn ethernet(from: [u8; 6], to: [u8; 6], kind: u16, rest: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), rest].concat()
}

/// IPv4 without options.
fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, rest: &[u8]) -> Vec<u8> {
    let len = (20 + rest.len() as u16).to_be_bytes();
    let head = [0x45, 0, len[0], len[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    [&head[..], &from, &to, rest].concat()
}

/// IPv6 without extension headers.
fn ipv6(from: [u8; 16], to: [u8; 16], protocol: u8, rest: &[u8]) -> Vec<u8> {
    let len = (rest.len() as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, len[0], len[1], protocol, 64];
    [&head[..], &from, &to, rest].concat()
}

/// The ports, and what follows them.
fn ports(from: u16, to: u16) -> Vec<u8> {
    let mut head = vec![0; 24];
    head[..2].copy_from_slice(&from.to_be_bytes());
    head[2..4].copy_from_slice(&to.to_be_bytes());
    // A TCP header of 20 bytes; to UDP it is a checksum.
    head[12] = 0x50;
    head
}

/// Frames in which each field is what the maps have, or is not, in each direction; some cut short, some of other protocols.
fn frames() -> Vec<Packet> {
    let mut all = Vec::new();
    for sides in 0..8u8 {
        let pick = |bit: u8, known: u8| usize::from(sides >> bit & 1 == known);
        let mac = |known| [OTHER_MAC, MAC][pick(0, known)];
        let port = |known| [OTHER_PORT, PORT][pick(2, known)];
        for protocol in [6, 17, 1] {
            let inner = ports(port(1), port(0));
            let v4 = |known| [OTHER_V4, V4][pick(1, known)];
            let v6 = |known| [OTHER_V6, V6][pick(1, known)];
            all.push(ethernet(mac(1), mac(0), 0x0800, &ipv4(v4(1), v4(0), protocol, &inner)));
            all.push(ethernet(mac(1), mac(0), 0x86dd, &ipv6(v6(1), v6(0), protocol, &inner)));
        }
    }
    // Nothing known at all, and what is neither IPv4 nor IPv6.
    let strange = ports(OTHER_PORT, OTHER_PORT);
    all.push(ethernet(OTHER_MAC, OTHER_MAC, 0x0800, &ipv4(OTHER_V4, OTHER_V4, 6, &strange)));
    all.push(ethernet(OTHER_MAC, OTHER_MAC, 0x0806, &[0; 28]));
    all.push(ethernet(MAC, OTHER_MAC, 0x0806, &[0; 28]));
    // A VLAN's tag, options, an extension header; then every length up to the ports.
    let tagged = [&[0, 7, 8, 0][..], &ipv4(V4, OTHER_V4, 6, &ports(PORT, 1))].concat();
    all.push(ethernet(MAC, OTHER_MAC, 0x8100, &tagged));
    let mut options = ipv4(V4, OTHER_V4, 17, &[&[1, 1, 1, 0][..], &ports(PORT, 1)].concat());
    options[0] = 0x46;
    all.push(ethernet(OTHER_MAC, OTHER_MAC, 0x0800, &options));
    let extended = [&[6, 0, 0, 0, 0, 0, 0, 0][..], &ports(1, PORT)].concat();
    all.push(ethernet(OTHER_MAC, OTHER_MAC, 0x86dd, &ipv6(OTHER_V6, V6, 0, &extended)));
    let whole = ethernet(OTHER_MAC, OTHER_MAC, 0x0800, &ipv4(OTHER_V4, V4, 6, &ports(1, PORT)));
    all.extend((14..whole.len()).step_by(3).map(|len| whole[..len].to_vec()));
    all.into_iter().map(Packet::new).collect()
}

/// The value of a per-CPU map in which each CPU has the same flags.
fn on_each_cpu(flags: u64) -> Vec<u8> {
    flags.to_ne_bytes().repeat(plain_env().nr_cpus() as usize)
}

/// A filter with what its maps hold.
fn filter(object: &'static str, program: &'static str, [eth, ip, port]: [u64; 3]) -> Row {
    let mut row = row(object, program).packets(frames());
    let has = |what: &[&str]| what.iter().any(|w| program.ends_with(w));
    if has(&["eth", "all"]) {
        row = row.with("filter_ethernet", &MAC, &on_each_cpu(eth));
    }
    if has(&["ip", "all"]) {
        row = row.with("filter_ipv4", &V4, &on_each_cpu(ip));
        row = row.with("filter_ipv6", &V6, &on_each_cpu(ip));
    }
    if has(&["tcp", "udp", "all"]) {
        row = row.with("filter_ports", &u32::from(PORT.to_be()).to_ne_bytes(), &on_each_cpu(port));
    }
    row
}

#[test]
fn filters_of_xdp_tools_judge_packets_as_on_linux() {
    let ask = linux::can_ask();
    let mut wrong = Vec::new();
    let mut seen = [false; 5];
    for mode in ["alw", "dny"] {
        for what in ["all", "eth", "ip", "tcp", "udp"] {
            let name: &'static str = format!("xdpfilt_{mode}_{what}").leak();
            let Some(path) = installed(name) else { return not_installed() };
            for flags in [[SRC, DST, SRC | TCP], [DST, SRC, DST | UDP], [SRC | DST, SRC | DST, 15], [0, 0, 0]]
            {
                let row = filter(path.clone().leak(), name, flags);
                if let Err(e) = judge(&row, ask) {
                    wrong.push(format!("{name}, {flags:?}: {e}"));
                    continue;
                }
                let outcome = crate::ours::run(&row, crate::ENGINES[0]).unwrap();
                outcome.packets.iter().for_each(|p| seen[p.action as usize] = true);
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n\n"));
    assert_eq!(seen, [true, true, true, false, false], "cut short, dropped, passed");
}

/// `struct xdp_dispatcher_config` of libxdp 1.3 or 1.2, which differ in size: the first byte is the number of programs where no magic stands before it.
fn config(size: usize, programs: u8, actions: u32) -> Vec<u8> {
    let mut config = vec![0u8; size];
    // magic, version, number of programs, whether the dispatcher and each program take several buffers; or the number alone.
    let (count, actions_at) = if size >= 124 { (2, 4) } else { (0, 4) };
    if size >= 124 {
        config[..2].copy_from_slice(&[236, 2]);
    }
    config[count] = programs;
    for word in config[actions_at..actions_at + 40].chunks_exact_mut(4) {
        word.copy_from_slice(&actions.to_ne_bytes());
    }
    config
}

/// The dispatcher's own places for programs give 31, which libxdp lets go on.
#[test]
fn libxdps_dispatcher_goes_through_its_places_as_on_linux() {
    let Some(path) = installed("xdp-dispatcher") else { return not_installed() };
    let path: &'static str = path.leak();
    let ask = linux::can_ask();
    let plain = row(path, "xdp_dispatcher");
    let loaded = crate::ours::load(&plain, crate::ENGINES[0]).unwrap();
    let size = loaded.map("xdp_disp.rodata").spec().value_size as usize;
    for programs in [0, 1, 2, 9, 10, 11, 255] {
        for actions in [0, 1 << 31, 1 << 2, u32::MAX] {
            let row = row(path, "xdp_dispatcher").initially(".rodata", &config(size, programs, actions));
            judge(&row, ask).unwrap_or_else(|e| panic!("{programs} programs, {actions:#x}: {e}"));
            // A place that does not let go on ends the run with what it gave: no action, aborted.
            let outcome = crate::ours::run(&row, crate::ENGINES[0]).unwrap();
            let action = if programs == 0 || actions >> 31 == 1 { 2 } else { 0 };
            assert_eq!(outcome.packets[0].action, action, "{programs} programs, {actions:#x}");
        }
    }
}
