//! Manual pages, made from the command line's own description: `make install` calls it.

use crate::args::{Cli, Man};
use crate::outcome::Verdict;
use anyhow::{Context, Result};
use clap::CommandFactory;

/// Writes `uxdp.1` and a page for each subcommand.
pub(crate) fn run(args: &Man) -> Result<Verdict> {
    let folder = args.folder.display();
    std::fs::create_dir_all(&args.folder).with_context(|| format!("cannot make {folder}"))?;
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .with_context(|| format!("cannot write to {folder}"))?;
    Ok(Verdict::Good)
}
