//! Connection tracking beside Linux's: thousands of questions about few connections, to Linux in a network name space of this test's own and to a host that keeps a table as
//! netfilter does. What each leaves in the packets, and what is in both tables in the end, has to be the same.

use crate::counting::uncounted;
use crate::row::{Packet, row};
use crate::{judge, linux};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use uxdp_core::error::Errno;
use uxdp_core::host::{CtQuery, Host, Object, Service, Tracked};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Env, EnvOptions};

const EXPECTED: u32 = 1;
const SEEN_REPLY: u32 = 2;
const ASSURED: u32 = 4;
const CONFIRMED: u32 = 8;
const DYING: u32 = 1 << 9;
const FIXED_TIMEOUT: u32 = 1 << 10;
/// Bits that nobody changes; those of a request are passed over, but for the three that it must not differ in.
const UNCHANGEABLE: u32 = 0x1ff & !(SEEN_REPLY | ASSURED) | DYING | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

/// A zone and the directions it is for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Zone {
    id: u16,
    directions: u8,
}

impl Zone {
    fn of(query: &CtQuery<'_>) -> Zone {
        let directions = if query.zone_direction == 0 { 3 } else { query.zone_direction };
        Zone { id: query.zone, directions }
    }

    fn id(self, direction: usize) -> u16 {
        if self.directions & 1 << direction != 0 { self.id } else { 0 }
    }
}

/// A connection, known or not yet.
struct Connection {
    protocol: u8,
    /// As the program has it, and with source and destination changed over.
    tuples: [Vec<u8>; 2],
    zone: Zone,
    timeout: AtomicU32,
    status: AtomicU32,
    references: AtomicU32,
}

impl Connection {
    fn change_status(&self, status: u32) -> Result<(), Errno> {
        let old = self.status.load(Ordering::Relaxed);
        let only_set = |bit: u32| old & bit != 0 && status & bit == 0;
        let differs = old ^ status;
        if differs & (EXPECTED | CONFIRMED | DYING) != 0 || only_set(SEEN_REPLY) || only_set(ASSURED) {
            return Err(Errno::EBUSY);
        }
        self.status.store(old | status & !UNCHANGEABLE, Ordering::Relaxed);
        Ok(())
    }
}

/// Tracked connections.
#[derive(Default)]
struct Table(Mutex<Vec<&'static Connection>>);

/// Source and destination changed over.
fn reply(tuple: &[u8]) -> Vec<u8> {
    let address = if tuple.len() == 12 { 4 } else { 16 };
    let (from, to) = tuple[..2 * address].split_at(address);
    let (from_port, to_port) = tuple[2 * address..].split_at(2);
    [to, from, to_port, from_port].concat()
}

fn object(of: &'static Connection) -> Object {
    std::ptr::NonNull::from(of).cast()
}

fn connection(object: Object) -> &'static Connection {
    // SAFETY: connections are never freed, and no other objects are given away.
    unsafe { object.cast::<Connection>().as_ref() }
}

impl Host for Table {
    fn provides(&self, _: Service) -> bool {
        true
    }

    fn ct_alloc(&self, query: &CtQuery<'_>) -> Result<Object, Errno> {
        if query.netns >= 0 {
            return Err(Errno::ENONET);
        }
        let new = uncounted(|| {
            Box::leak(Box::new(Connection {
                protocol: query.protocol,
                tuples: [query.tuple.to_vec(), reply(query.tuple)],
                zone: Zone::of(query),
                timeout: AtomicU32::new(10_000),
                status: AtomicU32::new(0),
                references: AtomicU32::new(1),
            }))
        });
        Ok(object(new))
    }

    fn ct_lookup(&self, query: &CtQuery<'_>) -> Result<Tracked, Errno> {
        if query.netns >= 0 {
            return Err(Errno::ENONET);
        }
        let zone = Zone::of(query);
        let mut all = self.0.lock().unwrap();
        let matches = |c: &Connection, direction: usize| {
            c.protocol == query.protocol
                && c.tuples[direction] == query.tuple
                && c.zone.id(direction) == zone.id(direction)
        };
        // Whose time is over goes when somebody comes by.
        all.retain(|c| c.timeout.load(Ordering::Relaxed) != 0 || !(matches(c, 0) || matches(c, 1)));
        // By the zone of the one direction, then by that of the other; the newest first.
        let by = |id: u16| {
            let both = all.iter().rev().flat_map(|c| [(*c, 0), (*c, 1)]);
            both.into_iter().find(|(c, d)| matches(c, *d) && c.zone.id(*d) == id)
        };
        let (found, direction) = by(zone.id(0)).or_else(|| by(zone.id(1))).ok_or(Errno::ENOENT)?;
        found.references.fetch_add(1, Ordering::Relaxed);
        Ok(Tracked { object: object(found), direction: direction as u8 })
    }

