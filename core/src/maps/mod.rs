//! Maps: typed tables that programs and the control plane use at once.
//!
//! A map is two things. The private side ([`Map`]) is trusted: it has pointers and a checked copy of all geometry. The memory side is shareable and
//! untrusted: a header and sections addressed by offsets, no pointers. An address of a [`Map`] is what a program's map pointer is; the private side never moves.
//!
//! Two faces: the run path (`lookup`, `update`, `delete`: raw pointers that the verifier has proven, a slot that the caller holds; no allocation, no panic, no
//! wait) and the control plane (`*_elem`, `next_key`: slices, any thread, the access rules of flags and freezing). Errors are the kernel's.
//! `docs/maps.md` has the memory layout and the argument why concurrent use is sound. Source of the semantics: the kernel's `kernel/bpf/syscall.c` and map files.

mod array;
mod attach;
mod attach_error;
mod batch;
mod bloom;
mod check;
mod config;
mod control;
mod each;
mod error;
mod fields;
mod hash;
mod hashed;
mod header;
mod holders;
mod keyed;
mod layout;
mod lock;
mod lookups;
mod lpm;
mod machine;
mod map_of_maps;
mod memory;
mod ops;
mod owner;
mod percpu_array;
mod percpu_hash;
mod perf;
mod prog_array;
mod queue;
mod reclaim;
mod redirect;
mod ringbuf;
#[cfg(all(test, loom))]
mod ringbuf_loom;
mod shadow;
mod slots;
pub mod spec;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod user_ringbuf;
mod value_lock;
mod view;
mod wake;

pub use attach::check_sharable;
pub use attach_error::AttachError;
pub use batch::{Batch, BatchInput, MAX_BATCH_CURSOR};
pub use config::MapConfig;
pub use error::MapError;
pub use memory::{LENT, Lent, MapPlace};
pub(crate) use ops::Guest;
pub use ops::Reference;
pub use perf::PerfRecord;
pub use prog_array::{ProgArrayGeometry, ProgRef, TailTarget};
pub use reclaim::{Epochs, Reported};
pub use ringbuf::Commit;
pub use spec::{InnerSpec, MapSpec, MapType, ValueFields};
pub use target::Target;
pub use view::View;
pub use wake::Wakes;

pub(crate) use ringbuf::commit;
pub(crate) use target::names_program;
pub(crate) use value_lock::ValueLock;

use crate::error::Errno;
use crate::helpers::HelperFn;
use crate::mem::String;
use crate::platform::MemRequest;
use crate::sync::{Arc, AtomicU32, Ordering};
use array::{Array, read_index};
use control::{Access, Holds};
use core::ptr::{NonNull, null_mut};
use hash::Hash;
use holders::{Holders, Inside, Peers};
use layout::Layout;
use lookups::Lookups;
use memory::Region;
use ops::{MapOps, Ops};
use percpu_array::PercpuArray;
use percpu_hash::PercpuHash;
use prog_array::ProgArray;
use spec::flags::BPF_F_RDONLY_PROG;
use table::{Clock, FreeLists};

/// One map, private side.
#[derive(Debug)]
pub struct Map {
    kind: Kind,
    /// Of a hash.
    lookups: Option<Lookups>,
    spec: MapSpec,
    name: String,
    id: u32,
    nr_cpus: u32,
    access: Access,
    /// Writer slots that a call of the control plane uses at this moment; hashes only.
    holds: Holds,
    /// Handles of users (objects, the C API, pins), apart from the references that programs hold.
    users: AtomicU32,
    /// Of a map that can be shared: what its header says.
    frozen_by_others: Option<NonNull<AtomicU32>>,
    /// Of a map of programs: which ones.
    owner: owner::Owner,
    /// The processes that share it, where its writers have slots.
    peers: Peers,
    /// Dropped last: the kinds have addresses of it.
    region: Region,
}

#[derive(Debug)]
enum Kind {
    Array(Array),
    PercpuArray(PercpuArray),
    Hash(Hash<FreeLists>),
    PercpuHash(PercpuHash<FreeLists>),
    LruHash(Hash<Clock>),
    LruPercpuHash(PercpuHash<Clock>),
    ProgArray(ProgArray),
    /// Every other type.
    Ops(Ops),
}

// SAFETY: the addresses in the kinds point into `region` (or private regions beside them), whose contents are only touched by atomic accesses; no kind has
// thread-bound state.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

