//! The compiled engine on the conformance vectors and on programs that a table cannot hold.

#![cfg(target_arch = "x86_64")]

use super::testing::{TestMemory, options};
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
