//! LPM_TRIE in the plainest words: prefixes as bits, in the kernel's order.

use super::keyed::{from, own, put, read_in_order};
use super::*;
use spec::flags::{BPF_EXIST, BPF_NOEXIST};
use std::collections::BTreeMap;

const ENOENT: i32 = Errno::ENOENT.0;
const EINVAL: i32 = Errno::EINVAL.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

/// Behind the last bit: a prefix comes after what it contains.
const END: u8 = 2;

/// Prefixes, one byte a bit; the key as it was given, whose other bits stay as they were; the value.
struct Trie {
    prefixes: BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
    /// Prefixes of each length.
    lengths: BTreeMap<usize, usize>,
    shape: Shape,
}

pub(super) fn model(shape: Shape) -> Box<dyn Subject> {
    Box::from(Trie { prefixes: BTreeMap::new(), lengths: BTreeMap::new(), shape })
}

fn length(key: &[u8]) -> usize {
    key.first_chunk().map_or(0, |b| u32::from_le_bytes(*b) as usize)
}

/// The first bits of the key's data, and the end.
fn bits(key: &[u8], len: usize) -> Vec<u8> {
    let bit = |i: usize| key[4 + i / 8] >> (7 - i % 8) & 1;
    (0..len).map(bit).chain([END]).collect()
}

impl Trie {
    fn max(&self) -> usize {
        8 * (self.shape.spec.key_size as usize - 4)
    }

    /// Of the longest prefix that the key has and that is not longer than it.
    fn lookup(&self, key: &[u8]) -> Option<&Vec<u8>> {
        let limit = length(key);
        if limit > self.max() {
            return None;
        }
        let mut prefix = bits(key, limit);
        let lengths = self.lengths.range(..=limit).rev().filter(|(_, n)| **n > 0);
        let mut found = lengths.filter_map(|(len, _)| {
            prefix.truncate(*len);
            prefix.push(END);
            self.prefixes.get(&prefix).map(|(_, value)| value)
        });
        found.next()
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> i32 {
        let len = length(key);
        if flags > BPF_EXIST || len > self.max() {
            return EINVAL;
        }
        let prefix = bits(key, len);
        match self.prefixes.contains_key(&prefix) {
            true if flags == BPF_NOEXIST => return Errno::EEXIST.0,
            true => {}
            false if flags == BPF_EXIST => return ENOENT,
            false if self.prefixes.len() == self.shape.spec.max_entries as usize => return Errno::ENOSPC.0,
            false => *self.lengths.entry(len).or_default() += 1,
        }
        self.prefixes.insert(prefix, (key.to_vec(), value.to_vec()));
        0
    }

    fn delete(&mut self, key: &[u8]) -> i32 {
        let len = length(key);
        if len > self.max() {
            return EINVAL;
        }
        if self.prefixes.remove(&bits(key, len)).is_none() {
            return ENOENT;
        }
        *self.lengths.entry(len).or_default() -= 1;
        0
    }

    /// Behind a prefix that is not there comes the first one.
    fn next(&self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let at = key.filter(|k| length(k) <= self.max()).map(|k| bits(k, length(k)));
        let next = match at.filter(|prefix| self.prefixes.contains_key(prefix)) {
            Some(prefix) => self.prefixes.range(prefix..).nth(1),
            None => self.prefixes.iter().next(),
        };
        next.map(|(_, (key, _))| key.clone())
    }

    fn each(keys: &[u8], size: usize, count: u32, mut one: impl FnMut(usize, &[u8]) -> i32) -> Answer {
        for (done, key) in keys.chunks(size).take(count as usize).enumerate() {
            match one(done, key) {
                0 => {}
                errno => return Answer::batch((errno, done as u32)),
            }
        }
        Answer::batch((0, count))
    }
}

impl Subject for Trie {
    fn apply(&mut self, op: &Op) -> Answer {
        let (size, value_size) = (self.shape.spec.key_size as usize, self.shape.value_size);
        match op {
            Op::Lookup { flags: 1.., .. } | Op::TakeOut { flags: 1.., .. } => Answer::errno(EINVAL),
            Op::TakeOut { .. } => Answer::errno(ENOTSUPP),
            Op::Lookup { key, .. } => Answer::found(self.lookup(key)),
            Op::See { key } => Answer::found(self.lookup(key).map(|v| own(&self.shape, v)).as_ref()),
            Op::Update { key, value, flags } => Answer::errno(self.update(key, value, *flags)),
            Op::Put { key, value, flags } => {
                let value = put(&self.shape, None, value);
                Answer::errno(self.update(key, &value, *flags))
            }
            Op::Delete { key } | Op::Remove { key } => Answer::errno(self.delete(key)),
            Op::NextKey { key } => {
                self.next(key.as_deref()).map_or(Answer::errno(ENOENT), |k| Answer::value(0, k))
            }
            Op::UpdateBatch { count, flags: 1.., .. } | Op::DeleteBatch { count, flags: 1.., .. } => {
                Answer::batch((EINVAL, *count))
            }
            Op::UpdateBatch { keys, values, count, .. } => Trie::each(keys, size, *count, |i, k| {
                self.update(k, &values[i * value_size..][..value_size], 0)
            }),
            Op::DeleteBatch { keys, count, .. } => Trie::each(keys, size, *count, |_, k| self.delete(k)),
            Op::TakeBatch(read) => Answer::batch((ENOTSUPP, read.room)),
            Op::ReadBatch(read) if read.elem_flags != 0 => Answer::batch((EINVAL, read.room)),
            Op::ReadBatch(read) => read_in_order(read, |k| self.next(k), |k| self.lookup(k).cloned()),
            other => unreachable!("{other:?}"),
        }
    }

