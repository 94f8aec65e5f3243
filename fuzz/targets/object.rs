//! Any bytes as an object file: opened and linked, or refused; memory in proportion to the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uxdp_core::object::{Object, OpenOptions};
use uxdp_fuzz::{memory, seeds};

#[global_allocator]
static HEAP: memory::Counted = memory::Counted;

fuzz_target!(
    init: seeds::write(seeds::objects),
    |bytes: &[u8]| {
        let options = OpenOptions { name: "fuzz", ..OpenOptions::default() };
        let before = memory::reset();
        let Ok(object) = Object::open(bytes, &options) else { return memory::within(before, bytes.len()) };
        memory::within(before, bytes.len());
        for map in object.maps() {
            let _ = object.find_map(&map.name);
        }
        for (index, program) in object.programs().iter().enumerate().take(64) {
            let _ = object.find_program(&program.name);
            let before = memory::reset();
            if let Ok(linked) = object.link(index) {
                let code = linked.code();
                assert!(code.subprogs.iter().all(|s| s.start < s.end && s.end as usize <= code.insns.len()));
                assert!(code.lines.is_sorted_by_key(|l| l.pc));
            }
            memory::within(before, bytes.len());
        }
    }
);