/// What a kind's private side is made from.
#[derive(Clone, Copy)]
struct Making<'a> {
    region: &'a Region,
    name: &'a str,
    spec: &'a MapSpec,
    cfg: &'a MapConfig,
    l: &'a Layout,
    peers: &'a Peers,
}

impl Making<'_> {
    /// Zeroed memory that is this process's, which nobody touches yet.
    fn private(&self, size: usize) -> Result<Region, MapError> {
        Region::new(&MemRequest { name: self.name, size, align: 64, numa_node: -1 }, self.cfg.private_memory)
    }
}

impl Kind {
    fn new(m: &Making<'_>) -> Result<Kind, MapError> {
        Ok(match m.spec.kind {
            MapType::Array => Kind::Array(Array::new(m.region, m.spec, m.l)),
            MapType::PercpuArray => Kind::PercpuArray(PercpuArray::new(m.region, m.spec, m.cfg, m.l)),
            MapType::Hash => Kind::Hash(Hash::new(m.region, m.spec, m.cfg, m.l)),
            MapType::PercpuHash => Kind::PercpuHash(PercpuHash::new(m.region, m.spec, m.cfg, m.l)),
            MapType::LruHash => Kind::LruHash(Hash::new(m.region, m.spec, m.cfg, m.l)),
            MapType::LruPercpuHash => Kind::LruPercpuHash(PercpuHash::new(m.region, m.spec, m.cfg, m.l)),
            MapType::ProgArray => Kind::ProgArray(ProgArray::new(m)?),
            _ => Kind::Ops(Ops::new(m)?),
        })
    }
}

/// Where the elements of an array-like map are, for code that addresses them directly.
///
/// The value of element `i` is at `base + i * stride`, for a per-CPU array at `base + slot * cpu_stride + i * stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayGeometry {
    /// Address of the first element (of slot 0).
    pub base: usize,
    /// Bytes from an element to the next, a multiple of 8.
    pub stride: u32,
    /// Elements.
    pub max_entries: u32,
    /// Bytes from a slot's elements to the next slot's; 0 where all slots share them.
    pub cpu_stride: usize,
}

/// Bytes of memory that a map will ask for: what `create` with the same arguments allocates from its map memory.
///
/// # Errors
/// As [`Map::create`] for a spec that is refused.
pub fn memory_size(spec: &MapSpec, cfg: &MapConfig) -> Result<usize, MapError> {
    check::check(spec)?;
    Ok(Layout::of(&check::rounded(spec, cfg.nr_cpus), cfg)?.total)
}

/// What the memory of a map has to be aligned to.
///
/// # Errors
/// As [`memory_size`].
pub fn memory_alignment(spec: &MapSpec, cfg: &MapConfig) -> Result<usize, MapError> {
    check::check(spec)?;
    Ok(Layout::of(&check::rounded(spec, cfg.nr_cpus), cfg)?.align)
}

impl Map {
    /// Makes a map in zeroed memory of the caller's. Touches no elements, so that its time does not depend on their number. One user handle exists then.
    ///
    /// A BPF_F_RDONLY_PROG array is made in private memory, since it may become constant.
    ///
    /// # Errors
    /// What the kernel refuses, with its errno; EOPNOTSUPP names a type that this version lacks; ENOMEM where memory cannot be had. Nothing is left behind.
    pub fn create(name: &str, id: u32, spec: &MapSpec, cfg: &MapConfig) -> Result<Arc<Map>, MapError> {
        check::check(spec)?;
        let spec = &check::rounded(spec, cfg.nr_cpus);
        let l = Layout::of(spec, cfg)?;
        let constant = spec.kind == MapType::Array && spec.flags & BPF_F_RDONLY_PROG != 0;
        let memory = if constant { cfg.private_memory } else { cfg.memory };
        let request = MemRequest { name, size: l.total, align: l.align, numa_node: spec.numa_node };
        let region = Region::new(&request, memory)?;
        let peers = Peers::default();
        let kind = Kind::new(&Making { region: &region, name, spec, cfg, l: &l, peers: &peers })?;
        header::publish(&region, name, spec, cfg, &l, 0);
        Map::assemble(region, kind, name, (id, spec, cfg), peers, None)
    }

