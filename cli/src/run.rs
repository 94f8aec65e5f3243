//! `uxdp run`: a program over the packets of a capture, or over one packet.

use crate::args::{CtxFieldArg, EngineArg, Run};
use crate::outcome::{Machine, Verdict, note};
use crate::packets::{self, Capture, Packet};
use crate::table::{row, table, text};
use crate::{against, engine};
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use uxdp_control::frames::Buffer;
use uxdp_control::maps_json::{self, Entries};
use uxdp_control::records::{Reader, Record};
use uxdp_control::session::{Ready, Session};
use uxdp_core::vm::{
    AbortReason, Action, Env, Frame, Origin, ProgOptions, Redirect, RedirectKind, Runner, Way, Worker,
};

/// What a run came to, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    file: String,
    program: String,
    engine: &'static str,
    packets: usize,
    runs: u64,
    /// Packets by what became of them, each action named.
    actions: BTreeMap<&'static str, u64>,
    /// What programs of entries made of redirected packets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    entries: BTreeMap<&'static str, u64>,
    /// Aborted runs by reason, those of programs of entries too.
    aborted: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<PacketReport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    maps: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct PacketReport {
    action: &'static str,
    length: usize,
    /// The bytes afterwards, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<RedirectReport>,
    /// What programs of entries made of it, one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entries: Vec<EntryReport>,
}

