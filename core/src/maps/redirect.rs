//! DEVMAP, DEVMAP_HASH, CPUMAP and XSKMAP: where redirected packets go.
//!
//! An entry is a [`Target`], set by control planes as a whole: an interface with a program for its packets, a CPU (a worker slot) with its
//! queue length and program, or the number of a socket. Programs look entries of device and socket maps up, and redirect to any.
//! A program of an entry holds all maps of its object, also the map of the entry: with the last user handle of a map its entries with programs go, as programs of
//! PROG_ARRAYs do ([`super::Map::drop_user`]). Kernel: they stay as long as the map.
//! Kernel: interfaces and sockets are objects that must exist, and an entry goes with them; uxdp: numbers that the host understands.
//! Source of the rules: the kernel's `kernel/bpf/devmap.c`, `kernel/bpf/cpumap.c` and `net/xdp/xskmap.c`.

use super::array::{check_update, next_index, read_index};
use super::keyed::{Keyed, Says};
use super::ops::{Entry, MapOps, Reference};
use super::slots::Slots;
use super::spec::flags::*;
use super::target::{copy_word, number};
use super::{Making, MapError, MapSpec, MapType, Target};
use crate::error::Errno;
use crate::sync::{Arc, Ordering};
use core::ptr::null_mut;

/// Longest queue of a CPU.
const MAX_QUEUE: u32 = 16384;
/// Most CPUs of a CPU map.
/// Kernel: as it was configured, 256 where it was asked; uxdp: as many as an environment can have slots.
const NR_CPUS: u32 = 4096;
/// A socket's word: its number, and a bit that says that there is one.
const SOCKET: u64 = 1 << 32;

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec) -> Result<(), MapError> {
    let kind = spec.kind;
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(kind));
    }
    if spec.key_size != 4 {
        return Err(MapError::KeySize(kind, spec.key_size));
    }
    if spec.value_size != 4 && (spec.value_size != 8 || kind == MapType::Xskmap) {
        return Err(MapError::ValueSize(kind, spec.value_size));
    }
    let access = if kind == MapType::Cpumap { 0 } else { BPF_F_RDONLY | BPF_F_WRONLY };
    super::check::flags(spec, BPF_F_NUMA_NODE | access)?;
    if kind == MapType::Cpumap && spec.max_entries > NR_CPUS {
        return Err(MapError::TooManyEntries(kind, spec.max_entries));
    }
    Ok(())
}

fn index(key: &[u8]) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(key.try_into().map_err(|_| Errno::EINVAL)?))
}

fn target(spec: &MapSpec, entry: Entry<'_>) -> Result<Option<Arc<Target>>, Errno> {
    match entry {
        Entry::Target(value, guest) => Target::new(spec, value, guest),
        Entry::Map(_) => Err(Errno::EINVAL),
    }
}

/// Entries by index.
#[derive(Debug)]
pub(super) struct Indexed {
    slots: Slots<Target>,
    spec: MapSpec,
    nr_cpus: u32,
}

impl Indexed {
    pub(super) fn new(m: &Making<'_>) -> Result<Self, MapError> {
        Ok(Indexed { slots: Slots::new(m)?, spec: *m.spec, nr_cpus: m.cfg.nr_cpus })
    }

    fn word(&self, target: &Target) -> u64 {
        if self.spec.kind == MapType::Xskmap { u64::from(target.value()) | SOCKET } else { target.word() }
    }

    /// Whether that socket is the entry's.
    fn holds_socket(&self, index: u32, entry: &Entry<'_>) -> bool {
        let Entry::Target(value, _) = entry else { return false };
        let word = self.slots.word(index).map_or(0, |w| w.load(Ordering::Relaxed));
        number(value).is_some_and(|socket| word == u64::from(socket) | SOCKET)
    }

    /// What only some types ask.
    fn check_value(&self, index: u32, value: Option<u32>) -> Result<(), Errno> {
        if self.spec.kind == MapType::Cpumap {
            if value.is_some_and(|queue| queue > MAX_QUEUE) {
                return Err(Errno::EOVERFLOW);
            }
            if index >= self.nr_cpus {
                return Err(Errno::ENODEV);
            }
        }
        Ok(())
    }
}

