//! The shipped C library: `libuxdp.a` as one relocatable object and `libuxdp.so`, exporting nothing but `uxdp_*` and `xdp_run*`.
//!
//! rustc's own static library holds `core`, `alloc` and their allocator, panic and personality symbols; beside another Rust archive they clash.
//! So everything is linked into one object first, unreachable sections go, and every symbol but the public ones becomes local.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use xshell::{Shell, cmd};

/// Whether a symbol belongs to the public interface.
fn is_public(symbol: &str) -> bool {
    symbol.starts_with("uxdp_") || symbol.starts_with("xdp_run")
}

/// The public symbols that a static library or shared object defines, sorted.
pub(crate) fn public_symbols(sh: &Shell, lib: &Path, dynamic: bool) -> Result<Vec<String>> {
    let dynamic = dynamic.then_some("--dynamic");
    let out = cmd!(sh, "nm --defined-only --extern-only --format=posix {dynamic...} {lib}")
        .ignore_stderr()
        .read()?;
    let mut symbols: Vec<String> =
        out.lines().filter_map(|l| l.split(' ').next()).filter(|s| is_public(s)).map(String::from).collect();
    symbols.sort();
    symbols.dedup();
    Ok(symbols)
}

/// Where the built files are.
pub(crate) struct Dist {
    pub(crate) dir: PathBuf,
}

/// Builds everything that is installed into `dist/`.
pub(crate) fn dist(sh: &Shell) -> Result<Dist> {
    cmd!(sh, "cargo build --quiet --release --package uxdp-ffi").run()?;
    let dir = sh.current_dir().join("dist");
    let (lib, include) = (dir.join("lib"), dir.join("include"));
    sh.remove_path(&dir)?;
    sh.create_dir(lib.join("pkgconfig"))?;
    sh.create_dir(&include)?;

    let target = target_dir(sh)?.join("release");
    one_object(sh, &target.join("libuxdp.a"), &lib.join("libuxdp.a"))?;
    let version = env!("CARGO_PKG_VERSION");
    let major = version.split('.').next().unwrap_or("0");
    let real = format!("libuxdp.so.{version}");
    sh.copy_file(target.join("libuxdp.so"), lib.join(&real))?;
    let so = lib.join(&real);
    cmd!(sh, "strip --strip-unneeded {so}").run()?;
    for link in [format!("libuxdp.so.{major}"), "libuxdp.so".into()] {
        std::os::unix::fs::symlink(&real, lib.join(link))?;
    }
    for header in ["uxdp.h", "uxdp_dpdk.h"] {
        let from = Path::new("include").join(header);
        if sh.path_exists(&from) {
            sh.copy_file(from, &include)?;
        }
    }
    sh.write_file(lib.join("pkgconfig/uxdp.pc"), pc_file(&dir.to_string_lossy()))?;
    check_exports(sh, &lib.join("libuxdp.a"), &so)?;
    Ok(Dist { dir })
}

/// The pkg-config file for a prefix.
pub(crate) fn pc_file(prefix: &str) -> String {
    format!(
        "prefix={prefix}\nexec_prefix=${{prefix}}\nlibdir=${{exec_prefix}}/lib\nincludedir=${{prefix}}/include\n\n\
         Name: uxdp\nDescription: Embeddable packet VM that runs XDP programs\nVersion: {}\n\
         Libs: -L${{libdir}} -luxdp\nCflags: -I${{includedir}}\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Cargo's target folder, whatever variable or config says.
pub(crate) fn target_dir(sh: &Shell) -> Result<PathBuf> {
    let meta = cmd!(sh, "cargo metadata --format-version 1 --no-deps").quiet().read()?;
    let key = "\"target_directory\":\"";
    let at = meta.find(key).context("cargo metadata has no target_directory")? + key.len();
    let end = meta[at..].find('"').context("cargo metadata is cut")? + at;
    Ok(PathBuf::from(&meta[at..end]))
}

/// Turns rustc's static library into one object that keeps only the public symbols global.
fn one_object(sh: &Shell, from: &Path, to: &Path) -> Result<()> {
    let symbols = public_symbols(sh, from, false)?;
    ensure!(!symbols.is_empty(), "{} defines no public symbol", from.display());
    let work = sh.create_temp_dir()?;
    let (object, list) = (work.path().join("uxdp.o"), work.path().join("keep"));
    sh.write_file(&list, symbols.join("\n"))?;
    let roots: Vec<String> = symbols.iter().flat_map(|s| ["-u".to_owned(), s.clone()]).collect();
    cmd!(sh, "ld -r --force-group-allocation --gc-sections {roots...} -o {object} {from}").run()?;
    cmd!(
        sh,
        "objcopy -R .llvmbc -R .llvmcmd --keep-global-symbols={list} --strip-debug --strip-unneeded {object}"
    )
    .run()?;
    cmd!(sh, "ar rcsD {to} {object}").run()?;
    Ok(())
}

/// Both libraries define the same public symbols and no other global one.
fn check_exports(sh: &Shell, archive: &Path, shared: &Path) -> Result<()> {
    let all = |lib: &Path, dynamic: Option<&str>| -> Result<Vec<String>> {
        let out = cmd!(sh, "nm --defined-only --extern-only --format=posix {dynamic...} {lib}").read()?;
        let mut names: Vec<String> = out
            .lines()
            .filter(|l| !l.ends_with(':') && !l.is_empty())
            .filter_map(|l| l.split(' ').next())
            .map(String::from)
            .collect();
        names.sort();
        Ok(names)
    };
    let (a, so) = (all(archive, None)?, all(shared, Some("--dynamic"))?);
    for (lib, names) in [(archive, &a), (shared, &so)] {
        let stray: Vec<_> = names.iter().filter(|n| !is_public(n)).collect();
        ensure!(stray.is_empty(), "{} exports more than the public interface: {stray:?}", lib.display());
    }
    ensure!(a == so, "archive and shared library export different symbols:\n{a:?}\n{so:?}");
    Ok(())
}
