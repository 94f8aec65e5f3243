//! RINGBUF: records of any size from many producers, in order of their reservation, to one consumer.
//!
//! The pages are the kernel's: consumer position, producer position, data. A record is a header of eight bytes (length, with a busy and a discard bit) and
//! its bytes, rounded up to eight. A producer reserves under the map's tagged lock, fills its record without it, and commits by one store (Release) that clears the busy
//! bit; the consumer stops at the first busy record (Acquire). Positions count bytes and never wrap.
//! Kernel: data pages are mapped twice, so that a record may wrap; uxdp: it never does: what is left at the end becomes a discarded record, which a consumer with a
//! doubled mapping reads right. A record that is so long that it fits only behind such a filler is refused once, until the consumer has passed the filler.
//! Whoever waits for records is woken at the next quiescent point: a commit that should wake rings the map's bell ([`super::wake`]).
//! Source: the kernel's `kernel/bpf/ringbuf.c` and libbpf's `ringbuf.c`.

use super::holders::Peers;
use super::layout::{CACHE_LINE, Cursor, Layout};
use super::lock::{Lock, Locked};
use super::ops::MapOps;
use super::spec::flags::BPF_F_NUMA_NODE;
use super::wake::Ringer;
use super::{Making, Map, MapConfig, MapError, MapSpec};
use crate::error::Errno;
use crate::mem::OutOfMemory;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use core::ops::ControlFlow;
use core::ptr::NonNull;

/// The record is being filled.
pub(super) const BUSY: u32 = 1 << 31;
/// Nobody wants the record.
pub(super) const DISCARD: u32 = 1 << 30;
/// Bytes of a record's header.
pub(super) const HEADER: u64 = 8;
/// Longest record.
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
/// Smallest ring: the smallest page.
const SMALLEST: u32 = 4096;
/// Records that one reservation looks at to find the oldest busy one.
const WALK: u32 = 4096;

/// Flags of a commit.
pub(crate) mod flags {
    pub(crate) const BPF_RB_NO_WAKEUP: u64 = 1;
    pub(crate) const BPF_RB_FORCE_WAKEUP: u64 = 2;
}

/// What a producer does with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Gives it to the consumer.
    Submit,
    /// Drops it.
    Discard,
}

/// Not mapped by the consumers that the kernel's rings have.
#[repr(C, align(64))]
struct Producers {
    lock: Lock,
    /// The oldest record that was busy when it was last looked for.
    pending: AtomicU64,
    consumer: Consumer,
}

/// On a line of its own.
#[repr(C, align(64))]
struct Consumer {
    /// Of a shared ring: one consumer at a time among all processes.
    lock: Lock,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    peers: Peers,
    producers: NonNull<Producers>,
    consumed: NonNull<AtomicU64>,
    produced: NonNull<AtomicU64>,
    data: NonNull<u8>,
    size: u64,
    /// Wakes the consumer.
    wake: Ringer,
    /// One consumer at a time.
    consuming: spin::Mutex<()>,
}

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec) -> Result<(), MapError> {
    let kind = spec.kind;
    super::check::flags(spec, BPF_F_NUMA_NODE)?;
    if spec.key_size != 0 {
        return Err(MapError::KeySize(kind, spec.key_size));
    }
    if spec.value_size != 0 {
        return Err(MapError::ValueSize(kind, spec.value_size));
    }
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(kind));
    }
    let whole = spec.max_entries.is_power_of_two() && spec.max_entries >= SMALLEST;
    if whole { Ok(()) } else { Err(MapError::RingSize(kind, spec.max_entries)) }
}

pub(super) fn layout(spec: &MapSpec, cfg: &MapConfig, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    l.align = cfg.page_size;
    l.pool = at.take(size_of::<Producers>(), CACHE_LINE)?;
    l.stride = cfg.page_size;
    l.values = at.take((2 * cfg.page_size).checked_add(spec.max_entries as usize)?, cfg.page_size)?;
    Some(())
}

impl Ring {
    pub(super) fn new(m: &Making<'_>) -> Result<Ring, OutOfMemory> {
        let (region, l) = (m.region, m.l);
        let (page, size) = (l.stride, m.spec.max_entries as usize);
        Ok(Ring {
            peers: m.peers.clone(),
            producers: region.section(l.pool, size_of::<Producers>()).cast(),
            consumed: region.section(l.values, 8).cast(),
            produced: region.section(l.values + page, 8).cast(),
            data: region.section(l.values + 2 * page, size),
            size: size as u64,
            wake: Ringer::new(m.cfg.wakes.as_ref())?,
            consuming: spin::Mutex::new(()),
        })
    }

    fn producers(&self) -> &Producers {
        // SAFETY: a section of the region, zeroed, of this size, which lives as long as the map.
        unsafe { self.producers.as_ref() }
    }

