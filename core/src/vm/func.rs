//! Functions of programs as values: what `bpf_loop` and its kin are given, and how they call it.
//!
//! A function value is the address of a [`Func`]. Compiled code has one behind it for each function that is used as a value; those of interpreted programs are
//! the same for all programs, since the interpreter that runs knows which program it is in. So a helper calls back into whatever engine called it.
//!
//! A callback that ends the run (a fault, the watchdog) leaves its reason in the context; [`Func::turn`] says so, and the helper gives up.

use super::Ctx;
use crate::helpers::HelperFn;
use crate::interp;
use crate::limits::BPF_MAX_SUBPROGS;
use core::ops::ControlFlow;

/// A function as a value.
#[repr(C)]
pub(crate) struct Func {
    /// Its code under the helpers' ABI; `None`: the interpreter runs it.
    code: Option<HelperFn>,
    /// Its index among the program's functions.
    index: u64,
}

// The compiler writes records of this shape.
const _: () = assert!(core::mem::offset_of!(Func, index) == 8 && size_of::<Func>() == 16);

/// The functions of interpreted programs, by index.
static INTERPRETED: [Func; BPF_MAX_SUBPROGS] = {
    let mut all = [const { Func { code: None, index: 0 } }; BPF_MAX_SUBPROGS];
    let mut i = 0;
    while i < all.len() {
        all[i].index = i as u64;
        i += 1;
    }
    all
};

impl Func {
    /// The value of an interpreted program's function with that index.
    pub(crate) fn interpreted(index: u32) -> Option<&'static Func> {
        INTERPRETED.get(index as usize)
    }

    /// The index of the interpreted function that a value stands for.
    pub(crate) fn index_of(value: u64) -> Option<u32> {
        let skip = value.checked_sub(INTERPRETED.as_ptr() as u64)?;
        let size = size_of::<Func>() as u64;
        let index = skip / size;
        (skip.is_multiple_of(size) && index < INTERPRETED.len() as u64).then_some(index as u32)
    }

    /// Its code, where it is compiled.
    pub(crate) fn code(&self) -> Option<HelperFn> {
        self.code
    }

    /// Its index among the program's functions.
    pub(crate) fn index(&self) -> u32 {
        self.index as u32
    }

    /// Runs it in the run of `ctx`, from within a helper; r0, as the engine left it.
    ///
    /// # Safety
    /// The verifier proved the arguments for this function; `ctx` is the context of the run that gave the value to a helper, which has not returned yet.
    pub(crate) unsafe fn call(&self, args: [u64; 4], ctx: *mut Ctx) -> u64 {
        let [a, b, c, d] = args;
        match self.code {
            // SAFETY: code of the program that runs, written for this signature; the rest is the caller's word.
            Some(code) => unsafe { code(a, b, c, d, 0, ctx) },
            // SAFETY: the caller's.
            None => unsafe { interp::call_back(ctx, self.index(), [a, b, c, d, 0]) },
        }
    }

    /// Runs it for one turn of a loop: whether there is to be another one.
    ///
    /// # Safety
    /// As [`Func::call`].
    #[inline]
    pub(crate) unsafe fn turn(&self, args: [u64; 4], ctx: *mut Ctx) -> ControlFlow<()> {
        // SAFETY: the caller's.
        let (r0, aborted) = unsafe { (self.call(args, ctx), (*ctx).abort != 0) };
        if r0 != 0 || aborted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
