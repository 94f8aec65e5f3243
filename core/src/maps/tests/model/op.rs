//! Operations in a form that every subject takes, and what they answer.

use crate::error::Errno;
use crate::maps::{MapSpec, MapType};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Keys and values.
pub(in crate::maps) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a producer does with its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::maps) enum End {
    /// In one step: `bpf_ringbuf_output`.
    Output,
    Submit,
    Discard,
}

/// A batch that reads.
#[derive(Clone, Debug)]
pub(in crate::maps) struct Read {
    /// The cursor; of ordered types alone.
    pub(in crate::maps) from: Option<Vec<u8>>,
    pub(in crate::maps) room: u32,
    pub(in crate::maps) elem_flags: u64,
    pub(in crate::maps) flags: u64,
}

/// An operation of bpf(2), of a program, or of whoever is at the other end of a ring. In maps that hold references a value is the numbers that references have in a pool.
#[derive(Clone, Debug)]
pub(in crate::maps) enum Op {
    Lookup {
        key: Vec<u8>,
        flags: u64,
    },
    /// A lookup without a key, about a value.
    Ask {
        value: Vec<u8>,
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
    /// The key behind another one; of unordered types behind none or one that is not there, and any key will do.
    NextKey {
        key: Option<Vec<u8>>,
    },
    UpdateBatch {
        keys: Vec<u8>,
        values: Vec<u8>,
        count: u32,
        flags: u64,
    },
    DeleteBatch {
        keys: Vec<u8>,
        count: u32,
        flags: u64,
    },
    ReadBatch(Read),
    /// Lookup and delete.
    TakeBatch(Read),
    /// A program's lookup on CPU 0; a use of the key. Of a queue: a peek.
    See {
        key: Vec<u8>,
    },
    /// A program's update on CPU 0; a push.
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        flags: u64,
    },
    /// A program's deletion; a pop.
    Remove {
        key: Vec<u8>,
    },
    /// A record or sample of so many bytes that say `fill`.
    Produce {
        len: u32,
        fill: u8,
        end: End,
        flags: u64,
    },
    /// What a ring buffer says of itself.
    Query {
        what: u64,
    },
    /// Reads up to so many records, oldest first; of a user ring it is a program that does.
    Consume {
        most: u32,
        flags: u64,
    },
}

impl Op {
    /// A read batch with room for everything.
    pub(in crate::maps) fn read_all(spec: &MapSpec) -> Read {
        Read { from: None, room: spec.max_entries, elem_flags: 0, flags: 0 }
    }
}

/// Whether elements have an order that is the same everywhere, and a batch's cursor is a key.
pub(in crate::maps) fn is_ordered(kind: MapType) -> bool {
    !matches!(
        kind,
        MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
            | MapType::HashOfMaps
            | MapType::DevmapHash
    )
}

/// What an operation answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::maps) struct Answer {
    pub(in crate::maps) errno: i32,
    /// A batch's count, a ring's number.
    pub(in crate::maps) count: u64,
    /// The value of a lookup that succeeded; the next key; a batch's cursor.
    pub(in crate::maps) bytes: Vec<u8>,
    /// What a batch read, in order where there is one, else sorted.
    pub(in crate::maps) all: Vec<(Vec<u8>, Vec<u8>)>,
    /// What a ring gave.
    pub(in crate::maps) records: Vec<Vec<u8>>,
}

impl Answer {
    pub(in crate::maps) fn errno(errno: i32) -> Answer {
        Answer { errno, ..Answer::default() }
    }

    pub(in crate::maps) fn value(errno: i32, bytes: Vec<u8>) -> Answer {
        Answer { errno, bytes: if errno == 0 { bytes } else { Vec::new() }, ..Answer::default() }
    }

    /// Of a value that may be there.
    pub(in crate::maps) fn found(value: Option<&Vec<u8>>) -> Answer {
        value.map_or(Answer::errno(Errno::ENOENT.0), |v| Answer::value(0, v.clone()))
    }

    pub(in crate::maps) fn batch((errno, count): (i32, u32)) -> Answer {
        Answer { errno, count: count.into(), ..Answer::default() }
    }

    /// Of a batch that read into `keys` and `values`.
    pub(in crate::maps) fn read(
        kind: MapType,
        (errno, count): (i32, u32),
        (keys, key_size): (&[u8], usize),
        (values, value_size): (&[u8], usize),
        cursor: &[u8],
    ) -> Answer {
        // A call that was refused at once leaves the count alone.
        let read = if errno == 0 || errno == Errno::ENOENT.0 { count as usize } else { 0 };
        let pairs = keys.chunks_exact(key_size.max(1)).zip(values.chunks_exact(value_size.max(1))).take(read);
        let mut all: Vec<_> = pairs.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        let mut bytes = Vec::new();
        if is_ordered(kind) {
            bytes.extend_from_slice(if read > 0 { &cursor[..key_size] } else { &[] });
        } else {
            all.sort();
            assert!(all.windows(2).all(|w| w[0].0 != w[1].0), "a batch has a key twice");
        }
        Answer { errno, count: count.into(), bytes, all, ..Answer::default() }
    }
}
