//! The string kernel functions. The verifier does not look at where texts are, as the kernel does not: what may be read is found out here.
//!
//! A text ends at a NUL; one of [`XATTR_SIZE_MAX`] bytes and more is too long (E2BIG). What is no address is ERANGE, what cannot be read EFAULT, each when the byte
//! is needed, not before. Results are 32 bits wide. Source: the kernel's `kernel/bpf/helpers.c`.
//!
//! Kernel: ERANGE for every address that is not the kernel's; uxdp: for what is no address on this machine, because all memory is a process's.

use super::readable::{is_address, readable_at};
use super::{ArgType, Helper, HelperFn, KFUNC_BASE, Proto, RetType};
use crate::error::Errno;
use crate::vm::Ctx;
use memchr::arch::all::memchr::{One, Two};

/// Bytes that are looked at at most (`include/uapi/linux/limits.h`).
const XATTR_SIZE_MAX: usize = 65536;

const fn text(number: u32, name: &'static str, args: &[ArgType], func: HelperFn) -> Helper {
    Helper { id: KFUNC_BASE + number, name, proto: Proto::new(args, RetType::Integer), func: Some(func) }
}

const TEXT: ArgType = ArgType::Unchecked;
const NUM: ArgType = ArgType::Scalar;

pub(super) const STRCMP: Helper = text(23, "bpf_strcmp", &[TEXT, TEXT], strcmp);
pub(super) const STRCHR: Helper = text(24, "bpf_strchr", &[TEXT, NUM], strchr);
pub(super) const STRCHRNUL: Helper = text(25, "bpf_strchrnul", &[TEXT, NUM], strchrnul);
pub(super) const STRNCHR: Helper = text(26, "bpf_strnchr", &[TEXT, NUM, NUM], strnchr);
pub(super) const STRRCHR: Helper = text(27, "bpf_strrchr", &[TEXT, NUM], strrchr);
pub(super) const STRLEN: Helper = text(28, "bpf_strlen", &[TEXT], strlen);
pub(super) const STRNLEN: Helper = text(29, "bpf_strnlen", &[TEXT, NUM], strnlen);
pub(super) const STRSPN: Helper = text(30, "bpf_strspn", &[TEXT, TEXT], strspn);
pub(super) const STRCSPN: Helper = text(31, "bpf_strcspn", &[TEXT, TEXT], strcspn);
pub(super) const STRSTR: Helper = text(32, "bpf_strstr", &[TEXT, TEXT], strstr);
pub(super) const STRNSTR: Helper = text(33, "bpf_strnstr", &[TEXT, TEXT, NUM], strnstr);
pub(super) const STRCASECMP: Helper = text(34, "bpf_strcasecmp", &[TEXT, TEXT], strcasecmp);

/// A text of which so many bytes can be read.
#[derive(Clone, Copy)]
struct Text {
    at: *const u8,
    known: usize,
}

impl Text {
    fn new(addr: u64, ctx: &Ctx) -> Result<Text, Errno> {
        if !is_address(addr) {
            return Err(Errno::ERANGE);
        }
        Ok(Text { at: addr as *const u8, known: readable_at(addr, ctx) })
    }

    fn byte(self, i: usize) -> Result<u8, Errno> {
        if i >= self.known {
            return Err(Errno::EFAULT);
        }
        // SAFETY: that many bytes can be read; what other cores change meanwhile is one value or the other.
        Ok(unsafe { self.at.add(i).read_volatile() })
    }

    /// The first place below `limit` that `find` sees between two addresses, or where looking ended.
    fn find(self, limit: usize, find: impl Fn(*const u8, *const u8) -> Option<*const u8>) -> Found {
        let seen = self.known.min(limit);
        // SAFETY: `seen` bytes can be read.
        match find(self.at, unsafe { self.at.add(seen) }) {
            Some(place) => Found::At(place.addr() - self.at.addr()),
            None if seen < limit => Found::Fault,
            None => Found::Limit,
        }
    }

    /// The first NUL.
    fn end(self, limit: usize) -> Found {
        // SAFETY: `find` gives bounds of readable memory.
        self.find(limit, |from, to| unsafe { One::new(0).find_raw(from, to) })
    }

    /// The first byte that is `c` or NUL.
    fn find_or_end(self, c: u8, limit: usize) -> Found {
        // SAFETY: as above.
        self.find(limit, |from, to| unsafe { Two::new(c, 0).find_raw(from, to) })
    }

    /// Whether `c` is one of the text's bytes; its NUL is none.
    fn has(self, c: u8) -> Result<bool, Errno> {
        match self.find_or_end(c, XATTR_SIZE_MAX) {
            Found::At(i) => Ok(self.byte(i)? == c),
            other => Err(other.error()),
        }
    }
}

/// What looking for a byte came to.
#[derive(Clone, Copy)]
enum Found {
    At(usize),
    /// Not within the limit.
    Limit,
    /// Not within what can be read.
    Fault,
}

impl Found {
    const fn error(self) -> Errno {
        if let Found::Fault = self { Errno::EFAULT } else { Errno::E2BIG }
    }
}

/// An `int` as a kernel function returns it.
fn int(result: Result<i32, Errno>) -> u64 {
    u64::from(result.unwrap_or_else(|e| -e.0) as u32)
}

/// An index below [`XATTR_SIZE_MAX`].
fn index(i: usize) -> Result<i32, Errno> {
    Ok(i as i32)
}

