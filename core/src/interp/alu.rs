//! Arithmetic and conditions of RFC 9669, sections 4.1 to 4.3, as functions of their operands.

use crate::isa::op::*;

/// A 64-bit operation; `off` is the instruction's offset. `None`: no such operation.
#[inline(always)]
pub(super) fn alu64(op: u8, off: i16, a: u64, b: u64) -> Option<u64> {
    Some(match op {
        BPF_ADD => a.wrapping_add(b),
        BPF_SUB => a.wrapping_sub(b),
        BPF_MUL => a.wrapping_mul(b),
        BPF_DIV if off == 0 => a.checked_div(b).unwrap_or(0),
        BPF_DIV => match b as i64 {
            0 => 0,
            -1 => a.wrapping_neg(),
            divisor => (a as i64).wrapping_div(divisor) as u64,
        },
        BPF_MOD if off == 0 => a.checked_rem(b).unwrap_or(a),
        BPF_MOD => match b as i64 {
            0 => a,
            -1 => 0,
            divisor => (a as i64).wrapping_rem(divisor) as u64,
        },
        BPF_OR => a | b,
        BPF_AND => a & b,
        BPF_XOR => a ^ b,
        BPF_LSH => a.wrapping_shl(b as u32),
        BPF_RSH => a.wrapping_shr(b as u32),
        BPF_ARSH => (a as i64).wrapping_shr(b as u32) as u64,
        BPF_NEG => a.wrapping_neg(),
        BPF_MOV => match off {
            0 => b,
            8 => b as i8 as u64,
            16 => b as i16 as u64,
            32 => b as i32 as u64,
            _ => return None,
        },
        _ => return None,
    })
}

/// A 32-bit operation; its result is zero-extended.
#[inline(always)]
pub(super) fn alu32(op: u8, off: i16, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        BPF_ADD => a.wrapping_add(b),
        BPF_SUB => a.wrapping_sub(b),
        BPF_MUL => a.wrapping_mul(b),
        BPF_DIV if off == 0 => a.checked_div(b).unwrap_or(0),
        BPF_DIV => match b as i32 {
            0 => 0,
            -1 => a.wrapping_neg(),
            divisor => (a as i32).wrapping_div(divisor) as u32,
        },
        BPF_MOD if off == 0 => a.checked_rem(b).unwrap_or(a),
        BPF_MOD => match b as i32 {
            0 => a,
            -1 => 0,
            divisor => (a as i32).wrapping_rem(divisor) as u32,
        },
        BPF_OR => a | b,
        BPF_AND => a & b,
        BPF_XOR => a ^ b,
        BPF_LSH => a.wrapping_shl(b),
        BPF_RSH => a.wrapping_shr(b),
        BPF_ARSH => (a as i32).wrapping_shr(b) as u32,
        BPF_NEG => a.wrapping_neg(),
        BPF_MOV => match off {
            0 => b,
            8 => b as i8 as u32,
            16 => b as i16 as u32,
            _ => return None,
        },
        _ => return None,
    })
}

/// A byte-order conversion of the low `bits` bits; the rest is zero.
#[inline(always)]
pub(super) fn byte_order(swap: bool, bits: i32, a: u64) -> Option<u64> {
    Some(match (bits, swap) {
        (16, false) => u64::from(a as u16),
        (32, false) => u64::from(a as u32),
        (64, false) => a,
        (16, true) => u64::from((a as u16).swap_bytes()),
        (32, true) => u64::from((a as u32).swap_bytes()),
        (64, true) => a.swap_bytes(),
        _ => return None,
    })
}

/// A condition on 64-bit operands. 32-bit operands come sign-extended, which keeps signed and unsigned order and bits alike.
#[inline(always)]
pub(super) fn condition(op: u8, a: u64, b: u64) -> Option<bool> {
    Some(match op {
        BPF_JEQ => a == b,
        BPF_JNE => a != b,
        BPF_JGT => a > b,
        BPF_JGE => a >= b,
        BPF_JLT => a < b,
        BPF_JLE => a <= b,
        BPF_JSET => a & b != 0,
        BPF_JSGT => a as i64 > b as i64,
        BPF_JSGE => a as i64 >= b as i64,
        BPF_JSLT => (a as i64) < b as i64,
        BPF_JSLE => a as i64 <= b as i64,
        _ => return None,
    })
}
