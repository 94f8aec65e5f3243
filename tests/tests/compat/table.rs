//! The table of `docs/compatibility.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use uxdp_kernel::Report;

const HEAD: &str = "# Compatibility with Linux, measured\n\n\
    Written by `cargo xtask compat`, not by hand. Each program of `xdp_progs` ran on Linux (`BPF_PROG_TEST_RUN`) and on each engine, over the same packets and with\n\
    the same map contents; after each packet the action, the packet, its metadata and the records for readers were compared, after the last one the maps. What a\n\
    test run cannot judge is in [testing.md](testing.md); the masks that were used are below the table.\n\n";

/// The whole page.
pub(crate) fn written(rows: &[(String, Result<Report, String>)]) -> String {
    let mut out = String::from(HEAD);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let engines: BTreeSet<&str> =
        rows.iter().filter_map(|(_, r)| r.as_ref().ok()).flat_map(|r| r.engines.clone()).collect();
    let engines: Vec<&str> = engines.into_iter().collect();
    let machine = std::env::consts::ARCH;
    let _ = writeln!(out, "Kernel {}, {machine}; engines: {}.\n", release.trim(), engines.join(", "));
    out.push_str("| program | engines | packets | changed | actions | records | maps | differences |\n|---|---|---|---|---|---|---|---|\n");
    let mut missing = Vec::new();
    let mut masks = BTreeSet::new();
    for (program, row) in rows {
        let report = match row {
            Ok(report) => report,
            Err(why) => {
                missing.push((program, why));
                continue;
            }
        };
        masks.extend(report.masks.iter().map(|m| format!("`{program}`: {m}")));
        let short = |action: &str| action.trim_start_matches("XDP_").to_lowercase();
        let actions: Vec<String> = report.actions.iter().map(|(a, n)| format!("{} {n}", short(a))).collect();
        let _ = writeln!(
            out,
            "| `{program}` | {} | {} | {} | {} | {} | {} | {} |",
            report.engines.join(", "),
            report.packets,
            report.changed,
            actions.join(", "),
            report.records,
            report.maps.len(),
            report.differences
        );
    }
    let compared: usize =
        rows.iter().filter_map(|(_, r)| r.as_ref().ok()).map(|r| r.packets * r.engines.len()).sum();
    let _ = writeln!(
        out,
        "\n{compared} packets were compared on an engine; frames under 14 bytes, which Linux refuses, are not counted."
    );
    out.push_str("\nMasks:\n\n");
    for mask in &masks {
        let _ = writeln!(out, "- {mask}");
    }
    if !missing.is_empty() {
        out.push_str("\nNot run, for want of a function in this version:\n\n");
        for (program, why) in missing {
            let reason = why.split("is refused: ").nth(1).and_then(|w| w.split(';').next()).unwrap_or(why);
            let _ = writeln!(out, "- `{program}`: {reason}");
        }
    }
    out.push_str("\n`xdp_metadata` asks the NIC: Linux loads it for one device only and does not test-run it. `xdping_no_check` is refused by both.\n");
    out
}
