//! What an operation on constants gives: RFC 9669's arithmetic.

use crate::ir::{Cond, Op, Size, Width};

/// The value of a binary operation; `None` for one that is not arithmetic.
pub(super) fn binary(op: Op, width: Width, a: i64, b: i64) -> Option<i64> {
    match width {
        Width::W64 => wide(op, a as u64, b as u64).map(|v| v as i64),
        Width::W32 => narrow(op, a as u32, b as u32).map(i64::from),
    }
}

fn wide(op: Op, a: u64, b: u64) -> Option<u64> {
    let (sa, sb) = (a as i64, b as i64);
    Some(match op {
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Mul => a.wrapping_mul(b),
        Op::Div => a.checked_div(b).unwrap_or(0),
        Op::Mod => a.checked_rem(b).unwrap_or(a),
        Op::Sdiv if b == 0 => 0,
        Op::Sdiv => sa.wrapping_div(sb) as u64,
        Op::Smod if b == 0 => a,
        Op::Smod => sa.wrapping_rem(sb) as u64,
        Op::And => a & b,
        Op::Or => a | b,
        Op::Xor => a ^ b,
        Op::Lsh => a.wrapping_shl(b as u32),
        Op::Rsh => a.wrapping_shr(b as u32),
        Op::Arsh => sa.wrapping_shr(b as u32) as u64,
        _ => return None,
    })
}

fn narrow(op: Op, a: u32, b: u32) -> Option<u32> {
    let (sa, sb) = (a as i32, b as i32);
    Some(match op {
        Op::Add => a.wrapping_add(b),
        Op::Sub => a.wrapping_sub(b),
        Op::Mul => a.wrapping_mul(b),
        Op::Div => a.checked_div(b).unwrap_or(0),
        Op::Mod => a.checked_rem(b).unwrap_or(a),
        Op::Sdiv if b == 0 => 0,
        Op::Sdiv => sa.wrapping_div(sb) as u32,
        Op::Smod if b == 0 => a,
        Op::Smod => sa.wrapping_rem(sb) as u32,
        Op::And => a & b,
        Op::Or => a | b,
        Op::Xor => a ^ b,
        Op::Lsh => a.wrapping_shl(b),
        Op::Rsh => a.wrapping_shr(b),
        Op::Arsh => sa.wrapping_shr(b) as u32,
        _ => return None,
    })
}

/// The value of an operation on one constant.
pub(super) fn unary(op: Op, size: Size, width: Width, a: i64) -> Option<i64> {
    let unused = 64 - size.bits();
    let low = (a << unused) as u64 >> unused;
    let sign_extended = (low << unused) as i64 >> unused;
    Some(match (op, width) {
        (Op::Neg, Width::W64) => a.wrapping_neg(),
        (Op::Neg, Width::W32) => i64::from((a as u32).wrapping_neg()),
        (Op::Zext, _) => low as i64,
        (Op::Sext, Width::W64) => sign_extended,
        (Op::Sext, Width::W32) => i64::from(sign_extended as u32),
        (Op::Bswap, _) => (low.swap_bytes() >> unused) as i64,
        _ => return None,
    })
}

/// Whether a condition holds.
pub(crate) fn compare(cond: Cond, width: Width, a: i64, b: i64) -> bool {
    // 32-bit numbers keep their order, signed and unsigned, when both are sign-extended.
    let (a, b) = match width {
        Width::W64 => (a, b),
        Width::W32 => (i64::from(a as i32), i64::from(b as i32)),
    };
    let (ua, ub) = (a as u64, b as u64);
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => ua > ub,
        Cond::Ge => ua >= ub,
        Cond::Lt => ua < ub,
        Cond::Le => ua <= ub,
        Cond::Sgt => a > b,
        Cond::Sge => a >= b,
        Cond::Slt => a < b,
        Cond::Sle => a <= b,
        Cond::Set => a & b != 0,
    }
}
