//! HASH, PERCPU_HASH, ARRAY and PERCPU_ARRAY in the plainest words, and their random operations.

use super::super::hash::key_of;
use super::*;
use spec::flags::{BPF_ANY, BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST};

const ENOENT: i32 = Errno::ENOENT.0;
const EINVAL: i32 = Errno::EINVAL.0;
const E2BIG: i32 = Errno::E2BIG.0;
const EEXIST: i32 = Errno::EEXIST.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

/// Who updates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Control,
    Program,
}

/// What a hash or an array holds and answers.
struct Keyed {
    elements: Contents,
    shape: Shape,
    is_array: bool,
    has_lock: bool,
}

pub(super) fn model(shape: Shape) -> Box<dyn Subject> {
    let is_array = matches!(shape.spec.kind, MapType::Array | MapType::PercpuArray);
    let indices = if is_array { shape.spec.max_entries } else { 0 };
    let all = (0..indices).map(|i| (i.to_le_bytes().to_vec(), std::vec![0; shape.value_size]));
    let has_lock = shape.spec.fields.spin_lock.is_some();
    Box::from(Keyed { elements: all.collect(), shape, is_array, has_lock })
}

/// The value of CPU 0 in all values.
pub(super) fn own(shape: &Shape, all: &[u8]) -> Vec<u8> {
    all[..shape.spec.value_size as usize].to_vec()
}

/// What a program's update on CPU 0 makes of all values.
pub(super) fn put(shape: &Shape, old: Option<&Vec<u8>>, value: &[u8]) -> Vec<u8> {
    let mut all = old.cloned().unwrap_or_else(|| std::vec![0; shape.value_size]);
    all[..value.len()].copy_from_slice(value);
    all
}

