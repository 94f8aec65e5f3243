//! PERCPU_ARRAY: an array for each CPU slot, each on cache lines of its own; programs see their slot's, the control plane all of them.
//!
//! Values are written in place by their own slot and by the control plane. Slots are one behind the other ("cpu-major"), so that two CPUs never write
//! to one cache line.

use super::array::check_update;
use super::layout::Layout;
use super::memory::{Region, load, store};
use super::{ArrayGeometry, MapConfig, MapSpec};
use crate::error::Errno;
use core::ptr::{NonNull, null_mut};

/// Where the elements are.
#[derive(Debug)]
pub(super) struct PercpuArray {
    base: NonNull<u8>,
    stride: usize,
    cpu_stride: usize,
    value_size: usize,
    max_entries: u32,
    nr_cpus: u32,
}

impl PercpuArray {
    pub(super) fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> PercpuArray {
        PercpuArray {
            base: region.section(l.values, l.cpu_stride * cfg.nr_cpus as usize),
            stride: l.stride,
            cpu_stride: l.cpu_stride,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries,
            nr_cpus: cfg.nr_cpus,
        }
    }

    pub(super) fn geometry(&self) -> ArrayGeometry {
        ArrayGeometry {
            base: self.base.as_ptr().addr(),
            stride: self.stride as u32,
            max_entries: self.max_entries,
            cpu_stride: self.cpu_stride,
        }
    }

    /// The element of one slot; null where there is no such element or slot.
    pub(super) fn lookup(&self, index: u32, slot: u32) -> *mut u8 {
        if index >= self.max_entries || slot >= self.nr_cpus {
            return null_mut();
        }
        // SAFETY: `new` checked that `nr_cpus` blocks of `cpu_stride` bytes are inside the region, each of `max_entries` elements.
        unsafe { self.base.as_ptr().add(slot as usize * self.cpu_stride + index as usize * self.stride) }
    }

    /// Writes one slot's value.
    ///
    /// # Safety
    /// `value` is readable for the value size.
    pub(super) unsafe fn update(
        &self,
        index: u32,
        value: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        check_update(index, self.max_entries, flags)?;
        let to = self.lookup(index, slot);
        if to.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: an element of `value_size` bytes, 8-aligned; the caller vouches for `value`.
        unsafe { store(to, value, self.value_size) };
        Ok(())
    }

    /// Writes every slot's value, one behind the other in `values`, each `stride` bytes.
    pub(super) fn update_all(&self, index: u32, values: &[u8], flags: u64) -> Result<(), Errno> {
        check_update(index, self.max_entries, flags)?;
        for (slot, value) in (0..self.nr_cpus).zip(values.chunks_exact(self.stride)) {
            // SAFETY: the chunk has `stride` bytes, which is the value size or more.
            unsafe { self.update(index, value.as_ptr(), 0, slot)? };
        }
        Ok(())
    }

    /// Reads one slot's value.
    pub(super) fn read_one(&self, index: u32, slot: u32, out: &mut [u8]) -> Result<(), Errno> {
        let from = self.lookup(index, slot);
        if from.is_null() {
            return Err(Errno::ENOENT);
        }
        // SAFETY: an element of `value_size` bytes, 8-aligned; the length is the minimum of both.
        unsafe { load(out.as_mut_ptr(), from, self.value_size.min(out.len())) };
        Ok(())
    }

    /// Reads every slot's value, one behind the other in `out`, each `stride` bytes.
    pub(super) fn read_all(&self, index: u32, out: &mut [u8]) -> Result<(), Errno> {
        for (slot, value) in (0..self.nr_cpus).zip(out.chunks_exact_mut(self.stride)) {
            let from = self.lookup(index, slot);
            if from.is_null() {
                return Err(Errno::ENOENT);
            }
            // SAFETY: an element occupies `stride` bytes, padding included; the chunk has as many.
            unsafe { load(value.as_mut_ptr(), from, self.stride) };
        }
        Ok(())
    }
}
