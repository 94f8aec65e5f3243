//! One packet of a kind: headers around headers, innermost first.

use super::{Kind, Rng, mutant};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Hosts and networks that rules of `xdp_progs` name, and some that none does.
const SOURCES: [[u8; 4]; 14] = [
    [192, 0, 2, 1],
    [192, 0, 2, 2],
    [192, 0, 2, 3],
    [192, 0, 2, 7],
    [192, 0, 2, 66],
    [203, 0, 113, 5],
    [203, 0, 113, 200],
    [10, 1, 2, 3],
    [10, 2, 0, 1],
    [10, 8, 0, 1],
    [10, 8, 0, 2],
    [198, 51, 100, 1],
    [224, 0, 0, 1],
    [127, 0, 0, 1],
];
const DESTS: [[u8; 4]; 7] = [
    [198, 51, 100, 1],
    [198, 51, 100, 1],
    [198, 51, 100, 1],
    [198, 51, 100, 2],
    [192, 0, 2, 1],
    [224, 0, 0, 18],
    [255, 255, 255, 255],
];
const PORTS: [u16; 12] = [80, 80, 443, 53, 8080, 9, 5000, 5001, 5002, 5003, 0, 65535];
const VLANS: [u16; 8] = [10, 10, 100, 101, 0, 20, 202, 4095];
const MACS: [[u8; 6]; 5] =
    [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [0xff; 6], [1, 0, 0x5e, 0, 0, 0x12], [0; 6]];
const TEXTS: [&str; 8] = [
    "GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "POST /form HTTP/1.1\r\nContent-Length: 4\r\n\r\na=bc",
    "HEAD / HTTP/1.0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "SSH-2.0-server\r\n",
    "HTTP/1.",
    "xdpfrags",
];

