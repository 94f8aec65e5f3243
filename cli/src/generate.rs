//! `uxdp gen`: packets from a seed, as a capture file.

use crate::args::Gen;
use crate::outcome::Verdict;
use crate::packets::Capture;
use crate::table::{row, table, text};
use anyhow::Result;
use std::io::Write;
use std::time::Duration;
use uxdp_control::traffic::{Kind, Traffic};

/// When the first packet was; the others follow a microsecond apart.
const START: Duration = Duration::from_secs(1_700_000_000);

pub(crate) fn run(args: &Gen, out: &mut dyn Write) -> Result<Verdict> {
    let Some(path) = &args.out else { return list(out) };
    let mut capture = Capture::create(path)?;
    for (number, packet) in Traffic::new(args.seed, &args.kinds).take(args.count).enumerate() {
        capture.write(START + Duration::from_micros(number as u64), &packet)?;
    }
    capture.finish()?;
    writeln!(out, "{}: {} packets, seed {}", path.display(), args.count, args.seed)?;
    Ok(Verdict::Good)
}

fn list(out: &mut dyn Write) -> Result<Verdict> {
    let mut t = table(&["KIND", "PACKETS"]);
    for kind in Kind::ALL {
        row(&mut t, &[&kind.name(), &kind.about()]);
    }
    out.write_all(text(&t).as_bytes())?;
    Ok(Verdict::Good)
}
