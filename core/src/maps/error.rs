//! Why a map cannot be made. Operations on a map that exists return the kernel's [`Errno`] itself.

use super::{AttachError, MapType};
use crate::error::{Errno, Status};
use crate::mem::OutOfMemory;
use core::fmt;

/// Why a map was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The type is none that this version makes.
    Type(MapType),
    /// A key size that the type cannot have.
    KeySize(MapType, u32),
    /// A value size that the type cannot have.
    ValueSize(MapType, u32),
    /// A value, or a key with its value, beyond the kernel's limit.
    ElementTooBig {
        /// Its type.
        kind: MapType,
        /// Bytes of the key.
        key_size: u32,
        /// Bytes of the value.
        value_size: u32,
    },
    /// No entries at all.
    NoEntries(MapType),
    /// More entries than the type can have.
    TooManyEntries(MapType, u32),
    /// Flags that the type does not know, or that exclude each other.
    Flags(MapType, u32),
    /// BPF_F_NO_PREALLOC with an LRU, whose elements always exist.
    LruPrealloc(MapType),
    /// A ring that is not a power of two of at least a page.
    RingSize(MapType, u32),
    /// A number in `map_extra` that the type does not know.
    Extra(MapType, u64),
    /// A map of maps without a template.
    NoInner(MapType),
    /// A template that is a map of maps itself.
    Nested(MapType),
    /// A template of a type that cannot stand in a map of maps.
    NoInnerKind(MapType),
    /// Its size does not fit an address.
    SizeOverflow(MapType),
    /// The environment's numbers are impossible: no CPU, fewer writer slots than CPUs, a page size that is no power of two.
    Config,
    /// The memory that was given holds no map of ours, or the map cannot be shared.
    Attach(AttachError),
    /// The memory could not be had; bytes that were asked for.
    Memory(usize),
    /// The private side could not be had.
    OutOfMemory,
}

impl Status for MapError {
    fn errno(&self) -> Errno {
        match self {
            MapError::Type(_) => Errno::EOPNOTSUPP,
            MapError::LruPrealloc(_) => Errno::ENOTSUPP,
            MapError::KeySize(..)
            | MapError::ValueSize(..)
            | MapError::NoEntries(_)
            | MapError::Flags(..)
            | MapError::Extra(..)
            | MapError::RingSize(..)
            | MapError::Nested(_)
            | MapError::Config => Errno::EINVAL,
            MapError::ElementTooBig { .. } | MapError::TooManyEntries(..) | MapError::SizeOverflow(_) => {
                Errno::E2BIG
            }
            MapError::Attach(why) => why.errno(),
            MapError::NoInner(_) => Errno::EBADF,
            MapError::NoInnerKind(_) => Errno::ENOTSUPP,
            MapError::Memory(_) | MapError::OutOfMemory => Errno::ENOMEM,
        }
    }
}

impl From<AttachError> for MapError {
    fn from(why: AttachError) -> Self {
        MapError::Attach(why)
    }
}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> Self {
        MapError::OutOfMemory
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MapError::Type(kind) => write!(f, "map type {} is not supported in this version", kind.name()),
            MapError::KeySize(kind, n) => write!(f, "key size {n} is invalid for map type {}", kind.name()),
            MapError::ValueSize(kind, n) => {
                write!(f, "value size {n} is invalid for map type {}", kind.name())
            }
            MapError::ElementTooBig { kind, key_size, value_size } => {
                write!(
                    f,
                    "key size {key_size} with value size {value_size} is too big for map type {}",
                    kind.name()
                )
            }
            MapError::NoEntries(kind) => write!(f, "map type {} needs max_entries above 0", kind.name()),
            MapError::TooManyEntries(kind, n) => {
                write!(f, "max_entries {n} is too many for map type {}", kind.name())
            }
            MapError::Flags(kind, flags) => {
                write!(f, "map flags {flags:#x} are invalid for map type {}", kind.name())
            }
            MapError::LruPrealloc(kind) => {
                write!(f, "BPF_F_NO_PREALLOC is invalid for map type {}", kind.name())
            }
            MapError::Extra(kind, n) => write!(f, "map_extra {n:#x} is invalid for map type {}", kind.name()),
            MapError::RingSize(kind, n) => {
                write!(f, "max_entries {n} of map type {} must be a power of two of whole pages", kind.name())
            }
            MapError::NoInner(kind) => write!(f, "map type {} needs an inner map", kind.name()),
            MapError::Nested(kind) => {
                write!(f, "map type {} cannot be an inner map: one level of nesting only", kind.name())
            }
            MapError::NoInnerKind(kind) => write!(f, "map type {} cannot be an inner map", kind.name()),
            MapError::SizeOverflow(kind) => {
                write!(f, "the size of this {} exceeds the address space", kind.name())
            }
            MapError::Config => {
                f.write_str("invalid environment: CPUs, writer slots or page size make no sense for a map")
            }
            MapError::Attach(why) => why.fmt(f),
            MapError::Memory(bytes) => write!(f, "cannot allocate {bytes} bytes of map memory"),
            MapError::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl core::error::Error for MapError {}
