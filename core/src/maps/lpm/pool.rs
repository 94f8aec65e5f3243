//! Memory of a trie: elements and blocks of nodes, given out, deferred, reused.
//!
//! Everything here is a writer's, under the lock, but for the two address computations. What was taken out of the trie is deferred with the epoch of its
//! withdrawal, in a ring; when no online worker lives in an older epoch, it goes to a free list by size. What never was given out is counted by watermarks, so
//! that a new map touches no memory.
//!
//! Epochs are one process's, and of workers alone. A counter moves before used memory is written again, and readers whom nothing waits for, those of a shared trie and of
//! control planes, look again if it moved.

use super::chunks::Chunks;
use super::node::{Draft, MAX_UNITS, Node, UNIT, units_for};
use crate::error::Errno;
use crate::maps::holders::Peers;
use crate::maps::layout::{CACHE_LINE, Cursor, Layout};
use crate::maps::lock::{Lock, Locked};
use crate::maps::reclaim::Epochs;
use crate::maps::{Making, MapSpec};
use crate::sync::{Arc, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed, fence};
use core::ptr::NonNull;

/// Elements and blocks beyond what a full map needs, for what waits for grace periods.
const SPARE: usize = 512;
/// Units that only withdrawals may take, so that a full trie can shrink.
const RESERVE: u32 = 4 * MAX_UNITS as u32;
/// Deferred things from which a writer looks whether some are free.
const MANY: u32 = 32;
/// The most that one writer frees.
const BATCH: u32 = 256;
/// Room in the ring that an operation needs: a path of nodes that are withdrawn.
const ROOM: u32 = 64;

/// In map memory. The lock orders everything.
#[repr(C)]
struct Control {
    lock: Lock,
    entries: AtomicU32,
    /// Elements that were ever given out.
    fresh_elements: AtomicU32,
    /// A list of free ones, by index + 1.
    free_elements: AtomicU32,
    /// Units that were ever given out; unit 0 is none.
    fresh_units: AtomicU32,
    /// Lists of free blocks by their units.
    free_blocks: [AtomicU32; MAX_UNITS + 1],
    /// Things ever deferred, and ever freed.
    deferred: AtomicU32,
    freed: AtomicU32,
    reuse: Reuse,
}

/// On a line of its own, which readers load whom nothing waits for.
#[repr(C, align(64))]
struct Reuse {
    /// Moves before used memory is written again.
    count: AtomicU64,
}

/// A thing that waits: what it is, and its epoch.
#[repr(C)]
struct Waiting {
    /// Units of a block, 0 for an element, [`CHUNK`] for a chunk; in the upper half its number.
    what: AtomicU64,
    epoch: AtomicU64,
}

/// What a chunk that waits has in place of units.
const CHUNK: u32 = u32::MAX;

/// Something that is no longer in the trie.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gone {
    /// An element, as index + 1.
    Element(u32),
    /// A block: its first unit.
    Block(u32),
    /// A chunk of what stands in front.
    Chunk(u32),
}

#[derive(Debug)]
pub(super) struct Pool {
    control: NonNull<Control>,
    elements: NonNull<u8>,
    stride: usize,
    nr_elements: u32,
    blocks: NonNull<u8>,
    nr_units: u32,
    ring: NonNull<Waiting>,
    ring_mask: u32,
    /// A bit a unit, then a bit an element: for repairs.
    marks: NonNull<AtomicU64>,
    chunks: Option<Chunks>,
    epochs: Option<Arc<Epochs>>,
    peers: Peers,
}

/// Bits of the marks.
fn mark_bits(units: usize, elements: usize) -> usize {
    units + 1 + elements + 1
}

fn ring_len(spec: &MapSpec) -> usize {
    (spec.max_entries as usize / 8 + 1024).next_power_of_two()
}

pub(super) fn layout(spec: &MapSpec, root_bits: u32, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    let entries = spec.max_entries as usize;
    l.pool = at.take(size_of::<Control>().next_multiple_of(CACHE_LINE), CACHE_LINE)?;
    // A prefix brings a node where another one forks off, and its own path, of sixty bits a node.
    let below = (spec.key_size as usize * 8).saturating_sub(32 + root_bits as usize);
    let blocks = entries.checked_mul(1 + below.div_ceil(60))?;
    // The last node may end beyond the last unit; 27 bits count units.
    let units = (blocks + SPARE + 2 * RESERVE as usize).min((1 << 27) - 1);
    l.stride = UNIT;
    l.values = at.take((units + MAX_UNITS).checked_mul(UNIT)?, CACHE_LINE)?;
    l.cpu_stride = units;
    l.nr_elements = entries + entries / 8 + SPARE;
    l.elements = at.take(l.nr_elements.checked_mul(l.element_stride)?, CACHE_LINE)?;
    l.marks = at.take(mark_bits(units, l.nr_elements).div_ceil(64) * 8, CACHE_LINE)?;
    // The last section: its size is told from the end.
    l.writers = at.take(ring_len(spec).checked_mul(size_of::<Waiting>())?, CACHE_LINE)?;
    Some(())
}

