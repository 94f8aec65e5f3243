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
use crate::interp::{Access, Checked, FaultKind, Memory, Region, Step, run_with};
use crate::maps::{Map, MapConfig};
use crate::platform::{MapMemory, MemRequest};
use crate::program::{Code, Program};
use crate::sync::Arc;
use crate::verifier::backtrack::{Need, halves_of};
use crate::verifier::explore::{Mode, Observer, Verifier};
use crate::verifier::input::Input;
use crate::verifier::log::Log;
use crate::verifier::prune::Mattered;
use crate::verifier::reg::{AT_PKT_END, BEYOND_PKT_END, Kind, Reg};
use crate::verifier::stack::{Byte, Slot};
use crate::verifier::state::State;
use crate::verifier::{VerifyOptions, verify};
use crate::vm::Ctx;
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
}

const EVERYTHING: Mattered =
    Mattered { precise: Need { regs: u16::MAX, halves: u128::MAX }, read: u128::MAX };

/// A run that is compared with what was seen.
struct Watch<'a> {
    seen: &'a [Vec<Seen>],
    inner: Checked<'a>,
    /// Whether every instruction must have a state.
    everywhere: bool,
    wrong: Option<String>,
}

/// Whether a value is one that the register describes.
fn describes(reg: &Reg, value: u64, at: &Step<'_>) -> bool {
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
        Kind::Stack(0) => from(at.regs[10]),
        Kind::MapValue(m) => from(at.program.maps()[m as usize].array().unwrap().base as u64),
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
        (reg.is_scalar() && !precise(r)) || describes(reg, *value, at)
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
            8 => describes(reg, value, at),
            size => describes(reg, value & (u64::MAX >> (64 - 8 * size)), at),
        });
        if !fits || !spilled {
            return false;
        }
    }
    true
}

impl Memory for Watch<'_> {
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
fn states(code: &Code, mode: Mode) -> Option<Vec<Vec<Seen>>> {
    let mut seen: Vec<Vec<Seen>> = code.insns.iter().map(|_| Vec::new()).collect();
    let mut see = |pc: u32, s: &State| {
        if mode == Mode::NoPruning {
            let f = s.frame();
            let (regs, slots) = (f.regs, f.stack.slots().to_vec());
            seen[pc as usize].push(Seen { regs, slots, mattered: EVERYTHING });
        }
    };
    let maps = maps();
    let input = Input { code, maps: &maps, helpers: STANDARD, opts: VerifyOptions::default() };
    let mut text = String::new();
    let mut verifier =
        Verifier::new(input, Log::new(&mut text, 0), Some(Observer { see: &mut see, mode })).ok()?;
    verifier.run().ok()?;
    let kept: Vec<_> = verifier
        .explored
        .all()
        .map(|(pc, s, mattered)| {
            let f = s.frame();
            (pc, Seen { regs: f.regs, slots: f.stack.slots().to_vec(), mattered: mattered[s.depth()] })
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
    let Some(seen) = states(&code, mode) else { return Ok(false) };
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
