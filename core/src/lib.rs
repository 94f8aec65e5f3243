//! The uxdp packet VM.
//!
//! Takes XDP programs exactly as clang compiles them for the Linux kernel, proves them safe, compiles them to machine code and runs
//! them per packet in any process, with maps that many cores use at once. It needs no kernel support and no operating system:
//! what it wants from its surroundings is the [`platform::Platform`] trait.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        clippy::disallowed_macros,
        reason = "tests may use the aborting forms of std"
    )
)]

extern crate alloc;

#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("uxdp runs on 64-bit little-endian hosts only");

#[cfg(any(test, uxdp_conformance))]
pub mod conformance;
// `unsafe` has an address: these modules hold none. `jit`, `maps` and `vm` draw the line file by file.
#[forbid(unsafe_code)]
pub mod error;
pub mod helpers;
#[forbid(unsafe_code)]
pub mod host;
pub mod interp;
#[forbid(unsafe_code)]
pub mod ir;
#[forbid(unsafe_code)]
pub mod isa;
pub mod jit;
#[forbid(unsafe_code)]
pub mod limits;
pub mod maps;
#[forbid(unsafe_code)]
pub mod mem;
#[forbid(unsafe_code)]
pub mod net;
#[cfg_attr(not(test), forbid(unsafe_code))]
pub mod object;
#[forbid(unsafe_code)]
pub mod opt;
pub mod platform;
pub mod program;
#[forbid(unsafe_code)]
pub mod regalloc;
pub mod sync;
#[cfg_attr(not(test), forbid(unsafe_code))]
pub mod verifier;
pub mod vm;
