//! The C API as C programs see it: header, libraries, examples, and programs of the tests' own under memory checkers.
//!
//! The library is built and installed once, by `cargo xtask install` to a folder of this run; everything links to what is there.
//! What needs a tool that is missing prints one line that says so.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr,
    reason = "tests may abort when memory is short, and say why they skip something"
)]

mod archives;
mod examples;
mod header;
mod programs;
mod support;
mod symbols;
