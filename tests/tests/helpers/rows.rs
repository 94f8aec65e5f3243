//! The table: which programs of tests/progs run, with what.

use crate::row::{Outcome, Packet, Row, row};

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [moved(), strings(), system(), format()].concat()
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
