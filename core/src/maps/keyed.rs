//! Entries by key that own references: the frame of HASH_OF_MAPS and DEVMAP_HASH.
//!
//! A hash holds for each key two words: what the entry says, and the place of its reference in a private array. A place is filled before the
//! key's element is published, and emptied after it was replaced or withdrawn, so that who finds an empty place, or one that says something else, looked at an element
//! that is gone, and looks again. Programs only read. Writers are control planes, one at a time.

use super::batch::{Batch, Copying, Removing};
use super::hash::Hash;
use super::hashed::Hashed;
use super::lock::take_private;
use super::memory::Region;
use super::shadow::Shadow;
use super::table::FreeLists;
use super::target::copy_word;
use super::{Making, MapError, MapSpec, MapType};
use crate::error::Errno;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering};
use core::ptr::{NonNull, null};

/// Bytes of the two words.
const VALUE_SIZE: u32 = 16;
/// Times that a lookup tries again while its key is being replaced.
const RETRIES: u32 = 64;

/// What an entry says: the word in map memory that a reference belongs to.
pub(super) trait Says {
    fn word(&self) -> u64;
}

/// The hash and the references.
#[derive(Debug)]
pub(super) struct Keyed<T> {
    hash: Hash<FreeLists>,
    shadow: Shadow<T>,
    free: spin::Mutex<Free>,
}

/// Places without a reference: a stack of those that had one, and all from `fresh` on.
#[derive(Debug)]
struct Free {
    stack: NonNull<AtomicU32>,
    len: usize,
    fresh: u32,
    end: u32,
    _private: Region,
}

impl Free {
    /// # Safety
    /// `index` is below `end`.
    unsafe fn at(&self, index: usize) -> &AtomicU32 {
        // SAFETY: the caller's word; the region has `end` places.
        unsafe { self.stack.add(index).as_ref() }
    }

    fn take(&mut self) -> Option<u32> {
        if let Some(top) = self.len.checked_sub(1) {
            self.len = top;
            // SAFETY: below `len`, which never exceeds the number of places given out.
            return Some(unsafe { self.at(top) }.load(Ordering::Relaxed));
        }
        let place = self.fresh;
        (place < self.end).then(|| {
            self.fresh += 1;
            place
        })
    }

    fn give(&mut self, place: u32) {
        // SAFETY: a place comes back when its reference was taken out, so at most once for each `take`, and `len` is below `end` here.
        unsafe { self.at(self.len) }.store(place, Ordering::Relaxed);
        self.len += 1;
    }
}

/// The hash inside, as a map of its own.
pub(super) fn hash_spec(spec: &MapSpec) -> MapSpec {
    MapSpec { kind: MapType::Hash, value_size: VALUE_SIZE, ..*spec }
}

impl<T: Says> Keyed<T> {
    pub(super) fn new(m: &Making<'_>) -> Result<Keyed<T>, MapError> {
        // One more than there are keys: a replaced entry keeps its place until the new one is seen.
        let end = m.spec.max_entries + 1;
        let private = m.private(end as usize * 4)?;
        let free = Free { stack: private.base().cast(), len: 0, fresh: 0, end, _private: private };
        Ok(Keyed {
            hash: Hash::new(m.region, &hash_spec(m.spec), m.cfg, m.l),
            shadow: Shadow::new(m, end as usize)?,
            free: spin::Mutex::new(free),
        })
    }

