//! The maps that every program of a target is over.

use uxdp_core::maps::spec::ValueFields;
use uxdp_core::maps::spec::flags::BPF_F_RDONLY_PROG;
use uxdp_core::maps::{MapSpec, MapType};
use uxdp_core::verifier::MapInfo;

const fn spec(kind: MapType, key: u32, value: u32, entries: u32) -> MapSpec {
    MapSpec::new(kind, key, value, entries)
}

/// Those that exist when programs run: arrays of several elements, of one, of constants and per CPU, hashes, programs, a ring, maps, a queue.
pub const MADE: [MapSpec; 10] = [
    spec(MapType::Array, 4, 64, 4),
    spec(MapType::Hash, 8, 16, 8),
    spec(MapType::ProgArray, 4, 4, 4),
    spec(MapType::Array, 4, 32, 1).with_flags(BPF_F_RDONLY_PROG),
    spec(MapType::Array, 4, 32, 1),
    spec(MapType::Hash, 4, 8, 8),
    spec(MapType::PercpuArray, 4, 8, 2),
    spec(MapType::Ringbuf, 0, 0, 4096),
    MapSpec { inner: Some(spec(MapType::Array, 4, 64, 4).as_inner()), ..spec(MapType::ArrayOfMaps, 4, 4, 4) },
    spec(MapType::Queue, 0, 8, 4),
];

/// Those that are judged alone: values with a lock and a timer, a hash of maps, prefixes, ports, a filter.
pub const JUDGED: [MapSpec; 6] = [
    MapSpec { fields: ValueFields { spin_lock: Some(0), timer: None }, ..spec(MapType::Array, 4, 24, 1) },
    MapSpec { fields: ValueFields { spin_lock: None, timer: Some(8) }, ..spec(MapType::Hash, 4, 32, 4) },
    MapSpec { inner: Some(MADE[1].as_inner()), ..spec(MapType::HashOfMaps, 8, 4, 4) },
    spec(MapType::LpmTrie, 8, 16, 4).with_flags(1),
    spec(MapType::Devmap, 4, 4, 4),
    spec(MapType::BloomFilter, 0, 8, 16),
];

/// What map 3 holds, for good.
pub const FROZEN: [u8; 32] = *b"\x07\0\0\0\0\0\0\0GET\0aaaaaaaaaaaaaaaaaaaa";

/// All of them, for a verdict.
pub fn infos() -> Vec<MapInfo<'static>> {
    let info = |(i, spec): (usize, &MapSpec)| MapInfo {
        spec: *spec,
        name: "map",
        frozen: (i == 3).then_some(&FROZEN[..]),
    };
    MADE.iter().chain(&JUDGED).enumerate().map(info).collect()
}

/// A log that is formatted and read by nobody.
pub struct Discard;

impl core::fmt::Write for Discard {
    fn write_str(&mut self, _: &str) -> core::fmt::Result {
        Ok(())
    }
}
