//! LPM_TRIE: what stands in front of it, memory, readers beside a writer.

use super::random::Random;
use super::*;
use crate::sync::AtomicU64;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use std::vec::Vec;

fn trie(data_size: u32, max_entries: u32) -> MapSpec {
    spec(MapType::LpmTrie, 4 + data_size, 8, max_entries).with_flags(spec::flags::BPF_F_NO_PREALLOC)
}

fn key(len: u32, data: &[u8]) -> Vec<u8> {
    len.to_le_bytes().iter().chain(data).copied().collect()
}

/// The first `len` bits, the others zero.
fn masked(data: &[u8], len: u32) -> Vec<u8> {
    let mut out = data.to_vec();
    for (i, b) in out.iter_mut().enumerate() {
        let keep = len.saturating_sub(8 * i as u32).min(8);
        *b &= !(0xffu32 >> keep) as u8;
    }
    out
}

/// What stands in front of a small trie of IPv4 addresses says what the trie says, which control planes ask: for every 24 bits near the prefixes, with few and with many
/// prefixes below the same 16 bits, and where there is no chunk left.
#[test]
fn chunks_in_front_say_what_the_trie_says() {
    for (entries, blocks, steps) in [(100, 3, 1500u64), (100, 20, 600), (700, 2, 1500)] {
        let map = make(&trie(4, entries));
        let mut random = Random(entries.into());
        let mut there: Vec<Vec<u8>> = Vec::from([]);
        for step in 0..steps {
            let mut data = [10, random.below(blocks) as u8, random.below(256) as u8, random.below(256) as u8];
            let len = [24, 24, 24, 24, 20, 17, 25, 32, 16, 9, 0][random.below(11) as usize];
            data[2] &= [255, 0xfe, 0xf0][random.below(3) as usize];
            let grows = (step / (steps / 6)).is_multiple_of(2);
            if random.below(5) < if grows { 4 } else { 1 } {
                let k = key(len, &masked(&data, len));
                if map.update_elem(0, &k, &step.to_le_bytes(), 1).is_ok() {
                    there.push(k);
                }
            } else if !there.is_empty() {
                let k = there.swap_remove(random.below(there.len() as u64) as usize);
                assert_eq!(code(map.delete_elem(0, &k)), 0, "{step}");
            }
            if step % (steps / 50) != 0 {
                continue;
            }
            for cell in 0..256 * (blocks as u32 + 1) {
                let k = key(32, &(10 << 24 | cell << 8 | random.below(256) as u32).to_be_bytes());
                let mut out = [0; 8];
                let want = map.lookup_elem(&k, &mut out, 0).ok().map(|()| u64::from_le_bytes(out));
                // SAFETY: the key has its size.
                let p = unsafe { map.lookup(k.as_ptr(), 0) }.cast::<u64>();
                // SAFETY: null, or a value of eight bytes.
                assert_eq!(unsafe { p.as_ref() }.copied(), want, "{entries} {step} {k:?}");
            }
        }
    }
}

#[test]
fn memory_is_a_hundredth_of_a_flat_table_at_two_thousand_routes() {
    let flat = (1usize << 24) * 4 + 256 * 256 * 4;
    let ours = memory_size(&trie(4, 2000), &config(Heap::leaked())).unwrap();
    assert!(ours * 100 < flat, "{ours} bytes");
}

/// Full, then churned for ever: prefixes come and go, memory is found again.
#[test]
fn churn_of_many_times_the_capacity_finds_its_memory_again() {
    let map = make(&trie(4, 1000));
    let mut random = Random(5);
    let mut there: Vec<Vec<u8>> = Vec::from([]);
    for round in 0..200_000u64 {
        if there.len() < 1000 && round % 3 != 0 {
            let k = key(8 + random.below(25) as u32, &(random.below(1 << 32) as u32).to_be_bytes());
            if map.update_elem(0, &k, &round.to_le_bytes(), 1) == Err(Errno::EEXIST) {
                continue;
            }
            there.push(k);
        } else if !there.is_empty() {
            let k = there.swap_remove(random.below(there.len() as u64) as usize);
            assert_eq!(code(map.delete_elem(0, &k)), 0, "{round}");
        }
    }
}

