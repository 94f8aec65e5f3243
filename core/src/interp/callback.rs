//! Helpers that come back: functions of the program that they call run in the machine that called the helper, in frames above the caller's.
//!
//! Before the call the context gets a [`Caller`], which stands on the native stack; [`super::call_back`] finds the machine through it. What ends the run inside of a
//! callback is kept in the machine, is said to the helper by the context's reason, and ends the run when the helper has returned.

use super::FaultKind;
use super::machine::{Machine, Next};
use super::memory::Memory;
use crate::helpers::HelperFn;

/// Where a function returns to that a helper called: no slot of any program.
pub(super) const HELPER: u32 = u32::MAX;

/// How a helper comes back into the machine that called it.
pub(crate) struct Caller {
    pub(super) machine: *mut (),
    pub(super) run: unsafe fn(*mut (), u32, [u64; 5]) -> u64,
}

impl<M: Memory> Machine<'_, '_, M> {
    /// A helper that may call back, or end the run.
    ///
    /// # Safety
    /// As [`super::run_with`].
    #[inline(never)]
    pub(super) unsafe fn call_ending(
        &mut self,
        func: HelperFn,
        [a, b, c, d, e]: [u64; 5],
    ) -> Result<Next, FaultKind> {
        let ctx = self.ctx;
        let caller = Caller { machine: core::ptr::from_mut(self).cast(), run: Self::called_back };
        // SAFETY: as for every helper. While it runs, the machine is touched through `caller` alone, which is gone from the context before it goes itself.
        let (result, aborted) = unsafe {
            let outer = core::mem::replace(&mut (*ctx).caller, &raw const caller);
            let result = func(a, b, c, d, e, ctx);
            (*ctx).caller = outer;
            (result, (*ctx).abort != 0)
        };
        if aborted {
            return Err(FaultKind::Aborted);
        }
        self.regs[0] = result;
        Ok(Next::Follow)
    }

    /// Runs a function for a helper, in frames above the caller's. Where that ends the run, the context says so to the helper, and 1 ends its loop.
    ///
    /// # Safety
    /// As [`super::call_back`]; `this` is the machine that called the helper.
    unsafe fn called_back(this: *mut (), index: u32, args: [u64; 5]) -> u64 {
        // SAFETY: the machine waits for the helper and touches nothing meanwhile.
        let this = unsafe { &mut *this.cast::<Self>() };
        let caller = this.pc;
        [this.regs[1], this.regs[2], this.regs[3], this.regs[4], this.regs[5]] = args;
        this.pc = HELPER;
        let entered = this.call_subprog(index).map_err(|kind| kind.at(caller));
        // SAFETY: handed on.
        let done = entered.and_then(|_| unsafe { this.drive() });
        this.pc = caller;
        done.unwrap_or_else(|fault| {
            this.ended = Some(fault);
            // SAFETY: a run with helpers has a context.
            unsafe { (*this.ctx).set_abort(fault.kind.reason()) };
            1
        })
    }
}
