//! Elements of an LRU: a clock that gives unused ones a new key, without a lock and without lists.
//!
//! Behind its key an element has a mark: whether a key or a writer has it, and whether it was used since the clock's hand passed. The mark is the truth about free
//! elements. A writer takes, in this order:
//!
//! ```text
//! 1. an element that it freed itself lately        (up to 16 hints in its block; claimed by an exchange of the mark)
//! 2. an element never used                         (its own range, then 16 more from the watermark)
//! 3. what the hand finds: a free element           -> claimed
//!                         one not used since       -> its key is evicted
//!                         one used since           -> forgotten that it was, passed over
//!                         the 65th used one        -> evicted in spite of that
//! ```
//!
//! A writer takes windows of 16 elements from the shared hand and looks at them by itself, so that writers meet once in 16 evictions. New elements are where the
//! hand just was, so they have a whole turn to be used in: first in, first out with a second chance. Lookups by programs set the
//! mark's second half where it is not set; nothing else is ever written by a lookup.
//!
//! With BPF_F_NO_COMMON_LRU each CPU slot has a part of the elements, a hand and a watermark of its own, and evicts only there; client slots are dealt out over the parts.
//!
//! A free element need not be in any list to be found, so that a killed writer loses only the one that it was about to use.
//! Source: the clock algorithm (Corbató, 1968). The kernel's `kernel/bpf/bpf_lru_list.c` has lists under locks with the same second chance.

use super::group;
use super::key::{self, Hash};
use super::pool::{HINTS, Pool, Writer, pack};
use super::recover::Budget;
use super::word::{Pattern, Word};
use super::{Found, Place, SLOTS, Supply, Table};
use crate::error::Errno;
use crate::maps::layout::Layout;
use crate::maps::memory::Region;
use crate::maps::spec::flags::BPF_F_NO_COMMON_LRU;
use crate::maps::{MapConfig, MapSpec};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Ordering::Relaxed, fence};
use core::num::{NonZeroU32, NonZeroU64};
use core::ptr::NonNull;

/// Elements that a writer takes from the watermark or the hand at a time, at most.
const WINDOW: u32 = 16;
/// Used elements that get a second chance in one search.
const CHANCES: u32 = 64;
/// Elements that one search looks at.
const LOOKS: u32 = 256;
/// Where one element in so many was freed and is in no writer's hints, free ones are looked for first.
const WORTH_A_SEARCH: u64 = 64;

/// An index that is none.
const NO_ELEMENT: u32 = u32::MAX;

/// What an element has behind its key.
#[repr(C)]
struct Mark {
    /// 0: free, as in fresh memory; 1: a key or a writer has it.
    taken: AtomicU32,
    /// 1: used since the hand passed.
    used: AtomicU32,
}

/// Where elements come from that one group of writers shares.
#[repr(C, align(128))]
struct Part {
    /// Elements of this part that were ever given out.
    watermark: AtomicU64,
    /// Windows that the hand ever passed.
    hand: AtomicU64,
    /// About how many free elements are in no writer's hints.
    loose: AtomicU64,
}

/// Bytes of a part: two lines, because neighbours are fetched in pairs.
pub(in crate::maps) const PART_BYTES: usize = size_of::<Part>();

/// The clocks of one map.
#[derive(Debug)]
pub(in crate::maps) struct Clock {
    parts: NonNull<Part>,
    nr_parts: NonZeroU32,
    /// Elements of a part.
    part_size: NonZeroU32,
    window: u32,
    /// Windows of a part.
    nr_windows: NonZeroU64,
    mark_offset: usize,
}

impl Clock {
    /// Parts of an LRU.
    pub(in crate::maps) fn parts(spec: &MapSpec, cfg: &MapConfig) -> u32 {
        if spec.flags & BPF_F_NO_COMMON_LRU != 0 { cfg.nr_cpus } else { 1 }
    }

    fn part(&self, number: u32) -> &Part {
        // SAFETY: the layout has `nr_parts` parts; the remainder is below that.
        unsafe { self.parts.add((number % self.nr_parts) as usize).as_ref() }
    }

    /// An element's mark, where the index is one.
    #[inline]
    fn mark(&self, pool: &Pool, index: u32) -> Option<&Mark> {
        let element = pool.element(index)?;
        // SAFETY: the layout gives each element a mark behind its padded key, 8-aligned.
        Some(unsafe { &*element.cast::<u8>().add(self.mark_offset).cast::<Mark>() })
    }

