//! The log at level 2 of thirty programs, line by line as the kernel writes it.
//!
//! Each program is verified here, and where `bpf(2)` is permitted loaded into the kernel with the same source lines; both logs, normalised, are the
//! same. The kernel's normalised logs are committed (`logs/`), so that machines without `bpf(2)` compare as well; `UXDP_BLESS=1` writes them anew.
//!
//! What [`normalised`] takes away, and why:
//! - numbers of ids: they are given anew in the order in which they appear;
//! - addresses in wide immediates: maps have none here;
//! - the newline or the `; ` before a state: the kernel writes a newline where lines of the kind below came between;
//! - lines about how the kernel's own searches went (`mark_precise`, `propagating`, `SCC`, stack liveness), in logs that have some; thirty and more have none, and are
//!   compared whole. uxdp tracks precision and liveness by half slots of the stack and with other notes, so that its walks are other walks; what comes of them shows
//!   in where `safe` stands;
//! - costs (time, stack depth, the closing line) and our own warnings.

use crate::asm::Assembled;
use crate::kernel::{self, Kernel, Loadable};
use crate::maps;
use crate::ours::code;
use crate::table::{cases, folder};
use std::collections::HashMap;
use std::path::Path;
use uxdp_core::helpers::STANDARD;
use uxdp_core::maps::MapSpec;
use uxdp_core::object::{Object, OpenOptions};
use uxdp_core::program::{Loaded, Program};
use uxdp_core::verifier::{MapInfo, VerifyOptions, judge};

/// A map for both: name, geometry, frozen content.
struct MapOf {
    name: String,
    spec: MapSpec,
    content: Option<Vec<u8>>,
    frozen: bool,
}

/// A program and its maps.
struct Subject {
    program: Program<Loaded>,
    maps: Vec<MapOf>,
}

fn case(name: &str) -> Subject {
    let (name, side) = name.split_once(' ').unwrap();
    let all = cases();
    let found = all.iter().find(|c| c.name() == format!("{name} {side}"));
    let case = found.unwrap_or_else(|| panic!("no case {name} {side}"));
    let maps = case.maps.iter().map(|m| {
        let spec = maps::spec(m);
        let frozen = maps::is_frozen(&spec);
        MapOf { name: m.clone(), spec, content: frozen.then(|| maps::rodata(&spec)), frozen }
    });
    let assembled: &Assembled = &case.program;
    Subject { maps: maps.collect(), program: Program::new(code(assembled, case.attach())) }
}

fn object(path: &str, name: &str) -> Subject {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let object = Object::open(&bytes, &OpenOptions { name: "test", ..OpenOptions::default() }).unwrap();
    let maps = object.maps().iter().map(|m| {
        let mut content = m.initial.to_vec();
        content.resize(m.spec.value_size as usize, 0);
        let name: String = m.name.as_str().chars().take(15).collect();
        MapOf { name, spec: m.spec, content: m.frozen.then_some(content), frozen: m.frozen }
    });
    let index = object.programs().iter().position(|p| p.name.as_str() == name);
    let index = index.unwrap_or_else(|| panic!("{path} has no {name}"));
    Subject { maps: maps.collect(), program: object.link(index).unwrap() }
}

fn subject(name: &str) -> Subject {
    match name.split_once(':') {
        Some((path, program)) => object(path, program),
        None => case(name),
    }
}

/// Our log.
fn ours(subject: &Subject) -> String {
    let maps = subject.maps.iter().map(|m| MapInfo {
        spec: m.spec,
        name: &m.name,
        frozen: m.content.as_deref().filter(|_| m.frozen),
    });
    let maps: Vec<_> = maps.collect();
    let opts = VerifyOptions { log_level: 2, ..VerifyOptions::default() };
    let mut log = String::new();
    judge(subject.program.code(), &maps, STANDARD, &opts, &mut log).unwrap_or_else(|e| panic!("{e}"));
    log
}

/// The kernel's log.
fn theirs(kernel: &mut Kernel, subject: &Subject) -> String {
    let maps: Vec<_> = subject.maps.iter().map(|m| (m.name.as_str(), m.spec, m.content.as_deref())).collect();
    kernel.log(&Loadable { code: subject.program.code(), maps: &maps })
}

/// Whose log it is; others differ in what they show.
const RELEASE: &str = "6.18.";

const COSTS: &[&str] = &["processed ", "verification time", "stack depth", "warning: "];
const SEARCHES: &[&str] = &["mark_precise:", "propagating", "SCC "];

/// `mark_precise: …`, `(0) frame 0 insn 23 +live -8`, `(0) live stack update done in 2 iterations`, `frame 0: propagating r1`.
fn is_search(line: &str) -> bool {
    let rest = line.strip_prefix('(').and_then(|l| l.split_once(") ")).map_or("", |l| l.1);
    SEARCHES.iter().any(|s| line.starts_with(s))
        || rest.starts_with("frame ")
        || rest.starts_with("live stack")
        || (line.starts_with("frame ") && line.contains("propagating"))
}

fn normalised(log: &str) -> String {
    let mut ids = HashMap::new();
    let mut out = String::new();
    for line in log.lines().map(str::trim_end) {
        if line.is_empty() || COSTS.iter().any(|n| line.starts_with(n)) || is_search(line) {
            continue;
        }
        let number = line.split_once(':').filter(|l| l.0.bytes().all(|b| b.is_ascii_digit()));
        let (text, state) = match number {
            Some((_, rest)) if rest.starts_with(" (") => match line.split_once(';') {
                Some((insn, state)) => (Some(insn.trim_end()), Some(state)),
                None => (Some(line), None),
            },
            Some((_, " safe")) | None => (Some(line), None),
            Some((_, state)) => (None, Some(state)),
        };
        for part in text.into_iter().chain(state) {
            out += &renumbered(&without_address(part), &mut ids);
            out.push('\n');
        }
    }
    out
}

