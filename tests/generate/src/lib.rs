//! Programs from bytes: a row of choices becomes a program that is often accepted, or bytes become instruction words.
//!
//! The fuzz targets and the comparison with Linux (`tests/differential`) share this, so that what one of them finds can be run by the other.

pub mod bytes;
pub mod generate;
pub mod raw;
pub mod world;
