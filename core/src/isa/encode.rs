//! From typed instructions back to instruction words: the inverse of [`super::decode`].

use super::insn::Insn;
use super::op::*;
use super::typed::{AtomicOp, Callee, EndKind, Ext, JaForm, Op, Operand, PacketMode, WideImm, Width};

/// One or two instruction words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encoded {
    slots: [Insn; 2],
    wide: bool,
}

impl Encoded {
    /// The words.
    pub fn insns(&self) -> &[Insn] {
        let (one, _) = self.slots.split_at(1);
        if self.wide { &self.slots } else { one }
    }
}

impl Op {
    /// The words of this instruction at `pc`, or `None` where a target is too far for its field.
    pub fn encode(&self, pc: u32) -> Option<Encoded> {
        let one = |insn| Some(Encoded { slots: [insn, Insn::default()], wide: false });
        let near = |target: u32| i16::try_from(distance(pc, target)).ok();
        match *self {
            Op::Alu { op, width, dst, src } => {
                one(two_operand(alu(width) | op.bits(), dst.num(), op.off(), src))
            }
            Op::Mov { width, dst, src } => one(two_operand(alu(width) | BPF_MOV, dst.num(), 0, src)),
            Op::MovSx { width, from, dst, src } => {
                one(two_operand(alu(width) | BPF_MOV, dst.num(), from.bits() as i16, Operand::Reg(src)))
            }
            Op::Neg { width, dst } => one(Insn::new(alu(width) | BPF_NEG, dst.num(), 0, 0, 0)),
            Op::End { kind, size, dst } => {
                let code = match kind {
                    EndKind::Le => BPF_ALU | BPF_END | BPF_TO_LE,
                    EndKind::Be => BPF_ALU | BPF_END | BPF_TO_BE,
                    EndKind::Bswap => BPF_ALU64 | BPF_END,
                };
                one(Insn::new(code, dst.num(), 0, 0, size.bits() as i32))
            }
            Op::LdImm64 { dst, imm } => {
                let (src, low, high) = wide(pc, imm)?;
                let first = Insn::new(LD_IMM64, dst.num(), src, 0, low);
                Some(Encoded { slots: [first, Insn::new(0, 0, 0, 0, high)], wide: true })
            }
            Op::Load { size, ext, dst, base, off } => {
                let mode = if ext == Ext::Sign { BPF_MEMSX } else { BPF_MEM };
                one(Insn::new(BPF_LDX | mode | size.code(), dst.num(), base.num(), off, 0))
            }
            Op::Store { size, base, off, src } => {
                let (class, reg, imm) = match src {
                    Operand::Reg(r) => (BPF_STX, r.num(), 0),
                    Operand::Imm(imm) => (BPF_ST, 0, imm),
                };
                one(Insn::new(class | BPF_MEM | size.code(), base.num(), reg, off, imm))
            }
            Op::Atomic { op, fetch, size, base, off, src } => {
                let optional = !matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
                let imm = op.imm() | if fetch && optional { BPF_FETCH } else { 0 };
                one(Insn::new(BPF_STX | BPF_ATOMIC | size.code(), base.num(), src.num(), off, imm))
            }
            Op::LoadAcq { size, dst, base, off } => {
                one(Insn::new(BPF_STX | BPF_ATOMIC | size.code(), dst.num(), base.num(), off, BPF_LOAD_ACQ))
            }
            Op::StoreRel { size, base, off, src } => {
                one(Insn::new(BPF_STX | BPF_ATOMIC | size.code(), base.num(), src.num(), off, BPF_STORE_REL))
            }
            Op::Ja { target, form: JaForm::Off } => one(Insn::new(BPF_JMP | BPF_JA, 0, 0, near(target)?, 0)),
            Op::Ja { target, form: JaForm::Imm } => {
                let far = i32::try_from(distance(pc, target)).ok()?;
                one(Insn::new(BPF_JMP32 | BPF_JA, 0, 0, 0, far))
            }
            Op::Jmp { cond, width, dst, src, target } => {
                let class = if width == Width::W32 { BPF_JMP32 } else { BPF_JMP };
                one(two_operand(class | cond.bits(), dst.num(), near(target)?, src))
            }
            Op::Call(callee) => one(call(pc, callee)?),
            Op::Exit => one(Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)),
            Op::LegacyPacket { mode, size, imm } => {
                let (mode, src) = match mode {
                    PacketMode::Abs => (BPF_ABS, 0),
                    PacketMode::Ind(r) => (BPF_IND, r.map_or(0xf, |r| r.num())),
                };
                one(Insn::new(BPF_LD | mode | size.code(), 0, src, 0, imm))
            }
        }
    }
}

