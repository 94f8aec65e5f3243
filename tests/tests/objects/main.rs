//! Malformed objects end to end: whatever a damaged file still loads as is verified, compiled and run. Nothing may panic, and an accepted program may not touch
//! anything but its packet, stack and maps.
//!
//! The packets lie in a buffer with guard bytes on both sides that must be as they were afterwards.

use std::path::PathBuf;
use uxdp_core::mem;
use uxdp_core::object::{MapOrigin, Object, OpenOptions};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{
    EngineChoice, Env, EnvOptions, Frame, Hook, MapDef, Origin, Runner, Worker, create_maps, install,
};

const GUARD: usize = 64;
const HEADROOM: usize = 256;
const BUFFER: usize = 2048;
const GUARD_BYTE: u8 = 0xa5;

/// What became of the files of one test.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    opened: usize,
    loaded: usize,
    ran: usize,
}

fn object(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Opens, loads and runs a file as far as it lets itself.
fn try_file(bytes: &[u8], env: &Arc<Env>, tally: &mut Tally) {
    let Ok(object) = Object::open(bytes, &OpenOptions { name: "damaged", ..OpenOptions::default() }) else {
        tally.refused += 1;
        return;
    };
    tally.opened += 1;
    // A damaged size may ask for a map of many gigabytes, which the kernel of this machine would lend; it is not this test's matter.
    if object.maps().iter().any(|m| u64::from(m.spec.max_entries) * u64::from(m.spec.value_size) > 1 << 24) {
        return;
    }
    let defs: Vec<MapDef<'_>> =
        object.maps().iter().map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: None }).collect();
    let Ok(maps) = create_maps(env, &defs, None) else { return };
    for (def, map) in object.maps().iter().zip(&maps) {
        let data = !matches!(def.origin, MapOrigin::Data(_)) || map.set_initial(&def.initial).is_ok();
        if !data || (def.frozen && map.freeze().is_err()) {
            return;
        }
    }
    for index in 0..object.programs().len() {
        for choice in [EngineChoice::Interp, EngineChoice::Best] {
            let Ok(linked) = object.link(index) else { continue };
            let list = mem::Vec::from_fn(maps.len(), |i| maps[i].clone()).unwrap();
            let mut log = String::new();
            let options = VerifyOptions { nr_cpus: env.nr_cpus(), ..VerifyOptions::default() };
            let Ok(verified) = verifier::verify(linked, list, env.helpers(), &options, &mut log) else {
                continue;
            };
            tally.loaded += 1;
            let Ok(prog) = install(env, verified, choice) else { continue };
            let hook = Hook::create(env).unwrap();
            if hook.set(&[prog]).is_ok() {
                run(env, &hook);
                tally.ran += 1;
            }
        }
    }
    env.synchronize();
}

/// Runs an IPv4/UDP packet, a short one and one with two tags.
fn run(env: &Arc<Env>, hook: &Hook) {
    let worker = Worker::register(env, 0).unwrap();
    let mut runner = Runner::new(&worker, hook, Origin::default()).unwrap();
    let mut udp = vec![0u8; 96];
    udp[12..14].copy_from_slice(&[8, 0]);
    udp[14] = 0x45;
    udp[16..18].copy_from_slice(&[0, 82]);
    udp[22..24].copy_from_slice(&[64, 17]);
    let mut tagged = udp.clone();
    tagged[12..20].copy_from_slice(&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2]);
    for packet in [&udp[..], &udp[..15], &tagged[..]] {
        let mut memory = vec![GUARD_BYTE; BUFFER + 2 * GUARD];
        let start = GUARD + HEADROOM;
        memory[start..start + packet.len()].copy_from_slice(packet);
        let room = &mut memory[GUARD..GUARD + BUFFER];
        let mut frame = Frame::new(room, HEADROOM..HEADROOM + packet.len()).unwrap();
        runner.run(&mut frame);
        worker.quiescent();
        let (front, back) = (&memory[..GUARD], &memory[GUARD + BUFFER..]);
        assert!(
            front.iter().chain(back).all(|b| *b == GUARD_BYTE),
            "memory outside of the packet's buffer changed"
        );
    }
}

fn env() -> Arc<Env> {
    Env::new(&uxdp_platform::PLATFORM, &EnvOptions { nr_cpus: 2, ..EnvOptions::default() }).unwrap()
}

#[test]
fn every_truncation_is_refused_or_runs() {
    let env = env();
    let whole = object("xdp_map_access.o");
    let mut tally = Tally::default();
    for len in 0..=whole.len() {
        try_file(&whole[..len], &env, &mut tally);
    }
    assert!(tally.refused > whole.len() / 2, "{tally:?}");
    assert!(tally.ran >= 2, "the whole file runs: {tally:?}");
}

#[test]
fn every_corrupted_header_byte_is_refused_or_runs() {
    let env = env();
    // Every value of every byte for the smallest object; flips of single bits and of all for the others.
    let all: Vec<u8> = (1..=255).collect();
    for (name, flips) in
        [("xdp_pass.o", &all[..]), ("xdp_firewall.o", &[1, 0x80, 0xff]), ("xdping.o", &[1, 0x80, 0xff])]
    {
        let whole = object(name);
        let word = |at: usize| u16::from_le_bytes([whole[at], whole[at + 1]]) as usize;
        let sections = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
        let section_bytes = sections..sections + word(58) * word(60);
        let mut tally = Tally::default();
        for at in (0..64).chain(section_bytes) {
            for flip in flips {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                try_file(&damaged, &env, &mut tally);
            }
        }
        assert!(tally.refused > 0 && tally.ran > 0, "{name}: {tally:?}");
    }
}

#[test]
fn corrupted_instructions_are_refused_or_run_within_their_memory() {
    let env = env();
    let mut tally = Tally::default();
    for name in ["xdp_tx.o", "xdping.o", "xdp_maps.o"] {
        let whole = object(name);
        // The program's section is the first behind the ELF header.
        for at in 64..(64 + 400).min(whole.len()) {
            for flip in [0x01, 0x10, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                try_file(&damaged, &env, &mut tally);
            }
        }
    }
    assert!(tally.ran > 100 && tally.loaded < tally.opened * 2, "{tally:?}");
}
