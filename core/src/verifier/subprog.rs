//! Calls between functions of the program, and the stack over the whole chain.
//!
//! A static function is explored at each call, in a frame of its own. A global one is explored once, alone, for any arguments that its
//! BTF allows; a call of it is judged by the signature and leaves an unknown scalar. What may change the packet invalidates packet pointers
//! in every frame. A tail call from a function other than the main one may come back with anything in R0: it is a return of its own.

use super::backtrack::Note;
use super::callback::within;
use super::check;
use super::error::{Reject, VerifierError as E};
use super::explore::Verifier;
use super::objects;
use super::reg::{Kind, Reg};
use super::state::State;
use crate::helpers::DynptrUse;
use crate::isa::{Callee, Op, Reg as R, WideImm};
use crate::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES, MAX_TAIL_CALL_CALLER_STACK};
use crate::mem::Vec;
use crate::program::{ArgKind, Rewrite, Signature};

impl Verifier<'_, '_, '_> {
    /// The function that starts at a slot.
    pub(crate) fn function_at(&self, start: u32) -> Result<u32, E> {
        let found = self.input.code.subprogs.iter().position(|s| s.start == start);
        found.map(|i| i as u32).ok_or(E::NotAFunction { to: start })
    }

    /// Calls the function at `start`; returns where to go on.
    pub(crate) fn call_function(&mut self, state: &mut State, pc: u32, start: u32) -> Result<u32, E> {
        let func = self.function_at(start)?;
        self.facts.rewrite(pc, Rewrite::CallSubprog(func));
        let sub = &self.input.code.subprogs[func as usize];
        if sub.global {
            if state.lock().is_some() {
                return Err(E::GlobalCallInLock);
            }
            let signature = sub.signature.ok_or(E::NoSignature)?;
            self.global_arguments(state, &signature)?;
            self.called[func as usize] = true;
            self.log.global(self.input, func);
            state.clobber_caller_saved();
            state.set(R::R0, Reg::UNKNOWN);
            if self.cfg.changes_packet[func as usize] {
                state.drop_packet_pointers(self.leftover());
            }
            return Ok(pc + 1);
        }
        if state.frames.len() >= MAX_CALL_FRAMES {
            return Err(E::TooManyFrames { frames: state.frames.len() + 1 });
        }
        state.enter(func, pc)?;
        self.log.entered(self.input, state);
        self.note = Note::Enter;
        Ok(start)
    }

    fn global_arguments(&mut self, state: &mut State, signature: &Signature) -> Result<(), E> {
        if !signature.returns_scalar {
            return Err(E::NotScalarReturn);
        }
        for (i, arg) in signature.args.iter().enumerate() {
            let Some(arg) = arg else { continue };
            let r = R::new(i as u8 + 1).ok_or(E::Internal { what: "argument" })?;
            check::readable(state, r)?;
            let (reg, num) = (*state.reg(r), r.num());
            match *arg {
                ArgKind::Scalar if reg.is_scalar() => {}
                ArgKind::Scalar => return Err(E::NotScalarArg { reg: num }),
                ArgKind::Ctx if reg.kind == Kind::Ctx => check::unmodified(&reg, num)?,
                ArgKind::Ctx => return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "ctx" }),
                ArgKind::Mem { .. } if reg.is_null() || reg.kind != reg.kind.non_null() => {
                    return Err(E::NullArg { reg: num });
                }
                ArgKind::MemOrNull { size } | ArgKind::Mem { size } => self.global_memory(state, r, size)?,
                ArgKind::Dynptr => {
                    self.dynptr_argument(state, r, DynptrUse::Read, None)?;
                }
                ArgKind::Unsupported => return Err(E::BadSignature { arg: i as u8 }),
            }
        }
        Ok(())
    }

    /// Memory that a global function may read and write, or null.
    fn global_memory(&mut self, state: &mut State, r: R, size: u32) -> Result<(), E> {
        let (mut reg, num) = (*state.reg(r), r.num());
        if reg.is_null() {
            self.rests_on(state, r);
            return Ok(());
        }
        reg.kind = reg.kind.non_null();
        match reg.kind {
            Kind::Stack(frame) => {
                check::stack_bounds(&reg, num, 0, size, " read from")?;
                objects::no_objects(state, &reg, size, check::Dir::Read, num)?;
                let (min, end, _) = check::stack_span(&reg, 0, size);
                self.uses_stack(state, frame, (min as i32, end as i32), true, false)?;
                let stack = &mut state.frames[usize::from(frame)].stack;
                Ok(stack.smear(min as i32, (end - min) as u32, false)?)
            }
            Kind::Packet
            | Kind::PacketMeta
            | Kind::MapValue(_)
            | Kind::Mem(_)
            | Kind::Ring(_)
            | Kind::Slice(_) => {
                let zero = check::ZeroSize::Refused;
                check::region(&self.input, &reg, num, 0, size, check::Dir::Read, zero)?;
                check::region(&self.input, &reg, num, 0, size, check::Dir::Write, zero)
            }
            _ => Err(E::ArgType {
                reg: num,
                kind: reg.kind.name(),
                expected: "fp, pkt, pkt_meta, map_value, mem",
            }),
        }
    }

    /// Leaves the innermost function; `None` where the path ends.
    pub(crate) fn return_from(&mut self, state: &mut State, pc: u32) -> Result<Option<u32>, E> {
        let r0 = *state.reg(R::R0);
        self.note = Note::Leave;
        if state.depth() > 0 {
            if matches!(r0.kind, Kind::Stack(_)) {
                return Err(E::ReturnsStack);
            }
            if let Some(returns) = state.frame().callback {
                self.note = Note::LeaveCallback;
                return self.callback_returns(state, returns).map(Some);
            }
            self.log.leaving(self.input, state);
            let to = state.leave();
            if let Some(to) = to {
                self.log.left(self.input, state, pc, to);
            }
            return Ok(to);
        }
        state.holds_nothing("BPF_EXIT instruction in main prog")?;
        check::readable(state, R::R0)?;
        if let Some(returns) = state.frame().callback {
            if !r0.is_scalar() {
                return Err(E::GlobalReturn { kind: r0.kind.name() });
            }
            self.rests_on(state, R::R0);
            within(&r0, returns.max, "At async callback return")?;
            return Ok(None);
        }
        let func = state.frame().func;
        if func != 0 && !r0.is_scalar() {
            return Err(E::GlobalReturn { kind: r0.kind.name() });
        }
        Ok(None)
    }

    /// The state at the entry of the main function or of a global one.
    pub(crate) fn entry_state(&mut self, func: u32) -> Result<State, E> {
        let mut state = State::entry(func)?;
        if func == 0 {
            state.set(R::R1, Reg::pointer(Kind::Ctx));
            return Ok(state);
        }
        let sub = &self.input.code.subprogs[func as usize];
        let signature = sub.signature.ok_or(E::NoSignature)?;
        for (i, arg) in signature.args.iter().enumerate() {
            let Some(arg) = arg else { continue };
            let r = R::new(i as u8 + 1).ok_or(E::Internal { what: "argument" })?;
            let value = match *arg {
                ArgKind::Scalar => Reg::UNKNOWN,
                ArgKind::Ctx => Reg::pointer(Kind::Ctx),
                ArgKind::MemOrNull { size } => {
                    Reg { id: self.ids.fresh(), ..Reg::pointer(Kind::MemOrNull(size)) }
                }
                ArgKind::Mem { size } => Reg::pointer(Kind::Mem(size)),
                ArgKind::Dynptr => Reg { uid: self.ids.fresh(), ..Reg::pointer(Kind::Dynptr) },
                ArgKind::Unsupported => return Err(E::BadSignature { arg: i as u8 }),
            };
            state.set(r, value);
        }
        Ok(state)
    }

    /// The stack over every chain of calls, from every function that is entered from outside; the deepest is returned.
    pub(crate) fn check_stack(&self) -> Result<u32, Reject> {
        let tail_calls = self.tail_callers()?;
        let mut deepest = 0;
        for root in 0..self.input.code.subprogs.len() {
            if root == 0 || self.runs_alone[root] {
                deepest = self.chains_from(root, &tail_calls)?.max(deepest);
            }
        }
        Ok(deepest)
    }

    /// The stack over every chain of calls from one function.
    ///
    /// A walk with a list of its own: (function, where to go on, stack so far). A function is not entered again where it was entered as deep
    /// in the chain with as much stack above it, which bounds the walk.
    fn chains_from(&self, root: usize, tail_calls: &[bool]) -> Result<u32, Reject> {
        let subs = &self.input.code.subprogs;
        let size = |f: usize| self.frames.depth[f].next_multiple_of(16);
        let mut deepest = 0;
        let mut entered = Vec::filled([0u32; MAX_CALL_FRAMES], subs.len())?;
        let mut chain: Vec<(usize, u32, u32)> = Vec::new();
        let enter = |chain: &mut Vec<(usize, u32, u32)>, f: usize, above: u32| -> Result<u32, Reject> {
            let at = subs[f].start;
            let depth = above + size(f);
            if depth > MAX_BPF_STACK {
                let calls = chain.len() + 1;
                return Err(Reject::at(at, E::StackTooLarge { calls, depth }));
            }
            if tail_calls[f] && !chain.is_empty() && above >= MAX_TAIL_CALL_CALLER_STACK {
                return Err(Reject::at(at, E::TailCallStack { depth: above }));
            }
            if tail_calls[f] && root != 0 {
                return Err(Reject::at(at, E::CallbackTailCall));
            }
            chain.push((f, at, depth))?;
            Ok(depth)
        };
        deepest = enter(&mut chain, root, 0)?.max(deepest);
        while let Some((f, at, depth)) = chain.pop() {
            let call = (at..subs[f].end).find_map(|pc| Some((pc, self.entered_at(pc)?)));
            let Some((pc, to)) = call else { continue };
            chain.push((f, pc + 1, depth))?;
            let callee = self.function_at(to).map_err(|e| Reject::at(pc, e))? as usize;
            if chain.len() >= MAX_CALL_FRAMES {
                return Err(Reject::at(pc, E::TooManyFrames { frames: chain.len() }));
            }
            if chain.iter().any(|c| c.0 == callee) {
                return Err(Reject::at(pc, E::Recursion));
            }
            let seen = &mut entered[callee];
            if seen[chain.len()..].iter().any(|before| *before > depth) {
                continue;
            }
            seen[chain.len()] = depth + 1;
            deepest = enter(&mut chain, callee, depth)?.max(deepest);
        }
        Ok(deepest)
    }

    /// The start of the function that an instruction calls, or names as a callback that runs below it. A timer's callback runs alone.
    fn entered_at(&self, pc: u32) -> Option<u32> {
        match *self.cfg.op(pc)? {
            Op::Call(Callee::Local(to)) => Some(to),
            Op::LdImm64 { imm: WideImm::Func(to), .. } => {
                let func = self.function_at(to).ok()?;
                (!self.runs_alone[func as usize]).then_some(to)
            }
            _ => None,
        }
    }

    /// Functions that hold a tail call.
    fn tail_callers(&self) -> Result<Vec<bool>, Reject> {
        let subs = &self.input.code.subprogs;
        Ok(Vec::from_fn(subs.len(), |f| {
            (subs[f].start..subs[f].end).any(|pc| match self.cfg.op(pc) {
                Some(Op::Call(Callee::Helper(id))) => self.input.is_tail_call(*id),
                _ => false,
            })
        })?)
    }
}
