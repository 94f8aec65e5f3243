//! The one table of opcodes: for each of the 256, whether it exists, its operand form, its conformance group, and which fields
//! it leaves unused (they must be zero).
//!
//! Source: RFC 9669, sections 4 and 5 and the opcode appendix; sub-word load-acquire and store-release and `gotol` as Linux 6.18 has
//! them. Fields with a few legal values (the offset of a division or a move, the immediate of a byte swap or an atomic) are checked by
//! the decoder, since their value selects the instruction.

use super::error::Reserved;
use super::op::*;
use super::typed::{AluOp, Cond, Ext, Size, Width};

/// Conformance groups of RFC 9669. `base64` contains `base32`, and so on for the other pairs.
#[expect(missing_docs, reason = "RFC 9669, section 2.4")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Group {
    Base32,
    Base64,
    Divmul32,
    Divmul64,
    Atomic32,
    Atomic64,
    Packet,
}

impl Group {
    /// The name in the registry.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Base32 => "base32",
            Group::Base64 => "base64",
            Group::Divmul32 => "divmul32",
            Group::Divmul64 => "divmul64",
            Group::Atomic32 => "atomic32",
            Group::Atomic64 => "atomic64",
            Group::Packet => "packet",
        }
    }
}

/// Where the second operand comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The immediate field (`BPF_K`).
    K,
    /// The source register (`BPF_X`).
    X,
}

/// The operand form of an opcode: what its fields mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// Two-operand arithmetic; offset 1 makes a division or modulo signed, which the table leaves open.
    Alu(AluOp, Width, Source),
    /// A move; the offset of a register move may select sign extension.
    Mov(Width, Source),
    /// Negation.
    Neg(Width),
    /// To little-endian; the immediate is the width.
    ToLe,
    /// To big-endian.
    ToBe,
    /// Unconditional byte swap.
    Bswap,
    /// Wide immediate; the source field selects the kind.
    LdImm64,
    /// Load.
    Load(Size, Ext),
    /// Store.
    Store(Size, Source),
    /// Atomic; the immediate selects the operation.
    Atomic(Size),
    /// Jump by the offset.
    Goto,
    /// Jump by the immediate.
    Gotol,
    /// Conditional jump.
    Jmp(Cond, Width, Source),
    /// Call by the immediate; the source field selects the kind.
    Call,
    /// Call by register.
    Callx,
    /// Exit.
    Exit,
    /// Legacy packet access at the immediate.
    PacketAbs(Size),
    /// Legacy packet access at a register plus the immediate.
    PacketInd(Size),
}

/// A set of fields of the instruction word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fields(u8);

impl Fields {
    /// No field.
    pub const NONE: Fields = Fields(0);
    /// The destination register.
    pub const DST: Fields = Fields(1);
    /// The source register.
    pub const SRC: Fields = Fields(2);
    /// The offset.
    pub const OFF: Fields = Fields(4);
    /// The immediate.
    pub const IMM: Fields = Fields(8);

    /// The fields of both.
    pub const fn and(self, other: Fields) -> Fields {
        Fields(self.0 | other.0)
    }

    /// Whether all fields of `other` are in.
    pub const fn has(self, other: Fields) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opcode {
    /// What the fields mean.
    pub form: Form,
    /// Fields that must be zero.
    pub zero: Fields,
    /// The family in the message when one of them is not.
    pub family: Reserved,
    /// Conformance group.
    pub group: Group,
}

impl Opcode {
    /// The row of an opcode, or `None` if there is no such opcode.
    pub fn of(code: u8) -> Option<&'static Opcode> {
        // An index of u8 is always inside 256 rows.
        OPCODES.get(usize::from(code)).and_then(Option::as_ref)
    }

    /// The conformance group of an instruction with that immediate: a byte swap of 64 bits is in `base64`.
    pub const fn group_with(&self, imm: i32) -> Group {
        match self.form {
            Form::ToLe | Form::ToBe | Form::Bswap if imm == 64 => Group::Base64,
            _ => self.group,
        }
    }
}