/// `(18) r1 = …` with an address or a map's name.
fn without_address(line: &str) -> String {
    match line.split_once("(18) r").and_then(|(before, rest)| Some((before, rest.split_once(" = ")?))) {
        Some((before, (reg, value))) if value.starts_with("map[") || value.starts_with("0xffff") => {
            format!("{before}(18) r{reg} = map")
        }
        _ => line.to_owned(),
    }
}

fn renumbered(line: &str, ids: &mut HashMap<u32, usize>) -> String {
    // References are ids as well: `refs=2,5`.
    if let Some((rest, refs)) = line.split_once(" refs=") {
        let (refs, after) = refs.split_once(' ').unwrap_or((refs, ""));
        let as_ids: Vec<_> = refs.split(',').map(|r| format!("id={r}")).collect();
        return renumbered(&format!("{rest} refs {} {after}", as_ids.join(",")), ids).trim_end().to_owned();
    }
    let mut parts = line.split("id=");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let next = ids.len() + 1;
        let id = *ids.entry(part[..end].parse().unwrap_or(0)).or_insert(next);
        out += &format!("id={id}{}", &part[end..]);
    }
    out
}

/// The first lines that differ, with those before them.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    let (a, b): (Vec<_>, Vec<_>) = (ours.lines().collect(), theirs.lines().collect());
    let at = (0..a.len().max(b.len())).find(|i| a.get(*i) != b.get(*i))?;
    let part = |of: &[&str]| of[at.saturating_sub(6).min(of.len())..(at + 4).min(of.len())].join("\n    ");
    Some(format!("line {at}\n  ours:\n    {}\n  kernel:\n    {}", part(&a), part(&b)))
}

fn golden(name: &str) -> std::path::PathBuf {
    let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    folder().join("logs").join(format!("{}.txt", file.trim_start_matches('_')))
}

#[test]
fn log_of_thirty_programs_is_the_kernels_line_by_line() {
    let list = std::fs::read_to_string(folder().join("logs/programs.txt")).unwrap();
    let names: Vec<_> = list.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut kernel = match release.starts_with(RELEASE) {
        true => Kernel::new(),
        false => Err(format!("the log's format is that of Linux {RELEASE}, this is {}", release.trim())),
    };
    if let Err(why) = &kernel {
        kernel::skip("logs are compared with the committed ones alone", why);
    }
    let (mut wrong, mut lines, mut whole) = (Vec::new(), 0, 0);
    for name in &names {
        let ours = normalised(&ours(&subject(name)));
        if let Ok(kernel) = &mut kernel {
            let theirs = theirs(kernel, &subject(name));
            whole += usize::from(!theirs.lines().any(is_search));
            let theirs = normalised(&theirs);
            if let Some(d) = difference(&ours, &theirs) {
                wrong.push(format!("{name}: not the kernel's, {d}"));
            }
            if std::env::var_os("UXDP_BLESS").is_some() {
                std::fs::write(golden(name), &theirs).unwrap();
            }
        }
        let committed = std::fs::read_to_string(golden(name)).unwrap_or_default();
        if let Some(d) = difference(&ours, &committed) {
            wrong.push(format!("{name}: not as committed, {d}"));
        }
        lines += ours.lines().count();
    }
    println!(
        "{} programs, {lines} lines, {} differ, {whole} without a line of the kernel's searches",
        names.len(),
        wrong.len()
    );
    assert!(names.len() >= 60, "{}", names.len());
    assert!(kernel.is_err() || whole >= 30, "{whole} logs are compared whole");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Prints how many of all cases and objects whose name has the text in `UXDP_LOGS` have equal logs, and the first difference of each that has not;
/// `file:program` is any object's.
#[test]
fn logs_of_all_programs_are_compared_where_asked() {
    let Some(filter) = std::env::var_os("UXDP_LOGS") else { return };
    let filter = filter.to_str().unwrap();
    let Ok(mut kernel) = Kernel::new() else { return };
    let mut names: Vec<_> =
        cases().iter().map(crate::table::Case::name).filter(|n| n.ends_with(" safe")).collect();
    for folder in ["../xdp_progs/obj", "tests/objects", "../tests/progs/obj"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let Ok(bytes) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(&file))
            else {
                continue;
            };
            let Ok(object) = Object::open(&bytes, &OpenOptions { name: "test", ..OpenOptions::default() })
            else {
                continue;
            };
            names.extend(object.programs().iter().map(|p| format!("{folder}/{file}:{}", p.name.as_str())));
        }
    }
    if filter.contains(':') {
        names = vec![filter.to_owned()];
    }
    let (mut equal, mut all) = (0, 0);
    for name in names.iter().filter(|n| n.contains(filter)) {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (a, b) = (ours(&subject(name)), theirs(&mut kernel, &subject(name)));
            (normalised(&a), normalised(&b))
        }));
        let Ok((a, b)) = run else { continue };
        all += 1;
        match difference(&a, &b) {
            None => {
                equal += 1;
                println!("EQUAL {} {name}", a.lines().count());
            }
            Some(d) => println!("DIFF {name}: {d}\n"),
        }
    }
    println!("{equal} of {all} equal");
}
