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
}

impl MapSpec {
    /// Bytes of a value as the control plane sees it in one slot: rounded up to 8 for per-CPU maps.
    pub const fn slot_value_size(&self) -> usize {
        if self.kind.is_percpu() {
            (self.value_size as usize).next_multiple_of(8)
        } else {
            self.value_size as usize
        }
    }
}
