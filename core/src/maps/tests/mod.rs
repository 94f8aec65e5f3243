//! Maps from outside: the kernel's answers, layouts, a model for every type, and threads that disturb each other.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may run out of memory")]

mod answers;
mod arrays;
mod batches;
mod batches_others;
mod bloom;
mod creation;
mod hash;
mod inner;
mod kernel;
mod lpm;
mod lru;
mod model;
mod nonsense;
mod perf;
mod private_locks;
mod progs;
mod queue;
mod random;
mod redirect;
mod ringbuf;
mod shared;
mod threads;
mod town;
mod user_ringbuf;

use super::memory::test_heap::Heap;
use super::*;
pub(in crate::maps) use random::Random;

/// A small environment: two CPUs, four writers.
pub(in crate::maps) fn config(heap: &'static Heap) -> MapConfig {
    MapConfig {
        nr_cpus: 2,
        writer_slots: 4,
        page_size: 4096,
        memory: heap,
        private_memory: heap,
        secret: [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03],
        processes: None,
        epochs: None,
        wakes: None,
    }
}

pub(in crate::maps) fn spec(kind: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec::new(kind, key_size, value_size, max_entries)
}

pub(super) fn make(spec: &MapSpec) -> Arc<Map> {
    Map::create("m", 1, spec, &config(Heap::leaked())).unwrap()
}

/// Bytes of this process that stand in memory.
pub(super) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}

/// An errno, or 0.
pub(super) fn code<T>(result: Result<T, Errno>) -> i32 {
    result.map_or_else(|e| e.0, |_| 0)
}

/// A number that whoever runs the tests gives.
pub(super) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
