//! Encodings of the hot forms, as short as they can be.
//!
//! The `dynasm` macro spends a REX prefix, a SIB byte and a full displacement wherever a register is chosen at run time; these functions spend what
//! is needed. Source: Intel SDM, volume 2, chapter 2 (prefixes, ModRM, SIB) and the opcode maps.

use crate::jit::buffer::{CodeBuffer, Label};
use crate::regalloc::PReg;

/// Memory at a register plus a displacement, and perhaps another register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mem {
    pub(crate) base: PReg,
    pub(crate) index: Option<PReg>,
    pub(crate) disp: i32,
}

impl Mem {
    pub(crate) const fn new(base: PReg, disp: i32) -> Mem {
        Mem { base, index: None, disp }
    }
}

/// The operand that may be in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rm {
    Reg(PReg),
    Mem(Mem),
}

impl From<PReg> for Rm {
    fn from(r: PReg) -> Rm {
        Rm::Reg(r)
    }
}

impl From<Mem> for Rm {
    fn from(m: Mem) -> Rm {
        Rm::Mem(m)
    }
}

/// How wide an operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum W {
    B,
    H,
    D,
    Q,
}

/// An opcode with its map, and the prefixes that belong to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opcode {
    lock: bool,
    map: &'static [u8],
    byte: u8,
    /// Whether the `rm` operand is a byte register in its own right (`movzx`), beside what the width says.
    byte_rm: bool,
}

/// An opcode of one byte.
pub(crate) const fn op(byte: u8) -> Opcode {
    Opcode { lock: false, map: &[], byte, byte_rm: false }
}

/// An opcode of the `0F` map.
pub(crate) const fn op_0f(byte: u8) -> Opcode {
    Opcode { lock: false, map: &[0x0f], byte, byte_rm: false }
}

impl Opcode {
    /// The same with a lock prefix.
    pub(crate) const fn locked(mut self) -> Self {
        self.lock = true;
        self
    }

    /// The same with a byte register as its `rm` operand.
    pub(crate) const fn byte_rm(mut self) -> Self {
        self.byte_rm = true;
        self
    }
}

/// An instruction with ModRM: `reg` is a register number or the opcode's extension.
pub(crate) fn modrm(b: &mut CodeBuffer, w: W, op: Opcode, reg: u8, rm: impl Into<Rm>) {
    let rm = rm.into();
    if op.lock {
        b.push(0xf0);
    }
    if w == W::H {
        b.push(0x66);
    }
    let (x, base) = match rm {
        Rm::Reg(r) => (0, r.0),
        Rm::Mem(m) => (m.index.map_or(0, |i| i.0), m.base.0),
    };
    let wide = u8::from(w == W::Q);
    let rex = 0x40 | wide << 3 | (reg >> 3 & 1) << 2 | (x >> 3 & 1) << 1 | (base >> 3 & 1);
    // spl, bpl, sil and dil exist only with a REX prefix.
    let byte_reg = |r: u8| (4..8).contains(&r);
    let needs_rex = (w == W::B && byte_reg(reg))
        || ((w == W::B || op.byte_rm) && matches!(rm, Rm::Reg(r) if byte_reg(r.0)));
    if rex != 0x40 || needs_rex {
        b.push(rex);
    }
    b.extend(op.map);
    b.push(op.byte);
    let reg = (reg & 7) << 3;
    match rm {
        Rm::Reg(r) => b.push(0xc0 | reg | (r.0 & 7)),
        Rm::Mem(m) => mem(b, reg, m),
    }
}

/// ModRM, SIB and displacement of a memory operand.
fn mem(b: &mut CodeBuffer, reg: u8, m: Mem) {
    let base = m.base.0 & 7;
    // With rbp and r13 as base, no displacement would mean something else.
    let mode = match i8::try_from(m.disp) {
        Ok(0) if base != 5 => 0x00,
        Ok(_) => 0x40,
        Err(_) => 0x80,
    };
    match m.index {
        Some(i) => b.extend(&[mode | reg | 4, (i.0 & 7) << 3 | base]),
        // rsp and r12 as base are reached through a SIB byte only.
        None if base == 4 => b.extend(&[mode | reg | 4, 0x24]),
        None => b.push(mode | reg | base),
    }
    match mode {
        0x00 => {}
        0x40 => b.push_i8(m.disp as i8),
        _ => b.push_i32(m.disp),
    }
}

/// The eight operations that share an encoding, by their extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arith {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// `reg op= rm`.
pub(crate) fn arith(b: &mut CodeBuffer, w: W, a: Arith, reg: PReg, rm: impl Into<Rm>) {
    modrm(b, w, op((a as u8) << 3 | 3), reg.0, rm);
}

/// `rm op= imm`.
pub(crate) fn arith_imm(b: &mut CodeBuffer, w: W, a: Arith, rm: impl Into<Rm>, imm: i32) {
    match i8::try_from(imm) {
        Ok(imm) => {
            modrm(b, w, op(0x83), a as u8, rm);
            b.push_i8(imm);
        }
        Err(_) => {
            modrm(b, w, op(0x81), a as u8, rm);
            b.push_i32(imm);
        }
    }
}

/// `test rm, imm`.
pub(crate) fn test_imm(b: &mut CodeBuffer, w: W, rm: impl Into<Rm>, imm: i32) {
    let rm = rm.into();
    // Bits below 7 are all in the low byte, and no flag that a test is made for differs.
    if (0..0x80).contains(&imm) {
        modrm(b, W::B, op(0xf6), 0, rm);
        b.push(imm as u8);
    } else {
        let w = if imm > 0 { W::D } else { w };
        modrm(b, w, op(0xf7), 0, rm);
        b.push_i32(imm);
    }
}

