//! What the fuzz targets share. `cargo xtask fuzz` builds and runs them.
//!
//! - `object`: bytes as an object file; `btf`: bytes as a kernel's types; `verifier`: bytes as a program;
//! - `verify_run`: bytes as choices of a generator whose programs are often accepted; what is accepted is run on two engines;
//! - `maps`: bytes as a map and operations on it, each answer a model's; `c_api`: bytes as calls of the C API.
//!
//! A finding is a panic, an overrun that AddressSanitizer sees, a limit that was not kept, or engines that differ.

pub mod calls;
pub mod exact;
pub mod maps;
pub mod memory;
pub mod run;
pub mod seeds;
pub mod share;

pub use uxdp_generate::{bytes, generate, raw, world};
