//! Maps: typed tables that programs and the control plane use at once.
//!
//! A map is two things. The private side ([`Map`]) is trusted: it has pointers and a checked copy of all geometry. The memory side is shareable and
//! untrusted: offsets only. An address of a [`Map`] is what a program's map pointer is.

pub mod spec;

pub use spec::{MapSpec, MapType};

use crate::mem::String;

/// One map, private side.
#[derive(Debug)]
pub struct Map {
    spec: MapSpec,
    name: String,
    id: u32,
}

/// Where the elements of an array-like map are, for code that addresses them directly.
///
/// The value of element `i` is at `base + i * stride`, for a per-CPU array at `base + slot * cpu_stride + i * stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayGeometry {
    /// Address of the first element (of slot 0).
    pub base: usize,
    /// Bytes from an element to the next, a multiple of 8.
    pub stride: u32,
    /// Elements.
    pub max_entries: u32,
    /// Bytes from a slot's elements to the next slot's; 0 where all slots share them.
    pub cpu_stride: usize,
}

impl Map {
    /// Its type, sizes and flags.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number in the environment that made it, from 1.
    pub fn id(&self) -> u32 {
        self.id
    }
}
