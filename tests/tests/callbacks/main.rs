//! Programs that hand functions to helpers, on every engine and on Linux: the same packets, the same answers, the same maps.
//!
//! A case names an object of tests/progs, a program in it and the packets that it gets. Return codes are compared, and of every map that can be listed its content;
//! what differs between CPUs is added up.

mod kernel;
mod ours;

use std::collections::BTreeMap;
use uxdp_core::vm::EngineChoice;

/// What is left when the packets have run.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Return codes in order.
    actions: Vec<u32>,
    /// Elements by map and key; of a per-CPU map the sum.
    maps: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// Adds up the slots of a per-CPU value, eight bytes at a time.
fn sum(slots: &[u8], value_size: usize) -> Vec<u8> {
    let mut total = vec![0u64; value_size.div_ceil(8)];
    for slot in slots.chunks(8 * total.len()) {
        for (t, word) in total.iter_mut().zip(slot.chunks(8)) {
            *t = t.wrapping_add(word.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
        }
    }
    total.iter().flat_map(|t| t.to_le_bytes()).collect()
}

fn packets(firsts: &[u8]) -> Vec<Vec<u8>> {
    firsts.iter().map(|b| [&[*b][..], &[0; 63]].concat()).collect()
}

/// Runs a program everywhere; a difference fails.
fn runs_alike(object: &str, program: &str, firsts: &[u8]) {
    let packets = packets(firsts);
    let theirs = kernel::can_ask().then(|| kernel::run(object, program, &packets));
    let mut first = theirs.map(|o| ("Linux", o));
    for engine in [EngineChoice::Interp, EngineChoice::Jit, EngineChoice::JitWithoutFacts] {
        let outcome = ours::run(object, program, &packets, engine);
        match &first {
            Some((who, oracle)) => {
                assert_eq!(oracle.actions, outcome.actions, "{program}: {who} and {engine:?}");
                for (name, content) in &oracle.maps {
                    assert_eq!(
                        Some(content),
                        outcome.maps.get(name),
                        "{program}, {name}: {who} and {engine:?}"
                    );
                }
            }
            None => first = Some(("the interpreter", outcome)),
        }
    }
}

#[test]
fn loops_return_and_count_as_the_kernels() {
    runs_alike("loop", "loop", &[0, 1, 2, 7, 63, 200, 255]);
    runs_alike("loop", "longest", &[0]);
}

#[test]
fn walks_show_what_the_kernels_show() {
    runs_alike("walk", "walk", &[0, 1, 5, 31, 8]);
}
