//! A map and operations on it, by programs and by the control plane: every answer is the model's, and all memory comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_fuzz::{maps, memory, seeds};

#[global_allocator]
static HEAP: memory::Counted = memory::Counted;

fuzz_target!(
    init: seeds::write(seeds::choices),
    |bytes: &[u8]| maps::run(bytes)
);
