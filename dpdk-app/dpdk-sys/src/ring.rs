//! A ring from any number of threads to one: what lcores hand packets over by.
//!
//! What is in a ring belongs to it: when both ends are gone, it is dropped. Nothing waits: a full ring gives back what does not fit.

use std::ffi::{CString, c_uint};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use crate::ffi::{self, RteRing};
use crate::{Eal, Error};

/// The ring itself, which lives as long as one of its ends.
#[derive(Debug)]
struct Shared<'eal, T> {
    raw: NonNull<RteRing>,
    _holds: PhantomData<(&'eal Eal, T)>,
}

// SAFETY: a DPDK ring is made for several threads; what it holds may move between them.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above; `pop` is called through the only receiver alone.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<T> Shared<'_, T> {
    /// # Safety
    /// No other thread does so at the same time.
    unsafe fn pop(&self) -> Option<T> {
        let mut record = MaybeUninit::<T>::uninit();
        // SAFETY: the ring lives and has records of this size; the only consumer by the caller's word.
        let found = unsafe {
            ffi::glue_ring_pop(self.raw.as_ptr(), record.as_mut_ptr().cast(), size_of::<T>() as c_uint)
        };
        // SAFETY: a record that `push` wrote, taken out once.
        (found != 0).then(|| unsafe { record.assume_init() })
    }
}

impl<T> Drop for Shared<'_, T> {
    fn drop(&mut self) {
        // SAFETY: both ends are gone.
        while unsafe { self.pop() }.is_some() {}
        // SAFETY: nobody uses it any more, and EAL is up as long as it is borrowed.
        unsafe { ffi::glue_ring_free(self.raw.as_ptr()) };
    }
}

/// The end that takes records in; there may be many.
#[derive(Debug)]
pub struct Sender<'eal, T>(Arc<Shared<'eal, T>>);

impl<T> Clone for Sender<'_, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The end that gives them out, in order.
#[derive(Debug)]
pub struct Receiver<'eal, T>(Arc<Shared<'eal, T>>);

/// A ring for `count - 1` records; `count` is a power of two. The size of `T` is a multiple of 4.
///
/// # Errors
/// Too little memory, or a name in use or too long.
pub fn ring<'eal, T: Send>(
    eal: &'eal Eal,
    name: &str,
    count: u32,
) -> Result<(Sender<'eal, T>, Receiver<'eal, T>), Error> {
    const { assert!(size_of::<T>() != 0 && size_of::<T>().is_multiple_of(4)) };
    let c_name = CString::new(name).map_err(|_| Error::Argument(name.to_owned()))?;
    let mut raw = null_mut();
    // SAFETY: c_name is NUL-terminated, raw is a place for the result, EAL is up.
    let code = unsafe {
        ffi::glue_ring_create(c_name.as_ptr(), size_of::<T>() as c_uint, count, eal.socket(), &raw mut raw)
    };
    match NonNull::new(raw) {
        Some(raw) if code == 0 => {
            let shared = Arc::new(Shared { raw, _holds: PhantomData });
            Ok((Sender(Arc::clone(&shared)), Receiver(shared)))
        }
        _ => Err(Error::Ring { records: count, code }),
    }
}

impl<T: Send> Sender<'_, T> {
    /// Puts a record in; a full ring gives it back.
    ///
    /// # Errors
    /// The record, where there is no room.
    #[inline]
    pub fn push(&self, record: T) -> Result<(), T> {
        let record = ManuallyDrop::new(record);
        // SAFETY: the ring lives and has records of this size; what it takes is the ring's, and not dropped here.
        let taken = unsafe {
            ffi::glue_ring_push(self.0.raw.as_ptr(), (&raw const record).cast(), size_of::<T>() as c_uint)
        };
        if taken != 0 { Ok(()) } else { Err(ManuallyDrop::into_inner(record)) }
    }
}

impl<T: Send> Receiver<'_, T> {
    /// The next record, where there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        // SAFETY: the only receiver, borrowed mutably.
        unsafe { self.0.pop() }
    }
}
