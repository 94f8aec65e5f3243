//! From instruction words to typed instructions.
//!
//! Total: every word at every pc gives an [`Op`] or an [`InsnError`] in the kernel's words. Branch and call targets come out as absolute
//! pcs below the program's length. Left to the caller: that a target is not the second slot of a wide immediate, that functions do
//! not run into each other, and everything about values.

use super::error::{InsnError, InsnReason, Reserved};
use super::insn::Insn;
use super::op::*;
use super::opcode::{Fields, Form, Opcode, Source};
use super::typed::{
    AluOp, AtomicOp, Callee, EndKind, JaForm, Op, Operand, PacketMode, Reg, Size, WideImm, Width,
};

/// Conditional jump with a counter of the kernel's (`may_goto`), outside RFC 9669.
const MAY_GOTO: u8 = BPF_JMP | BPF_JCOND;

/// The instruction at `pc`. The next one is [`Op::slots`] further.
///
/// # Errors
/// An opcode that does not exist, a reserved field that is not zero, a register above R10, or a target outside `insns`.
pub fn decode(insns: &[Insn], pc: u32) -> Result<Op, InsnError> {
    Word::at(insns, pc).and_then(|w| w.op()).map_err(|reason| InsnError { pc, reason })
}

type Checked<T> = Result<T, InsnReason>;

/// One word in its place.
struct Word<'a> {
    insns: &'a [Insn],
    pc: u32,
    insn: Insn,
}

impl<'a> Word<'a> {
    fn at(insns: &'a [Insn], pc: u32) -> Checked<Self> {
        let insn = *insns.get(pc as usize).ok_or(InsnReason::PastEnd)?;
        Ok(Word { insns, pc, insn })
    }

    fn op(&self) -> Checked<Op> {
        let insn = self.insn;
        let row = Opcode::of(insn.code).ok_or_else(|| self.unknown())?;
        let unused = |field, zero: bool| !row.zero.has(field) || zero;
        let clean = unused(Fields::DST, insn.dst() == 0)
            && unused(Fields::SRC, insn.src() == 0)
            && unused(Fields::OFF, insn.off == 0)
            && unused(Fields::IMM, insn.imm == 0);
        if !clean {
            return Err(InsnReason::Reserved(row.family));
        }
        Ok(match row.form {
            Form::Alu(op, width, source) => {
                let op = signed(op, insn.off)?;
                Op::Alu { op, width, src: self.operand(source)?, dst: self.dst()? }
            }
            Form::Mov(width, Source::K) => Op::Mov { width, dst: self.dst()?, src: Operand::Imm(insn.imm) },
            Form::Mov(width, Source::X) => self.mov(width)?,
            Form::Neg(width) => Op::Neg { width, dst: self.dst()? },
            Form::ToLe => self.end(EndKind::Le)?,
            Form::ToBe => self.end(EndKind::Be)?,
            Form::Bswap => self.end(EndKind::Bswap)?,
            Form::LdImm64 => self.wide()?,
            Form::Load(size, ext) => {
                Op::Load { size, ext, base: self.src()?, dst: self.dst()?, off: insn.off }
            }
            Form::Store(size, source) => {
                Op::Store { size, base: self.dst()?, off: insn.off, src: self.operand(source)? }
            }
            Form::Atomic(size) => self.atomic(size)?,
            Form::Goto => Op::Ja { target: self.jump(i64::from(insn.off))?, form: JaForm::Off },
            Form::Gotol => Op::Ja { target: self.jump(i64::from(insn.imm))?, form: JaForm::Imm },
            Form::Jmp(cond, width, source) => Op::Jmp {
                cond,
                width,
                dst: self.dst()?,
                src: self.operand(source)?,
                target: self.jump(i64::from(insn.off))?,
            },
            Form::Call => Op::Call(self.callee()?),
            Form::Callx => Op::Call(Callee::Reg(self.dst()?)),
            Form::Exit => Op::Exit,
            Form::PacketAbs(size) => Op::LegacyPacket { mode: PacketMode::Abs, size, imm: insn.imm },
            Form::PacketInd(size) => {
                Op::LegacyPacket { mode: PacketMode::Ind(Reg::new(insn.src())), size, imm: insn.imm }
            }
        })
    }

    /// What the kernel says of an opcode that is not in the table.
    fn unknown(&self) -> InsnReason {
        let code = self.insn.code;
        let mode = code & 0xe0;
        if code == MAY_GOTO {
            InsnReason::NotSupported("may_goto")
        } else if self.insn.class() == BPF_LDX && mode != BPF_MEM && mode != BPF_MEMSX {
            InsnReason::Reserved(Reserved::Ldx)
        } else {
            InsnReason::UnknownOpcode(code)
        }
    }

