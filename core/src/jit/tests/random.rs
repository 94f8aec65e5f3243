//! Random programs, compiled in every way and interpreted: results and memory have to agree.
//!
//! Programs read registers that are written, touch their memory and stack alone, and end: jumps go forward, but for one loop with a counter of its own.

use super::asm::*;
use super::*;
use crate::conformance::{AlignedMem, bare_program_with};
use crate::helpers::Helper;
use crate::interp::{Raw, run_with};
use crate::isa::Insn;
use crate::isa::op::*;
use crate::jit::exec::install;
use crate::jit::testing::helper;

const HELPERS: HelperSet = HelperSet::new(&ROWS);
const ROWS: [Helper; 1] = [helper(100, mix)];

pub(super) unsafe extern "C" fn mix(a: u64, b: u64, c: u64, d: u64, e: u64, _: *mut Ctx) -> u64 {
    a ^ b.rotate_left(7) ^ c.rotate_left(17) ^ d.rotate_left(29) ^ e.rotate_left(41)
}

pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 8) % n
    }

    pub(super) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    /// A register that programs change freely: r7 is the memory, r9 the loop's counter.
    pub(super) fn reg(&mut self) -> u8 {
        self.of(&[0, 1, 2, 3, 4, 5, 6, 8])
    }

    pub(super) fn imm(&mut self) -> i32 {
        let any = self.next() as i32;
        self.of(&[0, 1, -1, 8, 31, 63, 255, 0xffff, i32::MAX, i32::MIN, any])
    }
}

const ALU: [u8; 12] = [
    BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV,
    BPF_ARSH,
];
const JUMPS: [u8; 11] =
    [BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE];

/// One instruction of straight-line code, or a call and what makes registers whole again.
pub(super) fn put(rng: &mut Rng, out: &mut std::vec::Vec<Insn>) {
    let (dst, src, imm) = (rng.reg(), rng.reg(), rng.imm());
    let class = rng.of(&[BPF_ALU, BPF_ALU64]);
    match rng.below(17) {
        16 => copies(rng, out),
        0..=4 => {
            let op = rng.of(&ALU);
            let signed = matches!(op, BPF_DIV | BPF_MOD) && rng.below(2) == 0;
            out.push(Insn::new(class | op | BPF_X, dst, src, i16::from(signed), 0));
        }
        5..=7 => {
            let op = rng.of(&ALU);
            out.push(Insn::new(class | op | BPF_K, dst, 0, 0, imm));
        }
        8 => out.push(Insn::new(class | BPF_NEG, dst, 0, 0, 0)),
        9 => {
            let bits = rng.of(&[16, 32, 64]);
            let code =
                rng.of(&[BPF_ALU | BPF_END | BPF_TO_LE, BPF_ALU | BPF_END | BPF_TO_BE, BPF_ALU64 | BPF_END]);
            out.push(Insn::new(code, dst, 0, 0, bits));
        }
        10 => {
            let from = rng.of(&[8, 16]);
            out.push(Insn::new(class | BPF_MOV | BPF_X, dst, src, from, 0));
        }
        11 | 12 => memory(rng, out),
        13 => {
            let size = rng.of(&[BPF_W, BPF_DW]);
            let op = rng.of(&[0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, BPF_XCHG, BPF_CMPXCHG]);
            let (base, off) = (rng.of(&[7, 10]), rng.of(&[8, 16, 24]));
            let off = if base == 10 { -off } else { off };
            out.push(Insn::new(BPF_STX | BPF_ATOMIC | size, base, src, off, op));
        }
        14 => {
            let value = rng.next();
            out.push(Insn::new(LD_IMM64, dst, 0, 0, value as i32));
            out.push(Insn::new(0, 0, 0, 0, (value >> 32) as i32));
        }
        _ => {
            out.push(asm::helper(100));
            out.extend((1..=5).map(|r| if rng.below(2) == 0 { mov(r, 6) } else { movi(r, rng.imm()) }));
        }
    }
}

fn memory(rng: &mut Rng, out: &mut std::vec::Vec<Insn>) {
    let (dst, src) = (rng.reg(), rng.reg());
    let size = rng.of(&[BPF_B, BPF_H, BPF_W, BPF_DW]);
    let off = rng.below(56) as i16;
    let (base, off) = if rng.below(2) == 0 { (7, off) } else { (10, off - 64) };
    out.push(match rng.below(4) {
        0 => stx(size, base, off, src),
        1 => sti(size, base, off, rng.imm()),
        2 if size != BPF_DW => Insn::new(BPF_LDX | BPF_MEMSX | size, dst, base, off, 0),
        _ => ldx(size, dst, base, off),
    });
}

