//! `uxdp verify`: each program's verdict, what it cost, and for a refusal the reason in the kernel's words with instruction and source line
//! and what a person can do; with `--explain` also the path, the values and the check that would do.

use crate::args::{ModeArg, Verify};
use crate::engine;
use crate::outcome::Verdict;
use anyhow::{Result, bail};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;
use uxdp_control::session;
use uxdp_core::error::Status;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::{Disasm, Names};
use uxdp_core::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use uxdp_core::object::{MapDef, Object, ObjectNames};
use uxdp_core::program::{AttachType, Code};
use uxdp_core::verifier::{self, Explanation, MapInfo, Mode, Rejection, Step, VerifyOptions, Way};
use uxdp_core::vm::{EngineChoice, install};

/// One program's verdict, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    file: String,
    program: String,
    section: String,
    #[serde(skip)]
    attach: &'static str,
    /// `success` or `failure`, veristat's words.
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
    insns: usize,
    insns_processed: u32,
    max_states_per_insn: u32,
    total_states: u32,
    peak_states: u32,
    mark_read: u32,
    stack_depth: u32,
    peak_memory: usize,
    time_us: f64,
    /// Bytes of machine code; 0 where it is interpreted or refused.
    code_bytes: usize,
    /// Why it cannot be loaded here although it is safe: what this version or this machine lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_here: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

/// Why, and where.
#[derive(Serialize)]
struct Refusal {
    reason: String,
    errno: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pc: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceLine>,
    /// What a person can do.
    advice: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained>,
}

/// What `--explain` adds.
#[derive(Serialize)]
struct Explained {
    path: Vec<PathStep>,
    values: Vec<String>,
    demand: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
    #[serde(skip)]
    text: String,
}

/// A branch of the refused path.
#[derive(Serialize)]
struct PathStep {
    pc: u32,
    insn: String,
    way: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceLine>,
}

#[derive(Serialize)]
struct SourceLine {
    file: String,
    line: u32,
    column: u32,
    text: String,
}

pub(crate) fn run(args: &Verify, out: &mut dyn Write) -> Result<Verdict> {
    let file = &args.which.file;
    let object = session::open_object_against(file, args.btf.as_deref())?;
    let shown = file.display().to_string();
    let chosen: Vec<usize> = match &args.which.prog {
        Some(name) => vec![session::choose(&object, Some(name), &shown)?],
        None => (0..object.programs().len()).filter(|&i| object.programs()[i].autoload).collect(),
    };
    if chosen.is_empty() {
        bail!("{} has no program to verify; put one into a section: SEC(\"xdp\")", file.display());
    }
    let reports: Vec<Report> = chosen.into_iter().map(|i| verify(&object, i, args)).collect::<Result<_>>()?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &reports)?;
        writeln!(out)?;
    } else if args.csv {
        csv(&reports, out)?;
    } else {
        reports.iter().try_for_each(|r| show(r, out))?;
    }
    let good = reports.iter().all(|r| r.refusal.is_none());
    Ok(if good { Verdict::Good } else { Verdict::Refused })
}

fn verify(object: &Object, index: usize, args: &Verify) -> Result<Report> {
    let (file, level) = (&args.which.file, args.log);
    let shown = file.display().to_string();
    let linked = session::link(object, index, &shown)?;
    let code = linked.code();
    let mode = match args.mode {
        ModeArg::Compat => Mode::Compat,
        ModeArg::Hygiene => Mode::Hygiene,
        ModeArg::Strict => Mode::Strict,
    };
    let nr_cpus = session::environment()?.nr_cpus();
    let options = VerifyOptions { log_level: level, mode, nr_cpus, ..VerifyOptions::default() };
    let constants = constants(object);
    let maps: Vec<MapInfo<'_>> = object
        .maps()
        .iter()
        .zip(&constants)
        .map(|(m, bytes)| MapInfo { spec: m.spec, name: m.name.as_str(), frozen: bytes.as_deref() })
        .collect();
    let mut log = String::new();
    let start = Instant::now();
    let result = verifier::judge(code, &maps, STANDARD, &options, &mut log);
    let time = start.elapsed();
    let (stats, refusal, loaded) = match result {
        Ok(stats) => (stats, None, load(object, index, &shown)?),
        Err(e) => (e.stats, Some(refusal(object, code, &e, args.explain)), Ok(0)),
    };
    let (code_bytes, not_here) = match loaded {
        Ok(bytes) => (bytes, None),
        Err(why) => (0, Some(why)),
    };
    Ok(Report {
        file: file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
        program: code.name.as_str().into(),
        section: code.section.as_str().into(),
        attach: match code.attach {
            AttachType::Xdp => "xdp",
            AttachType::XdpDevmap => "xdp_devmap",
            AttachType::XdpCpumap => "xdp_cpumap",
        },
        verdict: if refusal.is_none() { "success" } else { "failure" },
        refusal,
        insns: code.insns.len(),
        insns_processed: stats.insns_processed,
        max_states_per_insn: stats.max_states_per_insn,
        total_states: stats.total_states,
        peak_states: stats.peak_states,
        mark_read: stats.mark_read,
        stack_depth: stats.stack_depth,
        peak_memory: stats.peak_memory,
        time_us: time.as_secs_f64() * 1e6,
        code_bytes,
        not_here,
        log: (level > 0).then_some(log),
    })
}

