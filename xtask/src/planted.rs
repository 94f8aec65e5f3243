//! Planted bugs: each patch of `tests/planted` breaks the verifier, the compiler, the interpreter or a map in one place, and the comparison of generated programs with
//! Linux has to find it.
//!
//! The sources are copied to `target/planted/tree` once; a patch is applied there, the comparison built (unoptimised, for builds are what takes time) and run over a
//! fixed seed, and the patch taken back. Without a patch it has to find nothing.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;
use xshell::{Shell, cmd};

/// Generated programs that a bug has to be found within.
const ROUNDS: &str = "20000";
/// Seconds of a run at most.
const SECONDS: &str = "240";

/// Runs the patches whose name contains `only`; all without it.
#[expect(clippy::print_stderr, reason = "figures and findings")]
pub(crate) fn run(sh: &Shell, only: Option<&str>) -> Result<()> {
    let folder = sh.current_dir().join("tests/planted");
    let mut patches: Vec<PathBuf> = sh.read_dir(&folder)?;
    patches.retain(|p| p.extension().is_some_and(|e| e == "patch"));
    patches.retain(|p| only.is_none_or(|name| p.to_string_lossy().contains(name)));
    ensure!(!patches.is_empty(), "no such patch in {}", folder.display());
    let tree = copied(sh)?;
    ensure!(compared(sh, &tree)?.is_none(), "without a planted bug something differs: mend that first");
    let mut missed = Vec::new();
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let start = Instant::now();
        cmd!(sh, "patch --quiet --strip=1 --directory={tree} --input={patch}").quiet().run()?;
        let found = compared(sh, &tree);
        cmd!(sh, "patch --quiet --strip=1 --reverse --directory={tree} --input={patch}").quiet().run()?;
        let took = start.elapsed().as_secs();
        match found.with_context(|| name.clone())? {
            Some(what) => eprintln!("{name}: found, {took} s: {what}"),
            None => {
                eprintln!("{name}: NOT found, {took} s");
                missed.push(name);
            }
        }
    }
    let found = patches.len() - missed.len();
    eprintln!("{found} of {} planted bugs are found", patches.len());
    ensure!(missed.is_empty(), "not found: {}", missed.join(", "));
    Ok(())
}

/// The tracked files as they are now, in a folder of their own.
fn copied(sh: &Shell) -> Result<PathBuf> {
    let tree = sh.current_dir().join("target/planted/tree");
    sh.create_dir(&tree)?;
    let files =
        cmd!(sh, "git ls-files -- Cargo.toml Cargo.lock cli core control ffi tests benches dpdk-app xtask")
            .read()?;
    for file in files.lines() {
        let (from, to) = (Path::new(file), tree.join(file));
        // Files that did not change keep their time, so that nothing is built again for them.
        if sh.read_binary_file(from).ok() == sh.read_binary_file(&to).ok() {
            continue;
        }
        if let Some(parent) = to.parent() {
            sh.create_dir(parent)?;
        }
        sh.copy_file(from, &to)?;
    }
    Ok(tree)
}

/// What differs first, if anything does. A crash is a finding as well.
fn compared(sh: &Shell, tree: &Path) -> Result<Option<String>> {
    let _dir = sh.push_dir(tree);
    let target = tree.join("../target");
    let _target = sh.push_env("CARGO_TARGET_DIR", &target);
    let _level = sh.push_env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    let _debug = sh.push_env("CARGO_PROFILE_DEV_DEBUG", "0");
    let _units = sh.push_env("CARGO_PROFILE_DEV_CODEGEN_UNITS", "64");
    cmd!(sh, "cargo build --quiet --package uxdp-differential").quiet().run()?;
    let bin = target.join("debug/uxdp-differential");
    let out = cmd!(sh, "{bin} --seed 0 --rounds {ROUNDS} --seconds {SECONDS} --keep {target}/cases")
        .quiet()
        .ignore_status()
        .output()?;
    if out.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let first = said.lines().find(|l| l.starts_with("seed ") || l.contains("panicked")).map(str::to_owned);
    Ok(Some(first.unwrap_or_else(|| format!("the run ends with {}", out.status)).chars().take(160).collect()))
}
