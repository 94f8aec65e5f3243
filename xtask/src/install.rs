//! `make install PREFIX=…`: copies what `dist` made.

use crate::archive;
use anyhow::{Context, Result};
use std::path::Path;
use xshell::{Shell, cmd};

/// What is installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The C library and the tools.
    Everything,
    /// The C library.
    Library,
}

/// Installs libraries, headers, the pkg-config file, tools, manual pages and the licences below `destdir` + `prefix`.
pub(crate) fn run(sh: &Shell, prefix: &Path, destdir: &str, what: What) -> Result<()> {
    let dist = archive::dist(sh)?;
    let to = Path::new(destdir).join(match destdir {
        "" => prefix,
        _ => prefix.strip_prefix("/").unwrap_or(prefix),
    });
    let lib = to.join("lib");
    sh.create_dir(lib.join("pkgconfig")).with_context(|| {
        format!(
            "cannot write to {}: give another PREFIX=… or run with the permission to write there",
            to.display()
        )
    })?;
    let (from_lib, from_include) = (dist.dir.join("lib/."), dist.dir.join("include/."));
    let include = to.join("include");
    sh.create_dir(&include)?;
    cmd!(sh, "cp -a --no-preserve=ownership {from_lib} {lib}").run()?;
    cmd!(sh, "cp -a --no-preserve=ownership {from_include} {include}").run()?;
    sh.write_file(lib.join("pkgconfig/uxdp.pc"), archive::pc_file(&prefix.to_string_lossy()))?;
    if what == What::Everything {
        tools(sh, &to)?;
    }
    let doc = to.join("share/doc/uxdp");
    sh.create_dir(&doc)?;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        sh.copy_file(file, &doc)?;
    }
    cmd!(sh, "echo installed to {to}").quiet().run()?;
    Ok(())
}

/// The tool with its manual pages, and l2fwd where DPDK is at hand.
fn tools(sh: &Shell, to: &Path) -> Result<()> {
    let (bin, man) = (to.join("bin"), to.join("share/man/man1"));
    let target = archive::target_dir(sh)?.join("release");
    sh.create_dir(&bin)?;
    cmd!(sh, "cargo build --quiet --release --package uxdp").run()?;
    sh.copy_file(target.join("uxdp"), &bin)?;
    let uxdp = bin.join("uxdp");
    cmd!(sh, "{uxdp} man {man}").run()?;
    if cmd!(sh, "pkg-config --exists libdpdk").quiet().ignore_stderr().run().is_ok() {
        cmd!(sh, "cargo build --quiet --release --package uxdp-l2fwd").run()?;
        sh.copy_file(target.join("l2fwd"), &bin)?;
    } else {
        cmd!(sh, "echo without l2fwd: DPDK is not there, apt-get install libdpdk-dev brings it")
            .quiet()
            .run()?;
    }
    Ok(())
}
