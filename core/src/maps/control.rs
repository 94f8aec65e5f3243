//! The control plane of a map: the operations of bpf(2), on slices, from any thread, under the map's access rules.
//!
//! Access: BPF_F_RDONLY and BPF_F_WRONLY bind the control plane, freezing ends its writes for ever. A BPF_F_RDONLY_PROG array whose freezing succeeded is
//! constant from then on: writers announce themselves before they look at the flag, and freezing refuses while one is announced.

use super::holders::Inside;
use super::spec::flags::{BPF_EXIST, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY};
use super::{Kind, Map, MapSpec, Reference, fields, header};
use crate::error::Errno;
use crate::mem::{OutOfMemory, Vec};
use crate::sync::{AtomicBool, AtomicU32, Ordering};

/// Who writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// The control plane, which BPF_F_RDONLY binds.
    Control,
    /// The map's maker with its initial image.
    Maker,
}

/// Who may do what.
#[derive(Debug)]
pub(super) struct Access {
    flags: u32,
    frozen: AtomicBool,
    /// Frozen with no writer left.
    sealed: AtomicBool,
    /// Writers under way; counted only where freezing makes constant.
    writers: AtomicU32,
}

impl Access {
    pub(super) fn new(spec: &MapSpec) -> Access {
        Access {
            flags: spec.flags,
            frozen: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            writers: AtomicU32::new(0),
        }
    }

    pub(super) fn is_read_only_to_programs(&self) -> bool {
        self.flags & BPF_F_RDONLY_PROG != 0
    }

    pub(super) fn may_read(&self) -> Result<(), Errno> {
        if self.flags & BPF_F_WRONLY != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Does `work` as a write of the control plane.
    pub(super) fn write<T>(&self, work: impl FnOnce() -> T) -> Result<T, Errno> {
        self.write_as(Writer::Control, work)
    }

    fn write_as<T>(&self, writer: Writer, work: impl FnOnce() -> T) -> Result<T, Errno> {
        let counted = self.is_read_only_to_programs();
        if counted {
            // SeqCst, with the load below: pairs with the store and load in `freeze`. One of both sides sees the other.
            self.writers.fetch_add(1, Ordering::SeqCst);
        }
        let bound = writer == Writer::Control && self.flags & BPF_F_RDONLY != 0;
        let refused = bound || self.frozen.load(Ordering::SeqCst);
        let done = if refused { Err(Errno::EPERM) } else { Ok(work()) };
        if counted {
            // Release: pairs with the load in `freeze`, which then has this write behind it.
            self.writers.fetch_sub(1, Ordering::Release);
        }
        done
    }

    fn freeze(&self) -> Result<(), Errno> {
        if self.flags & BPF_F_RDONLY != 0 || self.frozen.swap(true, Ordering::SeqCst) {
            return Err(Errno::EPERM);
        }
        if self.writers.load(Ordering::SeqCst) != 0 {
            self.frozen.store(false, Ordering::SeqCst);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }
}

/// Which writer slots calls of the control plane use at this moment, so that two threads with one slot get an error and not each other's spare.
#[derive(Debug)]
pub(super) struct Holds(Vec<AtomicBool>);

impl Holds {
    pub(super) fn new(slots: u32) -> Result<Holds, OutOfMemory> {
        Ok(Holds(Vec::from_fn(slots as usize, |_| AtomicBool::new(false))?))
    }

    /// As `hold`, where the map has writers at all.
    pub(super) fn hold_if_any(&self, slot: u32) -> Result<Option<Held<'_>>, Errno> {
        if self.0.is_empty() { Ok(None) } else { self.hold(slot).map(Some) }
    }

    pub(super) fn hold(&self, slot: u32) -> Result<Held<'_>, Errno> {
        let held = self.0.get(slot as usize).ok_or(Errno::EBUSY)?;
        // Acquire: pairs with the Release of the holder before.
        if held.swap(true, Ordering::Acquire) { Err(Errno::EBUSY) } else { Ok(Held(held)) }
    }
}

/// A slot in use; ends when dropped.
pub(super) struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A call of the control plane as a writer: it alone uses its slot, and of a shared map it is inside.
pub(super) struct AsWriter<'a> {
    inside: Inside<'a>,
    _held: Option<Held<'a>>,
}

impl AsWriter<'_> {
    /// The slot, as the map counts it.
    pub(super) fn slot(&self) -> u32 {
        self.inside.slot()
    }
}

/// A four-byte key as an index.
pub(super) fn index(key: &[u8]) -> Result<u32, Errno> {
    Ok(u32::from_le_bytes(key.try_into().map_err(|_| Errno::EINVAL)?))
}