/// The contents of the object's constant maps, whole.
fn constants(object: &Object) -> Vec<Option<Vec<u8>>> {
    let whole = |m: &MapDef| {
        let mut bytes = m.initial.to_vec();
        bytes.resize(m.spec.value_size as usize, 0);
        bytes
    };
    object.maps().iter().map(|m| m.frozen.then(|| whole(m))).collect()
}

/// Loads a program that was found safe: the bytes of its machine code, or what is missing here.
fn load(object: &Object, index: usize, shown: &str) -> Result<Result<usize, String>> {
    let env = session::environment()?;
    let maps = match session::make_maps(&env, object, shown) {
        Ok(maps) => maps,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let maps = uxdp_core::mem::Vec::from_fn(maps.len(), |i| maps[i].clone())?;
    let linked = session::link(object, index, shown)?;
    let quiet = VerifyOptions { nr_cpus: env.nr_cpus(), ..VerifyOptions::default() };
    let verified = match verifier::verify(linked, maps, env.helpers(), &quiet, &mut String::new()) {
        Ok(verified) => verified,
        Err(e) => return Ok(Err(e.to_string())),
    };
    let installed = install(&env, verified, EngineChoice::Best);
    Ok(installed.map(|p| engine::code_bytes(&p)).map_err(|e| e.to_string()))
}

fn refusal(object: &Object, code: &Code, rejection: &Rejection, explain: bool) -> Refusal {
    let names = ObjectNames::new(object, code);
    Refusal {
        reason: rejection.to_string(),
        errno: rejection.errno().0,
        pc: rejection.pc,
        insn: rejection.pc.map(|pc| Disasm::new(&code.insns, pc, &names).to_string()),
        source: rejection.pc.and_then(|pc| source(code, pc)),
        advice: rejection.error.advice(),
        explanation: explain.then(|| explained(code, rejection, &names)),
    }
}

fn source(code: &Code, pc: u32) -> Option<SourceLine> {
    code.line_at(pc).map(|l| SourceLine {
        file: code.string(l.file).into(),
        line: l.line,
        column: l.column,
        text: code.string(l.text).trim().into(),
    })
}

fn explained(code: &Code, rejection: &Rejection, names: &dyn Names) -> Explained {
    let trail = rejection.trail();
    let step = |s: &Step| PathStep {
        pc: s.pc,
        insn: Disasm::new(&code.insns, s.pc, names).to_string(),
        way: match s.way {
            Way::Taken => "taken",
            Way::NotTaken => "not taken",
            Way::Called => "called",
            Way::Returned => "returned",
        },
        source: source(code, s.pc),
    };
    Explained {
        path: trail.steps.iter().map(step).collect(),
        values: trail.values.iter().map(ToString::to_string).collect(),
        demand: rejection.error.demand(),
        check: rejection.remedy().map(|r| r.to_string()),
        text: Explanation::new(code, rejection, names).to_string(),
    }
}

/// The kernel's closing line.
fn closing(r: &Report) -> String {
    format!(
        "processed {} insns (limit {BPF_COMPLEXITY_LIMIT_INSNS}) max_states_per_insn {} total_states {} peak_states {} mark_read {}",
        r.insns_processed, r.max_states_per_insn, r.total_states, r.peak_states, r.mark_read
    )
}

fn show(r: &Report, out: &mut dyn Write) -> Result<()> {
    if let Some(log) = &r.log {
        write!(out, "{log}")?;
    }
    match &r.refusal {
        None => {
            writeln!(out, "{}: accepted", r.program)?;
            if let Some(why) = &r.not_here {
                writeln!(out, "  but it cannot be loaded here: {why}")?;
            }
        }
        Some(refusal) => {
            writeln!(out, "{}: refused: {}", r.program, refusal.reason)?;
            if let (Some(pc), Some(insn)) = (refusal.pc, &refusal.insn) {
                writeln!(out, "  insn {pc}: {insn}")?;
            }
            if let Some(s) = &refusal.source {
                writeln!(out, "  {}:{}:{}: {}", s.file, s.line, s.column, s.text)?;
            }
            match &refusal.explanation {
                Some(e) => e.text.lines().try_for_each(|line| writeln!(out, "  {line}"))?,
                None => writeln!(out, "  what to do: {}", refusal.advice)?,
            }
        }
    }
    if r.log.is_none() {
        writeln!(out, "  {}", closing(r))?;
    }
    writeln!(
        out,
        "  {:.0} us, {} KiB, {} insns, stack depth {}",
        r.time_us,
        r.peak_memory.div_ceil(1024),
        r.insns,
        r.stack_depth
    )?;
    Ok(())
}

/// One row a program under veristat's column names, in its units: microseconds and MiB.
fn csv(reports: &[Report], out: &mut dyn Write) -> Result<()> {
    writeln!(
        out,
        "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,max_states_per_insn,max_mark_read_len,\
         prog_size,prog_size_jited,prog_type,attach_type,stack_depth,mem_peak"
    )?;
    for r in reports {
        writeln!(
            out,
            "{},{},{},{:.0},{},{},{},{},{},{},{},xdp,{},{},{}",
            quoted(&r.file),
            quoted(&r.program),
            r.verdict,
            r.time_us,
            r.insns_processed,
            r.total_states,
            r.peak_states,
            r.max_states_per_insn,
            r.mark_read,
            r.insns,
            r.code_bytes,
            r.attach,
            r.stack_depth,
            r.peak_memory >> 20
        )?;
    }
    Ok(())
}

/// A field as RFC 4180 has it: in quotes where it must be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}
