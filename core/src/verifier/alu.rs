//! What each arithmetic instruction does to what is known of its operands.
//!
//! One function a width, `lane_op`, says it for a value of `B` bits; [`alu`] runs it at 64 bits, at 32, or at both where the low half of
//! the result depends on the low halves only.
//!
//! Bits go through the tnum equations. Bounds go part by part ([`Range::parts`]): a part has one sign, so each operation is monotone or has
//! a known extremum there, and the result is
//! - add, sub, mul, shift left: an arc of the number circle, exact while it is shorter than the circle; a product is taken twice, with
//!   negative parts read as signed and as unsigned, since either may be the shorter arc;
//! - and, or, xor: the exact bounds over two intervals (Warren, "Hacker's Delight", chapter 4-3), found bit by bit;
//! - division: quotients of the ends, a divisor of zero apart; remainder: below the divisor, unchanged where the dividend is smaller,
//!   a span where all dividends have the same quotient; in all cases its low bits are the dividend's where the divisor has trailing zeros;
//! - shifts: the join over every amount that is possible once it is masked to the width.
//!
//! Semantics (RFC 9669): x / 0 = 0, x % 0 = x, INT_MIN / -1 = INT_MIN, INT_MIN % -1 = 0, shift amounts masked, 32-bit results
//! zero-extended.

use crate::verifier::lane::Lane;
use crate::verifier::range::{Interval, Range};
use crate::verifier::scalar::Number;
use crate::verifier::tnum::{Tnum, ones};

/// Whether an instruction works on all 64 bits or on the low 32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// `BPF_ALU64`, `BPF_JMP`.
    W64,
    /// `BPF_ALU`, `BPF_JMP32`: the low halves.
    W32,
}

/// The arithmetic instructions but moves and byte swaps.
#[expect(missing_docs, reason = "RFC 9669's names")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Sdiv,
    Smod,
    Or,
    And,
    Xor,
    Lsh,
    Rsh,
    Arsh,
    /// 0 - dst; the source does not count.
    Neg,
}

impl AluOp {
    /// Every operation.
    pub const ALL: [AluOp; 14] = {
        use AluOp::*;
        [Add, Sub, Mul, Div, Mod, Sdiv, Smod, Or, And, Xor, Lsh, Rsh, Arsh, Neg]
    };
}

/// The result of `dst op= src`. It holds every concrete result of members of the operands.
pub fn alu<const W: u32, const H: u32>(
    op: AluOp,
    width: Width,
    dst: &Number<W, H>,
    src: &Number<W, H>,
) -> Number<W, H> {
    if width == Width::W32 {
        return Number::from_low(&lane_op(op, &dst.low(), &src.low()));
    }
    if op == AluOp::Lsh {
        return shift_left(dst, &amounts(&src.wide()));
    }
    let wide = lane_op(op, &dst.wide(), &src.wide());
    let low = match op {
        AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::Or | AluOp::And | AluOp::Xor | AluOp::Neg => {
            lane_op(op, &dst.low(), &src.low())
        }
        _ => Lane::UNKNOWN,
    };
    Number::from_lanes(&wide, &low)
}

