//! The macro-assembler of x86-64: one method an operation, from operands as they live to instructions.
//!
//! Two-address instructions work in the destination where it is a register that the other operand does not need, else in `r11`. Frames and returns are in
//! `abi`, division and atomics in `fixed`.

use super::enc::{self, Arith, Cc, Mem, Rm, Shift, W, modrm, op, op_0f};
use super::regs::*;
use crate::ir::{Compare, Cond, Ext, InstData, Op, Size, Width};
use crate::jit::buffer::{CodeBuffer, Label};
use crate::jit::masm::{Addr, Opnd};
use crate::jit::target::CpuFeatures;
use crate::regalloc::PReg;

/// The assembler and the frame of the function that is being written.
#[derive(Debug)]
pub(crate) struct Assembler {
    pub(crate) buf: CodeBuffer,
    pub(crate) features: CpuFeatures,
    pub(crate) frame: super::abi::FrameLayout,
    /// How many registers values may have; fewer than all in tests, so that much lives on the stack.
    pub(crate) registers: usize,
}

/// An operand that an instruction can take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Src {
    Rm(Rm),
    Imm(i32),
}

pub(crate) const fn width(w: Width) -> W {
    match w {
        Width::W32 => W::D,
        Width::W64 => W::Q,
    }
}

pub(crate) const fn size(s: Size) -> W {
    match s {
        Size::B => W::B,
        Size::H => W::H,
        Size::W => W::D,
        Size::DW => W::Q,
    }
}

impl Assembler {
    pub(crate) fn slot(&self, slot: u32) -> Mem {
        Mem::new(RSP, self.frame.slots_at + 8 * slot as i32)
    }

    fn in_frame(&self, off: i32) -> Mem {
        Mem::new(RSP, self.frame.fp_at + off)
    }

    /// The operand as an instruction takes it; through `via` where it has to be made first.
    pub(crate) fn source(&mut self, w: W, o: Opnd, via: PReg) -> Src {
        match o {
            Opnd::Reg(r) => Src::Rm(r.into()),
            Opnd::Stack(s) => Src::Rm(self.slot(s).into()),
            Opnd::Imm(i) if w == W::D => Src::Imm(i as i32),
            Opnd::Imm(i) => match i32::try_from(i) {
                Ok(i) => Src::Imm(i),
                Err(_) => {
                    enc::mov_imm(&mut self.buf, via, i);
                    Src::Rm(via.into())
                }
            },
            Opnd::Frame(_) | Opnd::Code(_) => {
                self.mov_to(via, o);
                Src::Rm(via.into())
            }
            Opnd::None => Src::Imm(0),
        }
    }

    /// As [`Self::source`], but never a constant.
    pub(crate) fn source_rm(&mut self, w: W, o: Opnd, via: PReg) -> Rm {
        match self.source(w, o, via) {
            Src::Rm(rm) => rm,
            Src::Imm(i) => {
                enc::mov_imm(&mut self.buf, via, i64::from(i));
                via.into()
            }
        }
    }

    /// The operand in a register: where it is, else copied to `via`.
    pub(crate) fn in_reg(&mut self, o: Opnd, via: PReg) -> PReg {
        match o {
            Opnd::Reg(r) => r,
            _ => {
                self.mov_to(via, o);
                via
            }
        }
    }

    /// Memory at an address; a base that is in no register goes to `via`.
    pub(crate) fn mem(&mut self, a: Addr, via: PReg) -> Mem {
        match a.base {
            Opnd::Frame(off) => self.in_frame(off.wrapping_add(a.off)),
            base => Mem::new(self.in_reg(base, via), a.off),
        }
    }

    /// Copies an operand to a register; keeps flags.
    pub(crate) fn mov_to(&mut self, dst: PReg, o: Opnd) {
        match o {
            Opnd::Reg(r) if r == dst => {}
            Opnd::Reg(r) => enc::mov(&mut self.buf, W::Q, dst, r),
            Opnd::Stack(s) => {
                let m = self.slot(s);
                enc::mov(&mut self.buf, W::Q, dst, m);
            }
            Opnd::Imm(i) => enc::mov_imm(&mut self.buf, dst, i),
            Opnd::Frame(off) => {
                let m = self.in_frame(off);
                enc::lea(&mut self.buf, W::Q, dst, m);
            }
            Opnd::Code(label) => {
                let rex = 0x48 | dst.0 >> 3 << 2;
                self.buf.extend(&[rex, 0x8d, (dst.0 & 7) << 3 | 5, 0, 0, 0, 0]); // lea dst, [rip + label]
                self.buf.far_field(label);
            }
            Opnd::None => {}
        }
    }

