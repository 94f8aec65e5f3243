//! Which constants a program's main function returns: they tell before the first packet that it sends packets back (XDP_TX).
//!
//! A forward dataflow, a function at a time, over the code itself; the verifier's exploration has no part in it. A register holds a set of small numbers, and perhaps
//! something unknown beside them:
//!
//! ```text
//! mov of a constant             that number; unknown where it is a larger one
//! mov of a register             what that one holds
//! comparison with a constant    on each edge the numbers for which it goes that way; what is unknown goes both ways and stays unknown
//! call of a function            r0: what its exits yield; r1 to r5: unknown
//! whatever else writes          unknown: arithmetic, memory, the stack too, helpers
//! where ways meet               all of both
//! ```
//!
//! What functions yield begins with nothing and grows until it stays: callers of a function that yields nothing yet wait for the next round. A tail call in a function
//! puts another program's result in place of its own: unknown.
//!
//! Two things of the verdict cut ways off, because engines hold runs to them: slots that no run reaches, and edges that no run takes. So a constant behind a switch in
//! read-only data that is off is not returned. Every constant that some run returns is found, unless it went through what is unknown.

use crate::helpers::TAIL_CALL;
use crate::isa::{self, AtomicOp, Callee, Cond, Op, Operand, Reg, WideImm, Width};
use crate::mem::{OutOfMemory, Vec};
use crate::opt::compare;
use crate::program::{Code, Edge};

/// Numbers from 0 to 6, a bit each, and the highest bit for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(u8);

impl Values {
    const UNKNOWN: Values = Values(1 << 7);

    fn of(number: u64) -> Values {
        if number < 7 { Values(1 << number) } else { Values::UNKNOWN }
    }

    /// Whether that constant, below 7, is among them.
    pub(super) fn contains(self, number: u32) -> bool {
        self.0 & 1 << number != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn with(self, other: Values) -> Values {
        Values(self.0 | other.0)
    }

    /// Without the numbers for which that does not hold.
    fn where_holds(self, holds: impl Fn(i64) -> bool) -> Values {
        let kept = (0..7).filter(|number| holds(*number)).fold(0, |bits, number| bits | 1 << number);
        Values(self.0 & (kept | Values::UNKNOWN.0))
    }
}

/// What the registers hold at a slot; all of them nothing where no way leads there.
type Regs = [Values; Reg::COUNT];

const NOWHERE: Regs = [Values(0); Reg::COUNT];

/// What the main function's exits yield. `ways` says of a slot whether runs get there, and of a conditional jump by which edges they leave it.
///
/// # Errors
/// When memory is short.
pub(super) fn returned(code: &Code, ways: impl Fn(u32) -> Option<Edge>) -> Result<Values, OutOfMemory> {
    let mut yields = Vec::filled(Values::default(), code.subprogs.len())?;
    // As many rounds as the longest chain of calls has functions, and one that changes nothing; callees mostly stand behind their callers.
    for _ in 0..=yields.len() {
        let mut grew = false;
        for func in (0..yields.len()).rev() {
            let flow = Flow::through(code, func, &yields, &ways)?;
            if let Some(before) = yields.get_mut(func) {
                grew |= *before != flow.yields;
                *before = flow.yields;
            }
        }
        if !grew {
            break;
        }
    }
    Ok(yields.first().copied().unwrap_or_default())
}

/// The flow through one function.
struct Flow {
    start: u32,
    /// A slot each.
    at: Vec<Regs>,
    /// Slots that something new has come to.
    pending: Vec<u32>,
    yields: Values,
}

impl Flow {
    fn through(
        code: &Code,
        func: usize,
        yields: &[Values],
        ways: &impl Fn(u32) -> Option<Edge>,
    ) -> Result<Flow, OutOfMemory> {
        let (start, end) = code.subprogs.get(func).map_or((0, 0), |f| (f.start, f.end));
        let len = end.saturating_sub(start) as usize;
        let mut flow =
            Flow { start, at: Vec::filled(NOWHERE, len)?, pending: Vec::new(), yields: Values::default() };
        flow.reach(start, &[Values::UNKNOWN; Reg::COUNT])?;
        while let Some(pc) = flow.pending.pop() {
            let Some(edge) = ways(pc) else { continue };
            let Ok(op) = isa::decode(&code.insns, pc) else { continue };
            let regs = flow.at.get((pc - start) as usize).copied().unwrap_or(NOWHERE);
            flow.step(code, yields, (pc, op, edge), regs)?;
        }
        Ok(flow)
    }

