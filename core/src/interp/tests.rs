use super::*;
use crate::conformance::{AlignedMem, Vector, bare_program, vectors};
use crate::helpers::HelperSet;
use crate::isa::Insn;
use crate::isa::op::*;

const NO_HELPERS: HelperSet = HelperSet::new(&[]);

fn run_raw(v: &Vector) -> u64 {
    let mut mem = AlignedMem::new(&v.mem).unwrap();
    // SAFETY: the vectors touch nothing but their memory and stack.
    unsafe {
        let program = bare_program(&v.insns).unwrap();
        let args = [mem.addr() as u64, mem.len() as u64, 0, 0, 0];
        run_with(&program, NO_HELPERS, core::ptr::null_mut(), args, &mut Raw).unwrap()
    }
}

fn run_checked(insns: &[Insn], mem: &[u8]) -> Result<u64, Fault> {
    let mut mem = AlignedMem::new(mem).unwrap();
    let regions = [Region { start: mem.addr() as u64, len: mem.len() as u64, writable: true }];
    let mut checked = Checked { regions: &regions, fuel: 100_000 };
    // SAFETY: every access is checked.
    unsafe {
        let program = bare_program(insns).unwrap();
        let args = [mem.addr() as u64, mem.len() as u64, 0, 0, 0];
        run_with(&program, NO_HELPERS, core::ptr::null_mut(), args, &mut checked)
    }
}

#[test]
fn every_vector_returns_what_it_should_on_both_memories() {
    let list = vectors();
    assert!(list.len() > 10_000, "{} vectors", list.len());
    for v in &list {
        assert_eq!(run_raw(v), v.expected, "{}", v.name);
        assert_eq!(run_checked(&v.insns, &v.mem), Ok(v.expected), "{} (checked)", v.name);
    }
}

const EXIT: Insn = Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

fn fault_of(insns: &[Insn]) -> Fault {
    run_checked(insns, &[0; 16]).unwrap_err()
}

#[test]
fn checked_memory_ends_a_run_at_the_first_access_out_of_bounds() {
    for (off, size) in [(16, BPF_B), (15, BPF_H), (13, BPF_W), (9, BPF_DW), (-1, BPF_B)] {
        let fault = fault_of(&[Insn::new(BPF_LDX | BPF_MEM | size, 0, 1, off, 0), EXIT]);
        assert!(matches!(fault, Fault { pc: 0, kind: FaultKind::BadAccess { .. } }), "{fault:?}");
    }
    // One byte above the frame, one below all frames.
    for off in [0, -513] {
        let fault = fault_of(&[Insn::new(BPF_LDX | BPF_MEM | BPF_B, 0, 10, off, 0), EXIT]);
        assert!(matches!(fault.kind, FaultKind::BadAccess { .. }), "{fault:?}");
    }
    let fault = fault_of(&[Insn::new(BPF_STX | BPF_ATOMIC | BPF_W, 1, 2, 2, i32::from(BPF_ADD)), EXIT]);
    assert!(matches!(fault.kind, FaultKind::BadAccess { .. }), "unaligned atomic: {fault:?}");
}

#[test]
fn a_program_that_cannot_go_on_faults_and_never_panics() {
    let ja = |off| Insn::new(BPF_JMP | BPF_JA, 0, 0, off, 0);
    assert_eq!(fault_of(&[ja(5), EXIT]), Fault { pc: 6, kind: FaultKind::Dead });
    assert_eq!(fault_of(&[ja(-5), EXIT]).kind, FaultKind::Dead);
    assert_eq!(fault_of(&[ja(-1), EXIT]).kind, FaultKind::Fuel);
    assert_eq!(
        fault_of(&[Insn::new(BPF_JMP | BPF_CALL | BPF_X, 1, 0, 0, 0), EXIT]).kind,
        FaultKind::BadCallee
    );
    // Endless recursion.
    let call = Insn::new(BPF_JMP | BPF_CALL, 0, 1, 0, 1);
    let again = Insn::new(BPF_JMP | BPF_CALL, 0, 1, 0, -1);
    assert_eq!(fault_of(&[call, EXIT, again, EXIT]).kind, FaultKind::CallDepth);
}

#[test]
fn every_single_instruction_runs_or_faults() {
    for code in 0..=255u8 {
        for imm in [0, 1, 16, 0xe1, 0xf1, 0x100, 0x110, -1] {
            for off in [0, 1, 8, 3] {
                let insns = [Insn::new(code, 0, 1, off, imm), EXIT, EXIT, EXIT];
                // SAFETY: only run where it is checked; local calls without a target make no program.
                if unsafe { bare_program(&insns) }.is_ok() {
                    let _ = run_checked(&insns, &[0; 32]);
                }
            }
        }
    }
}
