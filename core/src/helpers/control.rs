//! Control flow and exclusion: loops with a callback, timers, spin locks.

use super::{ArgType, Callback, Helper, Lock, Proto, RetType};
use crate::error::Errno;
use crate::limits::BPF_MAX_LOOPS;
use crate::vm::{Ctx, Func};

pub(super) const SPIN_LOCK: Helper =
    Helper::known(93, "bpf_spin_lock", Proto::new(&[ArgType::SpinLock(Lock::Take)], RetType::Void));

pub(super) const SPIN_UNLOCK: Helper =
    Helper::known(94, "bpf_spin_unlock", Proto::new(&[ArgType::SpinLock(Lock::Give)], RetType::Void));

pub(super) const TIMER_INIT: Helper = Helper::known(
    169,
    "bpf_timer_init",
    Proto::new(&[ArgType::Timer, ArgType::ConstMapPtr, ArgType::Anything], RetType::Integer),
);

pub(super) const TIMER_SET_CALLBACK: Helper = Helper::known(
    170,
    "bpf_timer_set_callback",
    Proto::new(&[ArgType::Timer, ArgType::Func], RetType::Integer).calling(Callback::Timer),
);

pub(super) const TIMER_START: Helper = Helper::known(
    171,
    "bpf_timer_start",
    Proto::new(&[ArgType::Timer, ArgType::Anything, ArgType::Anything], RetType::Integer),
);

pub(super) const TIMER_CANCEL: Helper =
    Helper::known(172, "bpf_timer_cancel", Proto::new(&[ArgType::Timer], RetType::Integer));

pub(super) const LOOP: Helper = Helper {
    id: 181,
    name: "bpf_loop",
    proto: Proto::new(
        &[ArgType::Anything, ArgType::Func, ArgType::StackOrNull, ArgType::Anything],
        RetType::Integer,
    )
    .calling(Callback::Loop),
    func: Some(turns),
};

/// How many turns there were, the one that ended the loop included.
///
/// Kernel: where the flags are the constant 0, its inlined form gives -E2BIG in 32 bits, a positive number; uxdp: always in 64, because that is what the helper's
/// description says, and what the kernel's own function does.
unsafe extern "C" fn turns(n: u64, func: u64, data: u64, flags: u64, _: u64, ctx: *mut Ctx) -> u64 {
    let n = n as u32;
    if flags != 0 {
        return Errno::EINVAL.to_ret();
    }
    if n > BPF_MAX_LOOPS {
        return Errno::E2BIG.to_ret();
    }
    for i in 0..n {
        // SAFETY: the verifier proved that r2 is a function of the program that takes a number and r3; the context is the run's.
        if unsafe { (*(func as *const Func)).turn([u64::from(i), data, 0, 0], ctx) }.is_break() {
            return u64::from(i) + 1;
        }
    }
    u64::from(n)
}
