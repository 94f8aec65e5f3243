//! Words compared all at once, by AVX-512: three instructions and one for the pattern.
//!
//! The load is assembly, as in `sse2` and for the same reason. Registers beyond the sixteenth leave nothing behind that slows SSE code down.

use super::Bucket;
use crate::maps::table::word::{PATTERN_SHIFT, Pattern};
use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};

/// Whether this machine, and its system, has the instructions. Those whose clock suffers by 512 bits lack VBMI2 and are said not to.
pub(super) fn is_here() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AVX512F: u32 = 1 << 16;
    const VBMI2: u32 = 1 << 6;
    // Of XCR0: SSE, AVX, and the three of AVX-512.
    const SAVED: u32 = 0b1110_0110;
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let features = __cpuid_count(7, 0);
    let saved: u32;
    // SAFETY: OSXSAVE says that the instruction and its register 0 are there; it changes nothing.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") saved, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    features.ebx & AVX512F != 0 && features.ecx & VBMI2 != 0 && saved & SAVED == SAVED
}

/// A bit for each word of the line that matches; whether the first, which is no slot, is among them says nothing.
///
/// # Safety
/// [`is_here`] is true.
#[inline(always)]
pub(super) unsafe fn matching(bucket: &Bucket, pattern: Pattern) -> u32 {
    let mask: u32;
    // SAFETY: a bucket is 64 readable bytes, aligned to 64; nothing but them is read, nothing written; the machine has the instructions by the caller's word.
    unsafe {
        asm!(
            "vpsrlq zmm16, zmmword ptr [{line}], {shift}",
            "vpbroadcastq zmm17, {pattern}",
            "vpcmpeqq k1, zmm16, zmm17",
            "kmovw {mask:e}, k1",
            line = in(reg) core::ptr::from_ref(bucket),
            shift = const 32 + PATTERN_SHIFT,
            pattern = in(reg) u64::from(pattern.0),
            mask = lateout(reg) mask,
            out("xmm16") _,
            out("xmm17") _,
            out("k1") _,
            options(nostack, readonly, preserves_flags),
        );
    }
    mask
}
