//! The rest of a multi-buffer packet: fragments behind the first buffer, in order.
//!
//! A host fills [`Frags`] and points [`super::Ctx::frags`] to it; helpers shorten, grow and drop fragments there. What a program dropped stands behind the
//! [`Frags::nr`] that are left, [`Frags::nr_released`] of them, for the host to free.
//!
//! Invariant: no number here is believed further than its array goes; the pointers are the host's word.

use core::ffi::c_void;
use core::marker::PhantomData;

/// Most fragments of a packet: the kernel's `MAX_SKB_FRAGS`.
pub const MAX_FRAGS: usize = 17;

/// One fragment.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Frag {
    /// Its first byte.
    pub data: *mut u8,
    /// Bytes of packet in it.
    pub len: u32,
    /// Bytes from `data` on that it may grow to; below `len`: nobody knows, and it cannot grow.
    pub room: u32,
    /// The host's own, for example its mbuf; never touched.
    pub cookie: *mut c_void,
}

impl Frag {
    /// None.
    pub const EMPTY: Frag =
        Frag { data: core::ptr::null_mut(), len: 0, room: 0, cookie: core::ptr::null_mut() };
}

/// All fragments of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Frags {
    /// How many there are.
    pub nr: u32,
    /// Out: how many behind those the program dropped.
    pub nr_released: u32,
    /// They themselves.
    pub frags: [Frag; MAX_FRAGS],
}

impl Frags {
    /// No fragments.
    pub const EMPTY: Frags = Frags { nr: 0, nr_released: 0, frags: [Frag::EMPTY; MAX_FRAGS] };

    /// Those that are left.
    pub fn live(&self) -> &[Frag] {
        self.frags.get(..self.nr as usize).unwrap_or(&self.frags)
    }

    /// Those that are left, to be changed.
    pub(crate) fn live_mut(&mut self) -> &mut [Frag] {
        let n = (self.nr as usize).min(MAX_FRAGS);
        self.frags.get_mut(..n).unwrap_or_default()
    }

    /// Those that the program dropped.
    pub fn released(&self) -> &[Frag] {
        let start = (self.nr as usize).min(MAX_FRAGS);
        let end = start.saturating_add(self.nr_released as usize).min(MAX_FRAGS);
        self.frags.get(start..end).unwrap_or_default()
    }

    /// Bytes of packet in them.
    pub fn len(&self) -> u64 {
        self.live().iter().map(|f| u64::from(f.len)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nr == 0
    }

    /// The first `n` are dropped: they go behind those that are left.
    pub(crate) fn release_first(&mut self, n: usize) {
        let live = self.live_mut();
        live.rotate_left(n.min(live.len()));
        self.release_last(n);
    }

    /// The last `n` are dropped.
    pub(crate) fn release_last(&mut self, n: usize) {
        self.nr = self.nr.min(MAX_FRAGS as u32).saturating_sub(n as u32);
        self.nr_released += n as u32;
    }
}

/// The rest of a packet in slices, for hosts without `unsafe`.
#[derive(Debug)]
pub struct Chain<'a> {
    pub(super) frags: Frags,
    _buffers: PhantomData<&'a mut [u8]>,
}

impl<'a> Chain<'a> {
    /// No fragments.
    pub const fn new() -> Self {
        Chain { frags: Frags::EMPTY, _buffers: PhantomData }
    }

    /// Adds the first `len` bytes of a buffer; those behind are room to grow. Whether there was place for it.
    pub fn push(&mut self, buffer: &'a mut [u8], len: usize) -> bool {
        let (Some(place), Ok(room)) =
            (self.frags.frags.get_mut(self.frags.nr as usize), u32::try_from(buffer.len()))
        else {
            return false;
        };
        if len > buffer.len() || self.frags.nr_released != 0 {
            return false;
        }
        *place = Frag { data: buffer.as_mut_ptr(), len: len as u32, room, cookie: core::ptr::null_mut() };
        self.frags.nr += 1;
        true
    }

    /// The fragments that are left.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.frags.live().iter().map(|f| {
            // SAFETY: `push` took the bytes of a buffer that is borrowed for as long as the chain; helpers keep every fragment within its buffer.
            unsafe { core::slice::from_raw_parts(f.data, f.len as usize) }
        })
    }
}

impl Default for Chain<'_> {
    fn default() -> Self {
        Chain::new()
    }
}
