//! Our map as a subject of the model tests: its control plane in several writer slots by turns, its programs in slot 0.

use super::op::{Answer, Contents, End, Op, Read, is_ordered};
use super::{Subject, pool};
use crate::error::Errno;
use crate::maps::tests::code;
use crate::maps::{Batch, BatchInput, Commit, Map, MapType};
use crate::sync::Arc;
use core::ops::{ControlFlow, Range};
use std::vec::Vec;

pub(in crate::maps) struct Ours {
    pub(in crate::maps) map: Arc<Map>,
    slots: Range<u32>,
    slot: u32,
}

impl Ours {
    pub(in crate::maps) fn new(map: Arc<Map>, slots: Range<u32>) -> Ours {
        Ours { map, slot: slots.start, slots }
    }

    fn kind(&self) -> MapType {
        self.map.spec().kind
    }

    fn lookup(&self, key: &[u8], flags: u64) -> Answer {
        let mut out = std::vec![0; self.map.value_buffer_size()];
        Answer::value(code(self.map.lookup_elem(key, &mut out, flags)), pool::seen(self.kind(), out))
    }

    fn read(&self, take: bool, read: &Read) -> Answer {
        let map = &self.map;
        let (key_size, value_size) = (map.spec().key_size as usize, map.value_buffer_size());
        let room = read.room as usize;
        let (mut keys, mut values) = (std::vec![0; room * key_size], std::vec![0; room * value_size]);
        let mut next = std::vec![0; map.batch_cursor_size()];
        let Read { elem_flags, flags, .. } = *read;
        let mut b = Batch { keys: &mut keys, values: &mut values, count: read.room, elem_flags, flags };
        let answer = match take {
            true => {
                map.lookup_and_delete_batch(self.slot, read.from.as_deref(), &mut next, &mut b, &mut drop)
            }
            false => map.lookup_batch(read.from.as_deref(), &mut next, &mut b),
        };
        let said = (code(answer), b.count);
        let values: Vec<u8> =
            values.chunks(value_size.max(1)).flat_map(|v| pool::seen(self.kind(), v.to_vec())).collect();
        Answer::read(self.kind(), said, (&keys, key_size), (&values, value_size), &next)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Answer {
        let mut next = std::vec![0; self.map.spec().key_size as usize];
        let errno = code(self.map.next_key(key, &mut next));
        if errno == 0 && !is_ordered(self.kind()) {
            assert_eq!(self.lookup(&next, 0).errno, 0, "a walk met a key that is not there");
            return Answer::errno(0);
        }
        Answer::value(errno, next)
    }

    /// What a program's lookup shows in slot 0.
    fn see(&self, key: &[u8]) -> Answer {
        // SAFETY: the key has its size.
        let p = unsafe { self.map.lookup(key.as_ptr(), 0) };
        if p.is_null() {
            return Answer::errno(Errno::ENOENT.0);
        }
        assert!(p.addr().is_multiple_of(8));
        // SAFETY: a value of that size; no other thread is here.
        let value = unsafe { core::slice::from_raw_parts(p, self.map.spec().value_size as usize) };
        Answer::value(0, value.to_vec())
    }

    /// What a program does with a queue, in slot 0.
    fn queue(&self, op: &Op) -> Answer {
        let mut out = std::vec![0xee; self.map.spec().value_size as usize];
        // SAFETY: values have their size; slot 0 is this thread's.
        let errno = code(unsafe {
            match op {
                Op::Put { value, flags, .. } => {
                    return Answer::errno(code(self.map.push(value.as_ptr(), *flags, 0)));
                }
                Op::See { .. } => self.map.peek(out.as_mut_ptr(), 0),
                _ => self.map.pop(out.as_mut_ptr(), 0),
            }
        });
        assert!(errno == 0 || out.iter().all(|b| *b == 0), "what a program may read is zero");
        Answer::value(errno, out)
    }

    fn produce(&self, len: u32, fill: u8, end: End, flags: u64) -> Answer {
        let map = &self.map;
        let bytes = std::vec![fill; len as usize];
        if self.kind() == MapType::UserRingbuf {
            return Answer::errno(match map.user_ringbuf_reserve(len, self.slot) {
                Ok(to) => {
                    // SAFETY: so many bytes were reserved; they are ended once.
                    unsafe {
                        to.copy_from(bytes.as_ptr(), bytes.len());
                        map.user_ringbuf_end(to, how(end));
                    }
                    0
                }
                Err(e) => e.0,
            });
        }
        if end == End::Output {
            // SAFETY: a slice is readable for its length.
            return Answer::errno(code(unsafe { map.ringbuf_output(bytes.as_ptr(), len.into(), flags, 0) }));
        }
        let to = map.ringbuf_reserve(len.into(), 0);
        if to.is_null() {
            return Answer::errno(Errno::EAGAIN.0);
        }
        // SAFETY: so many bytes were reserved; they are ended once.
        unsafe {
            to.copy_from(bytes.as_ptr(), bytes.len());
            map.ringbuf_commit(to, how(end), flags);
        }
        Answer::errno(0)
    }

    fn consume(&self, most: u32, flags: u64) -> Answer {
        let mut records = Vec::new();
        if most == 0 {
            return Answer::default();
        }
        let flow = |seen: usize| match seen < most as usize {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        };
        let answer = if self.kind() == MapType::UserRingbuf {
            self.map.user_ringbuf_drain(flags, &mut |bytes, len| {
                // SAFETY: the sample's bytes, which nobody writes in these tests.
                records.push(unsafe { core::slice::from_raw_parts(bytes, len as usize) }.to_vec());
                flow(records.len())
            })
        } else {
            let consumed = self.map.ringbuf_consume(&mut |bytes| {
                records.push(bytes.to_vec());
                flow(records.len())
            });
            consumed.map(|n| n as u32)
        };
        let count = *answer.as_ref().unwrap_or(&0);
        Answer { errno: code(answer), count: count.into(), records, ..Answer::default() }
    }
}

fn how(end: End) -> Commit {
    if end == End::Discard { Commit::Discard } else { Commit::Submit }
}

impl Subject for Ours {
    fn apply(&mut self, op: &Op) -> Answer {
        self.slot = if self.slot + 1 < self.slots.end { self.slot + 1 } else { self.slots.start };
        let (map, slot) = (&self.map, self.slot);
        match op {
            Op::Lookup { key, flags } => self.lookup(key, *flags),
            Op::Ask { value, flags } => Answer::errno(code(map.lookup_elem(&[], &mut value.clone(), *flags))),
            Op::TakeOut { key, flags } => {
                let mut out = std::vec![0; map.value_buffer_size()];
                Answer::value(code(map.lookup_and_delete_elem(slot, key, &mut out, *flags)), out)
            }
            Op::Update { key, value, flags } => Answer::errno(code(pool::set(map, slot, key, value, *flags))),
            Op::Delete { key } => Answer::errno(code(map.delete_elem(slot, key))),
            Op::NextKey { key } => self.next_key(key.as_deref()),
            Op::UpdateBatch { keys, values, count, flags } => {
                let mut b = BatchInput { keys, values, count: *count, elem_flags: *flags };
                let answer = code(map.update_batch(slot, &mut b));
                Answer::batch((answer, b.count))
            }
            Op::DeleteBatch { keys, count, flags } => {
                let mut b = BatchInput { keys, values: &[], count: *count, elem_flags: *flags };
                let answer = code(map.delete_batch(slot, &mut b, &mut drop));
                Answer::batch((answer, b.count))
            }
            Op::ReadBatch(read) => self.read(false, read),
            Op::TakeBatch(read) => self.read(true, read),
            Op::See { .. } | Op::Put { .. } | Op::Remove { .. }
                if matches!(self.kind(), MapType::Queue | MapType::Stack) =>
            {
                self.queue(op)
            }
            Op::See { key } => self.see(key),
            // SAFETY: key and value have their sizes; slot 0 is this thread's.
            Op::Put { key, value, flags } => {
                // SAFETY: key and value have their sizes; slot 0 is this thread's.
                let answer = unsafe { map.update(key.as_ptr(), value.as_ptr(), *flags, 0) };
                Answer::errno(code(answer))
            }
            Op::Remove { key } => {
                // SAFETY: as above.
                Answer::errno(code(unsafe { map.delete(key.as_ptr(), 0) }))
            }
            Op::Produce { len, fill, end, flags } => self.produce(*len, *fill, *end, *flags),
            Op::Query { what } => Answer { count: map.ringbuf_query(*what), ..Answer::default() },
            Op::Consume { most, flags } => self.consume(*most, *flags),
        }
    }

    fn kind(&self) -> MapType {
        Ours::kind(self)
    }

    fn walk(&mut self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut next = std::vec![0; self.map.spec().key_size as usize];
        self.map.next_key(key, &mut next).ok().map(|()| next)
    }

    fn all_sockets(&mut self) -> Contents {
        let entries = 0..self.map.spec().max_entries;
        // SAFETY: null, or an entry that nobody retires meanwhile.
        let entry = |i: u32| unsafe { self.map.redirect(i).as_ref() }.map(|t| t.value());
        let socket = |i: u32| Some((i.to_le_bytes().to_vec(), entry(i)?.to_le_bytes().to_vec()));
        entries.filter_map(socket).collect()
    }
}
