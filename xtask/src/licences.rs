//! The licences of everything that a build brings in.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use xshell::{Shell, cmd};

/// What may be linked into what we ship.
const LINKED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "Unicode-3.0",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
];
/// What may run at build or test time only: cbindgen, dynasm's macro, libbpf as the oracle's loader.
const BUILD_OR_TEST: &[&str] = &["MPL-2.0", "LGPL-2.1-only"];

/// Fails on a dependency whose licence expression has no allowed alternative.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let format = "{p}|{l}";
    let out =
        cmd!(sh, "cargo tree --workspace --edges normal,build,dev --prefix none --format {format}").read()?;
    let lines: BTreeSet<&str> =
        out.lines().map(|l| l.trim_end_matches(" (*)")).filter(|l| l.contains('|')).collect();
    let mut refused = Vec::new();
    for line in &lines {
        let (package, licence) = line.split_once('|').unwrap_or((line, ""));
        if !allowed(licence) {
            refused.push(format!("{package}: {licence:?}"));
        }
    }
    ensure!(
        refused.is_empty(),
        "dependencies with licences that deny.toml does not allow:\n{}",
        refused.join("\n")
    );
    Ok(())
}

/// Whether an SPDX expression (or its older form with slashes) has an allowed alternative.
fn allowed(expression: &str) -> bool {
    let known = |l: &str| LINKED.contains(&l) || BUILD_OR_TEST.contains(&l);
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let every =
        |part: &str| part.split(" AND ").all(|l| known(l.split(" WITH ").next().unwrap_or("").trim()));
    if expression.contains(") AND") || expression.contains("AND (") {
        // A conjunction of alternatives: each conjunct needs one.
        return expression
            .split(" AND ")
            .all(|c| c.replace(['(', ')'], "").split(" OR ").any(|l| known(l.trim())));
    }
    flat.split(" OR ").any(|alternative| every(alternative.trim()))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        assert!(
            allowed("MIT OR Apache-2.0")
                && allowed("Apache-2.0/MIT")
                && allowed("(MIT OR GPL-3.0) AND Unicode-3.0")
        );
        assert!(allowed("GPL-3.0 OR MIT") && allowed("Apache-2.0 WITH LLVM-exception OR GPL-2.0"));
        assert!(!allowed("GPL-3.0") && !allowed("MIT AND GPL-3.0") && !allowed(""));
    }
}
