//! What the kernel refuses at creation: sizes, flags and their combinations, in the kernel's order and with its errors.
//!
//! Refuses by name every type that this version does not make. The table test holds the answers that Linux 6.18 gave through bpf(2).
//! Source: `array_map_alloc_check`, `fd_array_map_alloc_check` and `htab_map_alloc_check` in the kernel's `kernel/bpf`; the rounding is `htab_map_alloc`'s.

use super::spec::flags::*;
use super::{MapError, MapSpec, MapType};

/// Largest per-CPU value (`PCPU_MIN_UNIT_SIZE`).
const PCPU_MIN_UNIT_SIZE: u32 = 32 << 10;
/// A hash key and its value are below this together: `KMALLOC_MAX_SIZE` less the kernel's element header.
const HASH_ELEMENT_LIMIT: u64 = (4 << 20) - 48;
/// Most elements of a hash.
/// Kernel: 2^31; uxdp: 2^30 less the writers' spares, because a slot word spends 30 bits on the element's index.
const HASH_MAX_ENTRIES: u32 = (1 << 30) - (1 << 16);

const ACCESS: u32 = BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG;
const ARRAY_FLAGS: u32 = BPF_F_NUMA_NODE | BPF_F_MMAPABLE | BPF_F_INNER_MAP | ACCESS;
const HASH_FLAGS: u32 = BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | ACCESS;
const LRU_FLAGS: u32 = HASH_FLAGS | BPF_F_NO_COMMON_LRU;

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec) -> Result<(), MapError> {
    if spec.extra != 0 && spec.kind != MapType::BloomFilter {
        return Err(MapError::Extra(spec.kind, spec.extra));
    }
    match spec.kind {
        MapType::Array | MapType::PercpuArray => array(spec),
        MapType::ProgArray => {
            if spec.value_size != 4 {
                return Err(MapError::ValueSize(spec.kind, spec.value_size));
            }
            if spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
                return Err(MapError::Flags(spec.kind, spec.flags));
            }
            array(spec)
        }
        MapType::Hash | MapType::PercpuHash => hash(spec, HASH_FLAGS),
        MapType::LruHash | MapType::LruPercpuHash => {
            flags(&MapSpec { flags: spec.flags & !BPF_F_NUMA_NODE, ..*spec }, LRU_FLAGS)?;
            if spec.flags & BPF_F_NO_PREALLOC != 0 {
                return Err(MapError::LruPrealloc(spec.kind));
            }
            if spec.flags & BPF_F_NO_COMMON_LRU != 0 && spec.flags & BPF_F_NUMA_NODE != 0 {
                return Err(MapError::Flags(spec.kind, spec.flags));
            }
            hash(spec, LRU_FLAGS)
        }
        MapType::ArrayOfMaps => {
            super::map_of_maps::check(spec)?;
            array(spec)
        }
        MapType::HashOfMaps => {
            super::map_of_maps::check(spec)?;
            hash(spec, HASH_FLAGS)
        }
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap | MapType::Xskmap => {
            super::redirect::check(spec)
        }
        MapType::Queue | MapType::Stack => super::queue::check(spec, ACCESS | BPF_F_NUMA_NODE),
        MapType::BloomFilter => super::bloom::check(spec, ACCESS | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED),
        MapType::LpmTrie => super::lpm::check(spec, ACCESS | BPF_F_NUMA_NODE),
        MapType::Ringbuf | MapType::UserRingbuf => super::ringbuf::check(spec),
        MapType::PerfEventArray => super::perf::check(spec),
        other => Err(MapError::Type(other)),
    }
}

/// The spec as a map has it: an LRU with a list for each CPU has the same number of elements in each.
pub(super) fn rounded(spec: &MapSpec, nr_cpus: u32) -> MapSpec {
    let lru = matches!(spec.kind, MapType::LruHash | MapType::LruPercpuHash);
    if !lru || spec.flags & BPF_F_NO_COMMON_LRU == 0 || nr_cpus == 0 {
        return *spec;
    }
    let up = spec.max_entries.checked_next_multiple_of(nr_cpus);
    MapSpec { max_entries: up.unwrap_or(spec.max_entries / nr_cpus * nr_cpus), ..*spec }
}

