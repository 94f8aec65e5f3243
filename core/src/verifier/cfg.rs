//! The shape of a program: decoded instructions, functions, which of them are reached, and where paths meet.
//!
//! Every slot is decoded once. Refused here, before anything is explored: words that are no instructions, jumps out of a function or into the
//! second slot of a wide immediate, functions that run off their end, instructions that nothing reaches, and what stands in the words alone
//! (division by a constant zero, shifts out of width, writes to the frame pointer's register are left to [`super::check`], since the kernel
//! finds them on a path). Leaves values to the exploration.

use super::error::{Reject, VerifierError as E};
use super::live::called_row;
use crate::isa::{Callee, Op, WideImm, decode};
use crate::limits::BPF_MAX_SUBPROGS;
use crate::mem::Vec;
use crate::program::Code;

/// What bounds the turns of a loop, apart from the numbers that the program compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounded {
    /// A helper that calls a function back.
    Callback,
    /// The next number of an iterator.
    Iterator,
}

/// What the shape of a program depends on in a helper.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallTraits {
    /// Whether it may change the packet.
    pub(crate) changes_packet: bool,
    /// Whether a loop goes through it.
    pub(crate) loops: Option<Bounded>,
}

/// A checked program's instructions and flow.
#[derive(Debug)]
pub(crate) struct Cfg {
    /// One a slot; the second slot of a wide immediate has none.
    ops: Vec<Option<Op>>,
    /// One a slot: whether paths are compared there.
    meet: Vec<bool>,
    /// One a slot: what bounds a loop through it.
    loops: Vec<Option<Bounded>>,
    /// One a function: whether it, or what it calls, may change the packet.
    pub(crate) changes_packet: Vec<bool>,
}

impl Cfg {
    /// Decodes and checks. `traits` knows the helpers by number.
    pub(crate) fn build(code: &Code, traits: impl Fn(u32) -> CallTraits) -> Result<Cfg, Reject> {
        let n = code.insns.len() as u32;
        if n == 0 {
            return Err(Reject::program(E::NoInsns));
        }
        check_table(code)?;
        let mut cfg = Cfg {
            ops: decode_all(code)?,
            meet: Vec::filled(false, n as usize)?,
            loops: Vec::filled(None, n as usize)?,
            changes_packet: Vec::filled(false, code.subprogs.len())?,
        };
        cfg.check_functions(code)?;
        cfg.reach(code, &traits)?;
        cfg.find_packet_changes(code, |id| traits(id).changes_packet)?;
        Ok(cfg)
    }

    /// The instruction that starts at a slot.
    pub(crate) fn op(&self, pc: u32) -> Option<&Op> {
        self.ops.get(pc as usize)?.as_ref()
    }

    /// Whether paths are compared at this instruction.
    pub(crate) fn is_meet(&self, pc: u32) -> bool {
        self.meet.get(pc as usize).copied().unwrap_or(false)
    }

    /// What bounds a loop through this instruction, apart from numbers.
    pub(crate) fn bounded(&self, pc: u32) -> Option<Bounded> {
        self.loops.get(pc as usize).copied().flatten()
    }

