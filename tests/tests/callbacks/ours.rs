//! A program on one of our engines.

use crate::{Outcome, sum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use uxdp_core::maps::MapType;
use uxdp_core::mem;
use uxdp_core::object::{MapOrigin, Object, OpenOptions};
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{
    EngineChoice, Env, EnvOptions, Frame, Hook, MapDef, Origin, Runner, Worker, create_maps, install,
};

pub(crate) fn file(object: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("progs/obj").join(format!("{object}.o"))
}

/// Loads a program with maps of its own and runs the packets in order.
pub(crate) fn run(object: &str, program: &str, packets: &[Vec<u8>], engine: EngineChoice) -> Outcome {
    let bytes = std::fs::read(file(object)).unwrap();
    let options = EnvOptions { nr_cpus: 2, ..EnvOptions::default() };
    let env = Env::new(&uxdp_platform::PLATFORM, &options).unwrap();
    let parsed = Object::open(&bytes, &OpenOptions { name: object, ..OpenOptions::default() }).unwrap();
    let defs: Vec<MapDef<'_>> =
        parsed.maps().iter().map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: None }).collect();
    let maps = create_maps(&env, &defs, None).unwrap();
    for (def, map) in parsed.maps().iter().zip(&maps) {
        if matches!(def.origin, MapOrigin::Data(_)) {
            map.set_initial(&def.initial).unwrap();
        }
        if def.frozen {
            map.freeze().unwrap();
        }
    }
    let linked = parsed.link(parsed.find_program(program).unwrap()).unwrap();
    let list = mem::Vec::from_fn(maps.len(), |i| maps[i].clone()).unwrap();
    let mut log = String::new();
    let verified = verifier::verify(linked, list, env.helpers(), &VerifyOptions::default(), &mut log)
        .unwrap_or_else(|e| panic!("{program}: {e}\n{log}"));
    let prog = install(&env, verified, engine).unwrap();
    let hook = Hook::create(&env).unwrap();
    hook.set(&[prog]).unwrap();
    let worker = Worker::register(&env, 0).unwrap();
    let mut runner = Runner::new(&worker, &hook, Origin::default()).unwrap();
    let mut outcome = Outcome::default();
    for packet in packets {
        let mut memory = vec![0u8; 2048];
        let place = 256..256 + packet.len();
        memory[place.clone()].copy_from_slice(packet);
        outcome.actions.push(runner.run(&mut Frame::new(&mut memory, place).unwrap()));
        worker.quiescent();
    }
    for map in &maps {
        let spec = map.spec();
        let percpu = matches!(spec.kind, MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash);
        let size = spec.value_size as usize;
        let size = if percpu { size.next_multiple_of(8) * 2 } else { size };
        let mut content = BTreeMap::new();
        let mut key: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0; spec.key_size as usize];
            if map.next_key(key.as_deref(), &mut next).is_err() {
                break;
            }
            let mut value = vec![0; size];
            map.lookup_elem(&next, &mut value, 0).unwrap();
            let value = if percpu { sum(&value, spec.value_size as usize) } else { value };
            content.insert(next.clone(), value);
            key = Some(next);
        }
        outcome.maps.insert(map.name().to_owned(), content);
    }
    outcome
}
