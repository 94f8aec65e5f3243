//! A row on uxdp: the object loaded, verified and run by one engine, in a buffer as Linux's test run makes it.

use crate::counting;
use crate::row::{Content, Left, Outcome, Packet, Row};
use std::ops::ControlFlow;
use std::path::PathBuf;
use uxdp_core::helpers::Helper;
use uxdp_core::maps::{Map, MapType, PerfRecord};
use uxdp_core::mem;
use uxdp_core::object::{MapOrigin, Object, OpenOptions, SlotInit};
use uxdp_core::program::Rewrite;
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{self, VerifyOptions};
use uxdp_core::vm::{
    Ctx, EngineChoice, Env, Frag, Frags, Hook, MapDef, Prog, ProgOptions, Worker, create_maps, ctx_init,
    install, unfit, xdp_run,
};

/// The buffer of Linux's test run: a page, without the shared info at its end.
const FRAME: usize = 4096 - 320;
const HEADROOM: usize = 256;
/// Bytes of a fragment.
const PAGE: usize = 4096;
const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0xa5;
/// The slot that runs: Linux's run is bound to the CPU of that number.
pub(crate) const SLOT: u32 = 0;

/// The file of an object of tests/progs, or of a path.
pub(crate) fn file(object: &str) -> PathBuf {
    if object.starts_with('/') {
        return object.into();
    }
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("progs/obj").join(format!("{object}.o"))
}

/// What an object is opened as: maps of global data are named after it.
pub(crate) fn name(object: &str) -> &str {
    object.rsplit('/').next().map_or(object, |n| n.trim_end_matches(".o"))
}

/// A row's program, loaded.
pub(crate) struct Loaded {
    pub(crate) env: Arc<Env>,
    pub(crate) prog: Arc<Prog>,
    names: Vec<String>,
    maps: mem::Vec<Arc<Map>>,
}

impl Loaded {
    /// A map of the object by its name.
    pub(crate) fn map(&self, name: &str) -> &Map {
        let index = self.names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no map {name}"));
        &self.maps[index]
    }
}

/// Which programs the object itself puts into its maps: map, slot, program.
fn slots(object: &Object) -> Vec<(usize, u32, usize)> {
    let maps = object.maps().iter().enumerate();
    let all = maps.flat_map(|(i, map)| map.slots.iter().map(move |&(slot, init)| (i, slot, init)));
    let programs = all.filter_map(|(i, slot, init)| match init {
        SlotInit::Program(program) => Some((i, slot, program as usize)),
        SlotInit::Map(_) => None,
    });
    programs.collect()
}

/// The names of the programs that an object puts into its maps.
pub(crate) fn programs_in_slots(name_of: &str) -> Vec<String> {
    let bytes = std::fs::read(file(name_of)).unwrap();
    let object = Object::open(&bytes, &OpenOptions { name: name(name_of), ..OpenOptions::default() });
    let Ok(object) = object else { return Vec::new() };
    slots(&object).iter().map(|&(.., p)| object.programs()[p].name.as_str().to_owned()).collect()
}

/// A program of an object: linked, proven, with an engine.
fn made(
    env: &Arc<Env>,
    object: &Object,
    index: usize,
    maps: &mem::Vec<Arc<Map>>,
    options: ProgOptions,
) -> Result<Arc<Prog>, String> {
    let linked = object.link(index).map_err(|e| e.to_string())?;
    let mut log = String::new();
    let list = mem::Vec::from_fn(maps.len(), |i| maps[i].clone()).unwrap();
    let verified = verifier::verify(linked, list, env.helpers(), &VerifyOptions::default(), &mut log)
        .map_err(|e| format!("{e}\n{log}"))?;
    if let Some(why) = unfit(env, &verified, &options) {
        return Err(why.to_string());
    }
    install(env, verified, options).map_err(|e| format!("{options:?}: {e}"))
}

