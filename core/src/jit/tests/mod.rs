//! The compiled engine on the conformance vectors, on random programs, and on what a vector cannot hold: contexts, helpers, maps, tail calls.

#![cfg(target_arch = "x86_64")]

mod callbacks;
mod entry;
mod golden;
mod maps;
mod objects;
mod random;

use super::testing::{self, TestMemory, options};
use super::*;
use crate::conformance::{AlignedMem, Vector, bare_program, vectors};

const NO_HELPERS: HelperSet = HelperSet::new(&[]);

fn run_vector(v: &Vector, features: CpuFeatures) -> u64 {
    let mut mem = AlignedMem::new(&v.mem).unwrap();
    // SAFETY: the vectors touch nothing but their memory and stack.
    unsafe {
        let program = bare_program(&v.insns).unwrap();
        let artifact = compile(&program, &options(features, NO_HELPERS)).expect(&v.name);
        let code = exec::install(artifact, &TestMemory, 0).unwrap();
        code.run_bare([mem.addr() as u64, mem.len() as u64, 0, 0, 0])
    }
}

#[test]
fn every_vector_returns_what_it_should_compiled_with_and_without_bmi2() {
    let list = vectors();
    for features in [CpuFeatures::BASE, CpuFeatures::host()] {
        let wrong: std::vec::Vec<_> = list
            .iter()
            .map(|v| (v, run_vector(v, features)))
            .filter(|(v, got)| *got != v.expected)
            .map(|(v, got)| std::format!("{}: {got:#x}, expected {:#x}", v.name, v.expected))
            .collect();
        assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }
}

/// A shorthand for instructions, as the kernel's macros.
pub(super) mod asm {
    use crate::isa::Insn;
    use crate::isa::op::*;

    pub(in crate::jit) const EXIT: Insn = Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

    pub(in crate::jit) const fn mov(dst: u8, src: u8) -> Insn {
        Insn::new(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
    }

    pub(in crate::jit) const fn movi(dst: u8, imm: i32) -> Insn {
        Insn::new(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
    }

    pub(in crate::jit) const fn alu(op: u8, dst: u8, src: u8) -> Insn {
        Insn::new(BPF_ALU64 | op | BPF_X, dst, src, 0, 0)
    }

    pub(in crate::jit) const fn alui(op: u8, dst: u8, imm: i32) -> Insn {
        Insn::new(BPF_ALU64 | op | BPF_K, dst, 0, 0, imm)
    }

    pub(in crate::jit) const fn ldx(size: u8, dst: u8, base: u8, off: i16) -> Insn {
        Insn::new(BPF_LDX | BPF_MEM | size, dst, base, off, 0)
    }

    pub(in crate::jit) const fn stx(size: u8, base: u8, off: i16, src: u8) -> Insn {
        Insn::new(BPF_STX | BPF_MEM | size, base, src, off, 0)
    }

    pub(in crate::jit) const fn sti(size: u8, base: u8, off: i16, imm: i32) -> Insn {
        Insn::new(BPF_ST | BPF_MEM | size, base, 0, off, imm)
    }

    pub(in crate::jit) const fn jmpi(op: u8, dst: u8, imm: i32, off: i16) -> Insn {
        Insn::new(BPF_JMP | op | BPF_K, dst, 0, off, imm)
    }

    pub(in crate::jit) const fn helper(id: i32) -> Insn {
        Insn::new(BPF_JMP | BPF_CALL, 0, 0, 0, id)
    }

    pub(in crate::jit) const fn local(delta: i32) -> Insn {
        Insn::new(BPF_JMP | BPF_CALL, 0, 1, 0, delta)
    }

    pub(in crate::jit) const fn map(dst: u8, index: i32) -> [Insn; 2] {
        [Insn::new(LD_IMM64, dst, BPF_PSEUDO_MAP_IDX, 0, index), Insn::new(0, 0, 0, 0, 0)]
    }
}
