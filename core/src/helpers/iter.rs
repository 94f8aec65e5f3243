//! The open-coded iterator over a range of numbers.

use super::{ArgType, Helper, IterUse, KFUNC_BASE, Proto, RetType};

pub(super) const NEW: Helper = Helper::known(
    KFUNC_BASE + 11,
    "bpf_iter_num_new",
    Proto::new(&[ArgType::IterNum(IterUse::New), ArgType::Scalar, ArgType::Scalar], RetType::Integer),
);

pub(super) const NEXT: Helper = Helper::known(
    KFUNC_BASE + 12,
    "bpf_iter_num_next",
    Proto::new(&[ArgType::IterNum(IterUse::Next)], RetType::IterNumOrNull),
);

pub(super) const DESTROY: Helper = Helper::known(
    KFUNC_BASE + 13,
    "bpf_iter_num_destroy",
    Proto::new(&[ArgType::IterNum(IterUse::Destroy)], RetType::Void),
);
