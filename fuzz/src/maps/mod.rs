//! A map of a kind, shape and flags that the input chooses, and operations on it by turns of programs and of the control plane: every answer is the model's.
//!
//! The map's memory ends where its allocation ends, for AddressSanitizer to see, and all of it is back when the input is over. Kinds that hold references
//! (programs, maps, ports), perf rings and user rings are met through the C API (`c_api`).

mod keyed;
mod line;
mod model;
mod ring;

use crate::bytes::Bytes;
use crate::exact::{self, Exact};
use crate::memory;
use uxdp_core::error::Errno;
use uxdp_core::maps::spec::flags::*;
use uxdp_core::maps::{Map, MapConfig, MapSpec, MapType, memory_size};
use uxdp_core::sync::Arc;

static EXACT: Exact = Exact;

const CPUS: u32 = 2;
/// Slots that write: programs have those of CPUs, the control plane the others.
const CONTROL: u32 = CPUS;
/// Bytes of a map of any sizes whatever, at most.
const LARGEST: usize = 1 << 20;

const KINDS: [MapType; 12] = [
    MapType::Hash,
    MapType::PercpuHash,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::Array,
    MapType::PercpuArray,
    MapType::LpmTrie,
    MapType::Queue,
    MapType::Stack,
    MapType::BloomFilter,
    MapType::Ringbuf,
    MapType::Hash,
];

fn config(bytes: &mut Bytes<'_>) -> MapConfig {
    let mut secret = [0; 16];
    secret.iter_mut().for_each(|b| *b = bytes.byte());
    let secret = u128::from_le_bytes(secret);
    MapConfig {
        nr_cpus: CPUS,
        writer_slots: CPUS + 2,
        page_size: 4096,
        memory: &EXACT,
        private_memory: &EXACT,
        secret: [secret as u64, (secret >> 64) as u64],
        processes: None,
        epochs: None,
        wakes: None,
    }
}

/// A shape that the kind allows.
fn shape(bytes: &mut Bytes<'_>) -> MapSpec {
    let kind = bytes.pick(&KINDS);
    let (value, entries) = (1 + bytes.below(72) as u32, 1 + bytes.below(40) as u32);
    let (key, flags) = match kind {
        MapType::Hash | MapType::PercpuHash => {
            let flags = bytes.pick(&[0, BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED]);
            (bytes.pick(&[1, 2, 3, 4, 6, 8, 12, 16, 20, 40]), flags)
        }
        MapType::LruHash | MapType::LruPercpuHash => {
            (bytes.pick(&[1, 4, 8, 13, 16]), bytes.pick(&[0, BPF_F_NO_COMMON_LRU]))
        }
        MapType::Array | MapType::PercpuArray => (4, 0),
        MapType::LpmTrie => (4 + bytes.pick(&[1, 2, 3, 4, 4, 8, 16, 40]), BPF_F_NO_PREALLOC),
        _ => (0, 0),
    };
    let entries = match kind {
        MapType::LpmTrie => bytes.pick(&[entries, 100, 700]),
        MapType::Ringbuf => return MapSpec::new(kind, 0, 0, 4096),
        _ => entries,
    };
    let extra = if kind == MapType::BloomFilter { bytes.below(16) as u64 } else { 0 };
    MapSpec { extra, ..MapSpec::new(kind, key, value, entries).with_flags(flags) }
}

/// Any numbers whatever.
fn anything(bytes: &mut Bytes<'_>) -> MapSpec {
    let mut number = || match bytes.below(4) {
        0 => u32::from(bytes.byte()),
        1 => 1 << bytes.below(32),
        2 => u32::MAX - u32::from(bytes.byte()),
        _ => u32::from_le_bytes([bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte()]),
    };
    let (kind, key, value, entries, flags) = (number() & 31, number(), number(), number(), number());
    let (extra, inner) = (number(), number());
    let kind = MapType::from_number(kind).unwrap_or(MapType::Hash);
    let inner = (inner & 1 == 0).then(|| MapSpec::new(MapType::Array, 4, inner, entries).as_inner());
    MapSpec { extra: extra.into(), inner, ..MapSpec::new(kind, key, value, entries).with_flags(flags) }
}

fn code(answer: Result<(), Errno>) -> i32 {
    answer.err().map_or(0, |e| e.0)
}

/// Makes the map that the bytes say and gives it the operations that they say.
///
/// # Panics
/// Where an answer is not the model's, or memory is kept.
pub fn run(bytes: &[u8]) {
    let (heap, maps) = (memory::reset(), exact::in_use());
    let mut bytes = Bytes::new(bytes);
    let config = config(&mut bytes);
    if bytes.rarely(16) {
        refused_or_made(&anything(&mut bytes), &config);
    } else {
        let spec = shape(&mut bytes);
        let map = Map::create("fuzzed", 1, &spec, &config).expect("the shape is one that the kind allows");
        match spec.kind {
            MapType::Ringbuf => ring::run(&map, &mut bytes),
            MapType::Queue | MapType::Stack | MapType::BloomFilter => line::run(&map, &mut bytes),
            _ => keyed::run(&map, &mut bytes),
        }
    }
    assert_eq!((memory::in_use(), exact::in_use()), (heap, maps), "memory is kept");
}

/// A map of any numbers: refused, or made as large as was said before.
fn refused_or_made(spec: &MapSpec, config: &MapConfig) {
    let said = memory_size(spec, config);
    if matches!(said, Ok(n) if n > LARGEST) {
        return;
    }
    let before = exact::in_use();
    match (Map::create("any", 1, spec, config), said) {
        (Ok(map), Ok(said)) => {
            assert!(map.memory_size() <= said.next_multiple_of(4096), "{spec:?}");
            walked(&map);
        }
        (Ok(_), Err(why)) => panic!("made, though its size is refused: {why} {spec:?}"),
        (Err(_), _) => {}
    }
    assert_eq!(exact::in_use(), before, "{spec:?}");
}

/// Every key, once each.
fn walked(map: &Arc<Map>) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut next = vec![0; map.spec().key_size as usize];
    while map.next_key(keys.last().map(|k| &k[..]), &mut next).is_ok() {
        keys.push(next.clone());
        assert!(keys.len() <= map.spec().max_entries as usize, "a walk without an end");
    }
    keys
}
