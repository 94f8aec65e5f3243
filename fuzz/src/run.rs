//! Accepted programs, run: on checked memory, then compiled, from the same start.
//!
//! No accepted program faults. A program that strict mode accepts as well makes no numbers from addresses, so that both engines have to end alike:
//! same action, packet, metadata and map contents. Buffers of packets end where their allocations end, for AddressSanitizer to see.

use crate::exact::Exact;
use crate::{share, world};
use core::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::Mutex;
use uxdp_core::helpers::STANDARD;
use uxdp_core::interp::{Checked, Region, run_with};
use uxdp_core::maps::{Map, MapType};
use uxdp_core::mem;
use uxdp_core::platform::{Clock, CodeMemory, MapMemory, MemRequest, Platform};
use uxdp_core::program::{Code, Program};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{Mode, VerifyOptions, judge, verify};
use uxdp_core::vm::*;
use uxdp_platform::PLATFORM;

/// What one verdict and one run may cost.
const INSNS: u32 = 20_000;
const FUEL: u64 = 4_000_000;
/// Room before and behind a packet.
const ROOM: usize = 64;

/// The memory of each map, in the order in which they are made.
static ALLOCATED: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// The C library's code memory, memory for maps of the sanitizer's, a clock that stands still.
struct Still;

impl MapMemory for Still {
    fn alloc(&self, r: &MemRequest<'_>) -> Option<NonNull<u8>> {
        let made = Exact.alloc(r)?;
        ALLOCATED.lock().ok()?.push((made.addr().get(), r.size));
        Some(made)
    }
    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: handed on.
        unsafe { Exact.free(ptr, size) }
    }
}

impl Platform for Still {
    fn code_memory(&self) -> Option<&dyn CodeMemory> {
        PLATFORM.code_memory()
    }
    fn clock_ns(&self, _: Clock) -> Option<u64> {
        Some(1_000_000)
    }
    fn random(&self, out: &mut [u8]) -> bool {
        out.fill(7);
        true
    }
    fn yield_now(&self) {}
    fn page_size(&self) -> usize {
        4096
    }
    fn possible_cpus(&self) -> u32 {
        1
    }
}

static STILL: Still = Still;

/// One worker and the maps, for all programs of a target.
struct World {
    env: Arc<Env>,
    worker: Worker,
    maps: Vec<Arc<Map>>,
    regions: Vec<Region>,
}

thread_local! {
    static WORLD: World = World::new();
}

impl World {
    fn new() -> World {
        let env = Env::new(&STILL, &EnvOptions::default()).expect("an environment");
        let (mut maps, mut regions): (Vec<Arc<Map>>, Vec<Region>) = (Vec::new(), Vec::new());
        for (i, spec) in world::MADE.into_iter().enumerate() {
            let before = ALLOCATED.lock().expect("no panic").len();
            let made = create_maps(&env, &[MapDef { name: "map", spec, reuse: None }], None).expect("a map");
            regions.extend(touchable(&made[0], before, i != 3));
            maps.push(made[0].clone());
        }
        maps[3].set_initial(&world::FROZEN).expect("fits");
        maps[3].freeze().expect("freezes");
        for key in 0..2u32 {
            env.set_map(&maps[8], &key.to_le_bytes(), &maps[0], 0).expect("it is like the inner one");
        }
        let worker = Worker::register(&env, 0).expect("a slot");
        World { env, worker, maps, regions }
    }

    /// Every map as it was made.
    fn reset(&self) {
        for (spec, map) in world::MADE.iter().zip(&self.maps) {
            let zeros = vec![0; map.value_buffer_size()];
            let slot = self.env.client_slot();
            match spec.kind {
                MapType::Array if map.is_frozen() => {}
                MapType::Array | MapType::PercpuArray => {
                    for key in keys(map) {
                        map.update_elem(slot.slot(), &key, &zeros, 0).expect("an element");
                    }
                }
                MapType::Hash => {
                    for key in keys(map) {
                        map.delete_elem(slot.slot(), &key).expect("an element");
                    }
                }
                _ => drop(self.drained(map)),
            }
        }
    }

    /// What is taken out of a ring or a queue: it is empty then.
    fn drained(&self, map: &Map) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        match map.spec().kind {
            MapType::Ringbuf => {
                let mut each = |record: &[u8]| {
                    taken.push(record.to_vec());
                    ControlFlow::Continue(())
                };
                map.ringbuf_consume(&mut each).expect("a ring");
            }
            MapType::Queue => {
                let slot = self.env.client_slot();
                let mut value = vec![0; map.spec().value_size as usize];
                // SAFETY: a buffer of a value's size.
                while unsafe { map.pop(value.as_mut_ptr(), slot.slot()) }.is_ok() {
                    taken.push(value.clone());
                }
            }
            _ => {}
        }
        taken
    }

    /// Every map's content, sorted by key; of a ring or queue, what is taken out in order.
    fn contents(&self) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let content = |map: &Arc<Map>| {
            if map.spec().key_size == 0 {
                return self.drained(map).into_iter().map(|taken| (Vec::new(), taken)).collect();
            }
            let mut all: Vec<_> = keys(map)
                .into_iter()
                .filter_map(|key| {
                    let mut value = vec![0; map.value_buffer_size()];
                    map.lookup_elem(&key, &mut value, 0).ok()?;
                    Some((key, value))
                })
                .collect();
            all.sort();
            all
        };
        self.maps.iter().map(content).collect()
    }
}

