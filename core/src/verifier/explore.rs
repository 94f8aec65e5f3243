//! The exploration: every path of a program, depth first, one instruction at a time.
//!
//! For each instruction: charge the budget, compare with older states where paths meet ([`super::explored`]), extract obligations, judge
//! them, move the state. A branch puts one of its ways aside; the list of such ways is the only stack there is, so nothing recurses
//! on the size of a program. Counted against limits: instructions processed, ways that wait, bytes that states take.

use super::backtrack::{Demand, Entry, Note};
use super::branch::{self, Jump};
use super::calls::After;
use super::cfg::Cfg;
use super::check;
use super::error::{Reject, VerifierError as E};
use super::explored::{Explored, Met, NONE, Pace};
use super::facts::FactTable;
use super::frames::StackUse;
use super::input::Input;
use super::kept::Kept;
use super::live::{self, called_row};
use super::log::Log;
use super::obligation;
use super::reg::Reg;
use super::signs;
use super::state::State;
use super::trail::Trail;
use crate::isa::{Callee, Op, Operand, Reg as R};
use crate::limits::BPF_COMPLEXITY_LIMIT_JMP_SEQ;
use crate::mem::Vec;
use crate::program::VerifierStats;

/// Makes ids.
#[derive(Debug, Default)]
pub(crate) struct Ids(u32);

impl Ids {
    /// One that nothing has.
    pub(crate) fn fresh(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// A way that waits.
#[derive(Debug)]
struct Waiting {
    pc: u32,
    from: u32,
    state: Kept,
    parent: u32,
    /// Entries of the trace before it, and one that is its own.
    trace: usize,
    own: Option<Entry>,
    /// Where the log was.
    log: usize,
}

/// Where a path goes on.
#[derive(Debug)]
enum Next {
    At(u32),
    End,
}

/// One verification.
#[derive(Debug)]
pub(crate) struct Verifier<'a, 'l, 'o> {
    pub(crate) input: Input<'a>,
    pub(crate) cfg: Cfg,
    live: Vec<u16>,
    pub(crate) ids: Ids,
    pub(crate) facts: FactTable,
    pub(crate) frames: StackUse,
    /// Global functions that somebody called.
    pub(crate) called: Vec<bool>,
    /// Functions that timers call.
    pub(crate) runs_alone: Vec<bool>,
    pub(crate) used_maps: Vec<bool>,
    pub(crate) explored: Explored,
    /// The path at hand.
    pub(crate) trace: Vec<Entry>,
    /// What the instruction at hand did.
    pub(crate) note: Note,
    /// The kept state above the path at hand.
    pub(crate) parent: u32,
    waiting: Vec<Waiting>,
    /// Callbacks that run alone, with the state at their entry.
    pub(crate) alone: Vec<(u32, State)>,
    /// Memory of a state that is not in use.
    spare: State,
    pub(crate) log: Log<'l>,
    pub(crate) stats: VerifierStats,
    jumps: u32,
    last_kept: (u32, u32),
    /// One a slot: whether it was said that it stores a pointer.
    pub(crate) pointer_store_warned: Vec<bool>,
    /// Of a path that is refused.
    pub(crate) trail: Trail,
    /// Sees every state before its instruction.
    observer: Option<Observer<'o>>,
}

/// What an oracle wants changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No path is cut off.
    NoPruning,
    /// A state is kept wherever paths meet.
    EveryState,
}

/// Sees states, for oracles.
pub(crate) struct Observer<'o> {
    pub(crate) see: &'o mut dyn FnMut(u32, &State),
    pub(crate) mode: Mode,
}

impl core::fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("observer")
    }
}

impl<'a, 'l, 'o> Verifier<'a, 'l, 'o> {
    /// Checks the program's shape and makes ready to explore.
    pub(crate) fn new(
        input: Input<'a>,
        log: Log<'l>,
        observer: Option<Observer<'o>>,
    ) -> Result<Self, Reject> {
        let slots = input.code.insns.len();
        let functions = input.code.subprogs.len();
        let cfg = Cfg::build(input.code, |id| input.traits(id))?;
        Ok(Verifier {
            live: live::registers(input.code, &cfg, &input.helpers)?,
            cfg,
            ids: Ids::default(),
            facts: FactTable::new(slots)?,
            frames: StackUse::new(slots, functions)?,
            called: Vec::filled(false, functions)?,
            runs_alone: Vec::filled(false, functions)?,
            used_maps: Vec::filled(false, input.maps.len())?,
            explored: Explored::new(slots, input.opts.memory_limit)?,
            trace: Vec::new(),
            note: Note::Plain,
            parent: NONE,
            waiting: Vec::new(),
            alone: Vec::new(),
            spare: State::EMPTY,
            log,
            stats: VerifierStats::default(),
            jumps: 0,
            last_kept: (0, 0),
            pointer_store_warned: Vec::filled(false, slots)?,
            trail: Trail::default(),
            observer,
            input,
        })
    }

