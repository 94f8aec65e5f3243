//! Packets from a seed: what real ports see and what they should not see.
//!
//! The same seed gives the same packets, everywhere and in every version of the kind list's order ([`Kind::ALL`]). Addresses, ports and VLANs come from small pools (those
//! of `xdp_progs/*.maps.json` among them), so that map entries are hit and flows recur. Checksums are right unless a packet is malformed. [`mutant`] damages a packet.

mod build;
mod rng;

pub use rng::Rng;

use build::Builder;

macro_rules! kinds {
    ($($name:ident = $text:literal, $about:literal;)*) => {
        /// A kind of packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $about] $name),* }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => $text),* }
            }

            /// What it is, in a few words.
            pub const fn about(self) -> &'static str {
                match self { $(Kind::$name => $about),* }
            }
        }
    };
}

kinds! {
    Udp = "udp", "UDP over IPv4, now and then without checksum";
    Tcp = "tcp", "TCP over IPv4, with every combination of flags";
    TcpOptions = "tcp-options", "TCP with options: MSS, window scale, timestamps, SACK";
    Http = "http", "TCP that carries the beginning of an HTTP message";
    Icmp = "icmp", "ICMP: echoes, and errors that quote a packet";
    Ipv6 = "ipv6", "UDP, TCP and ICMPv6 over IPv6, now and then behind an extension header";
    Vlan = "vlan", "a packet of another kind behind one tag";
    Qinq = "qinq", "behind two tags, now and then three";
    Arp = "arp", "ARP requests and answers";
    Fragment = "fragment", "fragments of IPv4 packets, first and later ones";
    IpOptions = "ip-options", "IPv4 with options";
    Tunnel = "tunnel", "IPv4 and IPv6 in IPv4 and IPv6";
    Other = "other", "other EtherTypes and protocols";
    Jumbo = "jumbo", "frames of 1,600 to 9,000 bytes";
    Malformed = "malformed", "headers that contradict themselves: lengths, versions, checksums";
    Truncated = "truncated", "frames cut short anywhere, from no byte on";
}

impl Kind {
    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|k| k.name() == name)
    }
}

/// An endless run of packets.
#[derive(Clone, Debug)]
pub struct Traffic {
    rng: Rng,
    kinds: Vec<Kind>,
}

impl Traffic {
    /// Packets of some kinds; of all, except the jumbo ones, where none is named.
    pub fn new(seed: u64, kinds: &[Kind]) -> Self {
        let kinds = match kinds {
            [] => Kind::ALL.iter().copied().filter(|k| *k != Kind::Jumbo).collect(),
            kinds => kinds.to_vec(),
        };
        Traffic { rng: Rng::new(seed), kinds }
    }

    fn kind(&mut self) -> Kind {
        self.kinds[self.rng.below(self.kinds.len())]
    }
}

impl Iterator for Traffic {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let kind = self.kind();
        Some(Builder::new(&mut self.rng).packet(kind))
    }
}

/// A packet that is another one with something wrong: bits or bytes changed, cut short, grown, or a piece moved.
pub fn mutant(packet: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut out = packet.to_vec();
    for _ in 0..1 + rng.below(3) {
        // Headers decide more than payloads do.
        let reach = if rng.one_in(4) { out.len() } else { out.len().min(64) };
        if reach == 0 {
            break;
        }
        let at = rng.below(reach);
        match rng.below(7) {
            0 | 1 => out[at] ^= 1 << rng.below(8),
            2 => out[at] = rng.byte(),
            3 => out[at] = rng.pick(&[0, 0xff, 0x7f, 0x80, 1]),
            4 => out.truncate(at.max(14)),
            5 => out.extend((0..rng.below(200)).map(|i| i as u8)),
            _ => {
                let from = rng.below(reach);
                out[at] = out[from];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_packets_again() {
        let of = |seed| Traffic::new(seed, &[]).take(300).collect::<Vec<_>>();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn each_kind_is_what_its_name_says() {
        let some = |kind| Traffic::new(3, &[kind]).take(200).collect::<Vec<_>>();
        let proto = |p: &Vec<u8>| u16::from_be_bytes([p[12], p[13]]);
        assert!(some(Kind::Udp).iter().all(|p| proto(p) == 0x0800 && p[23] == 17));
        assert!(some(Kind::Tcp).iter().all(|p| proto(p) == 0x0800 && p[23] == 6));
        assert!(some(Kind::TcpOptions).iter().all(|p| p[46] >> 4 > 5));
        assert!(some(Kind::Ipv6).iter().all(|p| proto(p) == 0x86dd));
        assert!(some(Kind::Vlan).iter().all(|p| matches!(proto(p), 0x8100 | 0x88a8)));
        assert!(
            some(Kind::Qinq).iter().all(|p| matches!(u16::from_be_bytes([p[16], p[17]]), 0x8100 | 0x88a8))
        );
        assert!(some(Kind::Fragment).iter().all(|p| p[20] & 0x3f != 0 || p[21] != 0));
        assert!(some(Kind::IpOptions).iter().all(|p| p[14] & 15 > 5));
        assert!(some(Kind::Jumbo).iter().all(|p| (1600..=9000).contains(&p.len())));
        assert!(some(Kind::Truncated).iter().any(|p| p.len() < 14));
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(*kind));
        }
    }

    #[test]
    fn checksums_of_whole_packets_are_right() {
        for p in Traffic::new(5, &[Kind::Udp, Kind::Tcp, Kind::TcpOptions, Kind::IpOptions]).take(500) {
            let header = &p[14..14 + usize::from(p[14] & 15) * 4];
            assert_eq!(build::checksum(header, 0), 0, "{p:02x?}");
        }
    }
}