    pub(super) fn consumed(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.consumed.as_ref() }
    }

    pub(super) fn produced(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.produced.as_ref() }
    }

    /// A producer that died leaves nothing half done: a record is there with the store that moves the position.
    pub(super) fn lock(&self, slot: u32) -> Result<Locked<'_>, Errno> {
        self.producers().lock.take(slot, |slot| self.peers.is_gone(slot))
    }

    /// Of a shared ring, one consumer at a time among all processes.
    pub(super) fn lock_consumer(&self) -> Result<Option<Locked<'_>>, Errno> {
        let lock = &self.producers().consumer.lock;
        let take = || lock.take(self.peers.reader(), |slot| self.peers.is_gone(slot));
        self.peers.are_there().then(take).transpose()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes from a position to the data's end.
    pub(super) fn rest(&self, position: u64) -> u64 {
        self.size - (position & self.mask())
    }

    /// Wakes whoever is at the other end.
    pub(super) fn wake(&self) -> &Ringer {
        &self.wake
    }

    #[cfg(all(test, loom))]
    pub(super) fn set_pending_for_test(&self, at: u64) {
        self.producers().pending.store(at, Ordering::Relaxed);
    }

    fn mask(&self) -> u64 {
        self.size - 1
    }

    /// The length word of the record at a position, and where its bytes are.
    pub(super) fn record(&self, position: u64) -> (&AtomicU32, *mut u8) {
        let offset = (position & self.mask() & !7) as usize;
        // SAFETY: the offset is below the size, both multiples of eight: the header is inside, and the bytes begin at the end at the latest.
        unsafe {
            let at = self.data.as_ptr().add(offset);
            (&*at.cast::<AtomicU32>(), at.add(HEADER as usize))
        }
    }

    /// Behind a record's length, where the kernel has the page's number and no consumer looks: the slot of who fills it.
    pub(super) fn owner(&self, position: u64) -> &AtomicU32 {
        // SAFETY: the length is the first half of a header of eight bytes.
        unsafe { &*core::ptr::from_ref(self.record(position).0).add(1) }
    }

    /// Bytes that a record with this length word takes.
    pub(super) fn taken(word: u32) -> u64 {
        (u64::from(word & !(BUSY | DISCARD)) + HEADER).next_multiple_of(8)
    }

    /// Goes on to the oldest busy record. What lies before it may be overwritten as far as the consumer has read.
    fn pending(&self, produced: u64) -> u64 {
        let place = &self.producers().pending;
        let mut at = place.load(Ordering::Relaxed);
        for _ in 0..WALK {
            if at >= produced {
                at = produced;
                break;
            }
            let word = self.record(at).0.load(Ordering::Relaxed);
            if word & BUSY != 0 {
                break;
            }
            at = at.wrapping_add(Self::taken(word));
        }
        place.store(at.min(produced), Ordering::Relaxed);
        at.min(produced)
    }

    /// Room for a record of `size` bytes, or null.
    pub(super) fn reserve(&self, size: u64, slot: u32) -> *mut u8 {
        if size > MAX_RECORD {
            return core::ptr::null_mut();
        }
        let len = (size + HEADER).next_multiple_of(8);
        // One byte less than the data is the most, so that there is no filler for what never fits.
        if len > self.mask() {
            return core::ptr::null_mut();
        }
        // The map's slot, which this process holds: a lock or a record of a slot that nobody holds is taken for a dead one's.
        let Ok(slot) = self.peers.slot(slot) else { return core::ptr::null_mut() };
        // Acquire: pairs with the consumer's store, so that its reads of what is overwritten are over.
        let consumed = self.consumed().load(Ordering::Acquire);
        let Ok(_locked) = self.lock(slot) else { return core::ptr::null_mut() };
        let start = self.produced().load(Ordering::Relaxed) & !7;
        let pending = self.pending(start);
        let fits =
            |end: u64| end.wrapping_sub(consumed) <= self.mask() && end.wrapping_sub(pending) <= self.mask();
        let rest = self.size - (start & self.mask());
        let filler = if len > rest { rest } else { 0 };
        let fill = || {
            // What the consumer passes over.
            self.record(start).0.store((filler - HEADER) as u32 | DISCARD, Ordering::Relaxed);
        };
        if !fits(start.wrapping_add(filler + len)) {
            // Even an empty ring has no room behind the filler: let the consumer pass it first.
            if filler != 0 && filler + len > self.mask() && fits(start.wrapping_add(filler)) {
                fill();
                self.produced().store(start.wrapping_add(filler), Ordering::Release); // pairs with the consumer's load
            }
            return core::ptr::null_mut();
        }
        if filler != 0 {
            fill();
        }
        let start = start.wrapping_add(filler);
        let (word, bytes) = self.record(start);
        self.owner(start).store(slot, Ordering::Relaxed);
        word.store(size as u32 | BUSY, Ordering::Relaxed);
        // Release: pairs with the consumer's load; it finds the header busy.
        self.produced().store(start.wrapping_add(len), Ordering::Release);
        bytes
    }

    /// Whether `bytes` is the start of a record's bytes in this ring.
    fn has(&self, bytes: *const u8) -> bool {
        let offset = bytes.addr().wrapping_sub(self.data.as_ptr().addr() + HEADER as usize);
        (offset as u64) < self.size
    }

    /// Notes that the consumer is to be woken, as the flags and its position say.
    fn committed(&self, bytes: *const u8, flags: u64) {
        let position = bytes.addr().wrapping_sub(self.data.as_ptr().addr() + HEADER as usize) as u64;
        let waits = || self.consumed().load(Ordering::Acquire) & self.mask() == position;
        if flags & flags::BPF_RB_FORCE_WAKEUP != 0 || (flags & flags::BPF_RB_NO_WAKEUP == 0 && waits()) {
            self.wake.ring();
        }
    }

    /// Hands each record to `each`, oldest first, until it says so, or there is none that is whole.
    fn consume(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<usize, Errno> {
        let _consuming = self.consuming.try_lock().ok_or(Errno::EBUSY)?;
        let _shared = self.lock_consumer()?;
        let mut n = 0;
        let mut at = self.consumed().load(Ordering::Relaxed);
        loop {
            // Acquire: pairs with the store in `reserve`.
            let produced = self.produced().load(Ordering::Acquire);
            if at >= produced {
                return Ok(n);
            }
            if produced - at > self.size {
                return Err(Errno::EPROTO);
            }
            let (word, bytes) = self.record(at);
            // Acquire: pairs with the store of the commit, so that the bytes are whole.
            let word = word.load(Ordering::Acquire);
            if word & BUSY != 0 {
                return Ok(n);
            }
            let taken = Self::taken(word);
            let rest = self.size - (at & self.mask());
            if taken > produced - at || taken > rest {
                return Err(Errno::EPROTO);
            }
            let mut flow = ControlFlow::Continue(());
            if word & DISCARD == 0 {
                // SAFETY: the record lies inside the data, as just checked; a committed record is nobody's but the consumer's until the position moves.
                flow = each(unsafe { core::slice::from_raw_parts(bytes, word as usize) });
                n += 1;
            }
            at += taken;
            self.consumed().store(at, Ordering::Release); // pairs with `reserve`
            if flow.is_break() {
                return Ok(n);
            }
        }
    }
}