/// The result at one width.
pub(crate) fn lane_op<const B: u32>(op: AluOp, a: &Lane<B>, b: &Lane<B>) -> Lane<B> {
    let (x, y) = (a.tnum(), b.tnum());
    let (tnum, range) = match op {
        AluOp::Add => (x + y, over_parts(a, b, add_arc)),
        AluOp::Sub => (x - y, over_parts(a, b, sub_arc)),
        AluOp::Neg => return lane_op(AluOp::Sub, &Lane::constant(0), a),
        AluOp::Mul => (x * y, mul_range(a, b)),
        AluOp::And => {
            (x & y, over_parts(a, b, |p, q, out: &mut Range<B>| out.cover_span(and_min(p, q), and_max(p, q))))
        }
        AluOp::Or => {
            (x | y, over_parts(a, b, |p, q, out: &mut Range<B>| out.cover_span(or_min(p, q), or_max(p, q))))
        }
        AluOp::Xor => {
            (x ^ y, over_parts(a, b, |p, q, out: &mut Range<B>| out.cover_span(xor_min(p, q), xor_max(p, q))))
        }
        AluOp::Div => (div_bits(x, y), with_divisor(a, b, Lane::constant(0), div_part)),
        AluOp::Sdiv => (Tnum::UNKNOWN, with_divisor(a, b, Lane::constant(0), sdiv_part)),
        AluOp::Mod => (rem_bits(x, y), with_divisor(a, b, *a, rem_part)),
        AluOp::Smod => (rem_bits(x, y), with_divisor(a, b, *a, srem_part)),
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            return amounts(b)
                .iter()
                .map(|k| shift_by(op, a, k))
                .reduce(|s, t| s.join(&t))
                .unwrap_or(Lane::UNKNOWN);
        }
    };
    // Operands that no value fits may contradict each other here; then any result is right.
    Lane::new(tnum, range).unwrap_or(Lane::UNKNOWN)
}

/// The union of `f` over each pair of parts.
fn over_parts<const B: u32>(
    a: &Lane<B>,
    b: &Lane<B>,
    f: impl Fn(Interval, Interval, &mut Range<B>),
) -> Range<B> {
    let mut out = Range::EMPTY;
    for p in a.range().parts() {
        for q in b.range().parts() {
            f(p, q, &mut out);
        }
    }
    out
}

fn add_arc<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    // Each width is below half the circle: the sum does not wrap.
    out.cover_arc(p.lo.wrapping_add(q.lo), (p.hi - p.lo) + (q.hi - q.lo));
}

fn sub_arc<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    out.cover_arc(p.lo.wrapping_sub(q.hi), (p.hi - p.lo) + (q.hi - q.lo));
}

/// Adds the integers from `lo` to `hi`, each cut to `B` bits.
fn cover_integers<const B: u32>(lo: i128, hi: i128, out: &mut Range<B>) {
    let width = u64::try_from(hi - lo).unwrap_or(u64::MAX);
    out.cover_arc(lo as u64, width);
}

/// The ends of a part as signed integers.
fn signed_ends<const B: u32>(p: Interval) -> (i128, i128) {
    (i128::from(Range::<B>::signed(p.lo)), i128::from(Range::<B>::signed(p.hi)))
}

fn mul_range<const B: u32>(a: &Lane<B>, b: &Lane<B>) -> Range<B> {
    let signed = over_parts(a, b, |p, q, out| {
        let ((pl, ph), (ql, qh)) = (signed_ends::<B>(p), signed_ends::<B>(q));
        let corners = [pl * ql, pl * qh, ph * ql, ph * qh];
        let lo = corners.iter().copied().fold(i128::MAX, i128::min);
        let hi = corners.iter().copied().fold(i128::MIN, i128::max);
        cover_integers(lo, hi, out);
    });
    if a.range().umax() < Range::<B>::SIGN && b.range().umax() < Range::<B>::SIGN {
        return signed;
    }
    let unsigned = over_parts(a, b, |p, q, out| {
        let lo = u128::from(p.lo) * u128::from(q.lo);
        let hi = u128::from(p.hi) * u128::from(q.hi);
        out.cover_arc(lo as u64, u64::try_from(hi - lo).unwrap_or(u64::MAX));
    });
    signed.meet(&unsigned)
}

/// The union of `f` over each pair of parts, the divisor not zero, and of `by_zero` where it can be.
fn with_divisor<const B: u32>(
    a: &Lane<B>,
    b: &Lane<B>,
    by_zero: Lane<B>,
    f: impl Fn(Interval, Interval, &mut Range<B>),
) -> Range<B> {
    let rest = over_parts(a, b, |p, q, out| {
        let q = Interval { lo: q.lo.max(1), hi: q.hi };
        if q.lo <= q.hi {
            f(p, q, out);
        }
    });
    if b.contains(0) { rest.join(by_zero.range()) } else { rest }
}

