//! What the control plane does with every kind of hash alike: copies of values, the order of keys, lookup-and-delete, batches.
//!
//! A copy is taken between two looks at the slot word, so that it is one that the key had, as a whole, but for writes in place. None of this is a use that an LRU
//! counts. Nothing here waits: a key that is replaced a thousand times in a row, each within one copy, is busy.
//! Source of the batches' semantics: `__htab_map_lookup_and_delete_batch` in the kernel's `kernel/bpf/hashtab.c`.

use super::batch::{Batch, Copying};
use super::table::{Member, Table, with_key};
use crate::error::Errno;

/// Times that a copy of a value is tried again while writers replace it.
const RETRIES: u32 = 1000;

/// A kind that is a table of keys.
pub(super) trait Hashed {
    fn table(&self) -> &Table;

    /// Gives back an element that no key has. The caller holds the writer slot.
    fn give(&self, slot: u32, index: u32);

    /// Copies an element's value as the control plane sees it; `out` has that size.
    ///
    /// # Errors
    /// EBUSY where the value's lock is wanted and not to be had; a plain copy has none.
    fn copy(&self, index: u32, out: &mut [u8], how: Copying) -> Result<(), Errno>;
}

/// Finds a key, lets `copy` read its element, and sees to it that the element was the key's all the time.
pub(super) fn copy_found(
    h: &dyn Hashed,
    key: &[u8],
    mut copy: impl FnMut(u32) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let table = h.table();
    with_key!(table, key.as_ptr(), |k| {
        for _ in 0..RETRIES {
            let found = table.find(&k).ok_or(Errno::ENOENT)?;
            copy(found.index())?;
            if table.is_still(found) {
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    })
}

impl dyn Hashed + '_ {
    /// Copies the value of a key.
    pub(super) fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        copy_found(self, key, |index| self.copy(index, out, Copying::Plain))
    }

    /// Copies the key after `key`, which has the key size, to `out`, which has it too.
    pub(super) fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let table = self.table();
        let more = match key {
            Some(key) => with_key!(table, key.as_ptr(), |k| table.next(&k, out)),
            None => table.first(out),
        };
        if more { Ok(()) } else { Err(Errno::ENOENT) }
    }

    /// Copies the value of a key and removes it, with the very element that was copied.
    pub(super) fn take_out(&self, key: &[u8], out: &mut [u8], how: Copying, slot: u32) -> Result<(), Errno> {
        let table = self.table();
        with_key!(table, key.as_ptr(), |k| {
            for _ in 0..RETRIES {
                let found = table.find(&k).ok_or(Errno::ENOENT)?;
                self.copy(found.index(), out, how)?;
                if let Ok(index) = table.remove(found) {
                    self.give(slot, index);
                    return Ok(());
                }
            }
            Err(Errno::EBUSY)
        })
    }

    /// Copies keys and values from the slot on that `from` names; with a writer slot it removes them. The slot to go on at comes back in `next`.
    ///
    /// Kernel: a cursor is a bucket, and ENOSPC tells that one does not fit; uxdp: it is a slot, so that every buffer fits something.
    pub(super) fn batch(
        &self,
        from: u32,
        next: &mut u32,
        b: &mut Batch<'_>,
        sizes: (usize, usize),
        how: Copying,
        remove: Option<u32>,
    ) -> Result<(), Errno> {
        let mut places = b.keys.chunks_exact_mut(sizes.0).zip(b.values.chunks_exact_mut(sizes.1));
        let room = core::mem::take(&mut b.count);
        let mut at = u64::from(from);
        let mut end = Err(Errno::ENOENT);
        while let Some(first) = self.table().member_from(at) {
            if b.count == room {
                (at, end) = (first.nth(), Ok(()));
                break;
            }
            let Some((key, value)) = places.next() else { break };
            let mut member = Some(first);
            // Until one was copied whole; the slot may be emptied meanwhile, or have another key.
            let copied = loop {
                let Some(m) = member else { break Ok(None) };
                match self.copy_member(m, key, value, how, remove) {
                    Ok(true) => break Ok(Some(m)),
                    Ok(false) => member = self.table().member_from(m.nth()),
                    Err(why) => break Err((m, why)),
                }
            };
            match copied {
                Ok(Some(m)) => at = m.nth() + 1,
                Ok(None) => break,
                // The next call begins with the one whose lock was not to be had.
                Err((m, why)) => {
                    *next = u32::try_from(m.nth()).unwrap_or(u32::MAX);
                    return Err(why);
                }
            }
            b.count += 1;
        }
        if end.is_err() {
            at = self.table().nr_slots();
        }
        *next = u32::try_from(at).unwrap_or(u32::MAX);
        end
    }

    /// Copies a member, and removes it where that is wanted. False: its slot has changed meanwhile.
    fn copy_member(
        &self,
        m: Member,
        key: &mut [u8],
        value: &mut [u8],
        how: Copying,
        remove: Option<u32>,
    ) -> Result<bool, Errno> {
        let table = self.table();
        table.copy_key_of(m, key);
        self.copy(m.index(), value, how)?;
        Ok(match remove {
            None => table.is_still_member(m),
            Some(slot) => {
                // The exchange that removes it is the proof that key and value were its.
                let removed = with_key!(table, key.as_ptr(), |k| table.remove_member(m, &k));
                if removed {
                    self.give(slot, m.index());
                }
                removed
            }
        })
    }
}