    /// The key's two words, or null.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    pub(super) unsafe fn words(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.hash.lookup(key) }
    }

    /// Word and place of a key.
    ///
    /// # Safety
    /// As `words`.
    unsafe fn find(&self, key: *const u8) -> Option<(u64, u64)> {
        // SAFETY: the caller's word.
        let words = NonNull::new(unsafe { self.words(key) })?.cast::<AtomicU64>();
        // SAFETY: a value of two words, 8-aligned map memory.
        unsafe {
            Some((words.as_ref().load(Ordering::Relaxed), words.add(1).as_ref().load(Ordering::Relaxed)))
        }
    }

    /// What the key's entry refers to, or null.
    ///
    /// # Safety
    /// `key` is readable for the key size. The caller is quiescent only after its use of the result.
    pub(super) unsafe fn get(&self, key: *const u8) -> *const T {
        for _ in 0..RETRIES {
            // SAFETY: the caller's word.
            let Some((word, place)) = (unsafe { self.find(key) }) else { return null() };
            let p = self.shadow.get(place as usize);
            // SAFETY: not null: a reference that is dropped only after the caller's next quiescent point.
            if !p.is_null() && unsafe { (*p).word() } == word {
                return p;
            }
        }
        null()
    }

    /// The first key of four bytes at or behind slot `cursor` of the table, which is moved behind it.
    pub(super) fn next_key(&self, cursor: &mut u32) -> Option<[u8; 4]> {
        let table = self.hash.table();
        while let Some(member) = table.member_from((*cursor).into()) {
            // A table has fewer slots than there are numbers; if not, the walk ends.
            *cursor = u32::try_from(member.nth() + 1).unwrap_or(u32::MAX);
            let mut key = [0; 4];
            table.copy_key_of(member, &mut key);
            if table.is_still_member(member) {
                return Some(key);
            }
        }
        None
    }

    /// Sets the entry of a key; the reference that was there comes back.
    ///
    /// # Errors
    /// As an update of a hash; EBUSY where another writer does not come to an end.
    pub(super) fn set(
        &self,
        slot: u32,
        key: &[u8],
        reference: Arc<T>,
        flags: u64,
    ) -> Result<Option<Arc<T>>, Errno> {
        let mut free = take_private(&self.free)?;
        // SAFETY: `control` checked that the key has its size; entries change under this lock only.
        let old = unsafe { self.find(key.as_ptr()) };
        let place = free.take().ok_or(Errno::E2BIG)?;
        let words = [reference.word(), u64::from(place)];
        // Nothing is there: places come back after they were emptied.
        self.shadow.swap(place as usize, Some(reference));
        // SAFETY: as above; the words are a value; the caller holds the slot.
        let done = unsafe { self.hash.update(key.as_ptr(), words.as_ptr().cast(), flags, slot) };
        let (gone, result) = match (done, old) {
            (Err(why), _) => (u64::from(place), Err(why)),
            (Ok(()), None) => return Ok(None),
            (Ok(()), Some((_, old))) => (old, Ok(())),
        };
        let out = self.empty(&mut free, gone);
        result.map(|()| out)
    }

    /// Removes a key; its reference comes back.
    ///
    /// # Errors
    /// ENOENT; EBUSY as `set`.
    pub(super) fn remove(&self, slot: u32, key: &[u8]) -> Result<Option<Arc<T>>, Errno> {
        self.remove_held(&mut *take_private(&self.free)?, slot, key)
    }

    /// The same, by who holds the lock.
    fn remove_held(&self, free: &mut Free, slot: u32, key: &[u8]) -> Result<Option<Arc<T>>, Errno> {
        // SAFETY: as in `set`.
        let (_, place) = unsafe { self.find(key.as_ptr()) }.ok_or(Errno::ENOENT)?;
        // SAFETY: as above; the caller holds the slot.
        unsafe { self.hash.delete(key.as_ptr(), slot)? };
        Ok(self.empty(free, place))
    }

    /// Copies keys and words from the slot of the hash on that `next` names, as the batch of a hash; removes them where `remove` says with which writer slot, and to whom the
    /// references go. The slot to go on at comes back in `next`.
    pub(super) fn batch(
        &self,
        next: &mut u32,
        b: &mut Batch<'_>,
        (key_size, value_size): (usize, usize),
        mut remove: Removing<'_, Arc<T>>,
    ) -> Result<(), Errno> {
        let hash: &dyn Hashed = &self.hash;
        let room = core::mem::take(&mut b.count) as usize;
        let places = b.keys.chunks_exact_mut(key_size).zip(b.values.chunks_exact_mut(value_size));
        for (key, value) in places.take(room) {
            let held = remove.is_some().then(|| take_private(&self.free)).transpose()?;
            let (mut words, mut after) = ([0; VALUE_SIZE as usize], *next);
            let mut one = Batch { keys: &mut *key, values: &mut words, count: 1, elem_flags: 0, flags: 0 };
            let sizes = (key_size, VALUE_SIZE as usize);
            let end = hash.batch(*next, &mut after, &mut one, sizes, Copying::Plain, None);
            if one.count == 1 {
                if let (Some(mut free), Some((slot, retire))) = (held, &mut remove) {
                    let gone = self.remove_held(&mut free, *slot, key)?;
                    // Whoever drops it may come back here.
                    drop(free);
                    gone.map(retire);
                }
                copy_word(first_word(&words), value);
                b.count += 1;
            }
            *next = after;
            end?;
        }
        Ok(())
    }

    /// Takes the reference of a key out and leaves the key, which then leads nowhere: for a map that no control plane writes to any more.
    pub(super) fn take_reference(&self, key: &[u8; 4]) -> Option<Arc<T>> {
        // SAFETY: a key of four bytes, which is the key size of maps of targets.
        let (_, place) = unsafe { self.find(key.as_ptr()) }?;
        self.shadow.swap(place as usize, None)
    }

    /// Empties a place. One that is empty already was named by memory that somebody else wrote to: it is free as it is.
    fn empty(&self, free: &mut Free, place: u64) -> Option<Arc<T>> {
        let out = self.shadow.swap(place as usize, None)?;
        free.give(place as u32);
        Some(out)
    }

    /// The word of a key.
    pub(super) fn read(&self, key: &[u8]) -> Result<u64, Errno> {
        let mut words = [0; VALUE_SIZE as usize];
        let hash: &dyn Hashed = &self.hash;
        hash.read(key, &mut words)?;
        Ok(first_word(&words))
    }

    pub(super) fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let hash: &dyn Hashed = &self.hash;
        hash.next(key, out)
    }

    /// Does `work` while a writer stands still in the middle.
    #[cfg(test)]
    pub(super) fn with_lock_held(&self, work: &mut dyn FnMut()) {
        let _held = self.free.lock();
        work();
    }
}

fn first_word(words: &[u8; VALUE_SIZE as usize]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *words;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
