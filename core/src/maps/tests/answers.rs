//! The errors of every operation, as Linux 6.18 gave them for the same calls through bpf(2): maps of two entries, 4-byte keys and values.

use super::*;

/// Flags of an update and of a lookup of key 0, which exists.
struct Flags {
    flags: u64,
    /// Of an update of key 0, which exists; of key 7, which does not; of a lookup of key 0.
    want: [i32; 3],
}

const ARRAY: &[Flags] = &[
    Flags { flags: 0, want: [0, 7, 0] },
    Flags { flags: 1, want: [17, 7, 22] },
    Flags { flags: 2, want: [0, 7, 22] },
    Flags { flags: 3, want: [22, 22, 22] },
    Flags { flags: 4, want: [22, 22, 22] },
    Flags { flags: 6, want: [22, 22, 22] },
    Flags { flags: 8, want: [22, 22, 22] },
    Flags { flags: 1 << 32, want: [22, 22, 22] },
];

const HASH: &[Flags] = &[
    Flags { flags: 0, want: [0, 0, 0] },
    Flags { flags: 1, want: [17, 0, 22] },
    Flags { flags: 2, want: [0, 2, 22] },
    Flags { flags: 3, want: [22, 22, 22] },
    Flags { flags: 4, want: [22, 22, 22] },
    Flags { flags: 6, want: [22, 22, 22] },
    Flags { flags: 8, want: [22, 22, 22] },
    Flags { flags: 1 << 32, want: [22, 22, 22] },
];

const PROG_ARRAY: &[Flags] = &[
    Flags { flags: 0, want: [22, 7, 2] },
    Flags { flags: 1, want: [22, 22, 22] },
    Flags { flags: 2, want: [22, 22, 22] },
    Flags { flags: 4, want: [22, 22, 22] },
];

fn check_flags(kind: MapType, table: &[Flags]) {
    let map = make(&spec(kind, 4, 4, 2));
    let mut value = std::vec![0; map.value_buffer_size()];
    let _ = map.update_elem(0, &key(0), &value, 0);
    for row in table {
        let got = [
            code(map.update_elem(0, &key(0), &value, row.flags)),
            code(map.update_elem(0, &key(7), &value, row.flags)),
            code(map.lookup_elem(&key(0), &mut value, row.flags)),
        ];
        assert_eq!(got, row.want, "{kind:?} flags {:#x}", row.flags);
        let _ = map.delete_elem(0, &key(7));
    }
}

fn key(i: u32) -> [u8; 4] {
    i.to_le_bytes()
}

#[test]
fn updates_and_lookups_answer_flags_as_linux() {
    check_flags(MapType::Hash, HASH);
    check_flags(MapType::PercpuHash, HASH);
    check_flags(MapType::LruHash, HASH);
    check_flags(MapType::LruPercpuHash, HASH);
    check_flags(MapType::Array, ARRAY);
    check_flags(MapType::PercpuArray, ARRAY);
    check_flags(MapType::ProgArray, PROG_ARRAY);
}

#[test]
fn arrays_answer_missing_keys_as_linux() {
    for (kind, delete, beyond) in
        [(MapType::Array, 22, 22), (MapType::PercpuArray, 22, 22), (MapType::ProgArray, 2, 7)]
    {
        let map = make(&spec(kind, 4, 4, 2));
        let mut value = std::vec![0; map.value_buffer_size()];
        let mut next = [0; 4];
        assert_eq!(code(map.lookup_elem(&key(9), &mut value, 0)), 2, "{kind:?}");
        assert_eq!(code(map.delete_elem(0, &key(0))), delete, "{kind:?}");
        assert_eq!(code(map.delete_elem(0, &key(9))), beyond, "{kind:?}");
        assert_eq!((code(map.next_key(Some(&key(9)), &mut next)), next), (0, key(0)));
        assert_eq!((code(map.next_key(None, &mut next)), next), (0, key(0)));
        assert_eq!((code(map.next_key(Some(&key(0)), &mut next)), next), (0, key(1)));
        assert_eq!(code(map.next_key(Some(&key(1)), &mut next)), 2);
    }
}

