//! Bounds of a value of `B` bits, signed and unsigned at once.
//!
//! A range is the four numbers umin, umax, smin, smax. Cut the values at the sign bit: the non-negative half reads the same signed and
//! unsigned, the negative half too (shifted by 2^B). In each half a range is one interval, and if it has members in both, the
//! non-negative one is [umin, smax] and the negative one [smin, umax]. So the four numbers *are* at most two intervals ("parts"), which
//! is the best that signed and unsigned bounds can do together, and every operation is a loop over parts.
//!
//! Invariant: the four numbers are the tight bounds of the parts (what the kernel's deduction rules converge to), or the range
//! is [`Range::EMPTY`]. Signed bounds are sign-extended from `B` bits.
//!
//! `B` is 64 or 32 in the verifier, 8 and 16 for casts, and 3 to 8 in tests, where everything can be tried.

use crate::verifier::tnum::ones;

/// An interval of values of `B` bits in one half: both ends non-negative or both negative, read as unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// Smallest member.
    pub lo: u64,
    /// Largest member, not below `lo`.
    pub hi: u64,
}

/// Signed and unsigned bounds of a value of `B` bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range<const B: u32> {
    umin: u64,
    umax: u64,
    smin: i64,
    smax: i64,
}

impl<const B: u32> Range<B> {
    /// All `B` bits set: the largest unsigned value.
    pub const MASK: u64 = ones(B);
    /// The sign bit.
    pub const SIGN: u64 = 1 << (B - 1);
    /// The largest signed value.
    pub const SMAX: i64 = (Self::MASK >> 1) as i64;
    /// The smallest signed value.
    pub const SMIN: i64 = !Self::SMAX;
    /// Every value.
    pub const FULL: Self = Range { umin: 0, umax: Self::MASK, smin: Self::SMIN, smax: Self::SMAX };
    /// No value; the start of a join.
    pub const EMPTY: Self = Range { umin: Self::MASK, umax: 0, smin: Self::SMAX, smax: Self::SMIN };

    /// The value as signed.
    pub const fn signed(v: u64) -> i64 {
        ((v << (64 - B)) as i64) >> (64 - B)
    }

    /// The range of one value, cut to `B` bits.
    pub const fn constant(v: u64) -> Self {
        let (u, s) = (v & Self::MASK, Self::signed(v));
        Range { umin: u, umax: u, smin: s, smax: s }
    }

    /// The bounds that a range of the same width gave.
    pub(crate) const fn from_bounds(umin: u64, umax: u64, smin: i64, smax: i64) -> Self {
        Range { umin, umax, smin, smax }
    }

    /// The values that keep all four bounds; empty if there are none.
    pub fn new(umin: u64, umax: u64, smin: i64, smax: i64) -> Self {
        let (umax, smin, smax) = (umax.min(Self::MASK), smin.max(Self::SMIN), smax.min(Self::SMAX));
        let mut out = Self::EMPTY;
        if smax >= 0 {
            out.cover(umin.max(smin.max(0) as u64), umax.min(smax as u64));
        }
        if smin < 0 {
            let top = if smax < 0 { smax as u64 & Self::MASK } else { Self::MASK };
            out.cover(umin.max(smin as u64 & Self::MASK), umax.min(top));
        }
        out
    }

    /// The values from `lo` to `hi`, unsigned.
    pub fn unsigned_span(lo: u64, hi: u64) -> Self {
        Self::new(lo, hi, Self::SMIN, Self::SMAX)
    }

    /// The values from `lo` to `hi`, signed.
    pub fn signed_span(lo: i64, hi: i64) -> Self {
        Self::new(0, Self::MASK, lo, hi)
    }

    /// Smallest unsigned value.
    pub const fn umin(&self) -> u64 {
        self.umin
    }

    /// Largest unsigned value.
    pub const fn umax(&self) -> u64 {
        self.umax
    }

    /// Smallest signed value.
    pub const fn smin(&self) -> i64 {
        self.smin
    }

    /// Largest signed value.
    pub const fn smax(&self) -> i64 {
        self.smax
    }

    /// Bounds that another `Range` of the same width gave: tight already.
    pub(crate) const fn from_tight(umin: u64, umax: u64, smin: i64, smax: i64) -> Self {
        Range { umin, umax, smin, smax }
    }

    /// Whether there is no value at all.
    pub const fn is_empty(&self) -> bool {
        self.umin > self.umax
    }

    /// Whether `x`, a value of `B` bits, is within all four bounds.
    pub const fn contains(&self, x: u64) -> bool {
        let s = Self::signed(x);
        self.umin <= x && x <= self.umax && self.smin <= s && s <= self.smax
    }

    /// Whether every value of `self` is one of `other`.
    pub const fn subset_of(&self, other: &Self) -> bool {
        self.is_empty()
            || (other.umin <= self.umin
                && self.umax <= other.umax
                && other.smin <= self.smin
                && self.smax <= other.smax)
    }

