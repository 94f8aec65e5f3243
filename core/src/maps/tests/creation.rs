//! What creation answers, beside what Linux 6.18 answered through bpf(2): maps that are none of hashes and arrays.

use super::*;
use crate::error::Status;

const KINDS: [MapType; 6] = [
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
    MapType::Devmap,
    MapType::DevmapHash,
    MapType::Cpumap,
    MapType::Xskmap,
];

/// Key size, value size, entries, flags, and what Linux answers for each of `KINDS`: 0 or an errno. The template is an array of one entry.
/// (Linux was asked for 257 CPUs and has 256; here there are 4,096.)
#[rustfmt::skip]
const KERNEL: &[(u32, u32, u32, u32, [i32; 6])] = &[
    (4, 4, 1, 0, [0, 0, 0, 0, 0, 0]),
    (0, 4, 1, 0, [22, 22, 22, 22, 22, 22]),
    (4, 0, 1, 0, [22, 22, 22, 22, 22, 22]),
    (4, 4, 0, 0, [22, 22, 22, 22, 22, 22]),
    (3, 4, 1, 0, [22, 0, 22, 22, 22, 22]),
    (8, 4, 1, 0, [22, 0, 22, 22, 22, 22]),
    (4, 8, 1, 0, [22, 22, 0, 0, 0, 22]),
    (4, 3, 1, 0, [22, 22, 22, 22, 22, 22]),
    (4, 6, 1, 0, [22, 22, 22, 22, 22, 22]),
    (4, 12, 1, 0, [22, 22, 22, 22, 22, 22]),
    (8, 8, 1, 0, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x1, [22, 0, 22, 22, 22, 22]),
    (4, 4, 1, 0x2, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x4, [0, 0, 0, 0, 0, 0]),
    (4, 4, 1, 0x8, [0, 0, 0, 0, 22, 0]),
    (4, 4, 1, 0x10, [0, 0, 0, 0, 22, 0]),
    (4, 4, 1, 0x18, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x20, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x40, [22, 0, 22, 22, 22, 22]),
    (4, 4, 1, 0x80, [22, 0, 22, 22, 22, 22]),
    (4, 4, 1, 0x100, [22, 0, 22, 22, 22, 22]),
    (4, 4, 1, 0x200, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x400, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x800, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x1000, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x2000, [22, 22, 22, 22, 22, 22]),
    (4, 4, 1, 0x8000_0000, [22, 22, 22, 22, 22, 22]),
    (4, 4, 4097, 0, [0, 0, 0, 0, 7, 0]),
];

const INNER: MapSpec = MapSpec::new(MapType::Array, 4, 4, 1);

fn answer(spec: &MapSpec) -> i32 {
    memory_size(spec, &config(Heap::leaked())).map_or_else(|e| e.errno().0, |_| 0)
}

#[test]
fn creation_answers_as_linux_does() {
    for &(key_size, value_size, max_entries, flags, want) in KERNEL {
        for (kind, want) in KINDS.into_iter().zip(want) {
            let inner =
                matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps).then_some(INNER.as_inner());
            let spec = MapSpec { flags, inner, ..spec(kind, key_size, value_size, max_entries) };
            assert_eq!(answer(&spec), want, "{spec:?}");
        }
    }
}

/// As Linux: which types may be a template.
#[test]
fn templates_of_some_types_are_refused_as_linux_does() {
    for (kind, want) in [
        (MapType::Array, 0),
        (MapType::Hash, 0),
        (MapType::PercpuArray, 0),
        (MapType::Devmap, 0),
        (MapType::Xskmap, 0),
        (MapType::ProgArray, 524),
        (MapType::ArrayOfMaps, 22),
        (MapType::HashOfMaps, 22),
    ] {
        for outer in [MapType::ArrayOfMaps, MapType::HashOfMaps] {
            let inner = Some(spec(kind, 4, 4, 1).as_inner());
            assert_eq!(answer(&MapSpec { inner, ..spec(outer, 4, 4, 1) }), want, "{kind:?}");
        }
    }
    let without = spec(MapType::ArrayOfMaps, 4, 4, 1);
    assert_eq!(answer(&without), 9, "no template");
}

