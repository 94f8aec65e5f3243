//! `uxdp-conformance [MEMORY] [--engine interp|jit]`: a plugin of the public eBPF conformance suite.
//!
//! The program comes as hex bytes on standard input, its memory as hex bytes in the first argument, which is absent where there is none. r1 is the memory's
//! address, r2 its length. All of r0 goes to standard output as hex. No verifier runs: the constructor that skips it exists only under
//! `--cfg uxdp_conformance`, which `cargo xtask conformance-driver` sets, in a target directory of its own.

#[cfg(uxdp_conformance)]
mod driver;

#[cfg(uxdp_conformance)]
fn main() -> std::process::ExitCode {
    driver::main()
}

#[cfg(not(uxdp_conformance))]
#[expect(clippy::print_stderr, reason = "a program's message")]
fn main() -> std::process::ExitCode {
    eprintln!("uxdp-conformance runs unverified programs and is built apart: cargo xtask conformance-driver");
    std::process::ExitCode::from(2)
}
