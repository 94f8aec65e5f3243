//! Elements that no key has: who takes one, and where it comes from.
//!
//! A writer slot takes from its own list of freed elements, then from its own range of elements never used, then a new range from the shared watermark,
//! and last from the lists and ranges of the others. So a map refuses (E2BIG) only when no element is free anywhere, and two cores that
//! insert and delete do not meet. Creation touches no element: the watermark starts at zero.
//!
//! Apart from that each writer slot has a spare beyond max_entries. An update of an existing key fills the spare and installs it; what it replaced is
//! the new spare. A full map can be updated therefore.
//!
//! Lists are Treiber stacks: the head has the element's index plus one and a counter that makes every head new; the link to the next element stands in the first key
//! word, which nobody trusts while the element is free. All indices read here are bounded before use.

use crate::error::Errno;
use crate::maps::layout::WRITER_BYTES;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};
use core::ptr::NonNull;

/// Fresh elements that a writer takes at a time.
const BATCH: u32 = 16;
/// Freed elements that an LRU's writer remembers.
pub(super) const HINTS: usize = 16;

/// What a writer slot has in map memory.
#[repr(C, align(128))]
pub(super) struct Writer {
    /// Freed elements: index + 1 of the first (0: none) in the low half, a counter in the high half.
    head: AtomicU64,
    /// Elements never used: the first in the low half, one beyond the last in the high half.
    pub(super) range: AtomicU64,
    /// The spare: index + 1; 0 is the one that the slot was born with.
    spare: AtomicU32,
    /// How many of `hints` there are.
    pub(super) nr_hints: AtomicU32,
    /// The element that the slot writes in place: index + 1; 0 is none. Such an element is not given out.
    pin: AtomicU64,
    /// Elements that an LRU's slot looks at next: the first in the low half, one beyond the last in the high half.
    pub(super) window: AtomicU64,
    /// Elements that an LRU's slot freed lately.
    pub(super) hints: [AtomicU32; HINTS],
    _reserved: [u64; 3],
}

const _: () = assert!(size_of::<Writer>() == WRITER_BYTES);

/// The elements of one map.
#[derive(Debug)]
pub(in crate::maps) struct Pool {
    pub(super) writers: NonNull<Writer>,
    pub(super) nr_writers: u32,
    pub(super) watermark: NonNull<AtomicU64>,
    /// Elements that the watermark gives out.
    pub(super) max_entries: u32,
    pub(super) elements: NonNull<u8>,
    pub(super) stride: usize,
    /// All elements, spares included.
    pub(super) nr_elements: u32,
}

impl Pool {
    /// Whether there is such a writer slot.
    pub(in crate::maps) fn has(&self, slot: u32) -> bool {
        slot < self.nr_writers
    }

    /// A slot's block. A slot beyond the last gets the last one's: callers have asked [`Pool::has`].
    pub(super) fn writer(&self, slot: u32) -> &Writer {
        let slot = slot.min(self.nr_writers - 1);
        // SAFETY: the layout has `nr_writers` blocks, at least one.
        unsafe { self.writers.add(slot as usize).as_ref() }
    }

    /// The first word of an element, where the index is one.
    #[inline]
    pub(in crate::maps) fn element(&self, index: u32) -> Option<*const AtomicU64> {
        if index >= self.nr_elements {
            return None;
        }
        // SAFETY: the layout has `nr_elements` elements of `stride` bytes, 8-aligned.
        Some(unsafe { self.elements.add(index as usize * self.stride) }.as_ptr().cast())
    }

    /// Where an element would begin.
    #[inline(always)]
    pub(super) fn likely(&self, index: u32) -> *const AtomicU64 {
        self.elements.as_ptr().wrapping_add(index as usize * self.stride).cast()
    }

    /// All elements, spares included.
    pub(in crate::maps) fn nr_elements(&self) -> u32 {
        self.nr_elements
    }

    /// The element at an address.
    pub(in crate::maps) fn index_at(&self, address: usize) -> Option<u32> {
        let skip = address.checked_sub(self.elements.as_ptr().addr())?;
        u32::try_from(skip.checked_div(self.stride)?).ok().filter(|i| *i < self.nr_elements)
    }

