//! `uxdp bench`: nanoseconds a packet, code size, load time.
//!
//! A chunk is one pass over all packets, or many passes where the program leaves packets alone; chunks of the engines alternate, so that what else the machine
//! does hits all of them alike. Packets that a run may change are restored before each pass, outside the timing. The cost of reading the clock, measured as chunks of
//! nothing, is taken off. What is timed per packet is what a host pays: filling the context, the call, the program, taking the result.

use crate::args::{Bench, EngineArg};
use crate::engine;
use crate::outcome::{Machine, Verdict};
use crate::packets::{self, Packet};
use crate::table::{row, table, text};
use anyhow::{Result, bail};
use serde::Serialize;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use uxdp_control::session::{Ready, Session};
use uxdp_core::sync::Arc;
use uxdp_core::vm::{Frame, Hook, Origin, Runner, Worker};

/// Room before a packet, as a NIC driver leaves it.
const HEADROOM: usize = 256;
const TAILROOM: usize = 128;
const LINE: usize = 64;
/// Runs that a chunk of several passes has at least.
const CHUNK: usize = 1024;
/// How long all engines together are timed.
const TIME: Duration = Duration::from_millis(1500);
/// Loads of which the quickest counts: the first one also pays for pages that nobody touched before.
const LOADS: usize = 5;
/// Chunks an engine, at least and at most.
const CHUNKS: std::ops::Range<usize> = 101..20_000;

/// What one engine needs, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    file: String,
    program: String,
    engine: &'static str,
    packets: usize,
    packets_change: bool,
    chunks: usize,
    ns_min: f64,
    ns_median: f64,
    ns_p99: f64,
    insns: usize,
    code_bytes: usize,
    /// Native stack that a run takes at most; helpers and programs behind a tail call come on top.
    stack_bytes: u32,
    verify_us: f64,
    compile_us: f64,
    /// Reading the file, making maps, verifying and compiling.
    load_us: f64,
}

/// One engine under test.
struct Lane {
    session: Session,
    ready: Ready,
    /// The whole way from the file to a program that can run.
    load: Duration,
    hook: Arc<Hook>,
    frames: Frames,
    ns: Vec<f64>,
}

pub(crate) fn run(args: &Bench, out: &mut dyn Write) -> Result<Verdict> {
    let packets = match &args.input {
        Some(path) => packets::read_capture(path)?,
        None => packets::sample(),
    };
    if packets.is_empty() {
        bail!("the capture has no packets to run over");
    }
    let mut lanes = Vec::new();
    let all = [EngineArg::Jit, EngineArg::Interp];
    let (engines, named) = if args.engine.is_empty() { (&all[..], false) } else { (&args.engine[..], true) };
    for &engine in engines {
        let session = Session::open(&args.which.file, args.maps.as_deref(), engine::choice(engine))?;
        let index = session.choose(args.which.prog.as_deref())?;
        let mut ready = session.program(index)?;
        let mut load = Duration::MAX;
        for _ in 1..LOADS {
            let begin = Instant::now();
            let again = Session::open(&args.which.file, None, engine::choice(engine))?.program(index)?;
            load = load.min(begin.elapsed());
            ready.verify = ready.verify.min(again.verify);
            ready.compile = ready.compile.min(again.compile);
        }
        engine::check(named.then_some(engine), &ready.prog)?;
        if !named && engine == EngineArg::Jit && ready.prog.engine().code().is_none() {
            continue;
        }
        let hook = session.hook(&ready)?;
        lanes.push(Lane { session, ready, load, hook, frames: Frames::new(&packets), ns: Vec::new() });
    }
    let change = measure(&mut lanes)?;
    let reports: Vec<Report> = lanes.iter_mut().map(|l| report(l, args, packets.len(), change)).collect();
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &reports)?;
        writeln!(out)?;
    } else {
        show(&reports, out)?;
    }
    Ok(Verdict::Good)
}

/// Times all lanes, chunk by chunk in turn; whether the program changes packets.
fn measure(lanes: &mut [Lane]) -> Result<bool> {
    let fail = |e| Machine(format!("cannot run the program: {e}"));
    // Each lane has an environment, and a worker, of its own.
    let workers: Vec<Worker> = lanes
        .iter()
        .map(|l| Worker::register(l.session.env(), 0).map_err(fail))
        .collect::<std::result::Result<_, _>>()?;
    let mut runners = Vec::new();
    let hooks: Vec<Arc<Hook>> = lanes.iter().map(|l| l.hook.clone()).collect();
    for (worker, hook) in workers.iter().zip(&hooks) {
        runners.push(
            Runner::new(worker, hook, Origin { ingress_ifindex: 1, ..Origin::default() }).map_err(fail)?,
        );
    }
    let mut change = false;
    for (lane, runner) in lanes.iter_mut().zip(&mut runners) {
        // The second pass meets the maps that the first one filled.
        for _ in 0..2 {
            change |= lane.frames.changes(|f| runner.run(f));
        }
    }
    let floor = (0..10_000).map(|_| clocked(|| ()).as_nanos()).min().unwrap_or(0) as f64;
    let begin = Instant::now();
    for chunk in 0..CHUNKS.end {
        if chunk >= CHUNKS.start && begin.elapsed() > TIME {
            break;
        }
        for ((lane, runner), worker) in lanes.iter_mut().zip(&mut runners).zip(&workers) {
            let passes = if change { 1 } else { CHUNK.div_ceil(lane.frames.count()) };
            let runs = (passes * lane.frames.count()) as f64;
            let time = lane.frames.time(passes, |f| runner.run(f));
            worker.quiescent();
            lane.ns.push((time.as_nanos() as f64 - floor).max(0.0) / runs);
        }
    }
    Ok(change)
}