    /// Explores the main function and every global function that is called.
    pub(crate) fn run(&mut self) -> Result<(), Reject> {
        // Maps and functions are looked up in code that no path reaches as well.
        for pc in 0..self.input.code.insns.len() as u32 {
            if let Some(Op::LdImm64 { imm, .. }) = self.cfg.op(pc).copied() {
                self.wide(imm).map_err(|e| Reject::at(pc, e))?;
            }
        }
        if self.input.opts.log_level > 1 {
            let loops = super::loops::number(&self.cfg, self.input.code.insns.len())?;
            self.log.shape(self.input, &self.live, &loops);
        }
        self.function(0)?;
        let mut done = Vec::filled(false, self.called.len())?;
        loop {
            if let Some((func, state)) = self.alone.pop() {
                self.runs_alone[func as usize] = true;
                self.explore_from(func, state)?;
            } else if let Some(func) = (1..done.len()).find(|f| self.called[*f] && !done[*f]) {
                done[func] = true;
                self.function(func as u32)?;
            } else {
                break;
            }
        }
        self.stats.stack_depth = self.check_stack()?;
        Ok(())
    }

    /// Explores one function from its entry.
    fn function(&mut self, func: u32) -> Result<(), Reject> {
        let start = self.input.code.subprogs[func as usize].start;
        let state = self.entry_state(func).map_err(|e| Reject::at(start, e))?;
        self.explore_from(func, state)
    }

    /// Explores one function from its entry in a state.
    fn explore_from(&mut self, func: u32, state: State) -> Result<(), Reject> {
        let start = self.input.code.subprogs[func as usize].start;
        self.log.function(self.input, func);
        self.trace.clear();
        self.parent = NONE;
        self.wait(start, start, state, None)?;
        let mut first = true;
        while let Some(w) = self.waiting.pop() {
            if !core::mem::take(&mut first) {
                self.log.take_up(w.from, w.log);
            }
            self.path(w).inspect_err(|r| self.blame_path(r))?;
        }
        self.log.function_good(self.input, func);
        Ok(())
    }

    /// Puts a way aside, to be taken up later.
    pub(crate) fn wait(
        &mut self,
        pc: u32,
        from: u32,
        state: State,
        own: Option<Entry>,
    ) -> Result<(), Reject> {
        if self.waiting.len() > BPF_COMPLEXITY_LIMIT_JMP_SEQ as usize {
            return Err(Reject::at(from, E::TooManyBranches));
        }
        let at_rest = self.explored.rest.pack(&state).map_err(|e| Reject::at(from, e.into()))?;
        self.spare = state;
        self.account(from)?;
        let (parent, trace, log) = (self.parent, self.trace.len(), self.log.mark());
        self.explored.open(parent);
        self.waiting.push(Waiting { pc, from, state: at_rest, parent, trace, own, log })?;
        Ok(())
    }

    fn account(&mut self, pc: u32) -> Result<(), Reject> {
        let path = self.trace.len() * size_of::<Entry>() + self.waiting.len() * size_of::<Waiting>();
        let bytes = self.explored.size() + path;
        self.stats.peak_memory = self.stats.peak_memory.max(bytes);
        if bytes > self.input.opts.memory_limit {
            return Err(Reject::at(pc, E::OutOfMemory));
        }
        Ok(())
    }

    /// Follows one path to its end.
    fn path(&mut self, w: Waiting) -> Result<(), Reject> {
        let Waiting { mut pc, state: at_rest, parent, trace, own, .. } = w;
        let mut state = core::mem::replace(&mut self.spare, State::EMPTY);
        self.explored.rest.unpack(at_rest, &mut state)?;
        self.explored.rest.give(at_rest);
        self.parent = parent;
        self.trace.truncate(trace);
        self.trace.extend(own)?;
        loop {
            self.stats.insns_processed += 1;
            if self.stats.insns_processed > self.input.opts.insn_budget {
                return Err(Reject::at(pc, E::TooManyInsns { limit: self.input.opts.insn_budget }));
            }
            if self.cfg.is_meet(pc) && self.met(pc, &mut state)? {
                break;
            }
            let op = *self.cfg.op(pc).ok_or(Reject::at(pc, E::Internal { what: "no instruction" }))?;
            self.log.insn(self.input, pc, &op, &state);
            if let Some(Observer { see, .. }) = &mut self.observer {
                see(pc, &state);
            }
            let next = self.step(&mut state, pc, &op).inspect_err(|_| self.blame(pc, &op, &state))?;
            match next {
                Next::At(to) => pc = to,
                Next::End => break,
            }
        }
        self.spare = state;
        Ok(self.explored.close(&self.cfg, &self.trace, self.parent)?)
    }

