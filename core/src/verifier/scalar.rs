//! What the verifier knows of a number in a register: its bits, its 64-bit bounds and its 32-bit bounds, each refined by the others.
//!
//! [`Number`] is generic in its width `W` and the width `H` of its low half, so that tests can try every value of a narrow one; the verifier's is
//! [`Scalar`]. The three parts talk as follows, until nothing changes or `ROUNDS` rounds have passed (any stop is sound):
//! - bits and bounds of the same width: [`Lane`];
//! - low bounds from wide ones: each wide part, cut to `H` bits, is an arc of the low circle;
//! - wide bounds from low ones: each wide end moves inwards to the next value whose low half is possible;
//! - wide bits from low ones: the low half of the bits is the low lane's.
//!
//! Invariant: every part alone is a superset of the values that are possible. A number that no value fits is either found
//! (constructors return `None`) or harmless: whatever is concluded from it is true of nothing.

use crate::verifier::alu::Width;
use crate::verifier::lane::Lane;
use crate::verifier::range::Range;
use crate::verifier::tnum::Tnum;

/// Most rounds of mutual refinement.
const ROUNDS: u32 = 6;

/// A number of `W` bits whose low `H` bits have bounds of their own. Use [`Scalar`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number<const W: u32, const H: u32> {
    tnum: Tnum,
    wide: Range<W>,
    // The low range in half the space: umin, umax, smin, smax.
    low_u: [u32; 2],
    low_s: [i32; 2],
}

/// A 64-bit register with its 32-bit sub-register.
pub type Scalar = Number<64, 32>;

impl<const W: u32, const H: u32> Number<W, H> {
    /// Every value.
    pub const UNKNOWN: Self = Self::pack(Lane::<W>::UNKNOWN.tnum(), &Range::FULL, &Range::FULL);

    /// Every value.
    pub const fn unknown() -> Self {
        Self::UNKNOWN
    }

    /// Exactly `v`.
    pub const fn constant(v: u64) -> Self {
        Self::pack(Tnum::constant(v & Range::<W>::MASK), &Range::constant(v), &Range::constant(v))
    }

    const fn pack(tnum: Tnum, wide: &Range<W>, low: &Range<H>) -> Self {
        Number {
            tnum,
            wide: *wide,
            low_u: [low.umin() as u32, low.umax() as u32],
            low_s: [low.smin() as i32, low.smax() as i32],
        }
    }

    /// The values that fit all three; `None` if they contradict each other.
    pub fn new(tnum: Tnum, wide: &Range<W>, low: &Range<H>) -> Option<Self> {
        let (mut tnum, mut wide, mut low) = (tnum.truncate(W), *wide, *low);
        for _ in 0..ROUNDS {
            let w = Lane::new(tnum, wide)?;
            let l = Lane::new(w.tnum(), low.meet(&w.range().truncate()))?;
            let next = (w.tnum().with_low(H, l.tnum()), w.range().restrict_low(l.range()), *l.range());
            if next.1.is_empty() {
                return None;
            }
            if next == (tnum, wide, low) {
                break;
            }
            (tnum, wide, low) = next;
        }
        Some(Self::pack(tnum, &wide, &low))
    }

    /// The values that fit both; what contradicts itself is unknown.
    pub(crate) fn from_lanes(wide: &Lane<W>, low: &Lane<H>) -> Self {
        let tnum = wide.tnum().intersect(Tnum::new(0, Range::<W>::MASK).with_low(H, low.tnum()));
        tnum.and_then(|t| Self::new(t, wide.range(), low.range())).unwrap_or(Self::UNKNOWN)
    }

    /// The low half, zeros above.
    pub(crate) fn from_low(low: &Lane<H>) -> Self {
        Self::pack(low.tnum(), &low.range().zero_extend(), low.range())
    }

    /// The values of a tnum.
    pub fn from_tnum(tnum: Tnum) -> Self {
        Self::new(tnum, &Range::FULL, &Range::FULL).unwrap_or(Self::UNKNOWN)
    }

