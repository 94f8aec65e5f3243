//! Entries, returns, faults, helpers, and where code lies.

use super::asm::*;
use super::*;
use crate::helpers::Helper;
use crate::isa::Insn;
use crate::isa::op::*;
use crate::jit::exec::{ExecCode, install};
use crate::jit::testing::{helper, on_abort};
use crate::platform::CodeMemory;
use crate::program::{Code, CtxField, Frame, Rewrite, Rewrites, Subprog};
use crate::sync::{AtomicUsize, Ordering};
use crate::vm::AbortReason;
use core::ptr::NonNull;

const HELPERS: HelperSet = HelperSet::new(&ROWS);
const ROWS: [Helper; 1] = [helper(100, describe)];

/// What arrived, in one number.
unsafe extern "C" fn describe(a: u64, b: u64, c: u64, d: u64, e: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: tests call it with a context.
    let slot = u64::from(unsafe { (*ctx).slot });
    a + 10 * b + 100 * c + 1000 * d + 10_000 * e + 100_000 * slot
}

/// A program as it stands, but for the rewrites of some slots.
fn program(insns: &[Insn], changes: &[(usize, Rewrite)]) -> Program<Verified> {
    // SAFETY: what the tests run touches nothing but its context and stack.
    let bare = unsafe { crate::conformance::bare_program_with(insns, HELPERS) }.unwrap();
    let mut rewrites = Rewrites {
        insns: Vec::from_slice(&bare.rewrites().insns).unwrap(),
        frames: Vec::from_slice(&bare.rewrites().frames).unwrap(),
    };
    for (pc, rewrite) in changes {
        rewrites.insns[*pc] = *rewrite;
    }
    let mut code = Code { insns: Vec::from_slice(insns).unwrap(), ..Code::default() };
    for s in &bare.code().subprogs {
        code.subprogs.push(Subprog { start: s.start, end: s.end, ..Subprog::default() }).unwrap();
    }
    // SAFETY: as above.
    unsafe { Program::new(code).assume_verified(Vec::new(), rewrites) }
}

fn installed(program: &Program<Verified>) -> ExecCode<'static> {
    let artifact = compile(program, &options(CpuFeatures::host(), HELPERS)).unwrap();
    install(artifact, &TestMemory, 0).unwrap()
}

fn run(program: &Program<Verified>, ctx: &mut Ctx) -> u32 {
    let code = installed(program);
    // SAFETY: the context is whole; programs of these tests touch nothing else.
    unsafe { code.entry()(ctx) }
}

#[test]
fn pass_is_two_instructions() {
    let code = installed(&program(&[movi(0, 2), EXIT], &[]));
    assert_eq!(&code.code()[..6], &[0xb8, 2, 0, 0, 0, 0xc3]);
    assert_eq!(code.stack(), 8 + 16);
    let listing = compile(&program(&[movi(0, 2), EXIT], &[]), &options(CpuFeatures::BASE, HELPERS)).unwrap();
    let text = listing.listing().to_string();
    assert_eq!(
        text.lines().take(3).collect::<std::vec::Vec<_>>().join("|"),
        "func 0 (8 bytes of stack):|; insn 0|    0: b8 02 00 00 00 c3"
    );
}

#[test]
fn plain_actions_return_and_all_else_takes_the_slow_path() {
    let p = program(&[ldx(BPF_W, 0, 1, 12), EXIT], &[(0, Rewrite::CtxLoad(CtxField::IngressIfindex))]);
    let mut ctx = Ctx::empty();
    for (value, expected) in [(1, 1), (2, 2), (3, 3), (4, 4), (0, 0x100), (5, 0x105), (0xffff_ffff, 0xff)] {
        ctx.ingress_ifindex = value;
        assert_eq!(run(&p, &mut ctx), expected, "{value}");
    }
    for value in [0, 5, -1] {
        let expected = 0x100u32.wrapping_add(value as u32);
        assert_eq!(run(&program(&[movi(0, value), EXIT], &[]), &mut ctx), expected);
    }
}

#[test]
fn helpers_get_their_arguments_and_the_context() {
    let mut insns = std::vec![mov(6, 1)];
    insns.extend((1..=5).map(|r| movi(r, i32::from(r))));
    insns.extend([helper_call(), EXIT]);
    let mut ctx = Ctx::empty();
    ctx.slot = 7;
    assert_eq!(run(&program(&insns, &[]), &mut ctx), 0x100 + 754_321);
}

