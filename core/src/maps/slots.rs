//! Entries by index that own references: the frame of ARRAY_OF_MAPS, DEVMAP, CPUMAP and XSKMAP.
//!
//! Map memory has a word an entry, 0 for an empty one, for control planes and for programs that look; the reference stands in a private array. Programs only
//! read. Writers are control planes, one at a time.

use super::layout::{CACHE_LINE, Cursor, Layout};
use super::lock::take_private;
use super::shadow::Shadow;
use super::{Making, MapError, MapSpec};
use crate::error::Errno;
use crate::sync::{Arc, AtomicU64, Ordering};
use core::ptr::NonNull;

/// Words and references.
#[derive(Debug)]
pub(super) struct Slots<T> {
    words: NonNull<AtomicU64>,
    max_entries: u32,
    shadow: Shadow<T>,
    /// Keeps a word beside its reference.
    lock: spin::Mutex<()>,
}

/// A word an entry.
pub(super) fn layout(spec: &MapSpec, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    l.stride = 8;
    l.values = at.take((spec.max_entries as usize).checked_mul(8)?, CACHE_LINE)?;
    Some(())
}

impl<T> Slots<T> {
    pub(super) fn new(m: &Making<'_>) -> Result<Slots<T>, MapError> {
        let entries = m.spec.max_entries as usize;
        Ok(Slots {
            words: m.region.section(m.l.values, entries * 8).cast(),
            max_entries: m.spec.max_entries,
            shadow: Shadow::new(m, entries)?,
            lock: spin::Mutex::new(()),
        })
    }

    pub(super) fn len(&self) -> u32 {
        self.max_entries
    }

    /// One beyond the last entry that was ever set.
    pub(super) fn used(&self) -> u32 {
        (self.shadow.used() as u32).min(self.max_entries)
    }

    /// The word of an entry.
    pub(super) fn word(&self, index: u32) -> Option<&AtomicU64> {
        if index >= self.max_entries {
            return None;
        }
        // SAFETY: `new` checked that `max_entries` words are inside the region.
        Some(unsafe { self.words.add(index as usize).as_ref() })
    }

    /// What an entry refers to, or null.
    #[inline]
    pub(super) fn get(&self, index: u32) -> *const T {
        self.shadow.get(index as usize)
    }

    /// Sets an entry, or clears it with a word of 0; the reference that was there comes back.
    ///
    /// # Errors
    /// E2BIG beyond the end; EBUSY where another writer does not come to an end.
    pub(super) fn set(
        &self,
        index: u32,
        word: u64,
        reference: Option<Arc<T>>,
    ) -> Result<Option<Arc<T>>, Errno> {
        let place = self.word(index).ok_or(Errno::E2BIG)?;
        let _held = take_private(&self.lock)?;
        place.store(word, Ordering::Relaxed);
        Ok(self.shadow.swap(index as usize, reference))
    }

    /// Does `work` while a writer stands still in the middle.
    #[cfg(test)]
    pub(super) fn with_lock_held(&self, work: &mut dyn FnMut()) {
        let _held = self.lock.lock();
        work();
    }
}
