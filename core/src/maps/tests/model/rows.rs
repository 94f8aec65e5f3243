//! The table: each type in its shapes, its model, its operations, and what counts.

use super::Judged::{ByInvariants, Exactly};
use super::*;
use spec::flags::{BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_F_RDONLY, BPF_F_WRONLY, BPF_F_ZERO_SEED};

/// Key size, value size, entries, flags.
type Size = (u32, u32, u32, u32);

/// The sizes of a type's maps.
fn sizes(kind: MapType) -> Vec<Size> {
    const TRIE: u32 = BPF_F_NO_PREALLOC;
    let all: &[Size] = match kind {
        MapType::Array | MapType::PercpuArray => &[(4, 1, 1, 0), (4, 8, 2, 0), (4, 12, 7, 0), (4, 40, 50, 0)],
        MapType::Hash | MapType::PercpuHash => {
            let shapes = [
                (1, 1),
                (2, 3),
                (3, 3),
                (4, 8),
                (6, 4),
                (8, 16),
                (12, 5),
                (13, 40),
                (16, 8),
                (17, 24),
                (40, 64),
            ];
            let all = shapes.into_iter().flat_map(|(k, v)| [1, 2, 7, 8, 100].map(|n| (k, v, n, 0)));
            return all.chain([(4, 8, 30, BPF_F_NO_PREALLOC), (4, 8, 30, BPF_F_ZERO_SEED)]).collect();
        }
        MapType::LruHash | MapType::LruPercpuHash => {
            let all = [1, 2, 7, 8, 100, 1000].map(|n| (8, 12, n, 0));
            return all.into_iter().flat_map(|s| [s, (s.0, s.1, s.2, BPF_F_NO_COMMON_LRU)]).collect();
        }
        MapType::LpmTrie => &[
            (8, 8, 8, TRIE),
            (8, 8, 500, TRIE),
            (5, 1, 50, TRIE),
            (6, 8, 300, TRIE),
            (7, 3, 300, TRIE),
            (12, 8, 300, TRIE),
            (20, 24, 300, TRIE),
            (260, 8, 60, TRIE),
            (8, 8, 20_000, TRIE),
            (8, 8, 70_000, TRIE), // with a table in front
            (20, 8, 20_000, TRIE),
        ],
        MapType::Queue | MapType::Stack => &[(0, 4, 1, 0), (0, 3, 2, 0), (0, 8, 7, 0), (0, 13, 64, 0)],
        MapType::BloomFilter => {
            &[(0, 4, 1000, 0), (0, 8, 1000, 0), (0, 13, 300, 0), (0, 40, 45, 0), (0, 257, 1000, 0)]
        }
        MapType::Devmap | MapType::DevmapHash | MapType::Cpumap => &[(4, 4, 6, 0), (4, 8, 6, 0)],
        // As many as there are CPUs at least. Kernel: an entry is any perf event; uxdp: the ring of a slot.
        MapType::PerfEventArray => &[(4, 4, 1, 0), (4, 4, 2, 0)],
        MapType::Ringbuf | MapType::UserRingbuf => &[(0, 0, 4096, 0), (0, 0, 8192, 0)],
        _ => &[(4, 4, 1, 0), (4, 4, 6, 0)],
    };
    all.to_vec()
}

/// Types of which there are rows that the control plane may only read, or only write.
const HAVE_ACCESS: [MapType; 11] = [
    MapType::Array,
    MapType::PercpuArray,
    MapType::Hash,
    MapType::PercpuHash,
    MapType::LpmTrie,
    MapType::Queue,
    MapType::Stack,
    MapType::ProgArray,
    MapType::ArrayOfMaps,
    MapType::HashOfMaps,
    MapType::Devmap,
];

/// Numbers of hashes of a filter, one for each of its sizes.
const HASHES: [u64; 5] = [0, 5, 3, 8, 15];

/// A type's model, its operations, and how many.
fn tested(kind: MapType) -> (fn(&mut Draw, &Shape) -> Op, Judged, u32) {
    match kind {
        MapType::Array | MapType::PercpuArray | MapType::Hash | MapType::PercpuHash => {
            (keyed::op, Exactly(keyed::model), 6000)
        }
        MapType::LruHash | MapType::LruPercpuHash => (keyed::op, ByInvariants(lru::judge), 10_000),
        MapType::LpmTrie => (trie::op, Exactly(trie::model), 5000),
        MapType::Queue | MapType::Stack => (queue::op, Exactly(queue::model), 20_000),
        MapType::BloomFilter => (bloom::op, ByInvariants(bloom::judge), 20_000),
        MapType::Ringbuf | MapType::UserRingbuf => (ring::op_of_any, ByInvariants(ring::judge), 8000),
        // The kernel waits for programs after each change of such a map.
        MapType::ArrayOfMaps | MapType::HashOfMaps => (references::op, Exactly(references::model), 200),
        _ => (references::op, Exactly(references::model), 3000),
    }
}

pub(super) fn rows(kind: MapType) -> Vec<Row> {
    let (op, judged, rounds) = tested(kind);
    // A step through our trie of long keys has hundreds of nodes.
    let of = |spec: MapSpec, op, judged| Row {
        spec,
        op,
        judged,
        rounds: if spec.key_size > 100 { rounds / 5 } else { rounds },
    };
    let sized = |(nth, (key_size, value_size, max_entries, flags)): (usize, Size)| {
        let inner = matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps).then(|| pool::LIKE.as_inner());
        let extra = if kind == MapType::BloomFilter { HASHES[nth] } else { 0 };
        MapSpec { flags, inner, extra, ..spec(kind, key_size, value_size, max_entries) }
    };
    let mut rows: Vec<Row> =
        sizes(kind).into_iter().enumerate().map(sized).map(|spec| of(spec, op, judged)).collect();
    match kind {
        MapType::Array | MapType::Hash => {
            for (at, max_entries) in [(0, 5), (8, 40)] {
                let fields = ValueFields { spin_lock: Some(at), timer: None };
                let spec = MapSpec { fields, ..spec(kind, 4, 16, max_entries) };
                rows.push(of(spec, keyed::op_under_lock, judged));
            }
        }
        MapType::Ringbuf | MapType::UserRingbuf => {
            let spec = spec(kind, 0, 0, 4096);
            for op in [ring::op_of::<16>, ring::op_of::<64>, ring::op_of::<512>] {
                rows.push(of(spec, op, Exactly(ring::model)));
            }
        }
        _ => {}
    }
    if HAVE_ACCESS.contains(&kind) {
        let first = rows[0].spec;
        for access in [BPF_F_RDONLY, BPF_F_WRONLY] {
            rows.push(of(MapSpec { max_entries: 4, ..first.with_flags(first.flags | access) }, op, judged));
        }
    }
    rows
}
