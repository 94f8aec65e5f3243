//! What DPDK refused, in its own words: every failure keeps the errno value and says what was tried.

use std::ffi::CStr;

use crate::ffi;

/// A call that DPDK refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// EAL did not start; what it printed says more than its errno value.
    #[error("EAL does not start: {}", describe(*.0))]
    Eal(i32),
    /// EAL starts once in the life of a process.
    #[error("EAL was started before: it starts once in the life of a process")]
    EalTwice,
    /// An EAL argument with a NUL byte inside.
    #[error("EAL argument {0:?} has a NUL byte in it")]
    Argument(String),
    /// A pool of packet buffers was not made.
    #[error("no memory pool of {mbufs} packet buffers: {}", describe(*.code))]
    Mempool {
        /// How many buffers were asked for.
        mbufs: u32,
        /// A negative errno value.
        code: i32,
    },
    /// A ring was not made.
    #[error("no ring of {records} records: {}", describe(*.code))]
    Ring {
        /// How many records were asked for.
        records: u32,
        /// A negative errno value.
        code: i32,
    },
    /// An lcore does not take a job.
    #[error("lcore {lcore} does not start: {}", describe(*.code))]
    Lcore {
        /// Its number.
        lcore: u32,
        /// A negative errno value.
        code: i32,
    },
    /// A call about one port.
    #[error("port {port}: cannot {action}: {}", describe(*.code))]
    Port {
        /// The port.
        port: u16,
        /// What was tried, as a verb.
        action: &'static str,
        /// A negative errno value.
        code: i32,
    },
    /// No port has this name.
    #[error("no port is called {0:?}")]
    NoSuchPort(String),
}

/// DPDK's text for a negative errno value.
fn describe(code: i32) -> String {
    // SAFETY: rte_strerror takes any number and returns a NUL-terminated string in memory of the calling thread.
    unsafe { CStr::from_ptr(ffi::glue_strerror(code.abs())) }.to_string_lossy().into_owned()
}

/// Turns the glue's convention (negative is an errno value) into a result.
pub(crate) fn check(port: u16, action: &'static str, ret: i32) -> Result<(), Error> {
    if ret < 0 { Err(Error::Port { port, action, code: ret }) } else { Ok(()) }
}
