//! HASH: keys of any size in a table that many writers change at once without a lock.
//!
//! An element is the key, padded to words, and the value. An update of an existing key fills the writer's spare and installs it with one exchange: a
//! reader sees the old value or the new one, never a mixture. As in the kernel, a program that still holds the old element's value may
//! see it become another key's.
//! Kernel: BPF_F_NO_PREALLOC frees elements; uxdp: they are reused as preallocated ones are, because memory that nobody touched costs nothing here.
//! Source of the semantics: `htab_map_update_elem` and its neighbours in the kernel's `kernel/bpf/hashtab.c`.

use super::layout::Layout;
use super::memory::{Region, load, store};
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::table::{Exists, Found, Key, Table, with_key};
use super::{MapConfig, MapSpec};
use crate::error::Errno;
use core::ptr::null_mut;

/// Times that a copy of a value is tried again while writers replace it.
const RETRIES: u32 = 1000;

/// The table, and where values stand in its elements.
#[derive(Debug)]
pub(super) struct Hash {
    table: Table,
    value_offset: usize,
    value_size: usize,
}

/// What an update does for a key that is there, or not.
pub(super) fn check_flags(flags: u64) -> Result<(), Errno> {
    if flags > BPF_EXIST { Err(Errno::EINVAL) } else { Ok(()) }
}

impl Hash {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Hash {
        Hash {
            table: Table::new(region, spec, cfg, l),
            value_offset: (spec.key_size as usize).next_multiple_of(8),
            value_size: spec.value_size as usize,
        }
    }

    #[inline]
    fn value(&self, index: u32) -> *mut u8 {
        match self.table.pool().element(index) {
            // SAFETY: an element is its key, `value_offset` bytes, and its value.
            Some(element) => unsafe { element.cast::<u8>().add(self.value_offset).cast_mut() },
            None => null_mut(),
        }
    }

    /// # Safety
    /// `key` is readable for the key size.
    pub(super) unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        with_key!(self.table, key, |k| self.table.find(&k).map_or(null_mut(), |f| self.value(f.index())))
    }

    /// # Safety
    /// `key` and `value` are readable for their sizes. The caller alone holds `slot`.
    pub(super) unsafe fn update(
        &self,
        key: *const u8,
        value: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        check_flags(flags)?;
        if !self.table.pool().has(slot) {
            return Err(Errno::EBUSY);
        }
        // SAFETY: the caller's word.
        with_key!(self.table, key, |k| unsafe { self.set(&k, value, flags, slot) })
    }

    /// # Safety
    /// As [`Hash::update`].
    unsafe fn set<K: Key>(&self, key: &K, value: *const u8, flags: u64, slot: u32) -> Result<(), Errno> {
        loop {
            let Some(found) = self.table.find(key) else {
                if flags == BPF_EXIST {
                    return Err(Errno::ENOENT);
                }
                let index = self.table.pool().take(slot).ok_or(Errno::E2BIG)?;
                // SAFETY: the caller's word; the element is ours.
                unsafe { self.fill(key, value, index) };
                let Err(why) = self.table.insert(key, index) else { return Ok(()) };
                self.table.pool().give(slot, index);
                if why == Exists::NoSlot {
                    return Err(Errno::ENOMEM);
                }
                continue; // the key that came meanwhile is found now
            };
            if flags == BPF_NOEXIST {
                return Err(Errno::EEXIST);
            }
            let spare = self.table.pool().spare(slot);
            // SAFETY: the caller's word; the spare is its slot's alone.
            unsafe { self.fill(key, value, spare) };
            if self.table.replace(found, spare).is_ok() {
                self.table.pool().set_spare(slot, found.index());
                return Ok(());
            }
        }
    }

    /// Writes an element that no key has.
    ///
    /// # Safety
    /// `value` is readable for the value size.
    unsafe fn fill<K: Key>(&self, key: &K, value: *const u8, index: u32) {
        self.table.write_key(key, index);
        let to = self.value(index);
        if !to.is_null() {
            // SAFETY: the value of an element, 8-aligned, of `value_size` bytes; the caller vouches for `value`.
            unsafe { store(to, value, self.value_size) };
        }
    }

    /// # Safety
    /// `key` is readable for the key size. The caller alone holds `slot`.
    pub(super) unsafe fn delete(&self, key: *const u8, slot: u32) -> Result<(), Errno> {
        if !self.table.pool().has(slot) {
            return Err(Errno::EBUSY);
        }
        with_key!(self.table, key, |k| delete(&self.table, &k, slot))
    }

    /// Copies a value out: one that the key had, as a whole, but for writes in place.
    pub(super) fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        with_key!(self.table, key.as_ptr(), |k| copy_found(&self.table, &k, |found| {
            let from = self.value(found.index());
            if !from.is_null() {
                // SAFETY: the value of an element, 8-aligned, of `value_size` bytes.
                unsafe { load(out.as_mut_ptr(), from, self.value_size.min(out.len())) };
            }
        }))
    }

    /// Copies the key after `key` to `out`.
    pub(super) fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next(&self.table, key, out)
    }
}

/// Removes a key and gives its element back.
pub(super) fn delete<K: Key>(table: &Table, key: &K, slot: u32) -> Result<(), Errno> {
    loop {
        let found = table.find(key).ok_or(Errno::ENOENT)?;
        if let Ok(index) = table.remove(found) {
            table.pool().give(slot, index);
            return Ok(());
        }
    }
}

/// Finds a key, lets `copy` read its element, and sees to it that the element was the key's all the time.
pub(super) fn copy_found<K: Key>(table: &Table, key: &K, mut copy: impl FnMut(Found)) -> Result<(), Errno> {
    for _ in 0..RETRIES {
        let found = table.find(key).ok_or(Errno::ENOENT)?;
        copy(found);
        if table.is_still(found) {
            return Ok(());
        }
    }
    // A key that is replaced a thousand times in a row, each within one copy: no reader can have it whole.
    Err(Errno::EBUSY)
}

/// Copies the key after `key`, which has the key size, to `out`, which has it too.
pub(super) fn next(table: &Table, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
    let more = match key {
        Some(key) => with_key!(table, key.as_ptr(), |k| table.next(&k, out)),
        None => table.first(out),
    };
    if more { Ok(()) } else { Err(Errno::ENOENT) }
}