fn compare(a: u64, b: u64, ctx: *mut Ctx, fold: fn(u8) -> u8) -> Result<i32, Errno> {
    // SAFETY: the run's context.
    let ctx = unsafe { &*ctx };
    let (a, b) = (Text::new(a, ctx)?, Text::new(b, ctx)?);
    for i in 0..XATTR_SIZE_MAX {
        let (x, y) = (fold(a.byte(i)?), fold(b.byte(i)?));
        if x != y {
            return Ok(if x < y { -1 } else { 1 });
        }
        if x == 0 {
            return Ok(0);
        }
    }
    Err(Errno::E2BIG)
}

/// The kernel's `tolower`: of Latin-1.
fn to_lower(b: u8) -> u8 {
    match b {
        b'A'..=b'Z' | 0xc0..=0xd6 | 0xd8..=0xde => b + 0x20,
        _ => b,
    }
}

unsafe extern "C" fn strcmp(a: u64, b: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(compare(a, b, ctx, |b| b))
}

unsafe extern "C" fn strcasecmp(a: u64, b: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(compare(a, b, ctx, to_lower))
}

/// Where `c` is in the first `count` bytes, the NUL among them.
fn find_char(s: u64, count: u64, c: u8, ctx: *mut Ctx) -> Result<i32, Errno> {
    // SAFETY: the run's context.
    let s = Text::new(s, unsafe { &*ctx })?;
    let limit = (count as usize).min(XATTR_SIZE_MAX);
    match s.find_or_end(c, limit) {
        Found::At(i) if s.byte(i)? == c => index(i),
        Found::At(_) => Err(Errno::ENOENT),
        Found::Limit if limit < XATTR_SIZE_MAX => Err(Errno::ENOENT),
        other => Err(other.error()),
    }
}

unsafe extern "C" fn strchr(s: u64, c: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(find_char(s, XATTR_SIZE_MAX as u64, c as u8, ctx))
}

unsafe extern "C" fn strnchr(s: u64, count: u64, c: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(find_char(s, count, c as u8, ctx))
}

unsafe extern "C" fn strchrnul(s: u64, c: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    int(Text::new(s, unsafe { &*ctx }).and_then(|s| match s.find_or_end(c as u8, XATTR_SIZE_MAX) {
        Found::At(i) => index(i),
        other => Err(other.error()),
    }))
}

/// The last place of an `int`: what is no byte is nowhere.
unsafe extern "C" fn strrchr(s: u64, c: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    int(Text::new(s, unsafe { &*ctx }).and_then(|s| match s.end(XATTR_SIZE_MAX) {
        Found::At(end) => {
            let c = u8::try_from(c as u32).map_err(|_| Errno::ENOENT)?;
            // SAFETY: the NUL, at `end`, can be read too.
            let last = unsafe { One::new(c).rfind_raw(s.at, s.at.add(end + 1)) };
            index(last.ok_or(Errno::ENOENT)?.addr() - s.at.addr())
        }
        other => Err(other.error()),
    }))
}

fn length(s: u64, count: u64, ctx: *mut Ctx) -> Result<i32, Errno> {
    let limit = (count as usize).min(XATTR_SIZE_MAX);
    // SAFETY: the run's context.
    match Text::new(s, unsafe { &*ctx })?.end(limit) {
        Found::At(i) => index(i),
        Found::Limit if limit < XATTR_SIZE_MAX => index(limit),
        other => Err(other.error()),
    }
}

unsafe extern "C" fn strlen(s: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(length(s, XATTR_SIZE_MAX as u64, ctx))
}

unsafe extern "C" fn strnlen(s: u64, count: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(length(s, count, ctx))
}

/// How many of the first bytes are in `set` (`wanted`), or are not.
fn span(s: u64, set: u64, wanted: bool, ctx: *mut Ctx) -> Result<i32, Errno> {
    // SAFETY: the run's context.
    let ctx = unsafe { &*ctx };
    let (s, set) = (Text::new(s, ctx)?, Text::new(set, ctx)?);
    for i in 0..XATTR_SIZE_MAX {
        let c = s.byte(i)?;
        if c == 0 || set.has(c)? != wanted {
            return index(i);
        }
    }
    Err(Errno::E2BIG)
}

unsafe extern "C" fn strspn(s: u64, accept: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(span(s, accept, true, ctx))
}

unsafe extern "C" fn strcspn(s: u64, reject: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(span(s, reject, false, ctx))
}

/// Where `part` begins in the first `len` bytes of `s`. One byte more of `part` is looked at, so that it may end there.
fn find_text(s: u64, part: u64, len: u64, ctx: *mut Ctx) -> Result<i32, Errno> {
    // SAFETY: the run's context.
    let ctx = unsafe { &*ctx };
    let (s, part, len) = (Text::new(s, ctx)?, Text::new(part, ctx)?, len as usize);
    for i in 0..XATTR_SIZE_MAX {
        let mut j = 0;
        while i + j <= len && j < XATTR_SIZE_MAX {
            let wanted = part.byte(j)?;
            if wanted == 0 {
                return index(i);
            }
            if i + j == len {
                break;
            }
            let c = s.byte(i + j)?;
            if c == 0 {
                return Err(Errno::ENOENT);
            }
            if c != wanted {
                break;
            }
            j += 1;
        }
        if j == XATTR_SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        if i + j == len {
            return Err(Errno::ENOENT);
        }
    }
    Err(Errno::E2BIG)
}

unsafe extern "C" fn strstr(s: u64, part: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(find_text(s, part, XATTR_SIZE_MAX as u64, ctx))
}

unsafe extern "C" fn strnstr(s: u64, part: u64, len: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    int(find_text(s, part, len, ctx))
}