    /// Makes a free element the caller's alone.
    fn claim(mark: &Mark) -> bool {
        // Acquire: pairs with the Release of whoever freed it, behind whose last access the next owner writes.
        mark.taken.load(Relaxed) == 0 && mark.taken.compare_exchange(0, 1, Ordering::Acquire, Relaxed).is_ok()
    }

    /// One that the slot freed itself. It may stand anywhere, also where the hand is about to be: so it counts as used.
    fn remembered(&self, pool: &Pool, own: &Writer) -> Option<u32> {
        // The block is its slot's alone: no exchanges.
        let mut n = own.nr_hints.load(Relaxed).min(HINTS as u32);
        while n > 0 {
            n -= 1;
            own.nr_hints.store(n, Relaxed);
            let index = own.hints.get(n as usize)?.load(Relaxed);
            if let Some(mark) = self.mark(pool, index)
                && Self::claim(mark)
            {
                mark.used.store(1, Relaxed);
                return Some(index);
            }
        }
        None
    }

    /// One never used.
    fn fresh(&self, pool: &Pool, slot: u32, own: &Writer) -> Option<u32> {
        let part = self.part(slot);
        let base = slot % self.nr_parts * self.part_size.get();
        loop {
            let range = own.range.load(Relaxed);
            let (first, end) = (range as u32, (range >> 32) as u32);
            // A longer one is none that a writer put there.
            if first < end && end - first <= self.window {
                own.range.store(pack(first + 1, end), Relaxed);
                // The hand may have been here before us.
                if self.mark(pool, first).is_some_and(Self::claim) {
                    return Some(first);
                }
                continue;
            }
            let mark = part.watermark.load(Relaxed);
            let first = u32::try_from(mark).ok().filter(|first| *first < self.part_size.get())?;
            let end = first + self.window.min(self.part_size.get() - first);
            // Relaxed: elements never used have nothing to show; their memory is zero since creation.
            if part.watermark.compare_exchange(mark, u64::from(end), Relaxed, Relaxed).is_ok() {
                own.range.store(pack(base + first, base + end), Relaxed);
            }
        }
    }

    /// The element that the slot looks at next.
    fn next(&self, slot: u32, own: &Writer) -> u32 {
        let window = own.window.load(Relaxed);
        let (mut first, mut end) = (window as u32, (window >> 32) as u32);
        if first >= end {
            let nth = self.part(slot).hand.fetch_add(1, Relaxed) % self.nr_windows;
            let offset = nth as u32 * self.window;
            first = slot % self.nr_parts * self.part_size.get() + offset;
            end = first + self.window.min(self.part_size.get() - offset);
        }
        own.window.store(pack(first + 1, end), Relaxed);
        first
    }

    /// An element that no key has any more; the key of `spared` stays.
    fn take_but(&self, table: &Table, slot: u32, spared: u32) -> Option<u32> {
        let own = table.pool.writer(slot);
        self.remembered(&table.pool, own)
            .or_else(|| self.fresh(&table.pool, slot, own))
            .or_else(|| self.sweep(table, slot, own, spared))
    }

    /// A free element, or one whose key is evicted for it.
    fn sweep(&self, table: &Table, slot: u32, own: &Writer, spared: u32) -> Option<u32> {
        let part = self.part(slot);
        let loose = part.loose.load(Relaxed);
        let patience =
            if loose >= (u64::from(self.part_size.get()) / WORTH_A_SEARCH).max(1) { CHANCES } else { 0 };
        for look in 0..LOOKS {
            let index = self.next(slot, own);
            let Some(mark) = self.mark(&table.pool, index) else { continue };
            if mark.taken.load(Relaxed) == 0 {
                if Self::claim(mark) {
                    mark.used.store(0, Relaxed);
                    // A hint of somebody's may be wrong now, and an element that was not loose counted as one: the number only guides the search.
                    let _ = part.loose.compare_exchange(loose, loose.saturating_sub(1), Relaxed, Relaxed);
                    return Some(index);
                }
                continue;
            }
            if look < patience {
                if look + 1 == patience {
                    // None near: so there are fewer than were counted.
                    let _ = part.loose.compare_exchange(loose, loose - loose.div_ceil(4), Relaxed, Relaxed);
                }
                continue;
            }
            if mark.used.load(Relaxed) != 0 && look < patience + CHANCES {
                mark.used.store(0, Relaxed);
            } else if index != spared && table.evict(index) {
                mark.used.store(0, Relaxed);
                return Some(index);
            }
        }
        None
    }
}

impl Supply for Clock {
    const NONE_LEFT: Errno = Errno::ENOMEM;
    const MARK_BYTES: usize = size_of::<Mark>();

    fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Clock {
        // Creation has refused maps without elements and environments without CPUs; elements are a multiple of the parts.
        let one_at_least = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let nr_parts = one_at_least(Self::parts(spec, cfg));
        let part_size = one_at_least(spec.max_entries / nr_parts);
        // Small maps in small windows, so that no writer holds a large share of them.
        let window = (part_size.get() / 8).clamp(1, WINDOW);
        Clock {
            parts: region.section(l.pool, nr_parts.get() as usize * PART_BYTES).cast(),
            nr_parts,
            part_size,
            window,
            nr_windows: one_at_least(part_size.get().div_ceil(window)).into(),
            mark_offset: (spec.key_size as usize).next_multiple_of(8),
        }
    }

    fn take(&self, table: &Table, slot: u32) -> Option<u32> {
        self.take_but(table, slot, NO_ELEMENT)
    }

    fn give(&self, table: &Table, slot: u32, index: u32) {
        let Some(mark) = self.mark(&table.pool, index) else { return };
        let own = table.pool.writer(slot);
        let owner = index / self.part_size;
        let n = own.nr_hints.load(Relaxed).min(HINTS as u32);
        let remembered = match own.hints.get(n as usize) {
            Some(hint) if owner == slot % self.nr_parts => {
                hint.store(index, Relaxed);
                own.nr_hints.store(n + 1, Relaxed);
                true
            }
            _ => false,
        };
        // Release: pairs with the Acquire of the next owner's claim.
        mark.taken.store(0, Ordering::Release);
        if !remembered {
            self.part(owner).loose.fetch_add(1, Relaxed);
        }
    }

    /// Kernel: takes a free or evicted element before it looks at the flags, and may evict the key that is updated; uxdp: only where it is needed, and that key
    /// only where there is no other.
    fn take_other(&self, table: &Table, slot: u32, old: u32) -> Option<u32> {
        let index = self.take_but(table, slot, old).or_else(|| self.take(table, slot))?;
        self.mark_used(table, index);
        Some(index)
    }

    fn give_other(&self, table: &Table, slot: u32, index: u32) {
        self.give(table, slot, index);
    }

    fn give_replaced(&self, table: &Table, slot: u32, index: u32) {
        self.give(table, slot, index);
    }

    fn recover(&self, table: &Table, is_gone: &dyn Fn(u32) -> bool, budget: &Budget) -> Result<(), Errno> {
        let pool = &table.pool;
        pool.unpin_all(is_gone);
        for own in (0..pool.nr_writers).filter(|s| is_gone(*s)).map(|s| pool.writer(s)) {
            own.nr_hints.store(0, Relaxed);
            own.range.store(0, Relaxed);
        }
        for index in 0..pool.max_entries {
            let Some(mark) = self.mark(pool, index).filter(|m| m.taken.load(Relaxed) != 0) else { continue };
            if !table.has_key(index, budget)? {
                mark.taken.store(0, Ordering::Release); // as in `give`
                self.part(index / self.part_size).loose.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    #[inline]
    fn mark_used(&self, table: &Table, index: u32) {
        if let Some(mark) = self.mark(&table.pool, index)
            && mark.used.load(Relaxed) == 0
        {
            mark.used.store(1, Relaxed);
        }
    }
}

impl Table {
    /// Takes the key of an element out of the table; the element is the caller's then. False: no key has it, or somebody else took it out.
    fn evict(&self, index: u32) -> bool {
        let Some(element) = self.pool.element(index) else { return false };
        // SAFETY: an element of this table.
        let hash = || unsafe { key::hash_at(element, self.key_size, self.secret) };
        let seen = hash();
        self.find_element(index, seen).is_some_and(|found| {
            // Pairs with the Release fence before a key is written. The key is read again now that the word is known: equal hashes name the word's own home,
            // or the exchange below fails.
            fence(Ordering::Acquire);
            hash() == seen && self.remove(found).is_ok()
        })
    }

    /// Where an element is, whose key has this hash.
    pub(super) fn find_element(&self, index: u32, hash: Hash) -> Option<Found> {
        let home = hash.bucket(self.nr_buckets);
        let pattern = Pattern::member(hash.tag());
        (0..=self.reach(home)).find_map(|distance| {
            let bucket = self.bucket(self.behind(home, distance));
            group::matching(bucket, pattern).find_map(|slot| {
                // Acquire: pairs with the exchange that published the element.
                let word = Word(bucket.words.get(slot)?.load(Ordering::Acquire));
                let place = Place { home, nth: distance * SLOTS as u32 + slot as u32 };
                (word.matches(pattern) && word.index() == index).then_some(Found { place, word })
            })
        })
    }
}
