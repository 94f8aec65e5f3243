//! What a program needs of the port that it runs on: a mismatch with what the port offers is found when a program is attached, not when a packet comes.
//!
//! Needs are the calls that the program makes on some path, and XDP_TX where that constant reaches an exit of its main function ([`super::returned`]). An action that is
//! computed, or that a map or a helper gave, is no need: whether it is ever XDP_TX shows when a packet comes, and a host whose port cannot send drops and counts that one.
//! Needs of programs that it reaches by tail call are theirs.

use super::Action;
use super::returned::returned;
use crate::helpers::{Helper, HelperSet};
use crate::isa::{self, Callee, Op};
use crate::mem::OutOfMemory;
use crate::program::{Code, Edge, Program, Rewrite, Verified};
use core::fmt;

/// A set of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs(u32);

impl Needs {
    /// Packets can go to other ports, lcores or sockets.
    pub const REDIRECT: Needs = Needs(1);
    /// There is room in front of a packet.
    pub const HEADROOM: Needs = Needs(1 << 1);
    /// Metadata in front of a packet goes with it.
    pub const METADATA: Needs = Needs(1 << 2);
    /// The NIC's hash.
    pub const RX_HASH: Needs = Needs(1 << 3);
    /// The NIC's time stamp.
    pub const RX_TIMESTAMP: Needs = Needs(1 << 4);
    /// The VLAN tag that the NIC took off.
    pub const RX_VLAN_TAG: Needs = Needs(1 << 5);
    /// Of a port: packets may come in several buffers. Of a program: it takes no such packets.
    pub const SEVERAL_BUFFERS: Needs = Needs(1 << 6);
    /// Packets can be sent back out of the port that they came from.
    pub const TX: Needs = Needs(1 << 7);

    const ALL: [(Needs, &'static str); 8] = [
        (Needs::TX, "tx"),
        (Needs::REDIRECT, "redirect"),
        (Needs::HEADROOM, "headroom"),
        (Needs::METADATA, "metadata"),
        (Needs::RX_HASH, "rx_hash"),
        (Needs::RX_TIMESTAMP, "rx_timestamp"),
        (Needs::RX_VLAN_TAG, "rx_vlan_tag"),
        (Needs::SEVERAL_BUFFERS, "packets in one buffer (no xdp.frags)"),
    ];

    /// The set with these bits; others are dropped.
    pub const fn from_bits(bits: u32) -> Needs {
        Needs(bits & 0xff)
    }

    /// As bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub const fn without(self, other: Needs) -> Needs {
        Needs(self.0 & !other.0)
    }

    /// What is in it, by name.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Needs::ALL.iter().filter(move |(need, _)| self.contains(*need)).map(|(_, name)| *name)
    }

    /// What a port that offers `self` lacks for a program with these needs.
    pub const fn missing(self, program: Needs) -> Needs {
        let buffers = Needs::SEVERAL_BUFFERS.0;
        Needs(program.0 & !self.0 & !buffers | program.0 & self.0 & buffers)
    }
}

impl fmt::Display for Needs {
    /// The names, with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for name in self.names() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What calls need, by the name of what is called.
const CALLS: [(&str, Needs); 7] = [
    ("bpf_redirect", Needs::REDIRECT),
    ("bpf_redirect_map", Needs::REDIRECT),
    ("bpf_xdp_adjust_head", Needs::HEADROOM),
    ("bpf_xdp_adjust_meta", Needs::METADATA),
    ("bpf_xdp_metadata_rx_hash", Needs::RX_HASH),
    ("bpf_xdp_metadata_rx_timestamp", Needs::RX_TIMESTAMP),
    ("bpf_xdp_metadata_rx_vlan_tag", Needs::RX_VLAN_TAG),
];

fn of_call(helper: &Helper) -> Needs {
    CALLS.iter().find(|(name, _)| *name == helper.name).map_or(Needs::default(), |(_, need)| *need)
}

/// What a program needs that was proven: ways that no run takes need nothing.
///
/// # Errors
/// When memory is short.
pub(super) fn needs(program: &Program<Verified>, helpers: HelperSet) -> Result<Needs, OutOfMemory> {
    let rewrites = &program.rewrites().insns;
    let calls = rewrites.iter().fold(Needs::default(), |all, rewrite| match *rewrite {
        Rewrite::CallHelper { row, .. } => all.with(helpers.get(row).map_or(Needs::default(), of_call)),
        _ => all,
    });
    let ways = |pc: u32| match rewrites.get(pc as usize) {
        None | Some(Rewrite::Dead) => None,
        Some(_) => Some(program.facts().at(pc).edge),
    };
    Ok(calls.with(of_packets(program.code())).with(of_actions(program.code(), ways)?))
}

/// What a linked program needs that nobody proved, as far as its code tells: ways count that a verdict may find to be closed.
///
/// # Errors
/// When memory is short.
pub fn needs_of_code(code: &Code, helpers: HelperSet) -> Result<Needs, OutOfMemory> {
    let mut calls = Needs::default();
    let mut pc = 0;
    while (pc as usize) < code.insns.len() {
        let op = isa::decode(&code.insns, pc);
        let row = |id: u32| helpers.get(helpers.row_of(id)?);
        let helper = match op {
            Ok(Op::Call(Callee::Helper(id))) => row(id),
            // One that nobody has kept a number of its object's, which may be a helper's.
            Ok(Op::Call(Callee::Kfunc { id, .. })) => row(id as u32).filter(|h| h.is_kfunc()),
            _ => None,
        };
        calls = calls.with(helper.map_or(Needs::default(), of_call));
        pc += op.map_or(1, |op| op.slots());
    }
    Ok(calls.with(of_packets(code)).with(of_actions(code, |_| Some(Edge::Both))?))
}

/// What its section says of the packets that it takes.
fn of_packets(code: &Code) -> Needs {
    if code.frags { Needs::default() } else { Needs::SEVERAL_BUFFERS }
}

/// What the constants need that it returns.
fn of_actions(code: &Code, ways: impl Fn(u32) -> Option<Edge>) -> Result<Needs, OutOfMemory> {
    let tx = Action::Tx as u32;
    // Most programs do not have the number.
    if !code.insns.iter().any(|insn| insn.imm as u32 == tx) {
        return Ok(Needs::default());
    }
    Ok(if returned(code, ways)?.contains(tx) { Needs::TX } else { Needs::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_what_is_needed_and_not_offered() {
        let port = Needs::REDIRECT.with(Needs::RX_HASH);
        assert!(port.missing(Needs::REDIRECT).is_empty());
        assert_eq!(port.missing(Needs::REDIRECT.with(Needs::HEADROOM)), Needs::HEADROOM);
        // One buffer is enough for every port that gives one; chains fit no program that does not take them.
        assert!(port.missing(Needs::SEVERAL_BUFFERS).is_empty());
        let chains = port.with(Needs::SEVERAL_BUFFERS);
        assert_eq!(chains.missing(Needs::SEVERAL_BUFFERS), Needs::SEVERAL_BUFFERS);
        assert!(chains.missing(Needs::RX_HASH).is_empty());
        assert_eq!(std::format!("{}", Needs::RX_HASH.with(Needs::METADATA)), "metadata, rx_hash");
        assert_eq!(Needs::from_bits(u32::MAX).bits(), Needs::ALL.iter().map(|(n, _)| n.0).sum());
    }
}
