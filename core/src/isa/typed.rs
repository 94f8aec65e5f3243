//! The typed instruction: what a legal instruction word means, with register numbers checked and branch targets absolute.
//!
//! An [`Op`] comes from [`super::decode`] and can be turned back by [`Op::encode`]. It says nothing about operands being defined,
//! memory being accessible or constants being sensible (division by a constant zero is legal here): that is the verifier's part.

use super::op::*;

/// A register, R0 to R10.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u8);

#[expect(missing_docs, reason = "the registers by their own names")]
impl Reg {
    pub const R0: Reg = Reg(0);
    pub const R1: Reg = Reg(1);
    pub const R2: Reg = Reg(2);
    pub const R3: Reg = Reg(3);
    pub const R4: Reg = Reg(4);
    pub const R5: Reg = Reg(5);
    pub const R6: Reg = Reg(6);
    pub const R7: Reg = Reg(7);
    pub const R8: Reg = Reg(8);
    pub const R9: Reg = Reg(9);
    pub const R10: Reg = Reg(10);
}

impl Reg {
    /// The frame pointer.
    pub const FP: Reg = Reg(10);
    /// How many registers there are.
    pub const COUNT: usize = 11;

    /// Register `n`, if there is one.
    pub const fn new(n: u8) -> Option<Reg> {
        if n <= 10 { Some(Reg(n)) } else { None }
    }

    /// The number, at most 10.
    pub const fn num(self) -> u8 {
        self.0
    }

    /// The number as an index below [`Reg::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl core::fmt::Debug for Reg {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "R{}", self.0)
    }
}

/// A two-operand arithmetic operation; moves, negation and byte swaps are [`Op`]s of their own.
#[expect(missing_docs, reason = "RFC 9669, table 3")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    Add,
    Sub,
    Mul,
    Div,
    Sdiv,
    Or,
    And,
    Lsh,
    Rsh,
    Mod,
    Smod,
    Xor,
    Arsh,
}

impl AluOp {
    /// Every operation.
    pub const ALL: [AluOp; 13] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Sdiv,
        AluOp::Or,
        AluOp::And,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Mod,
        AluOp::Smod,
        AluOp::Xor,
        AluOp::Arsh,
    ];

    /// The high four bits of the opcode; the signed forms share those of the unsigned ones.
    pub const fn bits(self) -> u8 {
        match self {
            AluOp::Add => BPF_ADD,
            AluOp::Sub => BPF_SUB,
            AluOp::Mul => BPF_MUL,
            AluOp::Div | AluOp::Sdiv => BPF_DIV,
            AluOp::Or => BPF_OR,
            AluOp::And => BPF_AND,
            AluOp::Lsh => BPF_LSH,
            AluOp::Rsh => BPF_RSH,
            AluOp::Mod | AluOp::Smod => BPF_MOD,
            AluOp::Xor => BPF_XOR,
            AluOp::Arsh => BPF_ARSH,
        }
    }

    /// The offset field: 1 for the signed forms.
    pub const fn off(self) -> i16 {
        matches!(self, AluOp::Sdiv | AluOp::Smod) as i16
    }

    /// The operator as the kernel writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            AluOp::Add => "+=",
            AluOp::Sub => "-=",
            AluOp::Mul => "*=",
            AluOp::Div => "/=",
            AluOp::Sdiv => "s/=",
            AluOp::Or => "|=",
            AluOp::And => "&=",
            AluOp::Lsh => "<<=",
            AluOp::Rsh => ">>=",
            AluOp::Mod => "%=",
            AluOp::Smod => "s%=",
            AluOp::Xor => "^=",
            AluOp::Arsh => "s>>=",
        }
    }
}

/// A branch condition between destination and source.
#[expect(missing_docs, reason = "RFC 9669, table 6")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cond {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    Sgt,
    Sge,
    Slt,
    Sle,
    Set,
}

