//! PERF_EVENT_ARRAY: an event ring for each CPU slot, in the pages that perf users know.
//!
//! A ring is a page of numbers (positions at 1024, place and size of the data behind them) and a power of two of data pages. A slot's worker is the only one who writes
//! to its ring; records may wrap. What does not fit is lost and counted, and the next record that fits is preceded by one that says how many.
//! Kernel: an entry is a perf event that user space opened for a CPU; uxdp: entry `i` is the ring of slot `i`, of eight data pages, after `perf_open`.
//! Source of the records and errors: `include/uapi/linux/perf_event.h`, `bpf_xdp_event_output` in the kernel's `net/core/filter.c`.

use super::layout::{CACHE_LINE, Cursor, Layout};
use super::ops::{MapOps, Reference};
use super::spec::flags::{BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY};
use super::wake::Ringer;
use super::{Making, Map, MapConfig, MapError, MapSpec};
use crate::error::Errno;
use crate::mem::Vec;
use crate::sync::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::vm::MAX_FRAGS;
use core::ptr::NonNull;

/// BPF_F_PRESERVE_ELEMS: known and without meaning here, where entries never go by themselves.
const PRESERVE_ELEMS: u32 = 1 << 11;
/// Data pages of a ring.
const DATA_PAGES: usize = 8;
/// `perf_event_mmap_page`: version, and from byte 1024 on head, tail, offset and size of the data.
const VERSION: usize = 0;
const HEAD: usize = 1024;
const TAIL: usize = 1032;
const OFFSET: usize = 1040;
const SIZE: usize = 1048;
/// Types of records.
const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_SAMPLE: u32 = 9;
/// Bytes of a record's header: type, misc, size.
const HEADER: u64 = 8;
/// Bytes of a record that tells of lost ones: header, id, number.
const LOST_BYTES: u64 = 24;

/// What a reader gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerfRecord<'a> {
    /// What a program put out: its data, then the bytes of the packet that it asked for, padded with zeroes.
    Sample(&'a [u8]),
    /// So many were lost here.
    Lost(u64),
}

/// Private: what a slot's ring is at.
#[derive(Debug, Default)]
struct State {
    open: AtomicBool,
    lost: AtomicU64,
}

/// The rings.
#[derive(Debug)]
pub(super) struct PerfArray {
    rings: NonNull<u8>,
    stride: usize,
    page: usize,
    max_entries: u32,
    states: Vec<State>,
    wake: Ringer,
    reading: spin::Mutex<()>,
}

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec) -> Result<(), MapError> {
    if spec.value_size != 4 {
        return Err(MapError::ValueSize(spec.kind, spec.value_size));
    }
    if spec.key_size != 4 {
        return Err(MapError::KeySize(spec.kind, spec.key_size));
    }
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(spec.kind));
    }
    super::check::flags(spec, BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | PRESERVE_ELEMS)
}

fn rings(spec: &MapSpec, cfg: &MapConfig) -> usize {
    spec.max_entries.min(cfg.nr_cpus) as usize
}

pub(super) fn layout(spec: &MapSpec, cfg: &MapConfig, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    l.align = cfg.page_size.max(CACHE_LINE);
    l.stride = cfg.page_size;
    l.cpu_stride = cfg.page_size * (1 + DATA_PAGES);
    l.values = at.take(l.cpu_stride.checked_mul(rings(spec, cfg))?, cfg.page_size)?;
    Some(())
}

/// One ring's pages.
#[derive(Clone, Copy)]
struct Pages<'a> {
    page: &'a [AtomicU8],
    data: &'a [AtomicU8],
}

impl Pages<'_> {
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at + 8 <= self.page.len() && at.is_multiple_of(8));
        // SAFETY: the page has more than 1056 bytes and is page-aligned; `at` is one of the constants above.
        unsafe { &*self.page.as_ptr().add(at).cast::<AtomicU64>() }
    }

    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    /// The byte at a position, round the end.
    fn at(&self, position: u64) -> Option<&AtomicU8> {
        self.data.get(position.checked_rem(self.size())? as usize)
    }

    /// Copies bytes to a position, round the end.
    fn put(&self, position: u64, bytes: impl Iterator<Item = u8>) -> u64 {
        let mut at = position;
        for byte in bytes {
            if let Some(place) = self.at(at) {
                place.store(byte, Ordering::Relaxed);
            }
            at += 1;
        }
        at
    }

    fn get(&self, position: u64, out: &mut [u8]) {
        for (at, byte) in (position..).zip(out) {
            *byte = self.at(at).map_or(0, |b| b.load(Ordering::Relaxed));
        }
    }
}

fn header(kind: u32, size: u64) -> [u8; 8] {
    // Type, then misc (0) and the size of the record.
    (u64::from(kind) | size << 48).to_le_bytes()
}

