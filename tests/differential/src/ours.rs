//! uxdp: the generator's maps, a program on an engine, one packet.

use crate::cover::Coverage;
use crate::{Maps, Outcome, first_entries};
use anyhow::{Result, anyhow};
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::Mutex;
use uxdp_control::frames::Buffer;
use uxdp_core::helpers::STANDARD;
use uxdp_core::interp::{Access, Checked, FaultKind, Memory, Region, Step, run_with};
use uxdp_core::maps::{Map, MapType};
use uxdp_core::mem;
use uxdp_core::platform::{MapMemory, MemRequest};
use uxdp_core::program::{Code, Program, Verified};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{Mode, VerifyOptions, judge, verify};
use uxdp_core::vm::*;
use uxdp_generate::world::{FROZEN, MADE, infos};
use uxdp_platform::PLATFORM;

/// What the engines are called where they differ.
pub(crate) const ENGINES: [(EngineChoice, &str); 3] = [
    (EngineChoice::Interp, "interpreted"),
    (EngineChoice::Jit, "compiled"),
    (EngineChoice::JitWithoutFacts, "compiled without facts"),
];

/// The loopback, whose number a test run's context has.
const LOOPBACK: u32 = 1;

pub(crate) struct Ours {
    env: Arc<Env>,
    worker: Worker,
    maps: Vec<Arc<Map>>,
    buffer: Buffer,
    regions: Vec<Region>,
}

/// The memory of each map, in the order in which they are made: what programs may touch of them.
static ALLOCATED: Mutex<Vec<Region>> = Mutex::new(Vec::new());

/// The C library's memory for maps, noted.
struct Noted;

impl MapMemory for Noted {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        let made = PLATFORM.alloc(request)?;
        let region = Region { start: made.addr().get() as u64, len: request.size as u64, writable: true };
        ALLOCATED.lock().ok()?.push(region);
        Some(made)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: `alloc` had it from there.
        unsafe { PLATFORM.free(ptr, size) }
    }
}

static NOTED: Noted = Noted;

/// Instructions of a run at most.
const FUEL: u64 = 4_000_000;

/// Memory of accepted programs: what lies outside of packet, stack, context and maps faults. Notes which way branches go.
struct Watch<'a> {
    coverage: &'a mut Coverage,
    inner: Checked<'a>,
    last: Option<u32>,
}

impl Memory for Watch<'_> {
    fn step(&mut self, at: &Step<'_>) -> Result<(), FaultKind> {
        self.coverage.stepped(&at.program.code().insns, self.last.replace(at.pc), at.pc);
        self.inner.step(at)
    }

    fn allows(&mut self, access: &Access, stack: std::ops::Range<u64>, ctx: Option<&Ctx>) -> bool {
        self.inner.allows(access, stack, ctx)
    }
}

impl Ours {
    pub(crate) fn open() -> Result<Ours> {
        let fail = |e| anyhow!("no world for programs: {e}");
        let env = Env::new(&PLATFORM, &EnvOptions::default()).map_err(fail)?;
        let mut maps = Vec::new();
        for spec in MADE {
            let made = create_maps(&env, &[MapDef { name: "map", spec, reuse: None }], Some(&NOTED))
                .map_err(|(_, e)| fail(e))?;
            maps.extend(made);
        }
        maps[3].set_initial(&FROZEN).map_err(fail)?;
        maps[3].freeze().map_err(fail)?;
        for key in 0..2u32 {
            env.set_map(&maps[8], &key.to_le_bytes(), &maps[0], 0).map_err(fail)?;
        }
        let worker = Worker::register(&env, 0).map_err(fail)?;
        let mut regions = ALLOCATED.lock().map_or_else(|_| Vec::new(), |r| r.clone());
        // Constants are in memory of their own once they are frozen.
        let elements = |map: &Arc<Map>| {
            map.array().map(|a| Region {
                start: a.base as u64,
                len: u64::from(a.stride) * u64::from(a.max_entries),
                writable: !map.is_frozen(),
            })
        };
        regions.extend(maps.iter().filter_map(elements));
        Ok(Ours { env, worker, maps, buffer: Buffer::new(), regions })
    }

    /// As Linux judges on this machine: with its number of CPUs.
    fn options(&self) -> VerifyOptions {
        VerifyOptions { nr_cpus: self.env.nr_cpus(), ..VerifyOptions::default() }
    }

    /// The program, proven; or the reason why not.
    pub(crate) fn proven(&self, code: Code) -> Result<Program<Verified>, String> {
        let list = mem::Vec::from_slice(&self.maps).map_err(|e| e.to_string())?;
        verify(Program::new(code), list, STANDARD, &self.options(), &mut String::new())
            .map_err(|rejection| rejection.to_string())
    }

    /// Whether results do not depend on addresses and on unwritten stack.
    pub(crate) fn is_strict(&self, code: &Code) -> bool {
        let opts = VerifyOptions { mode: Mode::Strict, ..self.options() };
        judge(code, &infos()[..MADE.len()], STANDARD, &opts, &mut String::new()).is_ok()
    }

