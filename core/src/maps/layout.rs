//! Where everything stands in a map's memory: computed before the memory is asked for, with every product checked.
//!
//! The memory begins with the header ([`super::header`]); sections follow in the order below, each aligned to a cache line at least. Offsets are from the
//! start of the memory. Sections that a type does not have are empty at offset 0.

use super::spec::flags::BPF_F_MMAPABLE;
use super::table::{BUCKET_BYTES, Clock, FreeLists, PART_BYTES, Supply, buckets_for};
use super::{MapConfig, MapError, MapSpec, MapType};

/// Bytes of a cache line: what sections and per-CPU blocks are padded to.
pub(super) const CACHE_LINE: usize = 64;
/// Bytes that the header takes.
pub(super) const HEADER_BYTES: usize = 512;
/// Bytes of a hash writer's block: two lines, because neighbours are fetched in pairs.
pub(super) const WRITER_BYTES: usize = 128;

/// Where the sections of one map are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of all of it.
    pub(super) total: usize,
    /// What the memory has to be aligned to.
    pub(super) align: usize,
    /// Array values, or the per-CPU values of a hash.
    pub(super) values: usize,
    /// Bytes from a value to the next.
    pub(super) stride: usize,
    /// Bytes from a CPU's values to the next CPU's; 0 where there is one for all.
    pub(super) cpu_stride: usize,
    /// Program ids of a PROG_ARRAY.
    pub(super) ids: usize,
    /// Buckets of a hash.
    pub(super) buckets: usize,
    /// How many.
    pub(super) nr_buckets: usize,
    /// A hash's watermark on a line of its own, or the parts of an LRU.
    pub(super) pool: usize,
    /// Blocks of a hash's writers.
    pub(super) writers: usize,
    /// Elements of a hash.
    pub(super) elements: usize,
    /// How many: max_entries and for a HASH, whose updates install another element, a spare for each writer.
    pub(super) nr_elements: usize,
    /// Bytes of an element.
    pub(super) element_stride: usize,
    /// Who holds which writer slot, for types whose writers have one.
    pub(super) holders: usize,
    /// A bit for each unit and each element of a trie, for its recovery.
    pub(super) marks: usize,
}

impl Layout {
    /// The layout of a map whose spec the kernel would take.
    pub(super) fn of(spec: &MapSpec, cfg: &MapConfig) -> Result<Layout, MapError> {
        if cfg.nr_cpus == 0
            || cfg.writer_slots < cfg.nr_cpus
            || cfg.writer_slots > 1 << 16
            || !cfg.page_size.is_power_of_two()
            || cfg.page_size < HEADER_BYTES
        {
            return Err(MapError::Config);
        }
        Self::sections(spec, cfg).ok_or(MapError::SizeOverflow(spec.kind))
    }

    /// Whether the type's writers have slots, which several processes have to share.
    fn has_writers(kind: MapType) -> bool {
        matches!(
            kind,
            MapType::Hash
                | MapType::PercpuHash
                | MapType::LruHash
                | MapType::LruPercpuHash
                | MapType::Queue
                | MapType::Stack
                | MapType::LpmTrie
                | MapType::Ringbuf
                | MapType::UserRingbuf
        )
    }

    /// `None`: a size overflows.
    fn sections(spec: &MapSpec, cfg: &MapConfig) -> Option<Layout> {
        let entries = spec.max_entries as usize;
        let mut at = Cursor(HEADER_BYTES);
        let mut l = Layout { align: CACHE_LINE, ..Layout::default() };
        let stride = (spec.value_size as usize).checked_next_multiple_of(8)?;
        if Self::has_writers(spec.kind) {
            l.holders = at.take(super::holders::section_bytes(cfg.writer_slots as usize), CACHE_LINE)?;
        }
        match spec.kind {
            MapType::Array => {
                l.stride = stride;
                let mapped = spec.flags & BPF_F_MMAPABLE != 0;
                l.align = if mapped { cfg.page_size } else { CACHE_LINE };
                let size = stride.checked_mul(entries)?.checked_next_multiple_of(l.align)?;
                l.values = at.take(size, l.align)?;
            }
            MapType::PercpuArray => {
                l.stride = stride;
                l.cpu_stride = stride.checked_mul(entries)?.checked_next_multiple_of(CACHE_LINE)?;
                l.values = at.take(l.cpu_stride.checked_mul(cfg.nr_cpus as usize)?, CACHE_LINE)?;
            }
            MapType::ProgArray => l.ids = at.take(entries.checked_mul(4)?, CACHE_LINE)?,
            MapType::Hash | MapType::PercpuHash | MapType::LruHash | MapType::LruPercpuHash => {
                let percpu = spec.kind.is_percpu();
                let lru = matches!(spec.kind, MapType::LruHash | MapType::LruPercpuHash);
                let writers = cfg.writer_slots as usize;
                let mark = if lru { Clock::MARK_BYTES } else { FreeLists::MARK_BYTES };
                let key = (spec.key_size as usize).checked_next_multiple_of(8)?.checked_add(mark)?;
                let pool = if lru { Clock::parts(spec, cfg) as usize * PART_BYTES } else { CACHE_LINE };
                l.nr_elements = entries.checked_add(if percpu || lru { 0 } else { writers })?;
                l.element_stride = unstraddled(if percpu { key } else { key.checked_add(stride)? })?;
                l.nr_buckets = buckets_for(entries, writers)?;
                l.buckets = at.take(l.nr_buckets.checked_mul(BUCKET_BYTES)?, CACHE_LINE)?;
                l.pool = at.take(pool, WRITER_BYTES)?;
                l.writers = at.take(writers.checked_mul(WRITER_BYTES)?, WRITER_BYTES)?;
                l.elements = at.take(l.nr_elements.checked_mul(l.element_stride)?, CACHE_LINE)?;
                if percpu {
                    l.stride = stride;
                    l.cpu_stride = stride.checked_mul(entries)?.checked_next_multiple_of(CACHE_LINE)?;
                    l.values = at.take(l.cpu_stride.checked_mul(cfg.nr_cpus as usize)?, CACHE_LINE)?;
                }
            }
            MapType::ArrayOfMaps | MapType::Devmap | MapType::Cpumap | MapType::Xskmap => {
                super::slots::layout(spec, &mut at, &mut l)?;
            }
            MapType::HashOfMaps | MapType::DevmapHash => {
                return Self::sections(&super::keyed::hash_spec(spec), cfg);
            }
            MapType::Queue | MapType::Stack => super::queue::layout(spec, &mut at, &mut l)?,
            MapType::BloomFilter => super::bloom::layout(spec, &mut at, &mut l)?,
            MapType::LpmTrie => super::lpm::layout(spec, &mut at, &mut l)?,
            MapType::Ringbuf | MapType::UserRingbuf => super::ringbuf::layout(spec, cfg, &mut at, &mut l)?,
            MapType::PerfEventArray => super::perf::layout(spec, cfg, &mut at, &mut l)?,
            _ => return None,
        }
        l.total = at.0.checked_next_multiple_of(l.align)?;
        (l.total <= isize::MAX as usize).then_some(l)
    }
}

/// Bytes from an element to the next, so that none of up to a cache line stands on two.
fn unstraddled(size: usize) -> Option<usize> {
    if size <= CACHE_LINE { size.checked_next_power_of_two() } else { Some(size) }
}

/// The first free byte.
pub(super) struct Cursor(usize);

impl Cursor {
    pub(super) fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        let start = self.0.checked_next_multiple_of(align)?;
        self.0 = start.checked_add(size)?;
        Some(start)
    }
}
