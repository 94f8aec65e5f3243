//! Control flow and exclusion: loops with a callback, timers, spin locks.

use super::{ArgType, Callback, Helper, Lock, Proto, RetType};

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

pub(super) const LOOP: Helper = Helper::known(
    181,
    "bpf_loop",
    Proto::new(
        &[ArgType::Anything, ArgType::Func, ArgType::StackOrNull, ArgType::Anything],
        RetType::Integer,
    )
    .calling(Callback::Loop),
);
