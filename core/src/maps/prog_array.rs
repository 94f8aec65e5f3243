//! PROG_ARRAY: ids of programs in map memory, and beside them a private array of what this process jumps to.
//!
//! A tail call reads the private array alone (one Acquire load); the ids are what control planes, also of other processes, see. An entry owns a
//! reference to its program. Whoever replaces an entry gets the old reference back and drops it after a grace period: a worker may be
//! about to jump to it. A program holds its maps and a prog array its programs, which is a cycle; it is cut as the kernel cuts it: when the last
//! user handle of the map goes, the entries go ([`super::Map::drop_user`]).

use super::lock::take_private;
use super::memory::Region;
use super::{Making, MapError};
use crate::error::Errno;
use crate::sync::{AtomicPtr, AtomicU32, Ordering};
use crate::vm::Ctx;
use core::ptr::{NonNull, null_mut};

/// What a tail call jumps to. Its maker embeds it in what owns the program's code, at a stable address.
#[repr(C)]
#[derive(Debug)]
pub struct TailTarget {
    /// The program, entered with the context and its own target; the result is an action code in 64 bits.
    pub entry: unsafe extern "C" fn(ctx: *mut Ctx, target: *const TailTarget) -> u64,
    /// The program's id, from 1.
    pub id: u32,
    /// Drops the reference that a [`ProgRef`] is; gets the target's own address.
    pub release: unsafe fn(target: *const TailTarget),
}

/// An owned reference to a program that can be jumped to.
#[derive(Debug)]
pub struct ProgRef(NonNull<TailTarget>);

// SAFETY: `ProgRef::new` asks for a target that any thread may use and release.
unsafe impl Send for ProgRef {}
// SAFETY: as above.
unsafe impl Sync for ProgRef {}

impl ProgRef {
    /// Takes over a reference to a program.
    ///
    /// # Safety
    /// `target` stays valid and constant until its `release` is called, which happens once for each `new`, on any thread. Its id is not 0.
    pub unsafe fn new(target: NonNull<TailTarget>) -> ProgRef {
        ProgRef(target)
    }

    /// The program's id.
    pub fn id(&self) -> u32 {
        self.target().id
    }

    /// What a tail call jumps to.
    pub fn target(&self) -> &TailTarget {
        // SAFETY: `new` was promised that it is valid and constant while this reference is owned.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn into_raw(self) -> *mut TailTarget {
        let raw = self.0.as_ptr();
        core::mem::forget(self);
        raw
    }
}

impl Drop for ProgRef {
    fn drop(&mut self) {
        // SAFETY: the reference is given back once, here; `new` was promised that this is how.
        unsafe { (self.target().release)(self.0.as_ptr()) };
    }
}

/// Where the private array is, for code that reads it directly. An entry is null where no program is set.
#[derive(Clone, Copy, Debug)]
pub struct ProgArrayGeometry {
    /// The first entry; loads are Acquire, or follow the pointer by a data dependency.
    pub shadow: *const AtomicPtr<TailTarget>,
    /// Entries.
    pub max_entries: u32,
}

/// Both arrays.
#[derive(Debug)]
pub(super) struct ProgArray {
    ids: NonNull<AtomicU32>,
    shadow: NonNull<AtomicPtr<TailTarget>>,
    max_entries: u32,
    /// Keeps an id beside its pointer; control plane only.
    lock: spin::Mutex<()>,
    _private: Region,
}

impl ProgArray {
    pub(super) fn new(m: &Making<'_>) -> Result<ProgArray, MapError> {
        let entries = m.spec.max_entries as usize;
        // Zeroed memory is null pointers; lazily zeroed memory makes a huge array cost nothing.
        let private = m.private(entries.checked_mul(8).ok_or(MapError::SizeOverflow(m.spec.kind))?)?;
        Ok(ProgArray {
            ids: m.region.section(m.l.ids, entries * 4).cast(),
            shadow: private.base().cast(),
            max_entries: m.spec.max_entries,
            lock: spin::Mutex::new(()),
            _private: private,
        })
    }

    pub(super) fn geometry(&self) -> ProgArrayGeometry {
        ProgArrayGeometry { shadow: self.shadow.as_ptr(), max_entries: self.max_entries }
    }

    fn entry(&self, index: u32) -> Option<(&AtomicU32, &AtomicPtr<TailTarget>)> {
        if index >= self.max_entries {
            return None;
        }
        // SAFETY: both arrays have `max_entries` entries (`new` sized and checked them) and live as long as this map.
        unsafe { Some((self.ids.add(index as usize).as_ref(), self.shadow.add(index as usize).as_ref())) }
    }

    /// The id at `index`.
    pub(super) fn id(&self, index: u32) -> Result<u32, Errno> {
        let (id, _) = self.entry(index).ok_or(Errno::ENOENT)?;
        match id.load(Ordering::Relaxed) {
            0 => Err(Errno::ENOENT),
            id => Ok(id),
        }
    }

    /// Sets or clears an entry; the program that was there comes back.
    ///
    /// # Errors
    /// E2BIG beyond the end; EBUSY where another writer does not come to an end.
    pub(super) fn set(&self, index: u32, prog: Option<ProgRef>) -> Result<Option<ProgRef>, Errno> {
        let (id, pointer) = self.entry(index).ok_or(Errno::E2BIG)?;
        let _held = take_private(&self.lock)?;
        id.store(prog.as_ref().map_or(0, ProgRef::id), Ordering::Relaxed);
        // AcqRel: Release pairs with the loads of tail calls, which then see the program whole; Acquire with the one that set the old entry.
        let old = pointer.swap(prog.map_or(null_mut(), ProgRef::into_raw), Ordering::AcqRel);
        Ok(NonNull::new(old).map(ProgRef))
    }

    /// Clears every entry; hands each program to `retire`. Without the lock, which a writer that stands still could keep: no user is left that could set one.
    pub(super) fn clear(&self, retire: &mut dyn FnMut(ProgRef)) {
        for (id, pointer) in (0..self.max_entries).filter_map(|index| self.entry(index)) {
            if pointer.load(Ordering::Relaxed).is_null() {
                continue;
            }
            id.store(0, Ordering::Relaxed);
            // AcqRel: as in `set`.
            if let Some(old) = NonNull::new(pointer.swap(null_mut(), Ordering::AcqRel)) {
                retire(ProgRef(old));
            }
        }
    }

    /// Does `work` while a writer stands still in the middle.
    #[cfg(test)]
    pub(super) fn with_lock_held(&self, work: &mut dyn FnMut()) {
        let _held = self.lock.lock();
        work();
    }
}

impl Drop for ProgArray {
    fn drop(&mut self) {
        self.clear(&mut drop);
    }
}