    fn ct_insert(&self, new: Object) -> Option<Object> {
        let new = connection(new);
        let mut all = self.0.lock().unwrap();
        let taken = all.iter().any(|c| {
            (0..2).any(|mine| {
                let zone = new.zone.id(mine);
                (0..2).any(|theirs| {
                    c.protocol == new.protocol
                        && c.tuples[theirs] == new.tuples[mine]
                        && c.zone.id(theirs) == new.zone.id(theirs)
                        && c.zone.id(theirs) == zone
                })
            })
        });
        if taken {
            assert_eq!(new.references.fetch_sub(1, Ordering::Relaxed), 1);
            return None;
        }
        new.status.fetch_or(CONFIRMED, Ordering::Relaxed);
        uncounted(|| all.push(new));
        Some(object(new))
    }

    fn ct_release(&self, tracked: Object) {
        assert_eq!(connection(tracked).references.fetch_sub(1, Ordering::Relaxed), 1);
    }

    fn ct_set_timeout(&self, new: Object, timeout: u32) {
        connection(new).timeout.store(timeout, Ordering::Relaxed);
    }

    fn ct_change_timeout(&self, tracked: Object, timeout: u32) -> Result<(), Errno> {
        let tracked = connection(tracked);
        if tracked.status.load(Ordering::Relaxed) & FIXED_TIMEOUT != 0 {
            return Err(Errno::EPERM);
        }
        tracked.timeout.store(timeout, Ordering::Relaxed);
        Ok(())
    }

    fn ct_set_status(&self, new: Object, status: u32) -> Result<(), Errno> {
        connection(new).change_status(status)
    }

    fn ct_change_status(&self, tracked: Object, status: u32) -> Result<(), Errno> {
        connection(tracked).change_status(status)
    }
}

thread_local! {
    /// The host of this thread's last environment.
    static HOST: Cell<Option<&'static Table>> = const { Cell::new(None) };
}

fn env() -> Arc<Env> {
    let host: &'static Table = Box::leak(Box::default());
    HOST.set(Some(host));
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions { host: Some(host), ..EnvOptions::default() }).unwrap()
}

/// What a table says of a connection, in the words of /proc/net/nf_conntrack: tuples, then marks and zone. Seconds to live are told apart.
type Listed = (Vec<String>, u64);

fn listed(c: &Connection) -> Listed {
    let [tuple, back] = c.tuples.each_ref().map(|t| {
        let size = if t.len() == 12 { 4 } else { 16 };
        let address = |a: &[u8]| match <[u8; 4]>::try_from(a) {
            Ok(a) => Ipv4Addr::from(a).to_string(),
            Err(_) => {
                let segments = Ipv6Addr::from(<[u8; 16]>::try_from(a).unwrap()).segments();
                segments.map(|s| format!("{s:04x}")).join(":")
            }
        };
        let port = |at: usize| u16::from_be_bytes([t[2 * size + at], t[2 * size + at + 1]]);
        let (from, to) = (address(&t[..size]), address(&t[size..2 * size]));
        let (from_port, to_port) = (port(0), port(2));
        [format!("src={from}"), format!("dst={to}"), format!("sport={from_port}"), format!("dport={to_port}")]
    });
    let status = c.status.load(Ordering::Relaxed);
    let zone = match c.zone.directions & 3 {
        1 => "zone-orig",
        2 => "zone-reply",
        3 => "zone",
        _ => "",
    };
    let zone = (c.zone.id != 0 && !zone.is_empty()).then(|| format!("{zone}={}", c.zone.id));
    let unreplied = (status & SEEN_REPLY == 0).then(|| "[UNREPLIED]".to_owned());
    let assured = (status & ASSURED != 0).then(|| "[ASSURED]".to_owned());
    let words = [c.protocol.to_string()].into_iter().chain(tuple).chain(back);
    let words = words.chain(assured).chain(unreplied).chain(zone);
    (words.collect(), u64::from(c.timeout.load(Ordering::Relaxed)) / 1000)
}

