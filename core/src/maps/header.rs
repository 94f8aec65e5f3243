//! The header at the start of a map's memory: what another process checks before it attaches.
//!
//! Written once, `ready` last; whoever attaches copies it, checks the copy whole and never reads it again. Nothing on the run path looks at it. All numbers
//! are in host order: little-endian, 64-bit hosts only.

use super::layout::{HEADER_BYTES, Layout};
use super::memory::Region;
use super::{MapConfig, MapSpec};
use crate::sync::{AtomicU32, Ordering};

/// "uxdpmap" and a NUL.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"uxdpmap\0");
/// Version of everything that this folder lays out.
pub(super) const LAYOUT_VERSION: u32 = 1;
/// The keyed 64×64→128 multiply fold of [`super::table`].
pub(super) const HASH_ID_FOLD: u32 = 1;
/// Value of `ready` when the rest is complete.
const READY: u32 = 0x5245_4459;
/// Bytes of a name; a longer one is cut.
const NAME_BYTES: usize = 128;

/// What stands at offset 0.
#[repr(C)]
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
    frozen: AtomicU32,
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
    /// Reserved for the offset and size of BTF.
    btf: [u64; 2],
    name: [u8; NAME_BYTES],
    /// Last written: [`READY`].
    ready: AtomicU32,
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES && align_of::<Header>() <= 8);

/// Describes the map that lives in `region`, whose elements may be used from then on.
pub(super) fn publish(region: &Region, name: &str, spec: &MapSpec, cfg: &MapConfig, l: &Layout) {
    let mut text = [0; NAME_BYTES];
    for (to, from) in text.iter_mut().zip(name.bytes().take(NAME_BYTES - 1)) {
        *to = from;
    }
    let header = Header {
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
        frozen: AtomicU32::new(0),
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
        btf: [0; 2],
        name: text,
        ready: AtomicU32::new(0),
    };
    let at = region.base().cast::<Header>();
    // SAFETY: every layout begins with HEADER_BYTES for the header, aligned to a cache line; nobody else has the address yet.
    unsafe {
        at.write(header);
        // Release: pairs with the Acquire load of whoever attaches, who then sees the header whole.
        at.as_ref().ready.store(READY, Ordering::Release);
    }
}

/// Notes in the header that the map is frozen, for other processes.
pub(super) fn set_frozen(region: &Region) {
    // SAFETY: `publish` wrote the header before the map was handed out; the field is atomic and the memory still writable.
    unsafe { region.base().cast::<Header>().as_ref().frozen.store(1, Ordering::Release) };
}
