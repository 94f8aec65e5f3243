//! Programs as clang compiled them, verified, then run by the interpreter and by code compiled with facts and without: actions, packets and maps have to agree.
//!
//! Only programs whose helpers need nothing but their arguments are run here; every other one that verifies is compiled, which runs the allocation's checker.

use super::*;
use crate::helpers::STANDARD;
use crate::interp;
use crate::jit::exec::install;
use crate::jit::testing::TestHeap;
use crate::maps::{Map, MapConfig, MapType};
use crate::object::{Object, OpenOptions};
use crate::program::Rewrite;
use crate::sync::Arc;
use crate::verifier::{VerifyOptions, verify};
use std::path::Path;

/// Map lookups and checksums: helpers that read no service of an environment.
const PLAIN: [u32; 2] = [1, 28];

fn objects() -> std::vec::Vec<std::vec::Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj");
    let mut files = std::vec::Vec::new();
    for folder in [root.clone(), root.join("v2"), root.join("v4")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == "o") {
                files.push(std::fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// A program verified against maps of its own; `None` where a map's type is not there yet or the verifier refuses it.
fn verified(object: &Object, index: usize) -> Option<Program<Verified>> {
    let config = MapConfig {
        nr_cpus: 2,
        writer_slots: 2,
        page_size: 4096,
        memory: &TestHeap,
        private_memory: &TestHeap,
        secret: [1, 2],
        processes: None,
        epochs: None,
        wakes: None,
    };
    let mut maps = Vec::new();
    for def in object.maps() {
        maps.push(Map::create(&def.name, 1, &def.spec, &config).ok()?).unwrap();
    }
    verify(
        object.link(index).ok()?,
        maps,
        STANDARD,
        &VerifyOptions::default(),
        &mut std::string::String::new(),
    )
    .ok()
}

fn is_plain(p: &Program<Verified>) -> bool {
    p.rewrites().insns.iter().all(|r| match r {
        Rewrite::CallHelper { row, .. } => STANDARD.get(*row).is_some_and(|h| PLAIN.contains(&h.id)),
        _ => true,
    })
}

/// What is left of a run: action, packet, and the first bytes of every array.
type Trace = std::vec::Vec<(u64, std::vec::Vec<u8>, std::vec::Vec<u8>)>;

fn trace(p: &Program<Verified>, run: &dyn Fn(&mut Ctx) -> u64) -> Trace {
    let mut trace = Trace::new();
    for (i, len) in [14usize, 60, 64, 64, 64, 100, 200, 1500, 1].into_iter().enumerate() {
        let mut buffer = std::vec![0u8; 256 + len];
        let packet = &mut buffer[256..];
        packet.iter_mut().enumerate().for_each(|(k, b)| *b = (k * 7 + i) as u8);
        if len >= 42 {
            packet[12..14].copy_from_slice(&[8, 0]);
            packet[14..34]
                .copy_from_slice(&[0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            packet[23] = [17, 6, 1, 17, 6, 1, 17, 6, 1][i];
        }
        let mut ctx = Ctx::empty();
        ctx.data_hard_start = buffer.as_mut_ptr();
        // SAFETY: both are inside the buffer or one behind it.
        (ctx.data, ctx.data_end) =
            unsafe { (ctx.data_hard_start.add(256), ctx.data_hard_start.add(256 + len)) };
        (ctx.data_meta, ctx.frame_end, ctx.slot) = (ctx.data, ctx.data_end, i as u32 & 1);
        let action = run(&mut ctx);
        trace.push((action, buffer, memory_of(p.maps())));
    }
    trace
}

fn memory_of(maps: &[Arc<Map>]) -> std::vec::Vec<u8> {
    let mut all = std::vec::Vec::new();
    for m in maps.iter().filter(|m| matches!(m.spec().kind, MapType::Array | MapType::PercpuArray)) {
        for (key, slot) in (0..m.spec().max_entries.min(300)).flat_map(|k| [(k, 0), (k, 1)]) {
            // SAFETY: the key has four bytes; a value is as long as the map says.
            unsafe {
                let value = m.lookup(key.to_le_bytes().as_ptr(), slot);
                all.extend_from_slice(core::slice::from_raw_parts(value, m.spec().value_size as usize));
            }
        }
    }
    all
}

#[test]
fn objects_run_alike_interpreted_and_compiled() {
    let (mut compiled, mut ran) = (0, 0);
    for bytes in objects() {
        let object = Object::open(&bytes, &OpenOptions { name: "object", ..OpenOptions::default() }).unwrap();
        for index in 0..object.programs().len() {
            let Some(p) = verified(&object, index) else { continue };
            // SAFETY: the program is verified, and trace() gives it a whole context.
            let oracle = is_plain(&p).then(|| trace(&p, &|ctx| unsafe { interp::run(&p, STANDARD, ctx) }));
            for facts in [UseFacts::Yes, UseFacts::No] {
                for features in [CpuFeatures::BASE, CpuFeatures::host()] {
                    let p = verified(&object, index).unwrap();
                    let options = CompileOptions { facts, ..options(features, STANDARD) };
                    let artifact = compile(&p, &options).unwrap_or_else(|e| panic!("{}: {e}", p.name()));
                    compiled += 1;
                    let Some(oracle) = &oracle else { continue };
                    let code = install(artifact, &TestMemory, 0).unwrap();
                    // SAFETY: as above.
                    let got = trace(&p, &|ctx| unsafe { code.tail_entry()(ctx, core::ptr::null()) });
                    assert!(got == *oracle, "{} {facts:?}:\n{}", p.name(), optimised(&p, &options).unwrap());
                    ran += 1;
                }
            }
        }
    }
    assert!(compiled >= 40 && ran >= 12, "{compiled} compiled, {ran} run");
}