/// Loads a row's program for an engine, or with other options too.
pub(crate) fn load(row: &Row, options: impl Into<ProgOptions>) -> Result<Loaded, String> {
    let options = options.into();
    let env = (row.env)();
    let path = file(row.object);
    let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut object = Object::open(&bytes, &OpenOptions { name: name(row.object), ..OpenOptions::default() })
        .map_err(|e| e.to_string())?;
    for (section, value) in &row.initial {
        let map = object.find_map(section).ok_or(format!("no {section}"))?;
        object.set_initial_value(map, value).map_err(|e| format!("{section}: {e}"))?;
    }
    let defs: Vec<MapDef<'_>> =
        object.maps().iter().map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: None }).collect();
    let maps = create_maps(&env, &defs, None).map_err(|(i, e)| format!("map {}: {e}", defs[i].name))?;
    for (def, map) in object.maps().iter().zip(&maps) {
        if matches!(def.origin, MapOrigin::Data(_)) {
            map.set_initial(&def.initial).map_err(|e| e.to_string())?;
        }
        if def.frozen {
            map.freeze().map_err(|e| e.to_string())?;
        }
    }
    let index = object.find_program(row.program).map_err(|e| format!("{e:?}"))?;
    let prog = made(&env, &object, index, &maps, options)?;
    for (i, slot, other) in slots(&object) {
        let other = if other == index { prog.clone() } else { made(&env, &object, other, &maps, options)? };
        env.set_prog(&maps[i], slot, Some(&other)).map_err(|e| format!("slot {slot}: {e}"))?;
    }
    let names = defs.iter().map(|d| d.name.to_owned()).collect();
    for element in &row.before {
        let map = &maps[object.find_map(element.map).ok_or(format!("no map {}", element.map))?];
        env.update_elem(map, &element.key, &element.value, 0).map_err(|e| format!("{}: {e}", element.map))?;
    }
    Ok(Loaded { env, prog, names, maps })
}

/// The helpers that a loaded program calls.
pub(crate) fn helpers_of(loaded: &Loaded) -> Vec<&'static Helper> {
    let rewrites = loaded.prog.program().rewrites().insns.iter();
    rewrites
        .filter_map(|r| match r {
            Rewrite::CallHelper { row, .. } => loaded.env.helpers().get(*row),
            _ => None,
        })
        .collect()
}

/// Runs all packets of a row.
pub(crate) fn run(row: &Row, engine: EngineChoice) -> Result<Outcome, String> {
    let loaded = load(row, engine)?;
    let hook = Hook::create(&loaded.env).unwrap();
    hook.set(std::slice::from_ref(&loaded.prog)).map_err(|e| e.to_string())?;
    let worker = Worker::register(&loaded.env, SLOT).unwrap();
    let events = row.sampled.map_or(0..0, |m| 0..loaded.map(m).spec().max_entries);
    for (index, name) in events.clone().zip(row.sampled.iter().cycle()) {
        loaded.map(name).perf_open(index).map_err(|e| format!("{name}: {e}"))?;
    }
    let packets = row.packets.iter().map(|p| run_packet(&worker, &hook, p)).collect();
    let mut outcome = Outcome { packets, ..Outcome::default() };
    for (name, map) in loaded.names.iter().zip(&loaded.maps) {
        if let Some(content) = content(map) {
            outcome.maps.insert(name.clone(), content);
        }
    }
    for (index, name) in events.zip(row.sampled.iter().cycle()) {
        let all = outcome.maps.entry((*name).to_owned()).or_default();
        let mut push = |record: PerfRecord<'_>| match record {
            PerfRecord::Sample(bytes) => all.push((index.to_le_bytes().to_vec(), bytes.to_vec())),
            PerfRecord::Lost(n) => panic!("{n} samples of {name} are lost"),
        };
        loaded.map(name).perf_read(index, &mut push).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(outcome)
}

/// A piece of memory between guard bytes.
struct Guarded(Vec<u8>);

impl Guarded {
    fn new(size: usize) -> Guarded {
        let mut memory = vec![GUARD_BYTE; size + 2 * GUARD];
        memory[GUARD..GUARD + size].fill(0);
        Guarded(memory)
    }

    fn inner(&mut self) -> &mut [u8] {
        let end = self.0.len() - GUARD;
        &mut self.0[GUARD..end]
    }

