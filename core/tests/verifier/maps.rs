//! Maps of the table by short names: type and bytes of a value, `array16`, `hash8`, `rodata16`.

use uxdp_core::maps::spec::flags::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use uxdp_core::maps::{MapSpec, MapType};

/// Elements of every map.
pub(crate) const ENTRIES: u32 = 4;

/// What a short name stands for. Keys have 4 bytes, those of hashes 8.
pub(crate) fn spec(name: &str) -> MapSpec {
    let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (kind, size) = name.split_at(digits);
    let value_size = size.parse().unwrap_or(4);
    let of = |kind, key_size, flags| MapSpec::new(kind, key_size, value_size, ENTRIES).with_flags(flags);
    match kind {
        "array" => of(MapType::Array, 4, 0),
        "single" => MapSpec { max_entries: 1, ..of(MapType::Array, 4, 0) },
        "percpu_array" => of(MapType::PercpuArray, 4, 0),
        "hash" => of(MapType::Hash, 8, 0),
        "percpu_hash" => of(MapType::PercpuHash, 8, 0),
        "progs" => of(MapType::ProgArray, 4, 0),
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
    let mut bytes: Vec<u8> = (1..=spec.value_size as u8).collect();
    *bytes.last_mut().unwrap() = 0;
    bytes
}