    /// The unsigned values from `lo` to `hi`; unknown if `lo > hi`.
    pub fn from_unsigned(lo: u64, hi: u64) -> Self {
        Self::new(Tnum::UNKNOWN, &Range::unsigned_span(lo, hi), &Range::FULL).unwrap_or(Self::UNKNOWN)
    }

    /// The signed values from `lo` to `hi`; unknown if `lo > hi`.
    pub fn from_signed(lo: i64, hi: i64) -> Self {
        Self::new(Tnum::UNKNOWN, &Range::signed_span(lo, hi), &Range::FULL).unwrap_or(Self::UNKNOWN)
    }

    /// All that is known, as bytes for [`Number::from_bytes`].
    pub(crate) fn to_bytes(self) -> [u8; 64] {
        let words = [self.tnum.value(), self.tnum.mask(), self.wide.umin(), self.wide.umax()];
        let signed = [self.wide.smin(), self.wide.smax()];
        let mut out = [0; 64];
        let (front, back) = out.split_at_mut(48);
        for (to, word) in front.chunks_exact_mut(8).zip(words.into_iter().chain(signed.map(|s| s as u64))) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let low = self.low_u.into_iter().chain(self.low_s.map(|s| s as u32));
        for (to, word) in back.chunks_exact_mut(4).zip(low) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// What [`Number::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        let word = |i: usize| u64::from_le_bytes(core::array::from_fn(|b| bytes[8 * i + b]));
        let half = |i: usize| u32::from_le_bytes(core::array::from_fn(|b| bytes[4 * i + b]));
        Number {
            tnum: Tnum::new(word(0), word(1)),
            wide: Range::from_bounds(word(2), word(3), word(4) as i64, word(5) as i64),
            low_u: [half(12), half(13)],
            low_s: [half(14) as i32, half(15) as i32],
        }
    }

    /// What is known of the bits.
    pub const fn tnum(&self) -> Tnum {
        self.tnum
    }

    /// The bounds of the whole number.
    pub const fn range(&self) -> &Range<W> {
        &self.wide
    }

    /// The bounds of the low half.
    pub const fn low_range(&self) -> Range<H> {
        let ([umin, umax], [smin, smax]) = (self.low_u, self.low_s);
        Range::from_tight(umin as u64, umax as u64, smin as i64, smax as i64)
    }

    /// Bits and bounds of the whole number.
    pub(crate) const fn wide(&self) -> Lane<W> {
        Lane::from_tight(self.tnum, self.wide)
    }

    /// Bits and bounds of the low half.
    pub(crate) const fn low(&self) -> Lane<H> {
        Lane::from_tight(self.tnum.truncate(H), self.low_range())
    }

    /// Smallest unsigned value.
    pub const fn umin(&self) -> u64 {
        self.wide.umin()
    }

    /// Largest unsigned value.
    pub const fn umax(&self) -> u64 {
        self.wide.umax()
    }

    /// Smallest signed value.
    pub const fn smin(&self) -> i64 {
        self.wide.smin()
    }

    /// Largest signed value.
    pub const fn smax(&self) -> i64 {
        self.wide.smax()
    }

    /// Smallest unsigned value of the low half.
    pub const fn u32_min(&self) -> u32 {
        self.low_u[0]
    }

    /// Largest unsigned value of the low half.
    pub const fn u32_max(&self) -> u32 {
        self.low_u[1]
    }

    /// Smallest signed value of the low half.
    pub const fn s32_min(&self) -> i32 {
        self.low_s[0]
    }

    /// Largest signed value of the low half.
    pub const fn s32_max(&self) -> i32 {
        self.low_s[1]
    }

    /// Whether one value only is possible.
    pub const fn is_const(&self) -> bool {
        self.tnum.is_const()
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::UNKNOWN
    }

    /// The only value, if there is only one.
    pub const fn known(&self) -> Option<u64> {
        if self.is_const() { Some(self.tnum.value()) } else { None }
    }

    /// The only value of the low half, if there is only one.
    pub const fn known_low(&self) -> Option<u64> {
        self.low().known()
    }