    /// The smallest range with the values of both.
    pub fn join(&self, other: &Self) -> Self {
        Range {
            umin: self.umin.min(other.umin),
            umax: self.umax.max(other.umax),
            smin: self.smin.min(other.smin),
            smax: self.smax.max(other.smax),
        }
    }

    /// The values of both; may be empty.
    pub fn meet(&self, other: &Self) -> Self {
        Self::new(
            self.umin.max(other.umin),
            self.umax.min(other.umax),
            self.smin.max(other.smin),
            self.smax.min(other.smax),
        )
    }

    /// The intervals, the non-negative one first: ascending as unsigned values.
    pub fn parts(&self) -> impl Iterator<Item = Interval> + Clone + use<B> {
        let whole = Interval { lo: self.umin, hi: self.umax };
        let two = if self.is_empty() {
            [None, None]
        } else if self.umax < Self::SIGN || self.umin >= Self::SIGN {
            [Some(whole), None]
        } else {
            [
                Some(Interval { lo: self.umin, hi: self.smax as u64 }),
                Some(Interval { lo: self.smin as u64 & Self::MASK, hi: self.umax }),
            ]
        };
        two.into_iter().flatten()
    }

    /// Adds the values from `lo` to `hi`, which must lie in one half; adds none if `lo > hi`.
    pub(crate) fn cover(&mut self, lo: u64, hi: u64) {
        if lo <= hi {
            self.umin = self.umin.min(lo);
            self.umax = self.umax.max(hi);
            self.smin = self.smin.min(Self::signed(lo));
            self.smax = self.smax.max(Self::signed(hi));
        }
    }

    /// Adds the unsigned values from `lo` to `hi`.
    pub(crate) fn cover_span(&mut self, lo: u64, hi: u64) {
        self.cover(lo, hi.min(Self::SIGN - 1));
        self.cover(lo.max(Self::SIGN), hi);
    }

    /// Adds `start`, `start + 1`, … `start + width`, each cut to `B` bits.
    pub(crate) fn cover_arc(&mut self, start: u64, width: u64) {
        if width >= Self::MASK {
            *self = Self::FULL;
            return;
        }
        let start = start & Self::MASK;
        let end = start.wrapping_add(width) & Self::MASK;
        if start <= end {
            self.cover_span(start, end);
        } else {
            self.cover_span(start, Self::MASK);
            self.cover_span(0, end);
        }
    }

    /// The low `N` bits of the values.
    pub fn truncate<const N: u32>(&self) -> Range<N> {
        let mut out = Range::<N>::EMPTY;
        for p in self.parts() {
            out.cover_arc(p.lo, p.hi - p.lo);
        }
        out
    }

    /// The values with zeros above, as values of `N` bits, not fewer than `B`.
    pub fn zero_extend<const N: u32>(&self) -> Range<N> {
        let mut out = Range::<N>::EMPTY;
        for p in self.parts() {
            out.cover_span(p.lo, p.hi);
        }
        out
    }

    /// The values with their sign bit copied above, as values of `N` bits, not fewer than `B`.
    pub fn sign_extend<const N: u32>(&self) -> Range<N> {
        let mut out = Range::<N>::EMPTY;
        for p in self.parts() {
            let wide = |v| Self::signed(v) as u64 & Range::<N>::MASK;
            out.cover(wide(p.lo), wide(p.hi));
        }
        out
    }

    /// The bounds of those values whose low `L` bits are in `low`: each end moves inwards to the next such value.
    pub fn restrict_low<const L: u32>(&self, low: &Range<L>) -> Self {
        let mut out = Self::EMPTY;
        for p in self.parts() {
            if let (Some(lo), Some(hi)) = (low.first_congruent(p.lo), low.last_congruent(p.hi)) {
                out.cover(lo, hi);
            }
        }
        out
    }

    /// The smallest 64-bit value from `x` up whose low `B` bits are in the range.
    fn first_congruent(&self, x: u64) -> Option<u64> {
        let (base, x) = (x & !Self::MASK, x & Self::MASK);
        match self.parts().find(|p| x <= p.hi) {
            Some(p) => Some(base | x.max(p.lo)),
            None => Some(base.checked_add(Self::MASK)?.checked_add(1)? | self.umin),
        }
    }

    /// The largest 64-bit value from `x` down whose low `B` bits are in the range.
    fn last_congruent(&self, x: u64) -> Option<u64> {
        let (base, x) = (x & !Self::MASK, x & Self::MASK);
        match self.parts().filter(|p| x >= p.lo).last() {
            Some(p) => Some(base | x.min(p.hi)),
            None => Some(base.checked_sub(Self::MASK)?.checked_sub(1)? | self.umax),
        }
    }
}

impl<const B: u32> core::fmt::Debug for Range<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "u{B}[{:#x}, {:#x}] s{B}[{}, {}]", self.umin, self.umax, self.smin, self.smax)
    }
}
