//! The table: which programs of tests/progs run, with what.

use crate::row::{Outcome, Packet, Row, row};
use uxdp_core::vm::RxMeta;

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [moved(), strings(), system(), format(), network(), hosts()].concat()
}

/// Packets that say by their first byte what is done.
fn choices(n: u8) -> Vec<Packet> {
    (0..n).map(|i| Packet::new([&[i], &[7; 63][..]].concat())).collect()
}

fn moved() -> Vec<Row> {
    vec![row("adjust", "adjust").packets(choices(8))]
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