    /// Copies a register to where a value lives.
    pub(crate) fn mov_from(&mut self, dst: Opnd, r: PReg) {
        match dst {
            Opnd::Reg(d) if d == r => {}
            Opnd::Reg(d) => enc::mov(&mut self.buf, W::Q, d, r),
            Opnd::Stack(s) => {
                let m = self.slot(s);
                enc::store(&mut self.buf, W::Q, m, r);
            }
            Opnd::Imm(_) | Opnd::Frame(_) | Opnd::Code(_) | Opnd::None => {}
        }
    }

    /// Where to compute a value that then lives in `dst`, without destroying the operands given.
    fn work_reg(dst: Opnd, keep: &[Opnd]) -> PReg {
        match dst {
            Opnd::Reg(r) if !keep.contains(&dst) => r,
            _ => R11,
        }
    }

    pub(crate) fn mov_any(&mut self, dst: Opnd, src: Opnd) {
        match (dst, src) {
            (Opnd::Reg(r), _) => self.mov_to(r, src),
            (Opnd::Stack(s), Opnd::Imm(i)) if i32::try_from(i).is_ok() => {
                let m = self.slot(s);
                enc::store_imm(&mut self.buf, W::Q, m, i as i32);
            }
            (Opnd::Stack(_), _) => {
                let r = self.in_reg(src, R10);
                self.mov_from(dst, r);
            }
            _ => {}
        }
    }

    pub(crate) fn binary_op(&mut self, d: &InstData, dst: Opnd, a: Opnd, b: Opnd) {
        let w = width(d.width);
        match d.op {
            Op::Add => self.add(w, dst, a, b),
            Op::Sub => match b {
                Opnd::Imm(i) if i != i64::from(i32::MIN) && i32::try_from(i).is_ok() => {
                    self.add(w, dst, a, Opnd::Imm(-i));
                }
                _ if dst == b && a != b && matches!(dst, Opnd::Reg(_)) => {
                    let r = Self::work_reg(dst, &[a]);
                    modrm(&mut self.buf, w, op(0xf7), 3, r);
                    self.arith(w, Arith::Add, r, a);
                    self.mov_from(dst, r);
                }
                _ => self.two_address(w, Arith::Sub, dst, a, b),
            },
            Op::And => self.and(w, dst, a, b),
            Op::Or => self.two_address(w, Arith::Or, dst, a, b),
            Op::Xor => self.two_address(w, Arith::Xor, dst, a, b),
            Op::Mul => self.mul(w, dst, a, b),
            Op::Lsh => self.shift(w, Shift::Shl, dst, a, b),
            Op::Rsh => self.shift(w, Shift::Shr, dst, a, b),
            Op::Arsh => self.shift(w, Shift::Sar, dst, a, b),
            _ => self.divide(d, dst, b),
        }
    }

    fn arith(&mut self, w: W, op: Arith, reg: PReg, b: Opnd) {
        match self.source(w, b, R10) {
            Src::Rm(rm) => enc::arith(&mut self.buf, w, op, reg, rm),
            Src::Imm(i) => enc::arith_imm(&mut self.buf, w, op, reg, i),
        }
    }

    /// Copies `a` to the register where an operation on it is to happen; 32-bit operations need no more than its low half.
    fn begin(&mut self, w: W, r: PReg, a: Opnd) {
        match a {
            Opnd::Reg(s) if s != r && w == W::D => enc::mov(&mut self.buf, W::D, r, s),
            Opnd::Imm(i) if w == W::D => enc::mov_imm(&mut self.buf, r, i64::from(i as u32)),
            _ => self.mov_to(r, a),
        }
    }

    fn two_address(&mut self, w: W, op: Arith, dst: Opnd, a: Opnd, b: Opnd) {
        let swap = dst == b && !matches!(op, Arith::Sub);
        let (a, b) = if swap { (b, a) } else { (a, b) };
        let r = Self::work_reg(dst, if a == b { &[] } else { core::slice::from_ref(&b) });
        self.begin(w, r, a);
        self.arith(w, op, r, b);
        self.mov_from(dst, r);
    }

    fn add(&mut self, w: W, dst: Opnd, a: Opnd, b: Opnd) {
        if let (Opnd::Reg(d), Opnd::Reg(x)) = (dst, a) {
            let mem = match b {
                Opnd::Reg(y) if dst != a && dst != b => Some(Mem { base: x, index: Some(y), disp: 0 }),
                Opnd::Imm(i) if dst != a => i32::try_from(i).ok().map(|i| Mem::new(x, i)),
                _ => None,
            };
            // rsp cannot be an index, and is never allocated.
            if let Some(mem) = mem {
                return enc::lea(&mut self.buf, w, d, mem);
            }
        }
        self.two_address(w, Arith::Add, dst, a, b);
    }

