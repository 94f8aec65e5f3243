//! Interfaces that packets of a test run can come in by: a network of this thread's own, with a veth pair.
//!
//! A test run takes the interface from its context only where that has a receive queue that XDP knows, which a veth has once a program is attached.

use crate::object::Object;
use anyhow::{Result, bail};
use libbpf_sys as bpf;
use std::path::Path;
use std::process::{Command, Stdio};

/// The interface that stands for a second port, beside the loopback.
pub const SECOND: u32 = 2;

/// A network of the calling thread's own, with the loopback (1) and a veth pair (2, 3); it is gone with the thread.
pub struct Ports {
    _attached: Object,
}

impl Ports {
    /// Leaves the thread's network for a new one. `pass` is an object whose program passes everything.
    ///
    /// # Errors
    /// Where the machine does not let us.
    pub fn make(pass: &Path) -> Result<Ports> {
        // SAFETY: takes plain numbers; only this thread's network changes.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            bail!("no network of our own: {}", std::io::Error::last_os_error());
        }
        for line in [
            "link set lo up",
            "link add uxdp2 index 2 type veth peer name uxdp3 index 3",
            "link set uxdp2 up",
            "link set uxdp3 up",
        ] {
            // The child is of this thread's network.
            let done = Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).status();
            if !done.is_ok_and(|s| s.success()) {
                bail!("ip {line}: refused");
            }
        }
        let object = Object::load(pass)?;
        let program = object.program("xdp_pass")?;
        for ifindex in [SECOND, SECOND + 1] {
            // SAFETY: takes plain numbers.
            if unsafe { bpf::bpf_xdp_attach(ifindex as i32, program, 0, std::ptr::null()) } != 0 {
                bail!("a program cannot be attached to interface {ifindex}");
            }
        }
        Ok(Ports { _attached: object })
    }
}
