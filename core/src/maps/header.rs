//! The header at the start of a map's memory: what another process checks before it attaches.
//!
//! Written once, `ready` last; whoever attaches copies it, checks the copy whole and never reads it again. Nothing on the run path looks at it. All numbers
//! are in host order: little-endian, 64-bit hosts only.

use super::attach_error::AttachError;
use super::layout::{HEADER_BYTES, Layout};
use super::memory::{self, Region};
use super::{MapConfig, MapSpec, MapType, ValueFields};
use crate::sync::{AtomicU32, Ordering};
use core::mem::offset_of;
use core::ptr::NonNull;

/// "uxdpmap" and a NUL.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"uxdpmap\0");
/// Version of everything that this folder lays out.
pub(super) const LAYOUT_VERSION: u32 = 5;
/// The keyed 64×64→128 multiply fold of [`super::table`].
pub(super) const HASH_ID_FOLD: u32 = 1;
/// Value of `ready` when the rest is complete.
const READY: u32 = 0x5245_4459;
/// Bytes of a name; a longer one is cut.
const NAME_BYTES: usize = 128;

/// What stands at offset 0.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    magic: u64,
    version: u32,
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    nr_cpus: u32,
    writer_slots: u32,
    page_size: u32,
    hash_id: u32,
    secret: [u64; 2],
    extra: u64,
    numa_node: i32,
    /// 1: writes from the control plane are refused.
    frozen: u32,
    total: u64,
    values: u64,
    stride: u64,
    cpu_stride: u64,
    ids: u64,
    buckets: u64,
    nr_buckets: u64,
    pool: u64,
    writers: u64,
    elements: u64,
    nr_elements: u64,
    element_stride: u64,
    holders: u64,
    marks: u64,
    /// Among whose processes it is shared; 0 where it is not.
    realm: u64,
    /// Reserved for the offset and size of BTF.
    btf: [u64; 2],
    name: [u8; NAME_BYTES],
    /// A digest of all above but `frozen`: against files that were damaged, not against malice.
    digest: u64,
    /// Last written: [`READY`].
    ready: u32,
    _pad: u32,
}

impl Header {
    /// FNV-1a, of whole words, finished as SplitMix64 is.
    fn digested(&self) -> u64 {
        let plain = Header { frozen: 0, ..*self };
        let mut bits = 0xcbf2_9ce4_8422_2325u64;
        for at in (0..offset_of!(Header, digest)).step_by(8) {
            // SAFETY: a word inside the header, which has no padding before the digest: its fields fill whole words.
            let word = unsafe { (&raw const plain).cast::<u64>().add(at / 8).read() };
            bits = (bits ^ word).wrapping_mul(0x100_0000_01b3);
        }
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits ^ bits >> 31
    }
}

/// Makes the digest of a header's bytes right, as a hostile peer would.
#[cfg(test)]
pub(super) fn forge(bytes: &mut [u8]) {
    assert!(bytes.len() >= size_of::<Header>());
    // SAFETY: as many bytes as a header has, of which every one may have any value.
    let header = unsafe { bytes.as_ptr().cast::<Header>().read_unaligned() };
    let at = offset_of!(Header, digest);
    bytes[at..at + 8].copy_from_slice(&header.digested().to_le_bytes());
}

/// Bytes of it.
#[cfg(test)]
pub(super) const BYTES: usize = size_of::<Header>();

const _: () = assert!(offset_of!(Header, digest).is_multiple_of(8));
const _: () = assert!(size_of::<Header>() <= HEADER_BYTES && align_of::<Header>() <= 8);

/// Describes the map that lives in `region`, whose elements may be used from then on.
pub(super) fn publish(region: &Region, name: &str, spec: &MapSpec, cfg: &MapConfig, l: &Layout, realm: u64) {
    let mut text = [0; NAME_BYTES];
    for (to, from) in text.iter_mut().zip(name.bytes().take(NAME_BYTES - 1)) {
        *to = from;
    }
    let mut header = Header {
        magic: MAGIC,
        version: LAYOUT_VERSION,
        kind: spec.kind as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        nr_cpus: cfg.nr_cpus,
        writer_slots: cfg.writer_slots,
        page_size: cfg.page_size as u32,
        hash_id: HASH_ID_FOLD,
        secret: cfg.secret,
        extra: spec.extra,
        numa_node: spec.numa_node,
        frozen: 0,
        total: l.total as u64,
        values: l.values as u64,
        stride: l.stride as u64,
        cpu_stride: l.cpu_stride as u64,
        ids: l.ids as u64,
        buckets: l.buckets as u64,
        nr_buckets: l.nr_buckets as u64,
        pool: l.pool as u64,
        writers: l.writers as u64,
        elements: l.elements as u64,
        nr_elements: l.nr_elements as u64,
        element_stride: l.element_stride as u64,
        holders: l.holders as u64,
        marks: l.marks as u64,
        realm,
        btf: [0; 2],
        name: text,
        digest: 0,
        ready: 0,
        _pad: 0,
    };
    header.digest = header.digested();
    // SAFETY: every layout begins with HEADER_BYTES for the header, aligned to a cache line, which `store` writes by atomic accesses.
    unsafe { memory::store(region.base().as_ptr(), (&raw const header).cast(), size_of::<Header>()) };
    // Release: pairs with the Acquire load of whoever attaches, who then sees the header whole.
    word(region, offset_of!(Header, ready)).store(READY, Ordering::Release);
}

