//! Comparisons with Linux in their long forms: `docs/compatibility.md`, made by `tests/tests/compat`, and generated programs (`tests/differential`).

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

/// Generated programs for some seconds.
pub(crate) fn differential(sh: &Shell, seconds: u64, seed: u64) -> Result<()> {
    let (seconds, seed) = (seconds.to_string(), seed.to_string());
    cmd!(sh, "cargo run --quiet --release --package uxdp-differential -- --seconds {seconds} --seed {seed}")
        .run()?;
    Ok(())
}
