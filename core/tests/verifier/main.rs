//! The table of verdicts: unsafe programs that must be refused, and the safe twin of each, that must be accepted.
//!
//! The cases are text, a class a file, in `cases/`; [`table`] says how they are written. Two judges see each of them: Linux, where `bpf(2)` is
//! permitted, which proves the table; and our verifier.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may use std")]

mod asm;
mod btf;
mod explained;
mod kernel;
mod logs;
mod maps;
mod mutants;
mod ours;
mod table;

use kernel::{Kernel, Log, Verdict};
use std::collections::{BTreeMap, HashMap, HashSet};
use table::{Case, Side, cases, folder};
use uxdp_core::isa::{Disasm, NoNames, decode};

#[test]
fn every_pair_has_a_name_of_its_own_and_two_programs_that_differ() {
    let all = cases();
    let names: HashSet<_> = all.iter().map(Case::name).collect();
    assert_eq!(names.len(), all.len());
    for pair in all.chunks(2) {
        assert_ne!(pair[0].program.insns, pair[1].program.insns, "{}", pair[0].pair);
    }
}

#[test]
fn what_the_disassembler_writes_is_assembled_to_the_same_words() {
    let mut seen = 0;
    for case in cases() {
        let insns = &case.program.insns;
        let mut pc = 0;
        while let Some(insn) = insns.get(pc as usize) {
            let slots = if insn.is_wide() { 2 } else { 1 };
            if decode(insns, pc).is_ok() {
                let text = Disasm::new(insns, pc, &NoNames).to_string();
                let (_, text) = text.split_once(") ").unwrap();
                let text =
                    if insn.is_wide() && insn.src() == 0 { format!("{text} ll") } else { text.to_owned() };
                // Padding puts the line at its pc, so that distances mean the same.
                let mut lines = vec!["exit"; pc as usize];
                lines.push(&text);
                let again = asm::assemble(lines).unwrap_or_else(|e| panic!("{}: {e}", case.name()));
                assert_eq!(&again.insns[pc as usize..], &insns[pc as usize..(pc + slots) as usize], "{text}");
                seen += 1;
            }
            pc += slots;
        }
    }
    assert!(seen > 1000, "{seen}");
}

/// Pairs by class.
fn counts(all: &[Case]) -> String {
    let mut by_class = BTreeMap::new();
    for case in all.iter().filter(|c| c.side == Side::Unsafe) {
        *by_class.entry(case.class.as_str()).or_insert(0) += 1;
    }
    by_class.iter().map(|(class, n)| format!("{class} {n}")).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_kernel_gives_the_verdicts_of_the_table() {
    let mut kernel = match Kernel::new() {
        Ok(kernel) => kernel,
        Err(why) => return kernel::skip("kernel half of the table skipped", &why),
    };
    let all = cases();
    let mut wrong = Vec::new();
    for case in &all {
        let specs: Vec<_> = case.maps.iter().map(|m| maps::spec(m)).collect();
        let verdict = kernel.verify(&case.program, &specs, case.attach(), Log::Reason);
        match (case.side, verdict) {
            (Side::Safe, Verdict::Refused(errno, log)) => {
                wrong.push(format!("{}: refused, {errno}: {log}", case.name()))
            }
            (Side::Unsafe, Verdict::Accepted) => wrong.push(format!("{}: accepted", case.name())),
            (Side::Unsafe, Verdict::Refused(errno, log)) if !log.contains(&case.message) => {
                wrong.push(format!("{}: errno {errno}, not `{}` but: {log}", case.name(), case.message));
            }
            _ => {}
        }
    }
    println!("kernel: {} pairs ({}), {} verdicts differ", all.len() / 2, counts(&all), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What `differences.txt` allows for a case.
#[derive(Debug)]
enum Difference {
    /// The other verdict.
    Verdict,
    /// A refusal with this text.
    Says(String),
}

fn differences() -> HashMap<String, Difference> {
    let text = std::fs::read_to_string(folder().join("differences.txt")).unwrap();
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let rows = lines.map(|line| {
        let (what, reason) = line.split_once(" | ").unwrap_or_else(|| panic!("no reason: {line}"));
        assert!(reason.len() > 10, "no reason: {line}");
        let mut words = what.splitn(4, ' ');
        let name = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let difference = match (words.next(), words.next()) {
            (Some("verdict"), None) => Difference::Verdict,
            (Some("says"), Some(text)) => Difference::Says(text.to_owned()),
            _ => panic!("neither verdict nor text: {line}"),
        };
        (name, difference)
    });
    rows.collect()
}

#[test]
fn our_verifier_gives_the_verdicts_of_the_table() {
    let all = cases();
    let mut known = differences();
    known.retain(|name, _| std::env::var("UXDP_CASES").map_or(true, |wanted| name.contains(&wanted)));
    let (mut wrong, mut refused, mut accepted, mut listed) = (Vec::new(), 0, 0, 0);
    for case in &all {
        let specs: Vec<_> = case.maps.iter().map(|m| maps::spec(m)).collect();
        let verdict = ours::verify(&case.program, &specs, case.attach());
        let difference = known.remove(&case.name());
        listed += usize::from(difference.is_some());
        let message = match &difference {
            Some(Difference::Says(text)) => text,
            _ => &case.message,
        };
        let expected = match (case.side, &difference) {
            (Side::Safe, Some(Difference::Verdict)) => Side::Unsafe,
            (Side::Unsafe, Some(Difference::Verdict)) => Side::Safe,
            (side, _) => side,
        };
        match (expected, verdict) {
            (Side::Safe, ours::Verdict::Refused(errno, why)) => {
                wrong.push(format!("{}: refused, {errno}: {why}", case.name()));
            }
            (Side::Unsafe, ours::Verdict::Accepted) => wrong.push(format!("{}: ACCEPTED", case.name())),
            (Side::Unsafe, ours::Verdict::Refused(errno, why)) => {
                refused += 1;
                let gone = matches!(difference, Some(Difference::Says(_))) && why.contains(&case.message);
                if case.side == Side::Unsafe && (gone || !why.contains(message)) {
                    wrong.push(format!("{}: errno {errno}, not `{message}` but `{why}`", case.name()));
                }
            }
            (Side::Safe, ours::Verdict::Accepted) => accepted += 1,
        }
    }
    println!(
        "ours: {} pairs, {refused} refused, {accepted} accepted, {listed} known differences, {} wrong",
        all.len() / 2,
        wrong.len()
    );
    assert!(known.is_empty(), "listed differences without a case: {known:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
