//! QUEUE and STACK: values without keys, first in first out, or last in first out.
//!
//! A ring of one place more than there are values, as the kernel's: full is told from empty by the free place. All operations, also those of
//! programs, are short sections under the map's lock, which nobody waits for without an end (EBUSY). Values are written before the head moves.
//! Source: the kernel's `kernel/bpf/queue_stack_maps.c`.

use super::holders::Peers;
use super::layout::{CACHE_LINE, Cursor, Layout};
use super::lock::{Lock, Locked};
use super::memory::{load, store};
use super::ops::{MapOps, Reference};
use super::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use super::{Making, MapError, MapSpec};
use crate::error::Errno;
use crate::sync::{AtomicU32, Ordering::Relaxed};
use core::ptr::NonNull;

/// Largest value (`KMALLOC_MAX_SIZE`).
pub(super) const MAX_VALUE: u32 = 4 << 20;

/// Which value comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The oldest: a queue.
    First,
    /// The newest: a stack.
    Last,
}

/// What happens to the value that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Remove,
}

/// In map memory, on a line of its own. The lock orders the two numbers.
#[repr(C)]
struct Control {
    lock: Lock,
    /// The place that the next value goes to.
    head: AtomicU32,
    /// The oldest value.
    tail: AtomicU32,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Queue {
    peers: Peers,
    control: NonNull<Control>,
    values: NonNull<u8>,
    stride: usize,
    value_size: usize,
    /// Places: one more than values.
    size: u32,
    order: Order,
}

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec, known: u32) -> Result<(), MapError> {
    let kind = spec.kind;
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(kind));
    }
    if spec.key_size != 0 {
        return Err(MapError::KeySize(kind, spec.key_size));
    }
    if spec.value_size == 0 {
        return Err(MapError::ValueSize(kind, 0));
    }
    super::check::flags(spec, known)?;
    if spec.value_size > MAX_VALUE {
        return Err(MapError::ElementTooBig { kind, key_size: 0, value_size: spec.value_size });
    }
    Ok(())
}

pub(super) fn layout(spec: &MapSpec, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    l.stride = (spec.value_size as usize).next_multiple_of(8);
    l.pool = at.take(CACHE_LINE, CACHE_LINE)?;
    l.values = at.take(l.stride.checked_mul(spec.max_entries as usize + 1)?, CACHE_LINE)?;
    Some(())
}

impl Queue {
    pub(super) fn new(m: &Making<'_>, order: Order) -> Queue {
        let (spec, l) = (m.spec, m.l);
        let places = spec.max_entries as usize + 1;
        Queue {
            peers: m.peers.clone(),
            control: m.region.section(l.pool, size_of::<Control>()).cast(),
            values: m.region.section(l.values, l.stride * places),
            stride: l.stride,
            value_size: spec.value_size as usize,
            // Kernel: the number of places wraps to 0 for 2^32 - 1 entries; uxdp: one value less.
            size: spec.max_entries.saturating_add(1),
            order,
        }
    }

    fn control(&self) -> &Control {
        // SAFETY: a section of the region, zeroed, of this size, which lives as long as the map.
        unsafe { self.control.as_ref() }
    }

    /// A holder that died leaves nothing half done: a value is there with the store that moves head or tail, and gone with it.
    fn lock(&self, slot: u32) -> Result<Locked<'_>, Errno> {
        self.control().lock.take(slot, |slot| self.peers.is_gone(slot))
    }

    fn place(&self, index: u32) -> *mut u8 {
        // SAFETY: `new` checked that there are `size` places; callers bound the index.
        unsafe { self.values.as_ptr().add(index as usize * self.stride) }
    }

    /// An index from map memory, bounded.
    fn bounded(&self, index: &AtomicU32) -> u32 {
        let index = index.load(Relaxed);
        if index < self.size { index } else { 0 }
    }

    fn after(&self, index: u32) -> u32 {
        if index + 1 < self.size { index + 1 } else { 0 }
    }

    fn before(&self, index: u32) -> u32 {
        index.checked_sub(1).unwrap_or(self.size - 1)
    }

    /// # Safety
    /// `value` is writable for the value size.
    unsafe fn get(&self, value: *mut u8, slot: Result<u32, Errno>, then: Then) -> Result<(), Errno> {
        let c = self.control();
        let locked = slot.and_then(|slot| self.lock(slot));
        let (head, tail) = (self.bounded(&c.head), self.bounded(&c.tail));
        if locked.is_err() || head == tail {
            // SAFETY: the caller's word. A program may take the bytes for initialised whatever is returned.
            unsafe { value.write_bytes(0, self.value_size) };
            return locked.map(drop).and(Err(Errno::ENOENT));
        }
        let from = if self.order == Order::First { tail } else { self.before(head) };
        // SAFETY: a place of `value_size` bytes, 8-aligned; the caller's word for `value`, which is no place of this ring: it is given out by copies only.
        unsafe { load(value, self.place(from), self.value_size) };
        match (then, self.order) {
            (Then::Keep, _) => {}
            (Then::Remove, Order::First) => c.tail.store(self.after(tail), Relaxed),
            (Then::Remove, Order::Last) => c.head.store(from, Relaxed),
        }
        Ok(())
    }
}

impl MapOps for Queue {
    unsafe fn push(&self, value: *const u8, flags: u64, slot: u32) -> Result<(), Errno> {
        if flags & BPF_NOEXIST != 0 || flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let c = self.control();
        let _locked = self.lock(slot)?;
        let (head, tail) = (self.bounded(&c.head), self.bounded(&c.tail));
        let next = self.after(head);
        if next == tail {
            if flags != BPF_EXIST {
                return Err(Errno::E2BIG);
            }
            c.tail.store(self.after(tail), Relaxed);
        }
        // SAFETY: a place of `value_size` bytes, 8-aligned; the caller's word for `value`.
        unsafe { store(self.place(head), value, self.value_size) };
        c.head.store(next, Relaxed);
        Ok(())
    }

    unsafe fn pop(&self, value: *mut u8, slot: Result<u32, Errno>) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        unsafe { self.get(value, slot, Then::Remove) }
    }

    unsafe fn peek(&self, value: *mut u8, slot: Result<u32, Errno>) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        unsafe { self.get(value, slot, Then::Keep) }
    }

    fn read(&self, _: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: `control` checked that `out` has the value size.
        unsafe { self.get(out.as_mut_ptr(), Ok(self.peers.reader()), Then::Keep) }
    }

    fn write(&self, slot: u32, _: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        // SAFETY: as above.
        unsafe { self.push(value.as_ptr(), flags, slot) }
    }

    fn take(&self, slot: u32, _: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: as above.
        unsafe { self.get(out.as_mut_ptr(), Ok(slot), Then::Remove) }
    }

    fn remove(&self, _: u32, _: &[u8]) -> Result<Option<Reference>, Errno> {
        Err(Errno::EINVAL)
    }

    fn recover(&self, _: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        self.lock(self.peers.reader()).map(drop)
    }

    fn next(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
}
