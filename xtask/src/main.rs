//! The project's chores. `cargo xtask --help` lists them; `cargo xtask ci` is exactly what CI runs.

mod archive;
mod ci;
mod compat;
mod fuzz;
mod header;
mod install;
mod licences;
mod planted;
mod proofs;
mod runpath;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xshell::Shell;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", after_help = "Example: cargo xtask dist && ls dist/lib")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI runs: format, lints, tests of every crate, the C library, the documentation.
    Ci,
    /// Writes include/uxdp.h from the C API's source.
    Header {
        /// Only compare; fail when the committed header differs.
        #[arg(long)]
        check: bool,
    },
    /// Builds the C library into dist/: the one-object archive, the shared library, headers, uxdp.pc.
    Dist,
    /// Copies what `dist` made to a prefix.
    Install {
        /// Where it will be used.
        #[arg(long, default_value = "/usr/local")]
        prefix: PathBuf,
        /// A root to put before the prefix, for packagers.
        #[arg(long, default_value = "")]
        destdir: String,
        /// The C library alone, without the tools.
        #[arg(long)]
        library: bool,
    },
    /// Builds the driver of the public eBPF conformance suite into target/conformance/.
    ConformanceDriver,
    /// Shows that the release code of the run path neither panics nor allocates.
    RunPath,
    /// Runs the loom models: every order of a few threads' accesses to maps and grace periods.
    Loom,
    /// Runs the portable paths of maps in miri.
    Miri,
    /// Runs the tests of the hash index on AArch64, in an emulator.
    Aarch64,
    /// Runs the thread tests of maps under ThreadSanitizer.
    Tsan,
    /// Kills writers of shared maps at random points while others go on, and checks the maps after each.
    Kill {
        /// How often, for each kind of map.
        #[arg(long, default_value_t = 10_000)]
        times: u32,
    },
    /// Runs the fuzz targets: bytes as objects, types and programs; accepted programs on each engine.
    Fuzz {
        /// The target; all without one.
        target: Option<fuzz::Target>,
        /// How long each of them runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Compares every program of xdp_progs with Linux over many packets and writes docs/compatibility.md.
    Compat {
        /// Packets a program; those that Linux does not test-run are left out.
        #[arg(long, default_value_t = 10_200)]
        packets: u32,
    },
    /// Runs generated programs on Linux and on every engine, and compares.
    Differential {
        /// How long.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// The first case's seed.
        #[arg(long, default_value_t = 1_000_000)]
        seed: u64,
    },
    /// Plants bugs in a copy of the sources, one after the other, and shows that the comparison with Linux finds each.
    Planted {
        /// Only patches whose name contains this.
        name: Option<String>,
    },
    /// Lists the licences of all dependencies and fails on one that is not allowed.
    Licences,
}

/// The error is the last line, without a trace of calls: what failed has said why above it.
#[expect(clippy::print_stderr, reason = "a tool's last word")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(root());
    match Args::parse().task {
        Task::Ci => ci::run(&sh),
        Task::Header { check } => {
            header::run(&sh, if check { header::Mode::Check } else { header::Mode::Write })
        }
        Task::Dist => archive::dist(&sh).map(|_| ()),
        Task::Install { prefix, destdir, library } => {
            let what = if library { install::What::Library } else { install::What::Everything };
            install::run(&sh, &prefix, &destdir, what)
        }
        Task::ConformanceDriver => ci::conformance_driver(&sh),
        Task::RunPath => runpath::run(&sh),
        Task::Loom => proofs::loom(&sh),
        Task::Miri => proofs::miri(&sh, proofs::Effort::Whole),
        Task::Aarch64 => proofs::aarch64(&sh),
        Task::Tsan => proofs::tsan(&sh),
        Task::Kill { times } => proofs::kill(&sh, times),
        Task::Fuzz { target, seconds } => fuzz::run(&sh, target, seconds),
        Task::Compat { packets } => compat::run(&sh, packets),
        Task::Differential { seconds, seed } => compat::differential(&sh, seconds, seed),
        Task::Planted { name } => planted::run(&sh, name.as_deref()),
        Task::Licences => licences::run(&sh),
    }
}

/// The workspace's top folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace exists")
}
