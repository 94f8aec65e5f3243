//! Tristate numbers: what is known of a 64-bit value bit by bit.
//!
//! A tnum is a pair (v, m). Bit i is *unknown* where m has a one, else it is known to be bit i of v. Its members are
//! γ(v, m) = { x : x & !m = v }, so v is the smallest and v | m the largest of them. Invariant: v & m = 0, hence γ is never empty.
//!
//! The equations, with "may" p = v | m (bits that can be one):
//!
//! - and: a result bit may be one where both may, is one where both are: p = p₁ & p₂, v = v₁ & v₂. Or and xor likewise.
//! - add: the carries of the smallest sum (v₁ + v₂) and of the largest (p₁ + p₂) bound the carries of every sum, so a bit is unknown
//!   where the two sums differ or an operand is unknown: m = ((v₁ + v₂) ^ (p₁ + p₂)) | m₁ | m₂, v = (v₁ + v₂) & !m. All sums wrap.
//! - sub: borrows are bounded by v₁ − p₂ and p₁ − v₂ in the same way.
//! - mul: long multiplication over the bits of one factor: a known one adds the shifted other factor, an unknown bit joins "added"
//!   with "not added". The order of the factors matters, so both orders are taken and intersected.
//! - range(min, max): the common leading bits are known, the rest is not.
//!
//! Source: Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022), which proves add and
//! sub optimal. Bounds are kept elsewhere ([`crate::verifier::range`]).

use core::ops::{Add, BitAnd, BitOr, BitXor, Mul, Neg, Not, Sub};

/// What is known of each bit of a 64-bit value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tnum {
    value: u64,
    mask: u64,
}

/// The low `bits` bits set; `bits` is at most 64.
pub(crate) const fn ones(bits: u32) -> u64 {
    if bits == 0 { 0 } else { u64::MAX >> (64 - bits) }
}

impl Tnum {
    /// Every 64-bit value.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// The tnum with these known ones and these unknown bits; `value` does not count where `mask` is set.
    pub const fn new(value: u64, mask: u64) -> Tnum {
        Tnum { value: value & !mask, mask }
    }

    /// Exactly `v`.
    pub const fn constant(v: u64) -> Tnum {
        Tnum { value: v, mask: 0 }
    }

    /// The smallest tnum that has every value from `min` to `max`; unknown if `min > max`.
    pub const fn range(min: u64, max: u64) -> Tnum {
        if min > max {
            return Tnum::UNKNOWN;
        }
        Tnum::new(min, ones(64 - (min ^ max).leading_zeros()))
    }

    /// The known ones; also the smallest member.
    pub const fn value(self) -> u64 {
        self.value
    }

    /// The unknown bits.
    pub const fn mask(self) -> u64 {
        self.mask
    }

    /// The bits that can be one; also the largest member.
    pub const fn may(self) -> u64 {
        self.value | self.mask
    }

    /// Whether one value only is possible.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether `x` is a member.
    pub const fn contains(self, x: u64) -> bool {
        x & !self.mask == self.value
    }

    /// Whether every member of `self` is a member of `other`.
    pub const fn subset_of(self, other: Tnum) -> bool {
        self.mask & !other.mask == 0 && other.contains(self.value)
    }

    /// Whether some value is a member of both.
    pub const fn overlap(self, other: Tnum) -> bool {
        (self.value ^ other.value) & !(self.mask | other.mask) == 0
    }

    /// The members of both; `None` if there are none.
    pub const fn intersect(self, other: Tnum) -> Option<Tnum> {
        if !self.overlap(other) {
            return None;
        }
        Some(Tnum::new(self.value | other.value, self.mask & other.mask))
    }

    /// The smallest tnum with the members of both.
    pub const fn union(self, other: Tnum) -> Tnum {
        Tnum::new(self.value, self.mask | other.mask | (self.value ^ other.value))
    }

    /// Whether every member is a multiple of `size`, a power of two; 0 counts as 1.
    pub const fn is_aligned(self, size: u64) -> bool {
        self.may() & size.wrapping_sub(1) == 0 || size == 0
    }

    /// Shifted left by `k < 64`; what leaves on the left is gone.
    pub const fn lsh(self, k: u32) -> Tnum {
        Tnum { value: self.value << (k & 63), mask: self.mask << (k & 63) }
    }

    /// Shifted right by `k < 64`, zeros coming in.
    pub const fn rsh(self, k: u32) -> Tnum {
        Tnum { value: self.value >> (k & 63), mask: self.mask >> (k & 63) }
    }

    /// The low `bits` bits shifted right by `k < bits`, copies of their top bit coming in; the result has `bits` bits.
    pub const fn arsh(self, k: u32, bits: u32) -> Tnum {
        let wide = self.sign_extend(bits);
        let (value, mask) = (wide.value as i64 >> (k & 63), wide.mask as i64 >> (k & 63));
        Tnum { value: value as u64, mask: mask as u64 }.truncate(bits)
    }

    /// The low `bits` bits, zeros above; `bits` is 1 to 64.
    pub const fn truncate(self, bits: u32) -> Tnum {
        Tnum { value: self.value & ones(bits), mask: self.mask & ones(bits) }
    }

