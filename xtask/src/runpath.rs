//! Rule 1 as a test: the release code of the run path references neither the panic handler nor the allocator.
//!
//! `tests/runpath` is an archive whose handler and allocator call functions that nobody defines. Linked with unreachable sections removed, it may want
//! nothing but the memory functions that every compiler takes for granted.

use crate::archive;
use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

/// What the C library always has, and compilers call on their own.
const GRANTED: &[&str] = &["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// Builds, links and looks.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let dir = archive::target_dir(sh)?.join("runpath");
    {
        let _target = sh.push_env("CARGO_TARGET_DIR", &dir);
        cmd!(sh, "cargo build --quiet --release --package uxdp-runpath").run()?;
    }
    let (archive, object) = (dir.join("release/libuxdp_runpath.a"), dir.join("runpath.o"));
    cmd!(sh, "ld -r --gc-sections -u uxdp_run_path -o {object} {archive}").run()?;
    let defined = cmd!(sh, "nm --defined-only --format=posix {object}").read()?;
    ensure!(
        defined.lines().any(|l| l.starts_with("uxdp_run_path ")),
        "the run path is not in {}",
        object.display()
    );
    let wanted = cmd!(sh, "nm --undefined-only --format=posix {object}").read()?;
    let stray: Vec<&str> = wanted
        .lines()
        .filter_map(|l| l.split(' ').next())
        .filter(|s| !s.is_empty() && !GRANTED.contains(s))
        .collect();
    ensure!(
        stray.is_empty(),
        "the run path reaches {stray:?}: a panic or an allocation per packet; `nm -C {}` shows from where",
        object.display()
    );
    Ok(())
}
