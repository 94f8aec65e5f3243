//! Values with fields that only helpers touch: copies leave locks and timers alone, and BPF_F_LOCK copies under the value's lock.
//!
//! A copy into a value writes the bytes around its fields, a copy out of one reads fields as zero. So a lock that somebody holds stays held whatever becomes of the
//! bytes, also where the element is another key's meanwhile.
//! Source of the semantics: `copy_map_value_locked` in the kernel's `kernel/bpf/helpers.c`, `array_map_update_elem` and `htab_map_update_elem`.

use super::array::check_update;
use super::lock::NO_SLOT;
use super::memory::{load, store};
use super::spec::flags::{BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST};
use super::{Kind, Map, ValueFields, ValueLock, control};
use crate::error::Errno;
use crate::sync::{Arc, Ordering};
use crate::vm::{TimerCell, TimerTable};
use core::ops::Range;

/// Times that an update in place tries again while its key comes and goes.
const RETRIES: u32 = 64;

/// The bytes of a value that are plain, in order.
fn plain(fields: ValueFields, size: usize) -> impl Iterator<Item = Range<usize>> {
    let field = |f: Option<u32>, bytes: u32| f.map(|at| at as usize..(at + bytes) as usize);
    let lock = field(fields.spin_lock, ValueFields::SPIN_LOCK_SIZE);
    let timer = field(fields.timer, ValueFields::TIMER_SIZE);
    let start = |r: &Option<Range<usize>>| r.as_ref().map_or(size, |r| r.start);
    let (first, second) = if start(&lock) <= start(&timer) { (lock, timer) } else { (timer, lock) };
    let mut at = 0;
    [first, second, Some(size..size)].into_iter().flatten().map(move |field| {
        let run = at..field.start.max(at).min(size);
        at = field.end.max(at).min(size);
        run
    })
}

/// The same in pieces that begin at multiples of 8, or are 4 bytes that end at one: what [`store`] and [`load`] take.
fn pieces(fields: ValueFields, size: usize) -> impl Iterator<Item = Range<usize>> {
    plain(fields, size).flat_map(|run| {
        let middle = run.start.next_multiple_of(8).min(run.end);
        [run.start..middle, middle..run.end]
    })
}

/// Copies a value into map memory, but for its fields.
///
/// # Safety
/// `dst` is 8-aligned map memory of `size` bytes; `src` is readable for as many, of any alignment.
#[inline]
pub(super) unsafe fn store_value(dst: *mut u8, src: *const u8, size: usize, fields: ValueFields) {
    // SAFETY: the caller's; pieces are within the value, and those of less than 8 bytes are aligned to 4, as fields are.
    unsafe {
        if fields == ValueFields::NONE {
            return store(dst, src, size);
        }
        for piece in pieces(fields, size) {
            store(dst.add(piece.start), src.add(piece.start), piece.len());
        }
    }
}

/// Copies a value out of map memory; its fields come as zero.
///
/// # Safety
/// `src` is 8-aligned map memory of `size` bytes; `dst` is writable for as many, of any alignment.
pub(super) unsafe fn load_value(dst: *mut u8, src: *const u8, size: usize, fields: ValueFields) {
    // SAFETY: as in `store_value`.
    unsafe {
        if fields == ValueFields::NONE {
            return load(dst, src, size);
        }
        dst.write_bytes(0, size);
        for piece in pieces(fields, size) {
            load(dst.add(piece.start), src.add(piece.start), piece.len());
        }
    }
}

impl Map {
    /// Elements that may have a timer.
    pub(crate) fn nr_elements(&self) -> u32 {
        match &self.kind {
            Kind::Hash(h) => h.nr_elements(),
            Kind::LruHash(h) => h.nr_elements(),
            _ => self.spec.max_entries,
        }
    }

    fn timer_cell(&self) -> Option<&TimerCell> {
        match &self.kind {
            Kind::Array(a) => Some(&a.timers),
            Kind::Hash(h) => Some(&h.timers),
            Kind::LruHash(h) => Some(&h.timers),
            _ => None,
        }
    }

    /// The timers of its values, where it has some.
    pub(crate) fn timers(&self) -> Option<&TimerTable> {
        self.timer_cell()?.get()
    }

    /// Gives it a table with a timer for each element; once.
    pub(crate) fn set_timers(&self, table: Arc<TimerTable>) {
        if let Some(cell) = self.timer_cell() {
            cell.set(table);
        }
    }

    /// The element of the value at an address.
    pub(crate) fn element_index(&self, value: *const u8) -> Option<u32> {
        match &self.kind {
            Kind::Array(a) => {
                let skip = value.addr().checked_sub(a.geometry().base)?;
                let index = u32::try_from(skip.checked_div(a.geometry().stride as usize)?).ok()?;
                (index < self.spec.max_entries).then_some(index)
            }
            Kind::Hash(h) => h.index_of(value),
            Kind::LruHash(h) => h.index_of(value),
            _ => None,
        }
    }

    /// Key and value of an element, where it is a key's; the key is null where it is the index.
    pub(crate) fn timer_element(&self, index: u32) -> Option<(*const u8, *mut u8)> {
        match &self.kind {
            Kind::Array(a) => Some((core::ptr::null(), a.lookup(index))),
            Kind::Hash(h) => h.element(index),
            Kind::LruHash(h) => h.element(index),
            _ => None,
        }
    }

    /// Whether a user has a handle of it: without one, nothing may be left running that holds it.
    pub(crate) fn has_users(&self) -> bool {
        self.users.load(Ordering::Relaxed) != 0
    }