    /// On from an instruction to those behind it.
    fn step(
        &mut self,
        code: &Code,
        yields: &[Values],
        (pc, op, edge): (u32, Op, Edge),
        mut regs: Regs,
    ) -> Result<(), OutOfMemory> {
        match op {
            Op::Exit => {
                self.yields = self.yields.with(regs[0]);
                return Ok(());
            }
            Op::Ja { target, .. } => return self.reach(target, &regs),
            Op::Jmp { cond, width, dst, src, target } => {
                if edge != Edge::NeverTaken {
                    self.reach(target, &narrowed(regs, (cond, width, dst, src), true))?;
                }
                if edge != Edge::AlwaysTaken {
                    self.reach(pc + 1, &narrowed(regs, (cond, width, dst, src), false))?;
                }
                return Ok(());
            }
            Op::Mov { dst, src: Operand::Reg(src), .. } | Op::MovSx { dst, src, .. } => {
                regs[dst.index()] = regs[src.index()];
            }
            Op::Mov { dst, src: Operand::Imm(imm), .. } => {
                regs[dst.index()] = Values::of(i64::from(imm) as u64);
            }
            Op::LdImm64 { dst, imm: WideImm::Imm(number) } => regs[dst.index()] = Values::of(number),
            Op::Call(callee) => {
                regs[..6].fill(Values::UNKNOWN);
                match callee {
                    Callee::Local(to) => {
                        let func = code.subprogs.binary_search_by_key(&to, |f| f.start).ok();
                        regs[0] = func.and_then(|f| yields.get(f)).copied().unwrap_or(Values::UNKNOWN);
                    }
                    Callee::Helper(TAIL_CALL) => self.yields = self.yields.with(Values::UNKNOWN),
                    _ => {}
                }
            }
            Op::Atomic { op: AtomicOp::Cmpxchg, .. } | Op::LegacyPacket { .. } => regs[0] = Values::UNKNOWN,
            Op::Atomic { fetch: true, src, .. } => regs[src.index()] = Values::UNKNOWN,
            Op::LdImm64 { dst, .. }
            | Op::Alu { dst, .. }
            | Op::Neg { dst, .. }
            | Op::End { dst, .. }
            | Op::Load { dst, .. }
            | Op::LoadAcq { dst, .. } => regs[dst.index()] = Values::UNKNOWN,
            Op::Store { .. } | Op::StoreRel { .. } | Op::Atomic { fetch: false, .. } => {}
        }
        self.reach(pc + op.slots(), &regs)
    }

