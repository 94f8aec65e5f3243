//! PERCPU_HASH and LRU_PERCPU_HASH: a hash whose keys have a value for each CPU slot; each slot's values stand on cache lines of their own.
//!
//! Values are written in place: by programs through pointers, by updates of the slot, by the control plane. An update in place pins its element
//! first, so that the element cannot become another key's under its hands ([`super::table`], `pool`). A new element's values are written before it is
//! published: the inserting slot's, zero for all others.
//! Kernel: two updates of one key from the control plane take turns; uxdp: they may interleave between slots, because no writer waits for another.

use super::batch::Copying;
use super::hash::{RETRIES, check_flags, delete};
use super::hashed::Hashed;
use super::layout::Layout;
use super::memory::{Region, load, store, zero};
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::table::{Compare, Element, Exists, Key, Supply, Table, Usual, prefetch, with_key};
use super::{MapConfig, MapSpec};
use crate::error::Errno;
use core::ops::ControlFlow;
use core::ptr::{NonNull, null_mut};

/// Free elements that an insert skips because somebody writes them in place.
const PINNED_AT_MOST: usize = 8;

/// The table, and where values stand beside it.
#[derive(Debug)]
pub(super) struct PercpuHash<S> {
    table: Table,
    supply: S,
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
    /// Of one CPU slot; a new element's others are zero.
    One(u32, *const u8),
    /// Of all slots, one behind the other, each `stride` bytes.
    All(*const u8),
}

impl<S: Supply> PercpuHash<S> {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Self {
        PercpuHash {
            table: Table::new(region, spec, cfg, l),
            supply: S::new(region, spec, cfg, l),
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

    pub(super) fn key_size(&self) -> usize {
        self.table.key_size()
    }

    /// What a program looks at, which counts as a use.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    pub(super) unsafe fn lookup(&self, key: *const u8, cpu: u32) -> *mut u8 {
        // SAFETY: every machine can do `Usual`.
        with_key!(self.table, key, |k| unsafe { self.lookup_key::<_, Usual>(&k, cpu) })
    }

    /// [`PercpuHash::lookup`] of a key in the form that the table's key size asks for.
    ///
    /// # Safety
    /// The machine can do `C`.
    #[inline(always)]
    pub(super) unsafe fn lookup_key<K: Key, C: Compare>(&self, key: &K, cpu: u32) -> *mut u8 {
        // SAFETY: the caller's word.
        let found = unsafe { self.table.element_of::<K, C>(key) };
        found.map_or(null_mut(), |e| self.used(e.index, cpu))
    }

    #[inline]
    fn used(&self, index: u32, cpu: u32) -> *mut u8 {
        self.supply.mark_used(&self.table, index);
        self.value(index, cpu)
    }

    /// Writes the value of one CPU slot.
    ///
    /// # Safety
    /// `key` and `value` are readable for their sizes. The caller alone holds `slot`.
    pub(super) unsafe fn update(
        &self,
        key: *const u8,
        (cpu, value): (u32, *const u8),
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        with_key!(self.table, key, |k| unsafe { self.set(&k, Values::One(cpu, value), flags, slot) })
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
        for _ in 0..RETRIES {
            if let Some(found) = self.table.find(key) {
                if flags == BPF_NOEXIST {
                    return Err(Errno::EEXIST);
                }
                pool.pin(slot, found.index());
                let ours = self.table.is_still_pinned(found);
                if ours {
                    // SAFETY: the caller's word.
                    unsafe { self.write(found.index(), values, Others::Keep) };
                    self.supply.mark_used(&self.table, found.index());
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
            unsafe { self.write(index, values, Others::Zero) };
            let Err(why) = self.table.insert(key, index) else { return Ok(()) };
            self.supply.give(&self.table, slot, index);
            if why == Exists::NoSlot {
                return Err(Errno::ENOMEM);
            }
        }
        Err(Errno::EBUSY)
    }

    /// A free element that nobody writes in place.
    fn take(&self, slot: u32) -> Result<u32, Errno> {
        let mut pinned = [0; PINNED_AT_MOST];
        let mut count = 0;
        let mut taken = Err(S::NONE_LEFT);
        for skipped in &mut pinned {
            let Some(index) = self.supply.take(&self.table, slot) else { break };
            if !self.table.pool().is_pinned(index) {
                taken = Ok(index);
                break;
            }
            // As full as a map can be: the rest is in somebody's hands for the length of a copy.
            taken = Err(Errno::EBUSY);
            *skipped = index;
            count += 1;
        }
        for index in pinned.iter().take(count) {
            self.supply.give(&self.table, slot, *index);
        }
        taken
    }

    /// # Safety
    /// As [`PercpuHash::update`] and [`PercpuHash::update_all`].
    unsafe fn write(&self, index: u32, values: Values, others: Others) {
        for cpu in 0..self.nr_cpus {
            let to = self.value(index, cpu);
            if to.is_null() {
                return;
            }
            // SAFETY: a value of `stride` bytes, 8-aligned; the caller vouches for what is read.
            unsafe {
                match values {
                    Values::All(all) => store(to, all.add(cpu as usize * self.stride), self.value_size),
                    Values::One(named, value) if cpu == named => store(to, value, self.value_size),
                    Values::One(..) if others == Others::Zero => zero(to, self.stride / 8),
                    Values::One(..) => {}
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
        with_key!(self.table, key, |k| delete(&self.table, &self.supply, &k, slot, |_| {}))
    }

    /// Puts in order what dead writers left; no writer is inside.
    pub(super) fn recover(&self, is_gone: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        self.table.recover(&self.supply, is_gone)
    }

    /// Copies the value of one CPU slot.
    pub(super) fn read_one(&self, key: &[u8], cpu: u32, out: &mut [u8]) -> Result<(), Errno> {
        super::hashed::copy_found(self, key, |index| {
            let from = self.value(index, cpu);
            if !from.is_null() {
                // SAFETY: the value of an element, 8-aligned, of `value_size` bytes.
                unsafe { load(out.as_mut_ptr(), from, self.value_size.min(out.len())) };
            }
            Ok(())
        })
    }

    /// Shows every element to `visit` with the value of one CPU slot; see [`Table::each`].
    pub(super) fn each(&self, cpu: u32, mut visit: impl FnMut(*const u8, *mut u8) -> ControlFlow<()>) -> u64 {
        self.table.each(|key, index| visit(key, self.value(index, cpu)))
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
        cpu: u32,
    ) {
        let near = |index| prefetch(self.value(index, cpu));
        let Some(out) = out.get_mut(..keys.len()) else { return };
        let found = |i: usize, element: Option<Element>| {
            if let Some(out) = out.get_mut(i) {
                *out = element.map_or(null_mut(), |e| self.used(e.index, cpu));
            }
        };
        // SAFETY: the caller's word.
        unsafe { self.table.find_burst::<K, C>(keys, len, near, found) };
    }
}

impl<S: Supply> Hashed for PercpuHash<S> {
    fn table(&self) -> &Table {
        &self.table
    }

    fn give(&self, slot: u32, index: u32) {
        self.supply.give(&self.table, slot, index);
    }

    /// Values of CPU slots have no lock.
    fn copy(&self, index: u32, out: &mut [u8], _: Copying) -> Result<(), Errno> {
        for (cpu, out) in (0..self.nr_cpus).zip(out.chunks_exact_mut(self.stride)) {
            let from = self.value(index, cpu);
            if !from.is_null() {
                // SAFETY: a value occupies `stride` bytes, padding included; the chunk has as many.
                unsafe { load(out.as_mut_ptr(), from, self.stride) };
            }
        }
        Ok(())
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
