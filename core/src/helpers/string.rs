//! Text: comparing it, numbers in it (`bpf_strncmp`, `bpf_strtol`, `bpf_strtoul`). The kernel functions over texts are in `strings.rs`.
//!
//! Source: the kernel's `kernel/bpf/helpers.c` and `lib/kstrtox.c`.

use super::{Access, ArgType, Helper, HelperFn, Proto, RetType};
use crate::error::Errno;
use crate::vm::Ctx;

/// Digits that are looked at: what the kernel copies.
const MAX_DIGITS: usize = 63;

/// Up to r2 bytes of r1 with the text r3: -1, 0 or 1, ending at the first difference or common NUL.
pub(super) const STRNCMP: Helper = Helper {
    id: 182,
    name: "bpf_strncmp",
    proto: Proto::new(
        &[ArgType::Mem { access: Access::Read, nullable: false }, ArgType::ConstSize, ArgType::ConstStr],
        RetType::Integer,
    ),
    func: Some(strncmp),
};

const fn number(id: u32, name: &'static str, func: HelperFn) -> Helper {
    Helper {
        id,
        name,
        proto: Proto::new(
            &[
                ArgType::Mem { access: Access::Read, nullable: false },
                ArgType::ConstSize,
                ArgType::Anything,
                ArgType::FixedMem { access: Access::Write, size: 8, aligned: true },
            ],
            RetType::Integer,
        ),
        func: Some(func),
    }
}

pub(super) const STRTOL: Helper = number(105, "bpf_strtol", strtol);
pub(super) const STRTOUL: Helper = number(106, "bpf_strtoul", strtoul);

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

/// What is found in front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    magnitude: u64,
    /// Bytes that it takes, blanks and sign included.
    len: u64,
}

/// Blanks, a sign, a prefix and digits, as `bpf_strtoull` of the kernel reads them.
///
/// # Safety
/// `size` bytes at `at` may be read.
unsafe fn parse(at: *const u8, size: usize, flags: u64) -> Result<Number, Errno> {
    if !matches!(flags, 0 | 8 | 10 | 16) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: `i < size` in every use.
    let byte = |i: usize| unsafe { at.add(i).read() };
    let mut i = 0;
    while i < size && is_space(byte(i)) {
        i += 1;
    }
    let negative = i < size && byte(i) == b'-';
    i += usize::from(negative);
    if i == size {
        return Err(Errno::EINVAL);
    }
    let end = size.min(i + MAX_DIGITS);
    // Beyond the end there is a NUL.
    let text = |i: usize| if i < end { byte(i) } else { 0 };
    let hex = text(i) == b'0' && text(i + 1) | 0x20 == b'x';
    let base = match flags {
        0 if hex && text(i + 2).is_ascii_hexdigit() => 16,
        0 if text(i) == b'0' => 8,
        0 => 10,
        base => base,
    };
    if base == 16 && hex {
        i += 2;
    }
    let (first, mut magnitude, mut overflow) = (i, 0u64, false);
    while let Some(digit) = digit(text(i)).filter(|d| *d < base) {
        let next = magnitude.checked_mul(base).and_then(|n| n.checked_add(digit));
        overflow |= next.is_none();
        magnitude = next.unwrap_or(magnitude);
        i += 1;
    }
    if overflow {
        return Err(Errno::ERANGE);
    }
    if i == first {
        return Err(Errno::EINVAL);
    }
    Ok(Number { negative, magnitude, len: i as u64 })
}

/// What a digit of base 16 stands for.
const fn digit(b: u8) -> Option<u64> {
    match b {
        b'0'..=b'9' => Some((b - b'0') as u64),
        b'a'..=b'f' => Some((b - b'a' + 10) as u64),
        b'A'..=b'F' => Some((b - b'A' + 10) as u64),
        _ => None,
    }
}

/// The kernel's `isspace`: ASCII's blanks and Latin-1's.
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t'..=b'\r' | 0xa0)
}

unsafe extern "C" fn strtol(text: u64, size: u64, flags: u64, out: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved r2 readable bytes at r1 and a writable, aligned number at r4.
    unsafe {
        let out = out as *mut i64;
        out.write(0);
        let read = parse(text as *const u8, size as usize, flags).and_then(|n| {
            let value = if n.negative {
                0i64.checked_sub_unsigned(n.magnitude)
            } else {
                i64::try_from(n.magnitude).ok()
            };
            Ok((value.ok_or(Errno::ERANGE)?, n.len))
        });
        match read {
            Ok((value, len)) => {
                out.write(value);
                len
            }
            Err(e) => e.to_ret(),
        }
    }
}

unsafe extern "C" fn strtoul(text: u64, size: u64, flags: u64, out: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: as `strtol`.
    unsafe {
        let out = out as *mut u64;
        out.write(0);
        match parse(text as *const u8, size as usize, flags) {
            Ok(n) if n.negative => Errno::EINVAL.to_ret(),
            Ok(n) => {
                out.write(n.magnitude);
                n.len
            }
            Err(e) => e.to_ret(),
        }
    }
}
