//! Bytes of a packet over its first buffer and its fragments.
//!
//! Source: the kernel's `bpf_xdp_pointer` and `bpf_xdp_copy_buf` (`net/core/filter.c`).

use crate::error::Errno;
use crate::limits::MAX_PACKET_OFF;
use crate::vm::{Ctx, Frags, MAX_FRAGS, takes_frags};

/// The fragments, where there are some and the program that runs takes them (`xdp.frags`): others see the first buffer alone, whoever called them and how.
pub(super) fn frags_of<'a>(ctx: &Ctx) -> Option<&'a mut Frags> {
    // SAFETY: null, or what the host set for this run, which it does not touch meanwhile; nothing else of a helper holds a reference to it.
    unsafe { ctx.frags.as_mut() }.filter(|f| !f.is_empty() && takes_frags(ctx))
}

/// Bytes of the first buffer.
pub(super) fn linear(ctx: &Ctx) -> u64 {
    (ctx.data_end as u64).wrapping_sub(ctx.data as u64)
}

/// Bytes of the packet.
pub(super) fn length(ctx: &Ctx) -> u64 {
    linear(ctx) + frags_of(ctx).map_or(0, |f| f.len())
}

/// Where `len` bytes at `offset` are; none where they are not in one piece.
///
/// # Errors
/// EFAULT beyond what a packet can have, EINVAL beyond what this one has.
pub(super) fn pointer(ctx: &Ctx, offset: u32, len: u32) -> Result<Option<*mut u8>, Errno> {
    if offset > MAX_PACKET_OFF || len > MAX_PACKET_OFF {
        return Err(Errno::EFAULT);
    }
    let (mut offset, len, first) = (u64::from(offset), u64::from(len), linear(ctx));
    if offset + len <= first {
        // SAFETY: not beyond the first buffer's packet.
        return Ok(Some(unsafe { ctx.data.add(offset as usize) }));
    }
    if offset + len > length(ctx) {
        return Err(Errno::EINVAL);
    }
    if offset < first {
        return Ok(None);
    }
    offset -= first;
    for frag in frags_of(ctx).map_or(&[][..], |f| f.live()) {
        let size = u64::from(frag.len);
        if offset < size {
            // SAFETY: not beyond the fragment.
            return Ok((offset + len <= size).then(|| unsafe { frag.data.add(offset as usize) }));
        }
        offset -= size;
    }
    Ok(None)
}

/// The pieces of a packet.
pub(super) fn pieces(ctx: &Ctx) -> impl Iterator<Item = (*mut u8, usize)> {
    let frags = frags_of(ctx).map_or(&[][..], |f| f.live());
    core::iter::once((ctx.data, linear(ctx) as usize)).chain(frags.iter().map(|f| (f.data, f.len as usize)))
}

/// The pieces of the first `len` bytes.
pub(super) fn first(ctx: &Ctx, len: usize) -> heapless::Vec<(*const u8, usize), { MAX_FRAGS + 1 }> {
    let (mut left, mut list) = (len, heapless::Vec::new());
    for (at, size) in pieces(ctx) {
        let size = size.min(left);
        left -= size;
        // As many places as a packet has pieces.
        if size == 0 || list.push((at.cast_const(), size)).is_err() {
            break;
        }
    }
    list
}

/// Calls `copy` with each piece of `len` bytes at `offset`, and how far into them it is.
fn each_piece(ctx: &Ctx, offset: u32, len: u32, mut copy: impl FnMut(*mut u8, usize, usize)) {
    let (mut skip, mut done, len) = (offset as usize, 0, len as usize);
    for (at, size) in pieces(ctx) {
        let here = size.saturating_sub(skip).min(len - done);
        if here != 0 {
            // SAFETY: `skip < size`: within the piece.
            copy(unsafe { at.add(skip) }, done, here);
            done += here;
        }
        skip = skip.saturating_sub(size);
        if done == len {
            break;
        }
    }
}

/// Copies what there is of `len` bytes at `offset`, whatever the packet has.
///
/// # Safety
/// `to` is writable for `len` bytes.
pub(super) unsafe fn gather(ctx: &Ctx, offset: u32, to: *mut u8, len: u32) {
    // SAFETY: pieces are readable, `done + n <= len`; `copy`, since `to` may be anywhere.
    each_piece(ctx, offset, len, |from, done, n| unsafe { core::ptr::copy(from, to.add(done), n) });
}

/// Copies `len` bytes out of the packet.
///
/// # Safety
/// `to` is writable for `len` bytes.
///
/// # Errors
/// As [`pointer`].
pub(super) unsafe fn load(ctx: &Ctx, offset: u32, to: *mut u8, len: u32) -> Result<(), Errno> {
    match pointer(ctx, offset, len)? {
        // SAFETY: `len` bytes are there in one piece; `copy`, since `to` may be anywhere.
        Some(from) => unsafe { core::ptr::copy(from, to, len as usize) },
        // SAFETY: the caller's.
        None => unsafe { gather(ctx, offset, to, len) },
    }
    Ok(())
}

/// Copies `len` bytes into the packet.
///
/// # Safety
/// `from` is readable for `len` bytes.
///
/// # Errors
/// As [`pointer`].
pub(super) unsafe fn store(ctx: &Ctx, offset: u32, from: *const u8, len: u32) -> Result<(), Errno> {
    match pointer(ctx, offset, len)? {
        // SAFETY: as `load`, the other way.
        Some(to) => unsafe { core::ptr::copy(from, to, len as usize) },
        // SAFETY: as `gather`, the other way.
        None => each_piece(ctx, offset, len, |to, done, n| unsafe { core::ptr::copy(from.add(done), to, n) }),
    }
    Ok(())
}
