//! The concrete operations that the abstract ones are tested against, written apart from them, and the random numbers of the tests.

use crate::verifier::alu::AluOp;
use crate::verifier::refine::Cond;

/// `v` cut to `bits` bits.
pub(super) fn cut(v: i128, bits: u32) -> u64 {
    (v & ((1i128 << bits) - 1)) as u64
}

/// `v`, a value of `bits` bits, as signed.
pub(super) fn signed(v: u64, bits: u32) -> i128 {
    let v = i128::from(v);
    if v >> (bits - 1) & 1 == 1 { v - (1 << bits) } else { v }
}

/// `x op y` on values of `bits` bits.
pub(super) fn compute(op: AluOp, bits: u32, x: u64, y: u64) -> u64 {
    let (ux, uy, sx, sy) = (i128::from(x), i128::from(y), signed(x, bits), signed(y, bits));
    let k = y % u64::from(bits);
    let r = match op {
        AluOp::Add => ux + uy,
        AluOp::Sub => ux - uy,
        AluOp::Mul => return ((u128::from(x) * u128::from(y)) & ((1 << bits) - 1)) as u64,
        AluOp::Div | AluOp::Sdiv if y == 0 => 0,
        AluOp::Mod | AluOp::Smod if y == 0 => ux,
        AluOp::Div => ux / uy,
        AluOp::Mod => ux % uy,
        AluOp::Sdiv => sx / sy,
        AluOp::Smod => sx % sy,
        AluOp::Or => ux | uy,
        AluOp::And => ux & uy,
        AluOp::Xor => ux ^ uy,
        AluOp::Lsh => ux << k,
        AluOp::Rsh => ux >> k,
        AluOp::Arsh => sx >> k,
        AluOp::Neg => -ux,
    };
    cut(r, bits)
}

/// Whether `x op y` on values of `bits` bits.
pub(super) fn holds(op: Cond, bits: u32, x: u64, y: u64) -> bool {
    let (sx, sy) = (signed(x, bits), signed(y, bits));
    match op {
        Cond::Eq => x == y,
        Cond::Ne => x != y,
        Cond::Gt => x > y,
        Cond::Ge => x >= y,
        Cond::Lt => x < y,
        Cond::Le => x <= y,
        Cond::Sgt => sx > sy,
        Cond::Sge => sx >= sy,
        Cond::Slt => sx < sy,
        Cond::Sle => sx <= sy,
        Cond::Set => x & y != 0,
        Cond::Nset => x & y == 0,
    }
}

/// Xorshift with a fixed seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A value of the kinds that find mistakes: near the edges of 8, 16, 31, 32, 63 and 64 bits, small, or with few or many bits.
    pub(super) fn value(&mut self) -> u64 {
        let near = self.below(17).wrapping_sub(8);
        match self.below(8) {
            0 => near,
            1 => (1u64 << self.pick(&[7, 8, 15, 16, 31, 32, 33, 63])).wrapping_add(near),
            2 => self.next(),
            3 => self.next() >> self.below(64),
            4 => self.next() & self.next() & self.next(),
            5 => 1 << self.below(64),
            6 => (self.next() << 32).wrapping_add(near),
            _ => self.below(1 << 16),
        }
    }
}