    /// The lock of a value of this map.
    ///
    /// # Safety
    /// `value` is one.
    unsafe fn lock_of(&self, value: *mut u8) -> Result<&ValueLock, Errno> {
        let at = self.spec.fields.spin_lock.ok_or(Errno::EINVAL)?;
        // SAFETY: the object's loader found the lock inside of the value, aligned to 4; values are 8-aligned.
        Ok(unsafe { ValueLock::at(value.add(at as usize)) })
    }

    /// An update with BPF_F_LOCK, its other flags in `flags`: a value that is there is written in place under its lock.
    ///
    /// # Safety
    /// As [`Map::update`].
    ///
    /// # Errors
    /// As [`Map::update`]; EINVAL where values have no lock, EBUSY where it is not to be had.
    #[cold]
    pub(super) unsafe fn update_locked(
        &self,
        key: *const u8,
        value: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        let (size, fields) = (self.spec.value_size as usize, self.spec.fields);
        match &self.kind {
            Kind::Array(a) => {
                // SAFETY: the caller's: a key of this type has four bytes.
                let index = unsafe { super::read_index(key) };
                check_update(index, self.spec.max_entries, flags)?;
                let to = a.lookup(index);
                // SAFETY: the index is within, so that `to` is a value; the caller vouches for `value`.
                unsafe {
                    let _locked = self.lock_of(to)?.hold(slot)?;
                    store_value(to, value, size, fields);
                }
                a.timers.free(index, slot);
                Ok(())
            }
            Kind::PercpuArray(_) => {
                // SAFETY: as above. Values of CPUs have no lock, which the kernel finds last.
                check_update(unsafe { super::read_index(key) }, self.spec.max_entries, flags)?;
                Err(Errno::EINVAL)
            }
            Kind::Hash(h) if fields.spin_lock.is_some() && flags <= BPF_EXIST => {
                for _ in 0..RETRIES {
                    // SAFETY: the caller's word; what is found is a value.
                    unsafe {
                        let to = h.lookup(key);
                        if to.is_null() {
                            if flags == BPF_EXIST {
                                return Err(Errno::ENOENT);
                            }
                            // Only as a new one: what came meanwhile is written in place.
                            match h.update(key, value, BPF_NOEXIST, slot) {
                                Err(Errno::EEXIST) if flags != BPF_NOEXIST => continue,
                                done => return done,
                            }
                        }
                        if flags == BPF_NOEXIST {
                            return Err(Errno::EEXIST);
                        }
                        let _locked = self.lock_of(to)?.hold(slot)?;
                        if h.lookup(key) == to {
                            store_value(to, value, size, fields);
                            return Ok(());
                        }
                    }
                }
                Err(Errno::EBUSY)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Copies the value of a key out under its lock.
    ///
    /// # Errors
    /// ENOENT; EINVAL where values have no lock, EBUSY where it is not to be had.
    pub(super) fn read_locked(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        if self.spec.fields.spin_lock.is_none() {
            return Err(Errno::EINVAL);
        }
        for _ in 0..RETRIES {
            let value = match &self.kind {
                Kind::Array(a) => a.lookup(control::index(key)?),
                // SAFETY: the caller has checked the key's size.
                Kind::Hash(h) => unsafe { h.lookup(key.as_ptr()) },
                _ => return Err(Errno::EINVAL),
            };
            if value.is_null() {
                return Err(Errno::ENOENT);
            }
            // SAFETY: a value of this map; the caller has checked the size of `out`.
            let lock = unsafe { self.lock_of(value)?.hold(NO_SLOT)? };
            // SAFETY: as above.
            unsafe { load_value(out.as_mut_ptr(), value, out.len(), self.spec.fields) };
            drop(lock);
            let still = match &self.kind {
                // SAFETY: as above.
                Kind::Hash(h) => unsafe { h.lookup(key.as_ptr()) == value },
                _ => true,
            };
            if still {
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }
}

/// The flags of an update without BPF_F_LOCK, and whether that was there.
pub(super) const fn split(flags: u64) -> (u64, bool) {
    (flags & !BPF_F_LOCK, flags & BPF_F_LOCK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn copies_touch_every_byte_but_those_of_fields() {
        let fields = |spin_lock, timer| ValueFields { spin_lock, timer };
        let cases = [
            (fields(None, None), 13),
            (fields(Some(0), None), 4),
            (fields(Some(0), None), 31),
            (fields(Some(4), None), 30),
            (fields(Some(12), Some(16)), 37),
            (fields(Some(32), Some(8)), 36),
            (fields(None, Some(8)), 24),
            (fields(Some(20), Some(0)), 24),
        ];
        for (fields, size) in cases {
            let mut memory = [0x1111_1111_1111_1111u64; 8];
            let value: Vec<u8> = (0..size as u8).map(|i| 0x80 | i).collect();
            let to = memory.as_mut_ptr().cast::<u8>();
            let mut out = std::vec![0xffu8; size];
            // SAFETY: 64 bytes of memory, 8-aligned; values are smaller.
            let bytes = unsafe {
                store_value(to, value.as_ptr(), size, fields);
                load_value(out.as_mut_ptr(), to, size, fields);
                core::slice::from_raw_parts(to, 64)
            };
            let is_field = |i: usize| {
                fields.iter().any(|(at, bytes, _)| (at as usize..(at + bytes) as usize).contains(&i))
            };
            for (i, byte) in bytes.iter().enumerate() {
                let copied = i < size && !is_field(i);
                assert_eq!(*byte, if copied { 0x80 | i as u8 } else { 0x11 }, "{fields:?}, byte {i}");
                if i < size {
                    assert_eq!(out[i], if copied { *byte } else { 0 }, "{fields:?}, byte {i}");
                }
            }
        }
    }
}