/// Ends a reservation: clears the busy bit of the record whose bytes begin at `bytes`.
///
/// # Safety
/// `bytes` came from a reservation that did not end yet.
pub(super) unsafe fn end(bytes: *mut u8, commit: Commit) {
    // SAFETY: a record's header stands before its bytes.
    let word = unsafe { &*bytes.sub(HEADER as usize).cast::<AtomicU32>() };
    let len = word.load(Ordering::Relaxed) & !BUSY;
    let discard = if commit == Commit::Discard { DISCARD } else { 0 };
    // SeqCst: pairs with the consumer's Acquire; and of this store and the load of its position after it, the consumer sees one.
    word.swap(len | discard, Ordering::SeqCst);
}

/// Commits or discards a record of whatever ring. `rings` are those that are told to wake their consumers; false where it was of none of them, though its consumer may
/// want to be woken.
///
/// # Safety
/// `bytes` came from a reservation that did not end yet.
pub(crate) unsafe fn commit<'a>(
    bytes: *mut u8,
    commit: Commit,
    flags: u64,
    rings: impl Iterator<Item = &'a Map>,
) -> bool {
    // SAFETY: the caller's word.
    unsafe { end(bytes, commit) };
    match rings.filter_map(Map::ring).find(|r| r.has(bytes)) {
        Some(ring) => ring.committed(bytes, flags),
        None => return flags & flags::BPF_RB_NO_WAKEUP != 0,
    }
    true
}

impl Ring {
    /// Discards what `slot` has reserved and not ended, as far as the lock is to be had: a run of that slot was aborted.
    fn discard_of(&self, slot: u32) {
        let Ok(slot) = self.peers.slot(slot) else { return };
        let Ok(_locked) = self.lock(slot) else { return };
        let produced = self.produced().load(Ordering::Relaxed);
        let mut at = self.pending(produced);
        for _ in 0..WALK {
            if at >= produced {
                return;
            }
            let (word, bytes) = self.record(at);
            let seen = word.load(Ordering::Relaxed);
            if seen & BUSY != 0 && self.owner(at).load(Ordering::Relaxed) == slot {
                word.swap(seen & !BUSY | DISCARD, Ordering::SeqCst); // as in `end`
                self.committed(bytes, 0);
            }
            at = at.wrapping_add(Self::taken(seen));
        }
    }
}

