//! The tests: each type's rows of the table, and that none is missing.

use super::rows::rows;
use super::*;

fn run(kind: MapType) {
    let base = super::super::number("UXDP_SEED").unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (nth, row) in rows(kind).into_iter().enumerate() {
        let seed = (0x5151 + nth as u64) ^ base;
        // A row may bind its thread to a CPU and a network.
        let ended = std::thread::scope(|s| s.spawn(|| row.run(seed)).join());
        assert!(ended.is_ok(), "row {nth} of {kind:?}, seed {seed:#x}: {:?}", row.spec);
    }
}

macro_rules! tests {
    ($($name:ident = $kind:ident,)*) => {
        $(
            #[test]
            fn $name() {
                run(MapType::$kind);
            }
        )*

        #[test]
        fn every_type_has_rows() {
            let tested = [$(MapType::$kind),*];
            for kind in (0..64).filter_map(MapType::from_number).filter(|k| *k != MapType::Arena) {
                assert!(tested.contains(&kind) && !rows(kind).is_empty(), "{kind:?}");
            }
        }
    };
}

tests! {
    array = Array,
    percpu_array = PercpuArray,
    hash = Hash,
    percpu_hash = PercpuHash,
    lru_hash = LruHash,
    lru_percpu_hash = LruPercpuHash,
    lpm_trie = LpmTrie,
    prog_array = ProgArray,
    array_of_maps = ArrayOfMaps,
    hash_of_maps = HashOfMaps,
    devmap = Devmap,
    devmap_hash = DevmapHash,
    cpumap = Cpumap,
    xskmap = Xskmap,
    ringbuf = Ringbuf,
    user_ringbuf = UserRingbuf,
    perf_event_array = PerfEventArray,
    queue = Queue,
    stack = Stack,
    bloom_filter = BloomFilter,
}