fn div_part<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    out.cover_span(p.lo / q.hi, p.hi / q.lo);
}

fn sdiv_part<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    let ((pl, ph), (ql, qh)) = (signed_ends::<B>(p), signed_ends::<B>(q));
    let corners = [pl / ql, pl / qh, ph / ql, ph / qh];
    let lo = corners.iter().copied().fold(i128::MAX, i128::min);
    let hi = corners.iter().copied().fold(i128::MIN, i128::max);
    // INT_MIN / -1 is 2^(B-1), which the arc wraps to INT_MIN.
    cover_integers(lo, hi, out);
}

fn rem_part<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    if p.hi < q.lo {
        out.cover_span(p.lo, p.hi);
    } else if q.lo == q.hi && p.lo / q.lo == p.hi / q.lo {
        out.cover_span(p.lo % q.lo, p.hi % q.lo);
    } else {
        out.cover_span(0, p.hi.min(q.hi - 1));
    }
}

fn srem_part<const B: u32>(p: Interval, q: Interval, out: &mut Range<B>) {
    let ((pl, ph), (ql, qh)) = (signed_ends::<B>(p), signed_ends::<B>(q));
    // Magnitudes: the largest dividend, the smallest and the largest divisor.
    let (dividend, least, most) = (pl.abs().max(ph.abs()), ql.abs().min(qh.abs()), ql.abs().max(qh.abs()));
    let bound = dividend.min(most - 1);
    if dividend < least {
        cover_integers(pl, ph, out);
    } else if ql == qh && pl / ql == ph / ql {
        cover_integers(pl % ql, ph % ql, out);
    } else if pl < 0 {
        cover_integers(-bound, 0, out);
    } else {
        cover_integers(0, bound, out);
    }
}

/// The bits of an unsigned quotient: a shift where the divisor is a known power of two.
fn div_bits(x: Tnum, y: Tnum) -> Tnum {
    if y.is_const() && y.value().is_power_of_two() {
        x.rsh(y.value().trailing_zeros())
    } else {
        Tnum::UNKNOWN
    }
}

/// The bits of a remainder, signed or not: x - n * y has the low bits of x that every y has as zeros.
fn rem_bits(x: Tnum, y: Tnum) -> Tnum {
    Tnum::UNKNOWN.with_low(y.may().trailing_zeros(), x)
}

/// The bits below the leading ones that both ends of both intervals share: elsewhere an end cannot move.
fn movable(p: Interval, q: Interval) -> u64 {
    ones(64 - ((p.lo ^ p.hi) | (q.lo ^ q.hi)).leading_zeros())
}

// The walks of Warren's bounds: at each bit from the top, whether an end may move across that bit and so free all lower ones.

fn or_min(p: Interval, q: Interval) -> u64 {
    let (mut a, mut c) = (p.lo, q.lo);
    let mut rest = (a ^ c) & movable(p, q);
    while rest != 0 {
        let m = top_bit(rest);
        let (end, limit) = if a & m == 0 { (&mut a, p.hi) } else { (&mut c, q.hi) };
        let raised = (*end | m) & m.wrapping_neg();
        if raised <= limit {
            *end = raised;
            break;
        }
        rest ^= m;
    }
    a | c
}

fn or_max(p: Interval, q: Interval) -> u64 {
    let (mut b, mut d) = (p.hi, q.hi);
    let mut rest = b & d & movable(p, q);
    while rest != 0 {
        let m = top_bit(rest);
        let (one, other) = ((b - m) | (m - 1), (d - m) | (m - 1));
        if one >= p.lo {
            b = one;
            break;
        }
        if other >= q.lo {
            d = other;
            break;
        }
        rest ^= m;
    }
    b | d
}

fn and_min(p: Interval, q: Interval) -> u64 {
    !or_max(flip(p), flip(q))
}

fn and_max(p: Interval, q: Interval) -> u64 {
    !or_min(flip(p), flip(q))
}

