//! Every `extern "C"` function of libuxdp.
//!
//! One noun a file. Handles are opaque; a function returns 0 or a negative errno value; each function's comment ends with ownership,
//! thread-safety and the statuses it can return. The header `include/uxdp.h` is generated from this crate; its inline part and its
//! initialiser macros are in `cbindgen.toml`.
#![cfg_attr(not(test), no_std)]
#![expect(non_camel_case_types, reason = "types have their C names")]

mod ctx;
mod last_error;
mod log;
mod opts;
mod status;

pub use ctx::*;
pub use last_error::*;
pub use opts::*;
pub use status::*;

/// An environment: worker slots, ids, grace periods, code memory.
pub struct uxdp_env(());
