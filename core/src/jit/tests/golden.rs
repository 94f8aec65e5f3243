//! The IR of a few programs as text, in `core/src/jit/golden`: `UXDP_BLESS=1 cargo test` writes the files anew, a review reads the difference.

use super::*;
use crate::isa::Insn;
use crate::isa::op::*;

fn check(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/jit/golden")
        .join(name)
        .with_extension("ir");
    if std::env::var_os("UXDP_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{} differs:\n{text}", path.display());
}

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
    check("extensions", &ir(&insns));
}

#[test]
fn array_counter_is_an_address_where_facts_give_its_key() {
    let m = testing::map(crate::maps::MapType::Array, 8, 16);
    let p = maps::program(&maps::counter(Some(2)), &m, &|f| f.at_mut(6).unwrap().const_key = Some(2));
    for (name, facts) in [("counter_facts", UseFacts::Yes), ("counter_no_facts", UseFacts::No)] {
        let options = CompileOptions { facts, ..options(CpuFeatures::BASE, maps::HELPERS) };
        check(name, &optimised(&p, &options).unwrap().to_string());
    }
}

#[test]
fn percpu_array_with_a_key_of_the_packet_is_bounded() {
    let m = testing::map(crate::maps::MapType::PercpuArray, 8, 16);
    let p = maps::program(&maps::counter(None), &m, &|_| {});
    check("percpu_counter", &optimised(&p, &options(CpuFeatures::BASE, maps::HELPERS)).unwrap().to_string());
}

#[test]
fn loop_keeps_its_parameters_and_loses_the_rest() {
    use super::asm::*;
    // Sums the bytes of memory up to a null byte.
    let insns = [
        movi(0, 0),
        movi(3, 7),
        ldx(BPF_B, 2, 1, 0),
        jmpi(BPF_JEQ, 2, 0, 3),
        alu(BPF_ADD, 0, 2),
        alui(BPF_ADD, 1, 1),
        Insn::new(BPF_JMP | BPF_JA, 0, 0, -5, 0),
        alu(BPF_ADD, 0, 3),
        EXIT,
    ];
    check("loop", &ir(&insns));
}

#[test]
fn swapped_neighbours_move_together() {
    use super::asm::*;
    // Swaps the six bytes at 0 with those at 6, two at a time.
    let mut insns = std::vec::Vec::new();
    for i in [0, 2, 4] {
        insns.extend([
            ldx(BPF_H, 2, 1, i),
            ldx(BPF_H, 3, 1, 6 + i),
            stx(BPF_H, 1, i, 3),
            stx(BPF_H, 1, 6 + i, 2),
        ]);
    }
    insns.extend([movi(0, 3), EXIT]);
    check("swap", &ir(&insns));
}
