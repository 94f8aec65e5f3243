//! References by number: the model's words for what maps of references hold, so that ours and the kernel's can be compared.
//!
//! Number `n`, from 1 to [`SIZE`], is a program, an inner map, an interface, a socket or a perf event; 0 is none. A value is such a number, or two: what the entry leads to
//! (for a CPU the length of its queue, which is what it is), and its program.

use crate::error::Errno;
use crate::maps::memory::test_heap::Heap;
use crate::maps::tests::{config, progs};
use crate::maps::{Map, MapSpec, MapType, ProgRef};
use std::vec::Vec;

/// References of the pool.
pub(in crate::maps) const SIZE: u32 = 3;
/// The number of an inner map that is not like the template, and of a perf event that is none.
pub(in crate::maps) const WRONG: u32 = SIZE + 1;
/// The template of inner maps.
pub(in crate::maps) const LIKE: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);
pub(in crate::maps) const UNLIKE: MapSpec = MapSpec::new(MapType::Array, 4, 8, 2);

/// Our ids of number 1.
const PROGRAMS: u32 = 11;
const MAPS: u32 = 101;

fn program(n: u32) -> Option<ProgRef> {
    n.checked_sub(1).map(|i| progs::prog(PROGRAMS + i).1)
}

fn words(value: &[u8]) -> impl Iterator<Item = u32> {
    value.chunks(4).map(|w| w.try_into().map_or(0, u32::from_le_bytes))
}

/// Sets an element of our map from the model's value.
pub(super) fn set(map: &Map, slot: u32, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
    let n = words(value).next().unwrap_or(0);
    match map.spec().kind {
        // Programs and rings are set without flags. Kernel: with flags, of which it knows none here.
        MapType::ProgArray if flags == 0 => {
            let index = key.try_into().map(u32::from_le_bytes).map_err(|_| Errno::EINVAL)?;
            map.set_prog(index, program(n)).map(drop)
        }
        MapType::PerfEventArray if flags == 0 && n != WRONG => {
            map.perf_open(key.try_into().map(u32::from_le_bytes).map_err(|_| Errno::EINVAL)?)
        }
        MapType::ArrayOfMaps | MapType::HashOfMaps => {
            let spec = if n == WRONG { UNLIKE } else { LIKE };
            let inner = Map::create("inner", MAPS + n - 1, &spec, &config(Heap::leaked())).unwrap();
            map.set_map(slot, key, inner, flags).map(drop)
        }
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap | MapType::Xskmap => {
            let prog = words(value).nth(1).and_then(program);
            map.set_target(slot, key, value, prog, flags).map(drop)
        }
        _ => map.update_elem(slot, key, value, flags),
    }
}

/// A value that our map shows, in the model's words.
pub(super) fn seen(kind: MapType, mut value: Vec<u8>) -> Vec<u8> {
    let (at, first) = match kind {
        MapType::ProgArray => (0, PROGRAMS),
        MapType::ArrayOfMaps | MapType::HashOfMaps => (0, MAPS),
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => (4, PROGRAMS),
        _ => return value,
    };
    if let Some(id) = value.get_mut(at..at + 4) {
        let n = words(id).next().and_then(|n| n.checked_sub(first)).map_or(0, |n| n + 1);
        id.copy_from_slice(&n.to_le_bytes());
    }
    value
}
