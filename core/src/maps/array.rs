//! ARRAY: every element exists from the start, addressed by a 4-byte index, written in place.
//!
//! A value may be torn between its 8-byte words while somebody writes it, as the kernel's may. A BPF_F_RDONLY_PROG array lives in private memory
//! and becomes constant when it is frozen.
//! Source of the errors: `array_map_update_elem` and its neighbours in the kernel's `kernel/bpf/arraymap.c`.

use super::fields::{load_value, store_value};
use super::layout::Layout;
use super::lock::NO_SLOT;
use super::memory::Region;
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::{ArrayGeometry, MapSpec, ValueFields};
use crate::error::Errno;
use crate::vm::TimerCell;
use core::ptr::{NonNull, null_mut};

/// Where the elements are.
#[derive(Debug)]
pub(super) struct Array {
    base: NonNull<u8>,
    stride: usize,
    value_size: usize,
    max_entries: u32,
    fields: ValueFields,
    pub(super) timers: TimerCell,
}

/// Reads an index that the caller says is readable: keys need no alignment.
pub(super) unsafe fn read_index(key: *const u8) -> u32 {
    // SAFETY: the caller says that the four bytes of the key are readable.
    unsafe { key.cast::<u32>().read_unaligned() }
}

/// What an update's flags ask of an array-like map, where every element exists.
pub(super) fn check_update(index: u32, max_entries: u32, flags: u64) -> Result<(), Errno> {
    if flags > BPF_EXIST {
        return Err(Errno::EINVAL);
    }
    if index >= max_entries {
        return Err(Errno::E2BIG);
    }
    if flags == BPF_NOEXIST {
        return Err(Errno::EEXIST);
    }
    Ok(())
}

/// The index after `key` (the first, where that is none), or ENOENT after the last.
pub(super) fn next_index(key: Option<u32>, max_entries: u32) -> Result<u32, Errno> {
    match key {
        Some(index) if index < max_entries => {
            let next = index + 1;
            if next < max_entries { Ok(next) } else { Err(Errno::ENOENT) }
        }
        _ => Ok(0),
    }
}

impl Array {
    pub(super) fn new(region: &Region, spec: &MapSpec, l: &Layout) -> Array {
        Array {
            base: region.section(l.values, l.stride * spec.max_entries as usize),
            stride: l.stride,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries,
            fields: spec.fields,
            timers: TimerCell::empty(),
        }
    }

    pub(super) fn geometry(&self) -> ArrayGeometry {
        ArrayGeometry {
            base: self.base.as_ptr().addr(),
            stride: self.stride as u32,
            max_entries: self.max_entries,
            cpu_stride: 0,
        }
    }

    pub(super) fn lookup(&self, index: u32) -> *mut u8 {
        if index >= self.max_entries {
            return null_mut();
        }
        // SAFETY: `new` checked that `max_entries` elements of `stride` bytes are inside the region; the index is below that.
        unsafe { self.base.as_ptr().add(index as usize * self.stride) }
    }

    /// # Safety
    /// `value` is readable for the value size.
    pub(super) unsafe fn update(&self, index: u32, value: *const u8, flags: u64) -> Result<(), Errno> {
        check_update(index, self.max_entries, flags)?;
        // SAFETY: the index is below `max_entries`, so that `lookup` gives an element, 8-aligned; the caller vouches for `value`.
        unsafe { store_value(self.lookup(index), value, self.value_size, self.fields) };
        // Kernel: a value that is written anew has no timer.
        self.timers.free(index, NO_SLOT);
        Ok(())
    }

    pub(super) fn read(&self, index: u32, out: &mut [u8]) -> Result<(), Errno> {
        let value = self.lookup(index);
        if value.is_null() {
            return Err(Errno::ENOENT);
        }
        // SAFETY: an element of `value_size` bytes, 8-aligned; the length of `out` is the minimum of both.
        unsafe { load_value(out.as_mut_ptr(), value, self.value_size.min(out.len()), self.fields) };
        Ok(())
    }

    /// All elements as bytes, one behind the other with their padding.
    ///
    /// # Safety
    /// Nobody writes to the elements as long as the slice lives.
    pub(super) unsafe fn bytes(&self) -> &[u8] {
        let size = self.stride * (self.max_entries as usize - 1) + self.value_size;
        // SAFETY: inside the region, initialised (zeroed), and constant by the caller's word.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), size) }
    }
}