impl MapOps for Indexed {
    unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: a key of four bytes, readable by the caller's word.
        match self.slots.word(unsafe { read_index(key) }) {
            // Programs may only read it (of an interface the entry's value, of a socket its queue number).
            Some(word) if word.load(Ordering::Relaxed) != 0 => word.as_ptr().cast(),
            _ => null_mut(),
        }
    }

    fn redirect(&self, index: u32) -> *const Target {
        self.slots.get(index)
    }

    fn next_target(&self, cursor: &mut u32) -> Option<(u32, *const Target)> {
        while *cursor < self.slots.used() {
            let index = *cursor;
            *cursor += 1;
            let target = self.slots.get(index);
            if !target.is_null() {
                return Some((index, target));
            }
        }
        None
    }

    fn let_programs_go(&self, retire: &mut dyn FnMut(Reference)) {
        for index in 0..self.slots.used() {
            // SAFETY: null, or an entry that nobody retires before it is taken out here.
            let has_program = unsafe { self.slots.get(index).as_ref() }.is_some_and(|t| !t.prog().is_null());
            if has_program && let Ok(Some(old)) = self.slots.set(index, 0, None) {
                retire(Reference::Target(old));
            }
        }
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        if self.spec.kind == MapType::Xskmap {
            return Err(Errno::EOPNOTSUPP);
        }
        let word = self.slots.word(index(key)?).map_or(0, |w| w.load(Ordering::Relaxed));
        if word == 0 {
            return Err(Errno::ENOENT);
        }
        copy_word(word, out);
        Ok(())
    }

    fn set(&self, _: u32, key: &[u8], entry: Entry<'_>, flags: u64) -> Result<Option<Reference>, Errno> {
        let index = index(key)?;
        let sockets = self.spec.kind == MapType::Xskmap;
        // Kernel: an entry of a device or CPU map always exists, one of a socket map only when set.
        let there = !sockets || !self.slots.get(index).is_null();
        // Kernel: the socket that is there once more is no change, BPF_NOEXIST or not.
        if sockets && flags <= BPF_EXIST && self.holds_socket(index, &entry) {
            return Ok(None);
        }
        match (check_update(index, self.slots.len(), flags), there) {
            (Err(Errno::EEXIST), false) => {}
            (Ok(()), false) if flags == BPF_EXIST => return Err(Errno::ENOENT),
            (answer, _) => answer?,
        }
        if let Entry::Target(value, _) = entry {
            self.check_value(index, number(value))?;
        }
        let target = target(&self.spec, entry)?;
        let word = target.as_ref().map_or(0, |t| self.word(t));
        Ok(self.slots.set(index, word, target)?.map(Reference::Target))
    }

    fn write(&self, _: u32, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn remove(&self, _: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        let index = index(key)?;
        if index >= self.slots.len() {
            return Err(Errno::EINVAL);
        }
        Ok(self.slots.set(index, 0, None)?.map(Reference::Target))
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let next = next_index(key.map(index).transpose()?, self.slots.len())?;
        copy_word(next.into(), out);
        Ok(())
    }

    #[cfg(test)]
    fn with_lock_held(&self, work: &mut dyn FnMut()) {
        self.slots.with_lock_held(work);
    }
}

/// Interfaces by key.
#[derive(Debug)]
pub(super) struct DevmapHash {
    keyed: Keyed<Target>,
    spec: MapSpec,
}

impl DevmapHash {
    pub(super) fn new(m: &Making<'_>) -> Result<Self, MapError> {
        Ok(DevmapHash { keyed: Keyed::new(m)?, spec: *m.spec })
    }
}

impl MapOps for DevmapHash {
    unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.keyed.words(key) }
    }

    fn redirect(&self, index: u32) -> *const Target {
        // SAFETY: a key of four bytes; the caller is a worker that uses the entry before its next quiescent point.
        unsafe { self.keyed.get((&raw const index).cast()) }
    }

    fn next_target(&self, cursor: &mut u32) -> Option<(u32, *const Target)> {
        while let Some(key) = self.keyed.next_key(cursor) {
            let index = u32::from_le_bytes(key);
            let target = self.redirect(index);
            if !target.is_null() {
                return Some((index, target));
            }
        }
        None
    }

    fn let_programs_go(&self, retire: &mut dyn FnMut(Reference)) {
        let mut cursor = 0;
        while let Some((index, target)) = self.next_target(&mut cursor) {
            // SAFETY: an entry that nobody retires before it is taken out here.
            let has_program = unsafe { !(*target).prog().is_null() };
            if has_program && let Some(old) = self.keyed.take_reference(&index.to_le_bytes()) {
                retire(Reference::Target(old));
            }
        }
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        copy_word(self.keyed.read(key)?, out);
        Ok(())
    }

    fn set(&self, slot: u32, key: &[u8], entry: Entry<'_>, flags: u64) -> Result<Option<Reference>, Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the key has the map's size, which is four bytes.
        let there = || unsafe { !self.keyed.words(key.as_ptr()).is_null() };
        if matches!(entry, Entry::Target(value, _) if number(value).is_some_and(|n| n != 0))
            && flags & BPF_NOEXIST != 0
            && there()
        {
            return Err(Errno::EEXIST);
        }
        let target = target(&self.spec, entry)?.ok_or(Errno::EINVAL)?;
        // Kernel: BPF_EXIST creates what is not there.
        let flags = flags & BPF_NOEXIST;
        Ok(self.keyed.set(slot, key, target, flags)?.map(Reference::Target))
    }

    fn write(&self, _: u32, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn remove(&self, slot: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        Ok(self.keyed.remove(slot, key)?.map(Reference::Target))
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.keyed.next(key, out)
    }

    #[cfg(test)]
    fn with_lock_held(&self, work: &mut dyn FnMut()) {
        self.keyed.with_lock_held(work);
    }
}
