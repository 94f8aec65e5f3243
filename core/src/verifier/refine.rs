//! What a branch tells: the operands of a comparison, given that it holds.
//!
//! A 64-bit comparison speaks of whole numbers, a 32-bit one of their low halves only: it refines the low lane and leaves it to the
//! number to learn from that ([`Number::new`]). The rules, for `a op b` at one width:
//! - equal: both are in the meet. Not equal: an end of a part that equals a constant other side moves by one.
//! - orders: each side is bounded by the other's bound.
//! - `a & b != 0`: neither is zero, and where one bit only can be one in both, it is one in both. `a & b == 0`: a known one on one
//!   side is a zero on the other.
//!
//! A branch that leaves one side no value cannot be taken; that is also how [`decide`] knows.

use crate::verifier::alu::Width;
use crate::verifier::lane::Lane;
use crate::verifier::range::{Interval, Range};
use crate::verifier::scalar::Number;
use crate::verifier::tnum::Tnum;

/// The comparisons of conditional jumps.
#[expect(missing_docs, reason = "RFC 9669's names")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
    /// `a & b != 0`
    Set,
    /// `a & b == 0`: no instruction, but where `Set` falls through.
    Nset,
}

use Cond::*;

impl Cond {
    /// Every comparison.
    pub const ALL: [Cond; 12] = [Eq, Ne, Gt, Ge, Lt, Le, Sgt, Sge, Slt, Sle, Set, Nset];

    /// The comparison that holds exactly where `self` does not.
    pub const fn negate(self) -> Cond {
        match self {
            Eq => Ne,
            Ne => Eq,
            Gt => Le,
            Le => Gt,
            Ge => Lt,
            Lt => Ge,
            Sgt => Sle,
            Sle => Sgt,
            Sge => Slt,
            Slt => Sge,
            Set => Nset,
            Nset => Set,
        }
    }

    /// The comparison that says the same with its operands exchanged.
    pub const fn swap(self) -> Cond {
        match self {
            Gt => Lt,
            Lt => Gt,
            Ge => Le,
            Le => Ge,
            Sgt => Slt,
            Slt => Sgt,
            Sge => Sle,
            Sle => Sge,
            Eq | Ne | Set | Nset => self,
        }
    }
}

/// Both operands, given that `a op b` holds; `None` if it cannot.
pub fn refine<const W: u32, const H: u32>(
    op: Cond,
    width: Width,
    a: &Number<W, H>,
    b: &Number<W, H>,
) -> Option<(Number<W, H>, Number<W, H>)> {
    match width {
        Width::W64 if op == Eq => {
            let both = a.meet(b)?;
            Some((both, both))
        }
        Width::W64 => {
            let (x, y) = refine_lane(op, &a.wide(), &b.wide())?;
            Some((
                Number::new(x.tnum(), x.range(), &a.low_range())?,
                Number::new(y.tnum(), y.range(), &b.low_range())?,
            ))
        }
        Width::W32 => {
            let (x, y) = refine_lane(op, &a.low(), &b.low())?;
            Some((a.meet_low(&x)?, b.meet_low(&y)?))
        }
    }
}

/// Whether `a op b` always holds (`Some(true)`), never (`Some(false)`), or depends.
pub fn decide<const W: u32, const H: u32>(
    op: Cond,
    width: Width,
    a: &Number<W, H>,
    b: &Number<W, H>,
) -> Option<bool> {
    if refine(op, width, a, b).is_none() {
        Some(false)
    } else if refine(op.negate(), width, a, b).is_none() {
        Some(true)
    } else {
        None
    }
}

/// [`refine`] at one width.
pub(crate) fn refine_lane<const B: u32>(op: Cond, a: &Lane<B>, b: &Lane<B>) -> Option<(Lane<B>, Lane<B>)> {
    let (ra, rb) = (a.range(), b.range());
    let above = |lo: Option<u64>| lo.map(|lo| Range::<B>::unsigned_span(lo, u64::MAX));
    let below = |hi: Option<u64>| hi.map(|hi| Range::<B>::unsigned_span(0, hi));
    let above_s = |lo: Option<i64>| lo.map(|lo| Range::<B>::signed_span(lo, i64::MAX));
    let below_s = |hi: Option<i64>| hi.map(|hi| Range::<B>::signed_span(i64::MIN, hi));
    match op {
        Eq => {
            let both = a.meet(b)?;
            Some((both, both))
        }
        Ne => Some((differing(a, b)?, differing(b, a)?)),
        Gt => bounded(a, b, above(rb.umin().checked_add(1)), below(ra.umax().checked_sub(1))),
        Ge => bounded(a, b, above(Some(rb.umin())), below(Some(ra.umax()))),
        Sgt => bounded(a, b, above_s(rb.smin().checked_add(1)), below_s(ra.smax().checked_sub(1))),
        Sge => bounded(a, b, above_s(Some(rb.smin())), below_s(Some(ra.smax()))),
        Lt | Le | Slt | Sle => refine_lane(op.swap(), b, a).map(|(y, x)| (x, y)),
        Set => Some((sharing(a, b)?, sharing(b, a)?)),
        Nset => Some((disjoint(a, b)?, disjoint(b, a)?)),
    }
}

/// Each side within the bounds that the other gave it; no bounds: nothing is left.
fn bounded<const B: u32>(
    a: &Lane<B>,
    b: &Lane<B>,
    for_a: Option<Range<B>>,
    for_b: Option<Range<B>>,
) -> Option<(Lane<B>, Lane<B>)> {
    Some((Lane::new(a.tnum(), a.range().meet(&for_a?))?, Lane::new(b.tnum(), b.range().meet(&for_b?))?))
}

/// `a` without the only value of `b`.
fn differing<const B: u32>(a: &Lane<B>, b: &Lane<B>) -> Option<Lane<B>> {
    let Some(v) = b.known() else { return Some(*a) };
    let mut out = Range::EMPTY;
    for p in a.range().parts() {
        let Interval { lo, hi } = p;
        match (lo == v, hi == v) {
            (true, true) => {}
            (true, false) => out.cover(lo + 1, hi),
            (false, true) => out.cover(lo, hi - 1),
            (false, false) => out.cover(lo, hi),
        }
    }
    Lane::new(a.tnum(), out)
}

/// `a`, given that it has a one where `b` has one.
fn sharing<const B: u32>(a: &Lane<B>, b: &Lane<B>) -> Option<Lane<B>> {
    let common = a.tnum().may() & b.tnum().may();
    if common == 0 {
        return None;
    }
    let must = if common.is_power_of_two() { common } else { 0 };
    let set = Lane::new(a.tnum().intersect(Tnum::new(must, !must))?, *a.range())?;
    differing(&set, &Lane::constant(0))
}

/// `a`, given that it has a zero where `b` has a one.
fn disjoint<const B: u32>(a: &Lane<B>, b: &Lane<B>) -> Option<Lane<B>> {
    Lane::new(a.tnum().intersect(Tnum::new(0, !b.tnum().value()))?, *a.range())
}
