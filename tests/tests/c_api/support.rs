//! The installed library, compilers, and running what they make.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The workspace's top folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A folder for a test's files, empty.
pub(crate) fn work(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// The prefix that the library was installed to, once for all tests.
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = work("prefix");
        run(Command::new(env!("CARGO"))
            .args(["xtask", "install", "--library", "--prefix"])
            .arg(&prefix)
            .current_dir(root()));
        prefix
    })
}

/// A committed object file of `xdp_progs`.
pub(crate) fn object(name: &str) -> PathBuf {
    root().join("xdp_progs/obj").join(format!("{name}.o"))
}

/// Runs a command that has to succeed; what it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything that a command wrote.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Says why something is not tested. CI has everything, so there it is a failure.
fn skip(why: &str) {
    assert!(std::env::var("CI").is_err(), "CI has to test this: {why}");
    // Not eprintln: the harness would keep that to itself where the test passes.
    std::io::stderr().write_all(format!("skipped {why}\n").as_bytes()).unwrap();
}

/// Whether a tool is here; says so where it is not.
pub(crate) fn have(tool: &str, what: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        skip(&format!("{what}: no {tool} here"));
    }
    there
}

/// Whether pkg-config knows a library; says so where it does not.
pub(crate) fn have_library(name: &str, what: &str) -> bool {
    let there = Command::new("pkg-config").args(["--exists", name]).status().is_ok_and(|s| s.success());
    if !there {
        skip(&format!("{what}: pkg-config knows no {name}"));
    }
    there
}

/// What pkg-config says of a library.
pub(crate) fn pkg_config(args: &[&str]) -> Vec<String> {
    run(Command::new("pkg-config").args(args)).split_whitespace().map(String::from).collect()
}

/// A folder in which `make` built the examples with these settings.
pub(crate) fn examples(name: &str, settings: &[&str]) -> PathBuf {
    let build = work(name);
    run(Command::new("make")
        .arg("-C")
        .arg(root().join("c-examples"))
        .arg(format!("BUILD={}", build.display()))
        .args(settings)
        .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig")));
    build
}

/// The archive.
pub(crate) fn archive() -> PathBuf {
    prefix().join("lib/libuxdp.a")
}

/// A C program of `tests/c`, linked with the archive.
pub(crate) fn compile(source: &str, flags: &[&str], out: &Path) {
    run(Command::new("cc")
        .args(["-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(prefix().join("include"))
        .arg("-o")
        .arg(out)
        .arg(root().join("tests/c").join(source))
        .arg(archive())
        .args(["-lpthread", "-ldl"])
        .args(flags));
}