    /// Takes an element that no key has.
    pub(in crate::maps) fn take(&self, slot: u32) -> Option<u32> {
        let own = self.writer(slot);
        self.pop(own).or_else(|| self.fresh(own)).or_else(|| self.steal(slot))
    }

    /// Gives back an element that no key has.
    pub(in crate::maps) fn give(&self, slot: u32, index: u32) {
        let Some(element) = self.element(index) else { return };
        let head = &self.writer(slot).head;
        // Pairs with the Acquire fence of readers: who sees the link instead of a key, sees the slot word changed.
        fence(Ordering::Release);
        let mut old = head.load(Ordering::Relaxed);
        loop {
            // SAFETY: an element has at least one key word, 8-aligned.
            unsafe { (*element).store(old & u64::from(u32::MAX), Ordering::Relaxed) };
            let new = next_count(old) | u64::from(index + 1);
            // Release: pairs with the Acquire in `pop`, which then sees the link, and has whatever was done to the element behind it.
            match head.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    fn pop(&self, from: &Writer) -> Option<u32> {
        let mut old = from.head.load(Ordering::Acquire);
        loop {
            let index = (old as u32).checked_sub(1)?;
            let element = self.element(index)?;
            // SAFETY: as in `give`. Another thread may pop and reuse the element meanwhile: then the link is garbage, and the head's counter refuses the exchange.
            let next = unsafe { (*element).load(Ordering::Relaxed) } & u64::from(u32::MAX);
            // Acquire: pairs with the Release in `give`.
            match from.head.compare_exchange_weak(
                old,
                next_count(old) | next,
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(index),
                Err(now) => old = now,
            }
        }
    }

    /// An element never used, from the slot's own range or a new one.
    fn fresh(&self, own: &Writer) -> Option<u32> {
        if let Some(index) = self.cut_range(own, |first, end| (first, pack(first + 1, end))) {
            return Some(index);
        }
        // SAFETY: the layout has a line for it.
        let watermark = unsafe { self.watermark.as_ref() };
        let mut mark = watermark.load(Ordering::Relaxed);
        loop {
            let first = u32::try_from(mark).ok().filter(|first| *first < self.max_entries)?;
            let end = first + BATCH.min(self.max_entries - first);
            // Relaxed: elements never used have nothing to show; their memory is zero since creation.
            match watermark.compare_exchange_weak(mark, u64::from(end), Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    // Nobody changes an empty range but its slot, so that a store is enough.
                    own.range.store(pack(first + 1, end), Ordering::Relaxed);
                    return Some(first);
                }
                Err(now) => mark = now,
            }
        }
    }

    /// Takes one element off a range: `cut` says which, and what remains. A range never comes back, since the watermark only grows.
    fn cut_range(&self, writer: &Writer, cut: impl Fn(u32, u32) -> (u32, u64)) -> Option<u32> {
        let mut old = writer.range.load(Ordering::Relaxed);
        loop {
            let (first, end) = (old as u32, (old >> 32) as u32);
            if first >= end {
                return None;
            }
            let (index, rest) = cut(first, end);
            match writer.range.compare_exchange_weak(old, rest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (index < self.max_entries).then_some(index),
                Err(now) => old = now,
            }
        }
    }

    /// An element of another slot's, from its list or the end of its range.
    fn steal(&self, slot: u32) -> Option<u32> {
        (0..self.nr_writers).filter(|other| *other != slot).find_map(|other| {
            let other = self.writer(other);
            self.pop(other).or_else(|| self.cut_range(other, |first, end| (end - 1, pack(first, end - 1))))
        })
    }

    /// The slot's spare element. The slot's holder alone uses it.
    pub(in crate::maps) fn spare(&self, slot: u32) -> u32 {
        let born_with = self.max_entries + slot;
        match self.writer(slot).spare.load(Ordering::Relaxed).checked_sub(1) {
            Some(index) if index < self.nr_elements => index,
            _ => born_with,
        }
    }

    /// Makes an element the slot's spare.
    pub(in crate::maps) fn set_spare(&self, slot: u32, index: u32) {
        self.writer(slot).spare.store(index + 1, Ordering::Relaxed);
    }

    /// Announces that the slot writes an element in place. The caller checks afterwards, with a SeqCst load, that the element still has its key.
    pub(in crate::maps) fn pin(&self, slot: u32, index: u32) {
        // SeqCst: with that load it pairs with the exchange that took the element from its key and the loads in `is_pinned`. One of both sides sees the other.
        self.writer(slot).pin.store(u64::from(index) + 1, Ordering::SeqCst);
    }

    /// Ends what `pin` began.
    pub(in crate::maps) fn unpin(&self, slot: u32) {
        // Release: pairs with the load in `is_pinned`; the writes in place come before whatever the next owner writes.
        self.writer(slot).pin.store(0, Ordering::Release);
    }

    /// Whether somebody writes the element in place. It has no key any more, so that nobody begins to.
    pub(in crate::maps) fn is_pinned(&self, index: u32) -> bool {
        (0..self.nr_writers).any(|s| self.writer(s).pin.load(Ordering::SeqCst) == u64::from(index) + 1)
    }
}

impl Pool {
    /// Ends the pins of dead writers.
    pub(super) fn unpin_all(&self, is_gone: &dyn Fn(u32) -> bool) {
        (0..self.nr_writers).filter(|s| is_gone(*s)).for_each(|s| self.unpin(s));
    }

