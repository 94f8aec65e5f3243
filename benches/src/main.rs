//! uxdp beside its peers: rbpf's compiler, and the same C compiled natively.
//!
//! Every lane runs the same packets through the same program with maps of the same contents; chunks alternate, so that what else the machine does hits all of
//! them alike, and only ratios within a run are printed as results. Nothing here asserts a time.
//!
//! `unsafe` stands where foreign code is called: `rbpf_lane` and `native_lane`, and `maps` for what they call back.

mod chains;
mod lane;
mod maps;
mod native_lane;
mod rbpf_lane;
mod uxdp_lane;

use anyhow::Result;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use lane::{Lane, Sample, measure};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Times the programs of xdp_progs on uxdp, rbpf and natively compiled.
#[derive(Parser)]
struct Args {
    /// Programs; all that there are peers for by default.
    programs: Vec<String>,
    /// Times sets of programs at one hook instead.
    #[arg(long, conflicts_with = "programs")]
    chains: bool,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
}

const PROGRAMS: [&str; 10] = [
    "xdp_pass",
    "xdp_tx",
    "xdp_drop",
    "xdp_hash_sum",
    "xdp_csum_only",
    "xdp_csum",
    "xdp_map_access",
    "xdp_maps",
    "xdp_maps_plain",
    "xdp_firewall",
];

/// One program's times.
#[derive(Serialize)]
struct Report {
    program: String,
    uxdp: Sample,
    rbpf: Option<Sample>,
    native: Option<Sample>,
}

/// The files of one program.
struct Files {
    object: PathBuf,
    ctx64: PathBuf,
    source: PathBuf,
    maps: Option<PathBuf>,
}

impl Files {
    fn of(name: &str) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let progs = here.join("../xdp_progs");
        let maps = progs.join(format!("{name}.maps.json"));
        // A program that is for benchmarks alone stands here.
        let folder = if here.join(format!("{name}.c")).exists() { here } else { &progs };
        Files {
            object: folder.join(format!("obj/{name}.o")),
            ctx64: here.join(format!("ctx64/{name}.o")),
            source: folder.join(format!("{name}.c")),
            maps: maps.exists().then_some(maps),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> Result<()> {
    let args = Args::parse();
    if args.chains {
        let reports = chains::bench()?;
        if args.json {
            println!("{}", serde_json::to_string_pretty(&reports)?);
        } else {
            println!("{}", chains::table(&reports).trim_fmt());
        }
        return Ok(());
    }
    let chosen: Vec<String> =
        if args.programs.is_empty() { PROGRAMS.map(str::to_owned).to_vec() } else { args.programs };
    let reports = chosen.iter().map(|name| bench(name)).collect::<Result<Vec<Report>>>()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else {
        println!("{}", table(&reports).trim_fmt());
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a peer that is not there is said, not hidden")]
fn bench(name: &str) -> Result<Report> {
    let files = Files::of(name);
    let absent = |peer: &str, e: anyhow::Error| eprintln!("{name}: no {peer}: {e:#}");
    let mut ours = uxdp_lane::Uxdp::new(&files)?;
    let mut rbpf = rbpf_lane::Rbpf::new(&files).map_err(|e| absent("rbpf", e)).ok();
    let mut native = native_lane::Native::new(name, &files).map_err(|e| absent("native code", e)).ok();
    let mut lanes: Vec<&mut dyn Lane> = vec![&mut ours];
    lanes.extend(rbpf.as_mut().map(|l| l as &mut dyn Lane));
    lanes.extend(native.as_mut().map(|l| l as &mut dyn Lane));
    let mut samples = measure(&mut lanes)?.into_iter();
    Ok(Report {
        program: name.to_owned(),
        uxdp: samples.next().unwrap_or_default(),
        rbpf: rbpf.is_some().then(|| samples.next()).flatten(),
        native: native.is_some().then(|| samples.next()).flatten(),
    })
}

fn table(reports: &[Report]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "PROGRAM",
        "uxdp ns",
        "median",
        "rbpf ns",
        "median",
        "native ns",
        "median",
        "uxdp/rbpf",
        "uxdp/native",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let times = |s: Option<Sample>| match s {
        Some(s) => [format!("{:.2}", s.ns_min), format!("{:.2}", s.ns_median)],
        None => ["-".to_owned(), "-".to_owned()],
    };
    for r in reports {
        let ratio =
            |peer: Option<Sample>| peer.map_or("-".into(), |p| format!("{:.2}", r.uxdp.ns_min / p.ns_min));
        let mut cells = vec![r.program.clone()];
        cells.extend([Some(r.uxdp), r.rbpf, r.native].into_iter().flat_map(times));
        cells.extend([ratio(r.rbpf), ratio(r.native)]);
        table.add_row(cells);
    }
    table
}
