//! What is timed: lanes, chunk by chunk in turn.

use anyhow::{Result, ensure};
use serde::Serialize;
use std::time::{Duration, Instant};
use uxdp_control::sample;

/// Passes over all packets in a chunk.
const PASSES: usize = 16;
/// How long all lanes of one program are timed together.
const TIME: Duration = Duration::from_millis(1500);
const CHUNKS: std::ops::Range<usize> = 101..20_000;
/// Room before and behind a packet.
const ROOM: usize = 256;

/// One engine with one program.
pub(crate) trait Lane {
    /// Runs that many passes over all packets; the sum of the actions' codes.
    fn run(&mut self, passes: usize) -> u64;
}

/// What a lane took, in nanoseconds a packet.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) ns_min: f64,
    pub(crate) ns_median: f64,
    pub(crate) ns_p99: f64,
}

/// Packets side by side, an odd number of cache lines apart so that they spread over a cache's sets.
pub(crate) struct Packets {
    memory: Vec<u8>,
    lens: Vec<usize>,
    stride: usize,
}

impl Packets {
    pub(crate) fn new() -> Self {
        let packets = sample::packets();
        let longest = packets.iter().map(Vec::len).max().unwrap_or(0);
        let stride = ((ROOM + longest + ROOM).div_ceil(64) | 1) * 64;
        let mut memory = vec![0; stride * packets.len()];
        for (slot, packet) in memory.chunks_mut(stride).zip(&packets) {
            slot[ROOM..ROOM + packet.len()].copy_from_slice(packet);
        }
        Packets { memory, lens: packets.iter().map(Vec::len).collect(), stride }
    }

    /// Each packet's buffer, and where in it the packet is.
    pub(crate) fn buffers(&mut self) -> impl Iterator<Item = (&mut [u8], std::ops::Range<usize>)> {
        self.memory.chunks_mut(self.stride).zip(&self.lens).map(|(slot, len)| (slot, ROOM..ROOM + len))
    }

    /// How many there are.
    pub(crate) fn count() -> usize {
        sample::packets().len()
    }
}

/// Times lanes against each other. All of them must give the same actions.
pub(crate) fn measure(lanes: &mut [&mut dyn Lane]) -> Result<Vec<Sample>> {
    let first: Vec<u64> = lanes.iter_mut().map(|l| l.run(2)).collect();
    ensure!(first.windows(2).all(|w| w[0] == w[1]), "the lanes disagree about the actions: {first:?}");
    let mut times = vec![Vec::new(); lanes.len()];
    let runs = (PASSES * Packets::count()) as f64;
    let begin = Instant::now();
    for chunk in 0..CHUNKS.end {
        if chunk >= CHUNKS.start && begin.elapsed() > TIME {
            break;
        }
        for (lane, ns) in lanes.iter_mut().zip(&mut times) {
            let start = Instant::now();
            std::hint::black_box(lane.run(PASSES));
            ns.push(start.elapsed().as_nanos() as f64 / runs);
        }
    }
    Ok(times.into_iter().map(summary).collect())
}

fn summary(mut ns: Vec<f64>) -> Sample {
    ns.sort_by(f64::total_cmp);
    let at = |share: f64| ns[((ns.len() - 1) as f64 * share) as usize];
    Sample { ns_min: at(0.0), ns_median: at(0.5), ns_p99: at(0.99) }
}
