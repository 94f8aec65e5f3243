//! The BPF stack and the return records of a run, in fixed arrays on the native stack.
//!
//! Frames are packed, each rounded up to 16 bytes, growing down. What bounds them: the call chain of one program holds 512 bytes in 8 frames; above a
//! function that tail-calls at most 256 bytes and 7 frames stay while the target runs, 33 times at most. Both arrays hold that, so that a push
//! fails for no verified program; it is tested all the same.

use super::FaultKind;
use crate::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES, MAX_TAIL_CALL_CALLER_STACK, MAX_TAIL_CALL_CNT};
use crate::program::{Frame, Program, Verified};
use core::mem::MaybeUninit;

/// Bytes: tail-called chains above one whole stack; and at least a whole frame for each of the frames of a bare program.
const STACK_BYTES: usize = {
    let chains = (MAX_TAIL_CALL_CNT * MAX_TAIL_CALL_CALLER_STACK + MAX_BPF_STACK) as usize;
    // Rounding a frame to 16 costs up to 15 bytes in each.
    chains + RECORDS * 16
};
const RECORDS: usize = MAX_CALL_FRAMES + MAX_TAIL_CALL_CNT as usize * (MAX_CALL_FRAMES - 1);

const _: () = assert!(STACK_BYTES >= MAX_CALL_FRAMES * MAX_BPF_STACK as usize);

/// Where a call returns to, and what it must find again.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) program: &'a Program<Verified>,
    /// What the context calls it.
    pub(super) prog: *const u8,
    pub(super) pc: u32,
    /// The caller's r10.
    pub(super) fp: u64,
    /// The caller's r6 to r9.
    pub(super) saved: [u64; 4],
    /// The caller's lowest stack byte, as an offset.
    top: usize,
}

/// All frames of a run.
pub(super) struct Frames<'a> {
    bytes: Aligned,
    records: [MaybeUninit<Record<'a>>; RECORDS],
    depth: usize,
    /// Offset of the lowest byte in use.
    top: usize,
}

#[repr(C, align(16))]
struct Aligned([MaybeUninit<u8>; STACK_BYTES]);

impl<'a> Frames<'a> {
    pub(super) const fn new() -> Self {
        Frames {
            bytes: Aligned([const { MaybeUninit::uninit() }; STACK_BYTES]),
            records: [const { MaybeUninit::uninit() }; RECORDS],
            depth: 0,
            top: STACK_BYTES,
        }
    }

    /// Makes room for a function's frame and clears what it may read unwritten; returns its r10.
    pub(super) fn enter(&mut self, frame: &Frame) -> Result<u64, FaultKind> {
        let size = frame.size.next_multiple_of(16) as usize;
        let low = self.top.checked_sub(size).ok_or(FaultKind::CallDepth)?;
        let fp_offset = self.top;
        self.top = low;
        let base = self.bytes.0.as_mut_ptr();
        let mut clear = frame.clear;
        while clear != 0 {
            let slot = clear.trailing_zeros() as usize + 1;
            clear &= clear - 1;
            if 8 * slot > size {
                break;
            }
            // SAFETY: 8 * slot <= size <= fp_offset, so the eight bytes lie within the array, at a multiple of 8.
            unsafe { base.add(fp_offset - 8 * slot).cast::<u64>().write(0) };
        }
        // SAFETY: at most one beyond the array.
        Ok(unsafe { base.add(fp_offset) } as u64)
    }

    /// Gives up the frame of the running function, whose caller's record says where its own begins.
    pub(super) fn leave_frame(&mut self) {
        let caller = self.depth.checked_sub(1).and_then(|i| self.records.get(i));
        // SAFETY: records below `depth` were written by `push`.
        self.top = caller.map_or(STACK_BYTES, |r| unsafe { r.assume_init_ref() }.top);
    }

    /// Notes where a call returns to.
    pub(super) fn push(
        &mut self,
        program: &'a Program<Verified>,
        prog: *const u8,
        pc: u32,
        fp: u64,
        saved: [u64; 4],
    ) -> Result<(), FaultKind> {
        let record = self.records.get_mut(self.depth).ok_or(FaultKind::CallDepth)?;
        record.write(Record { program, prog, pc, fp, saved, top: self.top });
        self.depth += 1;
        Ok(())
    }

    /// Gives up the running function's frame and returns its caller's record; `None` in the main function.
    pub(super) fn pop(&mut self) -> Option<Record<'a>> {
        self.leave_frame();
        let below = self.depth.checked_sub(1)?;
        let record = self.records.get(below)?;
        self.depth = below;
        // SAFETY: records below `depth` were written by `push`.
        Some(unsafe { record.assume_init_read() })
    }

    /// The addresses that frames hold now.
    pub(super) fn live(&self) -> core::ops::Range<u64> {
        let base = self.bytes.0.as_ptr() as u64;
        base + self.top as u64..base + STACK_BYTES as u64
    }
}
