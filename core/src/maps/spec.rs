//! What a map is to be: type, sizes, flags, under the kernel's numbers (`include/uapi/linux/bpf.h`).

macro_rules! map_types {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        /// Map types, with the kernel's numbers.
        #[expect(missing_docs, reason = "the kernel's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum MapType { $($name = $value),* }

        impl MapType {
            /// The type with that number, where it is one that XDP programs use.
            pub const fn from_number(n: u32) -> Option<MapType> {
                match n { $($value => Some(MapType::$name),)* _ => None }
            }

            /// The name as bpftool prints it.
            pub const fn name(self) -> &'static str {
                match self { $(MapType::$name => $text),* }
            }
        }
    };
}

map_types! {
    Hash = 1, "hash";
    Array = 2, "array";
    ProgArray = 3, "prog_array";
    PerfEventArray = 4, "perf_event_array";
    PercpuHash = 5, "percpu_hash";
    PercpuArray = 6, "percpu_array";
    LruHash = 9, "lru_hash";
    LruPercpuHash = 10, "lru_percpu_hash";
    LpmTrie = 11, "lpm_trie";
    ArrayOfMaps = 12, "array_of_maps";
    HashOfMaps = 13, "hash_of_maps";
    Devmap = 14, "devmap";
    Cpumap = 16, "cpumap";
    Xskmap = 17, "xskmap";
    Queue = 22, "queue";
    Stack = 23, "stack";
    DevmapHash = 25, "devmap_hash";
    Ringbuf = 27, "ringbuf";
    BloomFilter = 30, "bloom_filter";
    UserRingbuf = 31, "user_ringbuf";
    Arena = 33, "arena";
}

impl MapType {
    /// Whether each slot (CPU) has a value of its own.
    pub const fn is_percpu(self) -> bool {
        matches!(self, Self::PercpuHash | Self::PercpuArray | Self::LruPercpuHash)
    }
}

/// Flags of a map (`BPF_F_*`), the kernel's values.
#[expect(missing_docs, reason = "the kernel's names")]
pub mod flags {
    pub const BPF_F_NO_PREALLOC: u32 = 1 << 0;
    pub const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
    pub const BPF_F_NUMA_NODE: u32 = 1 << 2;
    pub const BPF_F_RDONLY: u32 = 1 << 3;
    pub const BPF_F_WRONLY: u32 = 1 << 4;
    pub const BPF_F_ZERO_SEED: u32 = 1 << 6;
    pub const BPF_F_RDONLY_PROG: u32 = 1 << 7;
    pub const BPF_F_WRONLY_PROG: u32 = 1 << 8;
    pub const BPF_F_MMAPABLE: u32 = 1 << 10;
    pub const BPF_F_INNER_MAP: u32 = 1 << 12;
    /// Of an update: create or replace.
    pub const BPF_ANY: u64 = 0;
    /// Of an update: create only.
    pub const BPF_NOEXIST: u64 = 1;
    /// Of an update: replace only.
    pub const BPF_EXIST: u64 = 2;
    /// Of an update or lookup: under the value's spin lock.
    pub const BPF_F_LOCK: u64 = 4;
}

/// What a map is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its type.
    pub kind: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Elements at most.
    pub max_entries: u32,
    /// `BPF_F_*` of creation.
    pub flags: u32,
    /// Type-specific (bloom: number of hashes).
    pub extra: u64,
    /// NUMA node, or -1 for any.
    pub numa_node: i32,
    /// What the value type says of fields that are not plain bytes.
    pub fields: ValueFields,
    /// For maps of maps: what the inner maps are like.
    pub inner: Option<InnerSpec>,
}

/// Fields of a value that only helpers touch, by their byte offset; programs and the control plane leave their bytes alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueFields {
    /// `struct bpf_spin_lock`, 4 bytes.
    pub spin_lock: Option<u32>,
    /// `struct bpf_timer`, 16 bytes.
    pub timer: Option<u32>,
}

impl ValueFields {
    /// Plain bytes.
    pub const NONE: ValueFields = ValueFields { spin_lock: None, timer: None };
    /// Bytes of `struct bpf_spin_lock`.
    pub const SPIN_LOCK_SIZE: u32 = 4;
    /// Bytes of `struct bpf_timer`.
    pub const TIMER_SIZE: u32 = 16;

