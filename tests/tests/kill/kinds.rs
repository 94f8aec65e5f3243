//! What is done with each kind of map, and what has to hold of it after a writer died.

use crate::Random;
use std::ops::ControlFlow;
use uxdp_core::error::Errno;
use uxdp_core::maps::spec::flags::{BPF_ANY, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_NOEXIST};
use uxdp_core::maps::{Commit, Map, MapSpec, MapType};

/// Elements that nobody touches after they were made.
pub(crate) const UNTOUCHED: u64 = 64;
/// The worker slot of victims; this process's is 0.
pub(crate) const VICTIM_SLOT: u32 = 1;
/// The control plane's slot here.
const CLIENT: u32 = 2;
/// Elements of a map.
const ENTRIES: u32 = 192;
/// Keys that a worker works on, from `(slot + 1) << 16` on.
const OWN: u64 = 48;
const RING: u32 = 16 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Lru,
    /// A part of the elements for each CPU slot.
    LruParts,
    LruPercpu,
    PercpuHash,
    Trie,
    Queue,
    Stack,
    Ring,
    /// Filled by victims, drained here.
    UserRing,
}

/// A value that says whose it is in both words.
fn value_of(key: u64, nonce: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&key.to_le_bytes());
    value[8..].copy_from_slice(&(key ^ nonce << 32 ^ 0x5555).to_le_bytes());
    value
}