fn helper_call() -> Insn {
    asm::helper(100)
}

#[test]
fn near_memory_gets_direct_calls_and_far_memory_the_table() {
    let insns = [movi(1, 1), movi(2, 0), movi(3, 0), movi(4, 0), movi(5, 0), helper_call(), EXIT];
    let p = program(&insns, &[]);
    let mut ctx = Ctx::empty();
    let text = describe as *const () as usize;
    for near in [(text & !0xfff) + (64 << 20), 0] {
        let artifact = compile(&p, &options(CpuFeatures::BASE, HELPERS)).unwrap();
        let code = install(artifact, &TestMemory, near).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { code.entry()(&mut ctx) }, 1);
    }
}

#[test]
fn unreached_instructions_end_the_run_from_any_depth() {
    // Main calls f, f calls g, g runs into what cannot be; nothing behind the calls runs.
    let insns = [local(2), movi(0, 2), EXIT, local(2), movi(0, 2), EXIT, movi(0, 3), EXIT];
    for (dead, fault) in [(6, true), (3, true), (4, true), (1, true), (5, true)] {
        let p = program(&insns, &[(dead, Rewrite::Dead)]);
        let mut ctx = Ctx::empty();
        assert_eq!(run(&p, &mut ctx), 0x100, "{dead}");
        assert_eq!(ctx.abort == AbortReason::Fault as u32 + 1, fault);
    }
    let mut ctx = Ctx::empty();
    assert_eq!(run(&program(&insns, &[]), &mut ctx), 2);
    assert_eq!(ctx.abort, 0);
}

#[test]
fn stack_is_cleared_where_asked_and_frames_do_not_meet() {
    // Main leaves a mark in its frame, the callee reads its own frame at the same place.
    let insns = [
        sti(BPF_DW, 10, -8, 3),
        local(2),
        ldx(BPF_DW, 0, 10, -8),
        EXIT,
        ldx(BPF_DW, 0, 10, -8),
        stx(BPF_DW, 10, -16, 0),
        EXIT,
    ];
    let p = program(&insns, &[]);
    assert_eq!(p.rewrites().frames[0], Frame::WHOLE);
    assert_eq!(run(&p, &mut Ctx::empty()), 3);
    let only_callee = [local(1), EXIT, ldx(BPF_DW, 0, 10, -8), alui(BPF_ADD, 0, 2), EXIT];
    assert_eq!(run(&program(&only_callee, &[]), &mut Ctx::empty()), 2);
}

#[test]
fn facts_and_helpers_that_do_not_exist_are_errors() {
    let p = program(
        &[helper_call(), EXIT],
        &[(0, Rewrite::CallHelper { row: 9, map: crate::program::MapSel::None })],
    );
    let none = CompileOptions { target: None, ..options(CpuFeatures::BASE, HELPERS) };
    assert_eq!(compile(&p, &none).unwrap_err(), CompileError::NoBackend);
    assert_eq!(
        compile(&p, &options(CpuFeatures::BASE, HELPERS)).unwrap_err(),
        CompileError::NoHelper { pc: 0 }
    );
    let _ = on_abort;
}

/// Memory that refuses to become executable, and counts.
struct Refusing(AtomicUsize);

impl CodeMemory for Refusing {
    fn alloc(&self, size: usize, near: usize) -> Result<NonNull<u8>, Errno> {
        self.0.fetch_add(1, Ordering::Relaxed);
        TestMemory.alloc(size, near)
    }

    unsafe fn seal(&self, _: NonNull<u8>, _: usize) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: handed on.
        unsafe { TestMemory.free(ptr, size) };
    }
}

#[test]
fn refused_memory_is_given_back() {
    let memory = Refusing(AtomicUsize::new(0));
    let artifact = compile(&program(&[movi(0, 2), EXIT], &[]), &options(CpuFeatures::BASE, HELPERS)).unwrap();
    assert_eq!(install(artifact, &memory, 0).unwrap_err(), CompileError::NoCodeMemory(Errno::EOPNOTSUPP));
    assert_eq!(memory.0.load(Ordering::Relaxed), 0);
}
