//! Text.

use super::{Access, ArgType, Helper, KFUNC_BASE, Proto, RetType};
use crate::vm::Ctx;

pub(super) const STRNCMP: Helper = Helper {
    id: 182,
    name: "bpf_strncmp",
    proto: Proto::new(
        &[ArgType::Mem { access: Access::Read, nullable: false }, ArgType::ConstSize, ArgType::ConstStr],
        RetType::Integer,
    ),
    func: Some(strncmp),
};

/// Up to r2 bytes of r1 with the text r3: -1, 0 or 1, ending at the first difference or common NUL.
const fn number(id: u32, name: &'static str) -> Helper {
    Helper::known(
        id,
        name,
        Proto::new(
            &[
                ArgType::Mem { access: Access::Read, nullable: false },
                ArgType::ConstSize,
                ArgType::Anything,
                ArgType::FixedMem { access: Access::Write, size: 8, aligned: true },
            ],
            RetType::Integer,
        ),
    )
}

pub(super) const STRTOL: Helper = number(105, "bpf_strtol");
pub(super) const STRTOUL: Helper = number(106, "bpf_strtoul");

/// A kernel function over texts. The verifier does not look at where they are, as the kernel does not: the function finds out what may be read.
const fn text(number: u32, name: &'static str, args: &[ArgType]) -> Helper {
    Helper::known(KFUNC_BASE + number, name, Proto::new(args, RetType::Integer))
}

const TEXT: ArgType = ArgType::Unchecked;

pub(super) const STRCMP: Helper = text(23, "bpf_strcmp", &[TEXT, TEXT]);
pub(super) const STRCHR: Helper = text(24, "bpf_strchr", &[TEXT, ArgType::Scalar]);
pub(super) const STRCHRNUL: Helper = text(25, "bpf_strchrnul", &[TEXT, ArgType::Scalar]);
pub(super) const STRNCHR: Helper = text(26, "bpf_strnchr", &[TEXT, ArgType::Scalar, ArgType::Scalar]);
pub(super) const STRRCHR: Helper = text(27, "bpf_strrchr", &[TEXT, ArgType::Scalar]);
pub(super) const STRLEN: Helper = text(28, "bpf_strlen", &[TEXT]);
pub(super) const STRNLEN: Helper = text(29, "bpf_strnlen", &[TEXT, ArgType::Scalar]);
pub(super) const STRSPN: Helper = text(30, "bpf_strspn", &[TEXT, TEXT]);
pub(super) const STRCSPN: Helper = text(31, "bpf_strcspn", &[TEXT, TEXT]);
pub(super) const STRSTR: Helper = text(32, "bpf_strstr", &[TEXT, TEXT]);
pub(super) const STRNSTR: Helper = text(33, "bpf_strnstr", &[TEXT, TEXT, ArgType::Scalar]);
pub(super) const STRCASECMP: Helper = text(34, "bpf_strcasecmp", &[TEXT, TEXT]);

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
