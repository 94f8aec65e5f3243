//! Why memory was not taken for a map, or a map not made for several processes.

use super::MapType;
use crate::error::{Errno, Status};
use core::fmt;

/// Why a map was not attached, or could not be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// No header of ours.
    Magic,
    /// Its maker has not finished, or died before it had.
    Unready,
    /// A version of the layout that this library does not know.
    Version(u32),
    /// A hash that this library does not know.
    HashId(u32),
    /// A number that is no map type.
    Kind(u32),
    /// Fewer bytes than the header says, or than its sizes need.
    Truncated {
        /// Bytes that there are.
        have: usize,
        /// Bytes that are needed.
        need: u64,
    },
    /// A field of the header that does not follow from the others.
    Field(&'static str),
    /// The memory is not aligned as the map needs.
    Alignment(usize),
    /// Per-CPU slots of the map and of the environment.
    Cpus(u32, u32),
    /// The page sizes of the map's and of this machine.
    PageSize(u32, u32),
    /// The map's processes are of another PID namespace, where their end cannot be seen.
    Realm,
    /// No slot for another process is free.
    NoSlot,
    /// The platform cannot tell processes apart.
    NoProcesses,
    /// The memory for a new map holds something.
    Occupied,
    /// The type keeps references of one process.
    References(MapType),
    /// What the map has belongs to one process; the name of it.
    Private(MapType, &'static str),
}

impl Status for AttachError {
    fn errno(&self) -> Errno {
        match self {
            AttachError::Magic
            | AttachError::Kind(_)
            | AttachError::Truncated { .. }
            | AttachError::Field(_) => Errno::EPROTO,
            AttachError::Unready => Errno::EAGAIN,
            AttachError::Alignment(_)
            | AttachError::Cpus(..)
            | AttachError::PageSize(..)
            | AttachError::Realm => Errno::EINVAL,
            AttachError::NoSlot => Errno::EBUSY,
            AttachError::Occupied => Errno::EEXIST,
            AttachError::Version(_)
            | AttachError::HashId(_)
            | AttachError::NoProcesses
            | AttachError::References(_)
            | AttachError::Private(..) => Errno::EOPNOTSUPP,
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            AttachError::Magic => f.write_str("no map is there"),
            AttachError::Unready => f.write_str("the map is not finished"),
            AttachError::Version(n) => {
                write!(f, "the map has layout version {n}, which this library does not know")
            }
            AttachError::HashId(n) => write!(f, "the map has hash {n}, which this library does not know"),
            AttachError::Kind(n) => write!(f, "map type {n} is unknown"),
            AttachError::Truncated { have, need } => {
                write!(f, "the map needs {need} bytes of memory, {have} are there")
            }
            AttachError::Field(name) => write!(f, "the map's header is malformed: {name}"),
            AttachError::Alignment(n) => write!(f, "the map's memory has to be aligned to {n} bytes"),
            AttachError::Cpus(map, env) => write!(f, "the map has {map} CPUs, the environment {env}"),
            AttachError::PageSize(map, here) => {
                write!(f, "the map has pages of {map} bytes, this machine of {here}")
            }
            AttachError::Realm => f.write_str("the map is of processes in another PID namespace"),
            AttachError::NoSlot => f.write_str("all of the map's slots are held by other processes"),
            AttachError::NoProcesses => {
                f.write_str("the platform cannot tell processes apart, which sharing a map needs")
            }
            AttachError::Occupied => f.write_str("the memory for the map is not zeroed"),
            AttachError::References(kind) => {
                write!(
                    f,
                    "map type {} cannot be shared: its entries are references of one process",
                    kind.name()
                )
            }
            AttachError::Private(kind, what) => {
                write!(f, "this {} cannot be shared: {what} belongs to one process", kind.name())
            }
        }
    }
}