/// A read batch of a type whose elements have an order, as `next` tells it.
pub(super) fn read_in_order(
    read: &Read,
    next: impl Fn(Option<&[u8]>) -> Option<Vec<u8>>,
    value: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Answer {
    let (mut all, mut at) = (Vec::new(), read.from.clone());
    let mut errno = 0;
    while all.len() < read.room as usize {
        let Some(key) = next(at.as_deref()) else {
            errno = ENOENT;
            break;
        };
        all.extend(value(&key).map(|v| (key.clone(), v)));
        at = Some(key);
    }
    let bytes = if all.is_empty() { Vec::new() } else { at.unwrap_or_default() };
    Answer { errno, count: all.len() as u64, bytes, all, ..Answer::default() }
}

/// The index behind another one, as arrays have it.
pub(super) fn next_index(key: Option<&[u8]>, max_entries: u32) -> Option<Vec<u8>> {
    let next = match key.map(|k| u32::from_le_bytes(k.try_into().unwrap())) {
        Some(last) if last == max_entries - 1 => return None,
        Some(index) if index < max_entries => index + 1,
        _ => 0,
    };
    Some(next.to_le_bytes().to_vec())
}

impl Keyed {
    /// Whether these flags of a lookup or a batch are wrong.
    fn is_wrong(&self, flags: u64) -> bool {
        flags & !BPF_F_LOCK != 0 || flags != 0 && !self.has_lock
    }

    /// The flag of locks in a map that has none is what bpf(2) sees first, and an array last where a program gives it.
    fn check_update(&self, key: &[u8], flags: u64, by: By) -> i32 {
        let there = self.elements.contains_key(key);
        let lock = flags & BPF_F_LOCK != 0 && !self.has_lock;
        if lock && (by == By::Control || !self.is_array) {
            return EINVAL;
        }
        match flags & !BPF_F_LOCK {
            3.. => EINVAL,
            _ if self.is_array && !there => E2BIG,
            BPF_NOEXIST if there => EEXIST,
            BPF_EXIST if !there => ENOENT,
            _ if !there && self.elements.len() == self.shape.spec.max_entries as usize => E2BIG,
            _ if lock => EINVAL,
            _ => 0,
        }
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64, by: By) -> i32 {
        let errno = self.check_update(key, flags, by);
        if errno == 0 {
            let mut value = value.to_vec();
            if let Some(at) = self.shape.spec.fields.spin_lock {
                value[at as usize..][..4].fill(0);
            }
            self.elements.insert(key.to_vec(), value);
        }
        errno
    }

    fn take(&mut self, key: &[u8]) -> Answer {
        self.elements.remove(key).map_or(Answer::errno(ENOENT), |v| Answer::value(0, v))
    }

    fn write_batch(&mut self, keys: &[u8], values: &[u8], count: u32, flags: u64) -> Answer {
        let pairs = keys.chunks(self.shape.spec.key_size as usize).zip(values.chunks(self.shape.value_size));
        for (done, (k, v)) in pairs.take(count as usize).enumerate() {
            match self.update(k, v, flags, By::Control) {
                0 => {}
                errno => return Answer::batch((errno, done as u32)),
            }
        }
        Answer::batch((0, count))
    }

    fn delete_batch(&mut self, keys: &[u8], count: u32) -> Answer {
        for (done, k) in keys.chunks(self.shape.spec.key_size as usize).take(count as usize).enumerate() {
            match self.take(k).errno {
                0 => {}
                errno => return Answer::batch((errno, done as u32)),
            }
        }
        Answer::batch((0, count))
    }

    fn read(&mut self, take: bool) -> Answer {
        let all: Vec<_> = self.elements.clone().into_iter().collect();
        if take {
            self.elements.clear();
        }
        Answer { errno: ENOENT, count: all.len() as u64, all, ..Answer::default() }
    }
}

impl Subject for Keyed {
    fn apply(&mut self, op: &Op) -> Answer {
        let max_entries = self.shape.spec.max_entries;
        match op {
            Op::Lookup { flags, .. } | Op::TakeOut { flags, .. } if self.is_wrong(*flags) => {
                Answer::errno(EINVAL)
            }
            Op::Lookup { key, .. } => Answer::found(self.elements.get(key)),
            Op::TakeOut { .. } if self.is_array => Answer::errno(ENOTSUPP),
            Op::TakeOut { key, .. } => self.take(key),
            Op::Update { key, value, flags } => Answer::errno(self.update(key, value, *flags, By::Control)),
            Op::Delete { .. } | Op::Remove { .. } if self.is_array => Answer::errno(EINVAL),
            Op::Delete { key } | Op::Remove { key } => Answer::errno(self.take(key).errno),
            Op::NextKey { key } if self.is_array => {
                next_index(key.as_deref(), max_entries).map_or(Answer::errno(ENOENT), |k| Answer::value(0, k))
            }
            Op::NextKey { .. } => Answer::errno(if self.elements.is_empty() { ENOENT } else { 0 }),
            Op::DeleteBatch { count, .. } if self.is_array => Answer::batch((ENOTSUPP, *count)),
            Op::TakeBatch(read) if self.is_array => Answer::batch((ENOTSUPP, read.room)),
            Op::UpdateBatch { count, flags, .. } | Op::DeleteBatch { count, flags, .. }
                if self.is_wrong(*flags) =>
            {
                Answer::batch((EINVAL, *count))
            }
            Op::UpdateBatch { keys, values, count, flags } => self.write_batch(keys, values, *count, *flags),
            Op::DeleteBatch { keys, count, .. } => self.delete_batch(keys, *count),
            Op::ReadBatch(read) | Op::TakeBatch(read)
                if self.is_wrong(read.elem_flags) || read.flags != 0 && !self.is_array =>
            {
                Answer::batch((EINVAL, read.room))
            }
            Op::ReadBatch(read) if self.is_array => {
                read_in_order(read, |k| next_index(k, max_entries), |k| self.elements.get(k).cloned())
            }
            Op::ReadBatch(_) => self.read(false),
            Op::TakeBatch(_) => self.read(true),
            Op::See { key } => Answer::found(self.elements.get(key).map(|v| own(&self.shape, v)).as_ref()),
            Op::Put { key, value, flags } => {
                let all = put(&self.shape, self.elements.get(key), value);
                Answer::errno(self.update(key, &all, *flags, By::Program))
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn kind(&self) -> MapType {
        self.shape.spec.kind
    }

    fn contents(&mut self) -> Contents {
        self.elements.clone()
    }
}

/// One of few keys, so that they meet; of arrays also one that is none.
fn key(draw: &mut Draw, shape: &Shape) -> Vec<u8> {
    let spec = &shape.spec;
    let space = (u64::from(spec.max_entries) * 3 / 2 + 2).min(1 << (8 * spec.key_size.min(4)));
    key_of(draw.below(space), spec.key_size)
}

/// None, or of hashes one that is not there.
pub(super) fn from(draw: &mut Draw, shape: &Shape, key: fn(&mut Draw, &Shape) -> Vec<u8>) -> Option<Vec<u8>> {
    match is_ordered(shape.spec.kind) {
        _ if draw.one_in(3) => None,
        true => Some(key(draw, shape)),
        false => Some(std::vec![0xff; shape.spec.key_size as usize]),
    }
}

/// Operations on one of few keys.
pub(super) fn op(draw: &mut Draw, shape: &Shape) -> Op {
    let value = |draw: &mut Draw| draw.value(shape);
    let key_of = |draw: &mut Draw| key(draw, shape);
    let key = key_of(draw);
    match draw.below(100) {
        0..36 => Op::Update { key, value: value(draw), flags: draw.update_flags() },
        36..50 => Op::Lookup { key, flags: draw.no_flags() },
        50..64 => Op::Delete { key },
        64..70 => Op::TakeOut { key, flags: draw.no_flags() },
        70..74 => {
            let n = draw.below(5);
            let (keys, values) = (draw.many(n, key_of), draw.many(n, value));
            Op::UpdateBatch { keys, values, count: n as u32, flags: draw.no_flags() }
        }
        74..77 => {
            let n = draw.below(3);
            Op::DeleteBatch { keys: draw.many(n, key_of), count: n as u32, flags: draw.no_flags() }
        }
        77..80 => Op::ReadBatch(draw.read(shape, self::key)),
        80 => Op::TakeBatch(draw.read(shape, self::key)),
        81..85 => Op::NextKey { key: from(draw, shape, self::key) },
        85..90 => Op::See { key },
        90..96 => {
            let own = own(shape, &value(draw));
            Op::Put { key, value: own, flags: draw.update_flags() }
        }
        _ => Op::Remove { key },
    }
}

/// The same of a map whose values have a lock, which only programs with types may use.
pub(super) fn op_under_lock(draw: &mut Draw, shape: &Shape) -> Op {
    let lock = if draw.one_in(2) { BPF_F_LOCK } else { BPF_ANY };
    let mut op = op(draw, shape);
    match &mut op {
        Op::Lookup { flags, .. }
        | Op::TakeOut { flags, .. }
        | Op::Update { flags, .. }
        | Op::UpdateBatch { flags, .. }
        | Op::DeleteBatch { flags, .. } => *flags |= lock,
        Op::ReadBatch(read) | Op::TakeBatch(read) => read.elem_flags |= lock,
        Op::NextKey { .. } | Op::Delete { .. } => {}
        Op::See { .. } | Op::Put { .. } | Op::Remove { .. } => return op_under_lock(draw, shape),
        other => unreachable!("{other:?}"),
    }
    op
}
