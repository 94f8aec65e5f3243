//! Functions of the program that helpers call: loops, walks over maps, and timers.
//!
//! A synchronous callback is explored in a frame above its caller's, from the call: once not at all, which goes on behind the call, and once with a turn, which
//! comes back *to* the call. So a loop of turns is a loop of the exploration, which ends when a turn changes nothing that an older state of the call
//! does not cover ([`super::explored`]); numbers that nothing rests on are widened on the way ([`super::widen`]). The helper bounds the number of turns.
//!
//! A timer's callback runs after the program, alone: it is explored like a program of its own, for the map that its timer is in.

use super::backtrack::{Entry, Note};
use super::calls::Call;
use super::error::{Reject, VerifierError as E};
use super::explore::Verifier;
use super::reg::{Kind, Reg};
use super::state::{FrameState, Returns, State};
use crate::helpers::Callback;
use crate::isa::Reg as R;
use crate::limits::MAX_CALL_FRAMES;

/// What a callback may return while the program runs: go on, or stop.
const GO_ON_OR_STOP: Returns = Returns { max: 1, is_async: false };
/// What a timer's callback may return.
const ZERO: Returns = Returns { max: 0, is_async: true };

impl Verifier<'_, '_, '_> {
    /// A call with a callback: puts a turn of it aside. The caller goes on as if there was none.
    pub(crate) fn calls_back(
        &mut self,
        state: &mut State,
        pc: u32,
        callback: Callback,
        call: &Call,
    ) -> Result<(), Reject> {
        let at = |e: E| Reject::at(pc, e);
        let func = call.func.ok_or(at(E::Internal { what: "callback" }))?;
        self.is_callback(func).map_err(at)?;
        if callback == Callback::Timer {
            return self.timer_runs(state, func, call).map_err(at);
        }
        if callback == Callback::Loop {
            // The bounds of a pointer say nothing of its address, which would be the number of turns.
            if !state.reg(R::R1).is_scalar() {
                return Err(at(E::NotScalarArg { reg: 1 }));
            }
            self.rests_on(state, R::R1);
            let limit = state.reg(R::R1).var.umax();
            if u64::from(state.frame().turns) >= limit {
                state.frame_mut().turns = 0;
                return Ok(());
            }
        }
        if state.frames.len() >= MAX_CALL_FRAMES {
            return Err(at(E::TooManyFrames { frames: state.frames.len() + 1 }));
        }
        let mut turn = state.try_clone().map_err(|e| at(e.into()))?;
        let mut callee = FrameState::entry(func, pc, turn.frames.len());
        callee.callback = Some(GO_ON_OR_STOP);
        let context = *state.reg(R::R3);
        let mut argument = |r: R, value: Reg| callee.regs[r.index()] = value;
        match callback {
            Callback::Loop => {
                argument(R::R1, Reg::UNKNOWN);
                argument(R::R2, context);
            }
            Callback::ForEach => {
                let map = call.map.ok_or(at(E::NoMapArg))?;
                let of_map = |kind: Kind| Reg { uid: call.uid, ..Reg::pointer(kind) };
                argument(R::R1, of_map(Kind::MapPtr(map)));
                argument(R::R2, of_map(Kind::MapKey(map)));
                argument(R::R3, Reg { id: self.ids.fresh(), ..of_map(Kind::MapValue(map)) });
                argument(R::R4, context);
            }
            Callback::Drain => {
                argument(R::R1, Reg { uid: self.ids.fresh(), ..Reg::pointer(Kind::Dynptr) });
                argument(R::R2, context);
            }
            Callback::Timer => {}
        }
        turn.frame_mut().turns += 1;
        turn.unrolled += 1;
        turn.frames.push(callee).map_err(|e| at(e.into()))?;
        state.frame_mut().turns = 0;
        let start = self.input.code.subprogs[func as usize].start;
        self.wait(start, pc, turn, Some(Entry { pc, note: Note::EnterCallback }))
    }

    /// Functions that are called back are static: a global one is verified for other arguments.
    fn is_callback(&self, func: u32) -> Result<(), E> {
        let sub = self.input.code.subprogs.get(func as usize).ok_or(E::Internal { what: "function" })?;
        if sub.global { Err(E::CallbackNotStatic) } else { Ok(()) }
    }

    /// A timer got its callback: it will run alone.
    fn timer_runs(&mut self, state: &State, func: u32, call: &Call) -> Result<(), E> {
        let timer = *state.reg(R::R1);
        let Kind::MapValue(map) = timer.kind else { return Err(E::Internal { what: "timer" }) };
        let mut alone = State::entry(func)?;
        alone.frame_mut().callback = Some(ZERO);
        let uid = call.uid;
        let of_map = |kind: Kind| Reg { uid, ..Reg::pointer(kind) };
        alone.set(R::R1, of_map(Kind::MapPtr(map)));
        alone.set(R::R2, of_map(Kind::MapKey(map)));
        alone.set(R::R3, Reg { id: self.ids.fresh(), ..of_map(Kind::MapValue(map)) });
        Ok(self.alone.push((func, alone))?)
    }

    /// Ends a turn of a callback: back to the call, which decides whether there is another one.
    pub(crate) fn callback_returns(&mut self, state: &mut State, returns: Returns) -> Result<u32, E> {
        let r0 = *state.reg(R::R0);
        if !r0.is_scalar() {
            return Err(E::CallbackResult);
        }
        self.rests_on(state, R::R0);
        within(&r0, returns.max, "At callback return")?;
        let callee = state.frames.pop().ok_or(E::Internal { what: "frame" })?;
        if let Some((old, noted)) = self.explored.previous(self.parent, callee.callsite, state)? {
            super::widen::widen(&old, noted, state);
        }
        Ok(callee.callsite)
    }
}

/// The number that a callback returns.
pub(crate) fn within(r0: &Reg, max: i64, when: &'static str) -> Result<(), E> {
    let (smin, smax) = (r0.var.smin(), r0.var.smax());
    if smin >= 0 && smax <= max {
        Ok(())
    } else {
        Err(E::ResultOutside { when, smin, smax, max: max as i32 })
    }
}
