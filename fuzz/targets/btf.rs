//! Any bytes as the types of a kernel, for an object with CO-RE relocations of every kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_core::object::{Object, OpenOptions};
use uxdp_fuzz::{memory, seeds};

#[global_allocator]
static HEAP: memory::Counted = memory::Counted;

/// An object of the tests, which relocates fields, types and enumerators.
const OBJECT: &[u8] = include_bytes!("../../core/tests/objects/core.o");

fuzz_target!(
    init: seeds::write(seeds::types),
    |bytes: &[u8]| {
        let before = memory::reset();
        let opened = Object::open(OBJECT, &OpenOptions { name: "core", btf: Some(bytes) });
        memory::within(before, bytes.len() + OBJECT.len());
        if let Ok(object) = opened {
            for index in 0..object.programs().len() {
                let _ = object.link(index);
            }
        }
    }
);
