//! Which process holds which writer slot of a shared map, and how what a dead one held comes back.
//!
//! A slot is a writer's place in a map: its number tags locks and names the writer's block of a hash. In a map of one process the environment deals them out. In a
//! shared map the memory says whose each is: a record a slot, with the number of the holder's process ([`Processes`]), taken by compare-exchange when the process
//! first writes with it and given back when its map goes. CPU slots are the same everywhere, so that of two processes whose workers have one number the second is told
//! EBUSY; client slots are whichever is free, and EBUSY where none is. Each process holds one client slot for its readers.
//!
//! Recovery has the gate, a lock: it waits for writers that are inside, keeps new ones out (EBUSY after a bound), lets the kind put itself in order, and
//! frees the slots of the dead. It may die itself at any point: the gate is robbed then, and everything done again.
//!
//! ```text
//! writer:    busy = 1; fence; gate free?  no: busy = 0, again           recovery:  gate = slot; fence
//!            ...                                                                   each slot with busy: wait, or its process is gone
//!            busy = 0                                                              order; free the slots of the dead; gate = 0
//! ```
//! The fences are SeqCst: of a writer's flag and the gate, one side sees the other. Only hashes have writers inside: the writers of other kinds hold the kind's
//! lock. Everything here is shared and not believed: a wrong record makes a slot busy or lets two writers have one, which mixes elements up and reaches nothing else.

use super::attach_error::AttachError;
use super::layout::Layout;
use super::lock::{Lock, Locked, NO_SLOT, TRIES};
use super::memory::Region;
use super::{MapConfig, MapError};
use crate::error::Errno;
use crate::mem::Vec;
use crate::platform::Processes;
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};
use core::hint::spin_loop;
use core::ptr::NonNull;

/// Bytes of the section for so many slots.
pub(super) const fn section_bytes(slots: usize) -> usize {
    size_of::<Head>() + slots * size_of::<Record>()
}

/// No writer is inside.
const OUT: u32 = 0;
/// A writer is between its first and last access.
const IN: u32 = 1;
/// What the slot's last holder held is in order.
const CLEAN: u32 = 0;
/// It died, and what it held is to be recovered.
const DIRTY: u32 = 1;

#[repr(C, align(64))]
struct Head {
    gate: Lock,
}

#[repr(C, align(64))]
struct Record {
    /// The number of the holder's process, 0 for none.
    process: AtomicU64,
    /// [`OUT`] or [`IN`].
    busy: AtomicU32,
    /// [`CLEAN`] or [`DIRTY`].
    state: AtomicU32,
}

/// A process's part of a shared map's slots.
pub(super) struct Holders {
    head: NonNull<Head>,
    records: NonNull<Record>,
    nr_slots: u32,
    nr_cpus: u32,
    own: u64,
    processes: &'static dyn Processes,
    /// For each slot by this process's numbers the map's slot + 1; 0 where none was needed yet.
    claimed: Vec<AtomicU32>,
    reader: u32,
}

// SAFETY: the addresses are of map memory, reached by atomic accesses alone, which lives as long as the map that owns this.
unsafe impl Send for Holders {}
// SAFETY: as above.
unsafe impl Sync for Holders {}

impl core::fmt::Debug for Holders {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Holders({} slots, {} CPUs)", self.nr_slots, self.nr_cpus)
    }
}

impl Holders {
    /// This process at the map in `region`, with a slot for its readers.
    ///
    /// # Errors
    /// Where processes cannot be told apart, no client slot is free, or memory is short.
    pub(super) fn new(region: &Region, cfg: &MapConfig, l: &Layout) -> Result<Holders, MapError> {
        let processes = cfg.processes.ok_or(AttachError::NoProcesses)?;
        let nr_slots = cfg.writer_slots;
        let section = region.section(l.holders, section_bytes(nr_slots as usize));
        // SAFETY: the section has the head and a record for each slot.
        let records = unsafe { section.add(size_of::<Head>()) }.cast();
        let mut holders = Holders {
            head: section.cast(),
            records,
            nr_slots,
            nr_cpus: cfg.nr_cpus,
            own: processes.own().ok_or(AttachError::NoProcesses)?,
            processes,
            claimed: Vec::from_fn(nr_slots as usize, |_| AtomicU32::new(0))?,
            reader: NO_SLOT,
        };
        holders.reader = holders.claim_client().or_else(|_| {
            // Dead processes may have them all. Their slots are not in order yet: no writer uses this one before they are.
            holders.first_of_the_dead().ok_or(AttachError::NoSlot)
        })?;
        Ok(holders)
    }

