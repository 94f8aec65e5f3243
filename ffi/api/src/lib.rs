//! Every `extern "C"` function of libuxdp.
//!
//! One noun a file. Handles are opaque; a function returns 0 or a negative errno value; each function's comment ends with ownership,
//! thread-safety and the statuses it can return. The header `include/uxdp.h` is generated from this crate.
#![cfg_attr(not(test), no_std)]

mod status;

pub use status::*;
