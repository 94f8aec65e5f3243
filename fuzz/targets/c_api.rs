//! Calls of the C API in any order, with any arguments that its rules of ownership allow: answers are statuses with words, and nothing is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_fuzz::{calls, memory, seeds};

#[global_allocator]
static HEAP: memory::Counted = memory::Counted;

fuzz_target!(
    init: seeds::write(seeds::choices),
    |bytes: &[u8]| calls::run(bytes)
);