fn is_whole(key: u64, value: &[u8]) -> bool {
    let [a, b] = [0, 8].map(|at| u64::from_le_bytes(value[at..at + 8].try_into().unwrap()));
    a == key && (b ^ key ^ 0x5555) as u32 == 0
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Hash,
        Kind::Lru,
        Kind::LruParts,
        Kind::LruPercpu,
        Kind::PercpuHash,
        Kind::Trie,
        Kind::Queue,
        Kind::Stack,
        Kind::Ring,
        Kind::UserRing,
    ];

    pub(crate) fn spec(self) -> MapSpec {
        match self {
            Kind::Hash => MapSpec::new(MapType::Hash, 8, 16, ENTRIES),
            Kind::Lru => MapSpec::new(MapType::LruHash, 8, 16, 4 * ENTRIES),
            Kind::LruParts => {
                MapSpec::new(MapType::LruHash, 8, 16, 4 * ENTRIES).with_flags(BPF_F_NO_COMMON_LRU)
            }
            Kind::LruPercpu => MapSpec::new(MapType::LruPercpuHash, 8, 16, 4 * ENTRIES),
            Kind::PercpuHash => MapSpec::new(MapType::PercpuHash, 8, 16, ENTRIES),
            Kind::Trie => MapSpec::new(MapType::LpmTrie, 12, 16, ENTRIES).with_flags(BPF_F_NO_PREALLOC),
            Kind::Queue => MapSpec::new(MapType::Queue, 0, 16, ENTRIES),
            Kind::Stack => MapSpec::new(MapType::Stack, 0, 16, ENTRIES),
            Kind::Ring => MapSpec::new(MapType::Ringbuf, 0, 0, RING),
            Kind::UserRing => MapSpec::new(MapType::UserRingbuf, 0, 0, RING),
        }
    }

    fn has_keys(self) -> bool {
        !matches!(self, Kind::Queue | Kind::Stack | Kind::Ring | Kind::UserRing)
    }

    fn is_lru(self) -> bool {
        matches!(self, Kind::Lru | Kind::LruParts | Kind::LruPercpu)
    }

    /// The key with that number; of a trie a prefix of a length of its own, in all parts of the structure.
    fn key(self, n: u64) -> [u8; 12] {
        let mut key = [0; 12];
        if self == Kind::Trie {
            // The last 32 bits are the number, the first 16 spread it.
            let bits = 64 - (n % 3) as u32 * u32::from(n.is_multiple_of(7));
            key[..4].copy_from_slice(&bits.to_le_bytes());
            let spread = (n.wrapping_mul(0x9e37_79b9) & 0xffff) << 48 | n << 2;
            key[4..].copy_from_slice(&spread.to_be_bytes());
        } else {
            key[..8].copy_from_slice(&n.to_le_bytes());
        }
        key
    }

    fn key_bytes(self, key: &[u8; 12]) -> &[u8] {
        if self == Kind::Trie { key } else { &key[..8] }
    }

    fn read(self, map: &Map, n: u64, out: &mut [u8]) -> Result<(), Errno> {
        map.lookup_elem(self.key_bytes(&self.key(n)), out, 0)
    }

    fn buffer(self, map: &Map) -> Vec<u8> {
        vec![0; map.value_buffer_size()]
    }

    /// The value for all slots.
    fn whole_value(self, map: &Map, n: u64, nonce: u64) -> Vec<u8> {
        value_of(n, nonce).into_iter().cycle().take(map.value_buffer_size()).collect()
    }

    pub(crate) fn fill_untouched(self, map: &Map) {
        if self.has_keys() {
            for n in 1..=UNTOUCHED {
                let value = self.whole_value(map, n, n);
                let done = map.update_elem(CLIENT, self.key_bytes(&self.key(n)), &value, BPF_NOEXIST);
                assert!(matches!(done, Ok(()) | Err(Errno::EEXIST)), "{done:?}");
            }
        }
    }

    pub(crate) fn check_untouched(self, map: &Map) {
        if !self.has_keys() {
            return;
        }
        let mut out = self.buffer(map);
        let mut evicted = 0;
        for n in 1..=UNTOUCHED {
            match self.read(map, n, &mut out) {
                Ok(()) => assert_eq!(out, self.whole_value(map, n, n), "key {n}"),
                // The control plane's reader of a trie takes the lock, whose holder may be suspended.
                Err(Errno::EBUSY) if self == Kind::Trie => {}
                // An LRU may evict any key, though it has room. These are used all the time, so that hardly one is; more than that would have gone with a writer.
                Err(Errno::ENOENT) if self.is_lru() => {
                    evicted += 1;
                    assert!(
                        evicted <= UNTOUCHED / 8,
                        "{evicted} of {UNTOUCHED} keys that are in use are lost"
                    );
                    continue;
                }
                Err(e) => panic!("untouched key {n} is lost: {e}"),
            }
            // As a program looks: it never waits, and in an LRU this is what keeps a key.
            let key = self.key(n);
            // SAFETY: the key has its size; slot 0 is this process's.
            let p = unsafe { map.lookup(key.as_ptr(), 0) };
            if p.is_null() && self.is_lru() {
                continue;
            }
            assert!(!p.is_null(), "untouched key {n} is lost to programs");
            // SAFETY: a value of at least eight bytes; of an LRU it may become another key's at any time.
            assert!(self.is_lru() || unsafe { p.cast::<u64>().read_volatile() } == n);
        }
    }

    /// A few operations of a worker on keys of its own.
    pub(crate) fn work(self, map: &Map, random: &mut Random, slot: u32) {
        for _ in 0..20 {
            match self {
                Kind::Queue | Kind::Stack => self.queue(map, random, slot),
                Kind::Ring => self.ring(map, random, slot),
                Kind::UserRing => self.user_ring(map, random, slot),
                _ => self.keyed(map, random, slot),
            }
        }
    }

    fn keyed(self, map: &Map, random: &mut Random, slot: u32) {
        let n = ((u64::from(slot) + 1) << 16) + random.below(OWN);
        let (key, value) = (self.key(n), value_of(n, random.below(1 << 20)));
        // SAFETY: key and value have their sizes; the slot is this thread's.
        let answer = unsafe {
            match random.below(3) {
                0 => map.delete(key.as_ptr(), slot),
                _ => map.update(key.as_ptr(), value.as_ptr(), BPF_ANY, slot),
            }
        };
        // Dead writers may hold an element each; a lock's holder may be dead or suspended.
        assert!(
            matches!(
                answer,
                Ok(()) | Err(Errno::ENOENT | Errno::EBUSY | Errno::E2BIG | Errno::ENOSPC | Errno::ENOMEM)
            ),
            "{answer:?}"
        );
        // SAFETY: as above.
        let p = unsafe { map.lookup(key.as_ptr(), slot) };
        if self != Kind::Trie && !p.is_null() {
            // SAFETY: a value of eight bytes at least; no other process works on this key.
            assert_eq!(unsafe { p.cast::<u64>().read() }, n);
        }
    }

    fn queue(self, map: &Map, random: &mut Random, slot: u32) {
        let value = value_of(random.below(1 << 30), random.below(1 << 20));
        let mut out = [0; 16];
        // SAFETY: values have their size; the slot is this thread's.
        let answer = unsafe {
            match random.below(5) {
                0 | 1 => map.pop(out.as_mut_ptr(), slot),
                2 => map.push(value.as_ptr(), 2, slot),
                _ => map.push(value.as_ptr(), 0, slot),
            }
        };
        assert!(matches!(answer, Ok(()) | Err(Errno::ENOENT | Errno::EBUSY | Errno::E2BIG)), "{answer:?}");
        let key = u64::from_le_bytes(out[..8].try_into().unwrap());
        assert!(out == [0; 16] || is_whole(key, &out), "a torn value: {out:?}");
    }

    fn ring(self, map: &Map, random: &mut Random, slot: u32) {
        let size = 16 + random.below(200);
        let n = random.below(1 << 30);
        if slot == VICTIM_SLOT {
            let mut record = [0; 216];
            record[..16].copy_from_slice(&value_of(n, size));
            // SAFETY: as many bytes as that are there.
            _ = unsafe { map.ringbuf_output(record.as_ptr(), size, 0, slot) };
            return;
        }
        // SAFETY: as above.
        _ = unsafe { map.ringbuf_output(value_of(n, 1).as_ptr(), 16, 0, slot) };
        if n.is_multiple_of(4) {
            self.consume(map);
        }
    }

    fn consume(self, map: &Map) -> usize {
        let all = map.ringbuf_consume(&mut |r| {
            let key = u64::from_le_bytes(r[..8].try_into().unwrap());
            assert!(is_whole(key, r), "a record of nobody: {r:?}");
            ControlFlow::Continue(())
        });
        all.unwrap()
    }

    fn user_ring(self, map: &Map, random: &mut Random, slot: u32) {
        let size = if slot == VICTIM_SLOT { 16 + random.below(200) as u32 } else { 16 };
        let n = random.below(1 << 30);
        match map.user_ringbuf_reserve(size, slot) {
            Ok(sample) => {
                let how = if n.is_multiple_of(3) { Commit::Discard } else { Commit::Submit };
                // SAFETY: at least sixteen bytes were reserved; they are ended once.
                unsafe {
                    sample.copy_from(value_of(n, u64::from(size)).as_ptr(), 16);
                    map.user_ringbuf_end(sample, how);
                }
            }
            // Full; a lock's holder may be dead or suspended.
            Err(e) => assert!(matches!(e, Errno::ENOSPC | Errno::EBUSY), "{e}"),
        }
        if slot != VICTIM_SLOT && n.is_multiple_of(4) {
            self.drain(map);
        }
    }

    fn drain(self, map: &Map) -> u32 {
        let all = map.user_ringbuf_drain(0, &mut |bytes, len| {
            assert!(len >= 16);
            // SAFETY: a sample of sixteen bytes at least.
            let sample = unsafe { core::slice::from_raw_parts(bytes, 16) };
            let key = u64::from_le_bytes(sample[..8].try_into().unwrap());
            assert!(is_whole(key, sample), "a sample of nobody: {sample:?}");
            ControlFlow::Continue(())
        });
        all.unwrap()
    }

    /// Recovers; how many slots came back.
    pub(crate) fn recovered(self, map: &Map) -> u32 {
        match map.recover() {
            Ok(n) => n,
            Err(Errno::EBUSY) => 0,
            Err(e) => panic!("{e}"),
        }
    }

    /// What holds after a recovery: all is whole, and all room is there.
    pub(crate) fn check(self, map: &Map, turn: u64) {
        self.check_untouched(map);
        if self.is_lru() {
            // What was evicted comes back, so that it is counted once.
            self.fill_untouched(map);
        }
        match self {
            Kind::Queue | Kind::Stack => self.check_queue(map),
            Kind::Ring => self.check_ring(map),
            Kind::UserRing => self.check_user_ring(map),
            Kind::Lru | Kind::LruParts | Kind::LruPercpu => self.check_lru(map),
            _ => self.check_keyed(map, turn),
        }
    }

    /// Writers and control planes of a trie are told EBUSY while its lock's holder is off its CPU, or a grace period has to pass; that comes to an end.
    fn patiently<T>(self, mut access: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
        for _ in 0..10_000 {
            match access() {
                Err(Errno::EBUSY) if self == Kind::Trie => std::thread::yield_now(),
                other => return other,
            }
        }
        Err(Errno::EBUSY)
    }

    /// Every key's value is its own; as many keys as it was made for go in, and one more does not.
    fn check_keyed(self, map: &Map, turn: u64) {
        let mut out = self.buffer(map);
        let mut there = UNTOUCHED;
        for n in [0u64, 1].iter().flat_map(|slot| (0..OWN).map(move |i| ((slot + 1) << 16) + i)) {
            match self.patiently(|| self.read(map, n, &mut out)) {
                Ok(()) => {
                    assert!(out.chunks(16).all(|v| v == [0; 16] || is_whole(n, v)), "key {n}: {out:?}");
                    there += 1;
                }
                Err(e) => assert_eq!(e, Errno::ENOENT),
            }
        }
        let mut key = None;
        let mut walked = 0;
        let mut next = vec![0; map.spec().key_size as usize];
        loop {
            match map.next_key(key.as_deref(), &mut next) {
                Ok(()) => {}
                // Walks of a trie take its lock, whose holder may be off its CPU.
                Err(Errno::EBUSY) if self == Kind::Trie => continue,
                Err(e) => break assert_eq!(e, Errno::ENOENT, "turn {turn}, after {walked} keys"),
            }
            walked += 1;
            assert!(walked <= there, "a key that nobody wrote: {next:?}");
            key = Some(next.clone());
        }
        assert_eq!(walked, there, "turn {turn}");
        for n in [0u64, 1].iter().flat_map(|slot| (0..OWN).map(move |i| ((slot + 1) << 16) + i)) {
            let key = self.key(n);
            _ = self.patiently(|| map.delete_elem(CLIENT, self.key_bytes(&key)));
        }
        let extra = 1 << 20;
        let room = u64::from(ENTRIES) - UNTOUCHED;
        for i in 0..room {
            let n = extra + i;
            let value = self.whole_value(map, n, 1);
            let key = self.key(n);
            let done = self.patiently(|| map.update_elem(CLIENT, self.key_bytes(&key), &value, BPF_NOEXIST));
            assert_eq!(done, Ok(()), "turn {turn}: element {i} of {room} is lost");
        }
        let full = if self == Kind::Trie { Errno::ENOSPC } else { Errno::E2BIG };
        let value = self.whole_value(map, 0, 0);
        let key = self.key(extra + room);
        let one_more = self.patiently(|| map.update_elem(CLIENT, self.key_bytes(&key), &value, BPF_NOEXIST));
        assert_eq!(one_more, Err(full));
        // A full map's keys can be updated, by every slot.
        for i in 0..room {
            let n = extra + i;
            let value = self.whole_value(map, n, 2);
            let key = self.key(n);
            let key = self.key_bytes(&key);
            assert_eq!(
                self.patiently(|| map.update_elem(CLIENT, key, &value, BPF_ANY)),
                Ok(()),
                "turn {turn}"
            );
            assert!(self.patiently(|| map.delete_elem(CLIENT, key)).is_ok(), "turn {turn}");
        }
    }

    /// Every element can have a key: of one part, where each CPU slot has its own.
    fn check_lru(self, map: &Map) {
        let extra = 1 << 20;
        let most = u64::from(map.spec().max_entries);
        let room = if self == Kind::LruParts { most / 2 } else { most };
        for i in 0..room - UNTOUCHED - 2 * OWN {
            let n = extra + i;
            map.update_elem(CLIENT, &n.to_le_bytes(), &self.whole_value(map, n, 1), BPF_ANY).unwrap();
        }
        let count = map.for_each(0, |_, _| ControlFlow::Continue(()));
        assert!(count <= most && count + 2 * OWN + 64 >= room - 2 * OWN, "{count} of {room}");
        for i in 0..room - UNTOUCHED - 2 * OWN {
            _ = map.delete_elem(CLIENT, &(extra + i).to_le_bytes());
        }
    }

    fn check_queue(self, map: &Map) {
        let mut out = [0; 16];
        while map.lookup_and_delete_elem(CLIENT, &[], &mut out, 0).is_ok() {
            let key = u64::from_le_bytes(out[..8].try_into().unwrap());
            assert!(is_whole(key, &out), "a torn value: {out:?}");
        }
        for i in 0..u64::from(ENTRIES) {
            assert_eq!(map.update_elem(CLIENT, &[], &value_of(i, 1), 0), Ok(()), "{i}");
        }
        assert_eq!(map.update_elem(CLIENT, &[], &value_of(0, 1), 0), Err(Errno::E2BIG));
        for i in 0..u64::from(ENTRIES) {
            map.lookup_and_delete_elem(CLIENT, &[], &mut out, 0).unwrap();
            let nth = if self == Kind::Stack { u64::from(ENTRIES) - 1 - i } else { i };
            assert_eq!(out, value_of(nth, 1));
        }
    }

    fn check_ring(self, map: &Map) {
        while self.consume(map) != 0 {}
        assert_eq!(map.ringbuf_query(0), 0, "a record is still busy");
        // All of it can be had again: twice, since the first may have to fill up to the end.
        let most = vec![0; RING as usize / 2 - 16];
        for _ in 0..2 {
            // SAFETY: as many bytes as that are there.
            while unsafe { map.ringbuf_output(most.as_ptr(), most.len() as u64, 0, 0) }.is_ok() {}
            let got = map.ringbuf_consume(&mut |_| ControlFlow::Continue(())).unwrap();
            assert!(got >= 1);
        }
        assert_eq!(map.ringbuf_query(0), 0);
    }

    fn check_user_ring(self, map: &Map) {
        while self.drain(map) != 0 {}
        // All of it can be had again: twice, since the first may have to fill up to the end.
        let most = RING / 2 - 16;
        for _ in 0..2 {
            let mut n = 0;
            loop {
                match map.user_ringbuf_reserve(most, 0) {
                    // SAFETY: at least sixteen bytes were reserved; they are ended once.
                    Ok(sample) => unsafe {
                        sample.copy_from(value_of(n, 1).as_ptr(), 16);
                        map.user_ringbuf_end(sample, Commit::Submit);
                        n += 1;
                    },
                    Err(e) => break assert_eq!(e, Errno::ENOSPC),
                }
            }
            assert!(self.drain(map) >= 1, "a sample is still busy");
        }
    }
}
