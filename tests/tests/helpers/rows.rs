//! The table: which programs of tests/progs run, with what.

use crate::row::{Outcome, Packet, Row, row};
use std::collections::{BTreeMap, BTreeSet};
use uxdp_core::vm::RxMeta;

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let families =
        [moved, strings, system, format, network, hosts, dynptrs, frags, cookies, redirects, maps, flow];
    families.iter().flat_map(|family| family()).collect()
}

/// Packets that say by their first byte what is done.
fn choices(n: u8) -> Vec<Packet> {
    (0..n).map(|i| Packet::new([&[i], &[7; 63][..]].concat())).collect()
}

fn moved() -> Vec<Row> {
    // Head, metadata after it, metadata before it; the packet has 64 bytes, of which 14 stay, and 256 before it, of which 40 stay.
    let asked = |meta: usize, [head, after, before]: [i32; 3]| {
        let mut p = Packet { meta, ..Packet::counting(meta + 64) };
        p.bytes[meta..meta + 12].copy_from_slice(&[head, after, before].map(i32::to_le_bytes).concat());
        p
    };
    const HEADS: [i32; 18] =
        [0, 1, -1, 4, -4, 49, 50, 51, -100, -207, -208, -209, -215, -216, -217, -256, i32::MAX, i32::MIN];
    const METAS: [i32; 26] = [
        0,
        1,
        2,
        3,
        4,
        8,
        9,
        -1,
        -2,
        -3,
        -4,
        -5,
        -8,
        -32,
        -36,
        -100,
        -212,
        -215,
        -216,
        -217,
        -220,
        -252,
        -255,
        -256,
        i32::MAX,
        i32::MIN,
    ];
    let mut all = Vec::new();
    for meta in [0, 4, 8, 32] {
        all.extend(HEADS.map(|head| asked(meta, [head, 0, 0])));
        all.extend(HEADS.map(|head| asked(meta, [head, -4, -8])));
        all.extend(METAS.map(|m| asked(meta, [0, m, 0])));
        all.extend(METAS.map(|m| asked(meta, [-20, m, 0])));
        all.extend(METAS.map(|m| asked(meta, [40, -260, m])));
        all.extend(METAS.map(|m| asked(meta, [40, m, -8])));
    }
    vec![
        row("adjust", "adjust").packets(choices(8)),
        row("ends", "ends").packets(all).expect(|o| {
            // In the order in which they were noted, which is that of the keys as numbers.
            let number = |v: &[u8]| i64::from_le_bytes(v.try_into().unwrap());
            let results = o
                .map("results")
                .iter()
                .map(|(k, v)| (u32::from_le_bytes(k[..].try_into().unwrap()), number(v)));
            let results: BTreeMap<u32, i64> = results.collect();
            let calls = 3 * o.packets.len() as u32;
            let number = |i: u32| results[&i];
            let seen: BTreeSet<i64> = (0..calls).map(|i| number(3 * i)).collect();
            assert_eq!(seen, [0, -13, -22].into(), "success, EACCES, EINVAL");
            let longest = (0..calls).map(|i| number(3 * i + 1)).max();
            assert_eq!(longest, Some(252), "as much metadata as there may be");
        }),
    ]
}

fn strings() -> Vec<Row> {
    let programs = [
        "strings_numbers",
        "strings_unsigned",
        "strings_compared",
        "strings_searched",
        "strings_places",
        "strings_too_long",
    ];
    let mut rows: Vec<Row> = programs.map(|program| row("strings", program)).into();
    rows[0].expect = Some(|o| assert_eq!((o.number(0), o.number(1), o.map(".bss").len()), (3, 123, 1)));
    rows
}

/// Readings of clocks are not compared, but near to what this process reads.
fn system() -> Vec<Row> {
    fn expect(o: &Outcome) {
        use uxdp_core::platform::{Clock, Platform};
        use uxdp_platform::PLATFORM;
        let clocks = [Clock::Monotonic, Clock::Boottime, Clock::Coarse, Clock::Tai];
        for (i, clock) in clocks.into_iter().enumerate() {
            let now = PLATFORM.clock_ns(clock).unwrap() as i64;
            assert!((0..5_000_000_000).contains(&(now - o.number(16 + i))), "{clock:?}");
        }
        let tick = PLATFORM.tick_ns() as i64;
        let jiffies = (1 << 32) - 300_000_000_000 / tick + o.number(16) / tick;
        assert!((o.number(20) - jiffies).abs() < 100, "{} and {jiffies}", o.number(20));
    }
    vec![row("system", "system_readings").mask(".bss", 128..168).expect(expect)]
}

fn format() -> Vec<Row> {
    ["format_numbers", "format_texts", "format_large", "format_traced"].map(|p| row("format", p)).into()
}

