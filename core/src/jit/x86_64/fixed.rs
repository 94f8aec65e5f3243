//! Operations bound to fixed registers: division and atomics, and what they want of the allocator.
//!
//! Division has the dividend in `rax` and the divisor in `r11`. A fetching and, or, xor is a compare-and-exchange loop: the old value in `rax`, the new one in `rdx`,
//! the address in `r10`, the operand in `r11`. Compare-and-exchange has the expected value in `rax`.

use super::enc::{self, Arith, Mem, Rm, W, modrm, op, op_0f};
use super::masm::{Assembler, Src, size};
use super::regs::*;
use crate::ir::{InstData, Op, Size, Width};
use crate::jit::masm::{Addr, Opnd};
use crate::regalloc::{Constraints, RegSet};
use dynasm::dynasm;

/// What an operation wants, calls apart.
pub(crate) fn constraints(d: &InstData, bmi2: bool) -> Constraints {
    let mut c = Constraints::default();
    match d.op {
        Op::Div | Op::Sdiv | Op::Mod | Op::Smod => {
            c.fixed = [Some(RAX), Some(R11), None, None, None, None];
            c.clobbers = RegSet::of(&[RAX, RDX]);
            c.result = Some(if matches!(d.op, Op::Div | Op::Sdiv) { RAX } else { RDX });
        }
        Op::Lsh | Op::Rsh | Op::Arsh if d.args[1].is_some() && !bmi2 => {
            c.fixed = [Some(R10), Some(RCX), None, None, None, None];
            c.clobbers = RegSet::of(&[RCX]);
        }
        Op::FetchAnd | Op::FetchOr | Op::FetchXor => {
            c.fixed = [Some(R10), Some(R11), None, None, None, None];
            c.clobbers = RegSet::of(&[RAX, RDX]);
            c.result = Some(RAX);
        }
        Op::CmpXchg => {
            c.fixed = [Some(R10), Some(RAX), Some(R11), None, None, None];
            c.clobbers = RegSet::of(&[RAX]);
            c.result = Some(RAX);
        }
        _ => {}
    }
    c
}

impl Assembler {
    /// The dividend is in `rax`; the divisor in `r11`, unless it is a constant.
    pub(crate) fn divide(&mut self, d: &InstData, dst: Opnd, b: Opnd) {
        if let Opnd::Imm(i) = b {
            let i = if d.width == Width::W32 { i64::from(i as u32) } else { i };
            enc::mov_imm(&mut self.buf, R11, i);
        }
        let (done, zero, negate) = (self.buf.new_label(), self.buf.new_label(), self.buf.new_label());
        let buf = &mut self.buf;
        let result = match (d.op, d.width) {
            (Op::Div, Width::W64) => {
                dynasm!(buf ; .arch x64
                    ; test r11, r11 ; jz BYTE =>zero ; xor edx, edx ; div r11 ; jmp BYTE =>done
                    ; =>zero ; xor eax, eax ; =>done);
                RAX
            }
            (Op::Div, Width::W32) => {
                dynasm!(buf ; .arch x64
                    ; test r11d, r11d ; jz BYTE =>zero ; xor edx, edx ; div r11d ; jmp BYTE =>done
                    ; =>zero ; xor eax, eax ; =>done);
                RAX
            }
            (Op::Mod, Width::W64) => {
                dynasm!(buf ; .arch x64
                    ; mov rdx, rax ; test r11, r11 ; jz BYTE =>done ; xor edx, edx ; div r11 ; =>done);
                RDX
            }
            (Op::Mod, Width::W32) => {
                dynasm!(buf ; .arch x64
                    ; mov edx, eax ; test r11d, r11d ; jz BYTE =>done ; xor edx, edx ; div r11d ; =>done);
                RDX
            }
            (Op::Sdiv, Width::W64) => {
                dynasm!(buf ; .arch x64
                    ; test r11, r11 ; jz BYTE =>zero ; cmp r11, BYTE -1 ; je BYTE =>negate
                    ; cqo ; idiv r11 ; jmp BYTE =>done
                    ; =>negate ; neg rax ; jmp BYTE =>done
                    ; =>zero ; xor eax, eax ; =>done);
                RAX
            }
            (Op::Sdiv, Width::W32) => {
                dynasm!(buf ; .arch x64
                    ; test r11d, r11d ; jz BYTE =>zero ; cmp r11d, BYTE -1 ; je BYTE =>negate
                    ; cdq ; idiv r11d ; jmp BYTE =>done
                    ; =>negate ; neg eax ; jmp BYTE =>done
                    ; =>zero ; xor eax, eax ; =>done);
                RAX
            }
            (_, Width::W64) => {
                dynasm!(buf ; .arch x64
                    ; mov rdx, rax ; test r11, r11 ; jz BYTE =>done ; xor edx, edx ; cmp r11, BYTE -1 ; je BYTE =>done
                    ; cqo ; idiv r11 ; =>done);
                RDX
            }
            (_, Width::W32) => {
                dynasm!(buf ; .arch x64
                    ; mov edx, eax ; test r11d, r11d ; jz BYTE =>done ; xor edx, edx ; cmp r11d, BYTE -1 ; je BYTE =>done
                    ; cdq ; idiv r11d ; =>done);
                RDX
            }
        };
        self.mov_from(dst, result);
    }

