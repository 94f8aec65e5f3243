//! Walking and prefetching by programs: `bpf_for_each_map_elem`, lookups in bursts.
//!
//! No allocation, no lock, no wait; a walk is bounded by the slots or elements of the map.

use super::array::read_index;
use super::table::{BURST, prefetch, with_key};
use super::{Kind, Map};
use core::ops::ControlFlow;

impl Map {
    /// Shows every element of an array or hash to `visit` until that breaks: its key, and its value, of a per-CPU map that of `slot`. Returns how many it showed.
    ///
    /// Any thread, while others insert and delete: an element that is there throughout is shown once, one that comes or goes meanwhile may be or not. `visit` may
    /// change the map, and delete what it is shown. The key is readable during the visit. A value stays mapped, but may become another key's when its key is deleted.
    ///
    /// Kernel: the key is the element's; uxdp: up to 512 bytes it is a copy that cannot change under the visitor's eyes.
    pub fn for_each(&self, slot: u32, mut visit: impl FnMut(*const u8, *mut u8) -> ControlFlow<()>) -> u64 {
        match &self.kind {
            Kind::Array(a) => each_index(self.spec.max_entries, |key, i| visit(key, a.lookup(i))),
            Kind::PercpuArray(a) => each_index(self.spec.max_entries, |key, i| visit(key, a.lookup(i, slot))),
            Kind::Hash(h) => h.each(visit),
            Kind::PercpuHash(h) => h.each(slot, visit),
            Kind::LruHash(h) => h.each(visit),
            Kind::LruPercpuHash(h) => h.each(slot, visit),
            Kind::ProgArray(_) | Kind::Ops(_) => 0,
        }
    }

    /// Asks the machine for what a lookup of this key reads first: the bucket of a hash, the element of an array. A hint; changes and answers nothing.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    #[inline]
    pub unsafe fn prefetch(&self, key: *const u8) {
        if let Some(h) = self.hashed() {
            let table = h.table();
            with_key!(table, key, |k| table.prefetch(&k));
        } else if let Kind::Array(a) = &self.kind {
            // SAFETY: a key of this type has four bytes, readable by the caller's word.
            prefetch(a.lookup(unsafe { read_index(key) }));
        }
    }

    /// [`Map::lookup`] of many keys: `out[i]` becomes the value of `keys[i]`, or null. Faster than one by one, since their cache lines come at the same time.
    ///
    /// # Safety
    /// Every key is readable for the key size.
    pub unsafe fn lookup_burst(&self, keys: &[*const u8], out: &mut [*mut u8], slot: u32) {
        let n = keys.len().min(out.len());
        for (keys, out) in keys[..n].chunks(BURST).zip(out[..n].chunks_mut(BURST)) {
            // SAFETY: the caller's word.
            unsafe {
                match &self.lookups {
                    Some(lookups) => (lookups.burst)(&self.kind, keys, out, slot),
                    None => {
                        for (key, out) in keys.iter().zip(out.iter_mut()) {
                            *out = self.lookup(*key, slot);
                            prefetch(*out);
                        }
                    }
                }
            }
        }
    }
}

/// Shows every index to `visit` until that breaks.
fn each_index(max_entries: u32, mut visit: impl FnMut(*const u8, u32) -> ControlFlow<()>) -> u64 {
    for i in 0..max_entries {
        let key = i;
        if visit((&raw const key).cast(), i).is_break() {
            return u64::from(i) + 1;
        }
    }
    u64::from(max_entries)
}
