//! `bpf_csum_diff`: the ones' complement difference of two pieces of memory, folded to 16 bits as Linux does since 6.13.
//!
//! Sums are taken over 32-bit words as they stand in memory (RFC 1071: the order of bytes does not matter for the result as it stands there); a size
//! that is no multiple of 4 is as if zero bytes followed.

use super::{Access, ArgType, Helper, Proto, RetType};
use crate::vm::Ctx;

const MEM: ArgType = ArgType::Mem { access: Access::Read, nullable: true };

pub(super) const CSUM_DIFF: Helper = Helper {
    id: 28,
    name: "bpf_csum_diff",
    proto: Proto::new(
        &[MEM, ArgType::ConstSizeOrZero, MEM, ArgType::ConstSizeOrZero, ArgType::Anything],
        RetType::Integer,
    )
    .taking_packet(),
    func: Some(csum_diff),
};

unsafe extern "C" fn csum_diff(
    from: u64,
    from_size: u64,
    to: u64,
    to_size: u64,
    seed: u64,
    _ctx: *mut Ctx,
) -> u64 {
    let (from_size, to_size, seed) = (from_size as u32, to_size as u32, seed as u32);
    // SAFETY: the verifier proved that many readable bytes at each; none are read where the size is 0.
    let (from_sum, to_sum) = unsafe {
        (|seed| sum(from as *const u8, from_size, seed), |seed| sum(to as *const u8, to_size, seed))
    };
    u64::from(match (from_size != 0, to_size != 0) {
        (true, true) => fold(add(to_sum(seed), !from_sum(0))),
        (false, true) => fold(to_sum(seed)),
        (true, false) => fold(!from_sum(!seed)),
        (false, false) => fold(seed),
    })
}

/// The ones' complement sum of `size` bytes and a start value.
///
/// # Safety
/// `size` bytes at `at` may be read.
unsafe fn sum(at: *const u8, size: u32, seed: u32) -> u32 {
    let mut total = u64::from(seed);
    let (words, rest) = (size as usize / 4, size as usize % 4);
    for i in 0..words {
        // SAFETY: 4 * i + 4 <= size. The alignment is the program's business.
        total += u64::from(unsafe { at.cast::<u32>().add(i).read_unaligned() });
    }
    for i in 0..rest {
        // SAFETY: 4 * words + i < size.
        total += u64::from(unsafe { at.add(4 * words + i).read() }) << (8 * i);
    }
    // Two folds: 2^30 words give less than 2^63, the first fold less than 2^33.
    let once = (total >> 32) + (total & 0xffff_ffff);
    ((once >> 32) + (once & 0xffff_ffff)) as u32
}

fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// To 16 bits with end-around carry.
fn fold(sum: u32) -> u32 {
    let once = (sum >> 16) + (sum & 0xffff);
    (once >> 16) + (once & 0xffff)
}