fn array(spec: &MapSpec) -> Result<(), MapError> {
    let kind = spec.kind;
    if spec.key_size != 4 {
        return Err(MapError::KeySize(kind, spec.key_size));
    }
    if spec.value_size == 0 {
        return Err(MapError::ValueSize(kind, 0));
    }
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(kind));
    }
    flags(spec, ARRAY_FLAGS)?;
    if kind != MapType::Array && spec.flags & (BPF_F_MMAPABLE | BPF_F_INNER_MAP) != 0 {
        return Err(MapError::Flags(kind, spec.flags));
    }
    if spec.value_size > i32::MAX as u32 || percpu_value_too_big(spec) {
        return Err(too_big(spec));
    }
    Ok(())
}

fn hash(spec: &MapSpec, known: u32) -> Result<(), MapError> {
    flags(spec, known)?;
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(spec.kind));
    }
    if spec.key_size == 0 {
        return Err(MapError::KeySize(spec.kind, 0));
    }
    if spec.value_size == 0 {
        return Err(MapError::ValueSize(spec.kind, 0));
    }
    let element = u64::from(spec.key_size) + u64::from(spec.value_size);
    if element >= HASH_ELEMENT_LIMIT || percpu_value_too_big(spec) {
        return Err(too_big(spec));
    }
    if spec.max_entries > HASH_MAX_ENTRIES {
        return Err(MapError::TooManyEntries(spec.kind, spec.max_entries));
    }
    Ok(())
}

pub(super) fn flags(spec: &MapSpec, known: u32) -> Result<(), MapError> {
    let both = |a: u32, b: u32| spec.flags & (a | b) == a | b;
    let percpu_node = spec.kind.is_percpu() && spec.flags & BPF_F_NUMA_NODE != 0;
    if spec.flags & !known != 0
        || both(BPF_F_RDONLY, BPF_F_WRONLY)
        || both(BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG)
        || percpu_node
    {
        return Err(MapError::Flags(spec.kind, spec.flags));
    }
    Ok(())
}

fn percpu_value_too_big(spec: &MapSpec) -> bool {
    // Rounding up to 8 cannot cross the limit, which is a multiple of 8.
    spec.kind.is_percpu() && spec.value_size > PCPU_MIN_UNIT_SIZE
}