#[test]
fn what_a_worker_may_hold_is_not_reused_before_its_quiescent_point() {
    let epochs = Arc::new(Epochs::new(2).unwrap()).unwrap();
    let cfg = MapConfig { epochs: Some(epochs.clone()), ..config(Heap::leaked()) };
    let map = Map::create("m", 1, &trie(4, 4), &cfg).unwrap();
    let k = key(24, &[10, 0, 0, 0]);
    map.update_elem(0, &k, &[1; 8], 0).unwrap();
    assert!(epochs.hold(0));
    epochs.online(0);
    // SAFETY: the key has its size.
    let held = unsafe { map.lookup(k.as_ptr(), 0) }.cast::<u64>();
    let mut refused = 0;
    for round in 0..5_000u64 {
        match map.update_elem(1, &k, &round.to_le_bytes(), 0) {
            Ok(()) => {}
            Err(e) => {
                assert!(matches!(e, Errno::ENOMEM | Errno::EBUSY), "{e:?}");
                refused += 1;
            }
        }
        // SAFETY: a value of eight bytes that the slot still holds.
        assert_eq!(unsafe { held.read() }, 0x0101_0101_0101_0101, "{round}");
    }
    assert!(refused > 0, "memory has an end");
    epochs.quiescent(0);
    map.update_elem(1, &k, &[2; 8], 0).unwrap();
    epochs.release(0);
}

/// A writer adds and removes prefixes around one that stays: readers always find that one or a longer one that is right.
#[test]
fn lookups_beside_a_writer_find_what_stays() {
    for data_size in [4u32, 16] {
        let epochs = Arc::new(Epochs::new(2).unwrap()).unwrap();
        let cfg = MapConfig { epochs: Some(epochs.clone()), ..config(Heap::leaked()) };
        let map = Map::create("m", 1, &trie(data_size, 4000), &cfg).unwrap();
        let mut data = std::vec![0u8; data_size as usize];
        data[0] = 10;
        let value = |len: u64| (len << 32 | 0xabcd).to_le_bytes();
        map.update_elem(1, &key(8, &data), &value(8), 0).unwrap();
        let max = 8 * data_size;
        let done = crate::sync::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut random = Random(9);
                for _ in 0..60_000u32 {
                    let mut near = data.clone();
                    near[1] = random.below(4) as u8;
                    near[2] = random.below(256) as u8;
                    let len = 9 + random.below(u64::from(max) - 8) as u32;
                    let k = key(len, &masked(&near, len));
                    if random.below(2) == 0 {
                        let _ = map.update_elem(1, &k, &value(len.into()), 0);
                    } else {
                        let _ = map.delete_elem(1, &k);
                    }
                }
                done.store(true, Release);
            });
            assert!(epochs.hold(0));
            epochs.online(0);
            let mut random = Random(11);
            while !done.load(Acquire) {
                let mut near = data.clone();
                near[1] = random.below(4) as u8;
                near[2] = random.below(256) as u8;
                let k = key(max, &near);
                // SAFETY: the key has its size.
                let p = unsafe { map.lookup(k.as_ptr(), 0) }.cast::<AtomicU64>();
                // SAFETY: null, or a value of eight bytes.
                let v = unsafe { p.as_ref() }.expect("the /8 stays").load(Relaxed);
                assert!(v as u32 == 0xabcd && (8..=u64::from(max)).contains(&(v >> 32)), "{v:#x}");
                epochs.quiescent(0);
            }
            epochs.release(0);
        });
    }
}

/// A control plane reads without the lock while a writer churns: it finds what stays, and values are whole though their memory is used again at once.
#[test]
fn control_planes_read_whole_values_beside_a_writer() {
    let spec = spec(MapType::LpmTrie, 8, 64, 200).with_flags(spec::flags::BPF_F_NO_PREALLOC);
    let map = make(&spec);
    let value = |n: u64| n.to_le_bytes().repeat(8);
    map.update_elem(1, &key(8, &[10, 0, 0, 0]), &value(7), 0).unwrap();
    let done = crate::sync::AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut random = Random(9);
            for round in 0..30_000u64 {
                let k = key(24, &[10, 0, random.below(8) as u8, 0]);
                match random.below(3) {
                    0 => drop(map.delete_elem(1, &k)),
                    _ => map.update_elem(1, &k, &value(round), 0).unwrap(),
                }
            }
            done.store(true, Release);
        });
        let mut random = Random(11);
        while !done.load(Acquire) {
            let mut out = [0; 64];
            map.lookup_elem(&key(32, &[10, 0, random.below(8) as u8, 1]), &mut out, 0).expect("the /8 stays");
            assert!(out.chunks(8).all(|word| word == &out[..8]), "{out:?}");
        }
    });
}
