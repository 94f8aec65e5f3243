//! HASH and LRU_HASH: keys of any size in a table that many writers change at once without a lock.
//!
//! An element is the key, padded to words, the mark of an LRU, and the value. An update of an existing key fills another element and installs it with one
//! exchange: a reader sees the old value or the new one, never a mixture. Which other element, and what a full map does, is the [`Supply`]'s matter: a HASH
//! refuses, an LRU evicts. As in the kernel, a program that still holds the old element's value may
//! see it become another key's.
//! Kernel: BPF_F_NO_PREALLOC frees elements; uxdp: they are reused as preallocated ones are, because memory that nobody touched costs nothing here.
//! Source of the semantics: `htab_map_update_elem` and its neighbours in the kernel's `kernel/bpf/hashtab.c`.

use super::batch::Copying;
use super::fields::{load_value, store_value};
use super::hashed::Hashed;
use super::layout::Layout;
use super::lock::NO_SLOT;
use super::memory::Region;
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::table::{Compare, Element, Exists, Key, Supply, Table, Usual, with_key};
use super::{MapConfig, MapSpec, ValueFields, ValueLock};
use crate::error::Errno;
use crate::vm::TimerCell;
use core::ops::ControlFlow;
use core::ptr::null_mut;

/// Times that an update begins anew because others were faster: so many in a row do not happen by chance. In memory that a hostile peer wrote to, an element that is free and
/// has a key at once could keep it going for ever.
pub(super) const RETRIES: u32 = 1000;

/// The table, and where values stand in its elements.
#[derive(Debug)]
pub(super) struct Hash<S> {
    table: Table,
    supply: S,
    value_offset: usize,
    value_size: usize,
    fields: ValueFields,
    pub(super) timers: TimerCell,
}

/// What an update does for a key that is there, or not.
pub(super) fn check_flags(flags: u64) -> Result<(), Errno> {
    if flags > BPF_EXIST { Err(Errno::EINVAL) } else { Ok(()) }
}

impl<S: Supply> Hash<S> {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Self {
        Hash {
            table: Table::new(region, spec, cfg, l),
            supply: S::new(region, spec, cfg, l),
            value_offset: (spec.key_size as usize).next_multiple_of(8) + S::MARK_BYTES,
            value_size: spec.value_size as usize,
            fields: spec.fields,
            timers: TimerCell::empty(),
        }
    }

    #[inline]
    fn value(&self, index: u32) -> *mut u8 {
        match self.table.pool().element(index) {
            // SAFETY: an element is its key and mark, `value_offset` bytes, and its value.
            Some(element) => unsafe { element.cast::<u8>().add(self.value_offset).cast_mut() },
            None => null_mut(),
        }
    }

    pub(super) fn key_size(&self) -> usize {
        self.table.key_size()
    }

