//! Where programs are attached: the RX queues of the ports, and what each port offers to a program.
//!
//! What a port offers is what its driver reports, and what this application does for every packet: it redirects, and there is headroom. Times of reception are not
//! offered: devices count in ticks of their own, and programs expect nanoseconds.

use dpdk_sys::PortInfo;
use uxdp_control::session::SessionError;
use uxdp_core::vm::Needs;

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: u32 = 14;

/// An RX queue of a port.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) port: u16,
    /// The port's device.
    pub(crate) name: String,
    pub(crate) queue: u16,
    pub(crate) offers: Needs,
}

impl Input {
    /// A queue of a port whose packets come into buffers of `data_room` bytes.
    pub(crate) fn new(port: &PortInfo, queue: u16, data_room: u16) -> Self {
        let mut offers = Needs::REDIRECT.bits() | Needs::HEADROOM.bits() | Needs::METADATA.bits();
        for (offered, need) in [
            (port.offers.hash, Needs::RX_HASH),
            (port.offers.vlan, Needs::RX_VLAN_TAG),
            (port.offers.timestamp, Needs::RX_TIMESTAMP),
            (u32::from(port.mtu) + ETHERNET_HEADER > u32::from(data_room), Needs::SEVERAL_BUFFERS),
        ] {
            offers |= if offered { need.bits() } else { 0 };
        }
        Self { port: port.id, name: port.name.clone(), queue, offers: Needs::from_bits(offers) }
    }
}

/// Why programs cannot take their places.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// A place that does not exist, or that nothing was meant for.
    #[error("{0}")]
    Place(String),
    /// Programs that need what ports do not offer: a line each.
    #[error("{}", .0.join("\nl2fwd: "))]
    Unfit(Vec<String>),
    /// The operating system refuses.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] Box<SessionError>),
}
