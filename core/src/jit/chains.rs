//! What follows from who calls whom: which functions can end the run, and how deep the native stack gets.
//!
//! A call of a function as a value, and a helper that calls back, reach the function whose address they are given where that is plain from the code, else any.

use super::CompileError;
use super::lower::Written;
use crate::helpers::{Helper, HelperSet};
use crate::ir::{Func, Inst, InstData, Module, Op, Term, Value};
use crate::limits::MAX_CALL_FRAMES;
use crate::mem::Vec;

/// Stack of the wrapper: its return address and the saved context register.
const ENTRY_STACK: u32 = 16;
/// Stack of what stands before a function that is called as a value: the same.
const THUNK_STACK: u32 = 16;
/// Most stack that a helper takes which calls back: a walk over a map has a key of 512 bytes. A test measures it.
const HELPER_STACK: u32 = 1024;

/// `bpf_redirect`, `bpf_redirect_map`.
const REDIRECTS: [u32; 2] = [23, 51];

/// Which functions can end the run, themselves or through what they call.
pub(crate) fn faulting(module: &Module, helpers: HelperSet) -> Result<Vec<bool>, CompileError> {
    let mut may = Vec::from_fn(module.funcs.len(), |i| {
        let func = &module.funcs[i];
        let spends = |i: &Inst| func.insts[i.index()].op == Op::Spend;
        func.live_blocks().any(|(_, b)| matches!(b.term, Term::Trap) || b.insts.iter().any(spends))
    })?;
    loop {
        let mut changed = false;
        for (i, func) in module.funcs.iter().enumerate() {
            let calls = func.live_blocks().flat_map(|(_, b)| &b.insts).map(|i| &func.insts[i.index()]);
            let mut called = calls.map(|d| match d.op {
                Op::CallFunc => may.get(d.imm as usize).copied().unwrap_or(true),
                Op::CallValue => may.iter().any(|m| *m),
                // What is called instead may.
                Op::TailCall | Op::TailCallAny => true,
                Op::CallHelper => match helper(helpers, d) {
                    Some(h) if h.calls_back() => may.iter().any(|m| *m),
                    Some(h) => h.ends_runs(),
                    None => false,
                },
                _ => false,
            });
            if !may[i] && called.any(|m| m) {
                may[i] = true;
                changed = true;
            }
        }
        if !changed {
            return Ok(may);
        }
    }
}

/// Which functions make tail calls, themselves or through functions that they call. Callbacks make none.
pub(crate) fn leaving(module: &Module) -> Result<Vec<bool>, CompileError> {
    let mut may = Vec::filled(false, module.funcs.len())?;
    loop {
        let mut changed = false;
        for (i, func) in module.funcs.iter().enumerate() {
            let calls = func.live_blocks().flat_map(|(_, b)| &b.insts).map(|i| &func.insts[i.index()]);
            let mut called = calls.map(|d| match d.op {
                Op::TailCall | Op::TailCallAny => true,
                Op::CallFunc => may.get(d.imm as usize).copied().unwrap_or(true),
                Op::CallValue => may.iter().any(|m| *m),
                _ => false,
            });
            if !may[i] && called.any(|m| m) {
                may[i] = true;
                changed = true;
            }
        }
        if !changed {
            return Ok(may);
        }
    }
}

/// Whether a function calls helpers that call back.
pub(crate) fn calls_back(func: &Func, helpers: HelperSet) -> bool {
    let mut calls = func.live_blocks().flat_map(|(_, b)| &b.insts).map(|i| &func.insts[i.index()]);
    calls.any(|d| d.op == Op::CallHelper && helper(helpers, d).is_some_and(Helper::calls_back))
}

/// Whether a run may set a redirect, itself or in a program that it tail-calls.
pub(crate) fn redirects(module: &Module, helpers: HelperSet) -> bool {
    let insts = module
        .funcs
        .iter()
        .flat_map(|func| func.live_blocks().flat_map(|(_, b)| &b.insts).map(|i| &func.insts[i.index()]));
    insts.into_iter().any(|d| match d.op {
        Op::TailCall | Op::TailCallAny => true,
        Op::CallHelper => helper(helpers, d).is_none_or(|h| REDIRECTS.contains(&h.id)),
        _ => false,
    })
}

/// Bytes of native stack along the deepest chain of calls, the entry's own included.
///
/// What a helper that calls back has on the stack itself counts as [`HELPER_STACK`]; that of other helpers is left out.
pub(crate) fn worst_stack(
    module: &Module,
    written: &Written,
    helpers: HelperSet,
) -> Result<u32, CompileError> {
    let frame = |i: usize| written.funcs.iter().find(|f| f.func as usize == i).map_or(0, |f| f.frame);
    let mut deepest = Vec::from_fn(module.funcs.len(), frame)?;
    for _ in 0..MAX_CALL_FRAMES {
        for (i, func) in module.funcs.iter().enumerate() {
            let calls = func.live_blocks().flat_map(|(_, b)| &b.insts).map(|i| &func.insts[i.index()]);
            let below = calls.filter_map(|d| match d.op {
                Op::CallFunc => deepest.get(d.imm as usize).copied(),
                Op::CallValue => value_called(func, d.args[5], &deepest).map(|b| THUNK_STACK + b),
                Op::CallHelper if helper(helpers, d).is_some_and(Helper::calls_back) => {
                    value_called(func, d.args[1], &deepest).map(|b| HELPER_STACK + THUNK_STACK + b)
                }
                _ => None,
            });
            deepest[i] = frame(i) + below.max().unwrap_or(0);
        }
    }
    // A timer's callback is a run of its own.
    let used = deepest.iter().zip(&written.values).filter(|(_, used)| **used);
    let values = used.map(|(d, _)| *d).max();
    let main = deepest.first().copied().unwrap_or(0) + ENTRY_STACK;
    Ok(values.map_or(main, |v| main.max(v + THUNK_STACK)))
}

/// The stack of a function that is called as a value: of that one where it is known which it is.
fn value_called(caller: &Func, value: Option<Value>, deepest: &[u32]) -> Option<u32> {
    match value.and_then(|v| caller.def_inst(v)) {
        Some(d) if d.op == Op::FuncPtr => deepest.get(d.imm as usize).copied(),
        _ => deepest.iter().copied().max(),
    }
}

/// The helper that a call names.
pub(crate) fn helper(helpers: HelperSet, d: &InstData) -> Option<&'static Helper> {
    u16::try_from(d.imm).ok().and_then(|row| helpers.get(row))
}