impl Map {
    /// Discards the records of a ring that `slot` has reserved and not ended.
    pub(crate) fn discard_records(&self, slot: u32) {
        if let Some(ring) = self.ring() {
            ring.discard_of(slot);
        }
    }
}

impl MapOps for Ring {
    /// Records that dead producers were filling are discarded.
    fn recover(&self, is_gone: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        let _locked = self.lock(self.peers.reader())?;
        let produced = self.produced().load(Ordering::Relaxed);
        let mut at = self.consumed().load(Ordering::Relaxed);
        while at < produced && produced - at <= self.size {
            let (word, _) = self.record(at);
            let seen = word.load(Ordering::Relaxed);
            if seen & BUSY != 0 && is_gone(self.owner(at).load(Ordering::Relaxed)) {
                word.swap(seen & !BUSY | DISCARD, Ordering::SeqCst); // as in `end`
                self.wake.ring();
            }
            at = at.wrapping_add(Self::taken(seen));
        }
        Ok(())
    }

    fn ring(&self) -> Option<&Ring> {
        Some(self)
    }

    fn ringer(&self) -> Option<&Ringer> {
        Some(&self.wake)
    }
}

impl Map {
    fn ring(&self) -> Option<&Ring> {
        self.ops()?.ring()
    }

    /// Room for a record of `size` bytes in a RINGBUF, 8-aligned, to be filled and then committed; null where there is none, or another producer does not
    /// come to an end. `slot` is the caller's.
    pub fn ringbuf_reserve(&self, size: u64, slot: u32) -> *mut u8 {
        self.ring().map_or(core::ptr::null_mut(), |r| r.reserve(size, slot))
    }

    /// Ends a reservation of this ring. `flags` are the helper's (BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP); others are ignored, as the kernel's helper does.
    ///
    /// # Safety
    /// `bytes` came from [`Map::ringbuf_reserve`] of this map and did not end yet.
    pub unsafe fn ringbuf_commit(&self, bytes: *mut u8, how: Commit, flags: u64) {
        // SAFETY: the caller's word.
        unsafe { commit(bytes, how, flags, core::iter::once(self)) };
    }

    /// Copies a record into a RINGBUF.
    ///
    /// # Safety
    /// `bytes` is readable for `size` bytes.
    ///
    /// # Errors
    /// EINVAL for flags and other types; EAGAIN where there is no room.
    pub unsafe fn ringbuf_output(
        &self,
        bytes: *const u8,
        size: u64,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        let ring = self.ring().ok_or(Errno::EINVAL)?;
        if flags & !(flags::BPF_RB_NO_WAKEUP | flags::BPF_RB_FORCE_WAKEUP) != 0 {
            return Err(Errno::EINVAL);
        }
        let to = ring.reserve(size, slot);
        if to.is_null() {
            return Err(Errno::EAGAIN);
        }
        // SAFETY: `size` bytes that were just reserved, and the caller's word; the program's memory may be this ring's, elsewhere.
        unsafe {
            core::ptr::copy(bytes, to, size as usize);
            end(to, Commit::Submit);
        }
        ring.committed(to, flags);
        Ok(())
    }

    /// What a RINGBUF says of itself, as BPF_RB_AVAIL_DATA (0), _RING_SIZE (1), _CONS_POS (2) and _PROD_POS (3); 0 for everything else.
    pub fn ringbuf_query(&self, what: u64) -> u64 {
        let Some(ring) = self.ring() else { return 0 };
        let consumed = || ring.consumed().load(Ordering::Acquire);
        let produced = || ring.produced().load(Ordering::Acquire);
        match what {
            0 => {
                let from = consumed();
                produced().wrapping_sub(from)
            }
            1 => ring.size,
            2 => consumed(),
            3 => produced(),
            _ => 0,
        }
    }

    /// Hands the records of a RINGBUF to `each`, oldest first, until it breaks or there is none that is whole; how many. One consumer at a time.
    ///
    /// # Errors
    /// EINVAL for other types, EBUSY while another thread consumes, EPROTO where somebody else wrote nonsense into shared memory.
    pub fn ringbuf_consume(&self, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<usize, Errno> {
        self.ring().ok_or(Errno::EINVAL)?.consume(each)
    }

    /// Whether a commit since the last call wants the consumer of a RINGBUF to be woken.
    pub fn ringbuf_take_wake(&self) -> bool {
        self.ring().is_some_and(|r| r.wake.take())
    }
}
