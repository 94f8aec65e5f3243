//! USER_RINGBUF: order, samples that are being filled, discarded ones, ends of the data, nonsense of producers.

use super::*;
use core::ops::ControlFlow;
use std::vec::Vec;

fn ring() -> Arc<Map> {
    make(&spec(MapType::UserRingbuf, 0, 0, 4096))
}

fn drain(map: &Map) -> Result<Vec<Vec<u8>>, Errno> {
    let mut all = Vec::new();
    map.user_ringbuf_drain(0, &mut |bytes, len| {
        // SAFETY: the sample's bytes, which nobody writes in these tests.
        all.push(unsafe { core::slice::from_raw_parts(bytes, len as usize) }.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

fn reserve(map: &Map, size: u32, byte: u8) -> Result<*mut u8, Errno> {
    let p = map.user_ringbuf_reserve(size, 0)?;
    // SAFETY: `size` bytes were reserved.
    unsafe { p.write_bytes(byte, size as usize) };
    Ok(p)
}

fn end(map: &Map, sample: *mut u8, how: Commit) {
    // SAFETY: the tests end each reservation once.
    unsafe { map.user_ringbuf_end(sample, how) };
}

#[test]
fn a_drain_stops_at_what_is_being_filled_and_passes_what_was_discarded() {
    let map = ring();
    let [a, b, c] = [(1, 8), (2, 24), (3, 1)].map(|(byte, size)| reserve(&map, size, byte).unwrap());
    end(&map, b, Commit::Submit);
    assert_eq!(drain(&map), Ok(Vec::new()), "the first is being filled");
    end(&map, a, Commit::Discard);
    assert_eq!(drain(&map), Ok(std::vec![std::vec![2; 24]]));
    end(&map, c, Commit::Submit);
    assert_eq!(drain(&map), Ok(std::vec![std::vec![3; 1]]));
    assert_eq!(drain(&map), Ok(Vec::new()));
}

#[test]
fn a_callback_that_stops_has_seen_its_sample_and_cannot_drain_itself() {
    let map = ring();
    for byte in [1, 2] {
        end(&map, reserve(&map, 8, byte).unwrap(), Commit::Submit);
    }
    let mut inner = None;
    let shown = map.user_ringbuf_drain(0, &mut |_, _| {
        inner = Some(map.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(())));
        ControlFlow::Break(())
    });
    assert_eq!((shown, inner), (Ok(1), Some(Err(Errno::EBUSY))));
    assert_eq!(drain(&map), Ok(std::vec![std::vec![2; 8]]));
    assert_eq!(map.user_ringbuf_drain(4, &mut |_, _| ControlFlow::Continue(())), Err(Errno::EINVAL));
}

#[test]
fn wake_ups_are_noted_as_the_flags_say() {
    let map = ring();
    let none = &mut |_: *mut u8, _: u32| ControlFlow::Continue(());
    map.user_ringbuf_drain(0, none).unwrap();
    assert!(!map.user_ringbuf_take_wake(), "nothing was drained");
    map.user_ringbuf_drain(2, none).unwrap();
    assert!(map.user_ringbuf_take_wake() && !map.user_ringbuf_take_wake());
    for (flags, wakes) in [(0, true), (1, false)] {
        end(&map, reserve(&map, 8, 1).unwrap(), Commit::Submit);
        map.user_ringbuf_drain(flags, none).unwrap();
        assert_eq!(map.user_ringbuf_take_wake(), wakes);
    }
}

#[test]
fn samples_of_every_size_pass_the_end_of_the_data_whole_and_in_order() {
    let map = ring();
    assert_eq!(map.user_ringbuf_reserve(4096, 0), Err(Errno::E2BIG));
    assert_eq!(map.user_ringbuf_reserve(1 << 30, 0), Err(Errno::E2BIG));
    let (mut sent, mut got) = (0u32, 0u32);
    for round in 0..20_000u32 {
        let size = (round.wrapping_mul(2_654_435_761) >> 20) % 1500 + 4;
        match reserve(&map, size, round as u8) {
            Ok(p) => {
                // SAFETY: at least four bytes were reserved.
                unsafe { p.cast::<u32>().write(sent) };
                end(&map, p, Commit::Submit);
                sent += 1;
            }
            Err(e) => assert_eq!(e, Errno::ENOSPC),
        }
        if round % 3 == 0 {
            for s in drain(&map).unwrap() {
                assert_eq!(s[..4], got.to_le_bytes());
                assert!(s[4..].windows(2).all(|w| w[0] == w[1]));
                got += 1;
            }
        }
    }
    got += drain(&map).unwrap().len() as u32;
    assert_eq!(sent, got);
    assert!(sent > 10_000, "{sent}");
}

/// What a hostile producer writes is refused as Linux does, and never read beyond the data.
#[test]
fn what_is_no_sample_is_refused() {
    let map = ring();
    let l = super::layout::Layout::of(map.spec(), &config(Heap::leaked())).unwrap();
    let pages = map.region.section(l.values, 3 * 4096).as_ptr();
    let set = |consumed: u64, produced: u64, at: usize, word: u32| {
        // SAFETY: three pages of the map; `at` is inside the last.
        unsafe {
            pages.cast::<u64>().write(consumed);
            pages.add(4096).cast::<u64>().write(produced);
            pages.add(8192 + at).cast::<u32>().write(word);
        }
    };
    for (consumed, produced, at, word, want) in [
        (0, 12, 0, 4, Errno::EINVAL),
        (0, 16, 0, 64, Errno::EINVAL),
        (0, 1 << 40, 0, 8000, Errno::E2BIG),
        (4080, 4080 + 64, 4080, 40, Errno::EINVAL),
    ] {
        set(consumed, produced, at, word);
        assert_eq!(drain(&map), Err(want), "{consumed} {produced} {word}");
    }
    // As many empty samples as one likes: a drain ends after its bound.
    set(0, 1 << 40, 0, 0);
    // SAFETY: as above.
    unsafe { pages.add(8192).write_bytes(0, 4096) };
    assert_eq!(map.user_ringbuf_drain(0, &mut |_, _| ControlFlow::Continue(())), Ok(128 * 1024));
}
