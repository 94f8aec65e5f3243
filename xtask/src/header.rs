//! `include/uxdp.h`: generated from `uxdp-capi` by the pinned cbindgen, committed, compared in CI.

use anyhow::{Context, Result, bail};
use xshell::Shell;

/// Whether to write the header or only compare it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// Generates the header and writes or compares it.
pub(crate) fn run(sh: &Shell, mode: Mode) -> Result<()> {
    let crate_dir = sh.current_dir().join("ffi/api");
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml"))
        .map_err(|e| anyhow::anyhow!("ffi/api/cbindgen.toml: {e}"))?;
    let mut text = Vec::new();
    cbindgen::Builder::new()
        .with_crate(&crate_dir)
        .with_config(config)
        .generate()
        .context("cbindgen cannot read the C API's source")?
        .write(&mut text);
    let text = String::from_utf8(text)?;
    let path = "include/uxdp.h";
    if mode == Mode::Write {
        sh.write_file(path, text)?;
        return Ok(());
    }
    if sh.read_file(path).unwrap_or_default() != text {
        bail!("{path} is not what the source says: run `cargo xtask header` and review the difference");
    }
    Ok(())
}
