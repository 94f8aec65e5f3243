//! Generated programs on Linux and on every engine: the same verdict, and where it is "accepted", the same result, packet and maps.
//!
//! A case is a row of bytes: the choices of `uxdp-generate`, behind a packet's first bytes. [`Judge::round`] makes the program, asks Linux and our verifier, runs it on
//! Linux, interpreted, compiled, and compiled without facts, and compares. Results are compared where strict mode accepts the program: then no number comes from an
//! address and no byte from unwritten stack. [`shrunk`] makes a case that differs smaller; [`Coverage`] counts what the compared programs were made of.

mod cover;
mod kernel;
mod ours;
mod round;
mod shrink;

pub use cover::Coverage;
pub use round::{Difference, Judge, case_of, listing};
pub use shrink::shrunk;

/// Maps by the number that programs know them by, sorted by key; what is taken out of a ring or a queue, in order.
pub(crate) type Maps = Vec<Vec<(Vec<u8>, Vec<u8>)>>;

/// What hashes hold before a run, so that lookups find something: half of the keys that programs ask for, with bytes that tell them apart.
pub(crate) fn first_entries(spec: &uxdp_core::maps::MapSpec) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |n: u8| {
        let mut key = vec![0; spec.key_size as usize];
        key[0] = n;
        (key, (0..spec.value_size as u8).map(|i| i * 7 + n).collect())
    };
    (0..3).map(entry).collect()
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) action: u32,
    pub(crate) packet: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
    pub(crate) maps: Maps,
}
