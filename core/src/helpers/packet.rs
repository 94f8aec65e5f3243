//! The packet: its ends moved, its bytes copied, its length. The first buffer's room is `data_hard_start` to `frame_end`; what is behind it is a chain of fragments.
//!
//! Source: the kernel's rules for `xdp_buff`: 40 bytes at the buffer's start stay free, metadata is 4-aligned and at most 252 bytes, a packet keeps
//! 14 bytes, bytes gained at the end are zero.

use super::{Access, ArgType, Helper, KFUNC_BASE, Proto, RetType, chain};
use crate::error::Errno;
use crate::limits::{ETH_HLEN, XDP_FRAME_SIZE, XDP_METADATA_MAX};
use crate::vm::{Ctx, Frags};

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

pub(super) const PULL_DATA: Helper = Helper {
    id: KFUNC_BASE + 22,
    name: "bpf_xdp_pull_data",
    proto: Proto::new(&[ArgType::Ctx, ArgType::Scalar], RetType::Integer).changing_packet(),
    func: Some(pull_data),
};

/// An address moved by what a program gives as an `int`.
fn moved(at: *mut u8, delta: u64) -> isize {
    (at as isize).wrapping_add(delta as i32 as isize)
}

/// The first address that packet and metadata may take.
fn lowest(ctx: &Ctx) -> isize {
    (ctx.data_hard_start as isize).wrapping_add(XDP_FRAME_SIZE as isize)
}

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
    if let Some(frags) = chain::frags_of(ctx) {
        let delta = delta as i32;
        let done =
            if delta < 0 { shrink_chain(ctx, frags, delta.wrapping_neg()) } else { grow_chain(frags, delta) };
        return done.map_or_else(Errno::to_ret, |()| 0);
    }
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

/// Takes bytes from the last fragments, which are dropped where nothing is left of them, then from the first buffer.
fn shrink_chain(ctx: &mut Ctx, frags: &mut Frags, by: i32) -> Result<(), Errno> {
    if i64::from(by) > chain::length(ctx) as i64 - ETH_HLEN as i64 {
        return Err(Errno::EINVAL);
    }
    let (mut left, mut dropped) = (by.max(0) as u32, 0);
    for frag in frags.live_mut().iter_mut().rev() {
        if left == 0 {
            break;
        }
        let taken = left.min(frag.len);
        dropped += usize::from(taken == frag.len);
        frag.len -= taken;
        left -= taken;
    }
    frags.release_last(dropped);
    if frags.is_empty() {
        // SAFETY: what is left to take is less than the first buffer has, as was tested above.
        ctx.data_end = unsafe { ctx.data_end.sub(left as usize) };
    }
    Ok(())
}

/// Grows the last fragment by zeroes.
fn grow_chain(frags: &mut Frags, by: i32) -> Result<(), Errno> {
    let Some(last) = frags.live_mut().last_mut() else { return Err(Errno::EINVAL) };
    let room = last.room.checked_sub(last.len).ok_or(Errno::EOPNOTSUPP)?;
    let by = by as u32;
    if by > room {
        return Err(Errno::EINVAL);
    }
    // SAFETY: within the fragment's room, by the host's word.
    unsafe { last.data.add(last.len as usize).write_bytes(0, by as usize) };
    last.len += by;
    Ok(())
}

/// Brings the first bytes of fragments into the first buffer, until `len` bytes are there. It grows at its end, then at its start.
unsafe extern "C" fn pull_data(_: u64, len: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    let ctx = unsafe { &mut *ctx };
    let invalid = u64::from(-Errno::EINVAL.0 as u32);
    let (len, have) = (u64::from(len as u32), chain::linear(ctx));
    if len <= have {
        return 0;
    }
    let Some(frags) = chain::frags_of(ctx) else { return invalid };
    if len > chain::length(ctx) {
        return invalid;
    }
    let wanted = (len - have) as usize;
    let tailroom = ctx.frame_end.addr() - ctx.data_end.addr();
    let headroom = (ctx.data_meta as isize - lowest(ctx)).max(0) as usize;
    if wanted > tailroom + headroom {
        return invalid;
    }
    // SAFETY: the room was just tested; fragments have the bytes that they say, elsewhere.
    unsafe {
        if let Some(shift) = wanted.checked_sub(tailroom).filter(|s| *s != 0) {
            let start = ctx.data_meta.sub(shift);
            core::ptr::copy(ctx.data_meta, start, ctx.data_end.addr() - ctx.data_meta.addr());
            ctx.data_meta = start;
            ctx.data = ctx.data.sub(shift);
            ctx.data_end = ctx.data_end.sub(shift);
        }
        let (mut left, mut dropped) = (wanted, 0);
        for frag in frags.live_mut() {
            if left == 0 {
                break;
            }
            let taken = left.min(frag.len as usize);
            core::ptr::copy(frag.data, ctx.data_end, taken);
            ctx.data_end = ctx.data_end.add(taken);
            left -= taken;
            dropped += usize::from(taken == frag.len as usize);
            frag.data = frag.data.add(taken);
            frag.len -= taken as u32;
            frag.room = frag.room.saturating_sub(taken as u32);
        }
        frags.release_first(dropped);
    }
    0
}

unsafe extern "C" fn buff_len(_: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `adjust_head`.
    chain::length(unsafe { &*ctx })
}

unsafe extern "C" fn load_bytes(_: u64, offset: u64, to: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; the verifier proved `len` writable bytes at r3.
    unsafe { chain::load(&*ctx, offset as u32, to as *mut u8, len as u32) }.map_or_else(Errno::to_ret, |()| 0)
}

unsafe extern "C" fn store_bytes(_: u64, offset: u64, from: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context; the verifier proved `len` readable bytes at r3.
    unsafe { chain::store(&*ctx, offset as u32, from as *const u8, len as u32) }
        .map_or_else(Errno::to_ret, |()| 0)
}