    /// A map of its parts. Their order is the one in which they may be dropped, from the last to the first.
    fn assemble(
        region: Region,
        kind: Kind,
        name: &str,
        (id, spec, cfg): (u32, &MapSpec, &MapConfig),
        peers: Peers,
        frozen_by_others: Option<NonNull<AtomicU32>>,
    ) -> Result<Arc<Map>, MapError> {
        let is_hash = matches!(
            spec.kind,
            MapType::Hash
                | MapType::PercpuHash
                | MapType::LruHash
                | MapType::LruPercpuHash
                | MapType::HashOfMaps
                | MapType::DevmapHash
        );
        let holds = Holds::new(if is_hash { cfg.writer_slots } else { 0 })?;
        Ok(Arc::new(Map {
            lookups: Lookups::of(&kind, spec.key_size),
            kind,
            spec: *spec,
            name: String::from_text(name)?,
            id,
            nr_cpus: cfg.nr_cpus,
            access: Access::new(spec),
            holds,
            users: AtomicU32::new(1),
            frozen_by_others,
            owner: owner::Owner::new(),
            peers,
            region,
        })?)
    }

    /// Its type, sizes and flags.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number in the environment that made it, from 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Bytes of map memory that it takes.
    pub fn memory_size(&self) -> usize {
        self.region.size()
    }

    /// How many bytes of its memory follow an address: 0 where that is elsewhere.
    pub(crate) fn readable_at(&self, addr: usize) -> usize {
        let into = addr.wrapping_sub(self.region.base().as_ptr().addr());
        self.region.size().saturating_sub(into)
    }

    /// Where its elements are, for ARRAY and PERCPU_ARRAY: constant as long as the map lives.
    pub fn array(&self) -> Option<ArrayGeometry> {
        match &self.kind {
            Kind::Array(a) => Some(a.geometry()),
            Kind::PercpuArray(a) => Some(a.geometry()),
            _ => None,
        }
    }

    /// Where a PROG_ARRAY's targets are: constant as long as the map lives.
    pub fn prog_array(&self) -> Option<ProgArrayGeometry> {
        match &self.kind {
            Kind::ProgArray(a) => Some(a.geometry()),
            _ => None,
        }
    }

    /// A function for `bpf_map_lookup_elem` of this map alone, quicker than the helper; none: the helper.
    pub(crate) fn lookup_helper(&self) -> Option<HelperFn> {
        self.lookups.map(|l| l.one)
    }

    /// The value of a key, or null; of a per-CPU map the value of `slot`, which may be any CPU slot (`bpf_map_lookup_percpu_elem`). In an LRU this is a use of the key. It stays mapped as long as the map lives; a deleted element may be reused at once.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    #[inline]
    pub unsafe fn lookup(&self, key: *const u8, slot: u32) -> *mut u8 {
        match self.lookups {
            Some(lookups) if !lookups.by_slot => {
                let map = core::ptr::from_ref(self) as u64;
                // SAFETY: the caller's word; the functions for these kinds look at no context.
                unsafe { (lookups.one)(map, key as u64, 0, 0, 0, null_mut()) as *mut u8 }
            }
            // SAFETY: the caller's word.
            _ => unsafe { self.lookup_other(key, slot) },
        }
    }

    /// [`Map::lookup`] in what is no hash that all slots share.
    ///
    /// # Safety
    /// As there.
    unsafe fn lookup_other(&self, key: *const u8, slot: u32) -> *mut u8 {
        match &self.kind {
            // SAFETY: a key of these types has four bytes, readable by the caller's word.
            Kind::Array(a) => a.lookup(unsafe { read_index(key) }),
            // SAFETY: as above.
            Kind::PercpuArray(a) => a.lookup(unsafe { read_index(key) }, slot),
            // SAFETY: the caller's word.
            Kind::PercpuHash(h) => unsafe { h.lookup(key, slot) },
            // SAFETY: the caller's word.
            Kind::LruPercpuHash(h) => unsafe { h.lookup(key, slot) },
            Kind::ProgArray(_) | Kind::Hash(_) | Kind::LruHash(_) | Kind::Ops(Ops::Trie(_)) => null_mut(),
            // SAFETY: the caller's word.
            Kind::Ops(Ops::Other(k)) => unsafe { k.lookup(key) },
        }
    }

