//! Every `extern "C"` function of libuxdp.
//!
//! One noun a file. Handles are opaque; a function returns 0 or a negative errno value; each function's comment ends with ownership,
//! thread-safety and the statuses it can return. The header `include/uxdp.h` is generated from this crate; its inline part and its
//! initialiser macros are in `cbindgen.toml`.
#![cfg_attr(not(test), no_std)]
#![expect(non_camel_case_types, reason = "types have their C names")]

mod batch;
mod ctx;
mod entries;
mod env;
mod fib;
mod handle;
mod helper;
mod hook;
mod host;
mod last_error;
mod load;
mod log;
mod map;
mod memory;
mod object;
mod opts;
mod prog;
mod redirect;
mod ring;
mod share;
mod status;
mod test_run;
mod worker;

pub use batch::*;
pub use ctx::*;
pub use entries::*;
pub use env::*;
pub use fib::*;
pub use helper::*;
pub use hook::*;
pub use host::*;
pub use last_error::*;
pub use map::*;
pub use object::*;
pub use opts::*;
pub use prog::*;
pub use redirect::*;
pub use ring::*;
pub use share::*;
pub use status::*;
pub use test_run::*;
pub use worker::*;
