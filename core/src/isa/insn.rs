//! One BPF instruction slot, laid out as the kernel's `struct bpf_insn`.
//!
//! A slot is 8 bytes, little-endian. A wide instruction (`lddw`) takes two slots; a `pc` counts slots. Nothing is checked here:
//! which combinations are legal is what [`crate::isa::op`] says.

/// One instruction slot.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Opcode: class in the low three bits.
    pub code: u8,
    /// Destination register in the low nibble, source register in the high one.
    pub regs: u8,
    /// Signed offset: of a branch in slots, of a memory access in bytes.
    pub off: i16,
    /// Immediate; low half of a wide one.
    pub imm: i32,
}

impl Insn {
    /// An instruction from its fields. Register numbers are cut to four bits.
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        Insn { code, regs: (dst & 0xf) | (src << 4), off, imm }
    }

    /// Reads a slot from its eight little-endian bytes.
    pub const fn from_bytes(b: [u8; 8]) -> Self {
        Insn {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The eight little-endian bytes.
    pub const fn to_bytes(self) -> [u8; 8] {
        let (o, i) = (self.off.to_le_bytes(), self.imm.to_le_bytes());
        [self.code, self.regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }

    /// Destination register, 0 to 15; only 0 to 10 are legal.
    pub const fn dst(self) -> u8 {
        self.regs & 0xf
    }

    /// Source register or sub-code, 0 to 15.
    pub const fn src(self) -> u8 {
        self.regs >> 4
    }

    /// Instruction class, `BPF_LD` to `BPF_ALU64`.
    pub const fn class(self) -> u8 {
        self.code & 7
    }

    /// Whether this is the first slot of a wide instruction.
    pub const fn is_wide(self) -> bool {
        self.code == crate::isa::op::LD_IMM64
    }
}

impl core::fmt::Debug for Insn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x}:d{}s{} off {} imm {:#x}", self.code, self.dst(), self.src(), self.off, self.imm)
    }
}