    fn and(&mut self, w: W, dst: Opnd, a: Opnd, b: Opnd) {
        let size = match b {
            Opnd::Imm(0xff) => Size::B,
            Opnd::Imm(0xffff) => Size::H,
            Opnd::Imm(0xffff_ffff) if w == W::Q => Size::W,
            _ => return self.two_address(w, Arith::And, dst, a, b),
        };
        self.zext(size, dst, a);
    }

    fn mul(&mut self, w: W, dst: Opnd, a: Opnd, b: Opnd) {
        let (a, b) = if matches!(a, Opnd::Imm(_)) { (b, a) } else { (a, b) };
        match self.source(w, b, R10) {
            Src::Imm(i) => {
                let r = Self::work_reg(dst, &[]);
                let rm = self.source_rm(w, a, R11);
                let short = i8::try_from(i).is_ok();
                modrm(&mut self.buf, w, op(if short { 0x6b } else { 0x69 }), r.0, rm);
                if short {
                    self.buf.push(i as u8)
                } else {
                    self.buf.push_i32(i)
                }
                self.mov_from(dst, r);
            }
            Src::Rm(rm) => {
                let (a, rm) = match (dst, a) {
                    (Opnd::Reg(d), Opnd::Reg(x)) if rm == Rm::Reg(d) => (Opnd::Reg(d), Rm::Reg(x)),
                    _ => (a, rm),
                };
                let r = match dst {
                    Opnd::Reg(d) if rm != Rm::Reg(d) || a == dst => d,
                    _ => R11,
                };
                self.begin(w, r, a);
                modrm(&mut self.buf, w, op_0f(0xaf), r.0, rm);
                self.mov_from(dst, r);
            }
        }
    }

    fn shift(&mut self, w: W, s: Shift, dst: Opnd, a: Opnd, count: Opnd) {
        let bits = if w == W::Q { 63 } else { 31 };
        match count {
            Opnd::Imm(i) => {
                let r = Self::work_reg(dst, &[]);
                let count = i as u8 & bits;
                if count == 0 && w == W::D {
                    return self.zext(Size::W, dst, a);
                }
                self.begin(w, r, a);
                if count != 0 {
                    enc::shift_imm(&mut self.buf, w, s, r, count);
                }
                self.mov_from(dst, r);
            }
            _ if self.features.bmi2 => {
                let r = Self::work_reg(dst, &[]);
                let a = self.in_reg(a, R11);
                let count = self.in_reg(count, R10);
                enc::shiftx(&mut self.buf, w, s, r, a, count);
                self.mov_from(dst, r);
            }
            // Constraints: the operand is in r10, the count in rcx.
            _ => {
                modrm(&mut self.buf, w, op(0xd3), s as u8, R10);
                self.mov_from(dst, R10);
            }
        }
    }

    pub(crate) fn unary_op(&mut self, d: &InstData, dst: Opnd, a: Opnd) {
        match d.op {
            Op::Neg => {
                let (r, w) = (Self::work_reg(dst, &[]), width(d.width));
                self.begin(w, r, a);
                modrm(&mut self.buf, w, op(0xf7), 3, r);
                self.mov_from(dst, r);
            }
            Op::Zext => self.zext(d.size, dst, a),
            Op::Sext => {
                let r = Self::work_reg(dst, &[]);
                let rm = self.source_rm(W::Q, a, R10);
                self.extend(d.size, Ext::Sign, width(d.width), r, rm);
                self.mov_from(dst, r);
            }
            _ => self.bswap(d.size, dst, a),
        }
    }

    fn zext(&mut self, from: Size, dst: Opnd, a: Opnd) {
        let r = Self::work_reg(dst, &[]);
        let rm = self.source_rm(W::Q, a, R10);
        self.extend(from, Ext::Zero, W::Q, r, rm);
        self.mov_from(dst, r);
    }

    /// `r = rm`, of which `from` counts.
    fn extend(&mut self, from: Size, ext: Ext, w: W, r: PReg, rm: Rm) {
        let (w, opcode) = match (from, ext) {
            (Size::B, Ext::Zero) => (W::D, op_0f(0xb6).byte_rm()),
            (Size::H, Ext::Zero) => (W::D, op_0f(0xb7)),
            (Size::B, Ext::Sign) => (w, op_0f(0xbe).byte_rm()),
            (Size::H, Ext::Sign) => (w, op_0f(0xbf)),
            (Size::W, Ext::Sign) if w == W::Q => (w, op(0x63)),
            (Size::W, _) => (W::D, op(0x8b)),
            (Size::DW, _) => (W::Q, op(0x8b)),
        };
        modrm(&mut self.buf, w, opcode, r.0, rm);
    }