/// All 256 opcodes.
pub static OPCODES: [Option<Opcode>; 256] = table();

const fn table() -> [Option<Opcode>; 256] {
    let mut t = [None; 256];
    arithmetic(&mut t);
    jumps(&mut t);
    memory(&mut t);
    t
}

const fn row(form: Form, zero: Fields, family: Reserved, group: Group) -> Option<Opcode> {
    Some(Opcode { form, zero, family, group })
}

const fn arithmetic(t: &mut [Option<Opcode>; 256]) {
    let widths = [(Width::W32, BPF_ALU), (Width::W64, BPF_ALU64)];
    let mut w = 0;
    while w < widths.len() {
        let (width, class) = widths[w];
        let wide = matches!(width, Width::W64);
        let base = if wide { Group::Base64 } else { Group::Base32 };
        let divmul = if wide { Group::Divmul64 } else { Group::Divmul32 };
        let mut i = 0;
        while i < AluOp::ALL.len() {
            let op = AluOp::ALL[i];
            i += 1;
            let (signed_pair, group) = match op {
                AluOp::Sdiv | AluOp::Smod => continue, // the same opcodes, selected by the offset
                AluOp::Div | AluOp::Mod => (true, divmul),
                AluOp::Mul => (false, divmul),
                _ => (false, base),
            };
            let off = if signed_pair { Fields::NONE } else { Fields::OFF };
            let code = (class | op.bits()) as usize;
            let k = Form::Alu(op, width, Source::K);
            let x = Form::Alu(op, width, Source::X);
            t[code | BPF_K as usize] = row(k, Fields::SRC.and(off), Reserved::Alu, group);
            t[code | BPF_X as usize] = row(x, Fields::IMM.and(off), Reserved::Alu, group);
        }
        let src_off = Fields::SRC.and(Fields::OFF);
        let mov = (class | BPF_MOV) as usize;
        t[mov | BPF_K as usize] = row(Form::Mov(width, Source::K), src_off, Reserved::Mov, base);
        t[mov | BPF_X as usize] = row(Form::Mov(width, Source::X), Fields::NONE, Reserved::Mov, base);
        let all = src_off.and(Fields::IMM);
        t[(class | BPF_NEG) as usize] = row(Form::Neg(width), all, Reserved::Neg, base);
        w += 1;
    }
    let zero = Fields::SRC.and(Fields::OFF);
    // The width stands in the immediate: see `group_with`.
    t[(BPF_ALU | BPF_END | BPF_TO_LE) as usize] = row(Form::ToLe, zero, Reserved::End, Group::Base32);
    t[(BPF_ALU | BPF_END | BPF_TO_BE) as usize] = row(Form::ToBe, zero, Reserved::End, Group::Base32);
    t[(BPF_ALU64 | BPF_END) as usize] = row(Form::Bswap, zero, Reserved::End, Group::Base32);
}

const fn jumps(t: &mut [Option<Opcode>; 256]) {
    let widths = [(Width::W32, BPF_JMP32, Group::Base32), (Width::W64, BPF_JMP, Group::Base64)];
    let mut w = 0;
    while w < widths.len() {
        let (width, class, group) = widths[w];
        let mut i = 0;
        while i < Cond::ALL.len() {
            let cond = Cond::ALL[i];
            let code = (class | cond.bits()) as usize;
            let k = Form::Jmp(cond, width, Source::K);
            let x = Form::Jmp(cond, width, Source::X);
            t[code | BPF_K as usize] = row(k, Fields::SRC, Reserved::Jmp, group);
            t[code | BPF_X as usize] = row(x, Fields::IMM, Reserved::Jmp, group);
            i += 1;
        }
        w += 1;
    }
    let regs = Fields::DST.and(Fields::SRC);
    let base32 = Group::Base32;
    t[(BPF_JMP | BPF_JA) as usize] = row(Form::Goto, regs.and(Fields::IMM), Reserved::Ja, base32);
    t[(BPF_JMP32 | BPF_JA) as usize] = row(Form::Gotol, regs.and(Fields::OFF), Reserved::Ja, base32);
    t[(BPF_JMP | BPF_EXIT) as usize] =
        row(Form::Exit, regs.and(Fields::OFF).and(Fields::IMM), Reserved::Exit, base32);
    t[(BPF_JMP | BPF_CALL) as usize] = row(Form::Call, Fields::DST, Reserved::Call, base32);
    let callx = Fields::SRC.and(Fields::OFF).and(Fields::IMM);
    t[(BPF_JMP | BPF_CALL | BPF_X) as usize] = row(Form::Callx, callx, Reserved::Call, base32);
}

