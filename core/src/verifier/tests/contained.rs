//! The checking interpreter: every concrete register and stack byte of a run lies in an abstract state of its instruction.
//!
//! A program is explored with pruning off and every state is kept; then it runs on packets, and before each instruction there must be a state
//! of that instruction that describes what the run has. Addresses are compared as distances from what they point to.
//!
//! With pruning on, a state is kept wherever paths meet, and a run that comes there must fit one in all that pruning compares in full: pointers,
//! numbers that were found to matter, and slots of the stack that are read.

use super::fuzz::{Rng, joins, soup};
use super::world::{FROZEN, SPECS, maps, program};
use crate::helpers::STANDARD;
use crate::interp::{Access, Checked, FaultKind, Memory, Raw, Region, Step, run_with};
use crate::maps::{Map, MapConfig};
use crate::object::{MapOrigin, Object, OpenOptions};
use crate::platform::{MapMemory, MemRequest};
use crate::program::{Code, Program};
use crate::sync::Arc;
use crate::verifier::backtrack::{Need, halves_of};
use crate::verifier::explore::{Mode, Observer, Verifier};
use crate::verifier::input::{Input, MapInfo};
use crate::verifier::log::Log;
use crate::verifier::prune::Mattered;
use crate::verifier::reg::{AT_PKT_END, BEYOND_PKT_END, Kind, Reg};
use crate::verifier::stack::{Byte, Slot};
use crate::verifier::state::State;
use crate::verifier::{VerifyOptions, verify};
use crate::vm::{Ctx, Hook, MapDef, Worker, create_maps, ctx_init};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

struct Heap;

impl MapMemory for Heap {
    fn alloc(&self, r: &MemRequest<'_>) -> Option<NonNull<u8>> {
        // SAFETY: maps are not of size zero.
        NonNull::new(unsafe { alloc_zeroed(Layout::from_size_align(r.size, 4096).ok()?) })
    }
    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: as allocated above.
        unsafe { dealloc(ptr.as_ptr(), Layout::from_size_align(size, 4096).unwrap()) }
    }
}

/// One state of one instruction: registers and stack of its innermost frame, and what of it must fit.
struct Seen {
    regs: [Reg; 11],
    slots: Vec<Slot>,
    mattered: Mattered,
    depth: usize,
}

const EVERYTHING: Mattered =
    Mattered { precise: Need { regs: u16::MAX, halves: u128::MAX }, read: u128::MAX };

/// A run that is compared with what was seen.
struct Watch<'a, M> {
    seen: &'a [Vec<Seen>],
    inner: M,
    /// Whether every instruction must have a state.
    everywhere: bool,
    wrong: Option<String>,
}

/// Whether a value is one that the register describes.
fn describes(reg: &Reg, value: u64, depth: usize, at: &Step<'_>) -> bool {
    // SAFETY: the run's context.
    let ctx = unsafe { &*at.ctx };
    let from = |base: u64| {
        let var = value.wrapping_sub(base).wrapping_sub(i64::from(reg.off) as u64);
        reg.var.contains(var)
    };
    match reg.kind {
        Kind::NotInit => true,
        Kind::Scalar => reg.var.contains(value),
        Kind::Ctx => from(ctx as *const Ctx as u64),
        // Where the frames of callers are, a step does not say.
        Kind::Stack(frame) if usize::from(frame) == depth => from(at.regs[10]),
        // Where an element of a hash is, no state says; of an array, a lookup may have given any element.
        Kind::MapValue(m) => at.program.maps()[m as usize].array().is_none_or(|a| {
            (0..u64::from(a.max_entries)).any(|i| from(a.base as u64 + i * u64::from(a.stride)))
        }),
        Kind::PacketEnd => value == ctx.data_end as u64,
        Kind::Packet => {
            let end = ctx.data_end as u64;
            let base = value.wrapping_sub(i64::from(reg.off) as u64);
            from(ctx.data as u64)
                && match reg.range {
                    AT_PKT_END => value >= end,
                    BEYOND_PKT_END => value > end,
                    range => range == 0 || base + range as u64 <= end,
                }
        }
        _ => true,
    }
}