impl Cond {
    /// Every condition.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
        Cond::Set,
    ];

    /// The high four bits of the opcode.
    pub const fn bits(self) -> u8 {
        match self {
            Cond::Eq => BPF_JEQ,
            Cond::Ne => BPF_JNE,
            Cond::Gt => BPF_JGT,
            Cond::Ge => BPF_JGE,
            Cond::Lt => BPF_JLT,
            Cond::Le => BPF_JLE,
            Cond::Sgt => BPF_JSGT,
            Cond::Sge => BPF_JSGE,
            Cond::Slt => BPF_JSLT,
            Cond::Sle => BPF_JSLE,
            Cond::Set => BPF_JSET,
        }
    }

    /// The operator as the kernel writes it.
    pub const fn symbol(self) -> &'static str {
        match self {
            Cond::Eq => "==",
            Cond::Ne => "!=",
            Cond::Gt => ">",
            Cond::Ge => ">=",
            Cond::Lt => "<",
            Cond::Le => "<=",
            Cond::Sgt => "s>",
            Cond::Sge => "s>=",
            Cond::Slt => "s<",
            Cond::Sle => "s<=",
            Cond::Set => "&",
        }
    }
}

/// How many bits an operation works on; a 32-bit result zeroes the upper half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// The low 32 bits.
    W32,
    /// All 64 bits.
    W64,
}

/// How many bytes a memory access, a sign extension or a byte swap covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    DW,
}

impl Size {
    /// Every size.
    pub const ALL: [Size; 4] = [Size::B, Size::H, Size::W, Size::DW];

    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        1 << self as u32
    }

    /// 8, 16, 32 or 64.
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// The size with that many bits.
    pub const fn from_bits(bits: i32) -> Option<Size> {
        match bits {
            8 => Some(Size::B),
            16 => Some(Size::H),
            32 => Some(Size::W),
            64 => Some(Size::DW),
            _ => None,
        }
    }

    /// The size bits of a load or store opcode.
    pub const fn code(self) -> u8 {
        match self {
            Size::B => BPF_B,
            Size::H => BPF_H,
            Size::W => BPF_W,
            Size::DW => BPF_DW,
        }
    }
}

/// How a load fills the rest of the register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ext {
    /// With zeros.
    Zero,
    /// With copies of the sign bit.
    Sign,
}

/// The second operand: a register, or an immediate that a 64-bit operation sign-extends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// The immediate field.
    Imm(i32),
}

/// What a byte-order conversion does on a little-endian machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndKind {
    /// To little-endian: truncates.
    Le,
    /// To big-endian: swaps and truncates.
    Be,
    /// Always swaps, and truncates.
    Bswap,
}

/// An atomic read-modify-write operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// Addition.
    Add,
    /// Or.
    Or,
    /// And.
    And,
    /// Exclusive or.
    Xor,
    /// Exchange; always fetches into the source register.
    Xchg,
    /// Compare with R0 and exchange; always fetches into R0.
    Cmpxchg,
}

impl AtomicOp {
    /// Every operation.
    pub const ALL: [AtomicOp; 6] =
        [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

    /// The immediate, without `BPF_FETCH` where that is optional.
    pub const fn imm(self) -> i32 {
        match self {
            AtomicOp::Add => BPF_ADD as i32,
            AtomicOp::Or => BPF_OR as i32,
            AtomicOp::And => BPF_AND as i32,
            AtomicOp::Xor => BPF_XOR as i32,
            AtomicOp::Xchg => BPF_XCHG,
            AtomicOp::Cmpxchg => BPF_CMPXCHG,
        }
    }
}

/// What a wide immediate stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WideImm {
    /// The 64-bit number.
    Imm(u64),
    /// The map with this descriptor.
    MapFd(i32),
    /// An address inside the first value of the map with this descriptor.
    MapValue {
        /// The descriptor.
        fd: i32,
        /// Byte offset into the value.
        off: u32,
    },
    /// A kernel variable by BTF id.
    BtfId {
        /// The id.
        id: i32,
        /// The BTF object, 0 for the kernel's own.
        btf_fd: i32,
    },
    /// The BPF function that starts at this pc.
    Func(u32),
    /// A map by its place in the object's (or program's) list of maps.
    MapIdx(u32),
    /// An address inside the first value of such a map.
    MapIdxValue {
        /// Place in the list of maps.
        idx: u32,
        /// Byte offset into the value.
        off: u32,
    },
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Callee {
    /// A helper by number.
    Helper(u32),
    /// The BPF function that starts at this pc.
    Local(u32),
    /// A kernel function by BTF id.
    Kfunc {
        /// The id.
        id: i32,
        /// Which BTF object, 0 for the kernel's own.
        off: i16,
    },
    /// What the register holds (`callx`). The kernel's verifier refuses it as "unknown opcode 8d".
    Reg(Reg),
}

/// Where a legacy packet access finds its offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PacketMode {
    /// The immediate.
    Abs,
    /// A register plus the immediate; `None` where the field is no register.
    Ind(Option<Reg>),
}

