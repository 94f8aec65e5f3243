//! Helpers: functions that programs call by number. One table row each: prototype for the verifier, function for every engine.
//!
//! A helper's logic may not allocate, panic or wait. Arguments are what the prototype says, proven by the verifier: that is the argument of every
//! `unsafe` in this folder.

mod proto;

pub use proto::{Access, ArgType, Helper, HelperFn, HelperSet, Proto, RetType};