/// A constant into a register; keeps flags.
pub(crate) fn mov_imm(b: &mut CodeBuffer, reg: PReg, imm: i64) {
    if let Ok(low) = u32::try_from(imm) {
        if reg.0 >= 8 {
            b.push(0x41);
        }
        b.push(0xb8 | (reg.0 & 7));
        b.push_u32(low);
    } else if let Ok(low) = i32::try_from(imm) {
        modrm(b, W::Q, op(0xc7), 0, reg);
        b.push_i32(low);
    } else {
        b.push(0x48 | reg.0 >> 3);
        b.push(0xb8 | (reg.0 & 7));
        b.push_i64(imm);
    }
}

/// A register into a register.
pub(crate) fn mov(b: &mut CodeBuffer, w: W, dst: PReg, src: impl Into<Rm>) {
    modrm(b, w, op(0x8b), dst.0, src);
}

/// A register into memory.
pub(crate) fn store(b: &mut CodeBuffer, w: W, m: Mem, src: PReg) {
    modrm(b, w, op(if w == W::B { 0x88 } else { 0x89 }), src.0, m);
}

/// A constant into memory.
pub(crate) fn store_imm(b: &mut CodeBuffer, w: W, m: Mem, imm: i32) {
    modrm(b, w, op(if w == W::B { 0xc6 } else { 0xc7 }), 0, m);
    match w {
        W::B => b.push(imm as u8),
        W::H => b.extend(&(imm as u16).to_le_bytes()),
        W::D | W::Q => b.push_i32(imm),
    }
}

/// `reg = address of m`.
pub(crate) fn lea(b: &mut CodeBuffer, w: W, reg: PReg, m: Mem) {
    modrm(b, w, op(0x8d), reg.0, m);
}

/// Shifts by their extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shift {
    Rol = 0,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// `reg shift= count`, a constant.
pub(crate) fn shift_imm(b: &mut CodeBuffer, w: W, s: Shift, reg: PReg, count: u8) {
    if count == 1 {
        modrm(b, w, op(0xd1), s as u8, reg);
    } else {
        modrm(b, w, op(0xc1), s as u8, reg);
        b.push(count);
    }
}

/// `reg = rm shift count` (BMI2), the count in a register, taken modulo the width.
pub(crate) fn shiftx(b: &mut CodeBuffer, w: W, s: Shift, reg: PReg, rm: PReg, count: PReg) {
    let pp = match s {
        Shift::Shl | Shift::Rol => 1,
        Shift::Sar => 2,
        Shift::Shr => 3,
    };
    // Three-byte VEX: inverted R, X, B and vvvv.
    let rb = (!reg.0 >> 3 & 1) << 7 | 1 << 6 | (!rm.0 >> 3 & 1) << 5;
    b.extend(&[0xc4, rb | 0x02, u8::from(w == W::Q) << 7 | (!count.0 & 0xf) << 3 | pp, 0xf7]);
    b.push(0xc0 | (reg.0 & 7) << 3 | (rm.0 & 7));
}

/// `bswap reg`.
pub(crate) fn bswap(b: &mut CodeBuffer, w: W, reg: PReg) {
    let rex = 0x40 | u8::from(w == W::Q) << 3 | reg.0 >> 3;
    if rex != 0x40 {
        b.push(rex);
    }
    b.extend(&[0x0f, 0xc8 | (reg.0 & 7)]);
}

/// `push reg`.
pub(crate) fn push(b: &mut CodeBuffer, reg: PReg) {
    if reg.0 >= 8 {
        b.push(0x41);
    }
    b.push(0x50 | (reg.0 & 7));
}

/// `pop reg`.
pub(crate) fn pop(b: &mut CodeBuffer, reg: PReg) {
    if reg.0 >= 8 {
        b.push(0x41);
    }
    b.push(0x58 | (reg.0 & 7));
}

/// Condition codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cc {
    B = 2,
    Ae = 3,
    E = 4,
    Ne = 5,
    Be = 6,
    A = 7,
    L = 12,
    Ge = 13,
    Le = 14,
    G = 15,
}

impl Cc {
    /// The opposite.
    pub(crate) const fn not(self) -> Cc {
        match self {
            Cc::B => Cc::Ae,
            Cc::Ae => Cc::B,
            Cc::E => Cc::Ne,
            Cc::Ne => Cc::E,
            Cc::Be => Cc::A,
            Cc::A => Cc::Be,
            Cc::L => Cc::Ge,
            Cc::Ge => Cc::L,
            Cc::Le => Cc::G,
            Cc::G => Cc::Le,
        }
    }
}

/// `jmp label`.
pub(crate) fn jmp(b: &mut CodeBuffer, to: Label) {
    let short = b.next_jump_is_short();
    if short {
        b.extend(&[0xeb, 0])
    } else {
        b.extend(&[0xe9, 0, 0, 0, 0])
    }
    b.jump_field(to, if short { 1 } else { 4 });
}

/// `jcc label`.
pub(crate) fn jcc(b: &mut CodeBuffer, cc: Cc, to: Label) {
    let short = b.next_jump_is_short();
    if short {
        b.extend(&[0x70 | cc as u8, 0])
    } else {
        b.extend(&[0x0f, 0x80 | cc as u8, 0, 0, 0, 0])
    }
    b.jump_field(to, if short { 1 } else { 4 });
}