    fn dst(&self) -> Checked<Reg> {
        reg(self.insn.dst())
    }

    fn src(&self) -> Checked<Reg> {
        reg(self.insn.src())
    }

    fn operand(&self, source: Source) -> Checked<Operand> {
        match source {
            Source::K => Ok(Operand::Imm(self.insn.imm)),
            Source::X => self.src().map(Operand::Reg),
        }
    }

    fn mov(&self, width: Width) -> Checked<Op> {
        let insn = self.insn;
        if width == Width::W64 && insn.off == 1 {
            return Err(InsnReason::NotSupported("addr_space_cast"));
        }
        let from = match insn.off {
            0 => None,
            8 => Some(Size::B),
            16 => Some(Size::H),
            32 if width == Width::W64 => Some(Size::W),
            _ => return Err(InsnReason::Reserved(Reserved::Mov)),
        };
        if insn.imm != 0 {
            return Err(InsnReason::Reserved(Reserved::Mov));
        }
        let (src, dst) = (self.src()?, self.dst()?);
        Ok(match from {
            None => Op::Mov { width, dst, src: Operand::Reg(src) },
            Some(from) => Op::MovSx { width, from, dst, src },
        })
    }

    fn end(&self, kind: EndKind) -> Checked<Op> {
        let size = match self.insn.imm {
            16 => Size::H,
            32 => Size::W,
            64 => Size::DW,
            _ => return Err(InsnReason::Reserved(Reserved::End)),
        };
        Ok(Op::End { kind, size, dst: self.dst()? })
    }

    fn wide(&self) -> Checked<Op> {
        let low = self.insn.imm;
        let second = self.insns.get(self.pc as usize + 1).ok_or(InsnReason::BadWide)?;
        if second.code != 0 || second.regs != 0 || second.off != 0 {
            return Err(InsnReason::BadWide);
        }
        let high = second.imm;
        let imm = match self.insn.src() {
            0 => WideImm::Imm(u64::from(high as u32) << 32 | u64::from(low as u32)),
            BPF_PSEUDO_MAP_FD if high == 0 => WideImm::MapFd(low),
            BPF_PSEUDO_MAP_VALUE => WideImm::MapValue { fd: low, off: high as u32 },
            BPF_PSEUDO_BTF_ID => WideImm::BtfId { id: low, btf_fd: high },
            BPF_PSEUDO_FUNC => WideImm::Func(self.function(low)?),
            BPF_PSEUDO_MAP_IDX if high == 0 => WideImm::MapIdx(low as u32),
            BPF_PSEUDO_MAP_IDX_VALUE => WideImm::MapIdxValue { idx: low as u32, off: high as u32 },
            _ => return Err(InsnReason::UnknownWide),
        };
        Ok(Op::LdImm64 { dst: self.dst()?, imm })
    }

    fn atomic(&self, size: Size) -> Checked<Op> {
        let Insn { imm, off, .. } = self.insn;
        let load = imm == BPF_LOAD_ACQ;
        let (op, fetch) = match imm {
            BPF_LOAD_ACQ | BPF_STORE_REL => (AtomicOp::Xchg, true),
            BPF_XCHG => (AtomicOp::Xchg, true),
            BPF_CMPXCHG => (AtomicOp::Cmpxchg, true),
            _ => match AtomicOp::ALL.iter().find(|op| op.imm() == imm & !BPF_FETCH) {
                Some(&op) => (op, imm & BPF_FETCH != 0),
                None => return Err(InsnReason::UnknownAtomic(imm)),
            },
        };
        if load {
            return Ok(Op::LoadAcq { size, base: self.src()?, dst: self.dst()?, off });
        }
        if imm == BPF_STORE_REL {
            return Ok(Op::StoreRel { size, base: self.dst()?, off, src: self.src()? });
        }
        if size < Size::W {
            return Err(InsnReason::AtomicSize);
        }
        Ok(Op::Atomic { op, fetch, size, src: self.src()?, base: self.dst()?, off })
    }

    fn callee(&self) -> Checked<Callee> {
        let Insn { off, imm, .. } = self.insn;
        match self.insn.src() {
            0 if off == 0 => Ok(Callee::Helper(imm as u32)),
            BPF_PSEUDO_CALL if off == 0 => Ok(Callee::Local(self.function(imm)?)),
            BPF_PSEUDO_KFUNC_CALL => Ok(Callee::Kfunc { id: imm, off }),
            _ => Err(InsnReason::Reserved(Reserved::Call)),
        }
    }

    fn jump(&self, distance: i64) -> Checked<u32> {
        self.place(distance).map_err(|to| InsnReason::JumpOutOfRange { to })
    }

    fn function(&self, distance: i32) -> Checked<u32> {
        self.place(i64::from(distance)).map_err(|to| InsnReason::CallOutOfRange { to })
    }

