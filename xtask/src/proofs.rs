//! The tools that look for races: loom, miri, ThreadSanitizer. Each has a target directory of its own, since flags differ.
//!
//! What is not installed is said in one line and not run.

use crate::archive;
use anyhow::Result;
use xshell::{Shell, cmd};

/// Every order of a few threads' accesses to maps and grace periods; the models stand beside what they are about.
pub(crate) fn loom(sh: &Shell) -> Result<()> {
    let _flags = sh.push_env("RUSTFLAGS", "--cfg loom");
    let _target = sh.push_env("CARGO_TARGET_DIR", archive::target_dir(sh)?.join("loom"));
    // Fibres of one thread: one model at a time.
    cmd!(sh, "cargo test --quiet --package uxdp-core --lib -- --test-threads=1 --skip costs loom models")
        .run()?;
    Ok(())
}

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As much as CI has time for.
    Brief,
    Whole,
}

/// The portable paths of maps in miri: undefined behaviour.
pub(crate) fn miri(sh: &Shell, effort: Effort) -> Result<()> {
    if !has(sh, "miri")? {
        return Ok(());
    }
    // Map memory is shared by address, with other processes too: its pointers have no one origin.
    // Tests leak their memory, so that maps may live for ever. The emulation of weak memory ends in an error of miri's own where a value is stored by words and loaded by bytes;
    // what it would show, loom does.
    let _flags = sh.push_env(
        "MIRIFLAGS",
        "-Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-disable-weak-memory-emulation",
    );
    let _target = sh.push_env("CARGO_TARGET_DIR", archive::target_dir(sh)?.join("miri"));
    let filters: &[&str] = if effort == Effort::Brief { &MIRI[..2] } else { &MIRI };
    cmd!(sh, "cargo +nightly miri test --quiet --package uxdp-core --lib -- {filters...}").run()?;
    Ok(())
}

/// What miri can run in minutes; the first two in one.
const MIRI: [&str; 3] = ["maps::table::", "sync::", "maps::tests::threads::"];

/// Threads that read, write, walk and evict, under ThreadSanitizer with a standard library built for it.
pub(crate) fn tsan(sh: &Shell) -> Result<()> {
    if !has(sh, "rust-src")? {
        return Ok(());
    }
    // Fences are unknown to ThreadSanitizer, so that it holds what they order for races; map memory is accessed by atomics alone, where there is none.
    let _flags = sh.push_env("RUSTFLAGS", "-Zsanitizer=thread");
    // Tests unwind; with a library built for both there would be two of it.
    let _panic = sh.push_env("CARGO_PROFILE_DEV_PANIC", "unwind");
    let _target = sh.push_env("CARGO_TARGET_DIR", archive::target_dir(sh)?.join("tsan"));
    let target = "x86_64-unknown-linux-gnu";
    cmd!(sh, "cargo +nightly test --quiet -Zbuild-std --target {target} --package uxdp-core --lib -- maps::tests::threads:: maps::tests::lpm::lookups").run()?;
    Ok(())
}

/// The hash index on AArch64, whose groups are compared by instructions of its own, in an emulator.
pub(crate) fn aarch64(sh: &Shell) -> Result<()> {
    let target = "aarch64-unknown-linux-musl";
    let _linker = sh.push_env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    let _runner = sh.push_env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", "qemu-aarch64");
    // What only the other architecture's tests use is not used here.
    let _flags = sh.push_env("RUSTFLAGS", "--allow dead_code");
    // An emulator of user programs knows no bpf(2), and is slow.
    let _kernel = sh.push_env("UXDP_NO_KERNEL", "1");
    let _rounds = sh.push_env("UXDP_ROUNDS", "500");
    let _target = sh.push_env("CARGO_TARGET_DIR", archive::target_dir(sh)?.join("aarch64"));
    cmd!(
        sh,
        "cargo test --quiet --target {target} --package uxdp-core --lib -- maps::table maps::tests::hash maps::tests::model::table"
    )
    .run()?;
    Ok(())
}

/// Whether the nightly toolchain has a component.
#[expect(clippy::print_stderr, reason = "what was not run is said")]
fn has(sh: &Shell, component: &str) -> Result<bool> {
    let list = cmd!(sh, "rustup +nightly component list --installed").ignore_status().ignore_stderr().read();
    let found = list.is_ok_and(|l| l.lines().any(|line| line.starts_with(component)));
    if !found {
        eprintln!("not run: the nightly toolchain has no {component}");
    }
    Ok(found)
}

/// Writers that are killed while others go on, so often for each kind of map.
pub(crate) fn kill(sh: &Shell, times: u32) -> Result<()> {
    let times = times.to_string();
    let _times = sh.push_env("UXDP_KILLS", &times);
    cmd!(sh, "cargo test --release --package uxdp-tests --test kill").run()?;
    Ok(())
}