    /// Runs a packet on an engine; what is left then, the maps as they were made before.
    pub(crate) fn run(
        &mut self,
        program: Program<Verified>,
        engine: EngineChoice,
        packet: &[u8],
    ) -> Result<Outcome> {
        let fail = |e| anyhow!("it does not run: {e}");
        self.reset();
        let prog = install(&self.env, program, engine).map_err(fail)?;
        let hook = Hook::create(&self.env).map_err(fail)?;
        hook.set(&[prog]).map_err(fail)?;
        let mut runner =
            Runner::new(&self.worker, &hook, Origin { ingress_ifindex: LOOPBACK, ..Origin::default() })
                .map_err(fail)?;
        let mut frame = self.buffer.load(packet);
        let action = runner.run(&mut frame);
        let (packet, metadata) = (frame.data().to_vec(), frame.metadata().to_vec());
        let outcome = Outcome { action, packet, metadata, maps: self.contents() };
        drop(hook);
        self.worker.quiescent();
        Ok(outcome)
    }

    /// Runs a packet on checked memory, and notes which way branches go; what the program did that it may not, where it did.
    pub(crate) fn watch(
        &mut self,
        program: &Program<Verified>,
        packet: &[u8],
        coverage: &mut Coverage,
    ) -> Result<Option<String>> {
        self.reset();
        let hook = Hook::create(&self.env).map_err(|e| anyhow!("{e}"))?;
        let mut memory = vec![0u8; 512 + packet.len()];
        memory[216..216 + packet.len()].copy_from_slice(packet);
        let span = memory.as_mut_ptr_range();
        let mut ctx = Ctx::empty();
        let fault;
        // SAFETY: worker and hook outlive the context; its pointers are into the buffer, which lives as long; the program is proven.
        unsafe {
            ctx_init(&mut ctx, &self.worker, &hook).map_err(|e| anyhow!("{e}"))?;
            ctx.data_hard_start = span.start;
            ctx.data = span.start.add(216);
            ctx.data_meta = ctx.data;
            ctx.data_end = ctx.data.add(packet.len());
            ctx.frame_end = span.end;
            ctx.ingress_ifindex = LOOPBACK;
            let args = [&raw mut ctx as u64, 0, 0, 0, 0];
            let inner = Checked { regions: &self.regions, fuel: FUEL };
            let done =
                run_with(program, STANDARD, &mut ctx, args, &mut Watch { coverage, inner, last: None });
            fault = done.err().map(|f| format!("an accepted program faults: {f:?}"));
        }
        drop(hook);
        self.worker.quiescent();
        Ok(fault)
    }

    fn reset(&self) {
        for (spec, map) in MADE.iter().zip(&self.maps) {
            let slot = self.env.client_slot();
            match spec.kind {
                MapType::Array | MapType::PercpuArray if !map.is_frozen() => {
                    let zeros = vec![0; map.value_buffer_size()];
                    for key in 0..spec.max_entries {
                        // An element that there is can be written.
                        let _ = map.update_elem(slot.slot(), &key.to_le_bytes(), &zeros, 0);
                    }
                }
                MapType::Hash => {
                    for key in keys(map) {
                        let _ = map.delete_elem(slot.slot(), &key);
                    }
                    for (key, value) in first_entries(spec) {
                        let _ = map.update_elem(slot.slot(), &key, &value, 0);
                    }
                }
                _ => drop(self.drained(map)),
            }
        }
    }

    fn drained(&self, map: &Map) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        match map.spec().kind {
            MapType::Ringbuf => {
                let mut each = |record: &[u8]| {
                    taken.push(record.to_vec());
                    ControlFlow::Continue(())
                };
                let _ = map.ringbuf_consume(&mut each);
            }
            MapType::Queue => {
                let slot = self.env.client_slot();
                let mut value = vec![0; map.spec().value_size as usize];
                // As many as there can be, and one more where a queue does not lose what it gives.
                for _ in 0..=map.spec().max_entries {
                    // SAFETY: a buffer of a value's size.
                    if unsafe { map.pop(value.as_mut_ptr(), slot.slot()) }.is_err() {
                        break;
                    }
                    taken.push(value.clone());
                }
            }
            _ => {}
        }
        taken
    }

    fn contents(&self) -> Maps {
        let content = |map: &Arc<Map>| {
            let spec = map.spec();
            if spec.key_size == 0 {
                return self.drained(map).into_iter().map(|taken| (Vec::new(), taken)).collect();
            }
            if matches!(spec.kind, MapType::ProgArray | MapType::ArrayOfMaps) {
                return Vec::new();
            }
            let mut all: Vec<_> = keys(map)
                .into_iter()
                .filter_map(|key| {
                    let mut value = vec![0; map.value_buffer_size()];
                    map.lookup_elem(&key, &mut value, 0).ok()?;
                    value.truncate(spec.value_size as usize);
                    Some((key, value))
                })
                .collect();
            all.sort();
            all
        };
        self.maps.iter().map(content).collect()
    }
}

fn keys(map: &Map) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut next = vec![0; map.spec().key_size as usize];
    while map.next_key(keys.last().map(|k| k.as_slice()), &mut next).is_ok() {
        keys.push(next.clone());
    }
    keys
}
