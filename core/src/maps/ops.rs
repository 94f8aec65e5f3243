//! What map types beyond arrays and hashes do: one trait, one implementation a type, and the calls of [`Map`] that reach it.
//!
//! The defaults are what the kernel answers where a type lacks an operation, so that a type's file holds what the type does and nothing else.
//! Run-path functions take raw pointers that the verifier has proven, never allocate, panic or wait without a bound; the others take slices whose sizes
//! `control` has checked.

use super::batch::{Batch, Removing};
use super::bloom::Bloom;
use super::lpm::Trie;
use super::map_of_maps::{ArrayOfMaps, HashOfMaps};
use super::perf::PerfArray;
use super::queue::{Order, Queue};
use super::redirect::{DevmapHash, Indexed};
use super::ringbuf::Ring;
use super::user_ringbuf::UserRing;
use super::wake::Ringer;
use super::{Kind, Making, Map, MapError, MapType, ProgRef, Target};
use crate::error::Errno;
use crate::sync::Arc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::fmt::Debug;
use core::ptr::{NonNull, null, null_mut};

/// Something that left a map's entry: drop it after a grace period.
#[derive(Debug)]
pub enum Reference {
    /// A program of a PROG_ARRAY.
    Prog(ProgRef),
    /// An inner map.
    Map(Arc<Map>),
    /// An entry of a device, CPU or socket map, with its program.
    Target(Arc<Target>),
}

impl Reference {
    /// The id of the program or map; 0 for a target.
    pub fn id(&self) -> u32 {
        match self {
            Reference::Prog(p) => p.id(),
            Reference::Map(m) => m.id(),
            Reference::Target(_) => 0,
        }
    }
}

/// What an entry is set to.
pub(super) enum Entry<'a> {
    /// An inner map.
    Map(Arc<Map>),
    /// A value of a device, CPU or socket map, with its program.
    Target(&'a [u8], Option<Guest<'a>>),
}

/// A program that is to stand in an entry, and whether it may: asked when nothing else is wrong, since the first one decides for those that follow.
pub(crate) struct Guest<'a> {
    pub(crate) prog: ProgRef,
    pub(crate) admitted: &'a dyn Fn() -> bool,
}

/// One map type.
pub(super) trait MapOps: Debug {
    /// As [`Map::lookup`].
    ///
    /// # Safety
    /// `key` is readable for the key size.
    unsafe fn lookup(&self, _key: *const u8) -> *mut u8 {
        null_mut()
    }