fn state_describes(seen: &Seen, at: &Step<'_>) -> bool {
    let precise = |r: usize| seen.mattered.precise.regs >> r & 1 == 1;
    let fits = |(r, (reg, value)): (usize, (&Reg, &u64))| {
        (reg.is_scalar() && !precise(r)) || describes(reg, *value, seen.depth, at)
    };
    if !seen.regs.iter().zip(at.regs).enumerate().all(fits) {
        return false;
    }
    for (i, slot) in seen.slots.iter().enumerate() {
        let halves = halves_of(i);
        let pointer = slot.spilled().is_some_and(|r| r.kind.is_pointer());
        if seen.mattered.read & halves == 0 || (!pointer && seen.mattered.precise.halves & halves == 0) {
            continue;
        }
        let address = at.regs[10] - 8 * (i as u64 + 1);
        // SAFETY: the program's frame is at least as deep as its deepest state.
        let bytes = unsafe { (address as *const [u8; 8]).read_unaligned() };
        let fits = slot.bytes.iter().zip(bytes).all(|(known, byte)| match known {
            Byte::Known(k) => *k == byte,
            _ => true,
        });
        let value = u64::from_le_bytes(bytes);
        let spilled = slot.spilled().is_none_or(|reg| match slot.spill_size() {
            8 => describes(reg, value, seen.depth, at),
            size => describes(reg, value & (u64::MAX >> (64 - 8 * size)), seen.depth, at),
        });
        if !fits || !spilled {
            return false;
        }
    }
    true
}

impl<M: Memory> Memory for Watch<'_, M> {
    fn step(&mut self, at: &Step<'_>) -> Result<(), FaultKind> {
        let seen = &self.seen[at.pc as usize];
        if (self.everywhere || !seen.is_empty()) && !seen.iter().any(|s| state_describes(s, at)) {
            self.wrong = Some(format!("no state of insn {} describes {:x?}", at.pc, at.regs));
            return Err(FaultKind::Watch);
        }
        self.inner.step(at)
    }
    fn allows(&mut self, access: &Access, stack: core::ops::Range<u64>, ctx: Option<&Ctx>) -> bool {
        self.inner.allows(access, stack, ctx)
    }
}

