//! Bits and bounds of a value of `B` bits, each refined by the other.
//!
//! Invariant: every end of every part is a member of the tnum, and the tnum is no wider than the bounds allow. Then neither can tell the
//! other anything new, so one pass reaches it: move each end of each part inwards to the next member of the tnum (exactly,
//! [`Tnum::first_at_least`]), then intersect the tnum with the union of the tnums of the parts. The ends stay members.
//!
//! The kernel does the same by rounds of deduction (`reg_bounds_sync`), which move an end to the tnum's own bound only.

use crate::verifier::range::Range;
use crate::verifier::tnum::Tnum;

/// What is known of a value of `B` bits. The tnum's bits above are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane<const B: u32> {
    tnum: Tnum,
    range: Range<B>,
}

impl<const B: u32> Lane<B> {
    /// Every value.
    pub const UNKNOWN: Self = Lane { tnum: Tnum::new(0, Range::<B>::MASK), range: Range::FULL };

    /// The values that are in both (the tnum cut to `B` bits); `None` if there are none.
    pub fn new(tnum: Tnum, range: Range<B>) -> Option<Self> {
        let tnum = tnum.truncate(B);
        let (mut tight, mut bits) = (Range::<B>::EMPTY, None);
        for p in range.parts() {
            let (Some(lo), Some(hi)) = (tnum.first_at_least(p.lo), tnum.last_at_most(p.hi)) else { continue };
            if lo <= hi {
                tight.cover(lo, hi);
                let part = Tnum::range(lo, hi);
                bits = Some(bits.map_or(part, |b: Tnum| b.union(part)));
            }
        }
        Some(Lane { tnum: tnum.intersect(bits?)?, range: tight })
    }

    /// A lane from parts that a lane of the same width gave.
    pub(crate) const fn from_tight(tnum: Tnum, range: Range<B>) -> Self {
        Lane { tnum, range }
    }

    /// Exactly `v`, cut to `B` bits.
    pub const fn constant(v: u64) -> Self {
        Lane { tnum: Tnum::constant(v & Range::<B>::MASK), range: Range::constant(v) }
    }

    /// The bits.
    pub const fn tnum(&self) -> Tnum {
        self.tnum
    }

    /// The bounds.
    pub const fn range(&self) -> &Range<B> {
        &self.range
    }

    /// Whether `x`, a value of `B` bits, may be the value.
    pub const fn contains(&self, x: u64) -> bool {
        self.tnum.contains(x) && self.range.contains(x)
    }

    /// The only value, if there is only one.
    pub const fn known(&self) -> Option<u64> {
        if self.tnum.is_const() { Some(self.tnum.value()) } else { None }
    }

    /// The values of both; `None` if there are none.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        Self::new(self.tnum.intersect(other.tnum)?, self.range.meet(&other.range))
    }

    /// A lane with the values of both. Ends stay members, so nothing is left to refine but what the union of tnums lost.
    pub fn join(&self, other: &Self) -> Self {
        let (tnum, range) = (self.tnum.union(other.tnum), self.range.join(&other.range));
        Self::new(tnum, range).unwrap_or(Lane { tnum, range })
    }
}
