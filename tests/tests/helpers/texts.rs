//! What programs trace, as the environment's readers see it. Linux writes to one trace for all of the machine, so it judges results alone (`rows.rs`).

use crate::ENGINES;
use crate::ours::{self, SLOT};
use crate::row::{Packet, row};
use uxdp_core::vm::{Hook, Worker};

#[test]
fn traced_texts_are_those_of_the_formats() {
    for engine in ENGINES {
        let loaded = ours::load(&row("format", "format_traced"), engine).unwrap();
        let hook = Hook::create(&loaded.env).unwrap();
        hook.set(std::slice::from_ref(&loaded.prog)).unwrap();
        let worker = Worker::register(&loaded.env, SLOT).unwrap();
        ours::run_packet(&worker, &hook, &Packet::counting(64));
        let mut out = [0; 4096];
        let len = loaded.env.trace_read(&mut out);
        let lines = std::str::from_utf8(&out[..len]).unwrap().lines();
        let texts: Vec<&str> = lines.map(|l| l.split_once("bpf_trace_printk: ").unwrap().1).collect();
        // Formats that are none leave no line.
        assert_eq!(texts, ["on stack 5", "1 on stack 3 x 5 6", "constant"], "{engine:?}");
    }
}
