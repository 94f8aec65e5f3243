//! RINGBUF: order, busy and discarded records, ends of the data, nonsense in shared memory, producers on many threads.

use super::*;
use crate::maps::Commit;
use core::ops::ControlFlow;
use std::vec::Vec;

fn ring(size: u32) -> Arc<Map> {
    make(&spec(MapType::Ringbuf, 0, 0, size))
}

fn consume(map: &Map) -> Vec<Vec<u8>> {
    let mut all = Vec::from([]);
    map.ringbuf_consume(&mut |r| {
        all.push(r.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    all
}

fn put(map: &Map, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: a slice is readable for its length.
    unsafe { map.ringbuf_output(bytes.as_ptr(), bytes.len() as u64, 0, 0) }
}

fn end(map: &Map, record: *mut u8, how: Commit) {
    // SAFETY: the tests end each reservation once.
    unsafe { map.ringbuf_commit(record, how, 0) };
}

#[test]
fn reader_waits_for_the_oldest_busy_record_and_skips_discarded_ones() {
    let map = ring(4096);
    let records = [8u64, 24, 1].map(|n| map.ringbuf_reserve(n, 0));
    for (i, (r, n)) in records.iter().zip([8usize, 24, 1]).enumerate() {
        assert!(!r.is_null() && r.addr().is_multiple_of(8));
        // SAFETY: `n` bytes were reserved.
        unsafe { r.write_bytes(i as u8 + 1, n) };
    }
    end(&map, records[1], Commit::Submit);
    assert!(consume(&map).is_empty(), "the first is busy");
    end(&map, records[0], Commit::Discard);
    assert_eq!(consume(&map), [std::vec![2; 24]]);
    end(&map, records[2], Commit::Submit);
    assert_eq!(consume(&map), [std::vec![3; 1]]);
    assert_eq!(map.ringbuf_query(0), 0);
}

/// Records of every size for many rounds: none wraps, none is lost, all come in order.
#[test]
fn records_pass_the_end_of_the_data_whole_and_in_order() {
    let map = ring(4096);
    let mut next = 0u32;
    let mut expected = 0u32;
    for round in 0..20_000u32 {
        let size = (round.wrapping_mul(2_654_435_761) >> 20) as usize % 1500 + 4;
        let mut bytes = std::vec![round as u8; size];
        bytes[..4].copy_from_slice(&next.to_le_bytes());
        if put(&map, &bytes).is_ok() {
            next += 1;
        }
        if round % 3 == 0 {
            for r in consume(&map) {
                assert_eq!(r[..4], expected.to_le_bytes());
                assert!(r[4..].windows(2).all(|w| w[0] == w[1]));
                expected += 1;
            }
        }
    }
    expected += consume(&map).len() as u32;
    assert_eq!(next, expected);
    assert!(next > 15_000, "{next}");
}

/// As the kernel: one byte less than the data is the most, the header included.
#[test]
fn limits_of_room_are_the_kernels() {
    let map = ring(4096);
    assert!(map.ringbuf_reserve(4096 - 8, 0).is_null(), "the whole ring");
    assert!(map.ringbuf_reserve(4096, 0).is_null());
    assert!(map.ringbuf_reserve(u64::from(u32::MAX), 0).is_null());
    assert!(map.ringbuf_reserve(u64::MAX, 0).is_null());
    let most = map.ringbuf_reserve(4096 - 16, 0);
    assert!(!most.is_null());
    assert!(map.ringbuf_reserve(0, 0).is_null());
    end(&map, most, Commit::Submit);
    assert_eq!(consume(&map).len(), 1);
}

#[test]
fn a_record_that_never_fits_leaves_no_filler() {
    let map = ring(4096);
    assert_eq!(put(&map, &[1; 8]), Ok(()));
    assert!(map.ringbuf_reserve(4096 - 8, 0).is_null());
    assert_eq!((map.ringbuf_query(3), consume(&map).len()), (16, 1));
}

/// What fits behind a filler only is refused until the reader passed the filler, not for ever.
#[test]
fn a_record_longer_than_half_the_ring_finds_its_place() {
    let map = ring(4096);
    for round in 0..50 {
        assert_eq!(put(&map, &[1; 1000]), Ok(()), "{round}");
        assert_eq!(consume(&map).len(), 1);
        let mut tries = 0;
        while put(&map, &[2; 3000]).is_err() {
            assert!(consume(&map).is_empty());
            tries += 1;
            assert!(tries < 3, "{round}");
        }
        assert_eq!(consume(&map), [std::vec![2; 3000]]);
    }
}

/// The pages, as an unmodified consumer reads them.
#[test]
fn pages_are_the_kernels() {
    let heap = Heap::leaked();
    let spec = spec(MapType::Ringbuf, 0, 0, 4096);
    let map = Map::create("r", 1, &spec, &config(heap)).unwrap();
    put(&map, b"hello").unwrap();
    let l = super::layout::Layout::of(&spec, &config(heap)).unwrap();
    assert!(l.values.is_multiple_of(4096));
    let pages = map.region.section(l.values, 3 * 4096).as_ptr();
    // SAFETY: three pages of the map.
    let (consumer, producer, record) =
        unsafe { (pages.cast::<u64>(), pages.add(4096).cast::<u64>(), pages.add(8192)) };
    // SAFETY: as above.
    unsafe {
        assert_eq!((consumer.read(), producer.read()), (0, 16));
        assert_eq!(record.cast::<u32>().read(), 5);
        assert_eq!(record.add(8).cast::<[u8; 5]>().read(), *b"hello");
        producer.write(1 << 20);
    }
    // A producer position that is farther than the data is long.
    assert_eq!(map.ringbuf_consume(&mut |_| ControlFlow::Continue(())), Err(Errno::EPROTO));
    // SAFETY: as above.
    unsafe {
        record.cast::<u32>().write(1 << 20);
        producer.write(16);
        consumer.write(0);
    }
    assert_eq!(map.ringbuf_consume(&mut |_| ControlFlow::Continue(())), Err(Errno::EPROTO));
}

#[test]
fn creation_answers_as_linux_does() {
    let heap = Heap::leaked();
    for (key, value, entries, flags, good) in [
        (0, 0, 4096, 0, true),
        (0, 0, 8192, 4, true),
        (0, 0, 1 << 31, 0, true),
        (0, 0, 4095, 0, false),
        (0, 0, 12288, 0, false),
        (0, 0, 1, 0, false),
        (0, 0, 0, 0, false),
        (4, 0, 4096, 0, false),
        (0, 4, 4096, 0, false),
        (0, 0, 4096, 8, false),
        (0, 0, 4096, 16, false),
        (0, 0, 4096, 128, false),
        (0, 0, 4096, 1024, false),
    ] {
        let spec = spec(MapType::Ringbuf, key, value, entries).with_flags(flags);
        let got = memory_size(&spec, &config(heap)).map_err(|e| crate::error::Status::errno(&e));
        assert_eq!(got.map(|_| ()).err(), (!good).then_some(Errno::EINVAL), "{spec:?}");
    }
}

#[test]
fn every_record_of_many_producers_arrives_once_and_in_their_order() {
    let map = ring(8192);
    let producing = AtomicU32::new(3);
    std::thread::scope(|s| {
        for slot in 0..3u32 {
            let (map, producing) = (&map, &producing);
            s.spawn(move || {
                let mut i = 0u32;
                while i < 20_000 {
                    let size = 8 + u64::from(i % 40);
                    let r = map.ringbuf_reserve(size, slot);
                    if r.is_null() {
                        std::thread::yield_now();
                        continue;
                    }
                    // SAFETY: at least eight bytes were reserved.
                    unsafe { r.cast::<[u32; 2]>().write([slot, i]) };
                    end(map, r, if i.is_multiple_of(7) { Commit::Discard } else { Commit::Submit });
                    i += 1;
                }
                producing.fetch_sub(1, crate::sync::Ordering::Release);
            });
        }
        let mut next = [1u32; 3];
        loop {
            let over = producing.load(crate::sync::Ordering::Acquire) == 0;
            for r in consume(&map) {
                let slot = u32::from_le_bytes(r[..4].try_into().unwrap()) as usize;
                let i = u32::from_le_bytes(r[4..8].try_into().unwrap());
                assert_eq!((i, r.len()), (next[slot], 8 + (i % 40) as usize));
                next[slot] = i + 1 + u32::from((i + 1) % 7 == 0);
            }
            if over {
                break;
            }
        }
        assert_eq!(next, [20_000 + u32::from(20_000 % 7 == 0); 3]);
    });
    assert_eq!(map.ringbuf_query(0), 0);
}
