//! rbpf's x86-64 compiler on the program with a 64-bit context.

use crate::Files;
use crate::lane::{Lane, Packets};
use crate::maps::{self, PeerObject};
use anyhow::{Context, Result};
use rbpf::EbpfVmMbuff;
use uxdp_core::isa::{Op, WideImm, decode};
use uxdp_core::sync::Arc;

/// The context of `ctx64.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Ctx64 {
    pub(crate) data: u64,
    pub(crate) data_end: u64,
    pub(crate) data_meta: u64,
    pub(crate) ingress_ifindex: u32,
    pub(crate) rx_queue_index: u32,
    pub(crate) egress_ifindex: u32,
}

pub(crate) struct Rbpf {
    vm: EbpfVmMbuff<'static>,
    packets: Packets,
    /// After `vm`, which calls its maps.
    _object: PeerObject,
}

fn error(e: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{e}")
}

/// Helper 1 as rbpf calls it.
fn lookup(map: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: the verified program passes a map that `bytecode` put there, and a key on its stack.
    unsafe { maps::lookup(map as *const _, key as *const u8) as u64 }
}

/// Its place on the stack has that alignment, and so has what is called from there.
#[repr(align(64))]
struct Aligned(#[expect(dead_code, reason = "its place is what counts")] u64);

/// Helper 2 as rbpf calls it, which does not keep the stack aligned as the ABI wants it.
fn update(map: u64, key: u64, value: u64, flags: u64, _: u64) -> u64 {
    // A number that is not known beforehand: a constant would stand elsewhere.
    let place = Aligned(std::hint::black_box(map));
    std::hint::black_box(&place);
    // SAFETY: as above, and a value on its stack.
    unsafe { maps::update(map as *const _, key as *const u8, value as *const u8, flags) as u64 }
}

/// Helper 28 as rbpf calls it.
fn csum_diff(from: u64, from_size: u64, to: u64, to_size: u64, seed: u64) -> u64 {
    // SAFETY: the verified program passes memory of these sizes.
    unsafe { maps::csum_diff(from, from_size, to, to_size, seed) }
}

/// The program's bytes with the addresses of its maps in them.
fn bytecode(object: &PeerObject) -> Result<Vec<u8>> {
    let program = object.program()?;
    let insns = &program.code().insns;
    let names: Vec<&str> = object.names().collect();
    let mut bytes: Vec<u8> = insns.iter().flat_map(|i| i.to_bytes()).collect();
    let mut pc = 0;
    while let Some(insn) = insns.get(pc) {
        if let Ok(Op::LdImm64 { imm: WideImm::MapIdx(index), .. }) = decode(insns, pc as u32) {
            let name = names.get(index as usize).context("a map of the object")?;
            let address = Arc::as_ptr(object.map(name)?).addr() as u64;
            let at = 8 * pc;
            bytes[at + 1] &= 0x0f; // no pseudo source: a plain number
            bytes[at + 4..at + 8].copy_from_slice(&(address as u32).to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&((address >> 32) as u32).to_le_bytes());
        }
        pc += if insn.is_wide() { 2 } else { 1 };
    }
    Ok(bytes)
}

impl Rbpf {
    pub(crate) fn new(files: &Files) -> Result<Self> {
        let object = PeerObject::open(files)?;
        // A benchmark's few programs live as long as it.
        let bytes: &'static [u8] = bytecode(&object)?.leak();
        let mut vm = EbpfVmMbuff::new(Some(bytes)).map_err(error)?;
        vm.register_helper(1, lookup).map_err(error)?;
        vm.register_helper(2, update).map_err(error)?;
        vm.register_helper(28, csum_diff).map_err(error)?;
        vm.jit_compile().map_err(error)?;
        Ok(Rbpf { vm, packets: Packets::new(), _object: object })
    }
}

impl Lane for Rbpf {
    fn run(&mut self, passes: usize) -> u64 {
        let mut sum = 0;
        let mut ctx = Ctx64::default();
        let mut packets: Vec<&mut [u8]> = self.packets.buffers().map(|(b, data)| &mut b[data]).collect();
        for _ in 0..passes {
            for packet in &mut packets {
                let std::ops::Range { start, end } = packet.as_mut_ptr_range();
                ctx.data = start as u64;
                ctx.data_meta = ctx.data;
                ctx.data_end = end as u64;
                // SAFETY: plain memory of that size.
                let context = unsafe {
                    std::slice::from_raw_parts_mut((&raw mut ctx).cast::<u8>(), size_of::<Ctx64>())
                };
                // SAFETY: the kernel accepts this program with a 32-bit context; it touches packet, context, stack and maps alone.
                let r0 = unsafe { self.vm.execute_program_jit(packet, context) };
                sum += r0.map_or(0, |r0| r0 & 0xffff_ffff);
            }
        }
        sum
    }
}