/// What a program may touch of a map: an array's elements; of what has no elements in a row, all memory since `before`.
fn touchable(map: &Map, before: usize, writable: bool) -> Vec<Region> {
    if let Some(a) = map.array() {
        let len = u64::from(a.stride) * u64::from(a.max_entries);
        return vec![Region { start: a.base as u64, len, writable }];
    }
    let allocated = &ALLOCATED.lock().expect("no panic")[before..];
    allocated.iter().map(|&(at, len)| Region { start: at as u64, len: len as u64, writable }).collect()
}

fn keys(map: &Map) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut next = vec![0; map.spec().key_size as usize];
    while map.next_key(keys.last().map(|k| k.as_slice()), &mut next).is_ok() {
        keys.push(next.clone());
    }
    keys
}

/// What a run leaves.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    action: u32,
    buffer: Vec<u8>,
    /// Where metadata, packet and its end are in the buffer.
    at: [usize; 3],
    maps: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// Verifies a program; where it is accepted, runs it interpreted and on that engine. Whether it was accepted.
///
/// # Panics
/// Where an accepted program faults, or engines differ.
pub fn verified_and_run(code: &dyn Fn() -> Code, engine: EngineChoice, packet: &[u8]) -> bool {
    WORLD.with(|w| w.verified_and_run(code, engine, packet))
}

impl World {
    fn verified_and_run(&self, code: &dyn Fn() -> Code, engine: EngineChoice, packet: &[u8]) -> bool {
        let opts = VerifyOptions { insn_budget: INSNS, memory_limit: 16 << 20, ..VerifyOptions::default() };
        let proven = || {
            let maps = mem::Vec::from_slice(&self.maps).expect("memory");
            verify(Program::new(code()), maps, STANDARD, &opts, &mut world::Discard)
        };
        let Ok(first) = proven() else { return false };
        let hook = Hook::create(&self.env).expect("a hook");
        let checked = self.run(&hook, packet, |ctx| {
            let mut memory = Checked { regions: &self.regions, fuel: FUEL };
            let args = [core::ptr::from_mut(ctx) as u64, 0, 0, 0, 0];
            // SAFETY: the context is made by `ctx_init` and its packet lives; every access is checked.
            let done = unsafe { run_with(&first, STANDARD, ctx, args, &mut memory) };
            let r0 = done.unwrap_or_else(|fault| panic!("an accepted program faults: {fault:?}"));
            match r0 as u32 {
                action @ 0..=3 => action,
                _ => 0,
            }
        });
        let strict = VerifyOptions { mode: Mode::Strict, ..opts };
        let same = !asks_time(&code())
            && judge(&code(), &world::infos()[..world::MADE.len()], STANDARD, &strict, &mut world::Discard)
                .is_ok();
        let Ok(program) = proven() else { panic!("two verdicts") };
        let prog = install(&self.env, program, engine).expect("it compiles");
        hook.set(&[prog]).expect("it attaches");
        // SAFETY: as above; the program is proven.
        let compiled = self.run(&hook, packet, |ctx| unsafe { xdp_run(ctx) });
        if same {
            assert_eq!(checked, compiled, "interpreter and {engine:?} differ");
        }
        if same {
            share::compared();
        }
        hook.set(&[]).expect("it detaches");
        drop(hook);
        self.worker.quiescent();
        true
    }

    fn run(&self, hook: &Hook, packet: &[u8], run: impl FnOnce(&mut Ctx) -> u32) -> Outcome {
        self.reset();
        let mut buffer = vec![0xa5; 2 * ROOM + packet.len()].into_boxed_slice();
        buffer[ROOM..ROOM + packet.len()].copy_from_slice(packet);
        let mut ctx = Ctx::empty();
        let span = buffer.as_mut_ptr_range();
        // SAFETY: the context is ours, worker and hook outlive it; its pointers are into the buffer, which lives as long.
        unsafe {
            ctx_init(&mut ctx, &self.worker, hook).expect("one environment");
            ctx.data_hard_start = span.start;
            ctx.data = span.start.add(ROOM);
            ctx.data_meta = ctx.data;
            ctx.data_end = ctx.data.add(packet.len());
            ctx.frame_end = span.end;
        }
        let word =
            |i: usize| packet.get(i..i + 4).map_or(7, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        (ctx.ingress_ifindex, ctx.rx_queue_index) = (word(0), word(4));
        let action = run(&mut ctx);
        let at = [ctx.data_meta, ctx.data, ctx.data_end].map(|p| p.addr() - span.start.addr());
        assert!(at.is_sorted() && at[2] <= buffer.len(), "the packet left its buffer: {at:?}");
        Outcome { action, buffer: buffer.to_vec(), at, maps: self.contents() }
    }
}

/// Whether a program reads the clock or random numbers.
fn asks_time(code: &Code) -> bool {
    use uxdp_core::isa::op::{BPF_CALL, BPF_JMP};
    code.insns.iter().any(|i| i.code == BPF_JMP | BPF_CALL && i.src() == 0 && matches!(i.imm, 5 | 7 | 118))
}
