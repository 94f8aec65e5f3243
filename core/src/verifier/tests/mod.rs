//! Tests of the verifier as a whole: a table of unsafe programs with their safe twins, and the kernel's word on each.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod agreement;
mod asm;
mod cases;
mod contained;
mod costs;
mod fuzz;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kernel;
mod modes;
mod objects;
mod pruned;
mod results;
mod rounds;
pub(crate) mod world;

use cases::{CASES, expand};
use world::{program, verdict};

/// Whether a message is what a case wants: one of several parts, or anything.
fn says(message: &str, wanted: &str) -> bool {
    wanted.split('|').any(|part| message.contains(part))
}

#[test]
fn unsafe_programs_are_refused_with_their_reason_and_safe_twins_are_accepted() {
    let mut wrong = Vec::new();
    for c in CASES {
        match verdict(&expand(c.bad)) {
            None => wrong.push(format!("{}: accepted: {}", c.class, c.bad)),
            Some(m) if !says(&m, c.message) => {
                wrong.push(format!("{}: {m}\n   wanted {}: {}", c.class, c.message, c.bad))
            }
            Some(_) => {}
        }
        if let Some(m) = verdict(&expand(c.good)) {
            wrong.push(format!("{}: refused: {m}\n   {}", c.class, c.good));
        }
    }
    assert!(CASES.len() >= 100);
    assert!(wrong.is_empty(), "{} wrong of {}\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn kernel_agrees_on_every_case_where_it_is_permitted() {
    let Some(kernel) = kernel::Kernel::open() else { return };
    let mut wrong = Vec::new();
    for c in CASES {
        for (text, accepted) in [(c.bad, false), (c.good, true)] {
            let code = program(&expand(text), None);
            let answer = kernel.load(&code.insns);
            if answer.is_ok() != accepted {
                let log = answer.unwrap_or_else(|log| log);
                // Kernel: tail calls in functions want the function's BTF; uxdp: not, because nothing depends on it.
                if log.contains("tail_call is not allowed in subprogs without BTF") {
                    continue;
                }
                let tail: Vec<&str> =
                    log.lines().rev().filter(|l| !l.starts_with("processed")).take(3).collect();
                wrong.push(format!("{}: kernel says {:?}\n   {text}", c.class, tail));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
