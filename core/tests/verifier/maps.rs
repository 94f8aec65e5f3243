//! Maps of the table by short names: type and bytes of a value, `array16`, `hash8`, `rodata16`, `locked16`, `array_of_hash8`.

use uxdp_core::maps::spec::flags::{
    BPF_F_INNER_MAP, BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG,
};
use uxdp_core::maps::{MapSpec, MapType, ValueFields};

/// Elements of every map but rings.
pub(crate) const ENTRIES: u32 = 4;

/// What a short name stands for. Keys have 4 bytes, those of hashes and of the trie 8.
///
/// `locked` and `timer` are arrays whose values have a lock at 0 and a timer at 8; in `both` a lock stands at 0 and a timer at 16; `locked_hash` and
/// `timer_hash` are hashes of the like. `sized` arrays may differ in size from their template.
pub(crate) fn spec(name: &str) -> MapSpec {
    if let Some(inner) = name.strip_prefix("array_of_") {
        let of = MapSpec::new(MapType::ArrayOfMaps, 4, 4, ENTRIES);
        return MapSpec { inner: Some(spec(inner).as_inner()), ..of };
    }
    if let Some(inner) = name.strip_prefix("hash_of_") {
        let of = MapSpec::new(MapType::HashOfMaps, 8, 4, ENTRIES);
        return MapSpec { inner: Some(spec(inner).as_inner()), ..of };
    }
    let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (kind, size) = name.split_at(digits);
    let value_size = size.parse().unwrap_or(4);
    let of = |kind, key_size, flags| MapSpec::new(kind, key_size, value_size, ENTRIES).with_flags(flags);
    let ring = |kind| MapSpec::new(kind, 0, 0, 4096);
    let fields = |spin_lock, timer, of: MapSpec| MapSpec { fields: ValueFields { spin_lock, timer }, ..of };
    match kind {
        "array" => of(MapType::Array, 4, 0),
        "single" => MapSpec { max_entries: 1, ..of(MapType::Array, 4, 0) },
        "sized" => of(MapType::Array, 4, BPF_F_INNER_MAP),
        "percpu_array" => of(MapType::PercpuArray, 4, 0),
        "hash" => of(MapType::Hash, 8, 0),
        "percpu_hash" => of(MapType::PercpuHash, 8, 0),
        "lru" => of(MapType::LruHash, 8, 0),
        "trie" => of(MapType::LpmTrie, 8, BPF_F_NO_PREALLOC),
        "progs" => of(MapType::ProgArray, 4, 0),
        "perf" => of(MapType::PerfEventArray, 4, 0),
        "devmap" => of(MapType::Devmap, 4, 0),
        "devmap_hash" => of(MapType::DevmapHash, 4, 0),
        "cpumap" => of(MapType::Cpumap, 4, 0),
        "xskmap" => of(MapType::Xskmap, 4, 0),
        "queue" => of(MapType::Queue, 0, 0),
        "stack" => of(MapType::Stack, 0, 0),
        "bloom" => of(MapType::BloomFilter, 0, 0),
        "ringbuf" => ring(MapType::Ringbuf),
        "user_ringbuf" => ring(MapType::UserRingbuf),
        "locked" => fields(Some(0), None, of(MapType::Array, 4, 0)),
        "locked_hash" => fields(Some(0), None, of(MapType::Hash, 8, 0)),
        "timer" => fields(None, Some(8), of(MapType::Array, 4, 0)),
        "timer_hash" => fields(None, Some(8), of(MapType::Hash, 8, 0)),
        "both" => fields(Some(0), Some(16), of(MapType::Array, 4, 0)),
        "rdonly" => of(MapType::Array, 4, BPF_F_RDONLY_PROG),
        "wronly" => of(MapType::Array, 4, BPF_F_WRONLY_PROG),
        "rodata" => MapSpec { max_entries: 1, ..of(MapType::Array, 4, BPF_F_RDONLY_PROG) },
        other => panic!("no map is called {other}"),
    }
}

/// Whether a map is frozen before the program is verified, with [`rodata`] in it.
pub(crate) fn is_frozen(spec: &MapSpec) -> bool {
    spec.flags & BPF_F_RDONLY_PROG != 0 && spec.max_entries == 1
}

/// What frozen data holds: 1, 2, 3 and so on by byte, with a zero at the end.
pub(crate) fn rodata(spec: &MapSpec) -> Vec<u8> {
    let mut bytes: Vec<u8> = (1..=spec.value_size).map(|b| b as u8).collect();
    *bytes.last_mut().unwrap() = 0;
    bytes
}