    pub(crate) fn atomic_op(&mut self, d: &InstData, dst: Opnd, addr: Addr, args: [Opnd; 2]) {
        let w = size(d.size);
        let m = self.mem(addr, R10);
        match d.op {
            Op::LoadAcq => {
                self.load_op(d.size, crate::ir::Ext::Zero, dst, Addr { base: Opnd::Reg(m.base), off: m.disp })
            }
            Op::StoreRel => self.store_op(d.size, Addr { base: Opnd::Reg(m.base), off: m.disp }, args[0]),
            Op::AtomicAdd => self.locked(w, Arith::Add, m, args[0]),
            Op::AtomicAnd => self.locked(w, Arith::And, m, args[0]),
            Op::AtomicOr => self.locked(w, Arith::Or, m, args[0]),
            Op::AtomicXor => self.locked(w, Arith::Xor, m, args[0]),
            Op::FetchAdd | Op::Xchg => {
                self.mov_to(R11, args[0]);
                let opcode = if d.op == Op::Xchg { op(0x87) } else { op_0f(0xc1).locked() };
                modrm(&mut self.buf, w, opcode, R11.0, m);
                // The upper half of an exchanged register stays zero: a 32-bit write clears it.
                self.mov_from(dst, R11);
            }
            Op::CmpXchg => {
                modrm(&mut self.buf, w, op_0f(0xb1).locked(), R11.0, m);
                if d.size == Size::W {
                    // Where memory held the expected value, rax was not written.
                    enc::mov(&mut self.buf, W::D, RAX, RAX);
                }
                self.mov_from(dst, RAX);
            }
            _ => {
                if let Opnd::Imm(_) = args[0] {
                    self.mov_to(R11, args[0]);
                }
                let again = self.buf.new_label();
                enc::mov(&mut self.buf, w, RAX, m);
                self.buf.dynamic_label(again);
                enc::mov(&mut self.buf, w, RDX, RAX);
                let arith = match d.op {
                    Op::FetchAnd => Arith::And,
                    Op::FetchOr => Arith::Or,
                    _ => Arith::Xor,
                };
                enc::arith(&mut self.buf, w, arith, RDX, R11);
                modrm(&mut self.buf, w, op_0f(0xb1).locked(), RDX.0, m);
                enc::jcc(&mut self.buf, enc::Cc::Ne, again);
                self.mov_from(dst, RAX);
            }
        }
    }

    fn locked(&mut self, w: W, a: Arith, m: Mem, src: Opnd) {
        match self.source(w, src, R11) {
            Src::Imm(i) => {
                self.buf.push(0xf0);
                enc::arith_imm(&mut self.buf, w, a, m, i);
            }
            Src::Rm(rm) => {
                let r = match rm {
                    Rm::Reg(r) => r,
                    Rm::Mem(_) => self.in_reg(src, R11),
                };
                modrm(&mut self.buf, w, op((a as u8) << 3 | 1).locked(), r.0, m);
            }
        }
    }
}
