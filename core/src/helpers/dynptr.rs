//! Dynamic pointers: memory whose size is known at run time alone, behind a checked handle on the stack.

use super::{Access, ArgType, DynptrKind, DynptrUse, Helper, KFUNC_BASE, Proto, RetType};

const READ: ArgType = ArgType::Dynptr(DynptrUse::Read);

pub(super) const FROM_MEM: Helper = Helper::known(
    197,
    "bpf_dynptr_from_mem",
    Proto::new(
        &[
            ArgType::Mem { access: Access::Write, nullable: false },
            ArgType::ConstSizeOrZero,
            ArgType::Anything,
            ArgType::Dynptr(DynptrUse::New(DynptrKind::Local)),
        ],
        RetType::Integer,
    ),
);

pub(super) const READ_BYTES: Helper = Helper::known(
    201,
    "bpf_dynptr_read",
    Proto::new(
        &[
            ArgType::Mem { access: Access::Write, nullable: false },
            ArgType::ConstSizeOrZero,
            READ,
            ArgType::Anything,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
);

pub(super) const WRITE_BYTES: Helper = Helper::known(
    202,
    "bpf_dynptr_write",
    Proto::new(
        &[
            READ,
            ArgType::Anything,
            ArgType::Mem { access: Access::Read, nullable: false },
            ArgType::ConstSizeOrZero,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
);

pub(super) const DATA: Helper = Helper::known(
    203,
    "bpf_dynptr_data",
    Proto::new(&[READ, ArgType::Anything, ArgType::AllocSize], RetType::DynptrMemOrNull { writable: true }),
);

pub(super) const FROM_XDP: Helper = Helper::known(
    KFUNC_BASE + 3,
    "bpf_dynptr_from_xdp",
    Proto::new(
        &[ArgType::Ctx, ArgType::Scalar, ArgType::Dynptr(DynptrUse::New(DynptrKind::Xdp))],
        RetType::Integer,
    ),
);

const SLICE_ARGS: &[ArgType] =
    &[READ, ArgType::Scalar, ArgType::Mem { access: Access::Modify, nullable: true }, ArgType::SliceSize];

pub(super) const SLICE: Helper = Helper::known(
    KFUNC_BASE + 4,
    "bpf_dynptr_slice",
    Proto::new(SLICE_ARGS, RetType::DynptrMemOrNull { writable: false }),
);

pub(super) const SLICE_RDWR: Helper = Helper::known(
    KFUNC_BASE + 5,
    "bpf_dynptr_slice_rdwr",
    Proto::new(SLICE_ARGS, RetType::DynptrMemOrNull { writable: true }),
);

pub(super) const ADJUST: Helper = Helper::known(
    KFUNC_BASE + 6,
    "bpf_dynptr_adjust",
    Proto::new(&[READ, ArgType::Scalar, ArgType::Scalar], RetType::Integer),
);

pub(super) const CLONE: Helper = Helper::known(
    KFUNC_BASE + 7,
    "bpf_dynptr_clone",
    Proto::new(&[READ, ArgType::Dynptr(DynptrUse::Clone)], RetType::Integer),
);

pub(super) const SIZE: Helper =
    Helper::known(KFUNC_BASE + 8, "bpf_dynptr_size", Proto::new(&[READ], RetType::Integer));

pub(super) const IS_NULL: Helper =
    Helper::known(KFUNC_BASE + 9, "bpf_dynptr_is_null", Proto::new(&[READ], RetType::Integer));

pub(super) const IS_RDONLY: Helper =
    Helper::known(KFUNC_BASE + 10, "bpf_dynptr_is_rdonly", Proto::new(&[READ], RetType::Integer));
