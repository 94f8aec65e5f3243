//! Text.

use super::{Access, ArgType, Helper, Proto, RetType};
use crate::vm::Ctx;

pub(super) const STRNCMP: Helper = Helper {
    id: 182,
    name: "bpf_strncmp",
    proto: Proto::new(
        &[ArgType::Mem { access: Access::Read, nullable: false }, ArgType::ConstSize, ArgType::ConstStr],
        RetType::Integer,
    ),
    func: strncmp,
};

/// Up to r2 bytes of r1 with the text r3: -1, 0 or 1, ending at the first difference or common NUL.
unsafe extern "C" fn strncmp(a: u64, size: u64, b: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    for i in 0..size as u32 as usize {
        // SAFETY: the verifier proved r2 readable bytes at r1, and that r3 is NUL-terminated: the loop ends at a NUL of either.
        let (x, y) = unsafe { ((a as *const u8).add(i).read(), (b as *const u8).add(i).read()) };
        if x != y {
            return if x < y { -1i64 as u64 } else { 1 };
        }
        if x == 0 {
            break;
        }
    }
    0
}
