//! Programs of a few instructions, made, loaded and run in the kernel: what programs do with maps, and what maps of programs hold.

use super::{Fd, bpf, btf, halves};
use crate::isa::Insn;
use std::vec::Vec;

const PROG_LOAD: i64 = 5;
const PROG_TEST_RUN: i64 = 10;
const XDP: u32 = 6;
/// Bytes of a test packet at least.
const SMALLEST: usize = 64;

/// The places in the packet that programs read their arguments from.
pub(super) const KEY: i16 = 0;
pub(super) const FLAGS: i16 = 272;
pub(super) const VALUE: i16 = 280;

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Attach {
    Device = 33,
    Cpu = 35,
    Interface = 37,
}

/// A loaded program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) fd: Fd,
    pub(super) id: u32,
}

pub(super) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn::new(code, dst, src, off, imm)
}

/// `dst = imm`
pub(super) fn set(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

/// `dst = src`
pub(super) fn copy(dst: u8, src: u8) -> Insn {
    insn(0xbf, dst, src, 0, 0)
}

/// `dst += imm`
pub(super) fn add(dst: u8, imm: i32) -> Insn {
    insn(0x07, dst, 0, 0, imm)
}

/// `dst = *(size *)(src + off)`, of 1, 4 or 8 bytes.
pub(super) fn load(bytes: u8, dst: u8, src: u8, off: i16) -> Insn {
    insn(0x61 | size(bytes), dst, src, off, 0)
}

/// `*(size *)(dst + off) = src`
pub(super) fn store(bytes: u8, dst: u8, off: i16, src: u8) -> Insn {
    insn(0x63 | size(bytes), dst, src, off, 0)
}

fn size(bytes: u8) -> u8 {
    match bytes {
        1 => 0x10,
        4 => 0,
        8 => 0x18,
        other => panic!("no access of {other} bytes"),
    }
}

pub(super) fn call(helper: i32) -> Insn {
    insn(0x85, 0, 0, 0, helper)
}

pub(super) const EXIT: Insn = Insn::new(0x95, 0, 0, 0, 0);

/// `dst = map`
pub(super) fn map(dst: u8, fd: &Fd) -> [Insn; 2] {
    [insn(0x18, dst, 1, 0, fd.0), insn(0, 0, 0, 0, 0)]
}

/// r6 is the packet, of which `len` bytes are there; else the program ends with -1.
pub(super) fn packet(len: i32) -> [Insn; 7] {
    [
        load(4, 6, 1, 0),
        load(4, 7, 1, 4),
        copy(2, 6),
        add(2, len),
        insn(0xbd, 2, 7, 2, 0), // if r2 <= r7 goto +2
        set(0, -1),
        EXIT,
    ]
}

impl Program {
    /// `None` where the kernel does not want it.
    pub(super) fn load(insns: &[Insn], attach: Attach) -> Option<Program> {
        Program::load_with(insns, attach, None)
    }

    /// A program and a callback that begins at `callback`.
    pub(super) fn with_callback(insns: &[Insn], callback: u32) -> Option<Program> {
        let types = btf::functions()?;
        Program::load_with(insns, Attach::Interface, Some((&types, callback)))
    }

    fn load_with(insns: &[Insn], attach: Attach, functions: Option<(&Fd, u32)>) -> Option<Program> {
        let code: Vec<u8> = insns.iter().flat_map(|i| i.to_bytes()).collect();
        let mut log = std::vec![0u8; 1 << 16];
        let mut attr = [0; 16];
        attr[0] = halves(XDP, insns.len() as u32);
        attr[1] = code.as_ptr() as u64;
        attr[2] = c"GPL".as_ptr() as u64;
        attr[3] = halves(1, log.len() as u32);
        attr[4] = log.as_mut_ptr() as u64;
        attr[8] = halves(0, attach as u32);
        let callback = functions.map_or(0, |(_, at)| at);
        let records = [0, btf::MAIN, callback, btf::CALLBACK];
        if let Some((types, _)) = functions {
            attr[9] = halves(types.0 as u32, 8);
            attr[10] = records.as_ptr() as u64;
            attr[11] = 2;
        }
        let answer = bpf(PROG_LOAD, &mut attr);
        assert!(answer <= 0, "errno {answer}: {}", std::string::String::from_utf8_lossy(&log));
        let fd = Fd::answered(-answer)?;
        Some(Program { id: fd.info("prog_id:"), fd })
    }

    /// A program that does nothing.
    pub(super) fn pass(attach: Attach) -> Option<Program> {
        Program::load(&[set(0, 2), EXIT], attach)
    }

    /// Runs it over a packet, which becomes what it left; what it returned.
    pub(super) fn run(&self, packet: &mut Vec<u8>) -> i32 {
        packet.resize(packet.len().max(SMALLEST), 0);
        let mut out = packet.clone();
        let mut attr = [0; 16];
        attr[0] = halves(self.fd.0 as u32, 0);
        attr[1] = halves(packet.len() as u32, out.len() as u32);
        attr[2] = packet.as_ptr() as u64;
        attr[3] = out.as_mut_ptr() as u64;
        let errno = bpf(PROG_TEST_RUN, &mut attr);
        assert_eq!(errno, 0, "a test run of {} bytes", packet.len());
        *packet = out;
        (attr[0] >> 32) as i32
    }
}
