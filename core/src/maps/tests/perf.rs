//! PERF_EVENT_ARRAY: records round the end, lost ones counted, the kernel's answers.

use super::*;
use std::vec::Vec;

fn put(map: &Map, data: &[u8]) -> Result<(), Errno> {
    // SAFETY: a slice is readable for its length; the test is slot 0.
    unsafe { map.perf_output(0, (data.as_ptr(), data.len()), &[], 0) }
}

#[test]
fn samples_come_in_order_round_the_end_and_lost_ones_are_told() {
    let map = make(&spec(MapType::PerfEventArray, 4, 4, 8));
    map.perf_open(0).unwrap();
    let (mut next, mut expected, mut lost, mut told) = (0u32, 0u32, 0u64, 0u64);
    for round in 0..50_000u32 {
        let mut data = std::vec![round as u8; 4 + round as usize % 300];
        data[..4].copy_from_slice(&next.to_le_bytes());
        match put(&map, &data) {
            Ok(()) => {}
            Err(Errno::ENOSPC) => lost += 1,
            Err(e) => panic!("{e}"),
        }
        next += 1;
        if round % 400 == 0 {
            map.perf_read(0, &mut |r| match r {
                PerfRecord::Lost(n) => {
                    told += n;
                    expected += n as u32;
                }
                PerfRecord::Sample(bytes) => {
                    assert_eq!(bytes[..4], expected.to_le_bytes());
                    assert!((bytes.len() + 4).is_multiple_of(8));
                    expected += 1;
                }
            })
            .unwrap();
        }
    }
    assert!(lost > 100 && told > 100 && told <= lost, "{lost} {told}");
}

#[test]
fn operations_are_answered_as_linux() {
    let map = make(&spec(MapType::PerfEventArray, 4, 4, 2));
    let key = |i: u32| i.to_le_bytes();
    assert_eq!(put(&map, &[1]), Err(Errno::ENOENT));
    map.perf_open(0).unwrap();
    assert_eq!(put(&map, &[1]), Ok(()));
    assert_eq!(code(map.delete_elem(0, &key(0))), 0);
    assert_eq!(put(&map, &[1]), Err(Errno::ENOENT));
    map.perf_open(1).unwrap();
    assert_eq!(put(&map, &std::vec![0; 1 << 16]), Err(Errno::ENOENT));
    map.perf_open(0).unwrap();
    assert_eq!(put(&map, &std::vec![0; 1 << 16]), Err(Errno::E2BIG));
    let flags: Vec<i32> = (0..14)
        .map(|bit| {
            let spec = spec(MapType::PerfEventArray, 4, 4, 1).with_flags(1 << bit);
            memory_size(&spec, &config(Heap::leaked()))
                .map_or_else(|e| crate::error::Status::errno(&e).0, |_| 0)
        })
        .collect();
    assert_eq!(flags, [22, 22, 0, 0, 0, 22, 22, 22, 22, 22, 22, 0, 22, 22]);
}
