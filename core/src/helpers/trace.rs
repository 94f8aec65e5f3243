//! Formatted text: `bpf_trace_printk` and `bpf_trace_vprintk`, which leave a binary record in the worker's ring that readers format (`vm/trace.rs`), and `bpf_snprintf`.
//!
//! The result is what formatting would give: the length, or EINVAL for what is no format. Texts behind pointers are copied when the record is made, from memory
//! that is known to be readable (`readable.rs`); anything else prints as empty.

use super::arguments::{MAX_BPRINTF_VARARGS, Taken};
use super::format::{self, Length};
use super::{Access, ArgType, Helper, Proto, RetType};
use crate::error::Errno;
use crate::vm::{Ctx, TraceRecord, WorkerBlock};
use core::fmt::{self, Write};

const READ: ArgType = ArgType::Mem { access: Access::Read, nullable: false };
const READ_OR_NULL: ArgType = ArgType::Mem { access: Access::Read, nullable: true };

pub(super) const TRACE_PRINTK: Helper = Helper {
    id: 6,
    name: "bpf_trace_printk",
    proto: Proto::new(
        &[READ, ArgType::ConstSize, ArgType::Unchecked, ArgType::Unchecked, ArgType::Unchecked],
        RetType::Integer,
    ),
    func: Some(trace_printk),
};

pub(super) const TRACE_VPRINTK: Helper = Helper {
    id: 177,
    name: "bpf_trace_vprintk",
    proto: Proto::new(&[READ, ArgType::ConstSize, READ_OR_NULL, ArgType::ConstSizeOrZero], RetType::Integer),
    func: Some(trace_vprintk),
};

pub(crate) const SNPRINTF: Helper = Helper {
    id: 165,
    name: "bpf_snprintf",
    proto: Proto::new(
        &[
            ArgType::Mem { access: Access::Modify, nullable: true },
            ArgType::ConstSizeOrZero,
            ArgType::ConstStr,
            READ_OR_NULL,
            ArgType::ConstSizeOrZero,
        ],
        RetType::Integer,
    ),
    func: Some(snprintf),
};

/// Formats into the worker's trace; the length.
fn trace(format: &[u8], numbers: &[u64], ctx: *mut Ctx) -> u64 {
    let Some(end) = format.iter().position(|&b| b == 0) else { return Errno::EINVAL.to_ret() };
    let format = format.get(..end).unwrap_or_default();
    // SAFETY: the run's context.
    let taken = match Taken::of(format, numbers, unsafe { &*ctx }) {
        Ok(taken) => taken,
        Err(e) => return e.to_ret(),
    };
    let mut length = Length::default();
    let _ = format::render(&mut length, format, &taken);
    // SAFETY: the worker's block, where there is one, belongs to this thread.
    if let Some(block) = unsafe { WorkerBlock::of(ctx) } {
        block.trace(&TraceRecord { format, arguments: &taken, time: 0 }, ctx);
    }
    length.0 as u64
}

unsafe extern "C" fn trace_printk(text: u64, size: u64, a: u64, b: u64, c: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved r2 readable bytes at r1.
    let text = unsafe { core::slice::from_raw_parts(text as *const u8, size as u32 as usize) };
    trace(text, &[a, b, c], ctx)
}

unsafe extern "C" fn trace_vprintk(
    text: u64,
    size: u64,
    arguments: u64,
    bytes: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved r2 readable bytes at r1, and r4 at r3.
    let (text, numbers) = unsafe {
        let text = core::slice::from_raw_parts(text as *const u8, size as u32 as usize);
        (text, Numbers::read(arguments, bytes))
    };
    numbers.map_or_else(Errno::to_ret, |n| trace(text, n.as_slice(), ctx))
}

/// Arguments as a program gives them: words in memory of its own.
struct Numbers {
    words: [u64; MAX_BPRINTF_VARARGS],
    count: usize,
}

impl Numbers {
    /// # Safety
    /// `bytes` bytes at `at` can be read.
    unsafe fn read(at: u64, bytes: u64) -> Result<Numbers, Errno> {
        let (bytes, mut words) = (bytes as u32 as usize, [0; MAX_BPRINTF_VARARGS]);
        if !bytes.is_multiple_of(8) || bytes > size_of_val(&words) || (bytes != 0 && at == 0) {
            return Err(Errno::EINVAL);
        }
        for (i, word) in words.iter_mut().enumerate().take(bytes / 8) {
            // SAFETY: the caller's; the alignment is the program's business.
            *word = unsafe { (at as *const u64).add(i).read_unaligned() };
        }
        Ok(Numbers { words, count: bytes / 8 })
    }

    fn as_slice(&self) -> &[u64] {
        self.words.get(..self.count).unwrap_or_default()
    }
}

/// A text without its NUL. Read byte by byte: core has no C library to ask for its length.
///
/// # Safety
/// It ends with a NUL and never changes.
unsafe fn constant<'a>(text: *const u8) -> &'a [u8] {
    // SAFETY: the caller's: no byte behind the NUL is read.
    unsafe {
        let mut len = 0;
        while text.add(len).read_volatile() != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(text, len)
    }
}

unsafe extern "C" fn snprintf(
    out: u64,
    size: u64,
    text: u64,
    arguments: u64,
    bytes: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved that r3 is NUL-terminated in a map that nobody writes, r5 bytes at r4 readable; the context is the run's.
    let (format, taken) = unsafe {
        let format = constant(text as *const u8);
        let taken = Numbers::read(arguments, bytes).and_then(|n| Taken::of(format, n.as_slice(), &*ctx));
        (format, taken)
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(e) => return e.to_ret(),
    };
    let mut into = Bounded { out: out as *mut u8, size: size as u32 as usize, len: 0 };
    let _ = format::render(&mut into, format, &taken);
    into.finish()
}

/// Text that is written into memory of a program as far as it goes, and counted whole.
struct Bounded {
    /// Writable for `size` bytes: the verifier's proof.
    out: *mut u8,
    size: usize,
    len: usize,
}

impl Bounded {
    /// Ends the text with a NUL, in the last byte where it is too long. Its length, the NUL included.
    fn finish(self) -> u64 {
        if let Some(last) = self.size.checked_sub(1) {
            // SAFETY: below `size`.
            unsafe { self.out.add(self.len.min(last)).write(0) };
        }
        self.len as u64 + 1
    }
}

impl Write for Bounded {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.chars().try_for_each(|c| self.write_char(c))
    }

    /// Formats hold bytes: a character is one.
    fn write_char(&mut self, c: char) -> fmt::Result {
        if self.len < self.size {
            // SAFETY: below `size`.
            unsafe { self.out.add(self.len).write(c as u32 as u8) };
        }
        self.len += 1;
        Ok(())
    }
}
