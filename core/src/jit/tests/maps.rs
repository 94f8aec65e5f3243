//! Arrays inlined on live memory, with facts and without, and tail calls.

use super::asm::*;
use super::*;
use crate::helpers::Helper;
use crate::isa::Insn;
use crate::isa::op::*;
use crate::jit::exec::{ExecCode, install};
use crate::jit::testing::{helper, map};
use crate::maps::{Map, MapType, ProgRef, TailTarget};
use crate::program::{Code, Facts, Frame, MapSel, Rewrite, Rewrites, Subprog, VerifierStats};
use crate::sync::Arc;
use core::ptr::NonNull;

pub(super) const HELPERS: HelperSet = HelperSet::new(&ROWS);
const ROWS: [Helper; 3] = [helper(1, never), helper(12, never), helper(100, count)];
const LOOKUP: Rewrite = Rewrite::CallHelper { row: 0, map: MapSel::Known(0) };
const TAIL_CALL: Rewrite = Rewrite::CallHelper { row: 1, map: MapSel::Known(0) };

/// What is inlined is never called.
unsafe extern "C" fn never(_: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    std::process::abort()
}

/// Counts in the context.
unsafe extern "C" fn count(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: tests call it with a context.
    unsafe { (*ctx).ingress_ifindex += 1 };
    0
}

/// A program whose calls of helpers 1 and 12 are on map 0, and whose map references are what they say.
pub(super) fn program(insns: &[Insn], map: &Arc<Map>, facts: &dyn Fn(&mut Facts)) -> Program<Verified> {
    let mut rewrites = Rewrites::default();
    let mut starts = std::vec![0u32];
    for (pc, insn) in insns.iter().enumerate() {
        let rewrite = match (insn.code, insn.src(), insn.imm) {
            (LD_IMM64, BPF_PSEUDO_MAP_IDX, i) => Rewrite::MapPtr(i as u32),
            (0, ..) => Rewrite::Dead,
            (0x85, 0, 1) => LOOKUP,
            (0x85, 0, 12) => TAIL_CALL,
            (0x85, 0, _) => Rewrite::CallHelper { row: 2, map: MapSel::None },
            (0x85, 1, delta) => {
                starts.push(pc as u32 + 1 + delta as u32);
                Rewrite::CallSubprog(1)
            }
            _ => Rewrite::Plain,
        };
        rewrites.insns.push(rewrite).unwrap();
    }
    let mut code = Code { insns: Vec::from_slice(insns).unwrap(), ..Code::default() };
    for (i, &start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(insns.len() as u32);
        code.subprogs.push(Subprog { start, end, ..Subprog::default() }).unwrap();
        rewrites.frames.push(Frame { size: 16, clear: 0 }).unwrap();
    }
    let mut known = Facts::unknown(insns.len()).unwrap();
    facts(&mut known);
    let maps = Vec::from_fn(1, |_| map.clone()).unwrap();
    Program::new(code).into_verified(maps, rewrites, known, (VerifierStats::default(), 0))
}

fn installed(p: &Program<Verified>, facts: UseFacts) -> ExecCode<'static> {
    let artifact = compile(p, &CompileOptions { facts, ..options(CpuFeatures::host(), HELPERS) }).unwrap();
    install(artifact, &TestMemory, 0).unwrap()
}

/// Counts at a key, then returns the low byte of what was there before, or 4 where there is nothing.
pub(super) fn counter(key: Option<i32>) -> std::vec::Vec<Insn> {
    let [a, b] = asm::map(1, 0);
    let store = match key {
        Some(key) => sti(BPF_W, 10, -4, key),
        None => stx(BPF_W, 10, -4, 6),
    };
    std::vec![
        ldx(BPF_W, 6, 1, 60), // ctx.ingress_ifindex, unrewritten
        store,
        mov(2, 10),
        alui(BPF_ADD, 2, -4),
        a,
        b,
        asm::helper(1),
        jmpi(BPF_JEQ, 0, 0, 4),
        ldx(BPF_DW, 3, 0, 0),
        alui(BPF_ADD, 3, 1),
        stx(BPF_DW, 0, 0, 3),
        Insn::new(BPF_JMP | BPF_JA, 0, 0, 1, 0),
        movi(3, 4),
        mov(0, 3),
        EXIT,
    ]
}

fn run(code: &ExecCode<'_>, slot: u32, ingress: u32) -> u32 {
    let mut ctx = Ctx::empty();
    (ctx.slot, ctx.ingress_ifindex) = (slot, ingress);
    // SAFETY: the context is whole, the map lives.
    unsafe { code.entry()(&mut ctx) }
}