    /// The low `size` bytes, zeros above; `size` is 1 to 8.
    pub const fn cast(self, size: u32) -> Tnum {
        self.truncate(size * 8)
    }

    /// The low `bits` bits, their top bit copied above; an unknown top bit makes everything above unknown.
    pub const fn sign_extend(self, bits: u32) -> Tnum {
        let k = 64 - bits;
        Tnum {
            value: (((self.value << k) as i64) >> k) as u64,
            mask: (((self.mask << k) as i64) >> k) as u64,
        }
    }

    /// The low `bits` bits of `low` under the other bits of `self`.
    pub const fn with_low(self, bits: u32, low: Tnum) -> Tnum {
        let m = ones(bits);
        Tnum { value: self.value & !m | low.value & m, mask: self.mask & !m | low.mask & m }
    }

    /// The low 32 bits, zeros above.
    pub const fn subreg(self) -> Tnum {
        self.truncate(32)
    }

    /// The high 32 bits in place, zeros below.
    pub const fn clear_subreg(self) -> Tnum {
        self.with_low(32, Tnum::constant(0))
    }

    /// The high 32 bits of `self` over the low 32 bits of `low`.
    pub const fn with_subreg(self, low: Tnum) -> Tnum {
        self.with_low(32, low)
    }

    /// The high 32 bits of `self` over the constant `v`.
    pub const fn const_subreg(self, v: u32) -> Tnum {
        self.with_low(32, Tnum::constant(v as u64))
    }

    /// The low `bits` bits (16, 32 or 64) with their bytes reversed, zeros above.
    pub const fn swap_bytes(self, bits: u32) -> Tnum {
        let k = (64 - bits) & 63;
        Tnum { value: (self.value << k).swap_bytes(), mask: (self.mask << k).swap_bytes() }
    }

    /// The smallest member that is at least `x`, if there is one.
    ///
    /// If `x` is no member, let d be the highest known bit where it differs. The answer agrees with `x` above some bit p, has a one at p
    /// where `x` has a zero, and is as small as can be below p. If the tnum has the one at d, p = d. Else p is the lowest unknown bit above
    /// d where `x` has a zero.
    pub const fn first_at_least(self, x: u64) -> Option<u64> {
        let wrong = (x ^ self.value) & !self.mask;
        if wrong == 0 {
            return Some(x);
        }
        let d = 63 - wrong.leading_zeros();
        let p = if self.value >> d & 1 == 1 {
            d
        } else {
            let free = self.mask & !x & !ones(d);
            if free == 0 {
                return None;
            }
            free.trailing_zeros()
        };
        let above = !ones(p + 1);
        Some(x & above | 1 << p | self.value & !above)
    }

    /// The largest member that is at most `x`, if there is one.
    pub fn last_at_most(self, x: u64) -> Option<u64> {
        (!self).first_at_least(!x).map(|y| !y)
    }
}

impl Not for Tnum {
    type Output = Tnum;
    fn not(self) -> Tnum {
        Tnum::new(!self.value, self.mask)
    }
}

impl BitAnd for Tnum {
    type Output = Tnum;
    fn bitand(self, b: Tnum) -> Tnum {
        Tnum::new(self.value & b.value, (self.may() & b.may()) ^ (self.value & b.value))
    }
}

impl BitOr for Tnum {
    type Output = Tnum;
    fn bitor(self, b: Tnum) -> Tnum {
        Tnum::new(self.value | b.value, (self.mask | b.mask) & !(self.value | b.value))
    }
}

impl BitXor for Tnum {
    type Output = Tnum;
    fn bitxor(self, b: Tnum) -> Tnum {
        Tnum::new(self.value ^ b.value, self.mask | b.mask)
    }
}

impl Add for Tnum {
    type Output = Tnum;
    fn add(self, b: Tnum) -> Tnum {
        let (least, most) = (self.value.wrapping_add(b.value), self.may().wrapping_add(b.may()));
        Tnum::new(least, (least ^ most) | self.mask | b.mask)
    }
}

impl Sub for Tnum {
    type Output = Tnum;
    fn sub(self, b: Tnum) -> Tnum {
        let (least, most) = (self.value.wrapping_sub(b.may()), self.may().wrapping_sub(b.value));
        Tnum::new(self.value.wrapping_sub(b.value), (least ^ most) | self.mask | b.mask)
    }
}

impl Neg for Tnum {
    type Output = Tnum;
    fn neg(self) -> Tnum {
        Tnum::constant(0) - self
    }
}

/// Long multiplication over the bits of `a`.
fn mul_over(a: Tnum, b: Tnum) -> Tnum {
    let mut sum = Tnum::constant(0);
    let mut rest = a.may();
    while rest != 0 {
        let i = rest.trailing_zeros();
        let added = sum + b.lsh(i);
        sum = if a.value >> i & 1 == 1 { added } else { sum.union(added) };
        rest &= rest - 1;
    }
    sum
}

impl Mul for Tnum {
    type Output = Tnum;
    fn mul(self, b: Tnum) -> Tnum {
        let (one, other) = (mul_over(self, b), mul_over(b, self));
        // Both hold every product, so they overlap.
        one.intersect(other).unwrap_or(one)
    }
}

impl core::fmt::Debug for Tnum {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "({:#x}; {:#x})", self.value, self.mask)
    }
}
