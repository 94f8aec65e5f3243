//! A packet as named fields, and two packets as the fields in which they differ.
//!
//! Headers are taken apart as far as they are whole: Ethernet, VLAN tags, ARP, IPv4, IPv6, TCP, UDP, ICMP, and what a tunnel carries, whose names have a number
//! (`ip[1].ttl`). What is behind the last known header is `payload`.

use std::fmt::Write;

/// One field: its name, and its value as people read it.
type Field = (String, String);

/// A reader of headers.
struct Walk<'a> {
    rest: &'a [u8],
    fields: Vec<Field>,
    /// How many IP headers were seen.
    depth: usize,
}

/// How a field's bytes are shown.
#[derive(Clone, Copy)]
enum Show {
    Number,
    Hex,
    Mac,
    V4,
    V6,
}

/// A header: bytes, and its fields as name, first byte, bytes, form.
struct Layout {
    size: usize,
    fields: &'static [(&'static str, usize, usize, Show)],
}

use Show::{Hex, Mac, Number, V4, V6};

const ETH: Layout =
    Layout { size: 14, fields: &[("dst", 0, 6, Mac), ("src", 6, 6, Mac), ("type", 12, 2, Hex)] };
const VLAN: Layout = Layout { size: 4, fields: &[("tci", 0, 2, Hex), ("type", 2, 2, Hex)] };
const ARP: Layout = Layout {
    size: 28,
    fields: &[
        ("operation", 6, 2, Number),
        ("sender_mac", 8, 6, Mac),
        ("sender", 14, 4, V4),
        ("target_mac", 18, 6, Mac),
        ("target", 24, 4, V4),
    ],
};
const IPV4: Layout = Layout {
    size: 20,
    fields: &[
        ("version_ihl", 0, 1, Hex),
        ("tos", 1, 1, Hex),
        ("len", 2, 2, Number),
        ("id", 4, 2, Hex),
        ("frag", 6, 2, Hex),
        ("ttl", 8, 1, Number),
        ("protocol", 9, 1, Number),
        ("checksum", 10, 2, Hex),
        ("src", 12, 4, V4),
        ("dst", 16, 4, V4),
    ],
};
const IPV6: Layout = Layout {
    size: 40,
    fields: &[
        ("first_word", 0, 4, Hex),
        ("len", 4, 2, Number),
        ("next", 6, 1, Number),
        ("hops", 7, 1, Number),
        ("src", 8, 16, V6),
        ("dst", 24, 16, V6),
    ],
};
const TCP: Layout = Layout {
    size: 20,
    fields: &[
        ("src", 0, 2, Number),
        ("dst", 2, 2, Number),
        ("seq", 4, 4, Number),
        ("ack", 8, 4, Number),
        ("offset_flags", 12, 2, Hex),
        ("window", 14, 2, Number),
        ("checksum", 16, 2, Hex),
        ("urgent", 18, 2, Number),
    ],
};
const UDP: Layout = Layout {
    size: 8,
    fields: &[("src", 0, 2, Number), ("dst", 2, 2, Number), ("len", 4, 2, Number), ("checksum", 6, 2, Hex)],
};
const ICMP: Layout = Layout {
    size: 8,
    fields: &[("type", 0, 1, Number), ("code", 1, 1, Number), ("checksum", 2, 2, Hex), ("rest", 4, 4, Hex)],
};

fn shown(bytes: &[u8], show: Show) -> String {
    let number = bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    match show {
        Number => number.to_string(),
        Hex => format!("0x{}", hex(bytes)),
        Mac => bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"),
        V4 => bytes.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        V6 => <[u8; 16]>::try_from(bytes)
            .map_or_else(|_| hex(bytes), |b| std::net::Ipv6Addr::from(b).to_string()),
    }
}

/// Digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

