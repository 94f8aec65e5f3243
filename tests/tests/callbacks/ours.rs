//! A program on one of our engines.

use crate::{Machine, Maps, sum};
use std::collections::BTreeMap;
use std::path::PathBuf;
use uxdp_core::maps::{Commit, Map};
use uxdp_core::mem;
use uxdp_core::object::{MapOrigin, Object, OpenOptions};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{
    EngineChoice, Env, EnvOptions, Frame, Hook, MapDef, Origin, Runner, Worker, create_maps, install,
};

pub(crate) fn file(object: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("progs/obj").join(format!("{object}.o"))
}

pub(crate) struct Ours {
    engine: EngineChoice,
    env: Arc<Env>,
    maps: mem::Vec<Arc<Map>>,
    hook: Arc<Hook>,
    worker: Worker,
}

impl Ours {
    /// Loads a program alone, with maps of its own.
    pub(crate) fn load(object: &str, program: &str, engine: EngineChoice) -> Ours {
        let bytes = std::fs::read(file(object)).unwrap();
        let options = EnvOptions { nr_cpus: 2, ..EnvOptions::default() };
        let env = Env::new(&uxdp_platform::PLATFORM, &options).unwrap();
        let parsed = Object::open(&bytes, &OpenOptions { name: object, ..OpenOptions::default() }).unwrap();
        let defs: Vec<MapDef<'_>> = parsed
            .maps()
            .iter()
            .map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: None })
            .collect();
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
        let hook = Hook::create(&env).unwrap();
        hook.set(&[install(&env, verified, engine).unwrap()]).unwrap();
        let worker = Worker::register(&env, 0).unwrap();
        Ours { engine, env, maps, hook, worker }
    }

    fn map(&self, name: &str) -> &Map {
        self.maps.iter().find(|m| m.name() == name).unwrap()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        for map in &self.maps {
            map.drop_user(&mut |old| self.env.retire(old));
        }
    }
}

impl Machine for Ours {
    fn name(&self) -> String {
        format!("{:?}", self.engine)
    }

    fn run(&mut self, packet: &[u8]) -> u32 {
        let mut runner = Runner::new(&self.worker, &self.hook, Origin::default()).unwrap();
        let mut memory = vec![0u8; 2048];
        let place = 256..256 + packet.len();
        memory[place.clone()].copy_from_slice(packet);
        let action = runner.run(&mut Frame::new(&mut memory, place).unwrap());
        self.worker.quiescent();
        action
    }

    fn produce(&mut self, map: &str, sample: &[u8], dropped: bool) -> bool {
        let client = self.env.client_slot();
        let map = self.map(map);
        let Ok(bytes) = map.user_ringbuf_reserve(sample.len() as u32, client.slot()) else { return false };
        let how = if dropped { Commit::Discard } else { Commit::Submit };
        // SAFETY: so many bytes were reserved, and are ended once.
        unsafe {
            bytes.copy_from_nonoverlapping(sample.as_ptr(), sample.len());
            map.user_ringbuf_end(bytes, how);
        }
        true
    }

    fn update(&mut self, map: &str, key: &[u8], value: &[u8], flags: u64) -> i32 {
        let done = self.map(map).update_elem(self.env.client_slot().slot(), key, value, flags);
        done.map_or_else(|e| -e.0, |()| 0)
    }

    fn lookup(&mut self, map: &str, key: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        let map = self.map(map);
        let mut value = vec![0; map.value_buffer_size()];
        map.lookup_elem(key, &mut value, flags).map_err(|e| -e.0)?;
        Ok(value)
    }

    fn wait(&mut self, milliseconds: u64) {
        let end = std::time::Instant::now() + std::time::Duration::from_millis(milliseconds);
        while std::time::Instant::now() < end {
            let run = self.worker.run_timers(8);
            self.worker.quiescent();
            if run.next != Some(0) {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
        }
    }

    fn maps(&mut self) -> Maps {
        let mut all = Maps::new();
        for map in &self.maps {
            let spec = map.spec();
            let mut content = BTreeMap::new();
            let mut key: Option<Vec<u8>> = None;
            loop {
                let mut next = vec![0; spec.key_size as usize];
                if map.next_key(key.as_deref(), &mut next).is_err() {
                    break;
                }
                let mut value = vec![0; map.value_buffer_size()];
                map.lookup_elem(&next, &mut value, 0).unwrap();
                let value = if spec.kind.is_percpu() { sum(&value, spec.value_size as usize) } else { value };
                content.insert(next.clone(), value);
                key = Some(next);
            }
            all.insert(map.name().to_owned(), content);
        }
        all
    }
}