    /// Makes free what was ever given out, is no key's (`has_key` says) and no slot's spare, and gives each slot a spare. Nobody takes or gives meanwhile.
    ///
    /// A spare may have become a key's whose writer died before it noted the next one; then one of the free elements is the slot's.
    pub(super) fn rebuild(
        &self,
        has_key: &dyn Fn(u32) -> Result<bool, Errno>,
        is_gone: &dyn Fn(u32) -> bool,
    ) -> Result<(), Errno> {
        // SAFETY: the layout has a line for it.
        let given =
            unsafe { self.watermark.as_ref() }.load(Ordering::Relaxed).min(u64::from(self.max_entries));
        let has_spares = self.nr_elements > self.max_entries;
        let moved = |s: u32| self.writer(s).spare.load(Ordering::Relaxed) != 0;
        // A spare that its slot never exchanged was never written: it stays as it is.
        let spares = || (0..self.nr_writers).filter(|s| has_spares && moved(*s));
        let all = || (0..given as u32).chain(spares().map(|s| self.max_entries + s));
        for index in all() {
            if !has_key(index)? {
                self.set_link(index, 0);
            }
        }
        for s in 0..self.nr_writers {
            let w = self.writer(s);
            w.head
                .store(next_count(w.head.load(Ordering::Relaxed)) & !u64::from(u32::MAX), Ordering::Relaxed);
            w.range.store(0, Ordering::Relaxed);
        }
        // Which of the free elements are spares stands where their keys were: nothing else is written there now.
        for s in spares() {
            let spare = self.spare(s);
            if !has_key(spare)? {
                self.set_link(spare, SPARE);
            }
        }
        let owner = (0..self.nr_writers).find(|s| is_gone(*s)).unwrap_or(0);
        for index in all() {
            if !has_key(index)? && self.link(index) != SPARE {
                self.give(owner, index);
            }
        }
        for s in (0..self.nr_writers).filter(|_| has_spares) {
            if has_key(self.spare(s))?
                && let Some(index) = self.pop(self.writer(owner))
            {
                self.set_spare(s, index);
            }
        }
        Ok(())
    }

    fn link(&self, index: u32) -> u64 {
        // SAFETY: an element has at least one key word, 8-aligned.
        self.element(index).map_or(0, |e| unsafe { (*e).load(Ordering::Relaxed) })
    }

    fn set_link(&self, index: u32, link: u64) {
        fence(Ordering::Release); // as in `give`
        if let Some(e) = self.element(index) {
            // SAFETY: as above.
            unsafe { (*e).store(link, Ordering::Relaxed) };
        }
    }
}

/// Where an element's key was, while lists are told anew: it is some slot's spare.
const SPARE: u64 = u64::MAX;

/// The counter half of a list's head, one further.
fn next_count(head: u64) -> u64 {
    (head & !u64::from(u32::MAX)).wrapping_add(1 << 32)
}

/// Two numbers in one word.
pub(super) fn pack(first: u32, end: u32) -> u64 {
    u64::from(first) | u64::from(end) << 32
}