/// One legal instruction.
#[expect(
    missing_docs,
    reason = "the fields carry RFC 9669's names; `target` is an absolute pc, `off` a byte offset"
)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `dst = dst op src`.
    Alu { op: AluOp, width: Width, dst: Reg, src: Operand },
    /// `dst = src`.
    Mov { width: Width, dst: Reg, src: Operand },
    /// `dst = src`, sign-extended from `from` (below `width`).
    MovSx { width: Width, from: Size, dst: Reg, src: Reg },
    /// `dst = -dst`.
    Neg { width: Width, dst: Reg },
    /// Byte order of the low `size` (16, 32 or 64 bits) of `dst`; the bits above become zero.
    End { kind: EndKind, size: Size, dst: Reg },
    /// Wide immediate: the only instruction of two slots.
    LdImm64 { dst: Reg, imm: WideImm },
    /// `dst = *(size *)(base + off)`.
    Load { size: Size, ext: Ext, dst: Reg, base: Reg, off: i16 },
    /// `*(size *)(base + off) = src`.
    Store { size: Size, base: Reg, off: i16, src: Operand },
    /// `*(size *)(base + off) op= src`; `fetch` puts the old value into `src` (`Cmpxchg`: into R0).
    Atomic { op: AtomicOp, fetch: bool, size: Size, base: Reg, off: i16, src: Reg },
    /// `dst = *(size *)(base + off)` with acquire order.
    LoadAcq { size: Size, dst: Reg, base: Reg, off: i16 },
    /// `*(size *)(base + off) = src` with release order.
    StoreRel { size: Size, base: Reg, off: i16, src: Reg },
    /// Jump, by the 16-bit offset (`goto`) or the 32-bit immediate (`gotol`): `form` keeps which.
    Ja { target: u32, form: JaForm },
    /// Jump if the condition holds.
    Jmp { cond: Cond, width: Width, dst: Reg, src: Operand, target: u32 },
    /// Call; arguments R1 to R5, result R0.
    Call(Callee),
    /// Return R0.
    Exit,
    /// Legacy packet access (`BPF_ABS`, `BPF_IND`); an XDP program is refused for it, with [`LEGACY_PACKET_REFUSAL`].
    LegacyPacket { mode: PacketMode, size: Size, imm: i32 },
}

/// What the kernel says of a legacy packet access in an XDP program.
pub const LEGACY_PACKET_REFUSAL: &str = "BPF_LD_[ABS|IND] instructions not allowed for this program type";

/// Which field of an unconditional jump carries the distance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JaForm {
    /// The 16-bit offset: `goto`.
    Off,
    /// The 32-bit immediate: `gotol`.
    Imm,
}

impl Op {
    /// Slots that the instruction takes: 2 for a wide immediate, else 1.
    pub const fn slots(&self) -> u32 {
        match self {
            Op::LdImm64 { .. } => 2,
            _ => 1,
        }
    }

    /// The pc that a branch may go to, apart from the next one.
    pub const fn target(&self) -> Option<u32> {
        match *self {
            Op::Ja { target, .. } | Op::Jmp { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Whether control never reaches the next instruction.
    pub const fn ends_block(&self) -> bool {
        matches!(self, Op::Ja { .. } | Op::Exit)
    }
}
