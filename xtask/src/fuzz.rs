//! The fuzz targets of `fuzz/`: built with libFuzzer's instrumentation and AddressSanitizer, run for a bounded time each.
//!
//! Needs no `cargo-fuzz`: the flags are the ones that it sets. They are the compiler's unstable ones, so that the compiler is the nightly toolchain's, or
//! the stable one told to take them. Corpora start from objects of the repository, at run time; `fuzz/corpus` grows from run to run, and
//! `fuzz/artifacts` keeps what a finding was found with.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::path::Path;
use std::process::{Command, Stdio};
use xshell::{Shell, cmd};

/// A fuzz target.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Target {
    /// Any bytes as an object file.
    Object,
    /// Any bytes as the types of a kernel.
    Btf,
    /// Any bytes as a program to verify.
    Verifier,
    /// Programs that are accepted, run on each engine.
    VerifyRun,
    /// A map and operations on it.
    Maps,
    /// Calls of the C API.
    CApi,
}

/// How a target is run.
struct Row {
    name: &'static str,
    /// Bytes of an input at most.
    max_len: u32,
    /// Accepted programs of a hundred, at least.
    accepted: u32,
}

const ROWS: [Row; 6] = [
    Row { name: "object", max_len: 64 << 10, accepted: 0 },
    Row { name: "btf", max_len: 32 << 10, accepted: 0 },
    Row { name: "verifier", max_len: 16 << 10, accepted: 0 },
    Row { name: "verify_run", max_len: 640, accepted: 33 },
    Row { name: "maps", max_len: 2048, accepted: 0 },
    Row { name: "c_api", max_len: 2048, accepted: 0 },
];

/// What `cargo fuzz` passes to the compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Zsanitizer=address -Cforce-frame-pointers=yes --cfg fuzzing";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Builds the targets and runs one or all of them for `seconds` each.
pub(crate) fn run(sh: &Shell, only: Option<Target>, seconds: u32) -> Result<()> {
    let Some(bins) = build(sh)? else { return Ok(()) };
    let mut failed = Vec::new();
    for (i, row) in ROWS.iter().enumerate() {
        if only.is_none_or(|t| t as usize == i) && !fuzz(sh, &bins, row, seconds)? {
            failed.push(row.name);
        }
    }
    ensure!(failed.is_empty(), "fuzzing found something: {}", failed.join(", "));
    Ok(())
}

/// Builds all targets with the first compiler that takes the flags; the folder that they are in, or `None` where none does.
#[expect(clippy::print_stderr, reason = "what was not run is said")]
fn build(sh: &Shell) -> Result<Option<std::path::PathBuf>> {
    let target = sh.current_dir().join("fuzz/target");
    let _dir = sh.push_dir("fuzz");
    let _flags = sh.push_env("RUSTFLAGS", FLAGS);
    let _target = sh.push_env("CARGO_TARGET_DIR", &target);
    let probe = ["--print=cfg", "-Zsanitizer=address", "--target", TRIPLE];
    let nightly = cmd!(sh, "rustc +nightly {probe...}").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    let _stable = (!nightly).then(|| sh.push_env("RUSTC_BOOTSTRAP", "1"));
    let toolchain = nightly.then_some("+nightly");
    let able = nightly || cmd!(sh, "rustc {probe...}").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if !able {
        ensure!(std::env::var_os("CI").is_none(), "CI needs a compiler with AddressSanitizer for {TRIPLE}");
        eprintln!("not run: fuzzing, for which no compiler here has AddressSanitizer for {TRIPLE}");
        return Ok(None);
    }
    cmd!(sh, "cargo {toolchain...} build --quiet --locked --release --bins --target {TRIPLE}").run()?;
    Ok(Some(target.join(TRIPLE).join("release")))
}

/// Runs one target; whether it found nothing.
#[expect(clippy::print_stderr, reason = "figures and findings")]
fn fuzz(sh: &Shell, bins: &Path, row: &Row, seconds: u32) -> Result<bool> {
    let fuzz = sh.current_dir().join("fuzz");
    let (corpus, found) = (fuzz.join("corpus").join(row.name), fuzz.join("artifacts").join(row.name));
    sh.create_dir(&corpus)?;
    sh.create_dir(&found)?;
    let bin = bins.join(row.name);
    cmd!(sh, "{bin}").env("UXDP_FUZZ_SEEDS", &corpus).quiet().ignore_stderr().run()?;
    // Without entropic scheduling, whose book-keeping costs more than these targets do. Standard error is libFuzzer's log. Ctrl-C reaches the target,
    // which is of this process group, and ends both.
    let out = Command::new(&bin)
        .arg(&corpus)
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", row.max_len))
        .args([
            "-len_control=0",
            "-entropic=0",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=1",
        ])
        .env("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=0")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let log = String::from_utf8_lossy(&out.stderr);
    let figures = Figures::of(&log);
    eprintln!("{}: {figures}", row.name);
    if out.status.success() {
        let enough = figures.accepted.is_none_or(|share| share >= row.accepted);
        ensure!(enough, "{}: fewer than {} % of the programs were accepted", row.name, row.accepted);
        return Ok(true);
    }
    if out.status.code().is_none() {
        bail!("{} was ended by a signal", row.name);
    }
    // From the first line of the report on: what came before is progress.
    let lines: Vec<&str> = log.lines().filter(|l| !l.starts_with('#') || l.starts_with("    #")).collect();
    let from = lines.len().saturating_sub(60);
    eprintln!("{}", lines[from..].join("\n"));
    let kept = lines.iter().find_map(|l| l.split_once("Test unit written to ")).map(|(_, path)| path);
    eprintln!("again: {} {}", bin.display(), kept.unwrap_or("FILE"));
    Ok(false)
}

/// What libFuzzer's log says of a run.
struct Figures<'a> {
    executions: &'a str,
    coverage: &'a str,
    /// The target's own line.
    share: Option<&'a str>,
    accepted: Option<u32>,
}

impl<'a> Figures<'a> {
    fn of(log: &'a str) -> Self {
        let after = |line: &'a str, key: &str| line.split_once(key).map(|(_, rest)| rest.trim());
        let word = |text: &'a str| text.split_whitespace().next();
        let last = |key: &str| log.lines().rev().find_map(|l| after(l, key));
        let share = last("share: ");
        let percent = share.and_then(|s| s.split_once('(')?.1.split_once(" %")?.0.parse().ok());
        Figures {
            executions: last("stat::number_of_executed_units:").unwrap_or("?"),
            coverage: last(" cov: ").and_then(word).unwrap_or("?"),
            share,
            accepted: percent,
        }
    }
}

impl std::fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} executions, {} edges covered", self.executions, self.coverage)?;
        self.share.map_or(Ok(()), |share| write!(f, ", {share}"))
    }
}