/// Copies and swaps of neighbouring places, which may overlap: food for the pass that joins them.
fn copies(rng: &mut Rng, out: &mut std::vec::Vec<Insn>) {
    let (a, b) = (rng.reg(), rng.reg());
    let (size, bytes) = rng.of(&[(BPF_B, 1), (BPF_H, 2), (BPF_W, 4)]);
    let n = 2 + rng.below(4) as i16;
    let (p, q) = (rng.below(64 - 20) as i16, rng.below(64 - 20) as i16);
    let base = rng.of(&[7, 7, 10]);
    let q = if base == 10 { q - 64 } else { q };
    let swap = rng.below(2) == 0;
    for i in 0..n {
        let k = bytes * if rng.below(8) == 0 { 0 } else { i };
        out.extend([ldx(size, a, 7, p + k), ldx(size, b, base, q + k)]);
        out.push(stx(size, base, q + k, a));
        if swap {
            out.push(stx(size, 7, p + k, b));
        }
    }
}

fn generate_program(rng: &mut Rng) -> std::vec::Vec<Insn> {
    let mut insns = std::vec![mov(7, 1), movi(9, 1 + rng.below(3) as i32)];
    insns.extend([0, 1, 2, 3, 4, 5, 6, 8].map(|r| movi(r, rng.imm())));
    let start = insns.len();
    let mut body = std::vec::Vec::new();
    let mut jumps = std::vec::Vec::new();
    for _ in 0..2 + rng.below(30) {
        if rng.below(5) == 0 {
            jumps.push(body.len());
            let class = rng.of(&[BPF_JMP, BPF_JMP32]);
            let form = rng.of(&[BPF_K, BPF_X]);
            let imm = if form == BPF_K { rng.imm() } else { 0 };
            let src = if form == BPF_X { rng.reg() } else { 0 };
            body.push(Insn::new(class | rng.of(&JUMPS) | form, rng.reg(), src, 0, imm));
        } else {
            put(rng, &mut body);
        }
    }
    for at in jumps {
        // Forward, but not into the second slot of a wide instruction.
        let targets: std::vec::Vec<usize> =
            (at + 1..=body.len()).filter(|&t| t == body.len() || body[t].code != 0).collect();
        body[at].off = (rng.of(&targets) - at - 1) as i16;
    }
    insns.extend(body);
    insns.push(alui(BPF_SUB, 9, 1));
    let back = start as i16 - insns.len() as i16 - 1;
    insns.push(jmpi(BPF_JNE, 9, 0, back));
    insns.extend((1..=8).filter(|r| *r != 7).map(|r| alu(BPF_XOR, 0, r)));
    insns.push(EXIT);
    insns
}

fn interpreted(p: &Program<Verified>, bytes: &[u8]) -> (u64, std::vec::Vec<u8>) {
    let mut mem = AlignedMem::new(bytes).unwrap();
    // SAFETY: programs touch nothing but their memory and stack.
    unsafe {
        let args = [mem.addr() as u64, mem.len() as u64, 0, 0, 0];
        let r0 = run_with(p, HELPERS, core::ptr::null_mut(), args, &mut Raw).unwrap();
        (r0, core::slice::from_raw_parts(mem.addr(), mem.len()).to_vec())
    }
}

fn compiled(
    p: &Program<Verified>,
    bytes: &[u8],
    features: CpuFeatures,
    registers: usize,
) -> (u64, std::vec::Vec<u8>) {
    let options = options(features, HELPERS);
    let module = optimised(p, &options).unwrap();
    let assembler = |buf| x86_64::Assembler::new(buf, features).with_registers(registers);
    let artifact =
        super::super::generate(p, &options, &module, assembler, x86_64::Assembler::into_buffer).unwrap();
    let code = install(artifact, &TestMemory, 0).unwrap();
    let mut mem = AlignedMem::new(bytes).unwrap();
    // SAFETY: as above.
    unsafe {
        let r0 = code.run_bare([mem.addr() as u64, mem.len() as u64, 0, 0, 0]);
        (r0, core::slice::from_raw_parts(mem.addr(), mem.len()).to_vec())
    }
}

#[test]
fn random_programs_agree_with_the_interpreter_however_few_registers_there_are() {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let bytes: std::vec::Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(0x3b) ^ 0x85).collect();
    let rounds = std::env::var("UXDP_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    for round in 0..rounds {
        let insns = generate_program(&mut rng);
        // SAFETY: see interpreted and compiled.
        let p = unsafe { bare_program_with(&insns, HELPERS) }.unwrap();
        let expected = interpreted(&p, &bytes);
        for (features, registers) in [
            (CpuFeatures::BASE, 12),
            (CpuFeatures::host(), 12),
            (CpuFeatures::BASE, 2),
            (CpuFeatures::host(), 4),
            (CpuFeatures::BASE, 0),
        ] {
            let got = compiled(&p, &bytes, features, registers);
            assert!(
                got == expected,
                "round {round}, {features:?}, {registers} registers: {:#x}, expected {:#x}\n{insns:#?}\n{}",
                got.0,
                expected.0,
                optimised(&p, &options(features, HELPERS)).unwrap()
            );
        }
    }
}