impl PerfArray {
    pub(super) fn new(m: &Making<'_>) -> Result<Self, MapError> {
        let (n, l) = (rings(m.spec, m.cfg), m.l);
        Ok(PerfArray {
            rings: m.region.section(l.values, l.cpu_stride * n),
            stride: l.cpu_stride,
            page: l.stride,
            max_entries: m.spec.max_entries,
            states: Vec::from_fn(n, |_| State::default())?,
            wake: Ringer::new(m.cfg.wakes.as_ref())?,
            reading: spin::Mutex::new(()),
        })
    }

    fn ring(&self, index: u32) -> Option<(Pages<'_>, &State)> {
        let state = self.states.get(index as usize)?;
        // SAFETY: there is a ring of `stride` bytes for each state, which lives as long as the map and is reached by atomic accesses.
        let all = unsafe {
            let start = self.rings.as_ptr().add(index as usize * self.stride).cast::<AtomicU8>();
            core::slice::from_raw_parts(start, self.stride)
        };
        let (page, data) = all.split_at_checked(self.page)?;
        Some((Pages { page, data }, state))
    }

    fn open(&self, index: u32) -> Result<(), Errno> {
        let (pages, state) = self.ring(index).ok_or(Errno::E2BIG)?;
        pages.word(VERSION).store(1, Ordering::Relaxed);
        pages.word(OFFSET).store(self.page as u64, Ordering::Relaxed);
        pages.word(SIZE).store(pages.size(), Ordering::Relaxed);
        state.open.store(true, Ordering::Release); // pairs with `output`
        Ok(())
    }

