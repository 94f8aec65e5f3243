//! `uxdp inspect`: what an object holds, without making or proving anything.

use crate::args::Inspect;
use crate::outcome::{Verdict, note};
use crate::table::{row, table, text};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use uxdp_control::session;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::{Callee, Op, WideImm, decode, helper_name};
use uxdp_core::maps::spec::flags;
use uxdp_core::object::{MapDef, MapOrigin, Object, ProgramDef, SlotInit};
use uxdp_core::program::{AttachType, Code, POISON_CORE, POISON_KFUNC};
use uxdp_core::vm::{Needs, needs_of_code};

/// What an object holds, as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    license: Option<&'a str>,
    btf: bool,
    core_relocations: u32,
    programs: Vec<ProgramReport>,
    maps: Vec<MapReport<'a>>,
    /// Maps that cannot be had here; programs that use them cannot be linked.
    refused_maps: Vec<RefusedReport<'a>>,
}

#[derive(Serialize)]
struct RefusedReport<'a> {
    name: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct ProgramReport {
    name: String,
    section: String,
    attach: &'static str,
    frags: bool,
    /// Instruction slots, those of the functions that it reaches included.
    insns: usize,
    functions: Vec<String>,
    helpers: Vec<HelperReport>,
    kfuncs: BTreeSet<String>,
    maps: BTreeSet<String>,
    lines: bool,
    /// What CO-RE or a weak kernel function left open: refused only where it is reached.
    unresolved: Vec<String>,
    /// What it asks of a port, as far as its code tells; whether packets have to be in one buffer is said by `frags`.
    needs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct HelperReport {
    id: u32,
    name: Option<&'static str>,
}

#[derive(Serialize)]
struct MapReport<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    flag_names: Vec<&'static str>,
    defined_by: &'static str,
    frozen: bool,
    pin_by_name: bool,
    slots: Vec<SlotReport>,
}

/// A static content of a map.
#[derive(Serialize)]
struct SlotReport {
    index: u32,
    holds: String,
}

pub(crate) fn run(args: &Inspect, out: &mut dyn Write) -> Result<Verdict> {
    let object = session::open_object(&args.file)?;
    let report = Report {
        file: args.file.display().to_string(),
        license: object.license(),
        btf: object.has_btf(),
        core_relocations: object.core_relocs(),
        programs: (0..object.programs().len()).map(|i| program(&object, i)).collect(),
        maps: object.maps().iter().map(|m| map(&object, m)).collect(),
        refused_maps: object
            .refused_maps()
            .iter()
            .map(|m| RefusedReport { name: &m.name, reason: m.error.to_string() })
            .collect(),
    };
    let unreadable = report.programs.iter().any(|p| p.error.is_some());
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        show(&report, out)?;
    }
    Ok(if unreadable { Verdict::Unreadable } else { Verdict::Good })
}

fn program(object: &Object, index: usize) -> ProgramReport {
    let def = &object.programs()[index];
    let mut report = ProgramReport {
        name: def.name.as_str().into(),
        section: def.section.as_str().into(),
        attach: attach(def),
        frags: def.frags,
        insns: def.insn_count as usize,
        functions: Vec::new(),
        helpers: Vec::new(),
        kfuncs: BTreeSet::new(),
        maps: BTreeSet::new(),
        lines: false,
        unresolved: Vec::new(),
        needs: Vec::new(),
        error: None,
    };
    if def.foreign {
        return report;
    }
    match object.link(index) {
        Ok(linked) => {
            look_through(linked.code(), object, &mut report);
            match needs_of_code(linked.code(), STANDARD) {
                Ok(needs) => report.needs = needs.without(Needs::SEVERAL_BUFFERS).names().collect(),
                Err(e) => report.error = Some(e.to_string()),
            }
        }
        Err(e) => report.error = Some(e.to_string()),
    }
    report
}

/// Notes what a linked program calls and uses.
fn look_through(code: &Code, object: &Object, report: &mut ProgramReport) {
    report.insns = code.insns.len();
    report.functions = code.subprogs.iter().map(|s| s.name.as_str().to_owned()).collect();
    report.lines = !code.lines.is_empty();
    report.unresolved = code.unresolved.iter().map(|u| u.why.as_str().to_owned()).collect();
    let is_open = |id: u32| id as i32 == POISON_CORE || id as i32 >= POISON_KFUNC;
    let mut helpers = BTreeSet::new();
    let mut pc = 0;
    while let Some(insn) = code.insns.get(pc as usize) {
        match decode(&code.insns, pc) {
            Ok(Op::Call(Callee::Helper(id))) if is_open(id) => {}
            Ok(Op::Call(Callee::Helper(id))) => drop(helpers.insert(id)),
            Ok(Op::Call(Callee::Kfunc { id, .. })) => {
                report.kfuncs.insert(object.kfunc_name(id).map_or_else(|| format!("#{id}"), str::to_owned));
            }
            Ok(Op::LdImm64 { imm: WideImm::MapIdx(idx) | WideImm::MapIdxValue { idx, .. }, .. }) => {
                report.maps.extend(object.maps().get(idx as usize).map(|m| m.name.as_str().to_owned()));
            }
            _ => {}
        }
        pc += if insn.is_wide() { 2 } else { 1 };
    }
    report.helpers = helpers.into_iter().map(|id| HelperReport { id, name: helper_name(id) }).collect();
}

