//! The C API as C programs see it: header, libraries, examples, and programs of the tests' own under memory checkers.
//!
//! The library is built and installed once, by `cargo xtask install` to a folder of this run; everything links to what is there.
//! What needs a tool that is missing prints one line that says so.

mod archives;
mod every;
mod examples;
mod header;
mod programs;
mod support;
mod symbols;
