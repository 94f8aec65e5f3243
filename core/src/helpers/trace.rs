//! `bpf_trace_printk`: a binary record into the worker's ring, which readers format (`vm/trace.rs`).
//!
//! The result is what formatting would give: the length, or EINVAL for what is no format. Texts behind pointers are copied when the record is made, from memory
//! that is known to be readable (`readable.rs`); anything else prints as empty.

use super::format::{self, Arguments, Kind, Length, MAX_TEXT};
use super::readable::readable_at;
use super::{Access, ArgType, Helper, Proto, RetType};
use crate::error::Errno;
use crate::vm::{Ctx, TraceRecord, WorkerBlock};

/// Arguments behind the format.
const MAX_TRACE_PRINTK_VARARGS: usize = 3;

pub(super) const TRACE_PRINTK: Helper = Helper {
    id: 6,
    name: "bpf_trace_printk",
    proto: Proto::new(
        &[
            ArgType::Mem { access: Access::Read, nullable: false },
            ArgType::ConstSize,
            ArgType::Unchecked,
            ArgType::Unchecked,
            ArgType::Unchecked,
        ],
        RetType::Integer,
    ),
    func: Some(trace_printk),
};

pub(super) const TRACE_VPRINTK: Helper = Helper::known(
    177,
    "bpf_trace_vprintk",
    Proto::new(
        &[
            ArgType::Mem { access: Access::Read, nullable: false },
            ArgType::ConstSize,
            ArgType::Mem { access: Access::Read, nullable: true },
            ArgType::ConstSizeOrZero,
        ],
        RetType::Integer,
    ),
);

pub(super) const SNPRINTF: Helper = Helper::known(
    165,
    "bpf_snprintf",
    Proto::new(
        &[
            ArgType::Mem { access: Access::Modify, nullable: true },
            ArgType::ConstSizeOrZero,
            ArgType::ConstStr,
            ArgType::Mem { access: Access::Read, nullable: true },
            ArgType::ConstSizeOrZero,
        ],
        RetType::Integer,
    ),
);

unsafe extern "C" fn trace_printk(text: u64, size: u64, a: u64, b: u64, c: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved r2 readable bytes at r1.
    let text = unsafe { core::slice::from_raw_parts(text as *const u8, size as u32 as usize) };
    let Some(end) = text.iter().position(|&b| b == 0) else { return Errno::EINVAL.to_ret() };
    let format = text.get(..end).unwrap_or_default();
    let mut captured = Captured { numbers: [a, b, c], texts: [[0; MAX_TEXT]; 3], lens: [0; 3] };
    let checked = format::check(format, MAX_TRACE_PRINTK_VARARGS, |index, spec| {
        // SAFETY: the run's context.
        captured.capture(index, spec.kind, unsafe { &*ctx });
    });
    if let Err(e) = checked {
        return e.to_ret();
    }
    let mut length = Length::default();
    let _ = format::render(&mut length, format, &captured);
    // SAFETY: the worker's block, where there is one, belongs to this thread.
    if let Some(block) = unsafe { WorkerBlock::of(ctx) } {
        let texts = [captured.bytes(0), captured.bytes(1), captured.bytes(2)];
        block.trace(&TraceRecord { format, numbers: captured.numbers, texts, time: 0 }, ctx);
    }
    length.0 as u64
}

/// The arguments of one call, texts copied.
struct Captured {
    numbers: [u64; MAX_TRACE_PRINTK_VARARGS],
    texts: [[u8; MAX_TEXT]; MAX_TRACE_PRINTK_VARARGS],
    lens: [usize; MAX_TRACE_PRINTK_VARARGS],
}

impl Captured {
    /// Copies what an argument points to.
    fn capture(&mut self, index: usize, kind: Kind, ctx: &Ctx) {
        let (Some(&from), Some(text), Some(len)) =
            (self.numbers.get(index), self.texts.get_mut(index), self.lens.get_mut(index))
        else {
            return;
        };
        let readable = readable_at(from, ctx).min(kind.pointee());
        for (i, place) in text.iter_mut().enumerate().take(readable) {
            // SAFETY: `readable_at` says that so many bytes can be read there.
            let byte = unsafe { (from as *const u8).add(i).read() };
            if kind == Kind::Text && byte == 0 {
                break;
            }
            *place = byte;
            *len = i + 1;
        }
    }
}

impl Arguments for Captured {
    fn number(&self, index: usize) -> u64 {
        self.numbers.get(index).copied().unwrap_or(0)
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let len = self.lens.get(index).copied().unwrap_or(0);
        self.texts.get(index).and_then(|t| t.get(..len)).unwrap_or_default()
    }
}
