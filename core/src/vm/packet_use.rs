//! The most that a program may do to its packet: what a host has to write back after a run.

use crate::helpers::{Access, ArgType, HelperSet, RetType};
use crate::isa::op;
use crate::program::{MemClass, Program, Rewrite, Verified};

/// The most that a program may do to its packet, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketUse {
    /// It reads at most: bytes and ends stay as they are.
    Reads,
    /// It may change bytes between the ends.
    Writes,
    /// It may move the ends, itself or through a program that it calls by tail call.
    Moves,
}

/// What `program` may do. Without facts, every store that could touch the packet counts as one that does.
pub(super) fn packet_use(program: &Program<Verified>, helpers: HelperSet) -> PacketUse {
    let insns = &program.code().insns;
    let each = program.rewrites().insns.iter().zip(insns).enumerate();
    each.map(|(pc, (rewrite, insn))| match *rewrite {
        Rewrite::CallHelper { row, .. } => helpers.get(row).map_or(PacketUse::Moves, |helper| {
            // With the context in hand, a helper can reach the packet (`bpf_xdp_store_bytes`).
            let writes = |arg: &ArgType| match arg {
                ArgType::Ctx => true,
                ArgType::Mem { access, .. } | ArgType::FixedMem { access, .. } => *access != Access::Read,
                _ => false,
            };
            match helper.proto {
                p if p.changes_packet || p.ret == RetType::TailCall => PacketUse::Moves,
                p if p.args.iter().any(writes) => PacketUse::Writes,
                _ => PacketUse::Reads,
            }
        }),
        Rewrite::Plain if matches!(insn.class(), op::BPF_ST | op::BPF_STX) => {
            match program.facts().at(pc as u32).mem {
                MemClass::Stack | MemClass::Ctx | MemClass::Map(_) | MemClass::MapAny => PacketUse::Reads,
                MemClass::Packet | MemClass::Unknown => PacketUse::Writes,
            }
        }
        _ => PacketUse::Reads,
    })
    .max()
    .unwrap_or(PacketUse::Reads)
}
