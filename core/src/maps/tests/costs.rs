//! Times, not truths: `cargo test -p uxdp-core --release -- --ignored --nocapture costs`.

use super::hash::Random;
use super::*;
use std::vec::Vec;

/// Nanoseconds a key of the best of some rounds over all keys.
fn time(name: &str, map: &Map, keys: &[u64], mut work: impl FnMut(&[u64])) {
    let best = (0..20).map(|_| {
        let started = std::time::Instant::now();
        keys.chunks(32).for_each(&mut work);
        started.elapsed().as_nanos() as f64 / keys.len() as f64
    });
    let best = best.fold(f64::MAX, f64::min);
    std::println!("{:>9} {:<8} {name:<15} {best:6.1} ns", map.spec().max_entries, map.spec().kind.name());
}

fn lookups(map: &Map, keys: &[u64], when: &str) {
    let name = |what: &str| std::format!("{what}{when}");
    // SAFETY: the keys have eight bytes; this thread alone is here.
    unsafe {
        time(&name("hit"), map, keys, |keys| {
            keys.iter().for_each(|k| _ = core::hint::black_box(map.lookup((&raw const *k).cast(), 0)));
        });
        time(&name("hit, burst 32"), map, keys, |keys| {
            let mut pointers = [core::ptr::null(); 32];
            keys.iter().zip(&mut pointers).for_each(|(k, p)| *p = (&raw const *k).cast());
            let mut out = [core::ptr::null_mut(); 32];
            map.lookup_burst(&pointers[..keys.len()], &mut out[..keys.len()], 0);
            core::hint::black_box(out);
        });
    }
}

#[test]
#[ignore = "a measurement"]
fn costs_of_the_operations() {
    for (kind, entries) in [MapType::Hash, MapType::LruHash]
        .into_iter()
        .flat_map(|kind| [1000u32, 65_536, 1_000_000].map(|entries| (kind, entries)))
    {
        let map = &*make(&spec(kind, 8, 16, entries));
        let value = [1u8; 16];
        // SAFETY: key and value have their sizes; this thread alone is here.
        let put = |k: u64| unsafe { map.update((&raw const k).cast(), value.as_ptr(), 0, 0).unwrap() };
        (0..u64::from(entries)).for_each(put);
        let mut random = Random(99);
        let keys: Vec<u64> = (0..65_536).map(|_| random.below(u64::from(entries))).collect();
        lookups(map, &keys, "");
        // SAFETY: as above.
        unsafe {
            time("miss", map, &keys, |keys| {
                keys.iter().for_each(|k| {
                    let absent = k + (1 << 40);
                    core::hint::black_box(map.lookup((&raw const absent).cast(), 0));
                });
            });
            time("update", map, &keys, |keys| keys.iter().copied().for_each(put));
            time("delete, insert", map, &keys, |keys| {
                keys.iter().for_each(|k| {
                    let _ = map.delete((&raw const *k).cast(), 0);
                    put(*k);
                });
            });
        }
        if kind == MapType::LruHash {
            let mut new = 1 << 50;
            time("insert, evict", map, &keys, |keys| {
                keys.iter().for_each(|_| {
                    put(new);
                    new += 1;
                });
            });
        }
        // A hundred times the capacity comes and goes; then the keys of before.
        let churn = if entries > 100_000 { 10 } else { 100 };
        for round in 1..=churn {
            for k in 0..u64::from(entries) {
                let old = k + ((round - 1) << 32);
                // SAFETY: as above.
                let _ = unsafe { map.delete((&raw const old).cast(), 0) };
                put(k + (round << 32));
            }
        }
        let keys: Vec<u64> = keys.iter().map(|k| k + (churn << 32)).collect();
        lookups(map, &keys, " after churn");
    }
}
