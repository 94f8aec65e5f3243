//! What is timed: lanes, chunk by chunk in turn, on one core; and so many operations in a stretch of time, on one core and on two at once.

use anyhow::{Context, Result};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Operations of a chunk.
pub(crate) const CHUNK: usize = 4096;
/// How often a lane goes through all keys before the next lane's turn: the first time brings its tables back to the caches, for each lane alike.
const PASSES: usize = 3;
/// A lane so slow that it would take longer has its turn cut short.
const TURN: Duration = Duration::from_millis(60);
/// Stretches of which the best counts, one core and two in turn.
const STRETCHES: usize = 8;

/// What a chunk is about: [`CHUNK`] keys, in an order that looks random, of the `span` that begin with `first`.
pub(crate) struct Ask<'a> {
    pub(crate) keys: &'a [u64],
    pub(crate) first: u64,
    pub(crate) span: u64,
}

/// One implementation of one operation, on one thread.
pub(crate) trait Lane {
    /// Does it once for each key.
    fn run(&mut self, ask: &Ask<'_>) -> u64;
}

/// Makes a lane for a thread, on it.
pub(crate) type Make<'a> = Box<dyn Fn(u32) -> Result<Box<dyn Lane + 'a>> + Sync + 'a>;

/// Keys of one thread.
pub(crate) struct Keys {
    pub(crate) first: u64,
    pub(crate) span: u64,
    pub(crate) order: Vec<u64>,
}

impl Keys {
    fn chunks(&self) -> impl Iterator<Item = Ask<'_>> {
        let ask = |keys| Ask { keys, first: self.first, span: self.span };
        self.order.chunks_exact(CHUNK).map(ask).cycle()
    }
}

/// Nanoseconds an operation of each lane: the quickest of its chunks, in which nothing else got in the way.
pub(crate) fn alone(lanes: &[Make<'_>], keys: &Keys, time: Duration) -> Result<Vec<f64>> {
    pin(0);
    let mut made = lanes.iter().map(|make| make(0)).collect::<Result<Vec<_>>>()?;
    let mut best = vec![f64::MAX; lanes.len()];
    let begin = Instant::now();
    let per_turn = PASSES * (keys.order.len() / CHUNK);
    while begin.elapsed() < time || best.contains(&f64::MAX) {
        for (lane, best) in made.iter_mut().zip(&mut best) {
            let turn = Instant::now();
            for ask in keys.chunks().take(per_turn) {
                let start = Instant::now();
                std::hint::black_box(lane.run(&ask));
                *best = best.min(start.elapsed().as_nanos() as f64 / CHUNK as f64);
                if turn.elapsed() > TURN {
                    break;
                }
            }
        }
    }
    Ok(best)
}

/// Operations a microsecond of a lane on one core, and on two together.
pub(crate) fn together(make: &Make<'_>, keys: &[Keys; 2], time: Duration) -> Result<[f64; 2]> {
    let mut best = [0.0; 2];
    for _ in 0..STRETCHES {
        for threads in [1, 2] {
            let rate = stretch(make, &keys[..threads], time / STRETCHES as u32 / 2)?;
            best[threads - 1] = f64::max(best[threads - 1], rate);
        }
    }
    Ok(best)
}

fn stretch(make: &Make<'_>, keys: &[Keys], time: Duration) -> Result<f64> {
    let begin = Barrier::new(keys.len());
    std::thread::scope(|s| {
        let work = |(thread, keys)| {
            let begin = &begin;
            s.spawn(move || run_for(make, thread, keys, begin, time))
        };
        let threads: Vec<_> = (0u32..).zip(keys).map(work).collect();
        let mut rates = threads.into_iter().map(|t| t.join().ok().context("a thread panicked")?);
        rates.try_fold(0.0, |sum, rate| Ok(sum + rate?))
    })
}

fn run_for(make: &Make<'_>, thread: u32, keys: &Keys, begin: &Barrier, time: Duration) -> Result<f64> {
    pin(thread);
    let made = make(thread);
    begin.wait();
    let mut lane = made?;
    let (start, mut done) = (Instant::now(), 0);
    for ask in keys.chunks() {
        std::hint::black_box(lane.run(&ask));
        done += CHUNK;
        if start.elapsed() > time {
            break;
        }
    }
    Ok(done as f64 / (start.elapsed().as_nanos() as f64 / 1e3))
}

/// Keeps this thread on one CPU.
fn pin(cpu: u32) {
    // SAFETY: a set of plain bits, as long as said.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}
