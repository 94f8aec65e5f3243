//! What programs are told of the network where nobody says more.

use super::SessionError;
use uxdp_core::error::Status;
use uxdp_core::net::{Fib, Link};
use uxdp_core::vm::Env;

/// Interfaces that programs may ask routes for: more ports than a machine has.
const INTERFACES: u32 = 64;

/// What programs are told of the network: interfaces that do not forward, as a machine is before it is made a router. Every question for a route ends with
/// `BPF_FIB_LKUP_RET_FWD_DISABLED`, and packets are left to the host.
///
/// # Errors
/// Where memory is short.
pub fn publish_network(env: &Env) -> Result<(), SessionError> {
    let fail = |error| SessionError::Machine { what: "cannot describe the network".into(), error };
    let mut fib = Fib::default();
    for ifindex in 1..=INTERFACES {
        let link = Link { forwards_v4: false, forwards_v6: false, ..Link::forwarding(ifindex) };
        fib.set_link(link).map_err(fail)?;
    }
    env.set_network(fib.tables().map_err(|e| fail(e.errno()))?).map_err(fail)
}