    /// What a program looks at, which counts as a use.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    pub(super) unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: every machine can do `Usual`.
        with_key!(self.table, key, |k| unsafe { self.lookup_key::<_, Usual>(&k) })
    }

    /// [`Hash::lookup`] of a key in the form that the table's key size asks for.
    ///
    /// # Safety
    /// The machine can do `C`.
    #[inline(always)]
    pub(super) unsafe fn lookup_key<K: Key, C: Compare>(&self, key: &K) -> *mut u8 {
        // SAFETY: the caller's word.
        self.used(unsafe { self.table.element_of::<K, C>(key) })
    }

    /// The value of what was found, which counts as a use.
    #[inline(always)]
    fn used(&self, found: Option<Element>) -> *mut u8 {
        let Some(element) = found else { return null_mut() };
        self.supply.mark_used(&self.table, element.index);
        // SAFETY: an element is its key and mark, `value_offset` bytes, and its value.
        unsafe { element.at.cast::<u8>().add(self.value_offset).cast_mut() }
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
        let (table, supply) = (&self.table, &self.supply);
        for _ in 0..RETRIES {
            // Whoever asks for a new key and finds it, changes nothing.
            let found = if flags == BPF_NOEXIST { table.find(key) } else { table.find_to_write(key) };
            let Some(found) = found else {
                if flags == BPF_EXIST {
                    return Err(Errno::ENOENT);
                }
                let index = supply.take(table, slot).ok_or(S::NONE_LEFT)?;
                // SAFETY: the caller's word; the element is ours.
                unsafe { self.fill(key, value, index, slot) };
                let Err(why) = table.insert(key, index) else { return Ok(()) };
                supply.give(table, slot, index);
                if why == Exists::NoSlot {
                    return Err(Errno::ENOMEM);
                }
                continue; // the key that came meanwhile is found now
            };
            if flags == BPF_NOEXIST {
                return Err(Errno::EEXIST);
            }
            let other = supply.take_other(table, slot, found.index()).ok_or(S::NONE_LEFT)?;
            // SAFETY: the caller's word; the element is ours.
            unsafe { self.fill(key, value, other, slot) };
            if table.replace(found, other).is_ok() {
                self.timers.free(found.index(), slot);
                supply.give_replaced(table, slot, found.index());
                return Ok(());
            }
            supply.give_other(table, slot, other);
        }
        Err(Errno::EBUSY)
    }

    /// Writes an element that no key has.
    ///
    /// # Safety
    /// `value` is readable for the value size.
    unsafe fn fill<K: Key>(&self, key: &K, value: *const u8, index: u32, slot: u32) {
        // Of a key that was evicted.
        self.timers.free(index, slot);
        self.table.write_key(key, index);
        let to = self.value(index);
        if !to.is_null() {
            // SAFETY: the value of an element, 8-aligned, of `value_size` bytes; the caller vouches for `value`.
            unsafe { store_value(to, value, self.value_size, self.fields) };
        }
    }

    /// # Safety
    /// `key` is readable for the key size. The caller alone holds `slot`.
    pub(super) unsafe fn delete(&self, key: *const u8, slot: u32) -> Result<(), Errno> {
        if !self.table.pool().has(slot) {
            return Err(Errno::EBUSY);
        }
        with_key!(self.table, key, |k| {
            delete(&self.table, &self.supply, &k, slot, |index| self.timers.free(index, slot))
        })
    }

    /// Puts in order what dead writers left; no writer is inside.
    pub(super) fn recover(&self, is_gone: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        self.table.recover(&self.supply, is_gone)
    }

    /// Shows every element to `visit`; see [`Table::each`].
    pub(super) fn each(&self, mut visit: impl FnMut(*const u8, *mut u8) -> ControlFlow<()>) -> u64 {
        self.table.each(|key, index| visit(key, self.value(index)))
    }

    /// Looks up to [`super::table::BURST`] keys up.
    ///
    /// # Safety
    /// The keys are readable for `len` bytes, the key size; `K` is the form for it. `out` has a place for each. The machine can do `C`.
    #[inline(always)]
    pub(super) unsafe fn lookup_burst<K: Key, C: Compare>(
        &self,
        keys: &[*const u8],
        len: usize,
        out: &mut [*mut u8],
    ) {
        let Some(out) = out.get_mut(..keys.len()) else { return };
        let found = |i: usize, element| {
            if let Some(out) = out.get_mut(i) {
                *out = self.used(element);
            }
        };
        // SAFETY: the caller's word.
        unsafe { self.table.find_burst::<K, C>(keys, len, |_| {}, found) };
    }
}

impl<S: Supply> Hash<S> {
    /// Elements that there can be, spares included.
    pub(super) fn nr_elements(&self) -> u32 {
        self.table.pool().nr_elements()
    }

    /// The element of a value.
    pub(super) fn index_of(&self, value: *const u8) -> Option<u32> {
        self.table.pool().index_at(value.addr().checked_sub(self.value_offset)?)
    }

    /// Key and value of an element, where a key has it.
    pub(super) fn element(&self, index: u32) -> Option<(*const u8, *mut u8)> {
        let key = self.table.pool().element(index)?.cast::<u8>();
        // SAFETY: an element begins with its key.
        let found = with_key!(self.table, key, |k| self.table.find(&k));
        (found?.index() == index).then(|| (key, self.value(index)))
    }
}

impl<S: Supply> Hashed for Hash<S> {
    fn table(&self) -> &Table {
        &self.table
    }

    fn give(&self, slot: u32, index: u32) {
        self.timers.free(index, slot);
        self.supply.give(&self.table, slot, index);
    }

    fn copy(&self, index: u32, out: &mut [u8], how: Copying) -> Result<(), Errno> {
        let from = self.value(index);
        if from.is_null() {
            return Ok(());
        }
        let _held = match (how, self.fields.spin_lock) {
            (Copying::Locked, Some(at)) => {
                // SAFETY: the loader found the lock inside of the value, aligned to 4; values are 8-aligned.
                let lock = unsafe { ValueLock::at(from.add(at as usize)) };
                Some(lock.hold(NO_SLOT)?)
            }
            _ => None,
        };
        // SAFETY: the value of an element, 8-aligned, of `value_size` bytes.
        unsafe { load_value(out.as_mut_ptr(), from, self.value_size.min(out.len()), self.fields) };
        Ok(())
    }
}

/// Removes a key and gives its element back, of which `freed` hears before.
pub(super) fn delete<K: Key>(
    table: &Table,
    supply: &impl Supply,
    key: &K,
    slot: u32,
    freed: impl Fn(u32),
) -> Result<(), Errno> {
    loop {
        let found = table.find_to_write(key).ok_or(Errno::ENOENT)?;
        if let Ok(index) = table.remove(found) {
            freed(index);
            supply.give(table, slot, index);
            return Ok(());
        }
    }
}