impl Map {
    /// Begins a write with a slot of the caller's.
    pub(super) fn writer(&self, slot: u32) -> Result<AsWriter<'_>, Errno> {
        let held = self.holds.hold_if_any(slot)?;
        Ok(AsWriter { inside: self.enter(slot)?, _held: held })
    }

    /// Does `work` as a write of the control plane, where no process has ended those.
    pub(super) fn write_access<T>(&self, work: impl FnOnce() -> T) -> Result<T, Errno> {
        if self.is_frozen() {
            return Err(Errno::EPERM);
        }
        self.access.write(work)
    }

    /// Bytes of the buffer that `lookup_elem` fills and `update_elem` reads: a value, or for a per-CPU map a value rounded up to 8 for each slot.
    pub fn value_buffer_size(&self) -> usize {
        let slots = if self.spec.kind.is_percpu() { self.nr_cpus as usize } else { 1 };
        self.spec.slot_value_size() * slots
    }

    pub(super) fn check_sizes(&self, key: &[u8], value: Option<usize>) -> Result<(), Errno> {
        let fits = key.len() == self.spec.key_size as usize
            && value.is_none_or(|size| size == self.value_buffer_size());
        if fits { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Copies the value of a key to `out`, which has exactly [`Map::value_buffer_size`] bytes: for a per-CPU map the values of all slots.
    ///
    /// # Errors
    /// ENOENT; EINVAL for sizes, and for flags but BPF_F_LOCK where values have a lock; EBUSY where that is not to be had; EPERM for a map whose control plane may not
    /// read.
    pub fn lookup_elem(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        // Flags are seen before access is, as in the kernel.
        let (0, locked) = fields::split(flags) else { return Err(Errno::EINVAL) };
        self.access.may_read()?;
        self.check_sizes(key, Some(out.len()))?;
        if locked {
            return self.read_locked(key, out);
        }
        match &self.kind {
            Kind::Array(a) => a.read(index(key)?, out),
            Kind::PercpuArray(a) => a.read_all(index(key)?, out),
            Kind::Hash(_) | Kind::PercpuHash(_) | Kind::LruHash(_) | Kind::LruPercpuHash(_) => {
                self.hashed().ok_or(Errno::EINVAL)?.read(key, out)
            }
            Kind::ProgArray(a) => {
                let id = a.id(index(key)?)?;
                out.copy_from_slice(&id.to_le_bytes());
                Ok(())
            }
            Kind::Ops(k) => k.control().read(key, out),
        }
    }

    /// Sets the value of a key from exactly [`Map::value_buffer_size`] bytes: for a per-CPU map the values of all slots. `slot` is a writer slot that the caller
    /// holds.
    ///
    /// # Errors
    /// EEXIST, ENOENT, E2BIG as the kernel's; EINVAL for flags, sizes and maps that hold references ([`Map::set_prog`],
    /// [`Map::set_map`], [`Map::set_target`]); EPERM for a map whose control
    /// plane may not write; EBUSY for a slot that is none or in use.
    pub fn update_elem(&self, slot: u32, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.write_access(|| {
            self.check_sizes(key, Some(value.len()))?;
            let (flags, locked) = fields::split(flags);
            if flags > BPF_EXIST || locked && self.spec.fields.spin_lock.is_none() {
                return Err(Errno::EINVAL);
            }
            if locked {
                let _held = self.holds.hold_if_any(slot)?;
                // SAFETY: `check_sizes` says that key and value have their sizes; the slot is held.
                return unsafe { self.update_locked(key.as_ptr(), value.as_ptr(), flags, slot) };
            }
            match &self.kind {
                // SAFETY: `check_sizes` says that `value` has the value size.
                Kind::Array(a) => unsafe { a.update(index(key)?, value.as_ptr(), flags) },
                Kind::PercpuArray(a) => a.update_all(index(key)?, value, flags),
                Kind::Hash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: `check_sizes` says that key and value have their sizes; the slot is held.
                    unsafe { h.update(key.as_ptr(), value.as_ptr(), flags, w.slot()) }
                }
                Kind::PercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as above, the value being that of all slots.
                    unsafe { h.update_all(key.as_ptr(), value.as_ptr(), flags, w.slot()) }
                }
                Kind::LruHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as for HASH.
                    unsafe { h.update(key.as_ptr(), value.as_ptr(), flags, w.slot()) }
                }
                Kind::LruPercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as for PERCPU_HASH.
                    unsafe { h.update_all(key.as_ptr(), value.as_ptr(), flags, w.slot()) }
                }
                Kind::ProgArray(a) => match index(key)? {
                    i if flags == 0 && i >= a.geometry().max_entries => Err(Errno::E2BIG),
                    _ => Err(Errno::EINVAL),
                },
                Kind::Ops(k) => {
                    let w = self.writer(slot)?;
                    k.control().write(w.slot(), key, value, flags)
                }
            }
        })?
    }

    /// Removes a key. What its entry referred to comes back: drop it after a grace period.
    ///
    /// # Errors
    /// ENOENT; EINVAL for arrays and sizes; E2BIG beyond the end of a PROG_ARRAY; EPERM, EBUSY as [`Map::update_elem`].
    pub fn delete_elem(&self, slot: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        self.write_access(|| {
            self.check_sizes(key, None)?;
            match &self.kind {
                Kind::Hash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: `check_sizes` says that the key has its size; the slot is held.
                    unsafe { h.delete(key.as_ptr(), w.slot()).map(|()| None) }
                }
                Kind::PercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as above.
                    unsafe { h.delete(key.as_ptr(), w.slot()).map(|()| None) }
                }
                Kind::LruHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as above.
                    unsafe { h.delete(key.as_ptr(), w.slot()).map(|()| None) }
                }
                Kind::LruPercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as above.
                    unsafe { h.delete(key.as_ptr(), w.slot()).map(|()| None) }
                }
                Kind::Array(_) | Kind::PercpuArray(_) => Err(Errno::EINVAL),
                Kind::ProgArray(a) => {
                    a.set(index(key)?, None)?.map(|p| Some(Reference::Prog(p))).ok_or(Errno::ENOENT)
                }
                Kind::Ops(k) => {
                    let w = self.writer(slot)?;
                    k.control().remove(w.slot(), key)
                }
            }
        })?
    }

    /// The key after `key` in the map's own order, the first for `None` or a key that is not there.
    ///
    /// # Errors
    /// ENOENT after the last; EINVAL for sizes; EPERM for a map whose control plane may not read.
    pub fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.access.may_read()?;
        self.check_sizes(out, None)?;
        if let Some(key) = key {
            self.check_sizes(key, None)?;
        }
        match &self.kind {
            Kind::Hash(_) | Kind::PercpuHash(_) | Kind::LruHash(_) | Kind::LruPercpuHash(_) => {
                self.hashed().ok_or(Errno::EINVAL)?.next(key, out)
            }
            Kind::Ops(k) => k.control().next(key, out),
            Kind::Array(_) | Kind::PercpuArray(_) | Kind::ProgArray(_) => {
                let next = super::array::next_index(key.map(index).transpose()?, self.spec.max_entries)?;
                out.copy_from_slice(&next.to_le_bytes());
                Ok(())
            }
        }
    }

    /// Ends all writes of the control plane for ever. A BPF_F_RDONLY_PROG array becomes constant, its memory read-only where the host can do that.
    ///
    /// # Errors
    /// EPERM where it is frozen already or BPF_F_RDONLY, EBUSY while a write is under way.
    pub fn freeze(&self) -> Result<(), Errno> {
        if self.is_frozen() {
            return Err(Errno::EPERM);
        }
        self.access.freeze()?;
        header::set_frozen(&self.region);
        if self.access.is_read_only_to_programs() {
            if matches!(self.kind, Kind::Array(_)) {
                // SAFETY: the control plane's writes have ended (`Access::freeze`), programs never write to it (BPF_F_RDONLY_PROG), the header is complete.
                unsafe { self.region.protect_read_only() };
            }
            // Release: pairs with the load in `const_data`.
            self.access.sealed.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether the control plane's writes have ended.
    pub fn is_frozen(&self) -> bool {
        // SAFETY: a word of the map's memory, which lives as long as the map.
        let by_others =
            self.frozen_by_others.is_some_and(|word| unsafe { word.as_ref() }.load(Ordering::SeqCst) != 0);
        by_others || self.access.frozen.load(Ordering::Relaxed)
    }

    /// The elements of an array that is constant: BPF_F_RDONLY_PROG and frozen. Element `i` begins at `i` times the geometry's stride.
    pub fn const_data(&self) -> Option<&[u8]> {
        match &self.kind {
            // SAFETY: sealed: no write of the control plane is under way or will begin, programs may not write, the memory is private.
            // Acquire: pairs with the store in `freeze`.
            Kind::Array(a) if self.access.sealed.load(Ordering::Acquire) => Some(unsafe { a.bytes() }),
            _ => None,
        }
    }

    /// Fills the first element of an array with an initial image (`.data`, `.rodata`, `.bss`); a shorter image leaves the rest zero.
    ///
    /// # Errors
    /// EINVAL for other types or an image larger than a value; EPERM where it is frozen.
    pub fn set_initial(&self, data: &[u8]) -> Result<(), Errno> {
        let Kind::Array(a) = &self.kind else { return Err(Errno::EINVAL) };
        if data.len() > self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        self.access.write_as(Writer::Maker, || {
            // SAFETY: element 0 exists, 8-aligned, of `value_size` bytes, which `data` does not exceed.
            unsafe { super::memory::store(a.lookup(0), data.as_ptr(), data.len()) };
        })
    }
}
