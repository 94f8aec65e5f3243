//! The comparison itself: one program, some packets, the kernel and engines in lockstep.

use crate::compare::{self, Difference, action_name};
use crate::fields::hex;
use crate::masks::Masks;
use crate::object::Object;
use crate::ours::Ours;
use crate::records::Readers;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use uxdp_control::maps_json::MapsFile;
use uxdp_core::maps::MapType;
use uxdp_core::vm::EngineChoice;

/// What a test run takes of a packet that lies in one buffer: an Ethernet header, and no more than a page has room for.
const SHORTEST: usize = 14;
const LONGEST: usize = 4096 - 256 - 320;
/// Larger arrays are not read back: only a control plane writes to them.
const MANY: u32 = 1 << 20;

/// What is compared.
pub struct Case<'a> {
    /// The object's file.
    pub file: &'a Path,
    /// The program; `None` for the only one.
    pub program: Option<&'a str>,
    /// Contents of maps before the first packet.
    pub maps: Option<&'a Path>,
    /// Engines to compare with the kernel.
    pub engines: &'a [EngineChoice],
    /// What is left out.
    pub masks: Masks,
}

/// One packet and where it comes from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The frame.
    pub packet: Vec<u8>,
    /// The interface, one that XDP knows ([`Ports`](crate::Ports)); 0 is the loopback.
    pub ingress: u32,
}

/// What a comparison came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The program.
    pub program: String,
    /// The engines that were compared with the kernel.
    pub engines: Vec<&'static str>,
    /// Packets compared.
    pub packets: usize,
    /// Packets that a test run does not take: shorter than an Ethernet header, or longer than a page has room for.
    pub left_out: usize,
    /// The kernel's actions.
    pub actions: BTreeMap<&'static str, usize>,
    /// Packets that the kernel changed.
    pub changed: usize,
    /// Records compared.
    pub records: usize,
    /// Maps compared after the last packet.
    pub maps: Vec<String>,
    /// What was not compared, and why.
    pub masks: Vec<String>,
    /// Packets and maps that differ.
    pub differences: usize,
    /// The first of them by engine.
    pub first: Vec<Difference>,
}

impl Report {
    fn differs(&mut self, difference: Difference) {
        self.differences += 1;
        if self.first.iter().all(|d| d.engine != difference.engine) {
            self.first.push(difference);
        }
    }
}

/// Pins the calling thread to CPU 0, so that per-CPU values are that CPU's on both sides.
fn pin() -> Result<()> {
    // SAFETY: a zeroed set is an empty one; the call reads as many bytes as it is told.
    let status = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if status == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("cannot stay on CPU 0") }
}

/// Whether a map's contents are compared: not those that hold what only exists on one side, nor constants.
fn is_compared(name: &str, kind: MapType, max_entries: u32) -> bool {
    use MapType::{Array, Hash, LpmTrie, LruHash, LruPercpuHash, PercpuArray, PercpuHash};
    let plain = matches!(kind, Array | Hash | LpmTrie | LruHash | LruPercpuHash | PercpuArray | PercpuHash);
    plain && !name.contains(".rodata") && !(kind == Array && max_entries > MANY)
}

/// Runs packets through the kernel and each engine, and compares.
///
/// # Errors
/// What cannot be loaded, filled or run on either side; differences are no errors.
pub fn judge(case: Case<'_>, inputs: impl IntoIterator<Item = Input>) -> Result<Report> {
    pin()?;
    let mut engines = Vec::new();
    for engine in case.engines {
        engines.push(Ours::open(case.file, case.program, case.maps, *engine)?);
    }
    let first = engines.first().context("name at least one engine")?;
    let mut report = Report { program: first.program(case.program)?, ..Report::default() };
    report.engines = engines.iter().map(|e| e.name).collect();

    let mut kernel = Object::load(case.file)?;
    if let Some(path) = case.maps {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        MapsFile::parse(&text)?.apply(&kernel, possible_cpus().max(cpus))?;
    }
    let program = kernel.program(&report.program)?;
    let mut readers = Readers::open(&kernel.maps)?;
    let mut used = BTreeSet::new();

    for (number, input) in inputs.into_iter().enumerate() {
        if !(SHORTEST..=LONGEST).contains(&input.packet.len()) {
            report.left_out += 1;
            continue;
        }
        let mut theirs = kernel.run(program, &input.packet, input.ingress)?;
        theirs.records = readers.take();
        report.packets += 1;
        *report.actions.entry(action_name(theirs.code)).or_default() += 1;
        report.changed += usize::from(theirs.data != input.packet);
        report.records += theirs.records.len();
        for engine in &mut engines {
            let ours = engine.run(&input)?;
            let lines = compare::outcomes(&theirs, &ours, &case.masks, &mut used);
            if !lines.is_empty() {
                let (engine, input) = (engine.name, hex(&input.packet));
                report.differs(Difference { engine, packet: Some(number), input, lines });
            }
        }
    }

    for map in kernel.maps.iter().filter(|m| is_compared(&m.name, m.spec.kind, m.spec.max_entries)) {
        let theirs = kernel.contents(map);
        report.maps.push(map.name.clone());
        for engine in &engines {
            let ours = engine.contents(&map.name)?;
            let lines = compare::contents((&map.name, map.spec.kind), &theirs, &ours, &case.masks, &mut used);
            if !lines.is_empty() {
                report.differs(Difference { engine: engine.name, packet: None, input: String::new(), lines });
            }
        }
    }
    report.masks = used.into_iter().collect();
    Ok(report)
}

fn possible_cpus() -> usize {
    // SAFETY: takes nothing.
    usize::try_from(unsafe { libbpf_sys::libbpf_num_possible_cpus() }).unwrap_or(1)
}