    fn kind(&self) -> MapType {
        MapType::LpmTrie
    }

    fn contents(&mut self) -> Contents {
        self.prefixes.values().cloned().collect()
    }
}

/// A prefix near others, so that they nest and share; seldom one that is too long.
fn key(draw: &mut Draw, shape: &Shape) -> Vec<u8> {
    let size = shape.spec.key_size - 4;
    let max = 8 * u64::from(size);
    let len = if draw.one_in(4) { max } else { draw.below(max + 1) };
    let len = if draw.one_in(40) { max + 1 } else { len };
    let byte = |draw: &mut Draw| match draw.below(4) {
        0 => draw.below(256) as u8,
        1 => 1 << draw.below(8),
        _ => 0,
    };
    (len as u32).to_le_bytes().into_iter().chain((0..size).map(|_| byte(draw))).collect()
}

/// Operations in phases of growth and of shrinking.
pub(super) fn op(draw: &mut Draw, shape: &Shape) -> Op {
    let new = key(draw, shape);
    let key_of = |draw: &mut Draw| {
        let new = key(draw, shape);
        draw.known_or(new)
    };
    let (key, value) = (draw.known_or(new.clone()), draw.value(shape));
    let (more, less) = if draw.grows() { (45, 55) } else { (15, 55) };
    match draw.below(100) {
        n if n < more => match draw.one_in(6) {
            true => Op::Put { key, value, flags: draw.update_flags() },
            false => Op::Update { key, value, flags: draw.update_flags() },
        },
        n if n < less => match draw.one_in(6) {
            true => Op::Remove { key },
            false => Op::Delete { key },
        },
        55..65 => Op::See { key: new },
        65..85 => Op::Lookup { key: new, flags: draw.no_flags() },
        85..92 => Op::NextKey { key: from(draw, shape, self::key) },
        92..94 => {
            let n = draw.below(4);
            let (keys, values) = (draw.many(n, key_of), draw.many(n, |d| d.value(shape)));
            Op::UpdateBatch { keys, values, count: n as u32, flags: draw.no_flags() }
        }
        94..96 => {
            let n = draw.below(3);
            Op::DeleteBatch { keys: draw.many(n, key_of), count: n as u32, flags: draw.no_flags() }
        }
        96 => Op::TakeOut { key, flags: draw.no_flags() },
        97 => Op::TakeBatch(draw.read(shape, self::key)),
        _ => Op::ReadBatch(draw.read(shape, |draw, shape| {
            let new = self::key(draw, shape);
            draw.known_or(new)
        })),
    }
}