    /// Each instruction with its place.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Op)> {
        self.ops.iter().enumerate().filter_map(|(pc, op)| Some((pc as u32, op.as_ref()?)))
    }

    /// Where control may go from an instruction, within its function.
    pub(crate) fn successors(&self, pc: u32) -> [Option<u32>; 2] {
        match self.op(pc) {
            None | Some(Op::Exit) => [None, None],
            Some(Op::Ja { target, .. }) => [Some(*target), None],
            Some(op) => [Some(pc + op.slots()), op.target()],
        }
    }

    fn check_functions(&self, code: &Code) -> Result<(), Reject> {
        for sub in &code.subprogs {
            let mut last = sub.start;
            for pc in sub.start..sub.end {
                let Some(op) = self.op(pc) else { continue };
                last = pc;
                if let Some(to) = op.target() {
                    if !(sub.start..sub.end).contains(&to) {
                        return Err(Reject::at(pc, E::JumpOutOfRange { from: pc, to }));
                    }
                    if self.op(to).is_none() {
                        return Err(Reject::at(pc, E::JumpIntoWide { to: to - 1 }));
                    }
                }
                if let Some(to) = called(op)
                    && !code.subprogs.iter().any(|s| s.start == to)
                {
                    return Err(Reject::at(pc, E::NotAFunction { to }));
                }
            }
            if !self.op(last).is_some_and(Op::ends_block) {
                return Err(Reject::at(last, E::RunsOffEnd));
            }
        }
        Ok(())
    }

    /// Walks all edges from the main function's start; notes where paths meet; refuses what is not reached.
    fn reach(&mut self, code: &Code, traits: &impl Fn(u32) -> CallTraits) -> Result<(), Reject> {
        let mut seen = Vec::filled(false, code.insns.len())?;
        let mut todo = Vec::new();
        todo.push(0u32)?;
        while let Some(pc) = todo.pop() {
            if core::mem::replace(&mut seen[pc as usize], true) {
                continue;
            }
            let Some(op) = self.op(pc).copied() else { continue };
            for to in self.successors(pc).into_iter().flatten().chain(called(&op)) {
                todo.push(to)?;
            }
            let mut mark = |at: u32| {
                if let Some(m) = self.meet.get_mut(at as usize) {
                    *m = true;
                }
            };
            match op {
                Op::Ja { target, .. } => mark(target),
                Op::Jmp { target, .. } => {
                    mark(pc);
                    mark(target);
                }
                Op::Call(callee) => {
                    if let Callee::Local(to) = callee {
                        mark(pc);
                        mark(to);
                    }
                    mark(pc + 1);
                    let loops = called_row(&op).and_then(|id| traits(id).loops);
                    if loops.is_some() {
                        mark(pc);
                        self.loops[pc as usize] = loops;
                    }
                }
                Op::LdImm64 { imm: WideImm::Func(to), .. } => {
                    mark(pc);
                    mark(to);
                }
                _ => {}
            }
        }
        match self.iter().find(|(pc, _)| !seen[*pc as usize]) {
            Some((pc, _)) => Err(Reject::at(pc, E::Unreachable { pc })),
            None => Ok(()),
        }
    }

    fn find_packet_changes(&mut self, code: &Code, helper: impl Fn(u32) -> bool) -> Result<(), Reject> {
        let mut calls: Vec<(usize, usize)> = Vec::new();
        for (index, sub) in code.subprogs.iter().enumerate() {
            for pc in sub.start..sub.end {
                let Some(op) = self.op(pc).copied() else { continue };
                if called_row(&op).is_some_and(&helper) {
                    self.changes_packet[index] = true;
                }
                if let Some(to) = called(&op) {
                    calls.push((index, code.subprog_at(to).unwrap_or(0)))?;
                }
            }
        }
        let mut again = true;
        while again {
            again = false;
            for &(caller, callee) in &calls {
                if self.changes_packet[callee] && !self.changes_packet[caller] {
                    self.changes_packet[caller] = true;
                    again = true;
                }
            }
        }
        Ok(())
    }
}

/// The function that an instruction names, by its start.
pub(crate) fn called(op: &Op) -> Option<u32> {
    match op {
        Op::Call(Callee::Local(to)) | Op::LdImm64 { imm: WideImm::Func(to), .. } => Some(*to),
        _ => None,
    }
}

/// The functions must tile the program in order.
fn check_table(code: &Code) -> Result<(), Reject> {
    if code.subprogs.len() > BPF_MAX_SUBPROGS {
        return Err(Reject::program(E::TooManySubprogs));
    }
    let mut at = 0;
    for sub in &code.subprogs {
        if sub.start != at || sub.end <= at {
            return Err(Reject::program(E::BadFunctionTable));
        }
        at = sub.end;
    }
    if at as usize != code.insns.len() {
        return Err(Reject::program(E::BadFunctionTable));
    }
    Ok(())
}

fn decode_all(code: &Code) -> Result<Vec<Option<Op>>, Reject> {
    let mut ops = Vec::filled(None, code.insns.len())?;
    let mut pc = 0u32;
    while (pc as usize) < code.insns.len() {
        let op = decode(&code.insns, pc).map_err(|e| Reject::at(pc, E::Insn(e)))?;
        ops[pc as usize] = Some(op);
        pc += op.slots();
    }
    Ok(ops)
}