    /// Writes a sample to the ring of the caller's slot, its parts one behind the other.
    fn output(&self, index: u32, slot: u32, parts: &[&[AtomicU8]]) -> Result<(), Errno> {
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        let open = |s: &State| s.open.load(Ordering::Acquire); // pairs with `open`
        let (pages, state) = self.ring(index).filter(|r| open(r.1)).ok_or(Errno::ENOENT)?;
        if index != slot {
            return Err(Errno::EOPNOTSUPP);
        }
        let len: u64 = parts.iter().map(|p| p.len() as u64).sum();
        // The size word and the data are a multiple of eight together.
        let raw = (4 + len).next_multiple_of(8) - 4;
        let size = HEADER + 4 + raw;
        if size > u64::from(u16::MAX) {
            return Err(Errno::E2BIG);
        }
        let head = pages.word(HEAD).load(Ordering::Relaxed);
        // Acquire: pairs with the reader's store; its reads of what is overwritten are over.
        let tail = pages.word(TAIL).load(Ordering::Acquire);
        let lost = state.lost.load(Ordering::Relaxed);
        let needed = size + if lost == 0 { 0 } else { LOST_BYTES };
        let room = pages.size().saturating_sub(head.wrapping_sub(tail));
        if needed > room {
            state.lost.store(lost + 1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        let mut at = head;
        if lost != 0 {
            let numbers = 0u64.to_le_bytes().into_iter().chain(lost.to_le_bytes());
            at = pages.put(at, header(PERF_RECORD_LOST, LOST_BYTES).into_iter().chain(numbers));
            state.lost.store(0, Ordering::Relaxed);
        }
        let start = at;
        at = pages.put(at, header(PERF_RECORD_SAMPLE, size).into_iter().chain((raw as u32).to_le_bytes()));
        at = pages.put(at, parts.iter().flat_map(|p| p.iter()).map(|b| b.load(Ordering::Relaxed)));
        let padding = start + size - at;
        at = pages.put(at, (0..padding).map(|_| 0));
        pages.word(HEAD).store(at, Ordering::Release); // pairs with the reader's load
        self.wake.ring();
        Ok(())
    }

    fn read(&self, index: u32, each: &mut dyn FnMut(PerfRecord<'_>)) -> Result<usize, Errno> {
        let (pages, _) = self.ring(index).ok_or(Errno::E2BIG)?;
        let _reading = self.reading.try_lock().ok_or(Errno::EBUSY)?;
        let mut at = pages.word(TAIL).load(Ordering::Relaxed);
        let mut n = 0;
        let mut bytes = Vec::filled(0u8, usize::from(u16::MAX))?;
        loop {
            // Acquire: pairs with the store in `output`.
            let head = pages.word(HEAD).load(Ordering::Acquire);
            if at == head {
                return Ok(n);
            }
            let mut first = [0; HEADER as usize];
            pages.get(at, &mut first);
            let word = u64::from_le_bytes(first);
            let size = word >> 48;
            if size < HEADER || size > head.wrapping_sub(at) || size > pages.size() {
                return Err(Errno::EPROTO);
            }
            let body = bytes.get_mut(..(size - HEADER) as usize).ok_or(Errno::EPROTO)?;
            pages.get(at + HEADER, body);
            match word as u32 {
                PERF_RECORD_SAMPLE => {
                    let (raw, data) = body.split_first_chunk::<4>().ok_or(Errno::EPROTO)?;
                    let len = (u32::from_le_bytes(*raw) as usize).min(data.len());
                    each(PerfRecord::Sample(data.get(..len).unwrap_or_default()));
                }
                PERF_RECORD_LOST => {
                    let lost = body.last_chunk::<8>().ok_or(Errno::EPROTO)?;
                    each(PerfRecord::Lost(u64::from_le_bytes(*lost)));
                }
                _ => {}
            }
            n += 1;
            at += size;
            pages.word(TAIL).store(at, Ordering::Release); // pairs with the load in `output`
        }
    }
}

impl MapOps for PerfArray {
    fn perf(&self) -> Option<&PerfArray> {
        Some(self)
    }

    fn ringer(&self) -> Option<&Ringer> {
        Some(&self.wake)
    }

    fn write(&self, _: u32, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        let index = key.first_chunk().map(|k| u32::from_le_bytes(*k)).ok_or(Errno::EINVAL)?;
        Err(match flags {
            0 if index >= self.max_entries => Errno::E2BIG,
            0 => Errno::EBADF,
            _ => Errno::EINVAL,
        })
    }

    fn remove(&self, _: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        let index = key.first_chunk().map(|k| u32::from_le_bytes(*k)).ok_or(Errno::EINVAL)?;
        if index >= self.max_entries {
            return Err(Errno::E2BIG);
        }
        let open = self.states.get(index as usize).is_some_and(|s| s.open.swap(false, Ordering::AcqRel));
        if open { Ok(None) } else { Err(Errno::ENOENT) }
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let key = key.and_then(|k| k.first_chunk()).map(|k| u32::from_le_bytes(*k));
        super::target::copy_word(super::array::next_index(key, self.max_entries)?.into(), out);
        Ok(())
    }
}

impl Map {
    fn perf(&self) -> Option<&PerfArray> {
        self.ops()?.perf()
    }

    /// Opens entry `index` of a PERF_EVENT_ARRAY, the ring of that slot: from now on its worker's samples are kept.
    ///
    /// # Errors
    /// EINVAL for other types; E2BIG beyond the entries and slots; EPERM where the control plane may not write.
    pub fn perf_open(&self, index: u32) -> Result<(), Errno> {
        let perf = self.perf().ok_or(Errno::EINVAL)?;
        self.write_access(|| perf.open(index))?
    }

    /// Writes a sample to the ring of the caller's slot: `size` bytes, then the pieces of a packet.
    ///
    /// # Safety
    /// `data` is readable for `size` bytes, each piece of `packet` for its length. The caller alone holds `slot`.
    ///
    /// # Errors
    /// E2BIG beyond the last entry and for a sample over 64 kB; ENOENT where the entry is not open; EOPNOTSUPP for another slot's; ENOSPC for want of room, which
    /// counts as lost.
    pub unsafe fn perf_output(
        &self,
        index: u32,
        (data, size): (*const u8, usize),
        packet: &[(*const u8, usize)],
        slot: u32,
    ) -> Result<(), Errno> {
        let perf = self.perf().ok_or(Errno::EINVAL)?;
        // SAFETY: the caller's word; bytes that others may write meanwhile are read by atomic accesses. Null only with size 0.
        let part = |p: *const u8, n: usize| unsafe {
            let p = if n == 0 { NonNull::dangling().as_ptr() } else { p.cast_mut() };
            core::slice::from_raw_parts(p.cast::<AtomicU8>(), n)
        };
        let mut parts = heapless::Vec::<_, { MAX_FRAGS + 2 }>::new();
        for &(p, n) in [(data, size)].iter().chain(packet) {
            parts.push(part(p, n)).map_err(|_| Errno::E2BIG)?;
        }
        perf.output(index, slot, &parts)
    }

    /// Hands the records of entry `index` of a PERF_EVENT_ARRAY to `each`, oldest first; how many.
    ///
    /// # Errors
    /// EINVAL for other types, E2BIG beyond the entries and slots, EBUSY while another thread reads, ENOMEM, EPROTO where somebody else wrote nonsense into
    /// shared memory.
    pub fn perf_read(&self, index: u32, each: &mut dyn FnMut(PerfRecord<'_>)) -> Result<usize, Errno> {
        self.perf().ok_or(Errno::EINVAL)?.read(index, each)
    }
}

const _: () = assert!(size_of::<AtomicU32>() == 4 && SIZE + 8 <= 4096);