fn alu(width: Width) -> u8 {
    match width {
        Width::W32 => BPF_ALU,
        Width::W64 => BPF_ALU64,
    }
}

fn two_operand(code: u8, dst: u8, off: i16, src: Operand) -> Insn {
    match src {
        Operand::Reg(r) => Insn::new(code | BPF_X, dst, r.num(), off, 0),
        Operand::Imm(imm) => Insn::new(code | BPF_K, dst, 0, off, imm),
    }
}

fn distance(pc: u32, target: u32) -> i64 {
    i64::from(target) - i64::from(pc) - 1
}

fn wide(pc: u32, imm: WideImm) -> Option<(u8, i32, i32)> {
    Some(match imm {
        WideImm::Imm(v) => (0, v as u32 as i32, (v >> 32) as u32 as i32),
        WideImm::MapFd(fd) => (BPF_PSEUDO_MAP_FD, fd, 0),
        WideImm::MapValue { fd, off } => (BPF_PSEUDO_MAP_VALUE, fd, off as i32),
        WideImm::BtfId { id, btf_fd } => (BPF_PSEUDO_BTF_ID, id, btf_fd),
        WideImm::Func(target) => (BPF_PSEUDO_FUNC, i32::try_from(distance(pc, target)).ok()?, 0),
        WideImm::MapIdx(idx) => (BPF_PSEUDO_MAP_IDX, idx as i32, 0),
        WideImm::MapIdxValue { idx, off } => (BPF_PSEUDO_MAP_IDX_VALUE, idx as i32, off as i32),
    })
}

fn call(pc: u32, callee: Callee) -> Option<Insn> {
    let code = BPF_JMP | BPF_CALL;
    Some(match callee {
        Callee::Helper(id) => Insn::new(code, 0, 0, 0, id as i32),
        Callee::Local(target) => {
            Insn::new(code, 0, BPF_PSEUDO_CALL, 0, i32::try_from(distance(pc, target)).ok()?)
        }
        Callee::Kfunc { id, off } => Insn::new(code, 0, BPF_PSEUDO_KFUNC_CALL, off, id),
        Callee::Reg(r) => Insn::new(code | BPF_X, r.num(), 0, 0, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::super::opcode::{OPCODES, Opcode};
    use super::*;

    /// Words with every value of the selecting fields that an opcode may have.
    fn words(code: u8) -> Vec<Insn> {
        let mut all = Vec::new();
        let imms = [0, 1, -1, 3, 16, 32, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110];
        for regs in [0x00, 0x12, 0x21, 0xa9, 0x01, 0x10, 0x0a, 0x20, 0x30, 0x40, 0x50, 0x60] {
            for off in [0i16, 1, -1, 2, 8, 16, 32] {
                for imm in imms {
                    all.push(Insn { code, regs, off, imm });
                }
            }
        }
        all
    }

    #[test]
    fn every_opcode_survives_decoding_and_encoding() {
        let pad = Insn::default();
        for code in 0..=255u8 {
            let mut seen = 0;
            for word in words(code) {
                let high = if word.regs >> 4 == 2 || code != LD_IMM64 { 7 } else { 0 };
                let second = if code == LD_IMM64 { Insn { imm: high, ..pad } } else { pad };
                let program = [pad, pad, pad, word, second, pad, pad, pad, pad, pad, pad];
                let program = [&program[..], &[pad; 64]].concat();
                let Ok(op) = decode(&program, 3) else { continue };
                seen += 1;
                if Opcode::of(code).unwrap().group == super::super::Group::Packet {
                    continue; // unused fields are not checked, so they do not come back
                }
                let again = op.encode(3).unwrap();
                assert_eq!(again.insns(), &program[3..3 + op.slots() as usize], "{op:?}");
            }
            assert_eq!(seen > 0, OPCODES[usize::from(code)].is_some(), "{code:02x}");
        }
    }

    #[test]
    fn a_branch_that_is_too_far_has_no_encoding() {
        let ja = |target, form| Op::Ja { target, form }.encode(0);
        assert!(ja(0x8000, JaForm::Off).is_some());
        assert!(ja(0x8001, JaForm::Off).is_none());
        assert!(ja(0x8001, JaForm::Imm).is_some());
    }
}
