//! Where every atomic and every shared pointer of core comes from, so that loom can take their place.
//!
//! [`Arc`] is `alloc::sync::Arc` without weak references and with a constructor that reports a shortage of memory instead of aborting.
//! Everything else re-exports `core::sync::atomic`; tests under `--cfg loom` put loom's atomics in its place (`model`).

use crate::mem::OutOfMemory;
use core::alloc::Layout;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

#[cfg(all(loom, test))]
pub(crate) mod model;

pub use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(all(loom, test)))]
pub use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};
#[cfg(all(loom, test))]
pub use model::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};

struct Inner<T> {
    count: AtomicUsize,
    value: T,
}

/// A shared, reference-counted value, usable from any thread.
pub struct Arc<T> {
    inner: NonNull<Inner<T>>,
}

// SAFETY: as alloc::sync::Arc: shared access needs `T: Sync`, and the last owner on any thread drops the value, which needs `T: Send`.
unsafe impl<T: Send + Sync> Send for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Arc<T> {}

impl<T> Arc<T> {
    /// Moves `value` to the heap with one reference.
    ///
    /// # Errors
    /// When memory is short; `value` is dropped then.
    pub fn new(value: T) -> Result<Self, OutOfMemory> {
        // SAFETY: the layout is not of size zero: it holds a counter.
        let raw = unsafe { alloc::alloc::alloc(Layout::new::<Inner<T>>()) };
        let inner = NonNull::new(raw.cast::<Inner<T>>()).ok_or(OutOfMemory)?;
        // SAFETY: freshly allocated with that very layout, owned by nobody else.
        unsafe { inner.as_ptr().write(Inner { count: AtomicUsize::new(1), value }) };
        Ok(Arc { inner })
    }

    /// Whether both are the same value in memory.
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        a.inner == b.inner
    }

    /// The address of the value; stable while a reference lives.
    pub fn as_ptr(this: &Self) -> *const T {
        // SAFETY: this reference keeps the allocation alive. No reference is made on the way: `from_raw` goes back from the value to what stands before it.
        unsafe { &raw const (*this.inner.as_ptr()).value }
    }

    /// References at this moment; another thread may change it at once.
    pub fn strong_count(this: &Self) -> usize {
        this.inner().count.load(Ordering::Relaxed)
    }

    /// Turns the reference into an address that [`Arc::from_raw`] takes back.
    pub fn into_raw(this: Self) -> *const T {
        let p = Self::as_ptr(&this);
        core::mem::forget(this);
        p
    }

    /// Takes back a reference that [`Arc::into_raw`] gave away.
    ///
    /// # Safety
    /// `ptr` came from `into_raw` of the same type, and is taken back once.
    pub unsafe fn from_raw(ptr: *const T) -> Self {
        let offset = core::mem::offset_of!(Inner<T>, value);
        // SAFETY: the caller says that `ptr` points at the value inside an Inner<T>.
        let inner = unsafe { ptr.cast::<u8>().sub(offset).cast_mut().cast::<Inner<T>>() };
        // SAFETY: an address inside an allocation is not null.
        Arc { inner: unsafe { NonNull::new_unchecked(inner) } }
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: this reference keeps the allocation alive.
        unsafe { self.inner.as_ref() }
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        // Relaxed: a new reference is made from one that is held already, nothing is published by it.
        self.inner().count.fetch_add(1, Ordering::Relaxed);
        Arc { inner: self.inner }
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        // Release: pairs with the fence below, so that every use happens before the drop.
        if self.inner().count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire); // pairs with the Release of every other owner
        // SAFETY: the last reference is gone, so that nobody else can reach the allocation; it was made with this layout.
        unsafe {
            self.inner.as_ptr().drop_in_place();
            alloc::alloc::dealloc(self.inner.as_ptr().cast(), Layout::new::<Inner<T>>());
        }
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_reference_drops_the_value_once() {
        struct Count<'a>(&'a AtomicU32);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let drops = AtomicU32::new(0);
        let a = Arc::new(Count(&drops)).unwrap();
        let b = a.clone();
        let raw = Arc::into_raw(b);
        drop(a);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        // SAFETY: came from into_raw above.
        drop(unsafe { Arc::from_raw(raw) });
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