/// The kernel's table of this thread's name space.
fn kernels() -> Vec<Listed> {
    let text = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = |of: &[char]| {
            let these = words[5..].iter().filter(|w| w.starts_with(of));
            these.map(|w| (*w).to_owned()).collect::<Vec<String>>()
        };
        let mut marks = said(&['[', 'z']);
        marks.retain(|m| !m.ends_with("=0"));
        marks.sort();
        let listed = [vec![words[3].to_owned()], said(&['s', 'd']), marks].concat();
        (listed, words[4].parse().unwrap())
    };
    let mut all: Vec<Listed> = text.lines().map(line).collect();
    all.sort();
    all
}

/// `struct question` of conntrack.c.
#[derive(Clone, Copy)]
struct Question {
    netns: i32,
    protocol: u8,
    zone: u16,
    directions: u8,
    reserved: u8,
    opts_size: u8,
    tuple_size: u8,
    /// Which of the addresses and ports, and which way round.
    flow: u8,
    does: u8,
    timeout: u32,
    status: u32,
    new_timeout: u32,
    new_status: u32,
}

const SET_TIMEOUT: u8 = 1;
const SET_STATUS: u8 = 2;
const CHANGE_TIMEOUT: u8 = 4;
const CHANGE_STATUS: u8 = 8;
const NEW: u8 = 16;

/// Where the results begin.
const RESULTS: usize = 92;

/// Looks for the flow 0.
const LOOKUP: Question = Question {
    netns: -1,
    protocol: 6,
    zone: 0,
    directions: 0,
    reserved: 0,
    opts_size: 16,
    tuple_size: 12,
    flow: 0,
    does: 0,
    timeout: 0,
    status: 0,
    new_timeout: 0,
    new_status: 0,
};

impl Question {
    fn packet(&self) -> Packet {
        let mut p = vec![0xeeu8; RESULTS + 20];
        p[0..4].copy_from_slice(&self.netns.to_le_bytes());
        p[4..8].copy_from_slice(&77u32.to_le_bytes());
        (p[8], p[9]) = (self.protocol, 9);
        p[10..12].copy_from_slice(&self.zone.to_le_bytes());
        (p[12], p[13], p[14], p[15]) = (self.directions, 0, self.reserved, 0);
        let size = if self.tuple_size >= 36 { 16 } else { 4 };
        let host = |last: u8| {
            let mut address = vec![if size == 4 { 10 } else { 0xfd }];
            address.resize(size, 0);
            address[size - 1] = last;
            address
        };
        let ports = [1000 + u16::from(self.flow >> 1 & 1), 80 + u16::from(self.flow >> 2 & 1)];
        let there = [host(1), host(2), ports[0].to_be_bytes().into(), ports[1].to_be_bytes().into()].concat();
        let tuple = if self.flow & 1 != 0 { reply(&there) } else { there };
        p[32..32 + tuple.len()].copy_from_slice(&tuple);
        p[72..76].copy_from_slice(&[self.opts_size, self.tuple_size, self.does, 0]);
        let numbers = [self.timeout, self.status, self.new_timeout, self.new_status];
        p[76..92].copy_from_slice(&numbers.map(u32::to_le_bytes).concat());
        Packet::new(p)
    }
}

