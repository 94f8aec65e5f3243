//! `bpf_tail_call`. Every engine does it itself; the function here is what is left when there is nothing to jump to.

use super::{ArgType, Helper, Proto, RetType};
use crate::error::Errno;
use crate::maps::MapType;
use crate::vm::Ctx;

/// Its number.
pub const TAIL_CALL: u32 = 12;

pub(super) const ROW: Helper = Helper {
    id: TAIL_CALL,
    name: "bpf_tail_call",
    proto: Proto::new(&[ArgType::Ctx, ArgType::ConstMapPtr, ArgType::Anything], RetType::TailCall)
        .on(&[MapType::ProgArray]),
    func: Some(missed),
};

/// The result of a call that went nowhere; no verified program reads it.
unsafe extern "C" fn missed(_: u64, _: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    Errno::EINVAL.to_ret()
}