/// QUEUE, STACK and BLOOM_FILTER have no keys; columns as in `KERNEL`.
#[rustfmt::skip]
const KEYLESS: &[(u32, u32, u32, u32, [i32; 3])] = &[
    (0, 4, 1, 0, [0, 0, 0]),
    (4, 4, 1, 0, [22, 22, 22]),
    (0, 0, 1, 0, [22, 22, 22]),
    (0, 4, 0, 0, [22, 22, 22]),
    (0, 4, 1, 0x1, [22, 22, 22]),
    (0, 4, 1, 0x2, [22, 22, 22]),
    (0, 4, 1, 0x4, [0, 0, 0]),
    (0, 4, 1, 0x8, [0, 0, 0]),
    (0, 4, 1, 0x10, [0, 0, 0]),
    (0, 4, 1, 0x18, [22, 22, 22]),
    (0, 4, 1, 0x20, [22, 22, 22]),
    (0, 4, 1, 0x40, [22, 22, 0]),
    (0, 4, 1, 0x80, [0, 0, 0]),
    (0, 4, 1, 0x100, [0, 0, 0]),
    (0, 4, 1, 0x180, [22, 22, 22]),
    (0, 4, 1, 0x200, [22, 22, 22]),
    (0, 4, 1, 0x400, [22, 22, 22]),
    (0, 4, 1, 0x800, [22, 22, 22]),
    (0, 4, 1, 0x1000, [22, 22, 22]),
    (0, 4_194_304, 1, 0, [0, 0, 0]),
    (0, 4_194_305, 1, 0, [7, 7, 7]),
    (0, 0xffff_ffff, 1, 0, [7, 7, 7]),
    (0, 4, 0xffff_ffff, 0, [0, 0, 0]),
];

#[test]
fn creation_of_maps_without_keys_answers_as_linux_does() {
    for &(key_size, value_size, max_entries, flags, want) in KEYLESS {
        let kinds = [MapType::Queue, MapType::Stack, MapType::BloomFilter];
        for (kind, want) in kinds.into_iter().zip(want) {
            let spec = MapSpec { flags, ..spec(kind, key_size, value_size, max_entries) };
            assert_eq!(answer(&spec), want, "{spec:?}");
        }
    }
}

#[rustfmt::skip]
const LPM: &[(u32, u32, u32, u32, i32)] = &[
    (8, 4, 1, 0x1, 0), (8, 4, 1, 0, 22), (4, 1, 1, 0x1, 22), (5, 1, 1, 0x1, 0), (260, 4, 1, 0x1, 0), (261, 4, 1, 0x1, 22),
    (8, 0, 1, 0x1, 22), (8, 4, 0, 0x1, 22), (8, 4_194_024, 1, 0x1, 0), (8, 4_194_025, 1, 0x1, 22), (8, 4, u32::MAX, 0x1, 0),
    (8, 4, 1, 0x3, 22), (8, 4, 1, 0x5, 0), (8, 4, 1, 0x9, 0), (8, 4, 1, 0x11, 0), (8, 4, 1, 0x19, 22), (8, 4, 1, 0x21, 22),
    (8, 4, 1, 0x41, 22), (8, 4, 1, 0x81, 0), (8, 4, 1, 0x101, 0), (8, 4, 1, 0x181, 22), (8, 4, 1, 0x401, 22), (8, 4, 1, 0x1001, 22),
];

#[test]
fn creation_of_tries_answers_as_linux_does() {
    for &(key_size, value_size, max_entries, flags, want) in LPM {
        let spec = MapSpec { flags, ..spec(MapType::LpmTrie, key_size, value_size, max_entries) };
        assert_eq!(answer(&spec), want, "{spec:?}");
    }
}

#[test]
fn map_extra_is_refused_where_a_type_knows_none() {
    for kind in [MapType::Array, MapType::Hash, MapType::Devmap] {
        assert_eq!(answer(&MapSpec { extra: 1, ..spec(kind, 4, 4, 1) }), 22, "{kind:?}");
    }
}