    /// Sets the value of a key; of a per-CPU map the value of `slot`, where the other slots of a new element are zero.
    ///
    /// # Safety
    /// `key` and `value` are readable for the key and value size. The caller alone holds `slot`.
    ///
    /// # Errors
    /// EINVAL for unknown flags, EEXIST, ENOENT, E2BIG (index out of range, map full) as the kernel's helper; EBUSY where a lock is not to be had, or others change
    /// the key a thousand times meanwhile.
    pub unsafe fn update(
        &self,
        key: *const u8,
        value: *const u8,
        flags: u64,
        slot: u32,
    ) -> Result<(), Errno> {
        let (flags, locked) = fields::split(flags);
        if locked {
            // SAFETY: the caller's word.
            return unsafe { self.update_locked(key, value, flags, slot) };
        }
        match &self.kind {
            Kind::Array(_) if self.access.is_read_only_to_programs() => Err(Errno::EPERM),
            // SAFETY: a key of these types has four bytes; key and value are readable by the caller's word.
            Kind::Array(a) => unsafe { a.update(read_index(key), value, flags) },
            // SAFETY: as above.
            Kind::PercpuArray(a) => unsafe { a.update(read_index(key), value, flags, slot) },
            // SAFETY: the caller's word.
            Kind::Hash(h) => unsafe { h.update(key, value, flags, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::PercpuHash(h) => unsafe { h.update(key, (slot, value), flags, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::LruHash(h) => unsafe { h.update(key, value, flags, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::LruPercpuHash(h) => unsafe {
                h.update(key, (slot, value), flags, self.enter(slot)?.slot())
            },
            Kind::ProgArray(_) => Err(Errno::EINVAL),
            // SAFETY: the caller's word.
            Kind::Ops(Ops::Trie(t)) => unsafe { t.update(key, value, flags, self.peers.slot(slot)?) },
            // SAFETY: the caller's word.
            Kind::Ops(Ops::Other(k)) => unsafe { k.update(key, value, flags, self.peers.slot(slot)?) },
        }
    }

    /// Removes a key.
    ///
    /// # Safety
    /// `key` is readable for the key size. The caller alone holds `slot`.
    ///
    /// # Errors
    /// ENOENT where there is none; EINVAL for arrays, whose elements always exist.
    pub unsafe fn delete(&self, key: *const u8, slot: u32) -> Result<(), Errno> {
        match &self.kind {
            // SAFETY: the caller's word.
            Kind::Hash(h) => unsafe { h.delete(key, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::PercpuHash(h) => unsafe { h.delete(key, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::LruHash(h) => unsafe { h.delete(key, self.enter(slot)?.slot()) },
            // SAFETY: the caller's word.
            Kind::LruPercpuHash(h) => unsafe { h.delete(key, self.enter(slot)?.slot()) },
            Kind::Array(_) | Kind::PercpuArray(_) | Kind::ProgArray(_) => Err(Errno::EINVAL),
            // SAFETY: the caller's word.
            Kind::Ops(Ops::Trie(t)) => unsafe { t.delete(key, self.peers.slot(slot)?) },
            // SAFETY: the caller's word.
            Kind::Ops(Ops::Other(k)) => unsafe { k.delete(key, self.peers.slot(slot)?) },
        }
    }

    /// Enters a map of keys as a writer. Of a shared one that another process's recovery keeps closed by its death, this one takes the recovery over.
    #[inline]
    fn enter(&self, slot: u32) -> Result<Inside<'_>, Errno> {
        match self.peers.enter(slot) {
            Err(_) if self.peers.holders().is_some_and(Holders::is_gate_left) => {
                self.recover()?;
                self.peers.enter(slot)
            }
            entered => entered,
        }
    }

    /// Sets or clears an entry of a PROG_ARRAY. The program that stood there comes back: drop it after a grace period.
    ///
    /// # Errors
    /// EINVAL for other types, E2BIG beyond the last entry, EPERM where the control plane may not write. `target` is dropped then.
    pub fn set_prog(&self, index: u32, target: Option<ProgRef>) -> Result<Option<ProgRef>, Errno> {
        let Kind::ProgArray(a) = &self.kind else { return Err(Errno::EINVAL) };
        self.write_access(|| a.set(index, target))?
    }

    /// One more user handle.
    pub fn add_user(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// One user handle less. With the last one a PROG_ARRAY loses its programs, a device or CPU map the entries that have one, and timers theirs, each of which goes to `retire`: drop them after a grace period.
    pub fn drop_user(&self, retire: &mut dyn FnMut(Reference)) {
        // AcqRel: what other handles did happens before the last one clears.
        let last = self.users.fetch_sub(1, Ordering::AcqRel) == 1;
        if !last {
            return;
        }
        if let Kind::ProgArray(a) = &self.kind {
            a.clear(&mut |p| retire(Reference::Prog(p)));
        }
        if let Some(ops) = self.ops() {
            ops.let_programs_go(retire);
        }
        if let Some(timers) = self.timers() {
            timers.let_go(lock::NO_SLOT, |p| retire(Reference::Prog(p)));
        }
    }
}