    /// The fields that there are: offset, bytes, and the kernel's name of the type without its prefix.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, &'static str)> {
        let lock = self.spin_lock.map(|at| (at, Self::SPIN_LOCK_SIZE, "bpf_spin_lock"));
        let timer = self.timer.map(|at| (at, Self::TIMER_SIZE, "bpf_timer"));
        lock.into_iter().chain(timer)
    }
}

/// What the maps inside a map of maps are like: a spec without what only an outer map has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of MapSpec")]
pub struct InnerSpec {
    pub kind: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub extra: u64,
    pub fields: ValueFields,
}

impl InnerSpec {
    /// As a map of its own.
    pub const fn spec(&self) -> MapSpec {
        MapSpec {
            kind: self.kind,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            extra: self.extra,
            numa_node: -1,
            fields: self.fields,
            inner: None,
        }
    }
}

impl MapSpec {
    /// A map without flags, on any node.
    pub const fn new(kind: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
        MapSpec {
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            numa_node: -1,
            fields: ValueFields::NONE,
            inner: None,
        }
    }

    /// The same with these flags.
    pub const fn with_flags(self, flags: u32) -> MapSpec {
        MapSpec { flags, ..self }
    }

    /// The map as an inner one of a map of maps.
    pub const fn as_inner(&self) -> InnerSpec {
        InnerSpec {
            kind: self.kind,
            key_size: self.key_size,
            value_size: self.value_size,
            max_entries: self.max_entries,
            flags: self.flags,
            extra: self.extra,
            fields: self.fields,
        }
    }

    /// The sizes that libbpf leaves to the machine that makes the map: a ring's, rounded up to a power of two of pages, and that of a perf array
    /// without one, a slot for each CPU. What no machine can round stays, for creation to refuse.
    pub const fn fitted(self, nr_cpus: u32, page_size: usize) -> MapSpec {
        let max_entries = match self.kind {
            MapType::Ringbuf | MapType::UserRingbuf => ring_size(self.max_entries, page_size),
            MapType::PerfEventArray if self.max_entries == 0 => nr_cpus,
            _ => self.max_entries,
        };
        let inner = match self.inner {
            Some(inner) => {
                let max_entries = match inner.kind {
                    MapType::Ringbuf | MapType::UserRingbuf => ring_size(inner.max_entries, page_size),
                    _ => inner.max_entries,
                };
                Some(InnerSpec { max_entries, ..inner })
            }
            None => None,
        };
        MapSpec { max_entries, inner, ..self }
    }

    /// Bytes of a value as the control plane sees it in one slot: rounded up to 8 for per-CPU maps.
    pub const fn slot_value_size(&self) -> usize {
        if self.kind.is_percpu() {
            (self.value_size as usize).next_multiple_of(8)
        } else {
            self.value_size as usize
        }
    }
}

/// The next power of two of pages; 0 and what is too large stay.
const fn ring_size(bytes: u32, page_size: usize) -> u32 {
    let pages = (bytes as usize).div_ceil(page_size);
    let size = pages.next_power_of_two() * page_size;
    if bytes == 0 || size > u32::MAX as usize { bytes } else { size as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_left_to_the_machine_are_fitted_to_it() {
        let fitted = |kind, entries| MapSpec::new(kind, 0, 0, entries).fitted(6, 4096).max_entries;
        for (entries, size) in [
            (0, 0),
            (1, 4096),
            (4096, 4096),
            (4097, 8192),
            (12288, 16384),
            (1 << 31, 1 << 31),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(fitted(MapType::Ringbuf, entries), size);
            assert_eq!(fitted(MapType::UserRingbuf, entries), size);
        }
        assert_eq!((fitted(MapType::PerfEventArray, 0), fitted(MapType::PerfEventArray, 3)), (6, 3));
        assert_eq!(fitted(MapType::Array, 5000), 5000);
        let outer = MapSpec {
            inner: Some(MapSpec::new(MapType::Ringbuf, 0, 0, 5000).as_inner()),
            ..MapSpec::new(MapType::ArrayOfMaps, 4, 4, 1)
        };
        assert_eq!(outer.fitted(1, 4096).inner.map(|i| i.max_entries), Some(8192));
    }
}
