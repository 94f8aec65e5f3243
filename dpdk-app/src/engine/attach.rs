//! Where programs are attached: the RX queues of the ports, and what each port offers to a program.
//!
//! What a port offers is what its driver reports, and what this application does for every packet: it sends and redirects, for every port has a TX queue, and there is
//! headroom. Its MTU is stated beside the size of a packet buffer. Times of reception are offered where the driver's unit is known.

use dpdk_sys::PortInfo;
use uxdp_control::session::SessionError;
use uxdp_core::vm::{Mtu, Needs, Offers};

/// An RX queue of a port.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) port: u16,
    /// The port's device.
    pub(crate) name: String,
    pub(crate) queue: u16,
    pub(crate) offers: Offers,
}

impl Input {
    /// A queue of a port whose packets come into buffers of `data_room` bytes.
    pub(crate) fn new(port: &PortInfo, queue: u16, data_room: u16) -> Self {
        let mut can = Needs::TX.with(Needs::REDIRECT).with(Needs::HEADROOM).with(Needs::METADATA);
        for (offered, need) in [
            (port.offers.hash, Needs::RX_HASH),
            (port.offers.vlan, Needs::RX_VLAN_TAG),
            (port.offers.timestamp, Needs::RX_TIMESTAMP),
        ] {
            can = if offered { can.with(need) } else { can };
        }
        let mtu = Mtu { bytes: u32::from(port.mtu), buffer: u32::from(data_room) };
        let offers = Offers { can: Some(can), mtu: Some(mtu) };
        Self { port: port.id, name: port.name.clone(), queue, offers }
    }
}

/// Why programs cannot take their places.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// A place that does not exist, or that nothing was meant for.
    #[error("{0}")]
    Place(String),
    /// Programs that need what ports do not offer, and the sizes of ports where it is for them: a line each.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_offers_to_send_and_says_what_its_driver_and_the_pool_say() {
        let device = dpdk_sys::Offers { hash: true, vlan: false, scatter: true, timestamp: false };
        let port = PortInfo {
            id: 1,
            name: "net_null1".into(),
            driver: "net_null".into(),
            mac: [0; 6],
            socket: None,
            rx_queues: 1,
            mtu: 9000,
            ifindex: None,
            offers: device,
        };
        let Offers { can, mtu } = Input::new(&port, 0, 2048).offers;
        let can = can.unwrap_or_default();
        let offered = [Needs::TX, Needs::REDIRECT, Needs::HEADROOM, Needs::METADATA, Needs::RX_HASH];
        assert!(offered.iter().all(|need| can.contains(*need)));
        assert!(!can.contains(Needs::RX_VLAN_TAG) && !can.contains(Needs::RX_TIMESTAMP));
        assert_eq!(mtu, Some(Mtu { bytes: 9000, buffer: 2048 }));
    }
}
