//! Checks an allocation by deriving the dataflow again.
//!
//! Walks every block with a map from places to the value that each holds, following the moves that lowering emits (through [`crate::regalloc::moves`]), and
//! checks that each operand finds its value. Where blocks meet, a place holds a value only if it does on every way in; this is repeated until nothing changes.
//! It knows nothing of intervals.
//!
//! Source: regalloc2's `checker.rs`.

use super::moves::{Move, sequence};
use super::{Allocation, Loc, Machine, PReg};
use crate::ir::{Block, Func, Inst, Term, Value};
use crate::mem::{OutOfMemory, Vec};

/// What is wrong with an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An operand's place holds something else.
    Operand(Inst, Value),
    /// An operand of a block's end, or an argument of its edges.
    Term(Block, Value),
    /// Memory was short.
    OutOfMemory,
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Self {
        Fault::OutOfMemory
    }
}

/// What the places hold; sorted by nothing, short.
#[derive(Default, PartialEq)]
struct State(Vec<(Loc, Value)>);

impl State {
    fn holds(&self, loc: Loc, v: Value) -> bool {
        matches!(loc, Loc::Remat(r) if r == v) || self.0.contains(&(loc, v))
    }

    fn kill(&mut self, loc: Loc) {
        self.0.retain(|e| e.0 != loc);
    }

    fn set(&mut self, loc: Loc, v: Value) -> Result<(), OutOfMemory> {
        if matches!(loc, Loc::Remat(_) | Loc::None) {
            return Ok(());
        }
        self.kill(loc);
        self.0.push((loc, v))
    }

    /// Moves content; a recomputed source gives the value that it stands for.
    fn run(&mut self, m: Move) -> Result<(), OutOfMemory> {
        let from = match m.src {
            Loc::Remat(v) => Vec::from_slice(&[v])?,
            src => {
                let mut list = Vec::new();
                for &(_, v) in self.0.iter().filter(|e| e.0 == src) {
                    list.push(v)?;
                }
                list
            }
        };
        self.kill(m.dst);
        for v in from {
            self.0.push((m.dst, v))?;
        }
        Ok(())
    }

    /// Keeps what the other holds as well; whether that was less.
    fn meet(&mut self, other: &State) -> bool {
        let before = self.0.len();
        self.0.retain(|e| other.0.contains(e));
        self.0.len() != before
    }
}

/// Checks every operand of a function.
///
/// # Errors
/// The first operand that does not find its value.
pub fn check(func: &Func, alloc: &Allocation, machine: &dyn Machine) -> Result<(), Fault> {
    let mut at_start: Vec<Option<State>> = Vec::from_fn(func.blocks.len(), |_| None)?;
    let mut entry = State::default();
    let mut moves = Vec::new();
    for (&v, reg) in func.blocks[0].params.iter().zip(machine.arguments()) {
        entry.set(Loc::Reg(reg), v)?;
        moves.push(Move { dst: alloc.of(v), src: Loc::Reg(reg) })?;
    }
    run_all(&mut entry, &mut moves, machine.scratch())?;
    at_start[0] = Some(entry);
    let mut work = Vec::from_slice(&[Block::ENTRY])?;
    while let Some(block) = work.pop() {
        let mut state = State::default();
        if let Some(start) = &at_start[block.index()] {
            state.0.extend_from_slice(&start.0)?;
        }
        let data = &func.blocks[block.index()];
        for &inst in &data.insts {
            step(func, alloc, machine, inst, &mut state)?;
        }
        for v in data.term.operands().into_iter().flatten() {
            if !state.holds(alloc.of(v), v) {
                return Err(Fault::Term(block, v));
            }
        }
        for edge in data.term.edges() {
            let mut after = State::default();
            after.0.extend_from_slice(&state.0)?;
            let params = &func.blocks[edge.to.index()].params;
            for (&arg, &param) in edge.args.iter().zip(params) {
                if !state.holds(alloc.of(arg), arg) {
                    return Err(Fault::Term(block, arg));
                }
                moves.push(Move { dst: alloc.of(param), src: alloc.of(arg) })?;
            }
            run_all(&mut after, &mut moves, machine.scratch())?;
            for (&arg, &param) in edge.args.iter().zip(params) {
                if alloc.of(param) != Loc::None && !after.holds(alloc.of(param), arg) {
                    return Err(Fault::Term(block, arg));
                }
            }
            for &param in params {
                after.set(alloc.of(param), param)?;
            }
            let changed = match &mut at_start[edge.to.index()] {
                Some(known) => known.meet(&after),
                none => {
                    *none = Some(after);
                    true
                }
            };
            if changed {
                work.push(edge.to)?;
            }
        }
        debug_assert!(!matches!(data.term, Term::Trap) || data.term.edges().is_empty());
    }
    Ok(())
}

fn step(
    func: &Func,
    alloc: &Allocation,
    machine: &dyn Machine,
    inst: Inst,
    state: &mut State,
) -> Result<(), Fault> {
    let d = &func.insts[inst.index()];
    let c = machine.constraints(func, d);
    let mut moves = Vec::new();
    for (arg, fixed) in d.args.iter().zip(c.fixed) {
        if let (Some(v), Some(reg)) = (arg, fixed) {
            moves.push(Move { dst: Loc::Reg(reg), src: alloc.of(*v) })?;
        }
    }
    let mut order = Vec::new();
    sequence(&mut moves, machine.scratch(), &mut order)?;
    let uses_scratch = c.fixed.contains(&Some(machine.scratch()));
    let mut written: Vec<PReg> = Vec::new();
    for m in order {
        if let (Loc::Reg(r), true) = (m.dst, uses_scratch) {
            // Scratch is an operand's place: it must not have been needed to break a cycle.
            if written.contains(&r) {
                return Err(Fault::Operand(
                    inst,
                    d.args.iter().flatten().copied().next().unwrap_or(Value::new(0)),
                ));
            }
            written.push(r)?;
        }
        state.run(m)?;
    }
    for (arg, fixed) in d.args.iter().zip(c.fixed) {
        let Some(v) = *arg else { continue };
        let place = fixed.map_or(alloc.of(v), Loc::Reg);
        if !state.holds(place, v) {
            return Err(Fault::Operand(inst, v));
        }
    }
    for r in (0..32).map(PReg).filter(|&r| c.clobbers.has(r) || c.fixed.contains(&Some(r))) {
        state.kill(Loc::Reg(r));
    }
    state.kill(Loc::Reg(machine.scratch()));
    if let Some(v) = d.result {
        state.set(alloc.of(v), v)?;
    }
    Ok(())
}

fn run_all(state: &mut State, moves: &mut Vec<Move>, scratch: PReg) -> Result<(), OutOfMemory> {
    let mut order = Vec::new();
    sequence(moves, scratch, &mut order)?;
    for m in order {
        state.run(m)?;
    }
    state.kill(Loc::Reg(scratch));
    Ok(())
}