    /// The pc at `distance` behind the next instruction, or where it would have been.
    fn place(&self, distance: i64) -> Result<u32, i64> {
        let to = i64::from(self.pc) + 1 + distance;
        match u32::try_from(to) {
            Ok(pc) if (pc as usize) < self.insns.len() => Ok(pc),
            _ => Err(to),
        }
    }
}

fn reg(n: u8) -> Checked<Reg> {
    Reg::new(n).ok_or(InsnReason::InvalidReg(n))
}

/// Division and modulo are signed when the offset is 1; the table has made sure that it is 0 for all others.
fn signed(op: AluOp, off: i16) -> Checked<AluOp> {
    match (op, off) {
        (_, 0) => Ok(op),
        (AluOp::Div, 1) => Ok(AluOp::Sdiv),
        (AluOp::Mod, 1) => Ok(AluOp::Smod),
        _ => Err(InsnReason::Reserved(Reserved::Alu)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> String {
        let insns = [Insn::new(code, dst, src, off, imm), Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)];
        decode(&insns, 0).unwrap_err().to_string()
    }

    #[test]
    fn illegal_words_are_refused_in_the_words_of_the_kernel() {
        for (word, text) in [
            ((0xff, 0, 0, 0, 0), "unknown opcode ff"),
            ((0x00, 0, 0, 0, 0), "unknown opcode 00"),
            ((0x99, 0, 0, 0, 0), "unknown opcode 99"),
            ((0x07, 1, 2, 0, 0), "BPF_ALU uses reserved fields"),
            ((0x37, 1, 0, 2, 1), "BPF_ALU uses reserved fields"),
            ((0x0f, 1, 2, 1, 0), "BPF_ALU uses reserved fields"),
            ((0x87, 1, 2, 0, 0), "BPF_NEG uses reserved fields"),
            ((0xd7, 1, 0, 0, 8), "BPF_END uses reserved fields"),
            ((0xbc, 1, 2, 32, 0), "BPF_MOV uses reserved fields"),
            ((0xb7, 1, 0, 8, 0), "BPF_MOV uses reserved fields"),
            ((0x0f, 11, 2, 0, 0), "R11 is invalid"),
            ((0x61, 1, 15, 0, 0), "R15 is invalid"),
            ((0x61, 1, 1, 0, 1), "BPF_LDX uses reserved fields"),
            ((0x41, 1, 1, 0, 0), "BPF_LDX uses reserved fields"),
            ((0x62, 1, 1, 0, 0), "BPF_ST uses reserved fields"),
            ((0x63, 1, 1, 0, 1), "BPF_STX uses reserved fields"),
            ((0xdb, 1, 1, 0, 0x20), "BPF_ATOMIC uses invalid atomic opcode 20"),
            ((0xcb, 1, 1, 0, 0), "invalid atomic operand size"),
            ((0x18, 1, 0, 0, 1), "invalid bpf_ld_imm64 insn"),
            ((0x05, 0, 0, -2, 0), "jump out of range from insn 0 to -1"),
            ((0x06, 0, 0, 0, 0x7fff_ffff), "jump out of range from insn 0 to 2147483648"),
            ((0x15, 0, 0, 1, 0), "jump out of range from insn 0 to 2"),
            ((0x05, 1, 0, 0, 0), "BPF_JA uses reserved fields"),
            ((0x15, 0, 1, 0, 0), "BPF_JMP/JMP32 uses reserved fields"),
            ((0x95, 0, 0, 0, 1), "BPF_EXIT uses reserved fields"),
            ((0x85, 0, 3, 0, 1), "BPF_CALL uses reserved fields"),
            ((0x85, 0, 1, 0, i32::MIN), "call to invalid destination"),
            ((0xe5, 0, 0, 1, 0), "may_goto is not supported in this version"),
        ] {
            let (code, dst, src, off, imm) = word;
            assert_eq!(refused(code, dst, src, off, imm), text, "{word:?}");
        }
    }

    #[test]
    fn every_word_decodes_or_is_refused() {
        let fields = [0, 1, -1, 8, 16, 32, 64, i32::MAX, i32::MIN, 0x100, 0x110, 0xe1, 0xf1];
        for code in 0..=255u8 {
            for regs in [0u8, 0x11, 0x1a, 0xa0, 0x60, 0xb0, 0x0b, 0xff, 0x50, 0x20] {
                for off in [0i16, 1, -1, 8, 16, 32, i16::MIN, i16::MAX] {
                    for imm in fields {
                        let word = [Insn { code, regs, off, imm }, Insn::default()];
                        for pc in [0, 1, 2, u32::MAX] {
                            let _ = decode(&word, pc);
                            let _ = decode(&word[..1], pc);
                        }
                    }
                }
            }
        }
    }
}
