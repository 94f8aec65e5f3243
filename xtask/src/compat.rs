//! `docs/compatibility.md`, made by the comparison with Linux that `tests/tests/compat` is.

use anyhow::Result;
use xshell::{Shell, cmd};

/// Compares `packets` packets of every program, and writes the page.
pub(crate) fn run(sh: &Shell, packets: u32) -> Result<()> {
    let page = sh.current_dir().join("docs/compatibility.md");
    let filter = "every_program_does_what_it_does_on_linux";
    // It has to be compared: a machine that does not let it is an error, not a page.
    cmd!(sh, "cargo test --quiet --release --package uxdp-tests --test compat {filter}")
        .env("UXDP_PACKETS", packets.to_string())
        .env("UXDP_COMPAT", &page)
        .env("CI", "1")
        .run()?;
    Ok(())
}
