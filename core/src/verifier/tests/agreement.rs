//! Accepted random programs end alike on Linux, interpreted and compiled: the result, the packet's bytes and the map's.
//!
//! What is compared: programs without helpers that the mode `strict` accepts, so that no number comes from an address and no byte from unwritten stack. Their last result goes
//! into the map, so that all of it is seen.

use super::fuzz::{Rng, joins, soup};
use super::kernel::Kernel;
use super::world::{SPECS, maps, program};
use crate::helpers::STANDARD;
use crate::maps::Map;
use crate::program::Program;
use crate::sync::Arc;
use crate::verifier::{Mode, VerifyOptions, prove, verify};
use crate::vm::tests::{Bench, env};
use crate::vm::{EngineChoice, Env, MapDef, create_maps, install};

/// The map that programs write: one value.
const WRITTEN: usize = 4;
const SIZE: usize = 32;

/// What a run left behind.
#[derive(Debug, PartialEq)]
struct Outcome {
    action: u32,
    packet: Vec<u8>,
    value: Vec<u8>,
}

/// The program with its last result in the map. The other arrays and hashes stay empty on both sides: these programs do not reach them.
fn seen_whole(text: &str) -> String {
    text.replace("exit", "r1 = map4[24]; u64[r1+0] = r0; r0 = 2; exit")
}

fn made(env: &Env) -> Vec<Arc<Map>> {
    let defs: Vec<_> = SPECS.iter().map(|spec| MapDef { name: "m", spec: *spec, reuse: None }).collect();
    let made = create_maps(env, &defs, None).expect("maps");
    made[3].set_initial(&super::world::FROZEN).unwrap();
    made[3].freeze().unwrap();
    made.into_iter().collect()
}

fn ours(env: &Arc<Env>, text: &str, engine: EngineChoice, packet: &[u8; 64], ifindex: u32) -> Outcome {
    let made = made(env);
    let list = crate::mem::Vec::from_slice(&made).unwrap();
    let (code, opts) = (Program::new(program(text, None)), VerifyOptions::default());
    let proven = verify(code, list, STANDARD, &opts, &mut String::new()).expect("it was accepted");
    let prog = install(env, proven, engine).expect("an engine");
    let mut bench = Bench::with(env, &prog);
    bench.packet(packet);
    (bench.ctx.ingress_ifindex, bench.ctx.rx_queue_index) = (ifindex, 0);
    let action = bench.run();
    let mut value = vec![0; SIZE];
    made[WRITTEN].lookup_elem(&[0; 4], &mut value, 0).unwrap();
    Outcome { action, packet: bench.bytes().to_vec(), value }
}

fn theirs(kernel: &Kernel, text: &str, packet: &[u8; 64]) -> Option<Outcome> {
    kernel.set(WRITTEN, &[0; SIZE]);
    let (action, packet) = kernel.run(&program(text, None).insns, packet)?;
    Some(Outcome { action, packet, value: kernel.get(WRITTEN, SIZE) })
}

#[test]
fn random_programs_end_alike_on_linux_interpreted_and_compiled() {
    let Some(kernel) = Kernel::open() else { return };
    let packet: [u8; 64] = core::array::from_fn(|i| (i * 37 + 11) as u8);
    let which = program("r0 = u32[r1+12]; exit", None).insns;
    let (ifindex, _) = kernel.run(&which, &packet).expect("a test run");
    let env = env();
    let rounds: u64 = std::env::var("UXDP_FUZZ").ok().and_then(|v| v.parse().ok()).unwrap_or(1500);
    let strict = VerifyOptions { mode: Mode::Strict, ..VerifyOptions::default() };
    let mut compared = 0;
    for seed in 0..rounds {
        let make = if seed % 3 == 0 { joins } else { soup };
        let text = seen_whole(&make(&mut Rng::new(seed + 9_000_000)));
        let clean = || prove(&program(&text, None), &maps(), STANDARD, &strict, &mut String::new()).is_ok();
        if text.contains("call ") || !clean() {
            continue;
        }
        let Some(linux) = theirs(&kernel, &text, &packet) else { continue };
        for engine in [EngineChoice::Interp, EngineChoice::Jit, EngineChoice::JitWithoutFacts] {
            if engine != EngineChoice::Interp && crate::jit::Target::HOST.is_none() {
                continue;
            }
            assert_eq!(
                ours(&env, &text, engine, &packet, ifindex),
                linux,
                "{engine:?}, seed {seed}:\n{text}"
            );
        }
        compared += 1;
    }
    assert!(compared * 20 > rounds, "only {compared} of {rounds} were compared");
}
