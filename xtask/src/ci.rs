//! What CI runs, in order; the first failure ends it.

use crate::{archive, fuzz, header, licences, proofs, runpath};
use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// Archives without std: built beside crates that use it, they would get its features.
const ALONE: [&str; 4] = ["--exclude", "uxdp-ffi", "--exclude", "uxdp-runpath"];

/// Everything that has to hold on main.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    step("format");
    cmd!(sh, "cargo fmt --all --check").run()?;
    cmd!(sh, "cargo fmt --manifest-path fuzz/Cargo.toml --check").run()?;
    step("lints");
    cmd!(sh, "cargo clippy --quiet --workspace {ALONE...} --all-targets -- -D warnings").run()?;
    for package in ["uxdp-ffi", "uxdp-runpath"] {
        cmd!(sh, "cargo clippy --quiet --package {package} -- -D warnings").run()?;
    }
    cmd!(sh, "cargo clippy --quiet --package uxdp --features kernel --all-targets -- -D warnings").run()?;
    step("licences");
    licences::run(sh)?;
    step("header");
    header::run(sh, header::Mode::Check)?;
    step("core builds for bare metal");
    cmd!(sh, "cargo build --quiet --release --package uxdp-core --target x86_64-unknown-none").run()?;
    step("the run path neither panics nor allocates");
    runpath::run(sh)?;
    step("the conformance driver");
    conformance_driver(sh)?;
    step("the C library");
    archive::dist(sh)?;
    step("loom models");
    proofs::loom(sh)?;
    step("the hash index on AArch64");
    proofs::aarch64(sh)?;
    step("tests");
    cmd!(sh, "cargo test --workspace {ALONE...}").run()?;
    cmd!(sh, "cargo test --package uxdp --features kernel --test against").run()?;
    step("ThreadSanitizer");
    proofs::tsan(sh)?;
    step("miri, briefly");
    proofs::miri(sh, proofs::Effort::Brief)?;
    step("fuzz, briefly");
    fuzz::run(sh, None, 10)?;
    Ok(())
}

/// Builds the conformance driver apart from everything else: its cfg must never reach the library.
pub(crate) fn conformance_driver(sh: &Shell) -> Result<()> {
    let dir = archive::target_dir(sh)?.join("conformance");
    let _flags = sh.push_env("RUSTFLAGS", "--cfg uxdp_conformance");
    let _target = sh.push_env("CARGO_TARGET_DIR", &dir);
    cmd!(sh, "cargo build --quiet --release --package uxdp-conformance").run()?;
    let (from, to) = (dir.join("release/uxdp-conformance"), dir.join("uxdp-conformance"));
    sh.copy_file(from, &to)?;
    // r0 = 5; and r0 = the second byte of the memory: what it prints is what the suite reads.
    let (five, second) = ("b700000005000000 9500000000000000", "7110010000000000 9500000000000000");
    for engine in ["interp", "jit"] {
        ensure!(
            cmd!(sh, "{to} --engine {engine}").stdin(five).read()? == "5",
            "the driver's {engine} engine is wrong"
        );
        ensure!(
            cmd!(sh, "{to} aabb --engine {engine}").stdin(second).read()? == "bb",
            "{engine} does not see the memory"
        );
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress of a long run")]
fn step(what: &str) {
    eprintln!("== {what}");
}