/// The states of every instruction without pruning, or those that were kept with it; `None` for a program that is refused.
fn states(code: &Code, maps: &[MapInfo<'_>], mode: Mode) -> Option<Vec<Vec<Seen>>> {
    let mut seen: Vec<Vec<Seen>> = code.insns.iter().map(|_| Vec::new()).collect();
    let mut see = |pc: u32, s: &State| {
        if mode == Mode::NoPruning {
            let f = s.frame();
            let (regs, slots) = (f.regs, f.stack.slots().to_vec());
            seen[pc as usize].push(Seen { regs, slots, mattered: EVERYTHING, depth: s.depth() });
        }
    };
    // Every state is kept: of a long program without pruning there would be gigabytes.
    let insn_budget = if mode == Mode::NoPruning { 20_000 } else { VerifyOptions::default().insn_budget };
    let opts = VerifyOptions { insn_budget, ..VerifyOptions::default() };
    let input = Input { code, maps, helpers: STANDARD, opts, judging: false };
    let mut text = String::new();
    let mut verifier =
        Verifier::new(input, Log::new(&mut text, 0), Some(Observer { see: &mut see, mode })).ok()?;
    verifier.run().ok()?;
    let kept: Vec<_> = verifier
        .explored
        .all()
        .map(|(pc, s, noted)| {
            let f = s.frame();
            (
                pc,
                Seen {
                    regs: f.regs,
                    slots: f.stack.slots().to_vec(),
                    mattered: noted[s.depth()].mattered,
                    depth: s.depth(),
                },
            )
        })
        .collect();
    drop(verifier);
    if mode == Mode::EveryState {
        for (pc, s) in kept {
            seen[pc as usize].push(s);
        }
    }
    Some(seen)
}

/// Explores, then runs on packets; what went wrong, and whether the program was accepted at all.
fn compare(text: &str, made: &[Arc<Map>], rng: &mut Rng, mode: Mode) -> Result<bool, String> {
    let code = program(text, None);
    let Some(seen) = states(&code, &maps(), mode) else { return Ok(false) };
    let opts = VerifyOptions::default();
    let list = crate::mem::Vec::from_slice(made).unwrap();
    let proven =
        verify(Program::new(code), list, STANDARD, &opts, &mut String::new()).map_err(|r| r.to_string())?;
    let regions: Vec<Region> = made
        .iter()
        .filter_map(|m| m.array().map(|a| (a, m.spec().max_entries)))
        .map(|(a, n)| Region {
            start: a.base as u64,
            len: u64::from(a.stride) * u64::from(n),
            writable: true,
        })
        .collect();
    for _ in 0..12 {
        let mut packet = vec![0u8; rng.below(80)];
        packet.fill_with(|| 0);
        for b in &mut packet {
            *b = rng.next() as u8;
        }
        let mut ctx = Ctx::empty();
        let span = packet.as_mut_ptr_range();
        (ctx.data_hard_start, ctx.data_meta, ctx.data) = (span.start, span.start, span.start);
        (ctx.data_end, ctx.frame_end) = (span.end, span.end);
        let edge = [0, 1, 2, 7, 8, 15, 16, 30, 31, 32, 255, 0x7fff_ffff, 0x8000_0000, u32::MAX];
        let mut number = || if rng.below(2) == 0 { *rng.pick(&edge) } else { rng.next() as u32 };
        (ctx.ingress_ifindex, ctx.rx_queue_index) = (number(), number());
        let everywhere = mode == Mode::NoPruning;
        let inner = Checked { regions: &regions, fuel: 100_000 };
        let mut watch = Watch { seen: &seen, inner, everywhere, wrong: None };
        let args = [&raw mut ctx as u64, 0, 0, 0, 0];
        // SAFETY: the context is whole; every access is checked.
        let run = unsafe { run_with(&proven, STANDARD, &mut ctx, args, &mut watch) };
        if let Err(fault) = run {
            return Err(format!("{fault:?} {:?}\n  {text}", watch.wrong));
        }
    }
    Ok(true)
}

fn made() -> Vec<Arc<Map>> {
    let cfg = MapConfig {
        nr_cpus: 1,
        writer_slots: 2,
        page_size: 4096,
        memory: &Heap,
        private_memory: &Heap,
        secret: [1, 2],
        processes: None,
        epochs: None,
        wakes: None,
    };
    let made: Vec<_> = SPECS
        .iter()
        .enumerate()
        .map(|(i, s)| Map::create("m", i as u32 + 1, s, &cfg).expect("map"))
        .collect();
    made[3].set_initial(&FROZEN).expect("an array");
    made[3].freeze().expect("an array");
    made
}

fn all_contained(make: fn(&mut Rng) -> String, mode: Mode) {
    let (made, mut rng) = (made(), Rng::new(99));
    let rounds: u64 = std::env::var("UXDP_FUZZ").ok().and_then(|v| v.parse().ok()).unwrap_or(2000);
    let (mut accepted, mut wrong) = (0, Vec::new());
    for seed in 0..rounds {
        let text = make(&mut Rng::new(seed + 500_000));
        if text.contains("call ") {
            continue;
        }
        match compare(&text, &made, &mut rng, mode) {
            Ok(ok) => accepted += u64::from(ok),
            Err(e) => wrong.push(format!("seed {seed}: {e}")),
        }
    }
    assert!(accepted * 10 > rounds, "{accepted}");
    assert!(wrong.is_empty(), "{} of {accepted}\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}

#[test]
fn every_value_of_a_run_lies_in_a_state_of_its_instruction() {
    all_contained(soup, Mode::NoPruning);
}

#[test]
fn what_mattered_of_a_run_lies_in_a_state_that_was_kept() {
    all_contained(soup, Mode::EveryState);
    all_contained(joins, Mode::EveryState);
}

#[test]
fn safe_twins_keep_within_their_states() {
    let (made, mut rng) = (made(), Rng::new(7));
    for c in super::cases::CASES {
        let text = super::cases::expand(c.good);
        // Helpers need an environment, which this test has not; frames of callees are not told apart here.
        if text.contains("call ") || text.contains('@') {
            continue;
        }
        for mode in [Mode::NoPruning, Mode::EveryState] {
            compare(&text, &made, &mut rng, mode).unwrap_or_else(|e| panic!("{mode:?}: {e}"));
        }
    }
}

/// A frame that programs find their way into: IPv4 and UDP, TCP or ICMP, behind no, one or two tags, cut short at times.
fn plausible(rng: &mut Rng) -> Vec<u8> {
    let mut packet = vec![0u8; 128];
    for b in &mut packet {
        *b = rng.next() as u8;
    }
    let mut at = 12;
    for tag in [[0x88, 0xa8], [0x81, 0x00]] {
        if rng.below(3) == 0 {
            packet[at..at + 2].copy_from_slice(&tag);
            at += 4;
        }
    }
    packet[at..at + 3].copy_from_slice(&[8, 0, 0x45]);
    let protocol = *rng.pick(&[1, 6, 17, 112]);
    packet[at + 11] = protocol;
    packet[at + 22] = *rng.pick(&[0, 8]);
    packet.truncate(if rng.below(3) == 0 { rng.below(128) } else { 128 });
    packet
}

/// All real programs, helpers and maps included: without pruning, and with a state kept wherever paths meet.
#[test]
fn real_programs_keep_within_their_states() {
    let env = crate::vm::tests::env();
    let worker = Worker::register(&env, 0).expect("a slot");
    let hook = Hook::create(&env).expect("a hook");
    let mut rng = Rng::new(11);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj");
    let (mut programs, mut runs) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("objects are committed") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|e| e != "o") || path.to_string_lossy().contains("no_check") {
            continue;
        }
        let object = Object::open(
            &std::fs::read(&path).expect("readable"),
            &OpenOptions { name: "real", ..OpenOptions::default() },
        )
        .expect("opens");
        let defs: Vec<MapDef<'_>> = object
            .maps()
            .iter()
            .map(|m| MapDef { name: m.name.as_str(), spec: m.spec, reuse: None })
            .collect();
        let made = create_maps(&env, &defs, None).expect("maps");
        for (def, map) in object.maps().iter().zip(&made) {
            if matches!(def.origin, MapOrigin::Data(_)) {
                map.set_initial(&def.initial).expect("fits");
            }
            if def.frozen {
                map.freeze().expect("freezes");
            }
        }
        let infos: Vec<MapInfo<'_>> = made
            .iter()
            .map(|m| MapInfo { spec: *m.spec(), name: m.name(), frozen: m.const_data() })
            .collect();
        for index in 0..object.programs().len() {
            for mode in [Mode::NoPruning, Mode::EveryState] {
                let linked = object.link(index).expect("links");
                let name = std::format!("{}: {} {mode:?}", path.display(), linked.name());
                let list = crate::mem::Vec::from_slice(&made).expect("memory");
                let seen = states(linked.code(), &infos, mode);
                let verdict = verify(linked, list, STANDARD, &VerifyOptions::default(), &mut String::new());
                let proven = match verdict {
                    // It waits for a function.
                    Err(r) if r.to_string().contains("is not provided in this version") => continue,
                    verdict => verdict.unwrap_or_else(|r| panic!("{name}: {r}")),
                };
                let Some(seen) = seen else {
                    // Without pruning a long program has more paths than are walked.
                    assert!(mode == Mode::NoPruning, "{name}: refused");
                    continue;
                };
                // Each step looks at all states of its instruction.
                let known: usize = seen.iter().map(std::vec::Vec::len).sum();
                for _ in 0..if known < 10_000 { 60 } else { 3 } {
                    let packet = plausible(&mut rng);
                    let mut buffer = vec![0u8; 256 + packet.len() + 256];
                    buffer[256..256 + packet.len()].copy_from_slice(&packet);
                    let span = buffer.as_mut_ptr_range();
                    let mut ctx = Ctx::empty();
                    // SAFETY: worker and hook outlive the context; its pointers are into the buffer, which lives as long.
                    unsafe {
                        ctx_init(&mut ctx, &worker, &hook).expect("one environment");
                        ctx.data_hard_start = span.start;
                        ctx.data = span.start.add(256);
                        ctx.data_meta = ctx.data;
                        ctx.data_end = ctx.data.add(packet.len());
                        ctx.frame_end = span.end;
                        let everywhere = mode == Mode::NoPruning;
                        let mut watch = Watch { seen: &seen, inner: Raw, everywhere, wrong: None };
                        let args = [&raw mut ctx as u64, 0, 0, 0, 0];
                        let run = run_with(&proven, STANDARD, &mut ctx, args, &mut watch);
                        assert!(run.is_ok(), "{name}: {run:?} {:?} on {packet:x?}", watch.wrong);
                    }
                    runs += 1;
                }
            }
            programs += 1;
        }
    }
    assert!(programs > 20 && runs > 2000, "{programs} programs, {runs} runs");
}