    /// Compares with older states and keeps this one where that is worth it; true: the path ends here.
    fn met(&mut self, pc: u32, state: &mut State) -> Result<bool, Reject> {
        let at = |e: crate::mem::OutOfMemory| Reject::at(pc, e.into());
        let (jumps, insns) = (self.jumps - self.last_kept.0, self.stats.insns_processed - self.last_kept.1);
        let every = self.observer.as_ref().is_some_and(|o| o.mode == Mode::EveryState);
        let worth = every || (jumps >= 2 && insns >= 8);
        let bounded = self.cfg.bounded(pc);
        let pace =
            Pace { worth, worth_in_loop: every || jumps >= 20 || insns >= 100, bounded, tires: !every };
        let (met, worth) = self.explored.meet(pc, state, pace).map_err(at)?;
        match met {
            Met::Covered(_) if self.observer.as_ref().is_some_and(|o| o.mode == Mode::NoPruning) => {}
            Met::Covered(node) => {
                self.explored.take_over(&self.cfg, &self.trace, self.parent, state, node).map_err(at)?;
                self.log.covered(pc);
                return Ok(true);
            }
            Met::Turned(node) => {
                self.explored.take_over(&self.cfg, &self.trace, self.parent, state, node).map_err(at)?;
                self.log.covered(pc);
                return Ok(true);
            }
            Met::Loop => return Err(Reject::at(pc, E::InfiniteLoop { pc })),
            Met::New => {}
        }
        if worth {
            self.last_kept = (self.jumps, self.stats.insns_processed);
            let mut kept = core::mem::replace(&mut self.spare, State::EMPTY);
            kept.copy(state).map_err(at)?;
            self.forget_dead(pc, &mut kept);
            kept.drop_lonely_ids();
            self.parent = self.explored.keep(pc, &kept, self.parent, self.trace.len()).map_err(at)?;
            self.spare = kept;
            state.nothing_written();
            self.account(pc)?;
        }
        Ok(false)
    }

    /// A judgement rests on the number in a register of the innermost frame, where it is a number.
    pub(crate) fn rests_on(&mut self, state: &State, r: R) {
        if state.reg(r).is_scalar() {
            self.rests_on_all(state, Demand::reg(state.depth(), r));
        }
    }

    /// A judgement rests on these numbers.
    pub(crate) fn rests_on_all(&mut self, state: &State, demand: Demand) {
        self.explored.demand(&self.cfg, &self.trace, self.parent, demand, state.depth());
    }

    fn record(&mut self, pc: u32) -> Result<(), Reject> {
        let note = core::mem::replace(&mut self.note, Note::Plain);
        Ok(self.trace.push(Entry { pc, note })?)
    }

    /// Makes dead registers unreadable in a state that is kept: they need not be compared.
    fn forget_dead(&self, pc: u32, state: &mut State) {
        let depth = state.depth();
        let mut at = pc;
        for i in (0..=depth).rev() {
            let frame = &mut state.frames[i];
            let live = self.live.get(at as usize).copied().unwrap_or(u16::MAX);
            for (r, reg) in frame.regs.iter_mut().enumerate() {
                if live >> r & 1 == 0 {
                    *reg = Reg::NOT_INIT;
                }
            }
            at = frame.callsite + 1;
        }
    }

    /// Judges one instruction and moves the state over it.
    fn step(&mut self, state: &mut State, pc: u32, op: &Op) -> Result<Next, Reject> {
        self.facts.visit(pc);
        let next = self.step_checked(state, pc, op);
        self.frames.commit(pc)?;
        next
    }

