//! Random programs that loop through callbacks, compiled and interpreted: results and memory have to agree.
//!
//! A main function loops with one callback, which may loop with another one; each is random code ([`super::random`]) over the same memory and a frame of its own. The
//! main function's argument is the context, from which it takes its memory as from `xdp_md`.

use super::asm::*;
use super::random::{Rng, mix, put};
use super::*;
use crate::conformance::{AlignedMem, bare_program_with};
use crate::helpers::STANDARD;
use crate::interp::{Raw, run_with};
use crate::isa::Insn;
use crate::isa::op::*;
use crate::jit::exec::install;
use crate::jit::testing::helper;

const LOOP: u32 = 181;

fn helpers() -> HelperSet {
    let of_ours = *STANDARD.get(STANDARD.row_of(LOOP).unwrap()).unwrap();
    HelperSet::new(std::boxed::Box::leak(std::boxed::Box::new([helper(100, mix), of_ours])))
}

/// Where a program names a function: the slot, and which function.
type Names = std::vec::Vec<(usize, usize)>;

/// Random code that may loop with the function of that number in its midst.
fn body(rng: &mut Rng, out: &mut std::vec::Vec<Insn>, calls: Option<usize>, names: &mut Names) {
    out.extend([1, 2, 3, 4, 5].map(|r| movi(r, rng.imm())));
    for _ in 0..rng.below(8) {
        put(rng, out);
    }
    if let Some(function) = calls {
        let turns = rng.of(&[0, 1, 2, 5]);
        out.push(movi(1, turns));
        names.push((out.len(), function));
        out.extend([Insn::new(LD_IMM64, 2, BPF_PSEUDO_FUNC, 0, 0), Insn::new(0, 0, 0, 0, 0)]);
        out.extend([mov(3, 7), movi(4, i32::from(rng.below(16) == 0)), asm::helper(LOOP as i32)]);
        out.extend([1, 2, 3, 4, 5].map(|r| movi(r, rng.imm())));
    }
    for _ in 0..rng.below(8) {
        put(rng, out);
    }
}

fn generate_program(rng: &mut Rng) -> std::vec::Vec<Insn> {
    let memory = core::mem::offset_of!(Ctx, data) as i16;
    let mut names = Names::new();
    let mut insns = std::vec![ldx(BPF_DW, 7, 1, memory)];
    insns.extend([0, 6, 8, 9].map(|r| movi(r, rng.imm())));
    body(rng, &mut insns, Some(1), &mut names);
    insns.extend((1..=9).filter(|r| *r != 7).map(|r| alu(BPF_XOR, 0, r)));
    insns.extend([stx(BPF_DW, 7, 0, 0), EXIT]);
    let deep = rng.of(&[1, 2, 2, 3]);
    let mut starts = std::vec![0];
    for function in 1..=deep {
        starts.push(insns.len());
        insns.extend([mov(7, 2), mov(6, 1)]);
        insns.extend([0, 8, 9].map(|r| movi(r, rng.imm())));
        body(rng, &mut insns, (function < deep).then_some(function + 1), &mut names);
        let mask = rng.of(&[0, 0, 1]);
        insns.extend([alui(BPF_AND, 0, mask), EXIT]);
    }
    for (at, function) in names {
        insns[at].imm = starts[function] as i32 - at as i32 - 1;
    }
    insns
}

/// A context whose packet is that memory.
fn context(mem: &mut AlignedMem) -> Ctx {
    let mut ctx = Ctx::empty();
    ctx.data = mem.addr();
    ctx
}

#[test]
fn random_loops_of_callbacks_agree_with_the_interpreter() {
    let helpers = helpers();
    let mut rng = Rng(0x2545_f491_4f6c_dd1d);
    let bytes: std::vec::Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(0x6d) ^ 0x31).collect();
    let rounds = std::env::var("UXDP_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for round in 0..rounds {
        let insns = generate_program(&mut rng);
        // SAFETY: the programs touch their context, memory and frames alone.
        let p = unsafe { bare_program_with(&insns, helpers) }.unwrap();
        let mut mem = AlignedMem::new(&bytes).unwrap();
        let mut ctx = context(&mut mem);
        let ctx = &raw mut ctx;
        // SAFETY: as above.
        let expected = unsafe {
            run_with(&p, helpers, ctx, [ctx as u64, 0, 0, 0, 0], &mut Raw).unwrap();
            core::slice::from_raw_parts(mem.addr(), mem.len()).to_vec()
        };
        for (features, registers) in [
            (CpuFeatures::BASE, 12),
            (CpuFeatures::host(), 12),
            (CpuFeatures::BASE, 2),
            (CpuFeatures::BASE, 0),
        ] {
            let options = options(features, helpers);
            let module = optimised(&p, &options).unwrap();
            let assembler = |buf| x86_64::Assembler::new(buf, features).with_registers(registers);
            let artifact =
                super::super::generate(&p, &options, &module, assembler, x86_64::Assembler::into_buffer)
                    .unwrap();
            let code = install(artifact, &TestMemory, 0).unwrap();
            let mut mem = AlignedMem::new(&bytes).unwrap();
            let mut ctx = context(&mut mem);
            // SAFETY: as above.
            let got = unsafe {
                code.entry()(&mut ctx);
                core::slice::from_raw_parts(mem.addr(), mem.len()).to_vec()
            };
            assert!(
                got == expected,
                "round {round}, {features:?}, {registers} registers: {got:x?}, expected {expected:x?}\n{insns:#?}\n{module}"
            );
        }
    }
}
