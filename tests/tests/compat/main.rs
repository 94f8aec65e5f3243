//! Every program of `xdp_progs` on Linux and on each engine: the same packets, the same map contents, no difference.
//!
//! A program's packets are those of its own capture, those that scapy made (`scripts/mkscapy.py`), mutants of both, and the generator's, malformed and truncated ones
//! among them. Half of them come in by a second interface, where a network of our own can be made. `UXDP_PACKETS` says how many there are (400 without it);
//! `UXDP_COMPAT` names a file to write the table to: `cargo xtask compat` sets both and writes `docs/compatibility.md`.

mod live;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use uxdp_control::traffic::{Rng, Traffic, mutant};
use uxdp_core::object::{Object, OpenOptions};
use uxdp_core::vm::EngineChoice;
use uxdp_kernel::{Case, Input, Masks, Ports, Report, SECOND, can_ask, judge};

const ENGINES: [EngineChoice; 2] = [EngineChoice::Best, EngineChoice::Interp];
const SEED: u64 = 6;
/// Packets a program, unless the environment says otherwise.
const PACKETS: usize = 400;
/// What Linux loads for one device alone, and cannot test-run.
const DEVICE_ONLY: [&str; 1] = ["xdp_metadata"];
/// What is here to be refused.
const REFUSED: [&str; 1] = ["xdping_no_check"];

/// Says on standard error what the harness would keep to itself where a test passes.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Whether Linux can be asked; where it cannot, one line says so, and CI fails.
fn asked() -> bool {
    let can = can_ask();
    if !can {
        assert!(std::env::var_os("CI").is_none(), "CI has to compare with Linux: bpf(2) is not permitted");
        say("not compared with Linux: bpf(2) is not permitted");
    }
    can
}

fn progs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs").join(path)
}

/// The packets of a classic little-endian capture.
fn capture(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rest = &file[24..];
    let mut packets = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(16) {
        let (packet, next) = body.split_at(u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize);
        packets.push(packet.to_vec());
        rest = next;
    }
    packets
}

/// Every program that runs alone: its object's name and its own.
fn programs() -> Vec<(String, String)> {
    let mut stems: Vec<String> = std::fs::read_dir(progs("."))
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "c"))
        .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|s| !DEVICE_ONLY.contains(&s.as_str()) && !REFUSED.contains(&s.as_str()))
        .collect();
    stems.sort();
    let mut out = Vec::new();
    for stem in stems {
        let bytes = std::fs::read(progs(&format!("obj/{stem}.o"))).unwrap();
        let object = Object::open(&bytes, &OpenOptions::default()).unwrap();
        for program in object.programs() {
            let name = program.name.as_str().to_owned();
            if name == stem || name.starts_with(&format!("{stem}_")) {
                out.push((stem.clone(), name));
            }
        }
    }
    out
}

/// `count` packets for a program, in an order that mixes where they come from.
fn inputs(stem: &str, count: usize, second: bool) -> Vec<Input> {
    let mut rng = Rng::new(SEED);
    let own = capture(&progs(&format!("pcap/{stem}.pcap")));
    let foreign = capture(&progs("pcap/scapy.pcap"));
    let mut packets = own.clone();
    packets.extend(foreign.iter().cloned());
    let mut traffic = Traffic::new(SEED, &[]);
    // Those that Linux refuses are beyond the count.
    let mut taken = packets.len();
    while taken < count {
        let packet = match rng.below(5) {
            0 => mutant(&foreign[rng.below(foreign.len())], &mut rng),
            1 | 2 => mutant(&own[rng.below(own.len())], &mut rng),
            _ => traffic.next().unwrap(),
        };
        taken += usize::from(packet.len() >= 14);
        packets.push(packet);
    }
    if count < packets.len() && taken == packets.len() {
        packets.truncate(count.max(own.len()));
    }
    let ingress = |rng: &mut Rng| if second && rng.one_in(2) { SECOND } else { 0 };
    packets.into_iter().map(|packet| Input { packet, ingress: ingress(&mut rng) }).collect()
}

/// Compares one program; `Err` says what it waits for.
fn compare(stem: &str, program: &str, folder: &str, packets: usize, second: bool) -> Result<Report, String> {
    let (file, maps) = (progs(&format!("{folder}/{stem}.o")), progs(&format!("{stem}.maps.json")));
    let case = Case {
        file: &file,
        program: Some(program),
        maps: maps.exists().then_some(&maps),
        engines: &ENGINES,
        masks: Masks::read(&progs("masks.json"), program).unwrap(),
    };
    judge(case, inputs(stem, packets, second)).map_err(|e| {
        let text = format!("{e:#}");
        assert!(text.contains("is not provided in this version"), "{program}: {text}");
        text
    })
}

fn packets() -> usize {
    std::env::var("UXDP_PACKETS").map_or(PACKETS, |n| n.parse().expect("UXDP_PACKETS is a number"))
}

#[test]
fn every_program_does_what_it_does_on_linux() {
    if !asked() {
        return;
    }
    let ports = Ports::make(&progs("obj/xdp_pass.o"));
    if let Err(e) = &ports {
        say(&format!("packets come in by the loopback alone: {e:#}"));
    }
    let mut rows = Vec::new();
    for (stem, program) in programs() {
        let row = compare(&stem, &program, "obj", packets(), ports.is_ok());
        match &row {
            Ok(report) => {
                let first = report.first.first();
                assert!(
                    first.is_none(),
                    "{program} differs on {:?}, {} times; first, at packet {:?} ({}):\n  {}",
                    first.map(|d| d.engine),
                    report.differences,
                    first.and_then(|d| d.packet),
                    first.map_or("", |d| &d.input),
                    first.map_or_else(String::new, |d| d.lines.join("\n  "))
                );
                assert!(report.packets > 0 && report.engines.contains(&"interp"), "{program}: {report:?}");
            }
            Err(missing) => say(&format!("not run: {missing}")),
        }
        rows.push((program, row));
    }
    assert!(rows.iter().filter(|(_, r)| r.is_ok()).count() >= 35, "most programs run");
    if let Some(path) = std::env::var_os("UXDP_COMPAT") {
        std::fs::write(path, table::written(&rows)).unwrap();
    }
}

#[test]
fn instruction_sets_v2_and_v4_do_the_same() {
    if !asked() {
        return;
    }
    for folder in ["obj/v2", "obj/v4"] {
        for (stem, program) in programs() {
            if let Ok(report) = compare(&stem, &program, folder, packets() / 4, false) {
                assert!(report.first.is_empty(), "{folder}, {program}: {:#?}", report.first);
            }
        }
    }
}

#[test]
fn a_report_tells_what_was_compared() {
    if !asked() {
        return;
    }
    let file = progs("obj/xdp_lb.o");
    let case = Case {
        file: &file,
        program: None,
        maps: Some(&progs("xdp_lb.maps.json")),
        engines: &ENGINES,
        masks: Masks::default(),
    };
    let report = judge(case, inputs("xdp_lb", 60, false)).unwrap();
    assert_eq!(report.differences, 0, "{:?}", report.first);
    assert!(report.changed > 0 && report.maps.contains(&"servers".to_owned()), "{report:?}");
    assert_eq!(report.packets + report.left_out, 60, "{report:?}");
}