/// Update, lookup, next_key and delete of a fresh map with an access flag.
#[test]
fn access_flags_and_freezing_bind_the_control_plane_as_in_linux() {
    let cases: &[(MapType, u32, [i32; 4])] = &[
        (MapType::Array, spec::flags::BPF_F_RDONLY, [1, 0, 0, 1]),
        (MapType::Array, spec::flags::BPF_F_WRONLY, [0, 1, 1, 22]),
        (MapType::PercpuArray, spec::flags::BPF_F_RDONLY, [1, 0, 0, 1]),
        (MapType::PercpuArray, spec::flags::BPF_F_WRONLY, [0, 1, 1, 22]),
        (MapType::ProgArray, spec::flags::BPF_F_RDONLY, [1, 2, 0, 1]),
        (MapType::ProgArray, spec::flags::BPF_F_WRONLY, [22, 1, 1, 2]),
        (MapType::Hash, spec::flags::BPF_F_RDONLY, [1, 2, 2, 1]),
        (MapType::Hash, spec::flags::BPF_F_WRONLY, [0, 1, 1, 0]),
        (MapType::PercpuHash, spec::flags::BPF_F_RDONLY, [1, 2, 2, 1]),
        (MapType::PercpuHash, spec::flags::BPF_F_WRONLY, [0, 1, 1, 0]),
        (MapType::LruHash, spec::flags::BPF_F_RDONLY, [1, 2, 2, 1]),
        (MapType::LruHash, spec::flags::BPF_F_WRONLY, [0, 1, 1, 0]),
    ];
    for &(kind, flags, want) in cases {
        let map = make(&MapSpec { flags, ..spec(kind, 4, 4, 2) });
        assert_eq!(four(&map), want, "{kind:?} {flags:#x}");
    }
    for (kind, want) in [
        (MapType::Array, [1, 0, 0, 1]),
        (MapType::PercpuArray, [1, 0, 0, 1]),
        (MapType::ProgArray, [1, 2, 0, 1]),
    ] {
        let map = make(&spec(kind, 4, 4, 2));
        assert_eq!((code(map.freeze()), code(map.freeze())), (0, 1));
        assert_eq!(four(&map), want, "{kind:?} frozen");
    }
}

fn four(map: &Map) -> [i32; 4] {
    let mut value = std::vec![0; map.value_buffer_size()];
    let update = code(map.update_elem(0, &key(0), &value, 0));
    let lookup = code(map.lookup_elem(&key(0), &mut value, 0));
    let next = code(map.next_key(None, &mut [0; 4]));
    [update, lookup, next, code(map.delete_elem(0, &key(0)))]
}

#[test]
fn wrong_sizes_are_refused_and_touch_nothing() {
    for kind in [MapType::Array, MapType::PercpuArray, MapType::Hash, MapType::PercpuHash] {
        let map = make(&spec(kind, 4, 4, 2));
        map.update_elem(0, &[0; 4], &std::vec![0; map.value_buffer_size()], 0).unwrap();
        let size = map.value_buffer_size();
        let mut value = std::vec![1; size + 1];
        assert_eq!(map.update_elem(0, &[0; 3], &value[..size], 0), Err(Errno::EINVAL));
        assert_eq!(map.update_elem(0, &[0; 4], &value, 0), Err(Errno::EINVAL));
        assert_eq!(map.update_elem(0, &[0; 4], &value[..size - 1], 0), Err(Errno::EINVAL));
        assert_eq!(map.lookup_elem(&[0; 5], &mut value[..size], 0), Err(Errno::EINVAL));
        assert_eq!(map.lookup_elem(&[0; 4], &mut value, 0), Err(Errno::EINVAL));
        assert_eq!(map.next_key(None, &mut [0; 5]), Err(Errno::EINVAL));
        assert_eq!(map.lookup_elem(&[0; 4], &mut value[..size], 0), Ok(()));
        assert!(value[..size].iter().all(|b| *b == 0));
    }
}
