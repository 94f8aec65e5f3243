//! What the NIC said of a packet, as the host hands it over in the context: hash, time of receipt, VLAN tag. ENODATA where it said nothing.
//!
//! Linux gives these functions to programs that are bound to a device alone, and each device its own; uxdp gives them to all.

use super::{Access, ArgType, Helper, HelperFn, KFUNC_BASE, Proto, RetType};
use crate::error::Errno;
use crate::vm::{Ctx, RxMeta};

const fn out(size: u32) -> ArgType {
    ArgType::FixedMem { access: Access::Modify, size, aligned: false }
}

const fn row(number: u32, name: &'static str, args: &[ArgType], func: HelperFn) -> Helper {
    let proto = Proto::new(args, RetType::Integer).taking_packet();
    Helper { id: KFUNC_BASE + number, name, proto, func: Some(func) }
}

pub(super) const RX_HASH: Helper =
    row(0, "bpf_xdp_metadata_rx_hash", &[ArgType::Ctx, out(4), out(4)], rx_hash);
pub(super) const RX_TIMESTAMP: Helper =
    row(1, "bpf_xdp_metadata_rx_timestamp", &[ArgType::Ctx, out(8)], rx_timestamp);
pub(super) const RX_VLAN_TAG: Helper =
    row(2, "bpf_xdp_metadata_rx_vlan_tag", &[ArgType::Ctx, out(2), out(2)], rx_vlan_tag);

/// An `int` as a kernel function returns it.
const NO_DATA: u64 = -Errno::ENODATA.0 as u32 as u64;

/// What the NIC said, if that bit of `valid` is set.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn said(ctx: *const Ctx, bit: u32) -> Option<RxMeta> {
    // SAFETY: the caller's.
    let rx = unsafe { (*ctx).rx };
    (rx.valid & bit != 0).then_some(rx)
}

unsafe extern "C" fn rx_hash(_: u64, hash: u64, kind: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; the verifier proved four writable bytes at r2 and at r3.
    unsafe {
        let Some(rx) = said(ctx, RxMeta::HASH) else { return NO_DATA };
        (hash as *mut u32).write_unaligned(rx.hash);
        (kind as *mut u32).write_unaligned(rx.hash_type);
    }
    0
}

unsafe extern "C" fn rx_timestamp(_: u64, time: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; the verifier proved eight writable bytes at r2.
    unsafe {
        let Some(rx) = said(ctx, RxMeta::TIMESTAMP) else { return NO_DATA };
        (time as *mut u64).write_unaligned(rx.timestamp);
    }
    0
}

unsafe extern "C" fn rx_vlan_tag(_: u64, proto: u64, tag: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; the verifier proved two writable bytes at r2 and at r3.
    unsafe {
        let Some(rx) = said(ctx, RxMeta::VLAN) else { return NO_DATA };
        (proto as *mut u16).write_unaligned(rx.vlan_proto);
        (tag as *mut u16).write_unaligned(rx.vlan_tci);
    }
    0
}
