//! The uxdp tool: inspects, verifies, runs, times and dumps XDP programs, without root and without a NIC.
//!
//! Each subcommand is a file with one function from its arguments to a [`outcome::Verdict`]. Results go to standard output, errors to standard error in
//! one sentence; the exit code tells them apart (0 success, 1 negative verdict, 2 usage or unreadable input, 3 refused by the machine).
#![forbid(unsafe_code)]

mod against;
mod args;
mod bench;
mod dump;
mod engine;
mod generate;
mod inspect;
mod man;
mod native;
mod outcome;
mod packets;
mod run;
mod source;
mod table;
mod verify;
mod xlated;

use args::{Cli, Command};
use clap::Parser;
use outcome::Verdict;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = run(&cli.command, &mut out);
    let flushed = out.flush().map_err(anyhow::Error::from);
    match result.and_then(|verdict| flushed.map(|()| verdict)) {
        Ok(verdict) => verdict.exit_code(),
        Err(error) => outcome::report(&error),
    }
}

fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<Verdict> {
    match command {
        Command::Inspect(args) => inspect::run(args, out),
        Command::Verify(args) => verify::run(args, out),
        Command::Run(args) => run::run(args, out),
        Command::Gen(args) => generate::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        Command::Dump(args) => dump::run(args, out),
        Command::Man(args) => man::run(args),
    }
}