fn attach(def: &ProgramDef) -> &'static str {
    match def.attach {
        _ if def.foreign => "not xdp",
        AttachType::Xdp => "xdp",
        AttachType::XdpDevmap => "xdp_devmap",
        AttachType::XdpCpumap => "xdp_cpumap",
    }
}

fn map<'a>(object: &Object, def: &'a MapDef) -> MapReport<'a> {
    let name_of = |slot: &SlotInit| match *slot {
        SlotInit::Map(i) => object.maps().get(i as usize).map(|m| m.name.as_str()),
        SlotInit::Program(i) => object.programs().get(i as usize).map(|p| p.name.as_str()),
    };
    MapReport {
        name: &def.name,
        kind: def.spec.kind.name(),
        key_size: def.spec.key_size,
        value_size: def.spec.value_size,
        max_entries: def.spec.max_entries,
        flags: def.spec.flags,
        flag_names: FLAGS.iter().filter(|(bit, _)| def.spec.flags & bit != 0).map(|f| f.1).collect(),
        defined_by: match def.origin {
            MapOrigin::Btf => ".maps",
            MapOrigin::Legacy => "maps",
            MapOrigin::Data(_) => "global data",
        },
        frozen: def.frozen,
        pin_by_name: def.pin_by_name,
        slots: def
            .slots
            .iter()
            .map(|(index, slot)| SlotReport { index: *index, holds: name_of(slot).unwrap_or("?").into() })
            .collect(),
    }
}

const FLAGS: &[(u32, &str)] = &[
    (flags::BPF_F_NO_PREALLOC, "no_prealloc"),
    (flags::BPF_F_NO_COMMON_LRU, "no_common_lru"),
    (flags::BPF_F_NUMA_NODE, "numa_node"),
    (flags::BPF_F_RDONLY, "rdonly"),
    (flags::BPF_F_WRONLY, "wronly"),
    (flags::BPF_F_ZERO_SEED, "zero_seed"),
    (flags::BPF_F_RDONLY_PROG, "rdonly_prog"),
    (flags::BPF_F_WRONLY_PROG, "wronly_prog"),
    (flags::BPF_F_MMAPABLE, "mmapable"),
    (flags::BPF_F_INNER_MAP, "inner_map"),
];

fn show(report: &Report<'_>, out: &mut dyn Write) -> Result<()> {
    let license = report.license.unwrap_or("none");
    writeln!(out, "{}: license {license}, BTF {}", report.file, if report.btf { "yes" } else { "no" })?;
    if report.core_relocations != 0 {
        writeln!(
            out,
            "CO-RE relocations: {}, taken against the object's own types",
            report.core_relocations
        )?;
    }
    writeln!(out)?;
    if report.programs.is_empty() {
        writeln!(out, "no programs: put them into a section, SEC(\"xdp\")")?;
    } else {
        let mut t = table(&["PROGRAM", "SECTION", ">INSNS", ">FUNCS", "LINES", "NEEDS", "HELPERS", "MAPS"]);
        for p in &report.programs {
            let helpers: Vec<String> = p
                .helpers
                .iter()
                .map(|h| h.name.map_or_else(|| format!("#{}", h.id), |n| n.into()))
                .chain(p.kfuncs.iter().cloned())
                .collect();
            let maps: Vec<&str> = p.maps.iter().map(String::as_str).collect();
            let lines = if p.lines { "yes" } else { "no" };
            row(
                &mut t,
                &[
                    &p.name,
                    &p.section,
                    &p.insns,
                    &p.functions.len(),
                    &lines,
                    &list(&p.needs),
                    &list(&helpers),
                    &list(&maps),
                ],
            );
        }
        out.write_all(text(&t).as_bytes())?;
    }
    if !report.maps.is_empty() {
        writeln!(out)?;
        let mut t = table(&["MAP", "TYPE", ">KEY", ">VALUE", ">ENTRIES", "FLAGS", "FROM"]);
        for m in &report.maps {
            let flags = list(&m.flag_names);
            row(
                &mut t,
                &[&m.name, &m.kind, &m.key_size, &m.value_size, &m.max_entries, &flags, &m.defined_by],
            );
        }
        out.write_all(text(&t).as_bytes())?;
    }
    for m in &report.refused_maps {
        note(&format!("map \"{}\" cannot be had: {}", m.name, m.reason));
    }
    for p in &report.programs {
        if p.attach == "not xdp" {
            note(&format!("program \"{}\" is of another type than XDP", p.name));
        }
        for what in &p.unresolved {
            note(&format!("program \"{}\": {what}", p.name));
        }
        if let Some(e) = &p.error {
            note(&format!("program \"{}\" cannot be linked: {e}", p.name));
        }
    }
    Ok(())
}

fn list(items: &[impl AsRef<str>]) -> String {
    if items.is_empty() {
        return "-".into();
    }
    items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}