    fn gate(&self) -> &Lock {
        // SAFETY: the section begins with the head; the map that owns this keeps it.
        unsafe { &self.head.as_ref().gate }
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        if slot >= self.nr_slots {
            return None;
        }
        // SAFETY: there is a record for each slot.
        Some(unsafe { self.records.add(slot as usize).as_ref() })
    }

    fn records(&self) -> impl Iterator<Item = (u32, &Record)> {
        (0..self.nr_slots).filter_map(|slot| Some((slot, self.record(slot)?)))
    }

    /// The map's slot for one of this process's.
    #[inline]
    pub(super) fn slot(&self, local: u32) -> Result<u32, Errno> {
        let place = self.claimed.get(local as usize).ok_or(Errno::EBUSY)?;
        match place.load(Ordering::Relaxed).checked_sub(1) {
            Some(slot) => Ok(slot),
            None => self.claim(local, place),
        }
    }

    #[cold]
    fn claim(&self, local: u32, place: &AtomicU32) -> Result<u32, Errno> {
        let slot = if local < self.nr_cpus { self.claim_one(local) } else { self.claim_client() }?;
        place.store(slot + 1, Ordering::Relaxed);
        Ok(slot)
    }

    fn claim_client(&self) -> Result<u32, Errno> {
        (self.nr_cpus..self.nr_slots).find_map(|slot| self.claim_one(slot).ok()).ok_or(Errno::EBUSY)
    }

    fn claim_one(&self, slot: u32) -> Result<u32, Errno> {
        let record =
            self.record(slot).filter(|r| r.state.load(Ordering::Relaxed) == CLEAN).ok_or(Errno::EBUSY)?;
        // Acquire: pairs with the Release of the holder before, or of its recovery.
        let taken = record.process.compare_exchange(0, self.own, Ordering::Acquire, Ordering::Relaxed);
        taken.map(|_| slot).map_err(|_| Errno::EBUSY)
    }

    /// Takes over a client slot of a dead process, which is to be put in order before a lock is taken with it.
    fn first_of_the_dead(&self) -> Option<u32> {
        self.records().skip(self.nr_cpus as usize).find_map(|(slot, r)| {
            let held = r.process.load(Ordering::Relaxed);
            if held == self.own || !self.processes.is_gone(held) {
                return None;
            }
            r.state.store(DIRTY, Ordering::Relaxed);
            let taken = r.process.compare_exchange(held, self.own, Ordering::Acquire, Ordering::Relaxed);
            taken.ok().map(|_| {
                r.busy.store(OUT, Ordering::Relaxed);
                slot
            })
        })
    }

    /// Whether a number of the memory is no living process's.
    fn is_over(&self, process: u64) -> bool {
        process == 0 || process != self.own && self.processes.is_gone(process)
    }

    /// Whether nobody alive uses a slot.
    fn is_gone(&self, slot: u32) -> bool {
        self.record(slot).is_none_or(|r| {
            r.state.load(Ordering::Relaxed) == DIRTY || self.is_over(r.process.load(Ordering::Relaxed))
        })
    }

