//! The bare instruction set, without verifier and maps: programs from raw instructions, and the one table of vectors that every engine runs.
//!
//! Exists under `cfg(test)` and `--cfg uxdp_conformance` alone, with a target directory of its own: what it makes was proven by nobody, so that
//! no library that ships may contain it. A bare program has r1 = address of its memory, r2 = bytes of it, and returns all 64 bits of r0.
//! Memory is 8-aligned, so that the alignment of an access is that of its offset.
//!
//! Expected results come from plain Rust on the operands, written apart from every engine, and from RFC 9669.

mod alu;
mod atomic;
mod bare;
mod branch;
mod memory;
mod shape;

pub use bare::{AlignedMem, BareError, bare_program, bare_program_with};

use crate::isa::Insn;
use crate::isa::op::*;
use crate::mem::{String, Vec};

/// One case: a program, its memory, and what it returns.
#[derive(Debug)]
pub struct Vector {
    /// Instruction and operands, readable.
    pub name: String,
    /// The program.
    pub insns: Vec<Insn>,
    /// What r1 points to, copied afresh for each run.
    pub mem: Vec<u8>,
    /// All of r0.
    pub expected: u64,
}

/// Every vector: each opcode of RFC 9669 with edge values.
///
/// # Panics
/// Where memory is short; this is test code.
pub fn vectors() -> Vec<Vector> {
    let mut list = List(Vec::new());
    alu::add(&mut list);
    branch::add(&mut list);
    memory::add(&mut list);
    atomic::add(&mut list);
    shape::add_all(&mut list);
    list.0
}

/// Operands at which arithmetic tends to break.
const EDGES: [u64; 13] = [
    0,
    1,
    2,
    31,
    32,
    63,
    64,
    u64::MAX,
    i64::MIN as u64,
    i64::MAX as u64,
    0x8000_0000,
    0xffff_ffff,
    0x0123_4567_89ab_cdef,
];

/// The same for immediates.
const IMM_EDGES: [i32; 11] = [0, 1, 2, 31, 32, 63, 64, -1, i32::MIN, i32::MAX, 0x1234_5678];

/// The vectors made so far.
struct List(Vec<Vector>);

impl List {
    fn push(&mut self, name: core::fmt::Arguments<'_>, insns: &[Insn], mem: &[u8], expected: u64) {
        let made = (|| {
            let mut text = String::new();
            core::fmt::write(&mut text, name).map_err(|_| crate::mem::OutOfMemory)?;
            let (insns, mem) = (Vec::from_slice(insns)?, Vec::from_slice(mem)?);
            self.0.push(Vector { name: text, insns, mem, expected })
        })();
        assert!(made.is_ok(), "memory for the conformance vectors");
    }
}

/// A program under construction.
#[derive(Default)]
struct Asm(Vec<Insn>);

impl Asm {
    fn put(mut self, insn: Insn) -> Self {
        assert!(self.0.push(insn).is_ok(), "memory for a conformance vector");
        self
    }

    /// `dst = value`, all 64 bits.
    fn set(self, dst: u8, value: u64) -> Self {
        let [lo, hi] = lddw(dst, value);
        self.put(lo).put(hi)
    }

    fn exit(self) -> Self {
        self.put(EXIT)
    }
}

const EXIT: Insn = Insn::new(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

const fn lddw(dst: u8, value: u64) -> [Insn; 2] {
    [Insn::new(LD_IMM64, dst, 0, 0, value as u32 as i32), Insn::new(0, 0, 0, 0, (value >> 32) as i32)]
}

const fn mov(dst: u8, src: u8) -> Insn {
    Insn::new(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
}

const fn mov_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)
}

const fn add_imm(dst: u8, imm: i32) -> Insn {
    Insn::new(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm)
}

const fn ldx(size: u8, dst: u8, base: u8, off: i16) -> Insn {
    Insn::new(BPF_LDX | BPF_MEM | size, dst, base, off, 0)
}

const fn stx(size: u8, base: u8, off: i16, src: u8) -> Insn {
    Insn::new(BPF_STX | BPF_MEM | size, base, src, off, 0)
}

const fn call(delta: i32) -> Insn {
    Insn::new(BPF_JMP | BPF_CALL, 0, 1, 0, delta)
}

/// The sizes of an access with their bytes and letters.
const SIZES: [(u8, usize, &str); 4] =
    [(BPF_B, 1, "8"), (BPF_H, 2, "16"), (BPF_W, 4, "32"), (BPF_DW, 8, "64")];

/// Memory whose bytes all differ, with both settings of the top bit in every size at some offset.
const fn pattern() -> [u8; 32] {
    let mut m = [0; 32];
    let mut i = 0;
    while i < 32 {
        m[i] = (i as u8).wrapping_mul(0x3b) ^ 0x85;
        i += 1;
    }
    m
}

/// The little-endian number of `bytes` bytes at `at`.
fn read(mem: &[u8], at: usize, bytes: usize) -> u64 {
    let mut b = [0; 8];
    b[..bytes].copy_from_slice(&mem[at..at + bytes]);
    u64::from_le_bytes(b)
}

/// The low `bytes` bytes of `value`, sign-extended.
const fn sext(value: u64, bytes: usize) -> u64 {
    let shift = 64 - 8 * bytes as u32;
    (((value << shift) as i64) >> shift) as u64
}

/// The low `bytes` bytes of `value`.
const fn zext(value: u64, bytes: usize) -> u64 {
    let shift = 64 - 8 * bytes as u32;
    (value << shift) >> shift
}
