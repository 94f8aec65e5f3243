//! Everything that can run per packet, behind one symbol: the burst entry, the interpreter and every helper.
//!
//! The panic handler and the allocator call functions that nobody defines. A test links this archive with unreachable sections removed: if either name is
//! still wanted, the run path can panic or allocate.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use uxdp_core::helpers::{HelperSet, STANDARD};
use uxdp_core::program::{Program, Verified};
use uxdp_core::vm::{Ctx, Pkt};

unsafe extern "C" {
    fn uxdp_run_path_panics() -> !;
    fn uxdp_run_path_allocates() -> !;
}

struct Forbidden;

// SAFETY: neither function returns.
unsafe impl GlobalAlloc for Forbidden {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        // SAFETY: never linked into a program that runs.
        unsafe { uxdp_run_path_allocates() }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {
        // SAFETY: as above.
        unsafe { uxdp_run_path_allocates() }
    }
}

#[global_allocator]
static HEAP: Forbidden = Forbidden;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: as above.
    unsafe { uxdp_run_path_panics() }
}

/// The run path's roots.
///
/// # Safety
/// As the functions that it calls; it is linked, never run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_run_path(
    ctx: *mut Ctx,
    pkts: *mut Pkt,
    n: u32,
    program: &Program<Verified>,
    out: &mut HelperSet,
) -> u64 {
    *out = STANDARD;
    // SAFETY: the caller's.
    unsafe {
        uxdp_core::vm::xdp_run_burst(ctx, pkts, n);
        let mut cursor = n;
        let next = uxdp_core::vm::next_target(&(*ctx).redirect, n, &mut cursor);
        (*ctx).redirect = next.unwrap_or((*ctx).redirect);
        u64::from(uxdp_core::vm::xdp_run(ctx))
            ^ u64::from(uxdp_core::vm::run_entry(ctx))
            ^ uxdp_core::vm::hold_entry(&(*ctx).redirect).map_or(0, |held| {
                let id = held.id();
                core::mem::forget(held);
                id.into()
            })
            ^ u64::from(uxdp_core::vm::on_abort(ctx, 0))
            ^ uxdp_core::interp::run(program, STANDARD, ctx)
    }
}