/// The Internet checksum of bytes, on top of a sum.
pub(super) fn checksum(bytes: &[u8], sum: u32) -> u16 {
    let mut sum = sum;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A network header's ends, for the pseudo header.
#[derive(Clone)]
enum Ends {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Ends {
    fn sum(&self, protocol: u8, len: usize) -> u32 {
        let bytes = match self {
            Ends::V4(from, to) => [&from[..], &to[..]].concat(),
            Ends::V6(from, to) => [&from[..], &to[..]].concat(),
        };
        u32::from(!checksum(&bytes, 0)) + u32::from(protocol) + len as u32
    }
}

/// Makes packets.
pub(super) struct Builder<'a> {
    rng: &'a mut Rng,
}

impl<'a> Builder<'a> {
    pub(super) fn new(rng: &'a mut Rng) -> Self {
        Builder { rng }
    }

    pub(super) fn packet(&mut self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Udp => self.over_ipv4(UDP),
            Kind::Tcp => self.over_ipv4(TCP),
            Kind::TcpOptions => self.tcp_options(),
            Kind::Http => self.http(),
            Kind::Icmp => self.over_ipv4(ICMP),
            Kind::Ipv6 => self.over_ipv6(),
            Kind::Vlan => {
                let inner = self.untagged();
                self.tagged(&inner, 1)
            }
            Kind::Qinq => {
                let (inner, tags) = (self.untagged(), if self.rng.one_in(6) { 3 } else { 2 });
                self.tagged(&inner, tags)
            }
            Kind::Arp => self.arp(),
            Kind::Fragment => self.fragment(),
            Kind::IpOptions => {
                let words = 1 + self.rng.below(10);
                let ends = self.v4();
                let body = self.transport(UDP, &ends);
                let packet = self.ipv4(&ends, UDP, &body, (words, 0));
                self.ethernet(IPV4, &packet)
            }
            Kind::Tunnel => self.tunnel(),
            Kind::Other => self.other(),
            Kind::Jumbo => self.jumbo(),
            Kind::Malformed => self.malformed(),
            Kind::Truncated => {
                let mut packet = self.any();
                let (all, head) = (packet.len() + 1, packet.len().min(80));
                let keep = if self.rng.one_in(3) { self.rng.below(all) } else { self.rng.below(head) };
                packet.truncate(keep);
                packet
            }
        }
    }

    /// A packet of a kind that is whole and has no tags.
    fn untagged(&mut self) -> Vec<u8> {
        let kind = self.rng.pick(&[
            Kind::Udp,
            Kind::Tcp,
            Kind::Icmp,
            Kind::Ipv6,
            Kind::Http,
            Kind::Arp,
            Kind::Other,
        ]);
        self.packet(kind)
    }

    fn any(&mut self) -> Vec<u8> {
        let kind = self.rng.pick(&[
            Kind::Udp,
            Kind::Tcp,
            Kind::Icmp,
            Kind::Ipv6,
            Kind::TcpOptions,
            Kind::Qinq,
            Kind::Tunnel,
        ]);
        self.packet(kind)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.rng.byte()).collect()
    }

    /// A payload's length: mostly small, at times all that a frame takes.
    fn len(&mut self) -> usize {
        match self.rng.below(8) {
            0 => 0,
            1..=4 => self.rng.below(64),
            5 | 6 => self.rng.below(600),
            _ => self.rng.below(1400),
        }
    }

    fn v4(&mut self) -> Ends {
        let mut from = self.rng.pick(&SOURCES);
        if self.rng.one_in(5) {
            from[3] = self.rng.byte();
        }
        let to = if self.rng.one_in(10) { self.rng.pick(&SOURCES) } else { self.rng.pick(&DESTS) };
        Ends::V4(from, to)
    }

    fn v6(&mut self) -> Ends {
        let mut end = |last: u8| {
            let mut address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
            if self.rng.one_in(12) {
                address[..2].copy_from_slice(&[0xff, 2]);
            }
            address
        };
        let (from, to) = (end(1), end(2));
        let (mut from, mut to) = (from, to);
        from[15] = self.rng.pick(&[1, 1, 2, 3, 9]);
        to[15] = self.rng.pick(&[2, 2, 2, 1, 3]);
        Ends::V6(from, to)
    }

    fn ethernet(&mut self, kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = self.rng.pick(&MACS).to_vec();
        out.extend(self.rng.pick(&MACS));
        if self.rng.one_in(3) {
            out[11] = self.rng.byte();
        }
        out.extend(kind.to_be_bytes());
        out.extend(body);
        out
    }

    fn tagged(&mut self, packet: &[u8], tags: usize) -> Vec<u8> {
        let mut out = packet[..12].to_vec();
        for n in 0..tags {
            let kind: u16 = if n == 0 && self.rng.one_in(2) { 0x88a8 } else { 0x8100 };
            let priority = if self.rng.one_in(4) { u16::from(self.rng.byte()) << 8 & 0xf000 } else { 0 };
            out.extend(kind.to_be_bytes());
            out.extend((priority | self.rng.pick(&VLANS)).to_be_bytes());
        }
        out.extend(&packet[12..]);
        out
    }

    /// An IPv4 packet: words of options, and the fragment field.
    fn ipv4(&mut self, ends: &Ends, protocol: u8, body: &[u8], (options, fragment): (usize, u16)) -> Vec<u8> {
        let Ends::V4(from, to) = ends else { return Vec::new() };
        let head = 20 + 4 * options;
        let ttl = self.rng.pick(&[64, 64, 64, 255, 128, 2, 1, 0]);
        let mut out = vec![0x40 | (5 + options) as u8, self.rng.pick(&[0, 0, 0x10, 0xb8])];
        out.extend(((head + body.len()) as u16).to_be_bytes());
        out.extend(self.bytes(2));
        out.extend(fragment.to_be_bytes());
        out.extend([ttl, protocol, 0, 0]);
        out.extend(from);
        out.extend(to);
        out.extend(self.bytes(4 * options));
        let sum = checksum(&out, 0);
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        out.extend(body);
        out
    }

    fn ipv6(&mut self, ends: &Ends, next: u8, body: &[u8]) -> Vec<u8> {
        let Ends::V6(from, to) = ends else { return Vec::new() };
        let mut out = vec![0x60, self.rng.pick(&[0, 0, 0xb0]), 0, self.rng.byte()];
        out.extend((body.len() as u16).to_be_bytes());
        out.extend([next, self.rng.pick(&[64, 64, 255, 2, 1, 0])]);
        out.extend(from);
        out.extend(to);
        out.extend(body);
        out
    }

    fn transport(&mut self, protocol: u8, ends: &Ends) -> Vec<u8> {
        let len = self.len();
        let data = self.bytes(len);
        match protocol {
            TCP => self.tcp(ends, &[], &data),
            UDP => self.udp(ends, &data),
            _ => self.icmp(protocol, ends, data),
        }
    }

    fn udp(&mut self, ends: &Ends, data: &[u8]) -> Vec<u8> {
        let mut out = self.rng.pick(&PORTS).to_be_bytes().to_vec();
        out.extend(self.rng.pick(&PORTS).to_be_bytes());
        out.extend(((8 + data.len()) as u16).to_be_bytes());
        out.extend([0, 0]);
        out.extend(data);
        if !self.rng.one_in(8) {
            let sum = checksum(&out, ends.sum(UDP, out.len()));
            out[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        }
        out
    }

    fn tcp(&mut self, ends: &Ends, options: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = self.rng.pick(&PORTS).to_be_bytes().to_vec();
        out.extend(self.rng.pick(&PORTS).to_be_bytes());
        out.extend(self.bytes(8));
        let flags =
            if self.rng.one_in(4) { self.rng.byte() } else { self.rng.pick(&[2, 0x10, 0x18, 0x12, 0x11, 4]) };
        out.extend([(((20 + options.len()) / 4) << 4) as u8, flags, 0x20, 0, 0, 0, 0, 0]);
        out.extend(options);
        out.extend(data);
        let sum = checksum(&out, ends.sum(TCP, out.len()));
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        out
    }

    fn icmp(&mut self, protocol: u8, ends: &Ends, data: Vec<u8>) -> Vec<u8> {
        let v6 = protocol == ICMP6;
        let kind = if v6 {
            self.rng.pick(&[128, 128, 129, 1, 2, 3, 133, 135, 136])
        } else {
            self.rng.pick(&[8, 8, 8, 0, 3, 3, 5, 11, 13])
        };
        let code = if self.rng.one_in(3) { self.rng.pick(&[1, 3, 4]) } else { 0 };
        let mut out = vec![kind, code, 0, 0];
        out.extend(self.bytes(4));
        let quotes = if v6 { matches!(kind, 1..=4) } else { matches!(kind, 3 | 5 | 11) };
        if quotes {
            let quoted = self.quoted(v6);
            let keep = if self.rng.one_in(4) { self.rng.below(quoted.len() + 1) } else { quoted.len() };
            out.extend(&quoted[..keep]);
        } else {
            out.extend(data);
        }
        let sum = if v6 { ends.sum(ICMP6, out.len()) } else { 0 };
        let sum = checksum(&out, sum);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        out
    }

    /// A packet that went from a service to a client, as an error quotes it.
    fn quoted(&mut self, v6: bool) -> Vec<u8> {
        let protocol = self.rng.pick(&[TCP, UDP, TCP, 47]);
        let data = self.bytes(8);
        let ends = match if v6 { self.v6() } else { self.v4() } {
            Ends::V4(from, to) => Ends::V4(to, from),
            Ends::V6(from, to) => Ends::V6(to, from),
        };
        let body = match protocol {
            TCP => self.tcp(&ends, &[], &data),
            UDP => self.udp(&ends, &data),
            _ => data,
        };
        if v6 { self.ipv6(&ends, protocol, &body) } else { self.ipv4(&ends, protocol, &body, (0, 0)) }
    }

    fn over_ipv4(&mut self, protocol: u8) -> Vec<u8> {
        let ends = self.v4();
        let body = self.transport(protocol, &ends);
        let whole = if self.rng.one_in(3) { 0x4000 } else { 0 };
        let packet = self.ipv4(&ends, protocol, &body, (0, whole));
        self.ethernet(IPV4, &packet)
    }

    fn over_ipv6(&mut self) -> Vec<u8> {
        let (ends, protocol) = (self.v6(), self.rng.pick(&[TCP, UDP, ICMP6, ICMP6]));
        let mut body = self.transport(protocol, &ends);
        let mut next = protocol;
        if self.rng.one_in(6) {
            // Hop-by-hop, routing, fragment or destination options: eight bytes.
            let mut extension = vec![protocol, 0];
            extension.extend(self.bytes(6));
            extension.extend(body);
            (next, body) = (self.rng.pick(&[0, 43, 44, 60]), extension);
        }
        let packet = self.ipv6(&ends, next, &body);
        self.ethernet(IPV6, &packet)
    }

    fn tcp_options(&mut self) -> Vec<u8> {
        const OPTIONS: [&[u8]; 5] = [
            &[2, 4, 5, 0xb4],
            &[1, 3, 3, 7],
            &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
            &[1, 1, 4, 2],
            &[1, 1, 1, 0],
        ];
        let mut options = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            options.extend(self.rng.pick(&OPTIONS));
        }
        let ends = self.v4();
        let len = self.rng.below(40);
        let data = self.bytes(len);
        let body = self.tcp(&ends, &options, &data);
        let packet = self.ipv4(&ends, TCP, &body, (0, 0));
        self.ethernet(IPV4, &packet)
    }

    fn http(&mut self) -> Vec<u8> {
        let mut data = self.rng.pick(&TEXTS).as_bytes().to_vec();
        if self.rng.one_in(4) {
            data.insert(0, self.rng.byte());
        }
        if self.rng.one_in(3) {
            let more = self.rng.below(600);
            data.extend(std::iter::repeat_n(b'a', more));
        }
        if self.rng.one_in(5) {
            data.truncate(self.rng.below(data.len()));
        }
        if self.rng.one_in(4) {
            let ends = self.v6();
            let body = self.tcp(&ends, &[], &data);
            let packet = self.ipv6(&ends, TCP, &body);
            return self.ethernet(IPV6, &packet);
        }
        let ends = self.v4();
        let body = self.tcp(&ends, &[], &data);
        let packet = self.ipv4(&ends, TCP, &body, (0, 0));
        self.ethernet(IPV4, &packet)
    }

    fn arp(&mut self) -> Vec<u8> {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, self.rng.pick(&[1, 2])];
        body.extend(self.rng.pick(&MACS));
        body.extend(self.rng.pick(&SOURCES));
        body.extend([0; 6]);
        body.extend(self.rng.pick(&DESTS));
        body.resize(46, 0);
        self.ethernet(0x0806, &body)
    }

    fn fragment(&mut self) -> Vec<u8> {
        let (ends, protocol) = (self.v4(), self.rng.pick(&[TCP, UDP, ICMP]));
        let body = self.transport(protocol, &ends);
        let offset = self.rng.below(0x1fff) as u16 + 1;
        let field = match self.rng.below(4) {
            0 => 0x2000,
            1 => 0x2000 | offset,
            _ => offset,
        };
        let packet = self.ipv4(&ends, protocol, &body, (0, field));
        self.ethernet(IPV4, &packet)
    }

    fn tunnel(&mut self) -> Vec<u8> {
        let inner_v6 = self.rng.one_in(2);
        let inner = if inner_v6 { self.over_ipv6() } else { self.over_ipv4(UDP) };
        let (inner, protocol) = (&inner[14..], if inner_v6 { 41 } else { 4 });
        if self.rng.one_in(2) {
            let ends = self.v6();
            let packet = self.ipv6(&ends, protocol, inner);
            return self.ethernet(IPV6, &packet);
        }
        let ends = self.v4();
        let packet = self.ipv4(&ends, protocol, inner, (0, 0));
        self.ethernet(IPV4, &packet)
    }

    fn other(&mut self) -> Vec<u8> {
        let len = 46 + self.rng.below(60);
        let body = self.bytes(len);
        if self.rng.one_in(2) {
            let kind = self.rng.pick(&[0x88cc, 0x88b5, 0x8847, 0x8863, 0x0026, 0]);
            return self.ethernet(kind, &body);
        }
        let (ends, protocol) = (self.v4(), self.rng.pick(&[47, 50, 89, 112, 132, 2, 255]));
        let packet = self.ipv4(&ends, protocol, &body, (0, 0));
        self.ethernet(IPV4, &packet)
    }

    fn jumbo(&mut self) -> Vec<u8> {
        let len = 1600 + self.rng.below(7301) - 42;
        let (ends, data) = (self.v4(), self.bytes(len));
        let body = self.udp(&ends, &data);
        let packet = self.ipv4(&ends, UDP, &body, (0, 0));
        self.ethernet(IPV4, &packet)
    }

    /// A header that is wrong where programs look: version, header length, total length, offset of the payload.
    fn malformed(&mut self) -> Vec<u8> {
        let mut packet = self.any();
        let wrong = self.rng.byte();
        let at = match self.rng.below(6) {
            0 | 1 => 14,
            2 => 16 + self.rng.below(2),
            3 => 12 + self.rng.below(2),
            4 => 46,
            _ => return mutant(&packet, self.rng),
        };
        if let Some(byte) = packet.get_mut(at) {
            *byte = wrong;
        }
        packet
    }
}
