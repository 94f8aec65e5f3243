//! Batches of tries and of maps of maps: every answer, count, cursor and element as the running kernel's.

use super::kernel::KernelMap;
use super::*;
use spec::flags::{BPF_F_LOCK, BPF_F_NO_PREALLOC, BPF_F_RDONLY, BPF_F_WRONLY};
use std::vec::Vec;

const ARRAY: MapSpec = MapSpec::new(MapType::Array, 4, 4, 2);

/// What a batch that reads said and left: errno, count, keys and values that were copied, the cursor.
type Read = (i32, u32, Vec<u8>, Vec<u8>, Vec<u8>);

/// Asks one of both with a cursor's place and a batch: errno and count.
type Call<'a> = &'a dyn Fn(&mut [u8], &mut Batch<'_>) -> (i32, u32);

/// Two maps that ought to answer alike; of the second one there is none where bpf(2) is not permitted.
struct Pair {
    ours: Arc<Map>,
    theirs: Option<KernelMap>,
}

fn trie(max_entries: u32, flags: u32) -> Pair {
    let spec = spec(MapType::LpmTrie, 8, 8, max_entries).with_flags(BPF_F_NO_PREALLOC | flags);
    Pair { ours: make(&spec), theirs: KernelMap::create(&spec) }
}

fn outer(kind: MapType, max_entries: u32) -> Pair {
    let spec = spec(kind, 4, 4, max_entries);
    let theirs = KernelMap::create(&ARRAY).and_then(|inner| KernelMap::create_outer(&spec, &inner));
    Pair { ours: make(&MapSpec { inner: Some(ARRAY.as_inner()), ..spec }), theirs }
}

impl Pair {
    /// `said` of a kernel that is there.
    fn agree<T: PartialEq + core::fmt::Debug>(&self, ours: T, said: impl FnOnce(&KernelMap) -> T) -> T {
        if let Some(theirs) = &self.theirs {
            assert_eq!(ours, said(theirs), "{:?}", self.ours.spec().kind);
        }
        ours
    }

    fn read_with(&self, take: bool, from: Option<&[u8]>, count: u32, flags: [u64; 2]) -> Read {
        let map = &self.ours;
        let (key_size, value_size) = (map.spec().key_size as usize, map.value_buffer_size());
        let ask = |call: Call<'_>| {
            let (mut keys, mut values) = (std::vec![0xee; 20 * key_size], std::vec![0xee; 20 * value_size]);
            // The kernel's cursor of a table is a number of its own.
            let mut next = std::vec![0; map.batch_cursor_size()];
            let [elem_flags, flags] = flags;
            let mut b = Batch { keys: &mut keys, values: &mut values, count, elem_flags, flags };
            let (errno, n) = call(&mut next, &mut b);
            let copied = if errno == 0 || errno == 2 { n as usize } else { 0 };
            keys.truncate(copied * key_size);
            values.truncate(copied * value_size);
            (errno, n, keys, values, next)
        };
        let ours = ask(&|next, b| {
            let answer = match take {
                true => map.lookup_and_delete_batch(0, from, next, b, &mut drop),
                false => map.lookup_batch(from, next, b),
            };
            (code(answer), b.count)
        });
        self.agree(ours, |theirs| ask(&|next, b| theirs.read_batch(take, from, next, b)))
    }

    fn read(&self, from: Option<&[u8]>, count: u32) -> Read {
        self.read_with(false, from, count, [0; 2])
    }

    fn update(&self, keys: &[u8], values: &[u8], count: u32, elem_flags: u64) -> (i32, u32) {
        let mut b = BatchInput { keys, values, count, elem_flags };
        let ours = code(self.ours.update_batch(0, &mut b));
        let n = b.count;
        self.agree((ours, n), |theirs| {
            theirs.write_batch(false, &BatchInput { keys, values, count, elem_flags })
        })
    }

    fn delete(&self, keys: &[u8], count: u32, elem_flags: u64) -> (i32, u32) {
        let mut b = BatchInput { keys, values: &[], count, elem_flags };
        let ours = code(self.ours.delete_batch(0, &mut b, &mut drop));
        let n = b.count;
        self.agree((ours, n), |theirs| {
            theirs.write_batch(true, &BatchInput { keys, values: &[], count, elem_flags })
        })
    }
}

/// A prefix of 10.0.0.0 and on.
fn prefix(len: u32, last: u8) -> Vec<u8> {
    len.to_le_bytes().into_iter().chain([10, 0, 0, last]).collect()
}

fn prefixes(range: core::ops::Range<u8>) -> Vec<u8> {
    range.flat_map(|i| prefix(if i % 3 == 0 { 30 } else { 32 }, 4 * i)).collect()
}

fn numbers(range: core::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(u64::to_le_bytes).collect()
}