#[test]
fn array_lookup_is_inlined_and_live_with_facts_and_without() {
    for kind in [MapType::Array, MapType::PercpuArray] {
        for facts in [UseFacts::Yes, UseFacts::No] {
            let m = map(kind, 12, 3);
            let p = program(&counter(Some(2)), &m, &|f| f.at_mut(6).unwrap().const_key = Some(2));
            let code = installed(&p, facts);
            assert_eq!(run(&code, 1, 0), 1);
            assert_eq!(run(&code, 1, 0), 2);
            // The control plane writes; the next packet sees it.
            let value = [41u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            // SAFETY: key and value are as long as the map's.
            unsafe { m.update(2u32.to_le_bytes().as_ptr(), value.as_ptr(), 0, 1) }.unwrap();
            assert_eq!(run(&code, 1, 0), 0x100 + 42);
            // SAFETY: as above.
            assert_eq!(unsafe { *m.lookup(2u32.to_le_bytes().as_ptr(), 1) }, 42);
            if kind == MapType::PercpuArray {
                assert_eq!(run(&code, 0, 0), 1);
            }
        }
    }
}

#[test]
fn keys_known_at_run_time_alone_are_bounded() {
    let m = map(MapType::Array, 8, 3);
    let p = program(&counter(None), &m, &|_| {});
    let code = installed(&p, UseFacts::Yes);
    for key in [0, 1, 2] {
        assert_eq!(run(&code, 0, key), 1);
    }
    for key in [3, 4, 0x8000_0000, u32::MAX] {
        assert_eq!(run(&code, 0, key), 4, "{key}");
    }
    assert_eq!(run(&code, 0, 2), 2);
}

#[test]
fn key_beyond_the_array_is_null() {
    let m = map(MapType::Array, 8, 3);
    let p = program(&counter(Some(3)), &m, &|f| f.at_mut(6).unwrap().const_key = Some(3));
    for facts in [UseFacts::Yes, UseFacts::No] {
        assert_eq!(run(&installed(&p, facts), 0, 0), 4);
    }
}

/// Jumps to what index 0 of the map holds; 3 where that fails.
fn caller(first: &[Insn]) -> std::vec::Vec<Insn> {
    let [a, b] = asm::map(2, 0);
    let mut insns = first.to_vec();
    insns.extend([a, b, movi(3, 0), asm::helper(12), movi(0, 3), EXIT]);
    insns
}

unsafe fn no_release(_: *const TailTarget) {}

/// Sets an entry of a program array to what `code` is.
fn set(m: &Map, index: u32, code: &ExecCode<'_>) {
    let target = std::boxed::Box::leak(std::boxed::Box::new(TailTarget {
        entry: code.tail_entry(),
        id: 1,
        release: no_release,
    }));
    // SAFETY: the target is never freed; tests keep the code while it is set.
    let old = m.set_prog(index, Some(unsafe { ProgRef::new(NonNull::from(target)) })).unwrap();
    drop(old);
}

#[test]
fn tail_call_jumps_or_falls_through() {
    let m = map(MapType::ProgArray, 4, 2);
    let target = installed(&program(&[movi(0, 1), EXIT], &m, &|_| {}), UseFacts::Yes);
    let code = installed(&program(&caller(&[]), &m, &|_| {}), UseFacts::Yes);
    assert_eq!(run(&code, 0, 0), 3, "an empty entry");
    set(&m, 0, &target);
    assert_eq!(run(&code, 0, 0), 1);
    m.set_prog(0, None).unwrap();
    assert_eq!(run(&code, 0, 0), 3);
}

#[test]
fn tail_calls_of_one_run_are_limited_and_the_next_run_starts_anew() {
    let m = map(MapType::ProgArray, 4, 2);
    let code =
        installed(&program(&caller(&[mov(6, 1), asm::helper(100), mov(1, 6)]), &m, &|_| {}), UseFacts::Yes);
    set(&m, 0, &code);
    for _ in 0..2 {
        let mut ctx = Ctx::empty();
        // SAFETY: the context is whole, the map lives.
        assert_eq!(unsafe { code.entry()(&mut ctx) }, 3);
        assert_eq!(ctx.ingress_ifindex, 34, "runs of the program");
        assert_eq!(ctx.tail_calls, 33);
    }
    m.set_prog(0, None).unwrap();
}

#[test]
fn tail_call_in_a_function_returns_to_that_functions_caller() {
    let m = map(MapType::ProgArray, 4, 2);
    // The target returns 0, which would end a run as aborted: here it is a number like any other.
    let target = installed(&program(&[movi(0, 0), EXIT], &m, &|_| {}), UseFacts::Yes);
    let mut insns = std::vec![local(2), alui(BPF_ADD, 0, 1), EXIT];
    insns.extend(caller(&[]));
    let code = installed(&program(&insns, &m, &|_| {}), UseFacts::Yes);
    assert_eq!(run(&code, 0, 0), 4);
    set(&m, 0, &target);
    assert_eq!(run(&code, 0, 0), 1);
    m.set_prog(0, None).unwrap();
}

#[test]
fn edges_that_no_run_takes_are_cut_with_facts_and_kept_without() {
    use crate::program::Edge;
    let m = map(MapType::Array, 8, 1);
    let insns = [ldx(BPF_W, 2, 1, 60), jmpi(BPF_JEQ, 2, 7, 2), movi(0, 1), EXIT, movi(0, 2), EXIT];
    for (edge, expected) in [(Edge::AlwaysTaken, 2), (Edge::NeverTaken, 1), (Edge::Both, 1)] {
        let p = program(&insns, &m, &|f| f.at_mut(1).unwrap().edge = edge);
        assert_eq!(run(&installed(&p, UseFacts::Yes), 0, 3), expected);
        assert_eq!(run(&installed(&p, UseFacts::No), 0, 3), 1);
        assert_eq!(run(&installed(&p, UseFacts::No), 0, 7), 2);
    }
}
