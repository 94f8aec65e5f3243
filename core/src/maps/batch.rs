//! Many elements in one call, lookup-and-delete, and one CPU slot's value: the rest of bpf(2)'s operations on maps.
//!
//! Sizes and flags are checked before anything happens; what happened before an error counts in the batch. The answers are the kernel's, asked through bpf(2); see
//! the table in the tests.
//!
//! A walk goes on at a cursor. Tables of keys have the number of a slot, so that a walk meets each key that stays once. All others have the last key that was copied, and go to the
//! one after it: in a trie that begins anew where that key was deleted meanwhile, as the kernel's.
//! Source: `bpf_map_do_batch` and `generic_map_lookup_batch` in the kernel's `kernel/bpf/syscall.c`.

use super::control::index;
use super::hashed::Hashed;
use super::spec::flags::BPF_F_LOCK;
use super::{Kind, Map, MapType, Reference};
use crate::error::Errno;

/// The most that [`Map::batch_cursor_size`] says: the longest key of a trie, a length and 256 bytes.
pub const MAX_BATCH_CURSOR: usize = 260;

/// What a cursor is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// The number of a table's slot.
    Slots,
    /// The last key that was copied.
    Keys,
}

/// A key that a walk went past, and how long it is: 0 for none.
struct Passed(usize, [u8; MAX_BATCH_CURSOR]);

impl Default for Passed {
    fn default() -> Passed {
        Passed(0, [0; MAX_BATCH_CURSOR])
    }
}

impl Passed {
    fn get(&self) -> Option<&[u8]> {
        self.1.get(..self.0).filter(|key| !key.is_empty())
    }
}

/// A batch that removes what it copies: with this writer slot; who gets the references that were there.
pub(super) type Removing<'a, R = Reference> = Option<(u32, &'a mut dyn FnMut(R))>;

/// How values are copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// As they stand there: words are whole, values may be torn by writes in place.
    Plain,
    /// Under the value's lock, which every writer of that value takes (BPF_F_LOCK).
    Locked,
}

/// Room for keys and values of a batch that reads.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Keys, one behind the other.
    pub keys: &'a mut [u8],
    /// Values, each of [`Map::value_buffer_size`] bytes.
    pub values: &'a mut [u8],
    /// In: elements at most. Out: elements copied; unchanged where the call was refused at once.
    pub count: u32,
    /// Flags for each element: BPF_F_LOCK where values have a lock.
    pub elem_flags: u64,
    /// Flags of the call: none exists; arrays ignore them, as the kernel's do.
    pub flags: u64,
}

/// Keys and values of a batch that writes.
#[derive(Clone, Copy, Debug)]
pub struct BatchInput<'a> {
    /// Keys, one behind the other.
    pub keys: &'a [u8],
    /// Values, each of [`Map::value_buffer_size`] bytes; nothing for deletions.
    pub values: &'a [u8],
    /// In: elements. Out: elements written before an error; unchanged where the call was refused at once.
    pub count: u32,
    /// Flags for each element: BPF_F_LOCK where values have a lock; deletions check it and do not use it.
    pub elem_flags: u64,
}

impl Map {
    /// The kinds that are tables of keys.
    pub(super) fn hashed(&self) -> Option<&dyn Hashed> {
        match &self.kind {
            Kind::Hash(h) => Some(h),
            Kind::PercpuHash(h) => Some(h),
            Kind::LruHash(h) => Some(h),
            Kind::LruPercpuHash(h) => Some(h),
            _ => None,
        }
    }

    /// How batches walk.
    ///
    /// # Errors
    /// ENOTSUPP for types that have none.
    fn walk(&self) -> Result<Walk, Errno> {
        match self.spec.kind {
            MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps => Ok(Walk::Slots),
            MapType::Array | MapType::PercpuArray | MapType::ArrayOfMaps | MapType::LpmTrie => Ok(Walk::Keys),
            _ => Err(Errno::ENOTSUPP),
        }
    }

