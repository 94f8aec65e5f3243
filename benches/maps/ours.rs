//! uxdp's maps: called by the host, and by a program that was compiled here.

use crate::keys::Route;
use crate::measure::{Ask, CHUNK, Lane, Make};
use anyhow::{Context, Result, ensure};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;
use uxdp_control::session::{link, make_maps, open_object};
use uxdp_core::maps::{Batch, BatchInput, Map, MapSpec, MapType};
use uxdp_core::object::Object;
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{
    EngineChoice, Env, EnvOptions, Frame, Hook, MapDef, Origin, Runner, Worker, create_maps, install,
};

/// Keys of a burst.
const BURST: usize = 32;
/// Threads at most. Hosts' lanes have the slots below, programs' those behind.
const THREADS: u32 = 2;
/// Bytes before a packet.
const ROOM: usize = 256;

/// The object's maps, one of them with entries.
pub(crate) struct Ours {
    env: Arc<Env>,
    object: Object,
    maps: Vec<Arc<Map>>,
    chosen: usize,
    file: String,
}

/// What the host does for each key.
#[derive(Clone, Copy)]
pub(crate) enum HostOp {
    /// The value is read.
    Lookup,
    Burst,
    /// It is not.
    Find,
    FindBurst,
    Update,
    Replace,
    /// New keys, one after the other.
    Fresh,
    /// Lookups, one of so many an update instead: a power of two.
    Mixed(u64),
    /// bpf(2)'s: the key behind the one before.
    Walk,
    /// A chunk of elements a call.
    ReadBatch,
    WriteBatch,
    /// Lookup-and-delete, and an insertion.
    Take,
}

/// Seconds that making a map of this type takes, with keys of four bytes (a number's eight for a hash) and values of eight, and its bytes.
pub(crate) fn create(kind: MapType, entries: u32) -> Result<(f64, usize)> {
    let env = Env::new(&uxdp_platform::PLATFORM, &EnvOptions::default())?;
    let key_size = if kind == MapType::Array { 4 } else { 8 };
    let spec = MapSpec::new(kind, key_size, 8, entries);
    let start = Instant::now();
    let made = create_maps(&env, &[MapDef { name: "made", spec, reuse: None }], None);
    let took = start.elapsed().as_secs_f64();
    let maps = made.map_err(|(_, e)| anyhow::anyhow!("{e}"))?;
    Ok((took, maps[0].memory_size()))
}

impl Ours {
    /// Makes the maps of the object, `map` with so many entries, the others with one.
    pub(crate) fn new(file: &Path, map: &str, entries: u32) -> Result<Ours> {
        let mut object = open_object(file)?;
        for index in 0..object.maps().len() {
            let n = if object.maps()[index].name.as_str() == map { entries } else { 1 };
            object.set_max_entries(index, n).context("a number of entries")?;
        }
        let env = Env::new(
            &uxdp_platform::PLATFORM,
            &EnvOptions { nr_cpus: 2 * THREADS, ..EnvOptions::default() },
        )?;
        let file = file.display().to_string();
        let maps = make_maps(&env, &object, &file)?;
        let chosen = object.find_map(map).context("no such map")?;
        Ok(Ours { env, object, maps, chosen, file })
    }

    fn map(&self) -> &Map {
        &self.maps[self.chosen]
    }

    pub(crate) fn memory(&self) -> usize {
        self.map().memory_size()
    }

    /// Gives every key below `entries` its own number as its value.
    pub(crate) fn fill(&self, entries: u32) -> Result<()> {
        let map = self.map();
        let slots = map.value_buffer_size() / 8;
        for key in 0..u64::from(entries) {
            let bytes = key.to_le_bytes();
            let value = vec![key; slots].into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
            map.update_elem(0, &bytes[..map.spec().key_size as usize], &value, 0).context("an update")?;
        }
        Ok(())
    }