    fn check(&self) {
        let (front, back) = (&self.0[..GUARD], &self.0[self.0.len() - GUARD..]);
        assert!(front.iter().chain(back).all(|b| *b == GUARD_BYTE), "memory outside of a buffer changed");
    }
}

pub(crate) fn run_packet(worker: &Worker, hook: &Hook, packet: &Packet) -> Left {
    let mut memory = Guarded::new(FRAME);
    let start = HEADROOM - packet.meta;
    let linear = packet.linear.unwrap_or(packet.bytes.len()).min(FRAME - start);
    let (first, rest) = packet.bytes.split_at(linear);
    memory.inner()[start..start + linear].copy_from_slice(first);
    let mut frags = Frags::EMPTY;
    let mut pages: Vec<Guarded> = rest.chunks(PAGE).map(|_| Guarded::new(PAGE)).collect();
    for ((page, bytes), frag) in pages.iter_mut().zip(rest.chunks(PAGE)).zip(&mut frags.frags) {
        page.inner()[..bytes.len()].copy_from_slice(bytes);
        *frag = Frag {
            data: page.inner().as_mut_ptr(),
            len: bytes.len() as u32,
            room: PAGE as u32,
            ..Frag::EMPTY
        };
    }
    frags.nr = pages.len() as u32;
    let mut ctx = Ctx::empty();
    let room = memory.inner().as_mut_ptr_range();
    let at = room.start;
    // SAFETY: all within buffers that only the run uses; worker and hook outlive the context.
    let action = unsafe {
        ctx_init(&mut ctx, worker, hook).unwrap();
        ctx.data_hard_start = at;
        ctx.data_meta = at.add(start);
        ctx.data = at.add(start + packet.meta);
        ctx.data_end = at.add(start + linear);
        ctx.frame_end = room.end;
        ctx.frags = if frags.nr == 0 { std::ptr::null_mut() } else { &raw mut frags };
        ctx.ingress_ifindex = packet.ingress_ifindex.max(1);
        ctx.rx = packet.rx;
        counting::none_in(|| xdp_run(&mut ctx))
    };
    worker.quiescent();
    let offset = |p: *mut u8| p.addr() - at.addr();
    let mut bytes = memory.inner()[offset(ctx.data_meta)..offset(ctx.data_end)].to_vec();
    let linear = bytes.len();
    for frag in frags.live() {
        // SAFETY: fragments are within the pages above.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(frag.data, frag.len as usize) });
    }
    memory.check();
    pages.iter().for_each(Guarded::check);
    assert_eq!(frags.nr + frags.nr_released, pages.len() as u32, "every fragment is there or was dropped");
    Left { action, meta: ctx.data.addr() - ctx.data_meta.addr(), linear, bytes }
}

/// Everything that is in a map; None for those that hold references, samples or nothing that can be listed.
fn content(map: &Map) -> Option<Content> {
    if map.is_frozen() {
        return None;
    }
    let mut all = Content::new();
    match map.spec().kind {
        MapType::ProgArray
        | MapType::ArrayOfMaps
        | MapType::HashOfMaps
        | MapType::Xskmap
        | MapType::PerfEventArray
        | MapType::UserRingbuf
        | MapType::BloomFilter => return None,
        MapType::Ringbuf => {
            map.ringbuf_consume(&mut |record| {
                all.push((Vec::new(), record.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        }
        MapType::Queue | MapType::Stack => {
            let mut value = vec![0; map.spec().value_size as usize];
            // SAFETY: the buffer has the size of a value; nothing runs.
            while unsafe { map.pop(value.as_mut_ptr(), SLOT) }.is_ok() {
                all.push((Vec::new(), value.clone()));
            }
        }
        _ => {
            let mut key: Option<Vec<u8>> = None;
            loop {
                let mut next = vec![0; map.spec().key_size as usize];
                if map.next_key(key.as_deref(), &mut next).is_err() {
                    break;
                }
                let mut value = vec![0; map.value_buffer_size()];
                if map.lookup_elem(&next, &mut value, 0).is_ok() {
                    all.push((next.clone(), value));
                }
                key = Some(next);
            }
            all.sort();
        }
    }
    Some(all)
}
