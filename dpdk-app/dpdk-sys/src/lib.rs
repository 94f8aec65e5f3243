//! DPDK for the bundled l2fwd, and nothing more of DPDK than it needs.
//!
//! Two layers. `ffi` declares the C glue (`glue/glue.c`), which is the only code that sees DPDK's structs. Above it is a safe layer
//! whose types carry DPDK's own order of things, so that the compiler refuses what DPDK would answer with a crash:
//!
//! ```text
//! Eal ── Mempool<'eal> ── Port<'pool>    a port stops and closes before its pool goes, the pool before EAL
//!                     └── Burst<'pool>   owns the mbufs in it: what leaves no other way is freed, so no mbuf is lost
//!  └── ring                              from lcores to an lcore; owns what is in it
//! ```
//!
//! A packet costs no call of its own: a [`Burst`] is received, read into the caller's records, written back, sent and freed whole.
//!
//! It leaves to others what a packet means. Drivers are not linked: EAL loads them from DPDK's plugin folder, or by `-d`.

mod burst;
mod eal;
mod error;
mod ffi;
mod mempool;
mod port;
mod ring;
mod segments;
#[cfg(test)]
mod tests;

pub use burst::{BURST, Burst, Changes, Frame, FrameHead, Mbuf, Refusals, RxMeta};
pub use eal::{Eal, Job, pause, version};
pub use error::Error;
pub use mempool::{InUse, Mempool};
pub use port::{Descriptors, Offers, Port, PortInfo, PortStats, Setup, port_by_name};
pub use ring::{Receiver, Sender, ring};
pub use segments::{MAX_SEGMENTS, Segment, Segments};