    /// Enters the map as a writer.
    #[inline]
    pub(super) fn enter(&self, local: u32) -> Result<Inside<'_>, Errno> {
        let slot = self.slot(local)?;
        let record = self.record(slot).ok_or(Errno::EBUSY)?;
        for _ in 0..TRIES {
            record.busy.store(IN, Ordering::Relaxed);
            fence(Ordering::SeqCst); // pairs with the fence in `begin`
            if self.gate().holder().is_none() {
                return Ok(Inside { slot, record: Some(record) });
            }
            record.busy.store(OUT, Ordering::Release);
            spin_loop();
        }
        Err(Errno::EBUSY)
    }

    /// Whether a recovery is due: a slot of a dead process, or a recovery that died.
    pub(super) fn is_due(&self) -> bool {
        let mut known = self.own;
        let gone = self.records().any(|(_, r)| {
            let p = r.process.load(Ordering::Relaxed);
            let news = p != 0 && p != known;
            known = if news { p } else { known };
            r.state.load(Ordering::Relaxed) == DIRTY || news && self.is_over(p)
        });
        gone || self.is_gate_left()
    }

    /// Whether a recovery died.
    pub(super) fn is_gate_left(&self) -> bool {
        self.gate().holder().is_some_and(|slot| self.is_gate_gone(slot))
    }

    /// Who recovers may stand in a slot that is to be recovered itself.
    fn is_gate_gone(&self, slot: u32) -> bool {
        self.record(slot).is_none_or(|r| self.is_over(r.process.load(Ordering::Relaxed)))
    }

    /// Begins a recovery: keeps writers out, and tells the dead.
    ///
    /// # Errors
    /// EBUSY while another recovers, or a living writer does not come out.
    pub(super) fn begin(&self) -> Result<Locked<'_>, Errno> {
        let gate = self.gate().take(self.reader, |slot| self.is_gate_gone(slot))?;
        fence(Ordering::SeqCst); // pairs with the fence in `enter`
        let (mut known, mut known_over) = (self.own, false);
        for (_, r) in self.records() {
            let p = r.process.load(Ordering::Relaxed);
            if p != known && p != 0 {
                (known, known_over) = (p, self.is_over(p));
            }
            if p != 0 && known_over {
                r.state.store(DIRTY, Ordering::Relaxed);
                continue;
            }
            if p == 0 {
                r.busy.store(OUT, Ordering::Relaxed);
            }
            let mut tries = 0;
            // Acquire: pairs with the store of who comes out.
            while r.busy.load(Ordering::Acquire) == IN {
                tries += 1;
                if tries == TRIES {
                    return Err(Errno::EBUSY);
                }
                spin_loop();
            }
        }
        Ok(gate)
    }

    /// Whether the recovery that has begun is this slot's.
    pub(super) fn is_recovered(&self, slot: u32) -> bool {
        self.record(slot).is_some_and(|r| r.state.load(Ordering::Relaxed) == DIRTY)
    }

    /// Ends a recovery: how many slots came free.
    pub(super) fn end(&self, gate: Locked<'_>) -> u32 {
        let mut freed = 0;
        for (_, r) in self.records().filter(|(_, r)| r.state.load(Ordering::Relaxed) == DIRTY) {
            let p = r.process.load(Ordering::Relaxed);
            if p != self.own {
                r.busy.store(OUT, Ordering::Relaxed);
            }
            r.state.store(CLEAN, Ordering::Relaxed);
            if p != 0 && p != self.own {
                r.process.store(0, Ordering::Release); // pairs with the Acquire of who takes it
                freed += 1;
            }
        }
        drop(gate);
        freed
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        let claimed = self.claimed.iter().map(|c| c.load(Ordering::Relaxed).wrapping_sub(1));
        for slot in claimed.chain([self.reader]) {
            if let Some(r) = self.record(slot) {
                // Release: pairs with the Acquire of who takes it.
                let _ = r.process.compare_exchange(self.own, 0, Ordering::Release, Ordering::Relaxed);
            }
        }
    }
}

/// A writer inside a map; it comes out when this is dropped.
pub(super) struct Inside<'a> {
    slot: u32,
    record: Option<&'a Record>,
}

impl Inside<'_> {
    /// The slot, as the map counts it.
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(r) = self.record {
            r.busy.store(OUT, Ordering::Release); // pairs with the load in `begin`
        }
    }
}

/// The other processes of a map, if it is shared at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Option<Arc<Holders>>);

impl Peers {
    pub(super) fn new(holders: Holders) -> Result<Peers, MapError> {
        Ok(Peers(Some(Arc::new(holders)?)))
    }

    pub(super) fn holders(&self) -> Option<&Holders> {
        self.0.as_deref()
    }

    pub(super) fn are_there(&self) -> bool {
        self.0.is_some()
    }

    /// Whether nobody alive uses a slot. Of a map that is not shared the user is a thread of ours.
    pub(super) fn is_gone(&self, slot: u32) -> bool {
        self.holders().is_some_and(|h| h.is_gone(slot))
    }

    /// The slot that readers of the control plane lock with.
    pub(super) fn reader(&self) -> u32 {
        self.holders().map_or(NO_SLOT, |h| h.reader)
    }

    /// The map's slot for one of this process's.
    #[inline]
    pub(super) fn slot(&self, local: u32) -> Result<u32, Errno> {
        match self.holders() {
            None => Ok(local),
            Some(h) => h.slot(local),
        }
    }

    /// Enters a map of keys as a writer.
    #[inline]
    pub(super) fn enter(&self, local: u32) -> Result<Inside<'_>, Errno> {
        match self.holders() {
            None => Ok(Inside { slot: local, record: None }),
            Some(h) => h.enter(local),
        }
    }
}
