//! Several programs at one hook: what each further one costs.

use crate::Files;
use crate::lane::{Lane, Sample, measure};
use crate::uxdp_lane::Uxdp;
use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use uxdp_control::session::{Session, environment};
use uxdp_core::vm::{Action, EngineChoice};

/// How many programs stand at the hook.
const LENGTHS: [usize; 4] = [1, 2, 4, 10];

/// A set of that many programs.
#[derive(Serialize)]
pub(crate) struct Report {
    program: &'static str,
    programs: usize,
    uxdp: Sample,
    /// Of what as many hooks with one program each would take.
    to_single: f64,
}

/// Times sets of a program that does nothing and of one that counts.
pub(crate) fn bench() -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for program in ["xdp_pass", "xdp_map_access"] {
        let files = Files::of(program);
        let slots = environment()?.nr_cpus() as usize;
        // A worker each: as many at a time as there are slots, the single program among them.
        let mut rest = &LENGTHS[1..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(slots.saturating_sub(1).max(1)));
            rest = later;
            let session = Session::open(&files.object, files.maps.as_deref(), EngineChoice::Best)?;
            let lengths: Vec<usize> = std::iter::once(1).chain(now.iter().copied()).collect();
            let chains =
                lengths.iter().zip(0..).map(|(n, slot)| Uxdp::chain(&session, slot, *n, Action::Pass));
            let mut chains = chains.collect::<Result<Vec<_>>>()?;
            let mut lanes: Vec<&mut dyn Lane> = chains.iter_mut().map(|l| l as &mut dyn Lane).collect();
            let samples = measure(&mut lanes)?;
            let single = samples.first().map_or(1.0, |s| s.ns_min);
            for (uxdp, programs) in samples.into_iter().zip(lengths).skip(1) {
                let to_single = uxdp.ns_min / (single * programs as f64);
                reports.push(Report { program, programs, uxdp, to_single });
            }
        }
    }
    Ok(reports)
}

pub(crate) fn table(reports: &[Report]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "PROGRAM",
        "programs",
        "ns",
        "median",
        "of single hooks",
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for r in reports {
        table.add_row([
            r.program.to_owned(),
            r.programs.to_string(),
            format!("{:.2}", r.uxdp.ns_min),
            format!("{:.2}", r.uxdp.ns_median),
            format!("{:.2}", r.to_single),
        ]);
    }
    table
}
