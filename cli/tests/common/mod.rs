//! The tool as a process, and where the programs are.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The engines that a run can ask for.
pub(crate) const ENGINES: [&str; 2] = ["jit", "interp"];

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A path below `xdp_progs`.
pub(crate) fn progs(path: &str) -> PathBuf {
    root().join("xdp_progs").join(path)
}

/// A path as an argument.
pub(crate) fn arg(path: impl AsRef<Path>) -> String {
    path.as_ref().to_str().expect("a path of readable characters").to_owned()
}

/// An object of `xdp_progs/obj`.
pub(crate) fn obj(name: &str) -> String {
    arg(progs(&format!("obj/{name}.o")))
}

/// A file that this test may write.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// What a run of the tool gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Standard output as JSON, of a run that succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }

    /// Asserts the exit code, that nothing but an error was printed, and that the error is one line with each of `words`.
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        assert_eq!(self.out, "", "a failure prints nothing but its reason");
        assert!(self.err.starts_with("uxdp: ") && self.err.trim_end().lines().count() == 1, "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "\"{word}\" is not in: {}", self.err);
        }
    }
}

/// Runs the tool.
pub(crate) fn uxdp(args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_uxdp")).args(args).output().expect("the tool starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        code: output.status.code().expect("the tool ends by itself"),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// Runs a command of the system; `None` where there is no such command.
pub(crate) fn system(command: &str, args: &[&str]) -> Option<Output> {
    Command::new(command).args(args).output().ok()
}

/// Says why a test had nothing to do here.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var("CI").is_err(), "CI has to test this: {why}");
    // Not eprintln: the harness would keep that to itself where the test passes.
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}