fn clocked(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Buffers of packets side by side. Their distance is an odd number of cache lines, so that they spread over the sets of a cache.
struct Frames {
    memory: Vec<u8>,
    original: Vec<u8>,
    packets: Vec<std::ops::Range<usize>>,
    stride: usize,
}

impl Frames {
    fn new(packets: &[Packet]) -> Self {
        let longest = packets.iter().map(|p| p.bytes.len()).max().unwrap_or(0);
        let lines = (HEADROOM + longest + TAILROOM).div_ceil(LINE);
        let stride = (lines | 1) * LINE;
        let mut original = vec![0; stride * packets.len()];
        let mut places = Vec::new();
        for (slot, packet) in original.chunks_mut(stride).zip(packets) {
            let place = HEADROOM..HEADROOM + packet.bytes.len();
            slot[place.clone()].copy_from_slice(&packet.bytes);
            places.push(place);
        }
        Frames { memory: original.clone(), original, packets: places, stride }
    }

    fn count(&self) -> usize {
        self.packets.len()
    }

    /// The packets as they were at first, ready to run.
    fn frames(&mut self) -> Vec<Frame<'_>> {
        self.memory.copy_from_slice(&self.original);
        self.memory
            .chunks_mut(self.stride)
            .zip(&self.packets)
            .filter_map(|(slot, p)| Frame::new(slot, p.clone()).ok())
            .collect()
    }

    /// Whether a pass leaves any packet or buffer other than it was.
    fn changes(&mut self, mut run: impl FnMut(&mut Frame<'_>) -> u32) -> bool {
        let places = self.packets.clone();
        let moved = self.frames().into_iter().zip(&places).any(|(mut f, p)| {
            run(&mut f);
            f.offset() != p.start || f.data().len() != p.len() || !f.metadata().is_empty()
        });
        moved || self.memory != self.original
    }

    /// Passes over all packets.
    fn time(&mut self, passes: usize, mut run: impl FnMut(&mut Frame<'_>) -> u32) -> Duration {
        let mut frames = self.frames();
        clocked(|| {
            for _ in 0..passes {
                for frame in &mut frames {
                    black_box(run(frame));
                }
            }
        })
    }
}

fn report(lane: &mut Lane, args: &Bench, packets: usize, packets_change: bool) -> Report {
    lane.ns.sort_by(f64::total_cmp);
    let at = |share: f64| lane.ns[((lane.ns.len() - 1) as f64 * share) as usize];
    let us = |d: Duration| d.as_secs_f64() * 1e6;
    let prog = &lane.ready.prog;
    Report {
        file: args.which.file.display().to_string(),
        program: prog.name().into(),
        engine: prog.engine().name(),
        packets,
        packets_change,
        chunks: lane.ns.len(),
        ns_min: at(0.0),
        ns_median: at(0.5),
        ns_p99: at(0.99),
        insns: prog.program().code().insns.len(),
        code_bytes: engine::code_bytes(prog),
        stack_bytes: prog.stack_size(),
        verify_us: us(lane.ready.verify),
        compile_us: us(lane.ready.compile),
        load_us: us(lane.load),
    }
}

fn show(reports: &[Report], out: &mut dyn Write) -> Result<()> {
    let Some(first) = reports.first() else { return Ok(()) };
    let change = if first.packets_change {
        "changed by the program, restored outside the timing"
    } else {
        "unchanged"
    };
    writeln!(out, "{}, program {}: {} packets, {change}\n", first.file, first.program, first.packets)?;
    let mut t = table(&[
        "ENGINE",
        ">MIN ns",
        ">MEDIAN",
        ">P99",
        ">INSNS",
        ">CODE bytes",
        ">STACK bytes",
        ">VERIFY us",
        ">COMPILE us",
        ">LOAD us",
    ]);
    for r in reports {
        let short = |n: f64| format!("{n:.2}");
        row(
            &mut t,
            &[
                &r.engine,
                &short(r.ns_min),
                &short(r.ns_median),
                &short(r.ns_p99),
                &r.insns,
                &r.code_bytes,
                &r.stack_bytes,
                &format!("{:.0}", r.verify_us),
                &format!("{:.0}", r.compile_us),
                &format!("{:.0}", r.load_us),
            ],
        );
    }
    out.write_all(text(&t).as_bytes())?;
    Ok(())
}