/// Each refusal on its own and beside another, then connections as they come and go.
fn questions() -> Vec<Packet> {
    let mut all = Vec::new();
    for does in [0, NEW] {
        for opts_size in [8, 11, 12, 13, 15, 16, 17, 32] {
            for (zone, reserved) in [(0, 0), (3, 0), (0, 1)] {
                for protocol in [6, 17, 1] {
                    for netns in [-1, -2, 0, 7] {
                        for tuple_size in [0, 11, 12, 13, 35, 36, 40] {
                            let refused = opts_size % 4 != 0
                                || opts_size > 16
                                || reserved != 0
                                || protocol == 1
                                || netns != -1
                                || tuple_size % 12 != 0;
                            if does == 0 || refused {
                                let asked = Question {
                                    does,
                                    opts_size,
                                    zone,
                                    reserved,
                                    protocol,
                                    netns,
                                    tuple_size,
                                    ..LOOKUP
                                };
                                all.push(asked.packet());
                            }
                        }
                    }
                }
            }
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut one_of = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % n
    };
    const TIMES: [u32; 5] = [0, 100_000, 500_000, 3_000_000, 86_400_000];
    const STATUS: [u32; 12] = [
        0,
        SEEN_REPLY,
        ASSURED,
        CONFIRMED,
        CONFIRMED | SEEN_REPLY,
        CONFIRMED | ASSURED,
        CONFIRMED | SEEN_REPLY | ASSURED,
        CONFIRMED | FIXED_TIMEOUT,
        FIXED_TIMEOUT,
        CONFIRMED | DYING,
        CONFIRMED | EXPECTED,
        CONFIRMED | 0xd9f0,
    ];
    for _ in 0..6000 {
        let asked = Question {
            protocol: [6, 6, 6, 17][one_of(4)],
            zone: [0, 0, 0, 3, 4][one_of(5)],
            directions: one_of(5) as u8,
            opts_size: [16, 16, 16, 12][one_of(4)],
            tuple_size: [12, 12, 36][one_of(3)],
            flow: one_of(8) as u8,
            does: [SET_STATUS, CHANGE_TIMEOUT, CHANGE_STATUS, NEW]
                .into_iter()
                .fold(SET_TIMEOUT, |does, bit| does | (bit * one_of(2) as u8)),
            timeout: TIMES[one_of(5)],
            status: STATUS[one_of(12)],
            new_timeout: TIMES[one_of(5)],
            new_status: STATUS[one_of(12)],
            ..LOOKUP
        };
        all.push(asked.packet());
        // One whose time is over is swept when somebody looks, or earlier.
        if asked.timeout == 0 || asked.new_timeout == 0 {
            all.push(Question { does: 0, ..asked }.packet());
        }
    }
    all
}

#[test]
fn connections_are_tracked_as_linux_tracks_them() {
    if !linux::can_ask() {
        return linux::skip("bpf(2) is not permitted");
    }
    let asked = std::thread::spawn(|| {
        // SAFETY: it takes a number; this thread alone is in the new name space.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            linux::skip("no name spaces");
            return Ok(());
        }
        let row = row("conntrack", "conntrack").env(env).packets(questions()).expect(|o| {
            let word = |p: &[u8], at: usize| i32::from_le_bytes(p[at..at + 4].try_into().unwrap());
            let seen = |at: usize| o.packets.iter().map(|p| word(&p.bytes, at)).collect::<BTreeSet<i32>>();
            // Errors of the options; what was found, inserted, and the results of the three.
            assert_eq!(seen(4), [77, -2, -22, -64, -71, -97].into());
            let [found, inserted, set, time, status] = [0, 4, 8, 12, 16].map(|at| seen(RESULTS + at));
            const UNTOUCHED: i32 = i32::from_le_bytes([0xee; 4]);
            assert_eq!((found, inserted), ([0, 1].into(), [UNTOUCHED, 0, 1].into()));
            assert_eq!((set, status), ([UNTOUCHED, 0, -16].into(), [UNTOUCHED, 0, -16].into()));
            assert_eq!(time, [UNTOUCHED, 0, -1].into());
        });
        judge(&row, true)?;
        let host = HOST.get().unwrap().0.lock().unwrap();
        let known = host.iter().filter(|c| c.timeout.load(Ordering::Relaxed) != 0);
        let mut ours: Vec<Listed> = known.map(|c| listed(c)).collect();
        ours.sort();
        let theirs = kernels();
        assert!(ours.len() > 10, "{ours:?}");
        let alike = |(a, b): (&Listed, &Listed)| a.0 == b.0 && a.1.abs_diff(b.1) < 60;
        if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(alike) {
            return Ok(());
        }
        Err(format!("tables differ: {ours:#?}\nand Linux's {theirs:#?}"))
    });
    let judged: Result<(), String> = asked.join().unwrap();
    judged.unwrap_or_else(|e| panic!("{e}"));
}
