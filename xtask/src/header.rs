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
    let text = without_safety_sections(&String::from_utf8(text)?);
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

/// The text without rustdoc's `# Safety` sections: each stands last in its comment and repeats for Rust what the sentence on ownership says.
fn without_safety_sections(text: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.trim() == "* # Safety" {
            inside = true;
            if out.last().is_some_and(|l| l.trim() == "*") {
                out.pop();
            }
        }
        inside &= line.trim() != "*/";
        if !inside {
            out.push(line);
        }
    }
    out.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::without_safety_sections;

    #[test]
    fn safety_sections_go_and_nothing_else() {
        let text = "/**\n * Frees it.\n *\n * # Safety\n * Not twice.\n */\nvoid f(void);\n";
        assert_eq!(without_safety_sections(text), "/**\n * Frees it.\n */\nvoid f(void);\n");
        assert_eq!(without_safety_sections("/** x */\n"), "/** x */\n");
    }
}
