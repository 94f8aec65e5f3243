//! Linux as the judge: the same object, the same packets and the same map contents there and here, compared byte by byte.
//!
//! [`judge`] runs packets through `BPF_PROG_TEST_RUN` and through engines, in lockstep: after each packet, the action, the packet, its metadata and the records that
//! came out are compared; after the last, the contents of maps. What a test run cannot judge is left out by [`Masks`] and by the rules in `docs/testing.md`; every
//! [`Report`] names the masks that it used.
//!
//! Relies on libbpf (libbpf-sys, vendored) and on bpf(2), which [`can_ask`] tries. Both sides have one CPU: the calling thread is pinned to CPU 0, and engines run as
//! worker 0.

mod compare;
mod fields;
mod judge;
mod masks;
mod object;
mod ours;
mod ports;
mod records;

pub use compare::{Difference, Outcome};
pub use fields::differing_fields;
pub use judge::{Case, Input, Report, judge};
pub use masks::Masks;
pub use object::can_ask;
pub use ports::{Ports, SECOND};
