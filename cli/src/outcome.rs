//! How a run of the tool ends: verdicts, errors, and their exit codes.
//!
//! An error is a usage error (2) unless it is a [`SessionError`] of another kind or a [`Machine`].

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use uxdp_control::session::SessionError;

/// What a subcommand found, where nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything as asked.
    Good,
    /// A program was refused, and the output says why.
    Refused,
    /// Part of the input cannot be read, and the output says which.
    Unreadable,
}

const NEGATIVE: u8 = 1;
const USAGE: u8 = 2;
const MACHINE: u8 = 3;

impl Verdict {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Verdict::Good => ExitCode::SUCCESS,
            Verdict::Refused => NEGATIVE.into(),
            Verdict::Unreadable => USAGE.into(),
        }
    }
}

/// The machine refused something: memory, executable pages.
#[derive(Debug)]
pub(crate) struct Machine(pub(crate) String);

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Machine {}

/// Says an error on standard error and gives its exit code. A reader that closed the pipe is no error.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    // Nothing is left to tell if standard error is closed too.
    let _ = writeln!(std::io::stderr(), "uxdp: {error:#}");
    let refused_by_machine = error.downcast_ref::<Machine>().is_some();
    match error.downcast_ref::<SessionError>() {
        Some(SessionError::Refused { .. }) => NEGATIVE.into(),
        Some(SessionError::Machine { .. }) => MACHINE.into(),
        _ if refused_by_machine => MACHINE.into(),
        _ => USAGE.into(),
    }
}

/// Says something on standard error that changes nothing about the verdict.
pub(crate) fn note(text: &str) {
    // As above.
    let _ = writeln!(std::io::stderr(), "uxdp: {text}");
}