impl Pool {
    pub(super) fn new(m: &Making<'_>, chunks: Option<Chunks>) -> Pool {
        let (region, l) = (m.region, m.l);
        let ring = (l.total - l.writers) / size_of::<Waiting>();
        // The section is a power of two; what follows it in the memory is padding.
        let ring = 1 << ring.ilog2();
        Pool {
            control: region.section(l.pool, size_of::<Control>()).cast(),
            elements: region.section(l.elements, l.nr_elements * l.element_stride),
            stride: super::key_stride(m.spec),
            nr_elements: l.nr_elements as u32,
            blocks: region.section(l.values, (l.cpu_stride + MAX_UNITS) * UNIT),
            nr_units: l.cpu_stride as u32,
            ring: region.section(l.writers, ring * size_of::<Waiting>()).cast(),
            ring_mask: ring as u32 - 1,
            marks: region.section(l.marks, mark_bits(l.cpu_stride, l.nr_elements).div_ceil(64) * 8).cast(),
            chunks,
            epochs: m.cfg.epochs.clone(),
            peers: m.peers.clone(),
        }
    }

    fn control(&self) -> &Control {
        // SAFETY: a section of the region, zeroed, of this size, which lives as long as the map.
        unsafe { self.control.as_ref() }
    }

    pub(super) fn lock(&self, slot: u32) -> Result<Locked<'_>, Errno> {
        self.control().lock.take(slot, |slot| self.peers.is_gone(slot))
    }

    /// The slot that readers of the control plane lock with.
    pub(super) fn reader(&self) -> u32 {
        self.peers.reader()
    }

    /// Whether readers have to look whether memory was used again under their eyes.
    #[inline(always)]
    pub(super) fn is_shared(&self) -> bool {
        self.peers.are_there()
    }

    /// How often used memory was written again.
    pub(super) fn reuses(&self) -> u64 {
        // Acquire: pairs with the store in `disturb`: who sees it sees what was withdrawn before.
        self.control().reuse.count.load(Ordering::Acquire)
    }

    /// Whether what was read since `before` was said is whole.
    pub(super) fn is_undisturbed(&self, before: u64) -> bool {
        fence(Ordering::Acquire); // pairs with the fence in `disturb`
        self.control().reuse.count.load(Relaxed) == before
    }

    /// Used memory is about to be written.
    fn disturb(&self) {
        let count = &self.control().reuse.count;
        count.store(count.load(Relaxed).wrapping_add(1), Ordering::Release); // pairs with `reuses`
        fence(Ordering::Release); // pairs with `is_undisturbed`
    }

    /// Prefixes that there are.
    pub(super) fn entries(&self) -> &AtomicU32 {
        &self.control().entries
    }

    /// The node at a unit; none for 0 and beyond the end.
    #[inline(always)]
    pub(super) fn node(&self, unit: u32) -> Option<Node<'_>> {
        if unit.wrapping_sub(1) >= self.nr_units - 1 {
            return None;
        }
        // SAFETY: MAX_UNITS units follow the last one, so that a whole node fits at each.
        Some(unsafe { Node::new(self.blocks.as_ptr().add(unit as usize * UNIT)) })
    }

    /// As [`Pool::node`]; where there is none, unit 0, which nobody writes: a node without anything.
    #[inline(always)]
    pub(super) fn node_or_empty(&self, unit: u32) -> Node<'_> {
        let unit = if unit < self.nr_units { unit } else { 0 };
        // SAFETY: as there.
        unsafe { Node::new(self.blocks.as_ptr().add(unit as usize * UNIT)) }
    }

    /// Where a node is, to ask for its first line.
    #[inline(always)]
    pub(super) fn address_of(&self, unit: u32) -> *const u8 {
        self.blocks.as_ptr().wrapping_add(unit as usize * UNIT)
    }

    /// The key of the element with index + 1; none for 0 and beyond the end.
    #[inline(always)]
    pub(super) fn element(&self, plus_one: u32) -> Option<*mut u8> {
        let index = plus_one.wrapping_sub(1);
        if index >= self.nr_elements {
            return None;
        }
        // SAFETY: below `nr_elements`, which the section holds.
        Some(unsafe { self.elements.as_ptr().add(index as usize * self.stride) })
    }

    fn waiting(&self, n: u32) -> &Waiting {
        // SAFETY: the ring has `ring_mask` + 1 places.
        unsafe { self.ring.add((n & self.ring_mask) as usize).as_ref() }
    }

    /// Makes room for an operation: EBUSY where a grace period has to pass first.
    pub(super) fn prepare(&self) -> Result<(), Errno> {
        let c = self.control();
        let waiting = || c.deferred.load(Relaxed).wrapping_sub(c.freed.load(Relaxed));
        let short = c.free_elements.load(Relaxed) == 0 && c.fresh_elements.load(Relaxed) >= self.nr_elements
            || c.fresh_units.load(Relaxed).saturating_add(RESERVE) >= self.nr_units;
        if waiting() >= MANY || short {
            self.reclaim(waiting().min(BATCH));
        }
        // Kernel: memory that waits for a grace period has no bound; uxdp: it has.
        if waiting().saturating_add(ROOM) > self.ring_mask { Err(Errno::EBUSY) } else { Ok(()) }
    }

    fn reclaim(&self, most: u32) {
        let c = self.control();
        let oldest = self.epochs.as_ref().map_or(u64::MAX, |e| e.oldest());
        for _ in 0..most {
            let n = c.freed.load(Relaxed);
            if n == c.deferred.load(Relaxed) {
                return;
            }
            let w = self.waiting(n);
            if w.epoch.load(Relaxed) > oldest {
                return;
            }
            let what = w.what.load(Relaxed);
            c.freed.store(n.wrapping_add(1), Relaxed);
            match (what as u32, (what >> 32) as u32) {
                (0, element) => self.free_element(element),
                (CHUNK, line) => self.free_chunk(line),
                (units, block) => self.free_block(block, units as usize),
            }
        }
    }

    /// Frees whatever no worker can hold any more.
    pub(super) fn reclaim_all(&self) {
        self.reclaim(u32::MAX);
    }

    /// What stands in front of a small trie.
    #[inline(always)]
    pub(super) fn chunks(&self) -> Option<&Chunks> {
        self.chunks.as_ref()
    }

    fn free_chunk(&self, line: u32) {
        if let Some(chunks) = self.chunks {
            chunks.free(line);
        }
    }

    /// Takes notice of what was withdrawn before.
    pub(super) fn defer(&self, gone: &[Gone]) {
        let c = self.control();
        let epoch = self.epochs.as_ref().map_or(0, |e| e.advance());
        for gone in gone {
            let what = match *gone {
                Gone::Element(e) => u64::from(e) << 32,
                Gone::Chunk(line) => u64::from(line) << 32 | u64::from(CHUNK),
                Gone::Block(unit) => match self.node(unit) {
                    Some(node) => u64::from(unit) << 32 | units_for(Draft::copy_of(node).len()) as u64,
                    None => continue,
                },
            };
            let n = c.deferred.load(Relaxed);
            self.waiting(n).what.store(what, Relaxed);
            self.waiting(n).epoch.store(epoch, Relaxed);
            c.deferred.store(n.wrapping_add(1), Relaxed);
        }
    }

    /// An element, as index + 1.
    pub(super) fn take_element(&self) -> Option<u32> {
        let c = self.control();
        let free = c.free_elements.load(Relaxed);
        if let Some(element) = self.element(free) {
            // SAFETY: a key of at least 8 bytes, 8-aligned, that nobody reads.
            let next = unsafe { (*element.cast::<AtomicU32>()).load(Relaxed) };
            c.free_elements.store(next, Relaxed);
            self.disturb();
            return Some(free);
        }
        let fresh = c.fresh_elements.load(Relaxed);
        (fresh < self.nr_elements).then(|| {
            c.fresh_elements.store(fresh + 1, Relaxed);
            fresh + 1
        })
    }

    pub(super) fn free_element(&self, plus_one: u32) {
        let c = self.control();
        if let Some(element) = self.element(plus_one) {
            self.disturb();
            // SAFETY: as above.
            unsafe { (*element.cast::<AtomicU32>()).store(c.free_elements.load(Relaxed), Relaxed) };
            c.free_elements.store(plus_one, Relaxed);
        }
    }

    fn free_block(&self, unit: u32, units: usize) {
        let list = self.control().free_blocks.get(units);
        if let (Some(node), Some(list)) = (self.node(unit), list) {
            self.disturb();
            // The first item is the link: the rest of a free block is never read.
            node.item(0).store(list.load(Relaxed), Relaxed);
            list.store(unit, Relaxed);
        }
    }

    /// A free block of just that size.
    fn take_block(&self, units: usize) -> Option<u32> {
        let list = self.control().free_blocks.get(units)?;
        let free = list.load(Relaxed);
        list.store(self.node(free)?.item(0).load(Relaxed), Relaxed);
        Some(free)
    }

    /// The front of a larger free block.
    fn split_block(&self, units: usize) -> Option<u32> {
        (units + 1..=MAX_UNITS).find_map(|larger| {
            let unit = self.take_block(larger)?;
            self.free_block(unit + units as u32, larger - units);
            Some(unit)
        })
    }

    /// A block with a node: of the list of its size, or fresh units, of which withdrawals may take the last.
    pub(super) fn make(&self, draft: &Draft, withdrawal: bool) -> Option<u32> {
        let c = self.control();
        let units = units_for(draft.len());
        let unit = if let Some(free) = self.take_block(units) {
            free
        } else {
            let fresh = c.fresh_units.load(Relaxed).max(1);
            let keep = if withdrawal { 0 } else { RESERVE };
            let end = fresh.checked_add(units as u32)?;
            if end <= self.nr_units - keep {
                c.fresh_units.store(end, Relaxed);
                fresh
            } else {
                self.split_block(units)?
            }
        };
        self.disturb();
        self.node(unit)?;
        // SAFETY: `node` says that a whole node fits there; the block is in nobody's hands.
        unsafe { draft.write(self.blocks.as_ptr().add(unit as usize * UNIT)) };
        Some(unit)
    }

    /// Frees one node that nobody has seen.
    pub(super) fn free_one(&self, unit: u32) {
        if let Some(node) = self.node(unit) {
            self.free_block(unit, units_for(Draft::copy_of(node).len()));
        }
    }

    /// Frees a path of nodes that nobody has seen.
    pub(super) fn unmake(&self, mut unit: u32) {
        for _ in 0..ROOM {
            let Some(node) = self.node(unit) else { return };
            let draft = Draft::copy_of(node);
            let below = draft.only_way().map_or(0, |(_, unit)| unit);
            self.free_block(unit, units_for(draft.len()));
            unit = below;
        }
    }

    fn mark(&self, bit: usize) -> bool {
        // SAFETY: callers give bits below `mark_bits`.
        let word = unsafe { self.marks.add(bit / 64).as_ref() };
        let (old, one) = (word.load(Relaxed), 1 << (bit % 64));
        word.store(old | one, Relaxed);
        old & one == 0
    }

    fn is_marked(&self, bit: usize) -> bool {
        // SAFETY: as above.
        unsafe { self.marks.add(bit / 64).as_ref() }.load(Relaxed) & 1 << (bit % 64) != 0
    }

    /// Begins a repair: nothing is known to be in use.
    pub(super) fn clear_marks(&self) {
        self.disturb();
        for i in 0..mark_bits(self.nr_units as usize, self.nr_elements as usize).div_ceil(64) {
            // SAFETY: a word of the marks.
            unsafe { self.marks.add(i).as_ref() }.store(0, Relaxed);
        }
    }

    /// Notes that a node is in the trie. False: it is none, or was met before.
    pub(super) fn mark_node(&self, unit: u32) -> bool {
        let Some(node) = self.node(unit) else { return false };
        let end = (unit as usize + units_for(Draft::copy_of(node).len())).min(self.nr_units as usize);
        self.mark(unit as usize) && (unit as usize + 1..end).map(|u| self.mark(u)).fold(true, |_, _| true)
    }

    /// Notes that an element is in the trie. False: it is none.
    pub(super) fn mark_element(&self, plus_one: u32) -> bool {
        self.element(plus_one).is_some() && {
            self.mark(self.nr_units as usize + plus_one as usize);
            true
        }
    }

    /// Ends a repair: whatever was ever given out and is not marked is free.
    pub(super) fn free_unmarked(&self) {
        let c = self.control();
        for n in c.freed.load(Relaxed)..c.deferred.load(Relaxed) {
            let what = self.waiting(n).what.load(Relaxed);
            if what as u32 == CHUNK {
                self.free_chunk((what >> 32) as u32);
            }
        }
        c.deferred.store(0, Relaxed);
        c.freed.store(0, Relaxed);
        c.free_elements.store(0, Relaxed);
        c.free_blocks.iter().for_each(|list| list.store(0, Relaxed));
        let elements = c.fresh_elements.load(Relaxed).min(self.nr_elements);
        c.fresh_elements.store(elements, Relaxed);
        for element in (1..=elements).filter(|e| !self.is_marked(self.nr_units as usize + *e as usize)) {
            self.free_element(element);
        }
        let units = c.fresh_units.load(Relaxed).max(1).min(self.nr_units);
        c.fresh_units.store(units, Relaxed);
        let mut unit = 1;
        while unit < units {
            let most = (units - unit).min(MAX_UNITS as u32);
            let run = (unit..unit + most).take_while(|u| !self.is_marked(*u as usize)).count();
            if run != 0 {
                self.free_block(unit, run);
            }
            unit += run.max(1) as u32;
        }
    }
}
