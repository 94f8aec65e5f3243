//! Ring buffers: records reserved, filled and ended in any order, read in that of their reservation.

use super::code;
use crate::bytes::Bytes;
use core::ops::ControlFlow;
use std::collections::VecDeque;
use uxdp_core::maps::{Commit, Map};
use uxdp_core::sync::Arc;

/// Bytes of a record's header.
const HEADER: u64 = 8;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;

/// A record that was not read yet.
struct Record {
    bytes: Vec<u8>,
    at: *mut u8,
    ended: Option<Commit>,
}

/// A ring whose records never wrap: a filler, which is read as a dropped record, stands where one does not fit before the end.
struct Ring {
    size: u64,
    produced: u64,
    consumed: u64,
    records: VecDeque<Record>,
}

/// Bytes that a record takes.
fn whole(len: usize) -> u64 {
    (len as u64 + HEADER).next_multiple_of(8)
}

impl Ring {
    /// Makes room for a record of `len` bytes; whether there is.
    fn reserve(&mut self, len: usize) -> bool {
        let (len, mask) = (whole(len), self.size - 1);
        let rest = self.size - (self.produced & mask);
        let filler = if len > rest { rest } else { 0 };
        let fits = |more: u64| self.produced + more - self.consumed <= mask;
        let room = fits(filler + len);
        let alone = filler + len > mask && fits(filler) && len <= mask;
        if filler != 0 && (room || alone) {
            let bytes = vec![0; (filler - HEADER) as usize];
            self.push(Record { bytes, at: core::ptr::null_mut(), ended: Some(Commit::Discard) });
        }
        room
    }

    fn push(&mut self, record: Record) {
        self.produced += whole(record.bytes.len());
        self.records.push_back(record);
    }

    /// The next record is passed.
    fn pop(&mut self) -> Option<Record> {
        let first = self.records.pop_front()?;
        self.consumed += whole(first.bytes.len());
        Some(first)
    }

    fn next_is(&self, how: Commit) -> bool {
        self.records.front().is_some_and(|r| r.ended == Some(how))
    }
}

pub(super) fn run(map: &Arc<Map>, bytes: &mut Bytes<'_>) {
    let size = map.ringbuf_query(1);
    let mut ring = Ring { size, produced: 0, consumed: 0, records: VecDeque::new() };
    while !bytes.is_empty() {
        let len = match bytes.below(8) {
            0 => bytes.below(256) * 20,
            _ => bytes.below(90),
        };
        let fill = bytes.byte();
        match bytes.below(8) {
            0..3 => {
                let at = map.ringbuf_reserve(len as u64, 0);
                assert_eq!(!at.is_null(), ring.reserve(len), "{len} bytes");
                if !at.is_null() {
                    // SAFETY: that many bytes were reserved.
                    unsafe { at.write_bytes(fill, len) };
                    ring.push(Record { bytes: vec![fill; len], at, ended: None });
                }
            }
            3 => {
                let (record, flags) = (vec![fill; len], bytes.pick(&[0, 0, 1, 2, 3, 4, 1 << 40]));
                // SAFETY: the bytes are readable.
                let got = code(unsafe { map.ringbuf_output(record.as_ptr(), len as u64, flags, 1) });
                let want = match flags {
                    4.. => EINVAL,
                    _ if ring.reserve(len) => 0,
                    _ => EAGAIN,
                };
                assert_eq!(got, want);
                if want == 0 {
                    let at = core::ptr::null_mut();
                    ring.push(Record { bytes: record, at, ended: Some(Commit::Submit) });
                }
            }
            4..6 => {
                let mut open: Vec<_> = ring.records.iter_mut().filter(|r| r.ended.is_none()).collect();
                if !open.is_empty() {
                    let how = bytes.pick(&[Commit::Submit, Commit::Submit, Commit::Discard]);
                    let record = open.swap_remove(bytes.below(open.len()));
                    // SAFETY: a reservation of this map that did not end yet.
                    unsafe { map.ringbuf_commit(record.at, how, bytes.below(4) as u64) };
                    record.ended = Some(how);
                }
            }
            6 => read(map, &mut ring, bytes.below(4)),
            _ => {}
        }
        let positions = [map.ringbuf_query(2), map.ringbuf_query(3), map.ringbuf_query(0)];
        assert_eq!(positions, [ring.consumed, ring.produced, ring.produced - ring.consumed]);
    }
    let open = ring.records.iter().filter(|r| r.ended.is_none());
    // SAFETY: reservations of this map that did not end yet.
    open.for_each(|r| unsafe { map.ringbuf_commit(r.at, Commit::Discard, 0) });
}

/// Reads records, `most` of them (1 for 0), up to the first that is not whole.
fn read(map: &Arc<Map>, ring: &mut Ring, mut most: usize) {
    let mut read: Vec<Vec<u8>> = Vec::new();
    let got = map.ringbuf_consume(&mut |record| {
        read.push(record.to_vec());
        most = most.saturating_sub(1);
        if most == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(got.map_err(|e| e.0), Ok(read.len()));
    for record in &read {
        while ring.next_is(Commit::Discard) {
            ring.pop();
        }
        let first = ring.pop().expect("a record that was reserved");
        assert_eq!((Some(Commit::Submit), &first.bytes), (first.ended, record));
    }
    if read.is_empty() || most != 0 {
        while ring.next_is(Commit::Discard) {
            ring.pop();
        }
        assert!(!ring.next_is(Commit::Submit), "a whole record was not read");
    }
}