fn xor_min(p: Interval, q: Interval) -> u64 {
    let (mut a, mut c) = (p.lo, q.lo);
    let mut rest = movable(p, q);
    while (a ^ c) & rest != 0 {
        let m = top_bit((a ^ c) & rest);
        let (end, limit) = if a & m == 0 { (&mut a, p.hi) } else { (&mut c, q.hi) };
        let raised = (*end | m) & m.wrapping_neg();
        if raised <= limit {
            *end = raised;
        }
        rest = m - 1;
    }
    a ^ c
}

fn xor_max(p: Interval, q: Interval) -> u64 {
    let (mut b, mut d) = (p.hi, q.hi);
    let mut rest = movable(p, q);
    while b & d & rest != 0 {
        let m = top_bit(b & d & rest);
        let (one, other) = ((b - m) | (m - 1), (d - m) | (m - 1));
        if one >= p.lo {
            b = one;
        } else if other >= q.lo {
            d = other;
        }
        rest = m - 1;
    }
    b ^ d
}

fn flip(p: Interval) -> Interval {
    Interval { lo: !p.hi, hi: !p.lo }
}

/// The highest bit of `x`, which is not zero.
fn top_bit(x: u64) -> u64 {
    1 << (63 - x.leading_zeros())
}

/// The shift amounts that are possible, as a set of bits.
#[derive(Clone, Copy)]
struct Amounts(u64);

impl Amounts {
    fn iter(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |k| self.0 >> k & 1 == 1)
    }
}

/// The amounts that `b` can be once masked to the width.
fn amounts<const B: u32>(b: &Lane<B>) -> Amounts {
    let masked = lane_op(AluOp::And, b, &Lane::constant(u64::from(B - 1)));
    Amounts((0..B).filter(|k| masked.contains(u64::from(*k))).fold(0, |set, k| set | 1 << k))
}

/// One shift by `k`, below the width.
fn shift_by<const B: u32>(op: AluOp, a: &Lane<B>, k: u32) -> Lane<B> {
    let mut range = Range::<B>::EMPTY;
    for p in a.range().parts() {
        match op {
            AluOp::Lsh => {
                let width = p.hi - p.lo;
                let width = if width > Range::<B>::MASK >> k { u64::MAX } else { width << k };
                range.cover_arc(p.lo << k, width);
            }
            AluOp::Rsh => range.cover_span(p.lo >> k, p.hi >> k),
            _ => {
                let shifted = |v| (Range::<B>::signed(v) >> k) as u64 & Range::<B>::MASK;
                range.cover(shifted(p.lo), shifted(p.hi));
            }
        }
    }
    let tnum = match op {
        AluOp::Lsh => a.tnum().lsh(k),
        AluOp::Rsh => a.tnum().rsh(k),
        _ => a.tnum().arsh(k, B),
    };
    Lane::new(tnum, range).unwrap_or(Lane::UNKNOWN)
}

/// A wide shift left. The low half of the result comes from the low half; and where no more than the low half stays in, it
/// counts as a signed number: so `x << 32 >> 32` is the sign or zero extension of the low half.
fn shift_left<const W: u32, const H: u32>(dst: &Number<W, H>, by: &Amounts) -> Number<W, H> {
    let one = |k| {
        let wide = shift_by(AluOp::Lsh, &dst.wide(), k);
        if k >= H {
            let low = dst.low();
            let extended = Lane::new(low.tnum().sign_extend(H), low.range().sign_extend());
            let from_low = shift_by(AluOp::Lsh, &extended.unwrap_or(Lane::UNKNOWN), k);
            return Number::from_lanes(&wide.meet(&from_low).unwrap_or(wide), &Lane::constant(0));
        }
        Number::from_lanes(&wide, &shift_by(AluOp::Lsh, &dst.low(), k))
    };
    by.iter().map(one).reduce(|a, b| a.join(&b)).unwrap_or(Number::UNKNOWN)
}
