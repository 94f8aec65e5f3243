//! The harness of the model tests: operations in a form that every subject takes, ours, the kernel's and a plain model, and answers that have to be equal.
//!
//! A kind's own file brings its model and its random operations; [`compare`] does the rest. What no two implementations agree on (the order of keys, which key an
//! LRU evicts) is not in an answer.

use super::{Arc, Batch, BatchInput, Errno, Map, code};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Keys and values.
pub(in crate::maps) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// An operation of bpf(2).
#[derive(Clone, Debug)]
pub(in crate::maps) enum Op {
    Lookup {
        key: Vec<u8>,
        flags: u64,
    },
    Update {
        key: Vec<u8>,
        value: Vec<u8>,
        flags: u64,
    },
    Delete {
        key: Vec<u8>,
    },
    /// Lookup and delete.
    TakeOut {
        key: Vec<u8>,
        flags: u64,
    },
    UpdateBatch {
        keys: Vec<u8>,
        values: Vec<u8>,
        count: u32,
    },
    DeleteBatch {
        keys: Vec<u8>,
        count: u32,
    },
    /// One lookup batch with room for everything.
    ReadAll,
    /// One lookup-and-delete batch with room for everything.
    TakeAll,
}

/// What an operation answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::maps) struct Answer {
    pub(in crate::maps) errno: i32,
    /// A batch's count.
    pub(in crate::maps) count: u32,
    /// The value of a lookup that succeeded.
    pub(in crate::maps) bytes: Vec<u8>,
    /// What a batch read.
    pub(in crate::maps) all: Contents,
}

impl Answer {
    pub(in crate::maps) fn errno(errno: i32) -> Answer {
        Answer { errno, ..Answer::default() }
    }

    pub(in crate::maps) fn value(errno: i32, bytes: Vec<u8>) -> Answer {
        Answer { errno, bytes: if errno == 0 { bytes } else { Vec::new() }, ..Answer::default() }
    }

    pub(in crate::maps) fn batch((errno, count): (i32, u32)) -> Answer {
        Answer { errno, count, ..Answer::default() }
    }

    /// Of a batch that read `count` elements.
    pub(in crate::maps) fn all(
        errno: i32,
        count: u32,
        keys: &[u8],
        values: &[u8],
        key_size: usize,
        value_size: usize,
    ) -> Answer {
        // A call that was refused at once leaves the count alone.
        let read = if errno == 0 || errno == Errno::ENOENT.0 { count as usize } else { 0 };
        let pairs = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)).take(read);
        let all: Contents = pairs.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        assert_eq!(all.len(), read, "a batch has a key twice");
        Answer { errno, count, all, ..Answer::default() }
    }
}

/// Whatever can be asked like a map.
pub(in crate::maps) trait Subject {
    fn apply(&mut self, op: &Op) -> Answer;

    /// Everything, read key by key.
    fn contents(&mut self) -> Contents;
}

/// Our map, its control plane in a writer slot.
pub(in crate::maps) struct Ours {
    pub(in crate::maps) map: Arc<Map>,
    pub(in crate::maps) slot: u32,
}

impl Ours {
    fn read(&self, take: bool) -> Answer {
        let map = &self.map;
        let (key_size, value_size) = (map.spec().key_size as usize, map.value_buffer_size());
        let n = map.spec().max_entries;
        let mut keys = std::vec![0; n as usize * key_size];
        let mut values = std::vec![0; n as usize * value_size];
        let mut next = std::vec![0; map.batch_cursor_size()];
        let mut b = Batch { keys: &mut keys, values: &mut values, count: n, elem_flags: 0, flags: 0 };
        let answer = match take {
            true => map.lookup_and_delete_batch(self.slot, None, &mut next, &mut b, &mut drop),
            false => map.lookup_batch(None, &mut next, &mut b),
        };
        let count = b.count;
        Answer::all(code(answer), count, &keys, &values, key_size, value_size)
    }
}

impl Subject for Ours {
    fn apply(&mut self, op: &Op) -> Answer {
        let (map, slot) = (&self.map, self.slot);
        let mut out = std::vec![0; map.value_buffer_size()];
        match op {
            Op::Lookup { key, flags } => Answer::value(code(map.lookup_elem(key, &mut out, *flags)), out),
            Op::TakeOut { key, flags } => {
                Answer::value(code(map.lookup_and_delete_elem(slot, key, &mut out, *flags)), out)
            }
            Op::Update { key, value, flags } => {
                Answer::errno(code(map.update_elem(slot, key, value, *flags)))
            }
            Op::Delete { key } => Answer::errno(code(map.delete_elem(slot, key))),
            Op::UpdateBatch { keys, values, count } => {
                let mut b = BatchInput { keys, values, count: *count, elem_flags: 0 };
                let answer = code(map.update_batch(slot, &mut b));
                Answer::batch((answer, b.count))
            }
            Op::DeleteBatch { keys, count } => {
                let mut b = BatchInput { keys, values: &[], count: *count, elem_flags: 0 };
                let answer = code(map.delete_batch(slot, &mut b, &mut drop));
                Answer::batch((answer, b.count))
            }
            Op::ReadAll => self.read(false),
            Op::TakeAll => self.read(true),
        }
    }

    fn contents(&mut self) -> Contents {
        let mut all = Contents::new();
        let mut key: Option<Vec<u8>> = None;
        let mut next = std::vec![0; self.map.spec().key_size as usize];
        while self.map.next_key(key.as_deref(), &mut next).is_ok() {
            let value = self.apply(&Op::Lookup { key: next.clone(), flags: 0 });
            assert!(all.insert(next.clone(), value.bytes).is_none(), "a walk meets a key twice");
            key = Some(next.clone());
        }
        all
    }
}

/// Gives every operation to all subjects; the first one's answer is what the others have to say too.
pub(in crate::maps) fn compare(subjects: &mut [&mut dyn Subject], ops: impl Iterator<Item = Op>) {
    for (nth, op) in ops.enumerate() {
        let mut answers = subjects.iter_mut().map(|s| s.apply(&op));
        let want = answers.next().unwrap();
        for (i, got) in answers.enumerate() {
            assert_eq!(want, got, "operation {nth}, subject {}: {op:?}", i + 1);
        }
        if nth % 500 == 0 {
            same_contents(subjects);
        }
    }
    same_contents(subjects);
}

fn same_contents(subjects: &mut [&mut dyn Subject]) {
    let mut all = subjects.iter_mut().map(|s| s.contents());
    let want = all.next().unwrap();
    for (i, got) in all.enumerate() {
        assert_eq!(want, got, "contents of subject {}", i + 1);
    }
}