/// With tables of one route; those of a kernel are compared in `fib.rs`.
fn network() -> Vec<Row> {
    const WHY: &str = "its tables are this machine's; fib.rs compares them";
    let mut question = vec![0u8; 80];
    (question[0], question[8]) = (2, 1);
    question[32..36].copy_from_slice(&[10, 0, 0, 9]);
    let mtu = [[0u8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0].as_slice(), &[0; 48]].concat();
    vec![
        row("fib", "fib_query")
            .env(crate::fib::small_env)
            .packets([Packet::new(question)])
            .unjudged(WHY)
            .expect(|o| {
                let bytes = &o.packets[0].bytes;
                assert_eq!(bytes[72..80], [0; 8]);
                assert_eq!(bytes[52..64], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9]);
            }),
        row("fib", "mtu_query").env(crate::fib::small_env).packets([Packet::new(mtu)]).unjudged(WHY).expect(
            |o| {
                let bytes = &o.packets[0].bytes;
                assert_eq!(
                    (&bytes[4..8], &bytes[16..24]),
                    (&1500u32.to_le_bytes()[..], &1u64.to_le_bytes()[..])
                );
            },
        ),
    ]
}

/// What the host of `host.rs` answers; Linux is asked what needs none.
fn hosts() -> Vec<Row> {
    const WHY: &str = "its sockets and connections are the test's own";
    let said =
        RxMeta { valid: 7, hash: 0xabcd, hash_type: 9, vlan_proto: 0x0081, vlan_tci: 42, timestamp: 1 << 40 };
    let some = RxMeta { valid: RxMeta::TIMESTAMP, ..said };
    let with = |rx| [Packet { rx, ..Packet::counting(64) }];
    static ANSWERS: fn(&Outcome, &[i64]) = |o, expected| {
        let got: Vec<i64> = (0..expected.len()).map(|i| o.number(i)).collect();
        assert_eq!(got, expected);
    };
    vec![
        row("host", "host_no_socket").env(crate::host::env),
        row("host", "host_no_connection").env(crate::host::env),
        row("host", "host_sockets").env(crate::host::env).unjudged(WHY).expect(|o| {
            ANSWERS(o, &[1, 0, 1, 0, 0, 0, 0, 0]);
            let cookies: Vec<i64> = (16..24).map(|i| o.number(i)).collect();
            assert_eq!(cookies, [77 | 1460 << 32, -22, -22, -2, -22, -2, 0, -22]);
        }),
        row("host", "host_connections")
            .env(crate::host::env)
            .unjudged(WHY)
            .expect(|o| ANSWERS(o, &[0, -2, 1, 0, 1, 0, 0, 1, 77, 0])),
        row("host", "host_refusals").env(crate::host::env).unjudged(WHY).expect(|o| {
            let refused = [0, -17, 0, -97, 1, -16, 0, 0, -2, 0, 1, -1, -16, 1, 77, 0, -2];
            ANSWERS(o, &refused);
        }),
        row("host", "host_no_cookies")
            .env(crate::host::env)
            .unjudged("connections and idle listeners are the test's own; sockets.rs has what Linux judges")
            .expect(|o| ANSWERS(o, &[-22, -22, -2, -2])),
        row("host", "host_metadata")
            .packets(with(said))
            .unjudged("Linux wants a program that is bound to a device")
            .expect(|o| ANSWERS(o, &[0, 0xabcd, 9, 0, 1 << 40, 0, 0x0081, 42])),
        row("host", "host_metadata")
            .packets(with(some))
            .unjudged("as above")
            .expect(|o| ANSWERS(o, &[-61, 1, 2, 0, 1 << 40, -61, 4, 5])),
    ]
}

/// The first buffer of a packet in Linux's test run has room for so many bytes.
const LINEAR: usize = 3520;

fn dynptrs() -> Vec<Row> {
    let chained = |len: usize, linear: usize| Packet { linear: Some(linear), ..Packet::counting(len) };
    vec![
        row("dynptr", "dynptr_memory"),
        row("dynptr", "dynptr_clone_of_nothing"),
        row("dynptr", "dynptr_ring"),
        row("dynptr", "dynptr_packet").packets([Packet::counting(64), Packet::counting(LINEAR)]),
        row("dynptr", "dynptr_frags").packets([
            Packet::counting(1000),
            chained(LINEAR + 10, LINEAR),
            chained(9000, LINEAR),
            chained(9000, 100),
            chained(60_000, LINEAR),
        ]),
    ]
}

