//! A pool of packet buffers, and the question that shows every leak: are they all home?

use std::ffi::CString;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

use crate::ffi::{self, RteMempool};
use crate::{Burst, Eal, Error};

/// DPDK's largest per-lcore cache.
const MAX_CACHE: u32 = 512;
const WANTED_CACHE: u32 = 256;

/// A pool of packet buffers of one size. It lives as long as EAL unless [`Mempool::free`] ends it.
#[derive(Debug)]
pub struct Mempool<'eal> {
    raw: NonNull<RteMempool>,
    _eal: PhantomData<&'eal Eal>,
}

// SAFETY: a DPDK pool gives and takes buffers on any thread; what ends it takes the pool by value.
unsafe impl Sync for Mempool<'_> {}

/// Buffers that are not in their pool although nothing in this process should hold any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} packet buffers did not come back to their pool")]
pub struct InUse(pub u32);

impl<'eal> Mempool<'eal> {
    /// Makes a pool of `mbufs` buffers with `data_room` bytes behind DPDK's headroom, on the main lcore's NUMA node.
    ///
    /// # Errors
    /// Too little memory, a name in use or longer than 25 bytes, `data_room` plus headroom above 65535.
    pub fn new(eal: &'eal Eal, name: &str, mbufs: u32, data_room: u16) -> Result<Self, Error> {
        let c_name = CString::new(name).map_err(|_| Error::Argument(name.to_owned()))?;
        // DPDK wants one and a half caches to fit.
        let cache = WANTED_CACHE.min(MAX_CACHE).min(mbufs * 2 / 3);
        let mut raw = null_mut();
        // SAFETY: c_name is NUL-terminated, raw is a place for the result, EAL is up.
        let code = unsafe {
            ffi::glue_mempool_create(c_name.as_ptr(), mbufs, cache, data_room, eal.socket(), &raw mut raw)
        };
        match NonNull::new(raw) {
            Some(raw) if code == 0 => Ok(Self { raw, _eal: PhantomData }),
            _ => Err(Error::Mempool { mbufs, code }),
        }
    }

    /// How many buffers it was made with.
    pub fn size(&self) -> u32 {
        // SAFETY: raw is a live pool.
        unsafe { ffi::glue_mempool_size(self.raw.as_ptr()) }
    }

    /// Buffers at home, those in the caches of lcores included.
    pub fn available(&self) -> u32 {
        // SAFETY: raw is a live pool.
        unsafe { ffi::glue_mempool_available(self.raw.as_ptr()) }
    }

    /// Buffers out: in bursts, in rings of ports, or lost.
    pub fn in_use(&self) -> u32 {
        // SAFETY: raw is a live pool.
        unsafe { ffi::glue_mempool_in_use(self.raw.as_ptr()) }
    }

    /// Fills `burst` up with new, empty packets; all or nothing.
    ///
    /// # Errors
    /// The pool has too few left.
    pub fn fill<'pool>(&'pool self, burst: &mut Burst<'pool>, n: usize) -> Result<(), InUse> {
        burst.append_with(n, |slots| {
            // SAFETY: slots has room for n pointers; raw is a live pool.
            let ret = unsafe { ffi::glue_alloc_bulk(self.raw.as_ptr(), slots.as_mut_ptr().cast(), n as u32) };
            if ret == 0 { n } else { 0 }
        });
        if burst.len() >= n { Ok(()) } else { Err(InUse(self.in_use())) }
    }

    /// Frees the pool if every buffer is home. Its ports and bursts are gone by then: they borrow it.
    ///
    /// # Errors
    /// Some are not. The pool then stays until EAL ends, since whoever holds them may still write to them.
    pub fn free(self) -> Result<(), InUse> {
        match self.in_use() {
            0 => {
                // SAFETY: no port draws from it and no burst holds one of its buffers (borrow), nor does anything else (count).
                unsafe { ffi::glue_mempool_free(self.raw.as_ptr()) };
                Ok(())
            }
            lost => Err(InUse(lost)),
        }
    }

    pub(crate) fn raw(&self) -> *mut RteMempool {
        self.raw.as_ptr()
    }
}
