//! Access: what flags of maps, freezing and wrong sizes refuse, as Linux 6.18 did for the same calls through bpf(2): maps of two entries, 4-byte keys and values.

use super::*;

fn key(i: u32) -> [u8; 4] {
    i.to_le_bytes()
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

#[test]
fn flags_of_a_lookup_are_refused_before_access_is() {
    let map = make(&spec(MapType::Hash, 4, 4, 2).with_flags(spec::flags::BPF_F_WRONLY));
    let answers = [0, 1, 4, 8].map(|flags| code(map.lookup_elem(&key(0), &mut [0; 4], flags)));
    assert_eq!(answers, [1, 22, 1, 22], "of a lock it is asked later");
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
