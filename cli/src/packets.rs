//! Packets in and out: capture files of both formats, raw bytes, digits.

use anyhow::{Context, Result, bail};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

/// One packet of a capture.
pub(crate) struct Packet {
    pub(crate) time: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// Reads all packets of a pcap or pcapng file.
pub(crate) fn read_capture(path: &Path) -> Result<Vec<Packet>> {
    let name = path.display();
    let mut file = BufReader::new(File::open(path).with_context(|| format!("cannot open {name}"))?);
    let mut magic = [0; 4];
    file.read_exact(&mut magic).with_context(|| format!("{name} is too short for a capture"))?;
    let source = magic.as_slice().chain(file);
    let packets = match magic {
        [0x0a, 0x0d, 0x0d, 0x0a] => read_pcapng(source),
        _ => read_pcap(source),
    };
    packets.with_context(|| format!("{name} is not a readable capture of Ethernet frames"))
}

fn read_pcap(source: impl Read) -> Result<Vec<Packet>> {
    let mut reader = PcapReader::new(source)?;
    ethernet(reader.header().datalink)?;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet?;
        packets.push(Packet { time: packet.timestamp, bytes: packet.data.into_owned() });
    }
    Ok(packets)
}

fn read_pcapng(source: impl Read) -> Result<Vec<Packet>> {
    let mut reader = PcapNgReader::new(source)?;
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        let (time, data) = match block? {
            Block::InterfaceDescription(i) => {
                ethernet(i.linktype)?;
                continue;
            }
            Block::EnhancedPacket(p) => (p.timestamp, p.data.into_owned()),
            Block::SimplePacket(p) => (Duration::ZERO, p.data.into_owned()),
            _ => continue,
        };
        packets.push(Packet { time, bytes: data });
    }
    Ok(packets)
}

fn ethernet(link: DataLink) -> Result<()> {
    if link != DataLink::ETHERNET {
        bail!("its link type is {link:?}; XDP programs take Ethernet frames");
    }
    Ok(())
}

/// A capture file being written; made when it is opened, so that it exists even if no packet goes there.
pub(crate) struct Capture(PcapWriter<BufWriter<File>>);

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let header = PcapHeader { datalink: DataLink::ETHERNET, ..PcapHeader::default() };
        Ok(Capture(PcapWriter::with_header(BufWriter::new(file), header)?))
    }

    pub(crate) fn write(&mut self, time: Duration, bytes: &[u8]) -> Result<()> {
        self.0.write_packet(&PcapPacket {
            timestamp: time,
            orig_len: bytes.len() as u32,
            data: Cow::Borrowed(bytes),
        })?;
        Ok(())
    }

    /// Writes what is buffered; an error that `drop` would swallow is seen here.
    pub(crate) fn finish(self) -> Result<()> {
        self.0.into_writer().flush()?;
        Ok(())
    }
}

/// The bytes of `--data-in`: `hex:…`, `-` or a file.
pub(crate) fn read_raw(what: &str) -> Result<Vec<u8>> {
    if let Some(digits) = what.strip_prefix("hex:") {
        let digits: Vec<u8> = digits.bytes().filter(|b| !matches!(b, b' ' | b':')).collect();
        let pair = |p: &[u8]| std::str::from_utf8(p).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        return digits
            .chunks(2)
            .map(|p| if p.len() == 2 { pair(p) } else { None })
            .collect::<Option<Vec<u8>>>()
            .context("hex: takes pairs of hexadecimal digits");
    }
    let mut bytes = Vec::new();
    if what == "-" {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        File::open(what)
            .and_then(|mut f| f.read_to_end(&mut bytes))
            .with_context(|| format!("cannot read {what}"))?;
    }
    Ok(bytes)
}

/// What `bench` runs over when nothing is given.
pub(crate) fn sample() -> Vec<Packet> {
    let bytes = uxdp_control::sample::packets();
    bytes.into_iter().map(|bytes| Packet { time: Duration::ZERO, bytes }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block of a pcapng file.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (12 + body.len().next_multiple_of(4)) as u32;
        let mut out: Vec<u8> = [kind.to_le_bytes(), len.to_le_bytes()].concat();
        out.extend(body);
        out.resize(len as usize - 4, 0);
        out.extend(len.to_le_bytes());
        out
    }

    fn pcapng(link: u16) -> Vec<u8> {
        let mut section = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
        section.extend([0xff; 8]);
        let interface = [&link.to_le_bytes()[..], &[0, 0, 0xff, 0xff, 0, 0]].concat();
        let mut packet = vec![0; 12];
        packet.extend(5u32.to_le_bytes());
        packet.extend(5u32.to_le_bytes());
        packet.extend([1, 2, 3, 4, 5]);
        [block(0x0a0d_0d0a, &section), block(1, &interface), block(6, &packet)].concat()
    }

    #[test]
    fn pcapng_gives_its_packets() {
        let packets = read_pcapng(&pcapng(1)[..]).unwrap();
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].bytes, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn captures_of_other_links_are_refused() {
        assert!(read_pcapng(&pcapng(101)[..]).is_err());
    }

    #[test]
    fn digits_may_have_blanks_and_colons_between() {
        assert_eq!(read_raw("hex:0a0B 0c:0d").unwrap(), [10, 11, 12, 13]);
        for wrong in ["hex:0", "hex:0g", "hex:é"] {
            assert!(read_raw(wrong).is_err(), "{wrong}");
        }
    }
}
