//! Pruning against none: the same verdict, and no fact that an exploration of every path does not know as well.
//!
//! Programs are explored three times: cutting nothing off, cutting off as usual, and with a state kept wherever paths meet, which cuts off most.

use super::fuzz::{Rng, joins, pointer_soup, soup};
use super::world::{maps, program};
use crate::helpers::STANDARD;
use crate::program::{Code, Edge, MemClass};
use crate::verifier::explore::{Mode, Observer};
use crate::verifier::input::Input;
use crate::verifier::{Proof, Rejection, VerifyOptions, prove_observed};

/// More than any of these programs needs.
const ENOUGH: u32 = 40_000;

fn explored(code: &Code, mode: Option<Mode>) -> Result<Proof, Rejection> {
    let mut see = |_, _: &_| {};
    let observer = mode.map(|mode| Observer { see: &mut see, mode });
    let opts = VerifyOptions { insn_budget: ENOUGH, ..VerifyOptions::default() };
    let input = Input { code, maps: &maps(), helpers: STANDARD, opts, judging: false };
    prove_observed(input, &mut String::new(), observer)
}

/// What is wrong with what pruning concluded, given what is known without.
fn wrong(all: &Proof, pruned: &Proof) -> Option<String> {
    for pc in 0..pruned.rewrites.insns.len() as u32 {
        let (a, p) = (all.facts.at(pc), pruned.facts.at(pc));
        let edge = p.edge == Edge::Both || p.edge == a.edge;
        let mem = p.mem == a.mem
            || p.mem == MemClass::Unknown
            || (p.mem == MemClass::MapAny && matches!(a.mem, MemClass::Map(_)));
        let key = p.const_key.is_none() || p.const_key == a.const_key;
        if !(edge && mem && key && p.non_null <= a.non_null) {
            return Some(format!("insn {pc}: {p:?}, but without pruning {a:?}"));
        }
        if all.rewrites.insns[pc as usize] != pruned.rewrites.insns[pc as usize] {
            return Some(format!("insn {pc}: rewrites differ"));
        }
    }
    let clears = |p: &Proof| p.rewrites.frames.iter().map(|f| f.clear).collect::<Vec<_>>();
    let missing = clears(all).iter().zip(clears(pruned)).any(|(a, p)| a & !p != 0);
    missing.then(|| "slots that may be read unwritten are not cleared".to_owned())
}

/// Both verdicts on a program; `None`: not comparable, or refused by all.
fn compare(text: &str) -> Result<Option<[u32; 3]>, String> {
    let code = program(text, None);
    let all = explored(&code, Some(Mode::NoPruning));
    let mut counts = [0; 3];
    for (i, mode) in [None, Some(Mode::EveryState)].into_iter().enumerate() {
        let pruned = explored(&code, mode);
        match (&all, &pruned) {
            (Ok(a), Ok(p)) => {
                if let Some(why) = wrong(a, p) {
                    return Err(format!("{mode:?}: {why}\n  {text}"));
                }
                counts[0] = a.stats.insns_processed;
                counts[i + 1] = p.stats.insns_processed;
            }
            (Err(a), Err(_)) if a.stats.insns_processed <= ENOUGH => {}
            (Err(a), _) if a.stats.insns_processed > ENOUGH => return Ok(None),
            (a, p) => {
                let say = |r: &Result<Proof, Rejection>| r.as_ref().err().map(ToString::to_string);
                return Err(format!("{mode:?}: without pruning {:?}, with {:?}\n  {text}", say(a), say(p)));
            }
        }
    }
    Ok((counts[0] > 0).then_some(counts))
}

fn rounds(default: u64) -> u64 {
    std::env::var("UXDP_FUZZ").ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn all_agree(make: impl Fn(&mut Rng) -> String, rounds: u64) {
    let (mut wrong, mut accepted, mut sums) = (Vec::new(), 0, [0u64; 3]);
    for seed in 0..rounds {
        match compare(&make(&mut Rng::new(seed + 9_000_000))) {
            Ok(Some(counts)) => {
                accepted += 1;
                sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += u64::from(n));
            }
            Ok(None) => {}
            Err(e) => wrong.push(format!("seed {seed}: {e}")),
        }
    }
    println!("{accepted} of {rounds} accepted; processed without, with, with most pruning: {sums:?}");
    assert!(accepted * 20 > rounds, "{accepted}");
    assert!(sums[2] <= sums[0], "{sums:?}");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong[..wrong.len().min(4)].join("\n"));
}

#[test]
fn pruning_changes_no_verdict_and_no_fact_of_number_programs() {
    all_agree(soup, rounds(1500));
}

#[test]
fn pruning_changes_no_verdict_and_no_fact_of_pointer_programs() {
    all_agree(pointer_soup, rounds(1500));
}

#[test]
fn pruning_changes_no_verdict_and_no_fact_of_programs_with_many_joins() {
    all_agree(joins, rounds(1500));
}

#[test]
fn pruning_changes_no_verdict_of_the_cases() {
    for c in super::cases::CASES {
        for text in [c.bad, c.good] {
            compare(&super::cases::expand(text)).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// Instructions processed with a state wherever paths meet.
fn processed(text: &str) -> u32 {
    let proof =
        explored(&program(text, None), Some(Mode::EveryState)).unwrap_or_else(|e| panic!("{e}: {text}"));
    proof.stats.insns_processed
}

/// Ten tests of a bit, each of which leaves another constant in `to` on one way.
fn ten_joins(to: &str) -> String {
    let join = |i: i32| format!("if r6 & {} goto l{i}; {to} = {i}; l{i}:; ", 1 << i);
    (0..10).map(join).collect::<String>()
}

#[test]
fn number_on_which_nothing_rests_does_not_multiply_paths() {
    let text = |end: &str| format!("r6 = u32[r1+12]; r7 = 1; {}{end}; r0 = 1; exit", ten_joins("r7"));
    assert!(processed(&text("r0 = r7")) < 80);
    assert!(
        processed(&text("r7 += r6; if r7 > 9 goto x; r8 = 1; x:")) < 80,
        "a test with two ways is no judgement"
    );
    let precise = processed(&text("r2 = map4[0]; r2 += r7; r0 = u8[r2+0]"));
    assert!(precise > 100, "{precise}: each constant that can be there is an offset of its own");
}

#[test]
fn slot_that_is_not_read_again_does_not_multiply_paths() {
    let text = |end: &str| {
        format!(
            "r6 = u32[r1+12]; u64[r10-8] = 1; r8 = map4[0]; {}{end}; r0 = 1; exit",
            ten_joins("u64[r10-8]")
        )
    };
    assert!(processed(&text("r0 = 2")) < 80);
    assert!(processed(&text("u64[r10-8] = r8; r7 = u64[r10-8]")) < 90, "overwritten before it is read");
    assert!(processed(&text("r7 = u64[r10-8]; r8 += r7")) > 100);
}

#[test]
fn loop_that_counts_ends_and_one_that_changes_nothing_is_refused() {
    let counted = "r6 = u32[r1+12]; r7 = 0; again:; r7 += 1; r6 *= 3; if r7 < 500 goto again; r0 = r6; exit";
    assert!(processed(counted) < 2200);
    let endless = "r6 = 1; again:; r7 = 2; if r6 == 1 goto again; r0 = 0; exit";
    let refused = explored(&program(endless, None), None).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("infinite loop"), "{refused}");
}
