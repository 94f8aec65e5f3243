//! The IR of a few programs as text, reviewed as such.

use super::*;
use crate::isa::Insn;
use crate::isa::op::*;

fn ir(insns: &[Insn]) -> std::string::String {
    // SAFETY: never run.
    let p = unsafe { bare_program(insns) }.unwrap();
    optimised(&p, &options(CpuFeatures::BASE, NO_HELPERS)).unwrap().to_string()
}

#[test]
fn redundant_extensions_addresses_and_frames_go() {
    use super::asm::*;
    let insns = [
        ldx(BPF_B, 2, 1, 12),
        alui(BPF_AND, 2, 255),
        mov(3, 1),
        alui(BPF_ADD, 3, 14),
        ldx(BPF_W, 4, 3, 2),
        Insn::new(BPF_ALU | BPF_MOV | BPF_X, 4, 4, 0, 0),
        stx(BPF_DW, 10, -8, 4),
        ldx(BPF_DW, 0, 10, -8),
        alu(BPF_ADD, 0, 2),
        EXIT,
    ];
    println!("{}", ir(&insns));
}