const fn memory(t: &mut [Option<Opcode>; 256]) {
    let mut i = 0;
    while i < Size::ALL.len() {
        let size = Size::ALL[i];
        let s = size.code();
        let wide = matches!(size, Size::DW);
        let group = if wide { Group::Base64 } else { Group::Base32 };
        t[(BPF_LDX | BPF_MEM | s) as usize] =
            row(Form::Load(size, Ext::Zero), Fields::IMM, Reserved::Ldx, group);
        t[(BPF_ST | BPF_MEM | s) as usize] =
            row(Form::Store(size, Source::K), Fields::SRC, Reserved::St, group);
        t[(BPF_STX | BPF_MEM | s) as usize] =
            row(Form::Store(size, Source::X), Fields::IMM, Reserved::Stx, group);
        let atomic = if wide { Group::Atomic64 } else { Group::Atomic32 };
        t[(BPF_STX | BPF_ATOMIC | s) as usize] =
            row(Form::Atomic(size), Fields::NONE, Reserved::Atomic, atomic);
        if !wide {
            t[(BPF_LDX | BPF_MEMSX | s) as usize] =
                row(Form::Load(size, Ext::Sign), Fields::IMM, Reserved::Ldx, Group::Base64);
            // No field is checked: the kernel refuses these for XDP before it looks at the fields.
            t[(BPF_LD | BPF_ABS | s) as usize] =
                row(Form::PacketAbs(size), Fields::NONE, Reserved::LdImm64, Group::Packet);
            t[(BPF_LD | BPF_IND | s) as usize] =
                row(Form::PacketInd(size), Fields::NONE, Reserved::LdImm64, Group::Packet);
        }
        i += 1;
    }
    t[LD_IMM64 as usize] = row(Form::LdImm64, Fields::OFF, Reserved::LdImm64, Group::Base64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_every_opcode_of_the_rfc() {
        // Eleven two-operand operations and the move, each with K and X; negation; two ends in ALU, one swap in ALU64.
        let count = |class: u8| (0..=255u8).filter(|c| c & 7 == class && Opcode::of(*c).is_some()).count();
        assert_eq!(count(BPF_ALU), 12 * 2 + 1 + 2);
        assert_eq!(count(BPF_ALU64), 12 * 2 + 1 + 1);
        assert_eq!(count(BPF_JMP), 11 * 2 + 4);
        assert_eq!(count(BPF_JMP32), 11 * 2 + 1);
        assert_eq!(count(BPF_LD), 1 + 6);
        assert_eq!(count(BPF_LDX), 4 + 3);
        assert_eq!(count(BPF_ST), 4);
        assert_eq!(count(BPF_STX), 4 + 4);
    }

    #[test]
    fn rows_that_share_an_opcode_are_in_the_group_of_the_rfc() {
        for (code, group) in [
            (0x07, Group::Base64),
            (0x04, Group::Base32),
            (0x2f, Group::Divmul64),
            (0x3c, Group::Divmul32),
            (0xdb, Group::Atomic64),
            (0xc3, Group::Atomic32),
            (0x20, Group::Packet),
            (0x85, Group::Base32),
            (0x15, Group::Base64),
            (0x16, Group::Base32),
            (0x18, Group::Base64),
        ] {
            assert_eq!(Opcode::of(code).unwrap().group, group, "{code:02x}");
        }
    }
}