    fn bswap(&mut self, from: Size, dst: Opnd, a: Opnd) {
        let r = Self::work_reg(dst, &[]);
        self.begin(W::Q, r, a);
        match from {
            Size::B => {}
            Size::H => {
                enc::shift_imm(&mut self.buf, W::H, Shift::Rol, r, 8);
                self.extend(Size::H, Ext::Zero, W::D, r, r.into());
            }
            Size::W => enc::bswap(&mut self.buf, W::D, r),
            Size::DW => enc::bswap(&mut self.buf, W::Q, r),
        }
        self.mov_from(dst, r);
    }

    pub(crate) fn select_op(&mut self, c: &Compare, dst: Opnd, args: [Opnd; 2], values: [Opnd; 2]) {
        let [yes, no] = values;
        // The result is made where nothing that is still read lives; r10 and r11 serve the comparison first.
        let d = match dst {
            Opnd::Reg(r) if !args.contains(&dst) && yes != dst => r,
            _ => R11,
        };
        let cc = if d == R11 {
            let cc = self.compare(c, args);
            self.mov_to(R11, no);
            cc
        } else {
            self.mov_to(d, no);
            self.compare(c, args)
        };
        let yes: Rm = match yes {
            Opnd::Reg(r) => r.into(),
            Opnd::Stack(s) => self.slot(s).into(),
            _ => {
                self.mov_to(R10, yes);
                R10.into()
            }
        };
        modrm(&mut self.buf, W::Q, op_0f(0x40 | cc as u8), d.0, yes);
        self.mov_from(dst, d);
    }

    pub(crate) fn load_op(&mut self, size: Size, ext: Ext, dst: Opnd, addr: Addr) {
        let m = self.mem(addr, R10);
        let r = Self::work_reg(dst, &[]);
        self.extend(size, ext, W::Q, r, m.into());
        self.mov_from(dst, r);
    }

    pub(crate) fn store_op(&mut self, s: Size, addr: Addr, src: Opnd) {
        let m = self.mem(addr, R10);
        let w = size(s);
        match src {
            Opnd::Imm(i) if s != Size::DW || i32::try_from(i).is_ok() => {
                enc::store_imm(&mut self.buf, w, m, i as i32);
            }
            Opnd::None => {}
            _ => {
                let r = self.in_reg(src, R11);
                enc::store(&mut self.buf, w, m, r);
            }
        }
    }

    /// Sets flags; the condition code that says yes.
    pub(crate) fn compare(&mut self, c: &Compare, [a, b]: [Opnd; 2]) -> Cc {
        let w = width(c.width);
        let left = self.source_rm(w, a, R10);
        let right = self.source(w, b, R11);
        if c.cond == Cond::Set {
            match (left, right) {
                (_, Src::Imm(i)) => enc::test_imm(&mut self.buf, w, left, i),
                (_, Src::Rm(Rm::Reg(r))) => modrm(&mut self.buf, w, op(0x85), r.0, left),
                (Rm::Reg(r), Src::Rm(rm)) => modrm(&mut self.buf, w, op(0x85), r.0, rm),
                (_, Src::Rm(rm)) => {
                    enc::mov(&mut self.buf, w, R11, rm);
                    modrm(&mut self.buf, w, op(0x85), R11.0, left);
                }
            }
            return Cc::Ne;
        }
        match (left, right) {
            (Rm::Reg(r), Src::Imm(0)) => modrm(&mut self.buf, w, op(0x85), r.0, r),
            (_, Src::Imm(i)) => enc::arith_imm(&mut self.buf, w, Arith::Cmp, left, i),
            (Rm::Reg(r), Src::Rm(rm)) => enc::arith(&mut self.buf, w, Arith::Cmp, r, rm),
            (_, Src::Rm(Rm::Reg(r))) => modrm(&mut self.buf, w, op(0x39), r.0, left),
            (_, Src::Rm(rm)) => {
                enc::mov(&mut self.buf, w, R11, rm);
                modrm(&mut self.buf, w, op(0x39), R11.0, left);
            }
        }
        match c.cond {
            Cond::Eq | Cond::Set => Cc::E,
            Cond::Ne => Cc::Ne,
            Cond::Gt => Cc::A,
            Cond::Ge => Cc::Ae,
            Cond::Lt => Cc::B,
            Cond::Le => Cc::Be,
            Cond::Sgt => Cc::G,
            Cond::Sge => Cc::Ge,
            Cond::Slt => Cc::L,
            Cond::Sle => Cc::Le,
        }
    }

    pub(crate) fn branch_op(&mut self, c: &Compare, args: [Opnd; 2], when: bool, to: Label) {
        let cc = self.compare(c, args);
        enc::jcc(&mut self.buf, if when { cc } else { cc.not() }, to);
    }
}