    /// One element.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.env.update_elem(self.map(), key, value, 0).context("an element")
    }

    /// Puts the map `inner` into the chosen map of maps.
    pub(crate) fn put_inner(&self) -> Result<()> {
        let inner = &self.maps[self.object.find_map("inner").context("an inner map")?];
        self.env.set_map(self.map(), &[0; 4], inner, 0).context("an inner map")?;
        Ok(())
    }

    pub(crate) fn add(&self, routes: &[Route]) -> Result<()> {
        for (i, route) in (1u64..).zip(routes) {
            let key = u64::from(route.len) | u64::from(route.address.to_be()) << 32;
            self.map().update_elem(0, &key.to_le_bytes(), &i.to_le_bytes(), 0).context("a route")?;
        }
        Ok(())
    }

    /// Every key is deleted and another inserted, so many times over; in the end the keys are those of before.
    pub(crate) fn churn(&self, entries: u32, rounds: u64) -> Result<()> {
        for round in 1..=rounds {
            let offset = |round: u64| if round == rounds { 0 } else { round << 32 };
            for key in 0..u64::from(entries) {
                let (old, new) = (key + offset(round - 1), key + offset(round));
                self.map().delete_elem(0, &old.to_le_bytes()).context("a key that is there")?;
                self.map().update_elem(0, &new.to_le_bytes(), &key.to_le_bytes(), 0).context("room")?;
            }
        }
        Ok(())
    }

    /// The host's own calls.
    pub(crate) fn host(&self, op: HostOp) -> Make<'_> {
        Box::new(move |slot| {
            let _worker = Worker::register(&self.env, slot)?;
            let fresh = (u64::from(slot) + 1) << 48;
            Ok(Box::new(Host {
                map: self.map(),
                op,
                slot,
                fresh,
                control: Control::new(self.map()),
                _worker,
            }))
        })
    }

    /// One of the object's programs, compiled.
    pub(crate) fn program<'a>(&'a self, name: &'a str) -> Make<'a> {
        Box::new(move |slot| {
            let linked = link(
                &self.object,
                self.object.find_program(name).ok().context("no such program")?,
                &self.file,
            )?;
            let maps = uxdp_core::mem::Vec::from_fn(self.maps.len(), |i| self.maps[i].clone())?;
            let options = VerifyOptions { nr_cpus: self.env.nr_cpus(), ..VerifyOptions::default() };
            let mut log = String::new();
            let verified = verifier::verify(linked, maps, self.env.helpers(), &options, &mut log)
                .map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
            let prog = install(&self.env, verified, EngineChoice::Best)?;
            ensure!(prog.engine().name() == "jit", "this machine compiles no programs");
            let hook = Hook::create(&self.env)?;
            hook.set(std::slice::from_ref(&prog))?;
            let fresh = (u64::from(slot) + 1) << 50;
            Ok(Box::new(Program {
                worker: Worker::register(&self.env, THREADS + slot)?,
                hook,
                fresh,
                evicts: name.ends_with("evict"),
                ring: (self.map().spec().kind == MapType::Ringbuf).then(|| self.maps[self.chosen].clone()),
            }))
        })
    }
}

struct Host<'a> {
    map: &'a Map,
    op: HostOp,
    slot: u32,
    fresh: u64,
    control: Control,
    _worker: Worker,
}

