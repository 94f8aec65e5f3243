//! Memory of shared maps that somebody wrote nonsense to: headers with wrong bytes, and whatever stands behind them.

use super::random::Random;
use super::town::{Town, key_of, memory_for, of_process, sharable};
use super::*;
use crate::error::Status;
use core::ops::ControlFlow;
use std::collections::HashSet;
use std::vec::Vec;

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
