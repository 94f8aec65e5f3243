//! References that a map's entries own: a private array of pointers beside what stands in map memory.
//!
//! A run-path reader loads one pointer (Acquire) and may use it until its next quiescent point. Who replaces an entry gets the old reference back and drops it after a
//! grace period. Writers take turns by a lock of their own; nothing here serialises them.

use super::memory::Region;
use super::{Making, MapError};
use crate::sync::{Arc, AtomicPtr, AtomicUsize, Ordering};
use core::marker::PhantomData;
use core::ptr::{NonNull, null_mut};

/// The array. An entry is null or a reference given away by [`Arc::into_raw`].
#[derive(Debug)]
pub(super) struct Shadow<T> {
    entries: NonNull<AtomicPtr<T>>,
    len: usize,
    /// Entries from here on were never set.
    used: AtomicUsize,
    _private: Region,
    _owns: PhantomData<Arc<T>>,
}

impl<T> Shadow<T> {
    /// `len` entries without a reference, in private memory that nobody touches yet.
    pub(super) fn new(m: &Making<'_>, len: usize) -> Result<Shadow<T>, MapError> {
        let private = m.private(len.checked_mul(8).ok_or(MapError::SizeOverflow(m.spec.kind))?)?;
        Ok(Shadow {
            entries: private.base().cast(),
            len,
            used: AtomicUsize::new(0),
            _private: private,
            _owns: PhantomData,
        })
    }

    /// One beyond the last entry that was ever set.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn entry(&self, index: usize) -> Option<&AtomicPtr<T>> {
        if index >= self.len {
            return None;
        }
        // SAFETY: the array has `len` entries, zeroed, and lives as long as this.
        Some(unsafe { self.entries.add(index).as_ref() })
    }

    /// What entry `index` refers to, null for nothing and beyond the end.
    #[inline]
    pub(super) fn get(&self, index: usize) -> *const T {
        // Acquire: pairs with `swap`, so that what is referred to is seen whole.
        self.entry(index).map_or(null_mut(), |e| e.load(Ordering::Acquire))
    }

    /// Sets or clears an entry; the reference that was there comes back. Beyond the end nothing is kept and nothing comes back.
    pub(super) fn swap(&self, index: usize, new: Option<Arc<T>>) -> Option<Arc<T>> {
        let entry = self.entry(index)?;
        self.used.fetch_max(index + 1, Ordering::Relaxed);
        let new = new.map_or(null_mut(), |r| Arc::into_raw(r).cast_mut());
        // AcqRel: Release pairs with `get`; Acquire with the swap that put the old reference there.
        let old = entry.swap(new, Ordering::AcqRel);
        // SAFETY: not null: given away by `into_raw` when it was put there, taken back here once.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old) })
    }
}

impl<T> Drop for Shadow<T> {
    fn drop(&mut self) {
        for index in 0..*self.used.get_mut() {
            drop(self.swap(index, None));
        }
    }
}