#[test]
fn trie_is_written_and_read_in_batches_as_linux() {
    let map = trie(15, 0);
    assert_eq!(map.read(None, 5).0, 2, "nothing is there");
    assert_eq!(map.update(&prefixes(0..10), &numbers(0..10), 10, 0), (0, 10));
    assert_eq!(map.update(&prefixes(8..20), &numbers(8..20), 12, 0), (28, 7), "full");
    for room in [1, 4, 14, 15, 16, 20] {
        let (mut cursor, mut seen) = (None, 0);
        loop {
            let (errno, n, _, _, next) = map.read(cursor.as_deref(), room);
            seen += n;
            cursor = Some(next);
            if errno != 0 {
                assert_eq!(errno, 2);
                break;
            }
        }
        assert_eq!(seen, 15, "{room}");
    }
    assert_eq!(map.delete(&prefixes(12..18), 6, 0), (2, 3), "the fourth is not there");
    let (errno, n, keys, _, cursor) = map.read(None, 4);
    assert_eq!((errno, n), (0, 4));
    assert_eq!(&cursor, &keys[24..]);
    assert_eq!(map.delete(&cursor, 1, 0), (0, 1));
    let again = map.read(Some(&cursor), 4);
    assert_eq!(again.2[..24], keys[..24], "whose cursor was deleted begins anew");
    assert_eq!(map.delete(&prefixes(0..12), 12, 0).0, 2);
}

#[test]
fn trie_answers_flags_empty_batches_and_access_as_linux() {
    for access in [0, BPF_F_RDONLY, BPF_F_WRONLY] {
        let map = trie(8, access);
        map.update(&prefixes(0..3), &numbers(0..3), 3, 0);
        for count in [0, 2] {
            for elem_flags in [0, 1, 2, BPF_F_LOCK, 8, 1 << 40] {
                map.read_with(false, None, count, [elem_flags, 0]);
                map.read_with(true, None, count, [elem_flags, 0]);
                map.read_with(false, None, count, [elem_flags, 1]);
                map.update(&prefixes(0..3), &numbers(5..8), count, elem_flags);
                map.delete(&prefixes(5..8), count, elem_flags);
            }
        }
    }
    let map = trie(8, 0);
    assert_eq!(map.read_with(true, None, 2, [0; 2]).0, 524);
    assert_eq!(map.read_with(false, None, 2, [BPF_F_LOCK, 0]).0, 22);
    map.update(&prefixes(0..8), &numbers(0..8), 8, 0);
    let mut short = BatchInput { keys: &[0; 15], values: &[0; 16], count: 2, elem_flags: 0 };
    assert_eq!(map.ours.update_batch(0, &mut short), Err(Errno::EFAULT));
    let (mut keys, mut values) = ([0; 8], [0; 8]);
    let mut b = Batch { keys: &mut keys, values: &mut values, count: 1, elem_flags: 0, flags: 0 };
    assert_eq!(map.ours.lookup_batch(None, &mut [0; 4], &mut b), Err(Errno::EFAULT), "a cursor is a key");
}

