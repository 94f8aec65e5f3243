//! Maps in memory that others have, too: what is attached, what is refused, and memory that somebody wrote nonsense to.

use super::random::Random;
use super::*;
use crate::error::Status;
use crate::platform::Processes;
use core::ops::ControlFlow;
use core::ptr::NonNull;
use std::collections::HashSet;
use std::sync::Mutex;
use std::vec::Vec;

/// Processes by word of mouth.
#[derive(Debug)]
pub(super) struct Town {
    own: u64,
    dead: &'static Mutex<HashSet<u64>>,
    realm: u64,
}

impl Town {
    /// So many processes that know of each other's death.
    pub(super) fn of<const N: usize>() -> ([&'static Town; N], &'static Mutex<HashSet<u64>>) {
        let dead = std::boxed::Box::leak(std::boxed::Box::default());
        let town =
            |i| &*std::boxed::Box::leak(std::boxed::Box::from(Town { own: i as u64 + 1, dead, realm: 7 }));
        (core::array::from_fn(town), dead)
    }
}

impl Processes for Town {
    fn own(&self) -> Option<u64> {
        Some(self.own)
    }
    fn is_gone(&self, process: u64) -> bool {
        self.dead.lock().unwrap().contains(&process)
    }
    fn realm(&self) -> u64 {
        self.realm
    }
}

/// Memory between two pages that nobody may touch, right before the second.
pub(super) struct Guarded {
    start: *mut libc::c_void,
    len: usize,
    base: NonNull<u8>,
    size: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    pub(super) fn new(size: usize) -> Guarded {
        let len = size.next_multiple_of(PAGE) + 2 * PAGE;
        // SAFETY: a new mapping, of which the first and last page lose their access.
        unsafe {
            let (rw, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let start = libc::mmap(core::ptr::null_mut(), len, rw, private, -1, 0);
            assert!(start != libc::MAP_FAILED);
            libc::mprotect(start, PAGE, libc::PROT_NONE);
            libc::mprotect(start.add(len - PAGE), PAGE, libc::PROT_NONE);
            let base = NonNull::new(start.add(len - PAGE - size).cast()).unwrap();
            Guarded { start, len, base, size }
        }
    }

    /// The memory, lent.
    pub(super) fn place(&self) -> MapPlace {
        // SAFETY: mapped until this is dropped, after the maps of the tests.
        unsafe { MapPlace::new(self.base, self.size, &LENT) }
    }

    fn bytes(&self) -> Vec<u8> {
        // SAFETY: mapped, of that size; the tests do not write meanwhile.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.size) }.to_vec()
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size);
        // SAFETY: inside, as just checked.
        unsafe { self.base.as_ptr().add(at).copy_from(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

pub(super) fn of_process(process: &'static Town) -> MapConfig {
    MapConfig { processes: Some(process), writer_slots: 6, ..config(Heap::leaked()) }
}

/// A map of each kind that can be shared.
pub(super) fn sharable() -> Vec<MapSpec> {
    use spec::flags::{BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC};
    let lpm = spec(MapType::LpmTrie, 8, 8, 40).with_flags(BPF_F_NO_PREALLOC);
    Vec::from([
        spec(MapType::Array, 4, 12, 10),
        spec(MapType::PercpuArray, 4, 12, 10),
        spec(MapType::Hash, 8, 8, 24),
        spec(MapType::Hash, 40, 24, 24),
        spec(MapType::PercpuHash, 8, 8, 24),
        spec(MapType::LruHash, 8, 8, 24),
        spec(MapType::LruPercpuHash, 12, 8, 24).with_flags(BPF_F_NO_COMMON_LRU),
        lpm,
        MapSpec { key_size: 20, ..lpm },
        spec(MapType::Queue, 0, 8, 16),
        spec(MapType::Stack, 0, 8, 16),
        spec(MapType::BloomFilter, 0, 8, 16),
        spec(MapType::Ringbuf, 0, 0, 4096),
        spec(MapType::UserRingbuf, 0, 0, 4096),
    ])
}

pub(super) fn memory_for(spec: &MapSpec, cfg: &MapConfig) -> Guarded {
    Guarded::new(memory_size(spec, cfg).unwrap())
}

/// A key with a number in it.
pub(super) fn key_of(spec: &MapSpec, n: u64) -> Vec<u8> {
    let mut key = std::vec![0; spec.key_size as usize];
    let at = if spec.kind == MapType::LpmTrie {
        let bits = (spec.key_size - 4) * 8;
        key[..4].copy_from_slice(&(bits - n as u32 % 5).to_le_bytes());
        4
    } else {
        0
    };
    let n = if at == 0 { n.to_le_bytes() } else { n.reverse_bits().to_be_bytes() };
    for (to, from) in key[at..].iter_mut().zip(if at == 0 { n } else { [n[0], n[1], n[2], n[3], 0, 0, 0, 0] })
    {
        *to = from;
    }
    key
}

/// Everything that can be done with a map, some of it several times.
pub(super) fn try_everything(map: &Map, random: &mut Random, turns: u64) {
    let spec = *map.spec();
    let mut value = std::vec![0; map.value_buffer_size()];
    let mut out = value.clone();
    let mut next = key_of(&spec, 0);
    for turn in 0..turns {
        let key = key_of(&spec, random.below(40));
        let slot = random.below(2) as u32;
        value.iter_mut().for_each(|b| *b = turn as u8);
        _ = map.update_elem(slot, &key, &value, random.below(3));
        _ = map.lookup_elem(&key, &mut out, 0);
        // SAFETY: keys and values have their sizes; the slots are this thread's.
        unsafe {
            _ = map.update(key.as_ptr(), value.as_ptr(), 0, slot);
            let p = map.lookup(key.as_ptr(), slot);
            if !p.is_null() && !matches!(spec.kind, MapType::BloomFilter) {
                p.write_volatile(p.read_volatile().wrapping_add(1));
            }
            _ = map.push(value.as_ptr(), random.below(2) * 2, slot);
            _ = map.peek(out.as_mut_ptr(), slot);
            _ = map.pop(out.as_mut_ptr(), slot);
            if let Ok(sample) = map.user_ringbuf_reserve(random.below(300) as u32, slot) {
                map.user_ringbuf_end(sample, Commit::Submit);
            }
            if spec.kind == MapType::Ringbuf {
                let record = map.ringbuf_reserve(random.below(300), slot);
                if !record.is_null() {
                    commit(record, Commit::Submit, 0, core::iter::once(map));
                }
            }
        }
        _ = map.ringbuf_consume(&mut |bytes| {
            core::hint::black_box(bytes.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)));
            ControlFlow::Continue(())
        });
        // Seldom: a drain of nonsense may pass 131,072 samples.
        if turn.is_multiple_of(16) {
            let mut left = 100;
            _ = map.user_ringbuf_drain(random.below(4), &mut |bytes, len| {
                // SAFETY: what a drain shows is there to be read.
                core::hint::black_box((0..len as usize).fold(0, |sum, i| sum ^ unsafe { *bytes.add(i) }));
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        _ = map.next_key(Some(&key), &mut next);
        _ = map.next_key(None, &mut next);
        match random.below(6) {
            0 => _ = map.delete_elem(slot, &key),
            1 => _ = map.lookup_and_delete_elem(slot, &key, &mut out, 0),
            2 => _ = map.delete_elem(slot, &next),
            _ => {}
        }
    }
    map.for_each(0, |_, _| ControlFlow::Continue(()));
    let n = 24;
    let (mut keys, mut values) = (std::vec![0; n * spec.key_size as usize], std::vec![0; n * value.len()]);
    let mut b = Batch { keys: &mut keys, values: &mut values, count: n as u32, elem_flags: 0, flags: 0 };
    let mut cursor = std::vec![0; map.batch_cursor_size()];
    _ = map.lookup_batch(None, &mut cursor, &mut b);
    _ = map.lookup_and_delete_batch(0, None, &mut cursor, &mut b, &mut drop);
    _ = map.recover();
}

#[test]
fn a_map_that_one_process_made_is_the_same_for_another() {
    for spec in sharable() {
        let ([a, b], _) = Town::of();
        let memory = memory_for(&spec, &of_process(a));
        let made = Map::create_in(memory.place(), "both", 1, &spec, &of_process(a)).unwrap();
        let found = Map::attach(memory.place(), 9, &of_process(b)).unwrap();
        assert_eq!((found.spec(), found.name(), found.id()), (made.spec(), "both", 9));
        assert!(found.is_shared() && made.is_shared());
        let mut ours = super::model::Ours::new(made.clone(), 2..3);
        let mut theirs = super::model::Ours::new(found, 2..3);
        use super::model::Subject;
        match spec.kind {
            MapType::Ringbuf => {
                let record = made.ringbuf_reserve(5, 0);
                // SAFETY: five bytes were reserved, and are committed once.
                unsafe {
                    record.copy_from(b"hello".as_ptr(), 5);
                    commit(record, Commit::Submit, 0, core::iter::once(&*made));
                }
                let mut got = Vec::new();
                theirs
                    .map
                    .ringbuf_consume(&mut |r| {
                        got = r.to_vec();
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                assert_eq!(got, b"hello");
                assert_eq!(made.ringbuf_query(0), 0);
            }
            MapType::UserRingbuf => {
                let sample = made.user_ringbuf_reserve(5, 0).unwrap();
                // SAFETY: five bytes were reserved, and are ended once.
                unsafe {
                    sample.copy_from(b"hello".as_ptr(), 5);
                    made.user_ringbuf_end(sample, Commit::Submit);
                }
                let mut got = Vec::new();
                let shown = theirs.map.user_ringbuf_drain(0, &mut |bytes, len| {
                    // SAFETY: the sample's bytes.
                    got.extend_from_slice(unsafe { core::slice::from_raw_parts(bytes, len as usize) });
                    let theirs = made.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(()));
                    assert_eq!(theirs, Err(Errno::EBUSY), "one process drains at a time");
                    ControlFlow::Continue(())
                });
                assert_eq!((shown, &got[..]), (Ok(1), &b"hello"[..]));
                let nothing = made.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(()));
                assert_eq!(nothing, Ok(0), "it is gone for both");
            }
            MapType::Queue | MapType::Stack | MapType::BloomFilter => {
                made.update_elem(2, &[], &[7; 8], 0).unwrap();
                let mut out = [7; 8];
                theirs.map.lookup_elem(&[], &mut out, 0).unwrap();
                assert_eq!(out, [7; 8]);
            }
            _ => {
                let value = std::vec![3; made.value_buffer_size()];
                for n in 0..8 {
                    made.update_elem(2, &key_of(&spec, n), &value, 0).unwrap();
                    theirs.map.update_elem(2, &key_of(&spec, n + 8), &value, 0).ok();
                }
                assert_eq!(ours.contents(), theirs.contents(), "{spec:?}");
                assert!(ours.contents().len() >= 10 || spec.kind == MapType::LpmTrie);
            }
        }
        theirs.map.freeze().unwrap();
        let value = std::vec![0; made.value_buffer_size()];
        if !matches!(spec.kind, MapType::Ringbuf | MapType::UserRingbuf) {
            assert_eq!(
                made.update_elem(2, &key_of(&spec, 1), &value, 0),
                Err(Errno::EPERM),
                "frozen by the other"
            );
        }
        assert_eq!(made.freeze(), Err(Errno::EPERM));
    }
}

#[test]
fn a_slot_is_one_processs_and_the_last_one_is_told_busy() {
    let spec = spec(MapType::Hash, 8, 8, 8);
    let ([a, b, c, d, e], dead) = Town::of();
    let memory = memory_for(&spec, &of_process(a));
    // Two CPU slots and four clients.
    let map = Map::create_in(memory.place(), "m", 1, &spec, &of_process(a)).unwrap();
    let other = Map::attach(memory.place(), 1, &of_process(b)).unwrap();
    let update = |m: &Map, slot| {
        // SAFETY: key and value have their sizes; the slot is this thread's.
        unsafe { m.update([1; 8].as_ptr(), [2; 8].as_ptr(), 0, slot) }
    };
    assert_eq!(update(&map, 0), Ok(()));
    assert_eq!(update(&other, 0), Err(Errno::EBUSY), "the other's worker has that number");
    assert_eq!(update(&other, 1), Ok(()));
    // Client slots have numbers of each process's own.
    assert_eq!(update(&map, 2), Ok(()));
    assert_eq!(update(&other, 2), Ok(()));
    assert_eq!(update(&map, 3), Err(Errno::EBUSY), "two readers and two clients: all four are held");
    let refused = Map::attach(memory.place(), 1, &of_process(c)).unwrap_err();
    assert_eq!((refused, refused.errno()), (MapError::Attach(AttachError::NoSlot), Errno::EBUSY));
    drop(other);
    let third = Map::attach(memory.place(), 1, &of_process(c)).unwrap();
    assert_eq!(update(&third, 1), Ok(()), "a process that left gave its slots back");
    assert_eq!(update(&third, 2), Ok(()));
    // It dies with all that it has.
    dead.lock().unwrap().insert(3);
    core::mem::forget(third);
    assert_eq!(update(&map, 1), Err(Errno::EBUSY));
    assert_eq!(map.recover(), Ok(3));
    assert_eq!(update(&map, 1), Ok(()));
    let fourth = Map::attach(memory.place(), 1, &of_process(d)).unwrap();
    assert_eq!(update(&fourth, 2), Ok(()));
    // All clients are held, two by one who is dead: attaching puts that in order by itself.
    dead.lock().unwrap().insert(4);
    core::mem::forget(fourth);
    let fifth = Map::attach(memory.place(), 1, &of_process(e)).unwrap();
    assert_eq!(update(&fifth, 2), Ok(()));
}

#[test]
fn what_belongs_to_one_process_is_refused_by_name() {
    use spec::flags::BPF_F_RDONLY_PROG;
    let inner = Some(spec(MapType::Array, 4, 4, 1).as_inner());
    let fields = |spin_lock, timer| MapSpec {
        fields: ValueFields { spin_lock, timer },
        ..spec(MapType::Hash, 4, 24, 1)
    };
    for (spec, words) in [
        (
            spec(MapType::ProgArray, 4, 4, 1),
            "map type prog_array cannot be shared: its entries are references of one process",
        ),
        (MapSpec { inner, ..spec(MapType::ArrayOfMaps, 4, 4, 1) }, "array_of_maps cannot be shared"),
        (MapSpec { inner, ..spec(MapType::HashOfMaps, 4, 4, 1) }, "hash_of_maps cannot be shared"),
        (spec(MapType::Devmap, 4, 4, 1), "devmap cannot be shared"),
        (spec(MapType::DevmapHash, 4, 4, 1), "devmap_hash cannot be shared"),
        (spec(MapType::Cpumap, 4, 4, 1), "cpumap cannot be shared"),
        (spec(MapType::Xskmap, 4, 4, 1), "xskmap cannot be shared"),
        (
            spec(MapType::PerfEventArray, 4, 4, 1),
            "this perf_event_array cannot be shared: an open event belongs to one process",
        ),
        (spec(MapType::Array, 4, 4, 1).with_flags(BPF_F_RDONLY_PROG), "constant data"),
        (fields(Some(0), None), "a bpf_spin_lock"),
        (fields(None, Some(8)), "a bpf_timer"),
    ] {
        let ([a], _) = Town::of();
        let memory = memory_for(&spec, &of_process(a));
        let refused = Map::create_in(memory.place(), "m", 1, &spec, &of_process(a)).unwrap_err();
        assert_eq!(refused.errno(), Errno::EOPNOTSUPP);
        assert!(std::format!("{refused}").contains(words), "{refused}");
    }
}

#[test]
fn memory_that_does_not_fit_is_refused() {
    let spec = spec(MapType::Hash, 8, 8, 24);
    let ([a, b], _) = Town::of();
    let cfg = of_process(a);
    let memory = memory_for(&spec, &cfg);
    let small = Guarded::new(memory_size(&spec, &cfg).unwrap() - 64);
    let refuse = |place, cfg: &MapConfig| match Map::create_in(place, "m", 1, &spec, cfg).unwrap_err() {
        MapError::Attach(why) => why,
        other => panic!("{other}"),
    };
    assert!(matches!(refuse(small.place(), &cfg), AttachError::Truncated { .. }));
    let crooked = Guarded::new(memory_size(&spec, &cfg).unwrap() + 8);
    assert_eq!(refuse(crooked.place(), &cfg), AttachError::Alignment(memory_alignment(&spec, &cfg).unwrap()));
    assert_eq!(refuse(memory.place(), &config(Heap::leaked())), AttachError::NoProcesses);
    let map = Map::create_in(memory.place(), "m", 1, &spec, &cfg).unwrap();
    assert_eq!(refuse(memory.place(), &cfg), AttachError::Occupied);
    let attach = |cfg: &MapConfig| match Map::attach(memory.place(), 1, cfg) {
        Err(MapError::Attach(why)) => Some(why),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    assert_eq!(attach(&of_process(b)), None);
    assert_eq!(attach(&MapConfig { nr_cpus: 3, ..of_process(b) }), Some(AttachError::Cpus(2, 3)));
    assert_eq!(Map::cpus_of(&memory.place()), Ok(2));
    assert_eq!(
        attach(&MapConfig { page_size: 16384, ..of_process(b) }),
        Some(AttachError::PageSize(4096, 16384))
    );
    assert_eq!(attach(&config(Heap::leaked())), Some(AttachError::Field("writer slots")));
    let foreign = std::boxed::Box::leak(std::boxed::Box::from(Town { own: 9, dead: b.dead, realm: 8 }));
    assert_eq!(attach(&of_process(foreign)), Some(AttachError::Realm));
    drop(map);
    let blank = memory_for(&spec, &cfg);
    assert_eq!(Map::attach(blank.place(), 1, &cfg).unwrap_err(), MapError::Attach(AttachError::Magic));
    let nothing = Guarded::new(64);
    assert!(matches!(
        Map::attach(nothing.place(), 1, &cfg),
        Err(MapError::Attach(AttachError::Truncated { .. }))
    ));
}

/// Every byte of the header is wrong once, in several ways: the map is refused, or it is the very same but for what has no consequence.
#[test]
fn a_header_with_any_byte_changed_is_refused_or_harmless() {
    // The frozen flag, and what is left of 512 bytes.
    const HARMLESS: usize = 1 + 4 + 512 - header::BYTES;
    for spec in sharable() {
        let ([a, b], _) = Town::of();
        let cfg = of_process(a);
        let memory = memory_for(&spec, &cfg);
        drop(Map::create_in(memory.place(), "m", 1, &spec, &cfg).unwrap());
        let good = memory.bytes();
        let mut taken = HashSet::new();
        for at in 0..512 {
            for bits in [1, 0x10, 0x80, 0xff] {
                memory.write(0, &good);
                memory.write(at, &[good[at] ^ bits]);
                match Map::attach(memory.place(), 1, &of_process(b)) {
                    Err(why) => assert_ne!(why.errno(), Errno::ENOMEM, "{why}"),
                    Ok(map) => {
                        let there = MapSpec { numa_node: spec.numa_node, ..*map.spec() };
                        assert_eq!(there, check::rounded(&spec, cfg.nr_cpus), "byte {at}");
                        taken.insert(at);
                        try_everything(&map, &mut Random(at as u64 + 1), 8);
                    }
                }
            }
        }
        assert!(taken.len() <= HARMLESS, "{:?}: {taken:?}", spec.kind);
    }
}

/// The same by somebody who knows how the digest is made: what is taken then is a map that fits its memory.
#[test]
fn a_forged_header_is_refused_or_describes_what_is_there() {
    for spec in sharable() {
        let ([a, b], _) = Town::of();
        let memory = memory_for(&spec, &of_process(a));
        drop(Map::create_in(memory.place(), "m", 1, &spec, &of_process(a)).unwrap());
        let good = memory.bytes();
        for at in 0..header::BYTES {
            for bits in [1, 0x10, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= bits;
                header::forge(&mut bad);
                memory.write(0, &bad);
                if let Ok(map) = Map::attach(memory.place(), 1, &of_process(b)) {
                    assert!(map.memory_size() <= memory.size);
                    try_everything(&map, &mut Random(at as u64 + 1), 4);
                }
            }
        }
    }
}

/// Whatever stands behind the header: no operation leaves the memory, panics or goes on for ever.
#[test]
fn memory_full_of_nonsense_gives_nonsense_and_nothing_worse() {
    let turns = if cfg!(miri) { 2 } else { 120 };
    for spec in sharable() {
        let ([a, b], _) = Town::of();
        let cfg = of_process(a);
        let memory = memory_for(&spec, &cfg);
        let made = Map::create_in(memory.place(), "m", 1, &spec, &cfg).unwrap();
        try_everything(&made, &mut Random(3), 60);
        drop(made);
        let good = memory.bytes();
        for seed in 1..=turns {
            let mut random = Random(seed * 0x9e37_79b9);
            let mut bad = good.clone();
            let (share, small) = (random.below(4), random.below(2) == 0);
            for word in bad[512..].chunks_exact_mut(8) {
                let hit = match share {
                    0 => true,
                    1 => random.below(2) == 0,
                    _ => random.below(40) == 0,
                };
                if hit {
                    let bits = random.below(u64::MAX >> 8) << 8 | random.below(256);
                    let bits = if small { (bits & 63) | (bits & 63 << 32) } else { bits };
                    word.copy_from_slice(&bits.to_le_bytes());
                }
            }
            memory.write(0, &bad);
            for process in [a, b] {
                match Map::attach(memory.place(), 1, &of_process(process)) {
                    Ok(map) => try_everything(&map, &mut random, 40),
                    Err(why) => assert!(matches!(why, MapError::Attach(_)), "{why}"),
                }
            }
        }
    }
}

/// What a hostile peer can write: an element that is free and a key's at once. An update takes it, sees that the key is there, gives it back, which spoils the key, and
/// looks again.
#[test]
fn an_element_that_is_free_and_a_keys_at_once_does_not_keep_an_update_going() {
    for kind in [MapType::Hash, MapType::PercpuHash] {
        let spec = spec(kind, 8, 8, 24);
        let ([a], _) = Town::of();
        let cfg = of_process(a);
        let memory = memory_for(&spec, &cfg);
        let map = Map::create_in(memory.place(), "m", 1, &spec, &cfg).unwrap();
        let l = layout::Layout::of(&spec, &cfg).unwrap();
        let members = || -> Vec<(usize, u64)> {
            let words = memory.bytes()[l.buckets..][..l.nr_buckets * 64].to_vec();
            let words = words.chunks(8).map(|w| u64::from_le_bytes(w.try_into().unwrap()));
            words.enumerate().filter(|(_, w)| w >> 50 & 3 == 3).map(|(i, w)| (l.buckets + 8 * i, w)).collect()
        };
        let value = [1; 8];
        let update = |key: u64| {
            // SAFETY: key and value have their sizes; the slot is this thread's.
            unsafe { map.update(key.to_le_bytes().as_ptr(), value.as_ptr(), 0, 1) }
        };
        update(7).unwrap();
        let (at, word) = members()[0];
        update(8).unwrap();
        let index = |word: u64| word & ((1 << 30) - 1);
        let theirs = members().iter().map(|m| index(m.1)).find(|i| *i != index(word)).unwrap();
        map.delete_elem(1, &8u64.to_le_bytes()).unwrap();
        memory.write(at, &(word - index(word) + theirs).to_le_bytes());
        assert_eq!(update(7), Err(Errno::EBUSY), "{kind:?}");
        assert_eq!(update(9), Ok(()), "{kind:?}: it goes on");
    }
}