    /// A way leads to that slot with these registers, or none where one of them can hold nothing.
    fn reach(&mut self, pc: u32, regs: &Regs) -> Result<(), OutOfMemory> {
        let index = pc.checked_sub(self.start).map(|i| i as usize);
        let Some(at) = index.and_then(|i| self.at.get_mut(i)) else { return Ok(()) };
        if regs.iter().any(|values| values.is_empty()) {
            return Ok(());
        }
        let before = *at;
        for (there, comes) in at.iter_mut().zip(regs) {
            *there = there.with(*comes);
        }
        if *at != before { self.pending.push(pc) } else { Ok(()) }
    }
}

/// What the registers hold on one edge of a conditional jump.
fn narrowed(mut regs: Regs, (cond, width, dst, src): (Cond, Width, Reg, Operand), taken: bool) -> Regs {
    if let Operand::Imm(imm) = src {
        let goes = |number| compare(cond, width, number, i64::from(imm)) == taken;
        regs[dst.index()] = regs[dst.index()].where_holds(goes);
    }
    regs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::tests::world;

    const ANYWHERE: fn(u32) -> Option<Edge> = |_| Some(Edge::Both);

    /// The numbers that may be returned, and `?` for something unknown.
    fn text(values: Values) -> std::string::String {
        let numbers = (0..7).filter(|n| values.contains(*n)).map(|n| std::format!("{n}"));
        numbers.chain((values.0 >> 7 == 1).then(|| "?".into())).collect()
    }

    fn code(program: &str) -> Code {
        world::program(&program.replace(": ", ":;"), None)
    }

    fn of(program: &str) -> std::string::String {
        text(returned(&code(program), ANYWHERE).unwrap())
    }

    #[test]
    fn constants_that_reach_exits_are_returned_and_nothing_else() {
        let cases = [
            // Moves, of either width, also on the way through another register.
            ("r0 = 3; exit", "3"),
            ("w0 = 3; exit", "3"),
            ("r0 = ll 0x3; exit", "3"),
            ("r6 = 3; w1 = w6; r0 = r1; exit", "3"),
            ("r1 = 3; r0 = (s8)r1; exit", "3"),
            ("r0 = 3; r0 = 2; exit", "2"),
            ("r1 = 3; r0 = 1; exit", "1"),
            ("r0 = -1; exit", "?"),
            ("r0 = ll 0x100000003; exit", "?"),
            // Branches and joins.
            ("r0 = 2; r1 = u32[r1+0]; if r1 == 0 goto out; r0 = 3; out: exit", "23"),
            ("r1 = u32[r1+0]; if r1 == 0 goto a; r0 = 3; exit; a: r0 = 1; exit", "13"),
            ("r0 = 1; goto out; r0 = 3; out: exit", "1"),
            // A comparison of a constant goes one way.
            ("r6 = 3; r0 = 2; if r6 != 3 goto out; r0 = 1; out: exit", "1"),
            ("r6 = 2; r0 = 3; if r6 s> 1 goto a; exit; a: r0 = 1; exit", "1"),
            (
                "r6 = 3; r1 = u32[r1+0]; if r1 > 5 goto a; r6 = 2; a: if w6 == 3 goto b; r0 = r6; exit; b: r0 = 1; exit",
                "12",
            ),
            // What is unknown stays so, also where it was compared.
            ("r0 = u32[r1+0]; exit", "?"),
            ("r0 = u32[r1+0]; if r0 == 3 goto out; r0 = 2; out: exit", "2?"),
            ("r0 = 3; r0 += 0; exit", "?"),
            ("r0 = 3; r0 = -r0; exit", "?"),
            ("r0 = 3; r0 = be16 r0; exit", "?"),
            ("u64[r10-8] = 3; r0 = u64[r10-8]; exit", "?"),
            ("u64[r10-8] = 1; r0 = 3; lock u64[r10-8] cmpxchg r1; exit", "?"),
            ("u64[r10-8] = 1; r0 = 3; lock u64[r10-8] f+= r0; exit", "?"),
            ("u64[r10-8] = 1; r0 = 3; lock u64[r10-8] += r0; exit", "3"),
            ("r0 = 3; call 7; exit", "?"),
            ("r6 = 3; call 7; r0 = r6; exit", "3"),
            // Loops: what comes round is there the next time.
            ("r0 = 1; r6 = 2; r1 = 0; a: r0 = r6; r6 = 3; r1 += 1; if r1 < 9 goto a; exit", "23"),
            (
                "r6 = 1; r7 = 2; r8 = 3; r1 = 0; a: r0 = r6; r6 = r7; r7 = r8; r1 += 1; if r1 < 9 goto a; exit",
                "123",
            ),
            // A tail call that misses goes on behind it; one that does not is the other program's.
            ("r2 = map2; r3 = 0; call 12; r0 = 3; exit", "3?"),
            ("r0 = 3; r2 = map2; r3 = 0; call 12; exit", "?"),
        ];
        for (program, wanted) in cases {
            assert_eq!(of(program), wanted, "{program}");
        }
    }

    #[test]
    fn constants_of_functions_reach_the_exits_of_their_callers() {
        let cases = [
            ("call @f; exit; @f: r0 = 3; exit", "3"),
            (
                "call @f; if r0 != 3 goto out; r0 = 1; out: exit; @f: r0 = 2; if r1 == 0 goto a; r0 = 3; a: exit",
                "12",
            ),
            ("call @f; r0 = 2; exit; @f: r0 = 3; exit", "2"),
            // Callees in front of their callers, chains, and two calls of one function.
            ("call @g; exit; @f: r0 = 3; exit; @g: call @f; exit", "3"),
            ("call @a; exit; @d: r0 = 3; exit; @c: call @d; exit; @b: call @c; exit; @a: call @b; exit", "3"),
            (
                "call @f; r6 = r0; call @g; if r0 == 0 goto a; r0 = r6; a: exit; @f: r0 = 4; exit; @g: call @f; r0 = 0; exit",
                "0",
            ),
            // Registers that a callee keeps, and those that it does not.
            ("r6 = 3; call @f; r0 = r6; exit; @f: r6 = 1; r0 = 2; exit", "3"),
            ("r1 = 3; call @f; r0 = r1; exit; @f: r0 = 2; exit", "?"),
            ("r1 = 3; call @f; exit; @f: r0 = r1; exit", "?"),
            // A callback's result goes to the helper; a function's tail call brings another program's.
            ("r1 = 4; r2 = &@f; r3 = 0; r4 = 0; call 181; r0 = 2; exit; @f: r0 = 3; exit", "2"),
            (
                "call @f; if r0 == 2 goto a; r0 = 3; exit; a: exit; @f: r2 = map2; r3 = 0; call 12; r0 = 2; exit",
                "23?",
            ),
        ];
        for (program, wanted) in cases {
            assert_eq!(of(program), wanted, "{program}");
        }
    }

    #[test]
    fn ways_that_no_run_takes_lead_nowhere() {
        let code = code("r0 = 3; r1 = u32[r1+0]; if r1 == 0 goto out; r0 = 2; out: exit");
        for (edge, wanted) in [(Edge::Both, "23"), (Edge::AlwaysTaken, "3"), (Edge::NeverTaken, "2")] {
            assert_eq!(text(returned(&code, |_| Some(edge)).unwrap()), wanted, "{edge:?}");
        }
        let dead = returned(&code, |pc| (pc != 3).then_some(Edge::Both));
        assert_eq!(text(dead.unwrap()), "3");
    }

    #[test]
    fn code_that_nobody_proved_ends_nowhere_worse() {
        for (program, wanted) in [
            ("a: goto a", ""),
            ("goto 100", ""),
            ("r0 = 3", ""),
            ("call @f; exit; @f: call @f; exit", ""),
            ("r0 = 3; raw 0xff 0 0 0 0; exit", ""),
        ] {
            assert_eq!(of(program), wanted, "{program}");
        }
        assert_eq!(text(returned(&Code::default(), ANYWHERE).unwrap()), "");
    }
}