/// Puts maps into entries of both; their ids, so that they can be told from one another.
fn fill(map: &Pair, keys: &[u32]) -> Vec<KernelMap> {
    let mut inner = Vec::new();
    for key in keys {
        let theirs = map.theirs.as_ref().and_then(|_| KernelMap::create(&ARRAY));
        let id = theirs.as_ref().map_or(100 + key, |m| m.id());
        let like = Map::create("inner", id, &ARRAY, &config(Heap::leaked())).unwrap();
        map.ours.set_map(0, &key.to_le_bytes(), like, 0).unwrap();
        if let (Some(outer), Some(m)) = (&map.theirs, &theirs) {
            outer.update_elem(&key.to_le_bytes(), &m.as_value(), 0).unwrap();
        }
        inner.extend(theirs);
    }
    inner
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[test]
fn array_of_maps_is_read_in_batches_as_linux() {
    let map = outer(MapType::ArrayOfMaps, 8);
    assert_eq!(map.read(None, 3).0, 2);
    let _inner = fill(&map, &[1, 2, 5]);
    for room in 1..10 {
        let first = map.read(None, room);
        let all = map.read(Some(&first.4), room);
        assert_eq!((first.1 + all.1).min(3), (2 * room).min(3));
    }
    assert_eq!(map.read(None, 3).2, words(&[1, 2, 5]), "empty entries are passed over");
    for elem_flags in [1, BPF_F_LOCK, 8] {
        assert_eq!(map.read_with(false, None, 2, [elem_flags, 0]).0, 22);
        assert_eq!(map.update(&words(&[1, 2]), &words(&[u32::MAX; 2]), 2, elem_flags), (22, 2));
    }
    assert_eq!(map.read_with(false, None, 2, [0, 1]).0, 0, "the call's flags are ignored");
    assert_eq!(map.read_with(true, None, 2, [0; 2]).0, 524);
    assert_eq!(map.delete(&words(&[1, 2]), 2, 0), (524, 2));
    assert_eq!(map.update(&[], &[], 0, 0), (0, 0));
    assert_eq!(map.update(&words(&[8]), &words(&[u32::MAX]), 1, 0), (7, 0));
}

#[test]
fn array_of_maps_takes_no_numbers() {
    let map = outer(MapType::ArrayOfMaps, 8).ours;
    let mut b = BatchInput { keys: &words(&[1, 2]), values: &words(&[1, 2]), count: 2, elem_flags: 0 };
    assert_eq!((map.update_batch(0, &mut b), b.count), (Err(Errno::EINVAL), 0));
}

/// In an order that both have.
fn sorted(read: &Read) -> Vec<(&[u8], &[u8])> {
    let mut all: Vec<_> = read.2.chunks(4).zip(read.3.chunks(4)).collect();
    all.sort();
    all
}

#[test]
fn hash_of_maps_is_read_taken_and_deleted_in_batches_as_linux() {
    let map = outer(MapType::HashOfMaps, 10);
    let inner = fill(&map, &[3, 30, 31, 77]);
    let compare = |take: bool, count: u32, want: (i32, u32)| {
        let ask = |call: Call<'_>| {
            let (mut keys, mut values, mut next) = ([0; 80], [0; 80], [0; 4]);
            let mut b = Batch { keys: &mut keys, values: &mut values, count, elem_flags: 0, flags: 0 };
            let (errno, n) = call(&mut next, &mut b);
            let n4 = 4 * n as usize;
            (errno, n, keys[..n4].to_vec(), values[..n4].to_vec(), Vec::new())
        };
        let ours = ask(&|next, b| {
            let answer = match take {
                true => map.ours.lookup_and_delete_batch(0, None, next, b, &mut drop),
                false => map.ours.lookup_batch(None, next, b),
            };
            (code(answer), b.count)
        });
        assert_eq!((ours.0, ours.1), want);
        if let Some(theirs) = &map.theirs {
            let said = ask(&|next, b| theirs.read_batch(take, None, next, b));
            assert_eq!((said.0, said.1, sorted(&said)), (ours.0, ours.1, sorted(&ours)));
        }
    };
    compare(false, 10, (2, 4));
    assert_eq!(map.delete(&words(&[30, 4, 3]), 3, 0), (2, 1));
    compare(true, 10, (2, 3));
    compare(false, 10, (2, 0));
    drop(inner);
    for elem_flags in [1, BPF_F_LOCK, 8] {
        for take in [false, true] {
            assert_eq!(map.read_with(take, None, 2, [elem_flags, 0]).0, 22);
            assert_eq!(map.read_with(take, None, 2, [0, 1]).0, 22);
        }
        assert_eq!(map.update(&words(&[1, 2]), &words(&[u32::MAX; 2]), 2, elem_flags), (22, 2));
        assert_eq!(map.delete(&words(&[1, 2]), 2, elem_flags), (22, 2));
    }
}

#[test]
fn hash_of_maps_walks_every_key_once_and_gives_its_references_back() {
    for take in [false, true] {
        for room in [1u32, 3, 7, 50] {
            let map = make(&MapSpec { inner: Some(ARRAY.as_inner()), ..spec(MapType::HashOfMaps, 4, 4, 50) });
            let inner = Map::create("inner", 9, &ARRAY, &config(Heap::leaked())).unwrap();
            (0..40u32).for_each(|k| drop(map.set_map(0, &k.to_le_bytes(), inner.clone(), 0).unwrap()));
            let (mut seen, mut came, mut cursor) = (Vec::new(), 0, None::<[u8; 4]>);
            loop {
                let (mut keys, mut values, mut next) = ([0; 200], [0; 200], [0; 4]);
                let mut b =
                    Batch { keys: &mut keys, values: &mut values, count: room, elem_flags: 0, flags: 0 };
                let from = cursor.as_ref().map(|c| &c[..]);
                let answer = match take {
                    true => map.lookup_and_delete_batch(0, from, &mut next, &mut b, &mut |old| {
                        assert_eq!(old.id(), 9);
                        came += 1;
                    }),
                    false => map.lookup_batch(from, &mut next, &mut b),
                };
                let n = 4 * b.count as usize;
                assert!(values[..n].chunks(4).all(|v| v == [9, 0, 0, 0]));
                seen.extend(keys[..n].chunks(4).map(<[u8]>::to_vec));
                cursor = Some(next);
                if answer.is_err() {
                    assert_eq!(answer, Err(Errno::ENOENT));
                    break;
                }
            }
            seen.sort();
            seen.dedup();
            assert_eq!((seen.len(), came), (40, if take { 40 } else { 0 }));
            assert_eq!(Arc::strong_count(&inner), if take { 1 } else { 41 });
        }
    }
}
