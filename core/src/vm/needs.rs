//! What a program needs of the port that it runs on, and what a port offers: a mismatch is found when a program is attached, not when a packet comes.
//!
//! Needs are the calls that the program makes on some path; those of programs that it reaches by tail call are theirs. What a program returns is no need: XDP_TX is
//! what every port can do, or what the host counts where it cannot.

use crate::helpers::{Helper, HelperSet};
use crate::program::{Program, Rewrite, Verified};
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

    const ALL: [(Needs, &'static str); 7] = [
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
        Needs(bits & 0x7f)
    }

    /// As bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn with(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
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
        for (_, name) in Needs::ALL.iter().filter(|(need, _)| self.0 & need.0 != 0) {
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

/// What a program needs.
pub(super) fn needs(program: &Program<Verified>, helpers: HelperSet) -> Needs {
    let own = if program.code().frags { Needs::default() } else { Needs::SEVERAL_BUFFERS };
    program.rewrites().insns.iter().fold(own, |all, rewrite| match *rewrite {
        Rewrite::CallHelper { row, .. } => all.with(helpers.get(row).map_or(Needs::default(), of_call)),
        _ => all,
    })
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