    /// As [`Map::update`].
    ///
    /// # Safety
    /// `key` and `value` are readable for their sizes; the caller alone holds `slot`.
    unsafe fn update(
        &self,
        _key: *const u8,
        _value: *const u8,
        _flags: u64,
        _slot: u32,
    ) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// As [`Map::delete`].
    ///
    /// # Safety
    /// As `update`.
    unsafe fn delete(&self, _key: *const u8, _slot: u32) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// As [`Map::push`].
    ///
    /// # Safety
    /// `value` is readable for the value size; the caller alone holds `slot`.
    unsafe fn push(&self, _value: *const u8, _flags: u64, _slot: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// As [`Map::pop`].
    ///
    /// # Safety
    /// `value` is writable for the value size; the caller alone holds `slot`.
    unsafe fn pop(&self, _value: *mut u8, _slot: Result<u32, Errno>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// As [`Map::peek`].
    ///
    /// # Safety
    /// `value` is readable and writable for the value size; the caller alone holds `slot`.
    unsafe fn peek(&self, _value: *mut u8, _slot: Result<u32, Errno>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Where a packet goes that is redirected to `index`; null: nowhere. Valid until the caller's next quiescent point.
    fn redirect(&self, _index: u32) -> *const Target {
        null()
    }

    /// The first entry at or behind `cursor` that says where packets go, with its key; the cursor is moved behind it. Valid as that of `redirect`.
    fn next_target(&self, _cursor: &mut u32) -> Option<(u32, *const Target)> {
        None
    }

    /// Takes out the entries that have a program of their own, each of which goes to `retire`: nobody has the map but programs.
    fn let_programs_go(&self, _retire: &mut dyn FnMut(Reference)) {}

    /// Puts in order what the slots of dead processes left; `is_gone` tells which. Nobody else recovers, and for hashes no writer is inside.
    fn recover(&self, _is_gone: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Does what the next writer does when one died under the lock.
    #[cfg(test)]
    fn repair_for_test(&self) {}

    /// As a ring buffer.
    fn ring(&self) -> Option<&Ring> {
        None
    }

    /// As a ring buffer that programs drain.
    fn user_ring(&self) -> Option<&UserRing> {
        None
    }

    /// What wakes whoever is at the other end of a ring.
    fn ringer(&self) -> Option<&Ringer> {
        None
    }

    /// As a perf event array.
    fn perf(&self) -> Option<&PerfArray> {
        None
    }

    /// Copies a value out.
    fn read(&self, _key: &[u8], _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Sets a value that holds no reference.
    fn write(&self, _slot: u32, _key: &[u8], _value: &[u8], _flags: u64) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Sets an entry that holds references; what stood there comes back.
    fn set(
        &self,
        _slot: u32,
        _key: &[u8],
        _entry: Entry<'_>,
        _flags: u64,
    ) -> Result<Option<Reference>, Errno> {
        Err(Errno::EINVAL)
    }

    /// Removes a key; a reference that stood there comes back.
    fn remove(&self, _slot: u32, _key: &[u8]) -> Result<Option<Reference>, Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Copies a value out and removes it.
    fn take(&self, _slot: u32, _key: &[u8], _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Copies the key after `key` out.
    fn next(&self, _key: Option<&[u8]>, _out: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Copies the next elements behind the cursor `next`, and moves that; of the types whose cursor is a number ([`super::batch`]).
    fn batch(
        &self,
        _next: &mut u32,
        _b: &mut Batch<'_>,
        _sizes: (usize, usize),
        _remove: Removing<'_>,
    ) -> Result<(), Errno> {
        Err(Errno::ENOTSUPP)
    }

    /// Does `work` while a writer stands still in the middle, where it has a lock of this process alone.
    #[cfg(test)]
    fn with_lock_held(&self, work: &mut dyn FnMut()) {
        work();
    }
}

/// A map type that lives behind the trait.
#[derive(Debug)]
pub(super) enum Ops {
    /// By itself, since its lookups have functions of their own.
    Trie(Trie),
    /// Every other type.
    Other(Box<dyn MapOps>),
}

/// Moves a type's state to the heap.
fn boxed<T: MapOps + 'static>(ops: T) -> Result<Box<dyn MapOps>, MapError> {
    let layout = Layout::new::<T>();
    // SAFETY: no type here is of size zero: each has an address of its memory.
    let place =
        NonNull::new(unsafe { alloc::alloc::alloc(layout) }).ok_or(MapError::OutOfMemory)?.cast::<T>();
    // SAFETY: freshly allocated with the layout that the box frees it with, and filled before the box is made.
    unsafe {
        place.write(ops);
        Ok(Box::from_raw(place.as_ptr()))
    }
}

impl Ops {
    /// All operations, for control planes: a trie's table of functions leads to some that free memory, and programs must not have a way there.
    pub(super) fn control(&self) -> &dyn MapOps {
        match self {
            Ops::Trie(trie) => trie,
            Ops::Other(ops) => &**ops,
        }
    }

    /// The private side of a map whose memory is `region`.
    pub(super) fn new(m: &Making<'_>) -> Result<Ops, MapError> {
        let ops = match m.spec.kind {
            MapType::ArrayOfMaps => boxed(ArrayOfMaps::new(m)?),
            MapType::HashOfMaps => boxed(HashOfMaps::new(m)?),
            MapType::Devmap | MapType::Cpumap | MapType::Xskmap => boxed(Indexed::new(m)?),
            MapType::DevmapHash => boxed(DevmapHash::new(m)?),
            MapType::Queue => boxed(Queue::new(m, Order::First)),
            MapType::Stack => boxed(Queue::new(m, Order::Last)),
            MapType::BloomFilter => boxed(Bloom::new(m)),
            MapType::LpmTrie => return Ok(Ops::Trie(Trie::new(m))),
            MapType::Ringbuf => boxed(Ring::new(m)?),
            MapType::UserRingbuf => boxed(UserRing::new(m)?),
            MapType::PerfEventArray => boxed(PerfArray::new(m)?),
            other => Err(MapError::Type(other)),
        };
        ops.map(Ops::Other)
    }
}

impl Map {
    /// Its operations for programs, where it is of a type that has others here than by key.
    pub(super) fn ops(&self) -> Option<&dyn MapOps> {
        match &self.kind {
            Kind::Ops(Ops::Other(ops)) => Some(&**ops),
            _ => None,
        }
    }

    /// Its operations for control planes, where it is of a type that has them here.
    pub(super) fn control_ops(&self) -> Option<&dyn MapOps> {
        match &self.kind {
            Kind::Ops(ops) => Some(ops.control()),
            _ => None,
        }
    }

    /// Adds a value to a QUEUE, STACK or BLOOM_FILTER. BPF_EXIST lets the oldest one go where the map is full.
    ///
    /// # Safety
    /// `value` is readable for the value size. The caller alone holds `slot`.
    ///
    /// # Errors
    /// E2BIG where it is full; EINVAL for flags; EBUSY where another writer does not come to an end; EOPNOTSUPP for other types.
    pub unsafe fn push(&self, value: *const u8, flags: u64, slot: u32) -> Result<(), Errno> {
        let slot = self.peers.slot(slot)?;
        // SAFETY: the caller's word.
        self.ops().map_or(Err(Errno::EOPNOTSUPP), |o| unsafe { o.push(value, flags, slot) })
    }

    /// Takes the next value of a QUEUE or STACK out. Where there is none, `value` becomes zero.
    ///
    /// # Safety
    /// `value` is writable for the value size. The caller alone holds `slot`.
    ///
    /// # Errors
    /// ENOENT where it is empty; EBUSY, EOPNOTSUPP as [`Map::push`].
    pub unsafe fn pop(&self, value: *mut u8, slot: u32) -> Result<(), Errno> {
        // SAFETY: the caller's word. Whoever has no slot gets what everybody gets who is told EBUSY: zeroes.
        self.ops().map_or(Err(Errno::EOPNOTSUPP), |o| unsafe { o.pop(value, self.peers.slot(slot)) })
    }

    /// Copies the next value of a QUEUE or STACK; asks a BLOOM_FILTER whether `value` may have been pushed.
    ///
    /// # Safety
    /// `value` is readable and writable for the value size. The caller alone holds `slot`.
    ///
    /// # Errors
    /// ENOENT where there is none; EBUSY, EOPNOTSUPP as [`Map::push`].
    pub unsafe fn peek(&self, value: *mut u8, slot: u32) -> Result<(), Errno> {
        // SAFETY: as in `pop`.
        self.ops().map_or(Err(Errno::EOPNOTSUPP), |o| unsafe { o.peek(value, self.peers.slot(slot)) })
    }

    /// Where a packet goes that is redirected to entry `index` of a device, CPU or socket map; null where nothing is set. One load; valid until the
    /// caller's next quiescent point.
    pub fn redirect(&self, index: u32) -> *const Target {
        self.ops().map_or(null(), |o| o.redirect(index))
    }

    /// The first entry of a device, CPU or socket map at or behind `cursor`, which begins at 0 and is moved behind it: its key and where packets go. `None` behind the last one.
    /// A walk takes a bounded number of steps: entries that are set or replaced meanwhile may be missed or met twice. Never waits; valid until the caller's next quiescent point.
    pub fn next_target(&self, cursor: &mut u32) -> Option<(u32, *const Target)> {
        self.ops()?.next_target(cursor)
    }

    /// Puts an inner map into an ARRAY_OF_MAPS or HASH_OF_MAPS. The one that stood there comes back: drop it after a grace period.
    ///
    /// # Errors
    /// EINVAL for other types, sizes, flags, and an inner map that is not like the template; E2BIG, EEXIST, ENOENT as the kernel's; EPERM, EBUSY as
    /// [`Map::update_elem`]; ENOMEM.
    pub fn set_map(
        &self,
        slot: u32,
        key: &[u8],
        inner: Arc<Map>,
        flags: u64,
    ) -> Result<Option<Reference>, Errno> {
        self.set_entry(slot, key, Entry::Map(inner), flags)
    }

    /// Sets an entry of a DEVMAP, DEVMAP_HASH, CPUMAP or XSKMAP from its value, of 4 or 8 bytes, with the entry's own program. A program number in
    /// the value is not looked at. What stood there comes back: drop it after a grace period.
    ///
    /// # Errors
    /// As [`Map::set_map`]; EOVERFLOW for a CPU queue that is too long, ENODEV (EINVAL in a device map) for what cannot be a target.
    pub fn set_target(
        &self,
        slot: u32,
        key: &[u8],
        value: &[u8],
        prog: Option<ProgRef>,
        flags: u64,
    ) -> Result<Option<Reference>, Errno> {
        let guest = prog.map(|prog| Guest { prog, admitted: &|| true });
        self.set_target_if(slot, key, value, guest, flags)
    }

    /// [`Map::set_target`] with a program that may be refused: ENOMEM in a CPUMAP, as Linux has it, else EINVAL.
    pub(crate) fn set_target_if(
        &self,
        slot: u32,
        key: &[u8],
        value: &[u8],
        guest: Option<Guest<'_>>,
        flags: u64,
    ) -> Result<Option<Reference>, Errno> {
        if value.len() != self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        self.set_entry(slot, key, Entry::Target(value, guest), flags)
    }

    fn set_entry(
        &self,
        slot: u32,
        key: &[u8],
        entry: Entry<'_>,
        flags: u64,
    ) -> Result<Option<Reference>, Errno> {
        let ops = self.control_ops().ok_or(Errno::EINVAL)?;
        if key.len() != self.spec.key_size as usize {
            return Err(Errno::EINVAL);
        }
        self.write_access(|| {
            let w = self.writer(slot)?;
            ops.set(w.slot(), key, entry, flags)
        })?
    }
}