fn too_big(spec: &MapSpec) -> MapError {
    MapError::ElementTooBig { kind: spec.kind, key_size: spec.key_size, value_size: spec.value_size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    const KINDS: [MapType; 7] = [
        MapType::Hash,
        MapType::Array,
        MapType::ProgArray,
        MapType::PercpuHash,
        MapType::PercpuArray,
        MapType::LruHash,
        MapType::LruPercpuHash,
    ];

    /// key size, value size, entries, flags, and what Linux 6.18 answers for each of `KINDS`: 0 or an errno.
    #[rustfmt::skip]
    const KERNEL: &[(u32, u32, u32, u32, [i32; 7])] = &[
        (4, 4, 1, 0, [0, 0, 0, 0, 0, 0, 0]),
        (0, 4, 1, 0, [22, 22, 22, 22, 22, 22, 22]),
        (4, 0, 1, 0, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 0, 0, [22, 22, 22, 22, 22, 22, 22]),
        (3, 4, 1, 0, [0, 22, 22, 0, 22, 0, 0]),
        (8, 4, 1, 0, [0, 22, 22, 0, 22, 0, 0]),
        (4, 8, 1, 0, [0, 0, 22, 0, 0, 0, 0]),
        (4, 3, 1, 0, [0, 0, 22, 0, 0, 0, 0]),
        (512, 4, 1, 0, [0, 22, 22, 0, 22, 0, 0]),
        (513, 4, 1, 0, [0, 22, 22, 0, 22, 0, 0]),
        (65536, 4, 1, 0, [0, 22, 22, 0, 22, 0, 0]),
        (0x7fff_ffff, 4, 1, 0, [7, 22, 22, 7, 22, 7, 7]),
        (0xffff_ffff, 4, 1, 0, [7, 22, 22, 7, 22, 7, 7]),
        (4, 32761, 1, 0, [0, 0, 22, 0, 0, 0, 0]),
        (4, 32768, 1, 0, [0, 0, 22, 0, 0, 0, 0]),
        (4, 32769, 1, 0, [0, 0, 22, 7, 7, 0, 7]),
        (4, 4_194_251, 1, 0, [0, 0, 22, 7, 7, 0, 7]),
        (4, 4_194_252, 1, 0, [7, 0, 22, 7, 7, 7, 7]),
        (4, 4_194_304, 1, 0, [7, 0, 22, 7, 7, 7, 7]),
        (4, 0x7fff_ffff, 1, 0, [7, 0, 22, 7, 7, 7, 7]),
        (4, 0x8000_0000, 1, 0, [7, 7, 22, 7, 7, 7, 7]),
        (4, 0xffff_ffff, 1, 0, [7, 7, 22, 7, 7, 7, 7]),
        (4, 4, 0x8000_0001, 0x1, [7, 22, 22, 7, 22, 524, 524]),
        (4, 4, 0xffff_ffff, 0x1, [7, 22, 22, 7, 22, 524, 524]),
        (4, 4, 1, 0x1, [0, 22, 22, 0, 22, 524, 524]),
        (4, 4, 1, 0x2, [22, 22, 22, 22, 22, 0, 0]),
        (4, 4, 1, 0x3, [22, 22, 22, 22, 22, 524, 524]),
        (4, 4, 1, 0x4, [0, 0, 0, 22, 22, 0, 22]),
        (4, 4, 1, 0x8, [0, 0, 0, 0, 0, 0, 0]),
        (4, 4, 1, 0x10, [0, 0, 0, 0, 0, 0, 0]),
        (4, 4, 1, 0x18, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x20, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x40, [0, 22, 22, 0, 22, 0, 0]),
        (4, 4, 1, 0x41, [0, 22, 22, 0, 22, 524, 524]),
        (4, 4, 1, 0x80, [0, 0, 22, 0, 0, 0, 0]),
        (4, 4, 1, 0x100, [0, 0, 22, 0, 0, 0, 0]),
        (4, 4, 1, 0x180, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x200, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x400, [22, 0, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x800, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x1000, [22, 0, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x2000, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x8000_0000, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x6, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x42, [22, 22, 22, 22, 22, 0, 0]),
        (4, 4, 3, 0x2, [22, 22, 22, 22, 22, 0, 0]),
        (4, 4, 0, 0x2, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 0, 0x1, [22, 22, 22, 22, 22, 524, 524]),
        (4, 0, 1, 0x1, [22, 22, 22, 22, 22, 524, 524]),
        (0, 4, 1, 0x1, [22, 22, 22, 22, 22, 524, 524]),
        (4, 4, 1, 0x21, [22, 22, 22, 22, 22, 22, 22]),
        (4, 4, 1, 0x5, [0, 22, 22, 22, 22, 524, 524]),
        (4, 4, 1, 0x7, [22, 22, 22, 22, 22, 524, 524]),
    ];

    #[test]
    fn creation_answers_as_linux_does() {
        for &(key_size, value_size, max_entries, flags, want) in KERNEL {
            for (kind, want) in KINDS.into_iter().zip(want) {
                let spec = MapSpec::new(kind, key_size, value_size, max_entries).with_flags(flags);
                let got = check(&spec).map_or_else(|e| e.errno().0, |()| 0);
                assert_eq!(got, want, "{spec:?}");
            }
        }
    }

    #[test]
    fn a_type_of_later_versions_is_refused_by_name() {
        let spec = MapSpec::new(MapType::Arena, 0, 0, 1);
        let refused = check(&spec).unwrap_err();
        assert_eq!(refused.errno(), crate::error::Errno::EOPNOTSUPP);
        let mut text = crate::mem::String::new();
        core::fmt::Write::write_fmt(&mut text, format_args!("{refused}")).unwrap();
        assert_eq!(text.as_str(), "map type arena is not supported in this version");
    }
}