/// One way of a redirected packet, through an entry that has a program.
#[derive(Clone, Serialize)]
struct EntryReport {
    target: u64,
    index: u32,
    action: &'static str,
    length: usize,
    /// The bytes afterwards, where they are others than those that came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

#[derive(Serialize)]
struct RedirectReport {
    kind: &'static str,
    target: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

pub(crate) fn run(args: &Run, out: &mut dyn Write) -> Result<Verdict> {
    if args.against.is_some() {
        return against::run(args, input(args)?, out);
    }
    let engine = engine::choice(args.engine.unwrap_or(EngineArg::Jit));
    let options = ProgOptions {
        engine,
        limit: args.run_limit.unwrap_or(0),
        limit_ns: args.run_time_limit.unwrap_or(0) * 1000,
        ..ProgOptions::default()
    };
    let session = Session::open(&args.which.file, args.maps.as_deref(), options)?;
    for name in &args.map_dump {
        session.find_map(name)?;
    }
    let packets = input(args)?;
    let ready = session.program(session.choose(args.which.prog.as_deref())?)?;
    engine::check(args.engine, &ready.prog)?;
    let mut outputs = Outputs::create(args)?;
    let reader = Reader::open(&session, &args.map_dump)?;
    let results = over_packets(args, &session, &ready, &packets, &reader, &mut outputs, out)?;
    outputs.finish()?;

    let stats = ready.prog.env().aborts(None);
    let report = Report {
        file: args.which.file.display().to_string(),
        program: ready.prog.name().into(),
        engine: ready.prog.engine().name(),
        packets: packets.len(),
        runs: results.runs,
        actions: ACTIONS.iter().map(|a| (a.name(), results.actions[*a as usize])).collect(),
        entries: results.entries.clone(),
        aborted: REASONS.iter().zip(stats).filter(|(_, n)| *n != 0).map(|(r, n)| (*r, n)).collect(),
        results: (args.verbose && args.json).then_some(results.packets),
        trace: (args.trace && args.json).then_some(results.trace),
        maps: dumps(args, &session, &reader, results.records)?,
    };
    if args.json {
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        show(&report, out)?;
    }
    let lost = session.env().trace_lost();
    if args.trace && lost != 0 {
        note(&format!(
            "{lost} trace messages were lost: the program says more at a packet than a ring holds"
        ));
    }
    Ok(Verdict::Good)
}

fn input(args: &Run) -> Result<Vec<Packet>> {
    match (&args.input, &args.data_in) {
        (Some(path), _) => packets::read_capture(path),
        (None, Some(what)) => Ok(vec![Packet { time: Duration::ZERO, bytes: packets::read_raw(what)? }]),
        (None, None) => anyhow::bail!("name packets: --in FILE.pcap or --data-in hex:…"),
    }
}

/// The maps that are asked for: contents, or the records that came through them.
fn dumps(
    args: &Run,
    session: &Session,
    reader: &Reader,
    records: Vec<(usize, Record)>,
) -> Result<BTreeMap<String, serde_json::Value>> {
    let mut dumps = BTreeMap::new();
    for name in args.map_dump.iter().filter(|name| !reader.names().any(|r| r == *name)) {
        let which = if args.nonzero { Entries::NonZero } else { Entries::All };
        dumps.insert(name.clone(), dump(session, name, which)?);
    }
    let names: Vec<&str> = reader.names().collect();
    for name in &names {
        dumps.insert((*name).to_owned(), serde_json::Value::Array(Vec::new()));
    }
    for (map, record) in records {
        let bytes = maps_json::bytes_json(&record.bytes);
        let shown = match record.cpu {
            None => serde_json::json!({"record": bytes}),
            Some(cpu) => serde_json::json!({"cpu": cpu, "record": bytes}),
        };
        if let Some(serde_json::Value::Array(list)) = names.get(map).and_then(|n| dumps.get_mut(*n)) {
            list.push(shown);
        }
    }
    Ok(dumps)
}

/// A map's contents, in the shape of `bpftool -j map dump`.
fn dump(session: &Session, name: &str, which: Entries) -> Result<serde_json::Value> {
    maps_json::dump(session.find_map(name)?, session.nr_cpus(), which)
        .with_context(|| format!("cannot read map \"{name}\""))
}

/// What the packets came to.
#[derive(Default)]
struct Results {
    runs: u64,
    actions: [u64; 5],
    /// Actions of programs of entries.
    entries: BTreeMap<&'static str, u64>,
    packets: Vec<PacketReport>,
    trace: Vec<String>,
    /// Records by the number of their map.
    records: Vec<(usize, Record)>,
}

fn over_packets(
    args: &Run,
    session: &Session,
    ready: &Ready,
    packets: &[Packet],
    reader: &Reader,
    outputs: &mut Outputs,
    out: &mut dyn Write,
) -> Result<Results> {
    let fail = |e| Machine(format!("cannot run the program: {e}"));
    let hook = session.hook(ready)?;
    let worker = Worker::register(session.env(), 0).map_err(fail)?;
    let mut runner = Runner::new(&worker, &hook, origin(args)).map_err(fail)?;
    let mut buffer = Buffer::new();
    let mut results = Results::default();
    for (number, packet) in packets.iter().enumerate() {
        for turn in 1..=args.repeat {
            let mut frame = buffer.load(&packet.bytes);
            let mut ways = Ways::default();
            let code = runner.run_through(&mut frame, &mut |way, frame| ways.note(way, frame, &packet.bytes));
            let code = code.map_err(|e| Machine(format!("cannot copy a packet: {e}")))?;
            let action = Action::from_code(code).unwrap_or(Action::Aborted);
            worker.quiescent();
            results.runs += 1;
            for entry in &ways.entries {
                *results.entries.entry(entry.action).or_default() += 1;
            }
            reader
                .take(&mut |map, record| results.records.push((map, record)))
                .map_err(|e| Machine(format!("cannot read records: {e}")))?;
            results.actions[action as usize] += 1;
            if args.trace {
                trace(session.env(), &mut results.trace);
            }
            if turn < args.repeat {
                continue;
            }
            if ways.entries.is_empty() {
                outputs.write(action, packet.time, frame.data())?;
            } else {
                // Each copy as it leaves.
                ways.left.iter().try_for_each(|bytes| outputs.write(action, packet.time, bytes))?;
            }
            if args.verbose {
                let redirect = (action == Action::Redirect)
                    .then(|| redirect_report(&ways.first.unwrap_or(runner.redirect())));
                let data = (frame.data() != packet.bytes).then(|| hex(frame.data()));
                let metadata = (!frame.metadata().is_empty()).then(|| hex(frame.metadata()));
                let length = frame.data().len();
                let report = PacketReport {
                    action: action.name(),
                    length,
                    data,
                    metadata,
                    redirect,
                    entries: ways.entries,
                };
                if !args.json {
                    line(number, packet, &report, out)?;
                }
                results.packets.push(report);
            }
        }
        if !args.json {
            for said in results.trace.drain(..) {
                writeln!(out, "{said}")?;
            }
        }
    }
    Ok(results)
}

/// What became of a redirected packet.
#[derive(Default)]
struct Ways {
    /// Where the hook's program sent it, where that was an entry whose program may send it elsewhere.
    first: Option<Redirect>,
    /// What programs of entries made of it; none where there are none.
    entries: Vec<EntryReport>,
    /// The packet by each way that it goes, where entries have programs.
    left: Vec<Vec<u8>>,
}

impl Ways {
    fn note(&mut self, way: &Way, frame: &Frame<'_>, came: &[u8]) {
        if way.entry.kind == RedirectKind::Cpumap {
            self.first.get_or_insert(way.entry);
        }
        let action = Action::from_code(way.action).unwrap_or(Action::Aborted);
        if way.has_program {
            let data = (frame.data() != came).then(|| hex(frame.data()));
            let (target, index, length) = (way.entry.target, way.entry.index, frame.data().len());
            self.entries.push(EntryReport { target, index, action: action.name(), length, data });
        }
        // Where it is redirected anew to an entry with a program, that one decides.
        if action == Action::Pass || (action == Action::Redirect && way.goes.egress_prog.is_null()) {
            self.left.push(frame.data().to_vec());
        }
    }
}

fn origin(args: &Run) -> Origin {
    let mut origin = Origin { ingress_ifindex: 1, ..Origin::default() };
    for (field, value) in &args.ctx {
        match field {
            CtxFieldArg::IngressIfindex => origin.ingress_ifindex = *value,
            CtxFieldArg::RxQueueIndex => origin.rx_queue_index = *value,
            CtxFieldArg::EgressIfindex => origin.egress_ifindex = *value,
        }
    }
    origin
}

/// A line of `-v`.
fn line(number: usize, packet: &Packet, report: &PacketReport, out: &mut dyn Write) -> std::io::Result<()> {
    write!(out, "{:6}  {:<12}  {:5} bytes", number + 1, report.action, packet.bytes.len())?;
    if report.length != packet.bytes.len() {
        write!(out, " -> {}", report.length)?;
    }
    if report.data.is_some() {
        write!(out, ", changed")?;
    }
    if let Some(metadata) = &report.metadata {
        write!(out, ", metadata {metadata}")?;
    }
    if let Some(r) = &report.redirect {
        write!(out, ", to {} {}", r.kind, r.target)?;
    }
    for e in &report.entries {
        write!(out, ", entry {} of {}: {}, {} bytes", e.index, e.target, e.action, e.length)?;
    }
    writeln!(out)
}

fn redirect_report(redirect: &Redirect) -> RedirectReport {
    let (kind, index) = match redirect.kind {
        RedirectKind::None => ("none", None),
        RedirectKind::Ifindex => ("ifindex", None),
        RedirectKind::Devmap => ("devmap", Some(redirect.index)),
        RedirectKind::Cpumap => ("cpumap", Some(redirect.index)),
        RedirectKind::Xskmap => ("xskmap", Some(redirect.index)),
    };
    RedirectReport { kind, target: redirect.target, index }
}

/// Takes what the program said since the last time.
fn trace(env: &Env, lines: &mut Vec<String>) {
    let mut text = vec![0; 16 << 10];
    loop {
        let n = env.trace_read(&mut text);
        if n == 0 {
            return;
        }
        lines.extend(String::from_utf8_lossy(&text[..n]).lines().map(str::to_owned));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const ACTIONS: [Action; 5] = [Action::Aborted, Action::Drop, Action::Pass, Action::Tx, Action::Redirect];
const REASONS: [&str; AbortReason::COUNT] = [
    "returned",
    "unknown_code",
    "fault",
    "no_program",
    "no_redirect_target",
    "lock",
    "limit",
    "several_buffers",
    "time",
];

/// The files that packets go to.
struct Outputs {
    by_action: [Option<Capture>; 5],
    raw: Option<std::fs::File>,
}

impl Outputs {
    fn create(args: &Run) -> Result<Self> {
        let make = |path: &Option<std::path::PathBuf>| path.as_deref().map(Capture::create).transpose();
        let raw =
            |p: &Path| std::fs::File::create(p).with_context(|| format!("cannot write {}", p.display()));
        Ok(Outputs {
            by_action: [None, None, make(&args.out_pass)?, make(&args.out_tx)?, make(&args.out_redirect)?],
            raw: args.data_out.as_deref().map(raw).transpose()?,
        })
    }

    fn write(&mut self, action: Action, time: Duration, bytes: &[u8]) -> Result<()> {
        if let Some(capture) = &mut self.by_action[action as usize] {
            capture.write(time, bytes)?;
        }
        if let Some(file) = &mut self.raw {
            file.write_all(bytes)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.by_action.into_iter().flatten().try_for_each(Capture::finish)
    }
}

fn show(report: &Report, out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "{}, program {} ({}): {} packets",
        report.file, report.program, report.engine, report.packets
    )?;
    let mut t = table(&["ACTION", ">RUNS"]);
    for (action, n) in report.actions.iter().filter(|(_, n)| **n != 0) {
        row(&mut t, &[action, n]);
    }
    for (action, n) in &report.entries {
        row(&mut t, &[&format!("  entry's program: {action}"), n]);
    }
    for (reason, n) in &report.aborted {
        row(&mut t, &[&format!("  aborted: {}", reason.replace('_', " ")), n]);
    }
    out.write_all(text(&t).as_bytes())?;
    for (name, entries) in &report.maps {
        writeln!(out, "map {name}:\n{entries}")?;
    }
    Ok(())
}
