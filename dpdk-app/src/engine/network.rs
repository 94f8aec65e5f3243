//! What programs are told of the network: the ports as interfaces, and where the user wants it the kernel's routes and neighbours.
//!
//! Interface n is port n - 1. One of the kernel's interfaces stands for a port where the driver says so (a tap device, AF_PACKET) or the user does; all others get
//! numbers that no port has, so that what is routed there is redirected nowhere and counted.

use std::io;
use std::time::Duration;

use dpdk_sys::PortInfo;
use uxdp_control::routes::{Changes, Reader};
use uxdp_core::error::{Errno, Status};
use uxdp_core::net::{Fib, Link};
use uxdp_core::sync::Arc;
use uxdp_core::vm::Env;

use super::AttachError;
use crate::args::{Args, Netdev};

/// Above the numbers of all ports.
const NO_PORT: u32 = 1 << 16;
/// Changes often come in flocks: that long is waited for more.
const FLOCK: Duration = Duration::from_millis(20);

/// Which of the kernel's interfaces stands for which port, and the ports themselves.
struct Interfaces {
    ports: Vec<(PortInfo, Option<u32>)>,
}

impl Interfaces {
    fn new(ports: &[PortInfo], netdevs: &[Netdev], reader: &mut Reader) -> Result<Self, AttachError> {
        if let Some(netdev) = netdevs.iter().find(|n| ports.iter().all(|p| p.id != n.port)) {
            let text = format!("--netdev {}={}: there is no such port", netdev.port, netdev.name);
            return Err(AttachError::Place(text));
        }
        let mut all = Vec::with_capacity(ports.len());
        for port in ports {
            let ifindex = match netdevs.iter().find(|n| n.port == port.id) {
                Some(Netdev { name, .. }) => Some(
                    reader
                        .index_of(name)
                        .map_err(|e| AttachError::Place(format!("--netdev {}={name}: {e}", port.id)))?,
                ),
                None => port.ifindex,
            };
            all.push((port.clone(), ifindex));
        }
        Ok(Self { ports: all })
    }

    /// What programs call the kernel's interface with that number.
    fn number(&self, ifindex: u32) -> u32 {
        let port = self.ports.iter().find(|(_, of_port)| *of_port == Some(ifindex));
        port.map_or(ifindex.saturating_add(NO_PORT), |(port, _)| u32::from(port.id) + 1)
    }

    /// Publishes what the kernel knows now.
    fn publish(&self, env: &Env, reader: &mut Reader) -> io::Result<()> {
        let mut fib = reader.read(&|ifindex| self.number(ifindex))?;
        for (port, _) in self.ports.iter().filter(|(_, ifindex)| ifindex.is_none()) {
            fib.set_link(of_port(port)).map_err(system)?;
        }
        env.set_network(fib.tables().map_err(|e| system(e.errno()))?).map_err(system)
    }
}

/// A port that nobody routes to.
fn of_port(port: &PortInfo) -> Link {
    let mut link = Link::forwarding(u32::from(port.id) + 1);
    (link.mtu, link.address) = (port.mtu.into(), port.mac);
    (link.forwards_v4, link.forwards_v6) = (false, false);
    link
}

fn system(errno: Errno) -> io::Error {
    io::Error::other(errno.to_string())
}

/// Publishes the ports, and with `--kernel-routes` what the kernel knows: now, and in a thread whenever it changes. What cannot be read then leaves the tables as they are,
/// and `complain` is told.
///
/// # Errors
/// An interface that does not exist; what the system refuses.
pub(super) fn publish(
    env: &Arc<Env>,
    args: &Args,
    ports: &[PortInfo],
    complain: fn(&str),
) -> Result<(), AttachError> {
    let refused = |e: io::Error| AttachError::System { action: "read the kernel's routes", source: e };
    if !args.kernel_routes {
        let mut fib = Fib::new();
        ports.iter().try_for_each(|port| fib.set_link(of_port(port))).map_err(|e| refused(system(e)))?;
        let tables = fib.tables().map_err(|e| refused(system(e.errno())))?;
        return env.set_network(tables).map_err(|e| refused(system(e)));
    }
    // Heard from before the first look, so that no change falls between.
    let changes = Changes::listen().map_err(refused)?;
    let mut reader = Reader::open().map_err(refused)?;
    match reader.policy_rules().map_err(refused)? {
        0 => {}
        n => complain(&format!(
            "{n} rules of `ip rule` are not followed: lookups ask the tables local, main and default, in this order"
        )),
    }
    let interfaces = Interfaces::new(ports, &args.netdev, &mut reader)?;
    interfaces.publish(env, &mut reader).map_err(refused)?;
    let env = env.clone();
    let follow = move || {
        loop {
            if let Err(e) = changes.wait() {
                return complain(&format!("routes are no longer followed: {e}"));
            }
            std::thread::sleep(FLOCK);
            if let Err(e) = interfaces.publish(&env, &mut reader) {
                complain(&format!("routes stay as they were: {e}"));
            }
        }
    };
    std::thread::Builder::new().name("routes".into()).spawn(follow).map_err(refused)?;
    Ok(())
}
