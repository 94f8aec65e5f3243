//! What a port offers to programs, as its host says, and what it lacks for one.

use super::Needs;
use core::fmt;

/// Bytes of an Ethernet header, which an MTU leaves out.
const ETHERNET_HEADER: u32 = 14;

/// What a host says of a port. By default nothing, and every program fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// What it offers, whole: what is not in it is not there. [`Needs::SEVERAL_BUFFERS`] says that packets may come in several buffers, whatever `mtu` says.
    pub can: Option<Needs>,
    /// How large its packets get.
    pub mtu: Option<Mtu>,
}

impl From<Needs> for Offers {
    /// A port that offers this, of whose MTU nothing is said.
    fn from(can: Needs) -> Offers {
        Offers { can: Some(can), mtu: None }
    }
}

impl Offers {
    /// What it lacks for a program with these needs.
    pub fn missing(&self, program: Needs) -> Missing {
        let needs = self.can.map_or(Needs::default(), |can| can.missing(program));
        // Kernel: drivers refuse a program without `xdp.frags` on a device whose MTU does not fit a buffer; uxdp: so does a hook whose host states both.
        let mtu = self.mtu.filter(|mtu| !mtu.fits() && program.contains(Needs::SEVERAL_BUFFERS));
        let buffers = if mtu.is_some() { Needs::SEVERAL_BUFFERS } else { Needs::default() };
        Missing { needs: needs.with(buffers), mtu }
    }
}

/// The largest packets of a port, and its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtu {
    /// Bytes of the largest packet, without its Ethernet header.
    pub bytes: u32,
    /// Bytes of a packet that a buffer holds, the Ethernet header included and headroom not.
    pub buffer: u32,
}

impl Mtu {
    /// Bytes of the largest packet with its Ethernet header.
    pub const fn frame(self) -> u32 {
        self.bytes.saturating_add(ETHERNET_HEADER)
    }

    /// Whether the largest packet fits one buffer.
    pub const fn fits(self) -> bool {
        self.frame() <= self.buffer
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Mtu { bytes, buffer }, frame) = (*self, self.frame());
        write!(f, "an MTU of {bytes} makes frames of {frame} bytes, and a buffer holds {buffer}")
    }
}

/// What a port does not have for a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// All of it.
    pub needs: Needs,
    /// The sizes, where it is for them that packets come in several buffers.
    pub mtu: Option<Mtu>,
}

impl Missing {
    /// Whether nothing is.
    pub const fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }
}

impl fmt::Display for Missing {
    /// The names, with commas, and the sizes at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.needs.fmt(f)?;
        self.mtu.map_or(Ok(()), |mtu| write!(f, ": {mtu}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_without_frags_lacks_a_buffer_that_the_mtu_fits() {
        let whole = Needs::SEVERAL_BUFFERS;
        let port = |bytes, buffer| Offers { can: None, mtu: Some(Mtu { bytes, buffer }) };
        assert!(port(1500, 1514).missing(whole).is_empty());
        assert!(port(1500, 1513).missing(Needs::default()).is_empty(), "a program of xdp.frags");
        assert_eq!(port(1500, 1513).missing(whole).needs, Needs::SEVERAL_BUFFERS);
        assert!(!port(u32::MAX, u32::MAX - 1).missing(whole).is_empty());
        let said = std::format!("{}", port(9000, 2048).missing(whole.with(Needs::TX)));
        let sizes = "an MTU of 9000 makes frames of 9014 bytes, and a buffer holds 2048";
        assert_eq!(said, std::format!("packets in one buffer (no xdp.frags): {sizes}"));
        // Small packets may come in several buffers all the same, where the host says so; then no size is to blame.
        let split = Offers { can: Some(Needs::SEVERAL_BUFFERS), ..port(1500, 2048) };
        assert_eq!(std::format!("{}", split.missing(whole)), "packets in one buffer (no xdp.frags)");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let port = Offers { can: Some(Needs::REDIRECT), mtu: Some(Mtu { bytes: 9000, buffer: 4096 }) };
        let program = Needs::TX.with(Needs::RX_HASH).with(Needs::REDIRECT).with(Needs::SEVERAL_BUFFERS);
        let said = std::format!("{}", port.missing(program));
        assert!(
            said.starts_with("tx, rx_hash, packets in one buffer (no xdp.frags): an MTU of 9000"),
            "{said}"
        );
        assert!(Offers::default().missing(program).is_empty());
    }
}