    fn step_checked(&mut self, state: &mut State, pc: u32, op: &Op) -> Result<Next, Reject> {
        let at = |e: E| Reject::at(pc, e);
        for o in &obligation::of(op) {
            check::holds(&self.input, state, o).map_err(at)?;
        }
        self.policy(state, pc, op).map_err(at)?;
        let next = match *op {
            Op::Ja { target, .. } => {
                self.jumps += 1;
                Next::At(target)
            }
            Op::Jmp { cond, width, dst, src, target } => {
                self.jumps += 1;
                return self.jump(state, pc, Jump { cond, width, dst, src }, target);
            }
            Op::Exit => {
                self.jumps += 1;
                let to = self.return_from(state, pc).map_err(at)?;
                to.map_or(Next::End, Next::At)
            }
            Op::Call(Callee::Local(start)) => {
                self.jumps += 1;
                Next::At(self.call_function(state, pc, start).map_err(at)?)
            }
            Op::Call(Callee::Helper(_) | Callee::Kfunc { .. }) => {
                self.jumps += 1;
                let id = called_row(op).ok_or(at(E::Internal { what: "callee" }))?;
                match self.helper_call(state, pc, id)? {
                    After::TailCall if state.depth() > 0 => self.tail_call_returns(state, pc)?,
                    After::Turn(turn) => {
                        self.wait(pc + 1, pc, turn, Some(Entry { pc, note: Note::Plain }))?
                    }
                    After::TailCall | After::Next => {}
                }
                Next::At(pc + 1)
            }
            _ => {
                if let Some((mut none, r)) = signs::split(state, op).map_err(|e| at(e.into()))? {
                    // That there are but two results rests on the number.
                    self.rests_on(&none, r);
                    self.straight(&mut none, pc, op).map_err(at)?;
                    let note = core::mem::replace(&mut self.note, Note::Plain);
                    self.wait(pc + op.slots(), pc, none, Some(Entry { pc, note }))?;
                }
                self.straight(state, pc, op).map_err(at)?;
                Next::At(pc + op.slots())
            }
        };
        self.record(pc)?;
        Ok(next)
    }

    fn jump(&mut self, state: &mut State, pc: u32, j: Jump, target: u32) -> Result<Next, Reject> {
        let linked = branch::linked(state, j).map_err(|e| Reject::at(pc, e.into()))?;
        let known = match j.src {
            Operand::Reg(r) => [Some(j.dst), Some(r)],
            Operand::Imm(_) => [Some(j.dst), None],
        };
        let mut demand = Demand::default();
        for r in known.into_iter().flatten().filter(|r| state.reg(*r).is_scalar()) {
            demand.add_reg(state.depth(), r.num());
        }
        let depth = state.depth();
        let here = core::mem::replace(state, State::EMPTY);
        let locks = |map| self.input.map(map).is_some_and(|m| m.spec.fields.spin_lock.is_some());
        let ways = branch::split(here, &mut self.spare, j, locks).map_err(|e| Reject::at(pc, e.into()))?;
        self.facts.branch(pc, ways.taken.is_some(), ways.fallthrough.is_some());
        if ways.taken.is_none() || ways.fallthrough.is_none() {
            // That a way is never taken rests on the numbers that were compared.
            self.explored.demand(&self.cfg, &self.trace, self.parent, demand, depth);
        }
        self.record(pc)?;
        for note in &linked {
            self.trace.push(Entry { pc, note: *note })?;
        }
        let (now, next) = match (ways.taken, ways.fallthrough) {
            (Some(taken), Some(fall)) => {
                self.wait(target, pc, taken, None)?;
                (fall, pc + 1)
            }
            (Some(taken), None) => (taken, target),
            (None, Some(fall)) => (fall, pc + 1),
            // What is known contradicts itself: no run comes here.
            (None, None) => return Ok(Next::End),
        };
        *state = now;
        self.log.jumped(self.input, pc, state);
        Ok(Next::At(next))
    }

    /// A tail call in a called function that succeeds: the other program's exit returns to our caller, with any result
    /// and the packet changed.
    fn tail_call_returns(&mut self, state: &State, pc: u32) -> Result<(), Reject> {
        let mut back = state.try_clone().map_err(|e| Reject::at(pc, e.into()))?;
        back.set(R::R0, Reg::UNKNOWN);
        back.drop_packet_pointers(self.leftover());
        if let Some(to) = back.leave() {
            self.wait(to, pc, back, Some(Entry { pc, note: Note::Leave }))?;
        }
        Ok(())
    }

    /// The counts of the closing line.
    pub(crate) fn counts(&self) -> VerifierStats {
        VerifierStats {
            max_states_per_insn: self.explored.most_at_one,
            total_states: self.explored.total,
            peak_states: self.explored.peak,
            mark_read: self.explored.hits,
            ..self.stats
        }
    }
}