/// Buffers of the control plane, and where a walk is.
struct Control {
    key: [u8; 8],
    cursor: Option<[u8; 4]>,
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Control {
    fn new(map: &Map) -> Control {
        let values = CHUNK * map.value_buffer_size();
        Control { key: [0xff; 8], cursor: None, keys: vec![0; 8 * CHUNK], values: vec![0; values] }
    }

    fn walk(&mut self, map: &Map) -> u64 {
        let mut next = [0; 8];
        for _ in 0..CHUNK {
            if map.next_key(Some(&self.key), &mut next).is_err() {
                _ = map.next_key(None, &mut next);
            }
            self.key = next;
        }
        u64::from_le_bytes(self.key)
    }

    /// Up to a chunk of elements; from the beginning where the end is reached.
    fn read(&mut self, map: &Map) -> u64 {
        let mut left = CHUNK as u32;
        while left > 0 {
            let mut next = [0; 4];
            let mut batch = Batch {
                keys: &mut self.keys,
                values: &mut self.values,
                count: left,
                elem_flags: 0,
                flags: 0,
            };
            let done = map.lookup_batch(self.cursor.as_ref().map(|c| &c[..]), &mut next, &mut batch);
            left -= batch.count.min(left);
            self.cursor = done.is_ok().then_some(next);
        }
        u64::from(self.values[0])
    }

    fn write(&mut self, map: &Map, keys: &[u64], slot: u32) -> u64 {
        self.keys.chunks_exact_mut(8).zip(keys).for_each(|(to, key)| to.copy_from_slice(&key.to_le_bytes()));
        let mut batch =
            BatchInput { keys: &self.keys, values: &self.keys, count: CHUNK as u32, elem_flags: 0 };
        _ = map.update_batch(slot, &mut batch);
        u64::from(batch.count)
    }

    fn take(&mut self, map: &Map, keys: &[u64], slot: u32) -> u64 {
        for key in keys {
            let key = key.to_le_bytes();
            _ = map.lookup_and_delete_elem(slot, &key, &mut self.values[..8], 0);
            _ = map.update_elem(slot, &key, &key, 0);
        }
        u64::from(self.values[0])
    }
}

impl Lane for Host<'_> {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        let (map, slot) = (self.map, self.slot);
        let mut sum = 0u64;
        match self.op {
            HostOp::Walk => return self.control.walk(map),
            HostOp::ReadBatch => return self.control.read(map),
            HostOp::WriteBatch => return self.control.write(map, ask.keys, slot),
            HostOp::Take => return self.control.take(map, ask.keys, slot),
            _ => {}
        }
        // SAFETY: the maps of the object have keys of at most eight bytes and values of eight; the worker holds the slot; values are read as a program would, by
        // one load of a word that is mapped as long as the map.
        unsafe {
            let mut add = |value: *const u8| {
                if !value.is_null() {
                    sum = sum.wrapping_add(value.cast::<u64>().read_volatile());
                }
            };
            match self.op {
                HostOp::Lookup => {
                    ask.keys.iter().for_each(|key| add(map.lookup((&raw const *key).cast(), slot)))
                }
                HostOp::Burst => {
                    for keys in ask.keys.chunks_exact(BURST) {
                        let mut pointers = [std::ptr::null(); BURST];
                        keys.iter().zip(&mut pointers).for_each(|(k, p)| *p = (&raw const *k).cast());
                        let mut values = [std::ptr::null_mut(); BURST];
                        map.lookup_burst(&pointers, &mut values, slot);
                        values.iter().for_each(|v| add(*v));
                    }
                }
                HostOp::Find => {
                    ask.keys
                        .iter()
                        .for_each(|key| sum ^= map.lookup((&raw const *key).cast(), slot).addr() as u64);
                }
                HostOp::FindBurst => {
                    for keys in ask.keys.chunks_exact(BURST) {
                        let mut pointers = [std::ptr::null(); BURST];
                        keys.iter().zip(&mut pointers).for_each(|(k, p)| *p = (&raw const *k).cast());
                        let mut values = [std::ptr::null_mut(); BURST];
                        map.lookup_burst(&pointers, &mut values, slot);
                        sum ^= values.iter().fold(0, |sum, v| sum ^ v.addr() as u64);
                    }
                }
                HostOp::Update => ask.keys.iter().for_each(|key| {
                    let key = (&raw const *key).cast();
                    _ = map.update(key, key, 0, slot);
                }),
                HostOp::Replace => ask.keys.iter().for_each(|key| {
                    let key = (&raw const *key).cast();
                    _ = map.delete(key, slot);
                    _ = map.update(key, key, 0, slot);
                }),
                HostOp::Mixed(of) => ask.keys.iter().for_each(|key| {
                    let at = (&raw const *key).cast();
                    // The keys are in random order: their own bits choose.
                    match key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & (of - 1) {
                        0 => _ = map.update(at, at, 0, slot),
                        _ => add(map.lookup(at, slot)),
                    }
                }),
                HostOp::Walk | HostOp::ReadBatch | HostOp::WriteBatch | HostOp::Take => {}
                HostOp::Fresh => ask.keys.iter().for_each(|_| {
                    let key = self.fresh;
                    _ = map.update((&raw const key).cast(), (&raw const key).cast(), 0, slot);
                    self.fresh += 1;
                }),
            }
        }
        self._worker.quiescent();
        sum
    }
}

struct Program {
    worker: Worker,
    hook: Arc<Hook>,
    fresh: u64,
    evicts: bool,
    /// What the program fills and the host empties.
    ring: Option<Arc<Map>>,
}

impl Lane for Program {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        let packet = crate::packet(ask, self.evicts.then_some(&mut self.fresh));
        let mut buffer = [0; ROOM + crate::PACKET];
        buffer[ROOM..].copy_from_slice(&packet);
        let Ok(mut runner) = Runner::new(&self.worker, &self.hook, Origin::default()) else { return 0 };
        let Ok(mut frame) = Frame::new(&mut buffer, ROOM..ROOM + crate::PACKET) else { return 0 };
        let action = runner.run(&mut frame);
        if let Some(ring) = &self.ring {
            _ = ring.ringbuf_consume(&mut |_| ControlFlow::Continue(()));
        }
        self.worker.quiescent();
        u64::from(action)
    }
}
