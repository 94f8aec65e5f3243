//! Words compared two at a time. NEON is part of AArch64.
//!
//! The words change while they are read, so that an ordinary vector load would be a data race. The loads are assembly, where the machine's
//! rules hold: an aligned 8-byte element of a vector load is never torn.

use super::Bucket;
use crate::maps::table::word::{PATTERN_SHIFT, Pattern};
use core::arch::aarch64::{
    uint32x4_t, vaddvq_u16, vandq_u16, vceqq_u32, vcombine_u16, vdupq_n_u32, vld1q_u16, vmovn_u32,
    vshrq_n_u32, vuzp2q_u32,
};
use core::arch::asm;

/// A bit for each word of the line.
const BITS: [u16; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// A bit for each word of the line that matches; whether the first, which is no slot, is among them says nothing.
#[inline]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> u32 {
    let (a, b, c, d): (uint32x4_t, uint32x4_t, uint32x4_t, uint32x4_t);
    // SAFETY: a bucket is 64 readable bytes, aligned to 64; nothing but them is read, nothing written.
    unsafe {
        asm!(
            "ldp {a:q}, {b:q}, [{line}]",
            "ldp {c:q}, {d:q}, [{line}, #32]",
            line = in(reg) core::ptr::from_ref(bucket),
            a = out(vreg) a,
            b = out(vreg) b,
            c = out(vreg) c,
            d = lateout(vreg) d,
            options(nostack, readonly, preserves_flags),
        );
    }
    // SAFETY: NEON is part of AArch64; `BITS` has eight numbers.
    let mask = unsafe {
        let want = vdupq_n_u32(pattern.0);
        let hits = |x, y| {
            let upper = vuzp2q_u32(x, y);
            vmovn_u32(vceqq_u32(vshrq_n_u32::<{ PATTERN_SHIFT as i32 }>(upper), want))
        };
        vaddvq_u16(vandq_u16(vcombine_u16(hits(a, b), hits(c, d)), vld1q_u16(BITS.as_ptr())))
    };
    u32::from(mask)
}