/// A word of the header.
fn word(region: &Region, offset: usize) -> &AtomicU32 {
    // SAFETY: inside the header, 4-aligned, only reached by atomic accesses from the time on that others know of it.
    unsafe { region.base().add(offset).cast::<AtomicU32>().as_ref() }
}

/// Notes in the header that the map is frozen, for other processes.
pub(super) fn set_frozen(region: &Region) {
    word(region, offset_of!(Header, frozen)).store(1, Ordering::SeqCst);
}

/// Where the header says that the map is frozen.
pub(super) fn frozen_word(region: &Region) -> NonNull<AtomicU32> {
    word(region, offset_of!(Header, frozen)).into()
}

/// Whether nothing stands where a header goes.
pub(super) fn is_blank(region: &Region) -> bool {
    let mut bytes = [0u8; HEADER_BYTES];
    // SAFETY: callers have checked that the region holds a header; its base is aligned to a cache line.
    unsafe { memory::load(bytes.as_mut_ptr(), region.base().as_ptr(), HEADER_BYTES) };
    bytes.iter().all(|b| *b == 0)
}

/// A header that was copied from shared memory, and is what one can be; whether its numbers fit each other is still to be seen.
pub(super) struct Found {
    header: Header,
}

impl Found {
    /// Copies and checks what does not depend on the map's layout.
    pub(super) fn read(region: &Region) -> Result<Found, AttachError> {
        if region.size() < HEADER_BYTES {
            return Err(AttachError::Truncated { have: region.size(), need: HEADER_BYTES as u64 });
        }
        // Acquire: pairs with the store in `publish`.
        let ready = word(region, offset_of!(Header, ready)).load(Ordering::Acquire);
        let mut header = core::mem::MaybeUninit::<Header>::zeroed();
        // SAFETY: the region holds a header, 8-aligned (a cache line, by the caller); zeroes and whatever is copied over them are numbers and bytes.
        let header = unsafe {
            memory::load(header.as_mut_ptr().cast(), region.base().as_ptr(), size_of::<Header>());
            header.assume_init()
        };
        if header.magic != MAGIC {
            return Err(AttachError::Magic);
        }
        if ready != READY {
            return Err(AttachError::Unready);
        }
        if header.version != LAYOUT_VERSION {
            return Err(AttachError::Version(header.version));
        }
        if header.hash_id != HASH_ID_FOLD {
            return Err(AttachError::HashId(header.hash_id));
        }
        if header.digest != header.digested() {
            return Err(AttachError::Field("digest"));
        }
        if header.btf != [0; 2] {
            return Err(AttachError::Field("btf"));
        }
        if header.frozen > 1 {
            return Err(AttachError::Field("frozen"));
        }
        if header.total > region.size() as u64 {
            return Err(AttachError::Truncated { have: region.size(), need: header.total });
        }
        Ok(Found { header })
    }

    /// What the map is.
    pub(super) fn spec(&self) -> Result<MapSpec, AttachError> {
        let h = &self.header;
        Ok(MapSpec {
            kind: MapType::from_number(h.kind).ok_or(AttachError::Kind(h.kind))?,
            key_size: h.key_size,
            value_size: h.value_size,
            max_entries: h.max_entries,
            flags: h.flags,
            extra: h.extra,
            numa_node: h.numa_node,
            fields: ValueFields { spin_lock: None, timer: None },
            inner: None,
        })
    }

    pub(super) fn nr_cpus(&self) -> u32 {
        self.header.nr_cpus
    }

    /// The environment that it was made in, as far as the memory shows it, for one that attaches with `cfg`.
    pub(super) fn config(&self, cfg: &MapConfig) -> Result<MapConfig, AttachError> {
        let h = &self.header;
        if h.nr_cpus != cfg.nr_cpus {
            return Err(AttachError::Cpus(h.nr_cpus, cfg.nr_cpus));
        }
        if h.page_size as usize != cfg.page_size {
            return Err(AttachError::PageSize(h.page_size, cfg.page_size as u32));
        }
        if h.writer_slots != cfg.writer_slots {
            return Err(AttachError::Field("writer slots"));
        }
        if cfg.processes.ok_or(AttachError::NoProcesses)?.realm() != h.realm {
            return Err(AttachError::Realm);
        }
        Ok(MapConfig { secret: h.secret, epochs: None, ..cfg.clone() })
    }

    /// Whether the sections are where a map of that spec has them.
    pub(super) fn check(&self, l: &Layout) -> Result<(), AttachError> {
        let h = &self.header;
        let fields = [
            (h.total, l.total, "total size"),
            (h.values, l.values, "values"),
            (h.stride, l.stride, "stride"),
            (h.cpu_stride, l.cpu_stride, "CPU stride"),
            (h.ids, l.ids, "ids"),
            (h.buckets, l.buckets, "buckets"),
            (h.nr_buckets, l.nr_buckets, "number of buckets"),
            (h.pool, l.pool, "pool"),
            (h.writers, l.writers, "writers"),
            (h.elements, l.elements, "elements"),
            (h.nr_elements, l.nr_elements, "number of elements"),
            (h.element_stride, l.element_stride, "element stride"),
            (h.holders, l.holders, "holders"),
            (h.marks, l.marks, "marks"),
        ];
        match fields.iter().find(|(found, wanted, _)| *found != *wanted as u64) {
            Some((.., name)) => Err(AttachError::Field(name)),
            None => Ok(()),
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> Result<&str, AttachError> {
        let end = self.header.name.iter().position(|b| *b == 0);
        let text = end.and_then(|n| self.header.name.get(..n)).ok_or(AttachError::Field("name"))?;
        core::str::from_utf8(text).map_err(|_| AttachError::Field("name"))
    }
}
