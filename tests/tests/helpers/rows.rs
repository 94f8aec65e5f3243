//! The table: which programs of tests/progs run, with what.

use crate::row::{Packet, Row, row};

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [moved(), strings()].concat()
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