impl<'a> Walk<'a> {
    /// Takes a header of fixed size, if it is whole.
    fn take(&mut self, name: &str, layout: &Layout) -> Option<&'a [u8]> {
        let (header, rest) = self.rest.split_at_checked(layout.size)?;
        self.rest = rest;
        for (field, at, len, show) in layout.fields {
            self.fields.push((format!("{name}.{field}"), shown(&header[*at..at + len], *show)));
        }
        Some(header)
    }

    fn options(&mut self, name: &str, bytes: usize) -> Option<()> {
        let (options, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        if !options.is_empty() {
            self.fields.push((format!("{name}.options"), hex(options)));
        }
        Some(())
    }

    fn ethernet(&mut self) -> Option<()> {
        let header = self.take("eth", &ETH)?;
        let mut kind = u16::from_be_bytes([header[12], header[13]]);
        let mut tag = 0;
        while matches!(kind, 0x8100 | 0x88a8) {
            let header = self.take(&format!("vlan[{tag}]"), &VLAN)?;
            kind = u16::from_be_bytes([header[2], header[3]]);
            tag += 1;
        }
        match kind {
            0x0806 => self.take("arp", &ARP).map(|_| ()),
            0x0800 => self.ipv4(),
            0x86dd => self.ipv6(),
            _ => None,
        }
    }

    fn numbered(&mut self, name: &str) -> String {
        self.depth += 1;
        match self.depth {
            1 => name.to_owned(),
            n => format!("{name}[{}]", n - 1),
        }
    }

    fn ipv4(&mut self) -> Option<()> {
        let name = self.numbered("ip");
        let header = self.take(&name, &IPV4)?;
        let (protocol, later) = (header[9], u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0);
        self.options(&name, (usize::from(header[0] & 15) * 4).saturating_sub(20))?;
        if later { None } else { self.transport(protocol) }
    }

    fn ipv6(&mut self) -> Option<()> {
        let name = self.numbered("ipv6");
        let header = self.take(&name, &IPV6)?;
        self.transport(header[6])
    }

    fn transport(&mut self, protocol: u8) -> Option<()> {
        match protocol {
            4 => self.ipv4(),
            41 => self.ipv6(),
            6 => {
                let header = self.take("tcp", &TCP)?;
                self.options("tcp", (usize::from(header[12] >> 4) * 4).saturating_sub(20))
            }
            17 => self.take("udp", &UDP).map(|_| ()),
            1 | 58 => {
                let header = self.take(if protocol == 1 { "icmp" } else { "icmpv6" }, &ICMP)?;
                match (protocol, header[0]) {
                    (1, 3) => self.ipv4(),
                    (58, 1..=4) => self.ipv6(),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn fields(packet: &[u8]) -> (Vec<Field>, &[u8]) {
    let mut walk = Walk { rest: packet, fields: Vec::new(), depth: 0 };
    // It ends where there is no more to take apart.
    let _ = walk.ethernet();
    (walk.fields, walk.rest)
}

/// The fields in which two packets differ, each as `name: wanted, got`. Empty for equal packets.
pub fn differing_fields(wanted: &[u8], got: &[u8]) -> Vec<String> {
    if wanted == got {
        return Vec::new();
    }
    let ((want, want_rest), (have, have_rest)) = (fields(wanted), fields(got));
    let mut out = Vec::new();
    if wanted.len() != got.len() {
        out.push(format!("length: {}, {}", wanted.len(), got.len()));
    }
    let of = |fields: &[Field], name: &str| {
        fields.iter().find(|(n, _)| n == name).map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = want.iter().map(|(name, _)| name).collect();
    names.extend(have.iter().map(|(name, _)| name).filter(|n| want.iter().all(|(w, _)| w != *n)));
    for name in names {
        let (w, h) = (of(&want, name), of(&have, name));
        if w != h {
            out.push(format!("{name}: {w}, {h}"));
        }
    }
    if let Some(at) =
        (0..want_rest.len().max(have_rest.len())).find(|i| want_rest.get(*i) != have_rest.get(*i))
    {
        let piece = |rest: &[u8]| hex(rest.get(at..rest.len().min(at + 16)).unwrap_or_default());
        out.push(format!("payload from byte {at}: {}, {}", piece(want_rest), piece(have_rest)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn a_changed_field_is_named() {
        let packet = bytes(
            "020000000001 020000000002 8100 000a 0800 45000024 12340000 40110000 c0000201 c6336401 0fa0 0035 0010 0000 0102030405060708",
        );
        let mut other = packet.clone();
        other[26] = 63;
        other[40] = 1;
        other[47] = 9;
        assert_eq!(
            differing_fields(&packet, &other),
            ["ip.ttl: 64, 63", "udp.dst: 53, 309", "payload from byte 1: 02030405060708, 09030405060708"]
        );
        assert!(differing_fields(&packet, &packet).is_empty());
    }

    #[test]
    fn a_tunnel_and_a_cut_packet_are_told_apart() {
        let inner = bytes("45000014 00000000 40060000 0a000001 0a000002");
        let mut outer = bytes("020000000001 020000000002 0800 45000028 00000000 40040000 0a000003 0a000004");
        outer.extend(&inner);
        let mut other = outer.clone();
        other[34 + 16] = 11;
        assert_eq!(differing_fields(&outer, &other), ["ip[1].dst: 10.0.0.2, 11.0.0.2"]);
        let cut = &outer[..40];
        assert_eq!(differing_fields(&outer, cut)[0], "length: 54, 40");
        assert!(differing_fields(&outer, cut).iter().any(|l| l == "ip[1].ttl: 64, none"));
    }
}