    /// Whether `x` may be the value.
    pub const fn contains(&self, x: u64) -> bool {
        self.wide().contains(x) && self.low_range().contains(x & Range::<H>::MASK)
    }

    /// Whether every value of `self` is one of `other`: what pruning asks.
    pub fn subset_of(&self, other: &Self) -> bool {
        self.tnum.subset_of(other.tnum)
            && self.wide.subset_of(&other.wide)
            && self.low_range().subset_of(&other.low_range())
    }

    /// The values of both; `None` if there are none.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let tnum = self.tnum.intersect(other.tnum)?;
        Self::new(tnum, &self.wide.meet(&other.wide), &self.low_range().meet(&other.low_range()))
    }

    /// The values of `self` whose low half is in `low`; `None` if there are none.
    pub(crate) fn meet_low(&self, low: &Lane<H>) -> Option<Self> {
        let tnum = self.tnum.intersect(Tnum::UNKNOWN.with_low(H, low.tnum()))?;
        Self::new(tnum, &self.wide, &self.low_range().meet(low.range()))
    }

    /// A number with the values of both.
    pub fn join(&self, other: &Self) -> Self {
        let (tnum, wide) = (self.tnum.union(other.tnum), self.wide.join(&other.wide));
        let low = self.low_range().join(&other.low_range());
        Self::new(tnum, &wide, &low).unwrap_or(Self::pack(tnum, &wide, &low))
    }

    /// The low half with zeros above: what every 32-bit instruction leaves.
    pub fn zext_32(&self) -> Self {
        Self::from_low(&self.low())
    }

    /// The low `N` bits, `N` at most `H`.
    fn cut<const N: u32>(&self) -> Lane<N> {
        Lane::new(self.tnum, self.low_range().truncate()).unwrap_or(Lane::UNKNOWN)
    }

    /// The low `N` bits with zeros above, `N` at most `H`.
    pub(crate) fn zext<const N: u32>(&self) -> Self {
        let cut = self.cut::<N>();
        Self::new(cut.tnum(), &cut.range().zero_extend(), &cut.range().zero_extend()).unwrap_or(Self::UNKNOWN)
    }

    /// The low `N` bits with their sign above, `N` at most `H`.
    pub(crate) fn sext<const N: u32>(&self) -> Self {
        let cut = self.cut::<N>();
        let (tnum, range) = (cut.tnum().sign_extend(N), cut.range());
        Self::new(tnum, &range.sign_extend(), &range.sign_extend()).unwrap_or(Self::UNKNOWN)
    }
}

impl Scalar {
    /// The low 8, 16 or 32 bits with their sign above (`movsx`, sign-extending loads); at 32 bits wide, zeros above those. Other sizes
    /// are unknown.
    pub fn sign_extend(&self, bits: u32, width: Width) -> Self {
        let wide = match bits {
            8 => self.sext::<8>(),
            16 => self.sext::<16>(),
            32 => self.sext::<32>(),
            _ => Self::UNKNOWN,
        };
        if width == Width::W32 { wide.zext_32() } else { wide }
    }

    /// The low 1, 2, 4 or 8 bytes with zeros above (stores and loads of that size, conversion to little endian). Other sizes are
    /// unknown.
    pub fn coerce_to_size(&self, bytes: u32) -> Self {
        match bytes {
            1 => self.zext::<8>(),
            2 => self.zext::<16>(),
            4 => self.zext_32(),
            8 => *self,
            _ => Self::UNKNOWN,
        }
    }

    /// The low 16, 32 or 64 bits with their bytes reversed and zeros above (`bswap`, conversion to big endian). Other sizes are unknown.
    pub fn swap_bytes(&self, bits: u32) -> Self {
        match bits {
            16 | 32 | 64 => Self::from_tnum(self.tnum.swap_bytes(bits)),
            _ => Self::UNKNOWN,
        }
    }
}

impl<const W: u32, const H: u32> core::fmt::Debug for Number<W, H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.known() {
            Some(v) => write!(f, "{v:#x}"),
            None => write!(f, "{:?} {:?} {:?}", self.tnum, self.wide, self.low_range()),
        }
    }
}
