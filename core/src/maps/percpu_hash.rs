//! PERCPU_HASH: a hash whose keys have a value for each CPU slot; each slot's values stand on cache lines of their own.
//!
//! Values are written in place: by programs through pointers, by updates of the slot, by the control plane. An update in place pins its element
//! first, so that the element cannot become another key's under its hands ([`super::table`], `pool`). A new element's values are written before it is
//! published: the inserting slot's, zero for all others.
//! Kernel: two updates of one key from the control plane take turns; uxdp: they may interleave between slots, because no writer waits for another.

use super::hash::{check_flags, copy_found, delete, next};
use super::layout::Layout;
use super::memory::{Region, load, store, zero};
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::table::{Exists, Key, Table, with_key};
use super::{MapConfig, MapSpec};
use crate::error::Errno;
use core::ptr::{NonNull, null_mut};

/// Free elements that an insert skips because somebody writes them in place.
const PINNED_AT_MOST: usize = 8;

/// The table, and where values stand beside it.
#[derive(Debug)]
pub(super) struct PercpuHash {
    table: Table,
    values: NonNull<u8>,
    stride: usize,
    cpu_stride: usize,
    value_size: usize,
    max_entries: u32,
    nr_cpus: u32,
}

/// The value of an update.
#[derive(Clone, Copy)]
enum Values {
    /// Of the updating slot; a new element's others are zero.
    Own(*const u8),
    /// Of all slots, one behind the other, each `stride` bytes.
    All(*const u8),
}

impl PercpuHash {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> PercpuHash {
        PercpuHash {
            table: Table::new(region, spec, cfg, l),
            values: region.section(l.values, l.cpu_stride * cfg.nr_cpus as usize),
            stride: l.stride,
            cpu_stride: l.cpu_stride,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries,
            nr_cpus: cfg.nr_cpus,
        }
    }

    #[inline]
    fn value(&self, index: u32, cpu: u32) -> *mut u8 {
        if index >= self.max_entries || cpu >= self.nr_cpus {
            return null_mut();
        }
        // SAFETY: `new` checked that `nr_cpus` blocks of `cpu_stride` bytes are inside the region, each of `max_entries` values.
        unsafe { self.values.as_ptr().add(cpu as usize * self.cpu_stride + index as usize * self.stride) }
    }

    /// # Safety
    /// `key` is readable for the key size.
    pub(super) unsafe fn lookup(&self, key: *const u8, slot: u32) -> *mut u8 {
        with_key!(self.table, key, |k| self
            .table
            .find(&k)
            .map_or(null_mut(), |f| self.value(f.index(), slot)))
    }

    /// Writes the slot's value.
    ///
    /// # Safety
    /// `key` and `value` are readable for their sizes. The caller alone holds `slot`.
    pub(super) unsafe fn update(
        &self,
        key: *const u8,
        value: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        with_key!(self.table, key, |k| unsafe { self.set(&k, Values::Own(value), flags, slot) })
    }

    /// Writes every slot's value.
    ///
    /// # Safety
    /// `values` has `stride` bytes for each CPU; the rest as [`PercpuHash::update`].
    pub(super) unsafe fn update_all(
        &self,
        key: *const u8,
        values: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        with_key!(self.table, key, |k| unsafe { self.set(&k, Values::All(values), flags, slot) })
    }

    /// # Safety
    /// As [`PercpuHash::update`] and [`PercpuHash::update_all`].
    unsafe fn set<K: Key>(&self, key: &K, values: Values, flags: u64, slot: u32) -> Result<(), Errno> {
        check_flags(flags)?;
        let pool = self.table.pool();
        if !pool.has(slot) {
            return Err(Errno::EBUSY);
        }
        loop {
            if let Some(found) = self.table.find(key) {
                if flags == BPF_NOEXIST {
                    return Err(Errno::EEXIST);
                }
                pool.pin(slot, found.index());
                let ours = self.table.is_still_pinned(found);
                if ours {
                    // SAFETY: the caller's word.
                    unsafe { self.write(found.index(), values, slot, Others::Keep) };
                }
                pool.unpin(slot);
                if ours {
                    return Ok(());
                }
                continue;
            }
            if flags == BPF_EXIST {
                return Err(Errno::ENOENT);
            }
            let index = self.take(slot)?;
            self.table.write_key(key, index);
            // SAFETY: the caller's word; the element is ours and nobody writes it in place.
            unsafe { self.write(index, values, slot, Others::Zero) };
            let Err(why) = self.table.insert(key, index) else { return Ok(()) };
            pool.give(slot, index);
            if why == Exists::NoSlot {
                return Err(Errno::ENOMEM);
            }
        }
    }

    /// A free element that nobody writes in place.
    fn take(&self, slot: u32) -> Result<u32, Errno> {
        let pool = self.table.pool();
        let mut pinned = [0; PINNED_AT_MOST];
        let mut count = 0;
        let mut taken = Err(Errno::E2BIG);
        for skipped in &mut pinned {
            let Some(index) = pool.take(slot) else { break };
            if !pool.is_pinned(index) {
                taken = Ok(index);
                break;
            }
            // As full as a map can be: the rest is in somebody's hands for the length of a copy.
            taken = Err(Errno::EBUSY);
            *skipped = index;
            count += 1;
        }
        for index in pinned.iter().take(count) {
            pool.give(slot, *index);
        }
        taken
    }

    /// # Safety
    /// As [`PercpuHash::update`] and [`PercpuHash::update_all`].
    unsafe fn write(&self, index: u32, values: Values, slot: u32, others: Others) {
        for cpu in 0..self.nr_cpus {
            let to = self.value(index, cpu);
            if to.is_null() {
                return;
            }
            // SAFETY: a value of `stride` bytes, 8-aligned; the caller vouches for what is read.
            unsafe {
                match values {
                    Values::All(all) => store(to, all.add(cpu as usize * self.stride), self.value_size),
                    Values::Own(own) if cpu == slot => store(to, own, self.value_size),
                    Values::Own(_) if others == Others::Zero => zero(to, self.stride / 8),
                    Values::Own(_) => {}
                }
            }
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

    /// Copies every slot's value to `out`, one behind the other, each `stride` bytes.
    pub(super) fn read_all(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        with_key!(self.table, key.as_ptr(), |k| copy_found(&self.table, &k, |found| {
            for (cpu, out) in (0..self.nr_cpus).zip(out.chunks_exact_mut(self.stride)) {
                let from = self.value(found.index(), cpu);
                if !from.is_null() {
                    // SAFETY: a value occupies `stride` bytes, padding included; the chunk has as many.
                    unsafe { load(out.as_mut_ptr(), from, self.stride) };
                }
            }
        }))
    }

    /// Copies the key after `key` to `out`.
    pub(super) fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        next(&self.table, key, out)
    }
}

/// What becomes of the slots that an update does not name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// A new element's: zero.
    Zero,
    /// Theirs.
    Keep,
}
