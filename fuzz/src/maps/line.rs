//! Queues, stacks and bloom filters: what is pushed comes out in its order, or may be asked for.

use super::model::{E2BIG, EINVAL, ENOENT};
use super::{CONTROL, code};
use crate::bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use uxdp_core::maps::spec::flags::BPF_EXIST;
use uxdp_core::maps::{Map, MapType};
use uxdp_core::sync::Arc;

pub(super) fn run(map: &Arc<Map>, bytes: &mut Bytes<'_>) {
    match map.spec().kind {
        MapType::BloomFilter => filter(map, bytes),
        _ => line(map, bytes),
    }
}

fn line(map: &Arc<Map>, bytes: &mut Bytes<'_>) {
    let (size, room) = (map.spec().value_size as usize, map.spec().max_entries as usize);
    let queue = map.spec().kind == MapType::Queue;
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    while !bytes.is_empty() {
        let (how, by_program, flags) = (bytes.below(4), bytes.rarely(2), bytes.pick(&[0, 0, 2, 2, 1, 3, 8]));
        let value = vec![bytes.byte(); size];
        if how < 2 {
            let got = match by_program {
                // SAFETY: the value has its size; nobody else has the slot.
                true => unsafe { map.push(value.as_ptr(), flags, 0) },
                false => map.update_elem(CONTROL, &[], &value, flags),
            };
            let want = match flags {
                0 if model.len() == room => E2BIG,
                0 | BPF_EXIST => 0,
                _ => EINVAL,
            };
            assert_eq!(code(got), want);
            if want == 0 {
                if model.len() == room {
                    model.pop_front();
                }
                model.push_back(value);
            }
            continue;
        }
        let next = if queue { model.front() } else { model.back() }.cloned();
        if how == 2 {
            let _ = if queue { model.pop_front() } else { model.pop_back() };
        }
        let mut out = vec![0xee; size];
        let got = match (how, by_program) {
            // SAFETY: as above.
            (2, true) => unsafe { map.pop(out.as_mut_ptr(), 0) },
            (2, false) => map.lookup_and_delete_elem(CONTROL, &[], &mut out, 0),
            // SAFETY: as above.
            (_, true) => unsafe { map.peek(out.as_mut_ptr(), 0) },
            (_, false) => map.lookup_elem(&[], &mut out, 0),
        };
        assert_eq!(code(got), if next.is_some() { 0 } else { ENOENT });
        assert_eq!(out, next.unwrap_or(vec![0; size]));
    }
}

fn filter(map: &Arc<Map>, bytes: &mut Bytes<'_>) {
    let size = map.spec().value_size as usize;
    let mut pushed: BTreeSet<Vec<u8>> = BTreeSet::new();
    while !bytes.is_empty() {
        let mut value = vec![0; size];
        value[0] = bytes.byte();
        value[size - 1] ^= bytes.below(4) as u8;
        let flags = bytes.pick(&[0, 0, 0, 1, 2, 4]);
        if bytes.rarely(2) {
            let got = code(map.update_elem(CONTROL, &[], &value, flags));
            assert_eq!(got, if flags == 0 { 0 } else { EINVAL });
            if got == 0 {
                pushed.insert(value);
            }
            continue;
        }
        let asked = value.clone();
        // SAFETY: the value has its size.
        let got = code(unsafe { map.peek(value.as_mut_ptr(), 0) });
        assert!(got == 0 || got == ENOENT && !pushed.contains(&asked), "a false negative");
        assert_eq!(got, code(map.lookup_elem(&[], &mut value, 0)), "both sides");
        assert_eq!(asked, value, "asking changes nothing");
    }
}
