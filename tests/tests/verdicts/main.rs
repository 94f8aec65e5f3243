//! Whole objects, judged by Linux and by our verifier: the same verdict on every program, and what each verdict cost.
//!
//! The objects are those of xdp_progs and of the loader's tests, those that Debian ships (packages `xdp-tools` and `libxdp1`), and those below the folder that `UXDP_OBJECTS` names.
//! With `--nocapture` the costs are printed side by side; times are never asserted. What libbpf cannot load for another reason than the verifier's is left out, and counted.

#![expect(clippy::print_stdout, reason = "the costs side by side, with --nocapture")]

mod kernel;

use kernel::Judged;
use std::path::{Path, PathBuf};
use std::time::Instant;
use uxdp_core::helpers::STANDARD;
use uxdp_core::object::{MapDef, Object, OpenOptions};
use uxdp_core::verifier::{MapInfo, VerifyOptions, judge};

/// One program's verdict and cost: `None` is accepted.
struct Verdict {
    refusal: Option<String>,
    processed: u32,
    micros: f64,
    memory: usize,
}

fn objects_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "o") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Our verdict on one program; `Err` says why it could not be judged.
fn ours(file: &Path, program: &str) -> Result<Verdict, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let object = Object::open(&bytes, &OpenOptions::default()).map_err(|e| e.to_string())?;
    let index = object.find_program(program).map_err(|e| format!("{e:?}"))?;
    let linked = object.link(index).map_err(|e| e.to_string())?;
    let whole = |m: &MapDef| {
        let mut bytes = m.initial.to_vec();
        bytes.resize(m.spec.value_size as usize, 0);
        bytes
    };
    let constants: Vec<_> = object.maps().iter().map(|m| m.frozen.then(|| whole(m))).collect();
    let maps: Vec<_> = object
        .maps()
        .iter()
        .zip(&constants)
        .map(|(m, bytes)| MapInfo { spec: m.spec, name: m.name.as_str(), frozen: bytes.as_deref() })
        .collect();
    let start = Instant::now();
    let result = judge(linked.code(), &maps, STANDARD, &VerifyOptions::default(), &mut String::new());
    let micros = start.elapsed().as_secs_f64() * 1e6;
    let (refusal, stats) = match result {
        Ok(stats) => (None, stats),
        Err(e) => (Some(e.to_string()), e.stats),
    };
    Ok(Verdict { refusal, processed: stats.insns_processed, micros, memory: stats.peak_memory })
}

/// What comparing some objects found.
#[derive(Default)]
struct Tally {
    compared: usize,
    accepted: usize,
    left_out: usize,
    differences: Vec<String>,
}

fn compare(files: &[PathBuf]) -> Tally {
    let mut tally = Tally::default();
    println!(
        "{:60} {:>9} {:>9} {:>11} {:>11} {:>9}",
        "program", "insns", "kernel's", "us", "kernel's", "KiB"
    );
    for file in files {
        for (program, judged) in kernel::judge_all(file) {
            let name = format!("{}:{program}", file.file_name().unwrap_or_default().to_string_lossy());
            let theirs = match judged {
                Judged::Accepted { processed, micros } => Some((processed, micros)),
                Judged::Refused(_) => None,
                Judged::LeftOut => {
                    tally.left_out += 1;
                    continue;
                }
            };
            tally.compared += 1;
            let ours = ours(file, &program);
            match (&ours, theirs, &judged) {
                (Ok(v), Some((processed, micros)), _) if v.refusal.is_none() => {
                    tally.accepted += 1;
                    let (kib, us) = (v.memory.div_ceil(1024), v.micros);
                    println!("{name:60} {:>9} {processed:>9} {us:>11.0} {micros:>11} {kib:>9}", v.processed);
                }
                (Ok(v), None, Judged::Refused(reason)) if v.refusal.is_none() => {
                    tally.differences.push(format!("{name}: Linux refuses: {reason}"));
                }
                (Ok(v), Some(_), _) => tally
                    .differences
                    .push(format!("{name}: refused here: {}", v.refusal.clone().unwrap_or_default())),
                (Err(e), Some(_), _) => tally.differences.push(format!("{name}: not judged here: {e}")),
                _ => {}
            }
        }
    }
    println!("{} compared, {} accepted by both, {} left out", tally.compared, tally.accepted, tally.left_out);
    tally
}

fn all_agree(files: &[PathBuf], at_least: usize) {
    if !kernel::can_ask() {
        return;
    }
    let tally = compare(files);
    assert!(tally.compared >= at_least, "only {} programs were compared", tally.compared);
    assert!(tally.differences.is_empty(), "{}", tally.differences.join("\n"));
}

#[test]
fn programs_of_xdp_progs_get_the_kernels_verdict() {
    all_agree(&objects_below(&root().join("xdp_progs/obj")), 10);
}

#[test]
fn programs_that_debian_ships_get_the_kernels_verdict() {
    let folders = ["/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib/aarch64-linux-gnu/bpf", "/usr/lib/bpf"];
    let files: Vec<_> = folders.iter().flat_map(|f| objects_below(Path::new(f))).collect();
    if files.is_empty() {
        kernel::skip("the objects of Debian's xdp-tools and libxdp1 are not installed");
        return;
    }
    all_agree(&files, 15);
}

#[test]
fn programs_of_a_folder_get_the_kernels_verdict() {
    let Some(folder) = std::env::var_os("UXDP_OBJECTS") else { return };
    all_agree(&objects_below(Path::new(&folder)), 1);
}
