//! Control flow and exclusion: loops with a callback, spin locks.

use super::{ArgType, Callback, Helper, Lock, Proto, RetType};
use crate::error::Errno;
use crate::limits::BPF_MAX_LOOPS;
use crate::maps::ValueLock;
use crate::vm::{AbortReason, Ctx, Func};

pub(super) const SPIN_LOCK: Helper = Helper {
    id: 93,
    name: "bpf_spin_lock",
    proto: Proto::new(&[ArgType::SpinLock(Lock::Take)], RetType::Void),
    func: Some(lock),
};

pub(super) const SPIN_UNLOCK: Helper = Helper {
    id: 94,
    name: "bpf_spin_unlock",
    proto: Proto::new(&[ArgType::SpinLock(Lock::Give)], RetType::Void),
    func: Some(unlock),
};

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

/// The context keeps what is held: a run that ends inside gives it back.
unsafe extern "C" fn lock(word: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved that r1 is the lock of a value, and that none is held; the context is the run's, its services outlive it.
    unsafe {
        let lock = ValueLock::at(word as *mut u8);
        let c = &mut *ctx;
        match c.env.as_ref() {
            Some(env) if lock.take(c.slot, env.platform) => c.lock = lock,
            _ => c.set_abort(AbortReason::Lock),
        }
    }
    0
}

unsafe extern "C" fn unlock(word: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `lock`: it is the one that is held.
    unsafe {
        (*ctx).lock = core::ptr::null();
        ValueLock::at(word as *mut u8).give();
    }
    0
}

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