    /// Copies the value of a key to `out`, as [`Map::lookup_elem`], and removes the key; pops a QUEUE or STACK. `slot` is a writer slot that the caller holds.
    ///
    /// # Errors
    /// ENOENT; ENOTSUPP for arrays; EINVAL for flags and sizes; EPERM where the control plane may not read or not write; EBUSY as [`Map::update_elem`].
    pub fn lookup_and_delete_elem(
        &self,
        slot: u32,
        key: &[u8],
        out: &mut [u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        self.access.may_read()?;
        self.write_access(|| {
            self.check_sizes(key, Some(out.len()))?;
            let how = self.copying(flags)?;
            if let Some(ops) = self.control_ops() {
                let w = self.writer(slot)?;
                return ops.take(w.slot(), key, out);
            }
            let h = self.hashed().ok_or(Errno::ENOTSUPP)?;
            let w = self.writer(slot)?;
            h.take_out(key, out, how, w.slot())
        })?
    }

    /// How the flags of an element have its value copied.
    fn copying(&self, elem_flags: u64) -> Result<Copying, Errno> {
        match elem_flags {
            0 => Ok(Copying::Plain),
            BPF_F_LOCK if self.spec.fields.spin_lock.is_some() => Ok(Copying::Locked),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Bytes of the cursor of [`Map::lookup_batch`]: of a trie a key, else four.
    pub fn batch_cursor_size(&self) -> usize {
        match self.walk() {
            Ok(Walk::Keys) => self.spec.key_size as usize,
            _ => size_of::<u32>(),
        }
    }

    /// Copies the next elements behind `from`, a cursor that an earlier call wrote to `next`, or the first ones for `None`.
    ///
    /// A cursor has [`Map::batch_cursor_size`] bytes. A key that is there throughout a walk is copied once, keys that come or go meanwhile may be or not. A trie's walk begins
    /// anew where the key that it stands at was deleted. Of a map of maps the values are ids; empty entries of an array are passed over.
    ///
    /// # Errors
    /// ENOENT with the last element, or behind it: `count` says how many were copied all the same. ENOTSUPP for other types than hashes, arrays, maps of maps and
    /// tries, EINVAL for flags, EFAULT for buffers that are too short, EPERM where the control plane may not read, EBUSY where a lock is not to be had. Never ENOSPC: every
    /// buffer fits something.
    pub fn lookup_batch(
        &self,
        from: Option<&[u8]>,
        next: &mut [u8],
        batch: &mut Batch<'_>,
    ) -> Result<(), Errno> {
        self.access.may_read()?;
        self.read_batch(from, next, batch, None)
    }

    /// As [`Map::lookup_batch`], and removes what it copies. `slot` is a writer slot that the caller holds. What entries referred to goes to `retire`, which drops it after a
    /// grace period.
    ///
    /// # Errors
    /// As [`Map::lookup_batch`]; ENOTSUPP for arrays and tries; EPERM where the control plane may not read or not write; EBUSY as [`Map::update_elem`].
    pub fn lookup_and_delete_batch(
        &self,
        slot: u32,
        from: Option<&[u8]>,
        next: &mut [u8],
        batch: &mut Batch<'_>,
        retire: &mut dyn FnMut(Reference),
    ) -> Result<(), Errno> {
        self.access.may_read()?;
        self.write_access(|| match self.walk()? {
            Walk::Slots => self.read_batch(from, next, batch, Some((slot, retire))),
            Walk::Keys => Err(Errno::ENOTSUPP),
        })?
    }

    fn read_batch(
        &self,
        from: Option<&[u8]>,
        next: &mut [u8],
        batch: &mut Batch<'_>,
        remove: Removing<'_>,
    ) -> Result<(), Errno> {
        let walk = self.walk()?;
        let how = self.copying(batch.elem_flags)?;
        if walk == Walk::Slots && batch.flags != 0 {
            return Err(Errno::EINVAL);
        }
        if batch.count == 0 {
            return Ok(());
        }
        let sizes = (self.spec.key_size as usize, self.value_buffer_size());
        fits(batch.keys.len(), sizes.0, batch.count)?;
        fits(batch.values.len(), sizes.1, batch.count)?;
        let cursor_size = self.batch_cursor_size();
        if next.len() != cursor_size || from.is_some_and(|from| from.len() != cursor_size) {
            return Err(Errno::EFAULT);
        }
        if walk == Walk::Keys {
            return self.walk_keys(from, next, batch, sizes);
        }
        let mut at = from.map(index).transpose()?.unwrap_or(0);
        let w = remove.as_ref().map(|(slot, _)| self.writer(*slot)).transpose()?;
        let slot = w.as_ref().map(|w| w.slot());
        let end = match self.hashed() {
            Some(h) => h.batch(at, &mut at, batch, sizes, how, slot),
            None => {
                let ops = self.control_ops().ok_or(Errno::ENOTSUPP)?;
                ops.batch(&mut at, batch, sizes, slot.zip(remove.map(|(_, retire)| retire)))
            }
        };
        next.copy_from_slice(&at.to_le_bytes());
        end
    }

    /// From key to key. The cursor stays as it is where nothing was copied.
    fn walk_keys(
        &self,
        from: Option<&[u8]>,
        next: &mut [u8],
        b: &mut Batch<'_>,
        sizes: (usize, usize),
    ) -> Result<(), Errno> {
        let room = core::mem::take(&mut b.count) as usize;
        let places = b.keys.chunks_exact_mut(sizes.0).zip(b.values.chunks_exact_mut(sizes.1));
        let (mut last, mut passed, mut end) = (from, Passed::default(), Ok(()));
        for (key, value) in places.take(room) {
            end = self.copy_after(last, key, value, b.elem_flags, &mut passed);
            if end.is_err() {
                break;
            }
            last = Some(key);
            passed.0 = 0;
            b.count += 1;
        }
        if let Some(last) = passed.get().or(last).filter(|_| b.count > 0) {
            next.copy_from_slice(last);
        }
        end
    }

    /// Copies the next key that has a value, and that. The last one on the way that has none stays in `passed`.
    fn copy_after(
        &self,
        last: Option<&[u8]>,
        key: &mut [u8],
        value: &mut [u8],
        elem_flags: u64,
        passed: &mut Passed,
    ) -> Result<(), Errno> {
        self.next_key(last, key)?;
        // A key that goes meanwhile leads back to the first: not for ever.
        for _ in 0..self.spec.max_entries {
            match self.lookup_elem(key, value, elem_flags) {
                Err(Errno::ENOENT) => {}
                done => return done,
            }
            passed.1.get_mut(..key.len()).ok_or(Errno::EINVAL)?.copy_from_slice(key);
            passed.0 = key.len();
            self.next_key(passed.get(), key)?;
        }
        Err(Errno::EBUSY)
    }

    /// Sets the values of many keys, in order. `slot` is a writer slot that the caller holds.
    ///
    /// # Errors
    /// Of the first update that failed, as [`Map::update_elem`] (a map of maps takes no numbers): `count` says how many went before. ENOTSUPP for types without batches,
    /// EINVAL for flags, EFAULT for buffers that are too short, EPERM where the control plane may not write.
    pub fn update_batch(&self, slot: u32, batch: &mut BatchInput<'_>) -> Result<(), Errno> {
        self.write_access(|| ())?;
        self.walk()?;
        let (key_size, value_size) = (self.spec.key_size as usize, self.value_buffer_size());
        self.copying(batch.elem_flags)?;
        let Some(count) = begin(batch, key_size, value_size)? else { return Ok(()) };
        let pairs = batch.keys.chunks_exact(key_size).zip(batch.values.chunks_exact(value_size));
        for (key, value) in pairs.take(count) {
            self.update_elem(slot, key, value, batch.elem_flags)?;
            batch.count += 1;
        }
        Ok(())
    }

    /// Removes many keys, in order. `slot` is a writer slot that the caller holds. What entries referred to goes to `retire`, which drops it after a grace period.
    ///
    /// # Errors
    /// Of the first deletion that failed: `count` says how many went before. ENOTSUPP for arrays and types without batches, else as [`Map::update_batch`].
    pub fn delete_batch(
        &self,
        slot: u32,
        batch: &mut BatchInput<'_>,
        retire: &mut dyn FnMut(Reference),
    ) -> Result<(), Errno> {
        self.write_access(|| ())?;
        if self.walk()? == Walk::Keys && self.spec.kind != MapType::LpmTrie {
            return Err(Errno::ENOTSUPP);
        }
        let key_size = self.spec.key_size as usize;
        self.copying(batch.elem_flags)?;
        let Some(count) = begin(batch, key_size, 0)? else { return Ok(()) };
        for key in batch.keys.chunks_exact(key_size).take(count) {
            if let Some(old) = self.delete_elem(slot, key)? {
                retire(old);
            }
            batch.count += 1;
        }
        Ok(())
    }

    /// Copies the value that one CPU slot has of a key of a per-CPU map. `out` has the value size.
    ///
    /// # Errors
    /// EINVAL for other maps and sizes, ERANGE for a CPU slot that is none, else as [`Map::lookup_elem`].
    pub fn lookup_elem_cpu(&self, key: &[u8], cpu: u32, out: &mut [u8]) -> Result<(), Errno> {
        self.access.may_read()?;
        self.check_cpu(key, cpu, out.len())?;
        match &self.kind {
            Kind::PercpuArray(a) => a.read_one(index(key)?, cpu, out),
            Kind::PercpuHash(h) => h.read_one(key, cpu, out),
            Kind::LruPercpuHash(h) => h.read_one(key, cpu, out),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Sets the value that one CPU slot has of a key of a per-CPU map; a new key's other values are zero. `value` has the value size, `slot` is a writer slot that
    /// the caller holds.
    ///
    /// # Errors
    /// EINVAL for other maps and sizes, ERANGE for a CPU slot that is none, else as [`Map::update_elem`].
    pub fn update_elem_cpu(
        &self,
        slot: u32,
        key: &[u8],
        (cpu, value): (u32, &[u8]),
        flags: u64,
    ) -> Result<(), Errno> {
        self.write_access(|| {
            self.check_cpu(key, cpu, value.len())?;
            let one = (cpu, value.as_ptr());
            match &self.kind {
                // SAFETY: `check_cpu` says that the value has its size.
                Kind::PercpuArray(a) => unsafe { a.update(index(key)?, value.as_ptr(), flags, cpu) },
                Kind::PercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: `check_cpu` says that key and value have their sizes; the slot is held.
                    unsafe { h.update(key.as_ptr(), one, flags, w.slot()) }
                }
                Kind::LruPercpuHash(h) => {
                    let w = self.writer(slot)?;
                    // SAFETY: as above.
                    unsafe { h.update(key.as_ptr(), one, flags, w.slot()) }
                }
                _ => Err(Errno::EINVAL),
            }
        })?
    }

    fn check_cpu(&self, key: &[u8], cpu: u32, value_size: usize) -> Result<(), Errno> {
        self.check_sizes(key, None)?;
        if !self.spec.kind.is_percpu() || value_size != self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        if cpu >= self.nr_cpus { Err(Errno::ERANGE) } else { Ok(()) }
    }
}

/// Checks a batch that writes: how many elements it has, or `None` for an empty one. Its count is zero from then on.
fn begin(batch: &mut BatchInput<'_>, key_size: usize, value_size: usize) -> Result<Option<usize>, Errno> {
    if batch.count == 0 {
        return Ok(None);
    }
    fits(batch.keys.len(), key_size, batch.count)?;
    fits(batch.values.len(), value_size, batch.count)?;
    Ok(Some(core::mem::take(&mut batch.count) as usize))
}

fn fits(bytes: usize, size: usize, count: u32) -> Result<(), Errno> {
    match size.checked_mul(count as usize) {
        Some(need) if need <= bytes => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}
