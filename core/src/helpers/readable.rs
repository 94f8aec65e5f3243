//! What a helper may read behind an address that nobody proved: texts of the string kernel functions and of formats.
//!
//! Known are the packet with its metadata, the memory of the running program's own maps, and the worker's stack above the helper, where the program's frames are. Everything
//! else is as if nothing could be read there.
//!
//! Kernel: reads any address of its own and catches the fault; uxdp: only what is known, because a process cannot catch the fault, and its memory is not the program's.

use crate::vm::{Ctx, WorkerBlock, maps_of};

/// Bytes above the helper that can hold frames of a program: those of a whole chain of tail calls in the interpreter, with room to spare.
const STACK: usize = 64 << 10;

/// Addresses below are never memory, as `mmap_min_addr` has it on every Linux.
const LOWEST: u64 = 0x1_0000;

/// Whether an address can be one at all: not near null, and canonical.
pub(super) fn is_address(addr: u64) -> bool {
    addr >= LOWEST && matches!(addr >> 47, 0 | 0x1_ffff)
}

/// How many bytes are known to be readable from an address on.
pub(super) fn readable_at(addr: u64, ctx: &Ctx) -> usize {
    let packet = within(addr, ctx.data_meta.addr(), ctx.data_end.addr());
    if packet != 0 {
        return packet;
    }
    match on_stack(addr, ctx) {
        0 => maps_of(ctx).iter().map(|m| m.readable_at(addr as usize)).find(|&n| n != 0).unwrap_or(0),
        n => n,
    }
}

fn within(addr: u64, start: usize, end: usize) -> usize {
    let addr = addr as usize;
    if (start..end).contains(&addr) { end - addr } else { 0 }
}

/// Bytes from an address up to the end of what is used of the worker's stack: it has no holes.
#[inline(never)]
fn on_stack(addr: u64, ctx: &Ctx) -> usize {
    let here = 0u8;
    let here = core::ptr::from_ref(core::hint::black_box(&here)).addr();
    // SAFETY: the run's context; its worker's block, where there is one, belongs to this thread.
    let Some(stack) = (unsafe { WorkerBlock::of(ctx) }).and_then(WorkerBlock::stack) else { return 0 };
    // A host may have switched to a stack of its own making, of which nothing is known.
    if !stack.contains(&here) {
        return 0;
    }
    within(addr, here, stack.end.min(here + STACK))
}
