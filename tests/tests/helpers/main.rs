//! Every helper and kernel function, in programs as clang compiled them (tests/progs), on every engine and on Linux.
//!
//! A row of the table (`rows.rs`) names a program, packets, and what is in maps before. It runs on the interpreter, on compiled code with facts and without, and on Linux
//! by BPF_PROG_TEST_RUN. Return codes, packets, metadata and the contents of all maps have to be the same, but for what a row masks. What a test run cannot judge says why,
//! and says what is expected.
//!
//! To add a helper: a program in tests/progs that keeps what helpers return in its `.bss`, `make -C tests/progs`, a row.

mod arrays;
mod chain;
mod conntrack;
mod counting;
mod debian;
mod fib;
mod held;
mod host;
mod linux;
mod ours;
mod row;
mod rows;
mod services;
mod sockets;
mod texts;

use row::{Judge, Row};
use std::collections::BTreeSet;
use uxdp_core::vm::EngineChoice;

const ENGINES: [EngineChoice; 3] = [EngineChoice::Interp, EngineChoice::Jit, EngineChoice::JitWithoutFacts];

/// What is wrong with a row.
fn judge(row: &Row, ask: bool) -> Result<(), String> {
    let oracle = match row.judge {
        Judge::Linux if ask => {
            let outcome = linux::run(row).map_err(|e| format!("on Linux: {e}"))?;
            row.expect.inspect(|f| f(&outcome));
            Some(outcome.masked(&row.masks))
        }
        Judge::Linux => None,
        Judge::Nobody(why) => {
            assert!(row.expect.is_some(), "{}: nobody judges it ({why})", row.program);
            None
        }
    };
    let mut first = oracle.map(|o| ("Linux".to_owned(), o));
    for engine in ENGINES {
        let outcome = ours::run(row, engine).map_err(|e| format!("{engine:?}: {e}"))?;
        row.expect.inspect(|f| f(&outcome));
        let outcome = outcome.masked(&row.masks);
        match &first {
            Some((who, oracle)) => {
                if let Some(difference) = oracle.difference(&outcome) {
                    return Err(format!("{who} and {engine:?} differ: {difference}"));
                }
            }
            None => first = Some((format!("{engine:?}"), outcome)),
        }
    }
    Ok(())
}

#[test]
fn programs_of_the_table_run_alike_on_every_engine_and_on_linux() {
    let ask = linux::can_ask();
    if !ask {
        linux::skip("bpf(2) is not permitted");
    }
    let only = std::env::var("UXDP_ROW").ok();
    let chosen = |r: &Row| only.as_ref().is_none_or(|o| r.program.contains(o.as_str()) || r.object == o);
    let wrong: Vec<String> = rows::rows()
        .iter()
        .filter(|r| chosen(r))
        .filter_map(|r| judge(r, ask).err().map(|e| format!("{}/{}: {e}", r.object, r.program)))
        .collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_provided_helper_is_called_by_a_program_of_the_table() {
    let mut called = BTreeSet::new();
    for row in rows::rows() {
        let loaded =
            ours::load(&row, EngineChoice::Interp).unwrap_or_else(|e| panic!("{}: {e}", row.program));
        called.extend(ours::helpers_of(&loaded).iter().map(|h| h.id));
    }
    let rows = uxdp_core::helpers::STANDARD.rows().iter();
    let missing: Vec<&str> =
        rows.filter(|h| h.func.is_some() && !called.contains(&h.id)).map(|h| h.name).collect();
    assert!(missing.is_empty(), "helpers that no row's program calls: {missing:?}");
}
