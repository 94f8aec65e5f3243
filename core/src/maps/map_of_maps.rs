//! ARRAY_OF_MAPS and HASH_OF_MAPS: entries are maps that are like a template.
//!
//! A program's lookup gives the inner map's pointer, which it uses as any map pointer; control planes see ids. Programs do not write. An inner map lives until
//! a grace period after it left its entry.
//! Source of the rules: `bpf_map_meta_alloc`, `bpf_map_meta_equal` and `array_map_meta_equal` in the kernel's `kernel/bpf`.

use super::array::{next_index, read_index};
use super::batch::{Batch, Removing};
use super::keyed::{Keyed, Says};
use super::ops::{Entry, MapOps, Reference};
use super::slots::Slots;
use super::spec::flags::{BPF_F_INNER_MAP, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use super::{InnerSpec, Making, Map, MapError, MapSpec, MapType};
use crate::error::Errno;
use crate::sync::{Arc, Ordering};

/// Whether the template is one that the kernel takes.
pub(super) fn check(spec: &MapSpec) -> Result<(), MapError> {
    let inner = spec.inner.ok_or(MapError::NoInner(spec.kind))?;
    match inner.kind {
        MapType::ArrayOfMaps | MapType::HashOfMaps => return Err(MapError::Nested(inner.kind)),
        MapType::ProgArray | MapType::Arena => return Err(MapError::NoInnerKind(inner.kind)),
        _ => {}
    }
    super::check::check(&inner.spec())?;
    if spec.value_size != 4 {
        return Err(MapError::ValueSize(spec.kind, spec.value_size));
    }
    if spec.kind == MapType::ArrayOfMaps && spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
        return Err(MapError::Flags(spec.kind, spec.flags));
    }
    Ok(())
}

/// Whether a map may stand where the template does.
fn is_like(template: &InnerSpec, map: &MapSpec) -> bool {
    let sized = match template.kind {
        MapType::Array => template.flags & BPF_F_INNER_MAP == 0,
        MapType::Xskmap => true,
        _ => false,
    };
    template.kind == map.kind
        && template.key_size == map.key_size
        && template.value_size == map.value_size
        && template.flags == map.flags
        && template.fields == map.fields
        && (!sized || template.max_entries == map.max_entries)
}

fn inner_of(entry: Entry<'_>, template: &InnerSpec) -> Result<Arc<Map>, Errno> {
    match entry {
        Entry::Map(map) if is_like(template, map.spec()) => Ok(map),
        _ => Err(Errno::EINVAL),
    }
}

fn template(spec: &MapSpec) -> Result<InnerSpec, MapError> {
    spec.inner.ok_or(MapError::NoInner(spec.kind))
}

fn index(key: &[u8]) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(key.try_into().map_err(|_| Errno::EINVAL)?))
}

impl Says for Map {
    fn word(&self) -> u64 {
        self.id().into()
    }
}

/// By index.
#[derive(Debug)]
pub(super) struct ArrayOfMaps {
    slots: Slots<Map>,
    template: InnerSpec,
}

impl ArrayOfMaps {
    pub(super) fn new(m: &Making<'_>) -> Result<Self, MapError> {
        Ok(ArrayOfMaps { slots: Slots::new(m)?, template: template(m.spec)? })
    }
}

impl MapOps for ArrayOfMaps {
    unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: a key of four bytes, readable by the caller's word.
        self.slots.get(unsafe { read_index(key) }).cast_mut().cast()
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        let word = self.slots.word(index(key)?).map_or(0, |w| w.load(Ordering::Relaxed));
        if word == 0 {
            return Err(Errno::ENOENT);
        }
        super::target::copy_word(word, out);
        Ok(())
    }

    fn write(&self, _: u32, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        let beyond = flags == 0 && index(key)? >= self.slots.len();
        Err(if beyond { Errno::E2BIG } else { Errno::EINVAL })
    }

    fn set(&self, _: u32, key: &[u8], entry: Entry<'_>, flags: u64) -> Result<Option<Reference>, Errno> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let index = index(key)?;
        if index >= self.slots.len() {
            return Err(Errno::E2BIG);
        }
        let map = inner_of(entry, &self.template)?;
        Ok(self.slots.set(index, map.word(), Some(map))?.map(Reference::Map))
    }

    fn remove(&self, _: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        let old = self.slots.set(index(key)?, 0, None)?;
        old.map(|m| Some(Reference::Map(m))).ok_or(Errno::ENOENT)
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let next = next_index(key.map(index).transpose()?, self.slots.len())?;
        super::target::copy_word(next.into(), out);
        Ok(())
    }

    #[cfg(test)]
    fn with_lock_held(&self, work: &mut dyn FnMut()) {
        self.slots.with_lock_held(work);
    }
}

/// By key.
#[derive(Debug)]
pub(super) struct HashOfMaps {
    keyed: Keyed<Map>,
    template: InnerSpec,
}

impl HashOfMaps {
    pub(super) fn new(m: &Making<'_>) -> Result<Self, MapError> {
        Ok(HashOfMaps { keyed: Keyed::new(m)?, template: template(m.spec)? })
    }
}

impl MapOps for HashOfMaps {
    unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.keyed.get(key) }.cast_mut().cast()
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        super::target::copy_word(self.keyed.read(key)?, out);
        Ok(())
    }

    fn write(&self, _: u32, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn set(&self, slot: u32, key: &[u8], entry: Entry<'_>, flags: u64) -> Result<Option<Reference>, Errno> {
        let map = inner_of(entry, &self.template)?;
        Ok(self.keyed.set(slot, key, map, flags)?.map(Reference::Map))
    }

    fn remove(&self, slot: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        Ok(self.keyed.remove(slot, key)?.map(Reference::Map))
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.keyed.next(key, out)
    }

    fn batch(
        &self,
        next: &mut u32,
        b: &mut Batch<'_>,
        sizes: (usize, usize),
        remove: Removing<'_>,
    ) -> Result<(), Errno> {
        match remove {
            None => self.keyed.batch(next, b, sizes, None),
            Some((slot, retire)) => {
                self.keyed.batch(next, b, sizes, Some((slot, &mut |map| retire(Reference::Map(map)))))
            }
        }
    }

    #[cfg(test)]
    fn with_lock_held(&self, work: &mut dyn FnMut()) {
        self.keyed.with_lock_held(work);
    }
}
