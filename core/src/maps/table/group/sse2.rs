//! Words compared four at a time. SSE2 is part of x86-64.
//!
//! The words change while they are read, so that an ordinary vector load would be a data race. The loads are assembly, where the machine's
//! rules hold: an aligned 8-byte half of a vector load is never torn.

use super::Bucket;
use crate::maps::table::word::{PATTERN_SHIFT, Pattern};
use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_castps_si128, _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16,
    _mm_packs_epi32, _mm_set1_epi32, _mm_setzero_si128, _mm_shuffle_ps, _mm_srli_epi32,
};

/// The upper halves of four words that lie in two vectors.
const UPPER: i32 = 0b11_01_11_01;

/// A bit for each word of the line that matches; whether the first, which is no slot, is among them says nothing.
#[inline]
pub(super) fn matching(bucket: &Bucket, pattern: Pattern) -> u32 {
    let (a, b, c, d): (__m128i, __m128i, __m128i, __m128i);
    // SAFETY: a bucket is 64 readable bytes, aligned to 64; nothing but them is read, nothing written.
    unsafe {
        asm!(
            "movdqa {a}, [{line}]",
            "movdqa {b}, [{line} + 16]",
            "movdqa {c}, [{line} + 32]",
            "movdqa {d}, [{line} + 48]",
            line = in(reg) core::ptr::from_ref(bucket),
            a = out(xmm_reg) a,
            b = out(xmm_reg) b,
            c = out(xmm_reg) c,
            d = lateout(xmm_reg) d,
            options(nostack, readonly, preserves_flags),
        );
    }
    // SAFETY: SSE2 is part of x86-64.
    let mask = unsafe {
        let upper =
            |x, y| _mm_castps_si128(_mm_shuffle_ps::<UPPER>(_mm_castsi128_ps(x), _mm_castsi128_ps(y)));
        let hits = |x| {
            _mm_cmpeq_epi32(_mm_srli_epi32::<{ PATTERN_SHIFT as i32 }>(x), _mm_set1_epi32(pattern.0 as i32))
        };
        let all = _mm_packs_epi32(hits(upper(a, b)), hits(upper(c, d)));
        _mm_movemask_epi8(_mm_packs_epi16(all, _mm_setzero_si128()))
    };
    mask as u32
}
