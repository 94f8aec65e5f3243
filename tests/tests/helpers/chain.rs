//! Packets in several buffers that a Rust host has in slices, without `unsafe`.

use crate::ours::{self, SLOT};
use crate::row::row;
use uxdp_core::error::Errno;
use uxdp_core::maps::PerfRecord;
use uxdp_core::vm::{Chain, EngineChoice, Frame, Hook, Origin, Runner, Worker};

#[test]
fn chain_of_slices_is_shortened_grown_and_sampled() {
    for engine in [EngineChoice::Interp, EngineChoice::Jit] {
        for program in ["frags_tail", "frags_sample"] {
            let loaded = ours::load(&row("frags", program), engine).unwrap();
            let hook = Hook::create(&loaded.env).unwrap();
            assert!(!hook.takes_frags(), "nothing is attached");
            hook.set(std::slice::from_ref(&loaded.prog)).unwrap();
            assert!(hook.takes_frags());
            let samples = loaded.map("samples");
            samples.perf_open(SLOT).unwrap();
            let worker = Worker::register(&loaded.env, SLOT).unwrap();
            let mut runner = Runner::new(&worker, &hook, Origin::default()).unwrap();

            let (mut first, mut second, mut third) = ([1u8; 600], [2u8; 1000], [3u8; 1000]);
            first[256..264].copy_from_slice(&[-310i32, 24].map(i32::to_le_bytes).concat());
            let mut frame = Frame::new(&mut first, 256..356).unwrap();
            let mut chain = Chain::new();
            assert!(chain.push(&mut second, 600) && chain.push(&mut third, 300));
            assert_eq!(runner.run_chain(&mut frame, &mut chain), 2, "XDP_PASS");
            let left: Vec<&[u8]> = chain.iter().collect();
            if program == "frags_tail" {
                assert_eq!(left, [[[2; 590].as_slice(), &[0; 24]].concat()]);
                continue;
            }
            assert_eq!(left.iter().map(|p| p.len()).sum::<usize>(), 900);
            let mut seen = Vec::new();
            samples
                .perf_read(SLOT, &mut |record| {
                    if let PerfRecord::Sample(bytes) = record {
                        seen.push(bytes.to_vec());
                    }
                })
                .unwrap();
            let whole = [&0x1122_3344u32.to_le_bytes()[..], frame.data(), &[2; 600], &[3; 300]].concat();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0][..whole.len()], whole);
        }
    }
}

#[test]
fn chain_has_as_many_places_as_a_packet_may_have_fragments() {
    let mut buffers = [[0u8; 8]; 20];
    let mut chain = Chain::new();
    let taken = buffers.iter_mut().map(|b| chain.push(b, 8)).filter(|t| *t).count();
    assert_eq!(taken, uxdp_core::vm::MAX_FRAGS);
    let mut short = [0u8; 4];
    assert!(!Chain::new().push(&mut short, 5), "more than the buffer has");
    assert_eq!(Frame::new(&mut short, 3..5).err(), Some(Errno::EINVAL));
}
