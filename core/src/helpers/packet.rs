//! The packet: its ends moved, its bytes copied, its length. Packets are linear here; the buffer's room is `data_hard_start` to `frame_end`.
//!
//! Source: the kernel's rules for `xdp_buff`: 40 bytes at the buffer's start stay free, metadata is 4-aligned and at most 252 bytes, a packet keeps
//! 14 bytes, bytes gained at the end are zero.

use super::{Access, ArgType, Helper, KFUNC_BASE, Proto, RetType};
use crate::error::Errno;
use crate::limits::{ETH_HLEN, MAX_PACKET_OFF, XDP_FRAME_SIZE, XDP_METADATA_MAX};
use crate::vm::Ctx;

const CTX_AND_DELTA: Proto = Proto::new(&[ArgType::Ctx, ArgType::Anything], RetType::Integer);

pub(super) const ADJUST_HEAD: Helper = Helper {
    id: 44,
    name: "bpf_xdp_adjust_head",
    proto: CTX_AND_DELTA.changing_packet(),
    func: Some(adjust_head),
};

pub(super) const ADJUST_META: Helper = Helper {
    id: 54,
    name: "bpf_xdp_adjust_meta",
    proto: CTX_AND_DELTA.changing_packet(),
    func: Some(adjust_meta),
};

pub(super) const ADJUST_TAIL: Helper = Helper {
    id: 65,
    name: "bpf_xdp_adjust_tail",
    proto: CTX_AND_DELTA.changing_packet(),
    func: Some(adjust_tail),
};

pub(super) const BUFF_LEN: Helper = Helper {
    id: 188,
    name: "bpf_xdp_get_buff_len",
    proto: Proto::new(&[ArgType::Ctx], RetType::Integer),
    func: Some(buff_len),
};

pub(super) const LOAD_BYTES: Helper = Helper {
    id: 189,
    name: "bpf_xdp_load_bytes",
    proto: Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Anything,
            ArgType::Mem { access: Access::Write, nullable: false },
            ArgType::ConstSize,
        ],
        RetType::Integer,
    ),
    func: Some(load_bytes),
};

pub(super) const STORE_BYTES: Helper = Helper {
    id: 190,
    name: "bpf_xdp_store_bytes",
    proto: Proto::new(
        &[
            ArgType::Ctx,
            ArgType::Anything,
            ArgType::Mem { access: Access::Read, nullable: false },
            ArgType::ConstSize,
        ],
        RetType::Integer,
    ),
    func: Some(store_bytes),
};

/// An address moved by what a program gives as an `int`.
fn moved(at: *mut u8, delta: u64) -> isize {
    (at as isize).wrapping_add(delta as i32 as isize)
}

/// The first address that packet and metadata may take.
fn lowest(ctx: &Ctx) -> isize {
    (ctx.data_hard_start as isize).wrapping_add(XDP_FRAME_SIZE as isize)
}

pub(super) const PULL_DATA: Helper = Helper::known(
    KFUNC_BASE + 22,
    "bpf_xdp_pull_data",
    Proto::new(&[ArgType::Ctx, ArgType::Scalar], RetType::Integer).changing_packet(),
);

unsafe extern "C" fn adjust_head(_: u64, delta: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context, which nobody else uses meanwhile.
    let ctx = unsafe { &mut *ctx };
    let meta_len = ctx.data as usize - ctx.data_meta as usize;
    let data = moved(ctx.data, delta);
    if data < lowest(ctx) + meta_len as isize || data > ctx.data_end as isize - ETH_HLEN as isize {
        return Errno::EINVAL.to_ret();
    }
    let delta = delta as i32 as isize;
    // SAFETY: the new start of packet and of metadata are within the buffer, as was just tested.
    unsafe {
        let meta = ctx.data_meta.offset(delta);
        if meta_len != 0 {
            core::ptr::copy(ctx.data_meta, meta, meta_len);
        }
        ctx.data_meta = meta;
        ctx.data = ctx.data.offset(delta);
    }
    0
}

unsafe extern "C" fn adjust_meta(_: u64, delta: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    let ctx = unsafe { &mut *ctx };
    let meta = moved(ctx.data_meta, delta);
    let len = (ctx.data as isize).wrapping_sub(meta);
    if meta < lowest(ctx) || len < 0 {
        return Errno::EINVAL.to_ret();
    }
    if len % 4 != 0 || len > XDP_METADATA_MAX as isize {
        return Errno::EACCES.to_ret();
    }
    // SAFETY: within the buffer, as was just tested.
    ctx.data_meta = unsafe { ctx.data.offset(-len) };
    0
}

unsafe extern "C" fn adjust_tail(_: u64, delta: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    let ctx = unsafe { &mut *ctx };
    let end = moved(ctx.data_end, delta);
    if end > ctx.frame_end as isize || end < ctx.data as isize + ETH_HLEN as isize {
        return Errno::EINVAL.to_ret();
    }
    let delta = delta as i32 as isize;
    // SAFETY: the new end is within the buffer, as was just tested.
    unsafe {
        if delta > 0 {
            ctx.data_end.write_bytes(0, delta as usize);
        }
        ctx.data_end = ctx.data_end.offset(delta);
    }
    0
}

unsafe extern "C" fn buff_len(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    length(unsafe { &*ctx })
}

fn length(ctx: &Ctx) -> u64 {
    (ctx.data_end as u64).wrapping_sub(ctx.data as u64)
}

/// Where `len` bytes at `offset` of the packet are.
fn span(ctx: &Ctx, offset: u64, len: u64) -> Result<*mut u8, Errno> {
    let (offset, len) = (u64::from(offset as u32), u64::from(len as u32));
    if offset > u64::from(MAX_PACKET_OFF) || len > u64::from(MAX_PACKET_OFF) {
        return Err(Errno::EFAULT);
    }
    if offset + len > length(ctx) {
        return Err(Errno::EINVAL);
    }
    // SAFETY: offset <= the packet's length.
    Ok(unsafe { ctx.data.add(offset as usize) })
}

unsafe extern "C" fn load_bytes(_: u64, offset: u64, to: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    match span(unsafe { &*ctx }, offset, len) {
        Ok(from) => {
            // SAFETY: `span` tested the packet's side, the verifier proved `len` writable bytes at r3; `copy` since r3 may be anywhere.
            unsafe { core::ptr::copy(from, to as *mut u8, len as u32 as usize) };
            0
        }
        Err(e) => e.to_ret(),
    }
}

unsafe extern "C" fn store_bytes(_: u64, offset: u64, from: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    match span(unsafe { &*ctx }, offset, len) {
        Ok(to) => {
            // SAFETY: as `load_bytes`, the other way.
            unsafe { core::ptr::copy(from as *const u8, to, len as u32 as usize) };
            0
        }
        Err(e) => e.to_ret(),
    }
}
