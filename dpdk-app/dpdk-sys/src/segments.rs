//! The segments of a packet behind its first, as a program sees and changes them.
//!
//! The layout is the glue's and the packet VM's. Who has one may shorten and drop segments; [`crate::Burst::store`] checks every number and pointer before it takes it over.

use std::ffi::c_void;
use std::ptr::null_mut;

/// Segments behind the first, at most.
pub const MAX_SEGMENTS: usize = 17;

/// One segment.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Its first byte of packet.
    pub data: *mut u8,
    /// Bytes of packet in it.
    pub len: u32,
    /// Bytes from `data` to the end of its buffer.
    pub room: u32,
    /// The mbuf, to be left alone.
    pub cookie: *mut c_void,
}

/// All behind the first.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Segments {
    /// How many there are.
    pub nr: u32,
    /// How many behind those were dropped.
    pub nr_released: u32,
    /// They themselves.
    pub list: [Segment; MAX_SEGMENTS],
}

impl Segments {
    /// None.
    pub const EMPTY: Self = Self {
        nr: 0,
        nr_released: 0,
        list: [Segment { data: null_mut(), len: 0, room: 0, cookie: null_mut() }; MAX_SEGMENTS],
    };
}
