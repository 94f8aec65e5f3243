//! `make install PREFIX=…`: copies what `dist` made.

use crate::archive;
use anyhow::{Context, Result};
use std::path::Path;
use xshell::{Shell, cmd};

/// Installs libraries, headers, the pkg-config file and the licences below `destdir` + `prefix`.
pub(crate) fn run(sh: &Shell, prefix: &Path, destdir: &str) -> Result<()> {
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
    let doc = to.join("share/doc/uxdp");
    sh.create_dir(&doc)?;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "CHANGELOG.md"] {
        sh.copy_file(file, &doc)?;
    }
    cmd!(sh, "echo installed to {to}").quiet().run()?;
    Ok(())
}