fn frags() -> Vec<Row> {
    let packet = |len: usize, linear: usize, numbers: [i32; 2]| {
        let mut p = Packet { linear: Some(linear), ..Packet::counting(len) };
        p.bytes[..8].copy_from_slice(&numbers.map(i32::to_le_bytes).concat());
        p
    };
    let sizes = [
        (100, 100),
        (LINEAR, LINEAR),
        (LINEAR + 1, LINEAR),
        (8000, LINEAR),
        (9000, 64),
        (60_000, LINEAR),
        (4160, 64),
    ];
    let by = [
        0,
        1,
        -1,
        100,
        -100,
        511,
        512,
        3000,
        4095,
        4096,
        -4000,
        -4096,
        -5000,
        -9000,
        -60_000,
        100_000,
        i32::MAX,
        i32::MIN,
    ];
    let tails = sizes.iter().flat_map(|&(len, linear)| {
        by.iter().flat_map(move |&a| [0, 7, -7, -3000].map(|b| packet(len, linear, [a, b])))
    });
    let pulled = [0, 50, 64, 65, 100, 1000, 3519, 3520, 3521, 3700, 3735, 3736, 3737, 4000, 8000, 70_000, -1];
    let pulls = sizes.iter().flat_map(|&(len, linear)| {
        pulled.iter().flat_map(move |&n| [0, -16, -200, 20].map(|head| packet(len, linear, [n, head])))
    });
    vec![
        row("frags", "frags_bytes").packets([
            Packet::counting(300),
            packet(9000, LINEAR, [0; 2]),
            packet(9000, 200, [0; 2]),
            packet(65_000, LINEAR, [0; 2]),
        ]),
        row("frags", "frags_sample").packets([Packet::counting(300), packet(9000, LINEAR, [0; 2])]),
        row("frags", "frags_tail").packets(tails.collect::<Vec<_>>()),
        row("frags", "frags_pull").packets(pulls.collect::<Vec<_>>()),
    ]
}

/// Cookies differ, what they tell does not.
fn cookies() -> Vec<Row> {
    vec![row("cookie", "cookie_ipv4"), row("cookie", "cookie_ipv6")]
}

fn redirects() -> Vec<Row> {
    // A device map may hold interfaces that exist alone: the loopback device is everywhere.
    let device = [1u32, 0].map(u32::to_le_bytes).concat();
    let queue = [16u32, 0].map(u32::to_le_bytes).concat();
    let with = |program| {
        row("redirect", program)
            .packets(choices(40))
            .with("devices", &0u32.to_le_bytes(), &device)
            .with("hashed", &5u32.to_le_bytes(), &device)
            .with("cpus", &1u32.to_le_bytes(), &queue)
    };
    let socket = |program| with(program).with("sockets", &0u32.to_le_bytes(), &1u32.to_le_bytes());
    vec![
        with("redirect_plain"),
        with("redirect_maps")
            .expect(|o| assert_eq!(o.packets[30].action, 0, "no socket, and no action instead")),
        socket("redirect_maps").expect(|o| assert_eq!(o.packets[30].action, 4, "a socket")),
    ]
}

fn maps() -> Vec<Row> {
    vec![
        row("maps", "maps_values"),
        row("maps", "maps_queues"),
        row("maps", "maps_ring"),
        row("maps", "maps_sums"),
        row("edges", "edges_percpu"),
        row("edges", "edges_queues"),
        row("edges", "edges_samples").sampled("samples").expect(|o| {
            let samples: Vec<usize> = o.map("samples").iter().map(|(_, s)| s.len()).collect();
            assert_eq!(samples, [4, 20, 12, 76, 28, 12]);
        }),
    ]
}

/// Locks, loops, iterators, walks over maps.
fn flow() -> Vec<Row> {
    let programs = [
        ("locks", "locks", 20),
        ("loop", "loop", 20),
        ("loop", "longest", 1),
        ("numbers", "numbers", 20),
        ("walk", "walk", 20),
    ];
    // Timers that do not expire while the row runs; what expires is tested with timers' own tests.
    let asked = |what: u8, key: u8| Packet::new([&[what, key], &[7; 62][..]].concat());
    let questions = [0, 1, 0, 3, 4, 4, 3, 4].iter().flat_map(|&what| [asked(what, 0), asked(what, 1)]);
    let timers = row("timers", "timers").packets(questions.collect::<Vec<_>>());
    // Nothing is in the ring: how many samples there are, and which flags are none. Samples are shown in `callbacks`.
    let drains = row("user_ring", "user_ring").packets([asked(9, 0), asked(9, 1), asked(9, 3), asked(9, 4)]);
    let rows = programs.map(|(object, program, n)| row(object, program).packets(choices(n)));
    // What the object puts into its own prog array: calls that are taken, that are not, and one too many.
    let slots = row("slots", "slots").packets(choices(6)).expect(|o| {
        assert_eq!(o.packets.iter().map(|p| p.action).collect::<Vec<_>>(), [3, 1, 1, 1, 2, 2]);
        let ran: Vec<i64> = (0..14).map(|i| o.number(i)).collect();
        assert_eq!(ran, [6, 1, 50, 2, 16, 5, 0, 0, 0, 1, 1, 1, 0, 0]);
    });
    // The program that a tail call came back to is the one whose function the callback is.
    let came_back = row("came_back", "first").expect(|o| {
        assert_eq!([0, 1, 2].map(|i| o.number(i)), [1, 0, 77]);
        let timed: Vec<i64> = (8..20).map(|i| o.number(i)).collect();
        assert_eq!(timed, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    });
    rows.into_iter().chain([timers, drains, slots, came_back]).collect()
}
