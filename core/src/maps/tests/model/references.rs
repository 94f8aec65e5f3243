//! Maps of programs, maps, interfaces, CPUs, sockets and perf events, in the plainest words: numbers of the pool.

use super::keyed::{from, next_index, read_in_order};
use super::queue::{batch, lacking};
use super::*;
use spec::flags::{BPF_EXIST, BPF_NOEXIST};

const ENOENT: i32 = Errno::ENOENT.0;
const EBADF: i32 = Errno::EBADF.0;
const EINVAL: i32 = Errno::EINVAL.0;
const E2BIG: i32 = Errno::E2BIG.0;
const EEXIST: i32 = Errno::EEXIST.0;
const ENODEV: i32 = Errno::ENODEV.0;
const EOVERFLOW: i32 = Errno::EOVERFLOW.0;
const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

/// Longest queue of a CPU.
const MAX_QUEUE: u32 = 16384;

/// Entries by key.
struct References {
    entries: Contents,
    shape: Shape,
}

pub(super) fn model(shape: Shape) -> Box<dyn Subject> {
    Box::from(References { entries: Contents::new(), shape })
}

fn words(value: &[u8]) -> [u32; 2] {
    let mut words = value.chunks(4).map(|w| w.try_into().map_or(0, u32::from_le_bytes));
    [words.next().unwrap_or(0), words.next().unwrap_or(0)]
}

impl References {
    fn is_hash(&self) -> bool {
        matches!(self.shape.spec.kind, MapType::HashOfMaps | MapType::DevmapHash)
    }

    /// What an update answers: Ok where the entry is set, or emptied.
    fn check(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), i32> {
        let spec = &self.shape.spec;
        let [first, program] = words(value);
        let beyond = !self.is_hash() && words(key)[0] >= spec.max_entries;
        let there = self.entries.get(key);
        let full = there.is_none() && self.entries.len() == spec.max_entries as usize;
        let answers: &[(bool, i32)] = match spec.kind {
            MapType::ProgArray | MapType::ArrayOfMaps | MapType::PerfEventArray => &[
                (flags != 0, EINVAL),
                (beyond, E2BIG),
                (first == pool::WRONG, if spec.kind == MapType::ArrayOfMaps { EINVAL } else { EBADF }),
            ],
            MapType::HashOfMaps => &[
                (first == pool::WRONG || flags > BPF_EXIST, EINVAL),
                (flags == BPF_NOEXIST && there.is_some(), EEXIST),
                (flags == BPF_EXIST && there.is_none(), ENOENT),
                (full, E2BIG),
            ],
            MapType::DevmapHash => &[
                (flags > BPF_EXIST || first == 0, EINVAL),
                (flags == BPF_NOEXIST && there.is_some(), EEXIST),
                // BPF_EXIST creates what is not there.
                (full, E2BIG),
            ],
            // An entry of a device or CPU map always exists.
            MapType::Devmap => &[
                (flags > BPF_EXIST, EINVAL),
                (beyond, E2BIG),
                (flags == BPF_NOEXIST, EEXIST),
                (first == 0 && program != 0, EINVAL),
            ],
            MapType::Cpumap => &[
                (flags > BPF_EXIST, EINVAL),
                (beyond, E2BIG),
                (flags == BPF_NOEXIST, EEXIST),
                (first > MAX_QUEUE, EOVERFLOW),
                (words(key)[0] >= self.shape.nr_cpus, ENODEV),
            ],
            // The same socket once more is no change, whatever the flags say.
            MapType::Xskmap => &[
                (flags > BPF_EXIST, EINVAL),
                (beyond, E2BIG),
                (flags == BPF_NOEXIST && there.is_some_and(|v| v != value), EEXIST),
                (flags == BPF_EXIST && there.is_none(), ENOENT),
            ],
            other => unreachable!("{other:?} holds no references"),
        };
        answers.iter().find(|(is, _)| *is).map_or(Ok(()), |(_, errno)| Err(*errno))
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> i32 {
        if let Err(errno) = self.check(key, value, flags) {
            return errno;
        }
        let is_none =
            matches!(self.shape.spec.kind, MapType::Devmap | MapType::Cpumap) && words(value)[0] == 0;
        match is_none {
            true => self.entries.remove(key),
            false => self.entries.insert(key.to_vec(), value.to_vec()),
        };
        0
    }

    fn delete(&mut self, key: &[u8]) -> i32 {
        let there = self.entries.remove(key).is_some();
        let beyond = words(key)[0] >= self.shape.spec.max_entries;
        match self.shape.spec.kind {
            MapType::Devmap | MapType::Cpumap | MapType::Xskmap => {
                if beyond {
                    EINVAL
                } else {
                    0
                }
            }
            MapType::ProgArray | MapType::ArrayOfMaps | MapType::PerfEventArray if beyond => E2BIG,
            _ if there => 0,
            _ => ENOENT,
        }
    }

    fn read(&mut self, op: &Op) -> Answer {
        match op {
            Op::ReadBatch(read) if read.elem_flags != 0 => Answer::batch((EINVAL, read.room)),
            Op::ReadBatch(read) if self.shape.spec.kind == MapType::ArrayOfMaps => read_in_order(
                read,
                |k| next_index(k, self.shape.spec.max_entries),
                |k| self.entries.get(k).cloned(),
            ),
            Op::ReadBatch(read) | Op::TakeBatch(read) if read.elem_flags | read.flags != 0 => {
                Answer::batch((EINVAL, read.room))
            }
            Op::DeleteBatch { count, flags: 1.., .. } => Answer::batch((EINVAL, *count)),
            Op::DeleteBatch { keys, count, .. } => {
                for (done, key) in
                    keys.chunks(self.shape.spec.key_size as usize).take(*count as usize).enumerate()
                {
                    if self.delete(key) != 0 {
                        return Answer::batch((ENOENT, done as u32));
                    }
                }
                Answer::batch((0, *count))
            }
            _ => {
                let all: Vec<_> = self.entries.clone().into_iter().collect();
                if matches!(op, Op::TakeBatch(_)) {
                    self.entries.clear();
                }
                Answer { errno: ENOENT, count: all.len() as u64, all, ..Answer::default() }
            }
        }
    }
}

impl Subject for References {
    fn apply(&mut self, op: &Op) -> Answer {
        let kind = self.shape.spec.kind;
        match op {
            Op::Lookup { flags: 1.., .. } => Answer::errno(EINVAL),
            Op::Lookup { .. } if kind == MapType::PerfEventArray => Answer::errno(ENOTSUPP),
            Op::Lookup { .. } if kind == MapType::Xskmap => Answer::errno(EOPNOTSUPP),
            Op::Lookup { key, .. } => Answer::found(self.entries.get(key)),
            Op::Update { key, value, flags } => Answer::errno(self.update(key, value, *flags)),
            Op::Delete { key } => Answer::errno(self.delete(key)),
            Op::NextKey { .. } if self.is_hash() => {
                Answer::errno(if self.entries.is_empty() { ENOENT } else { 0 })
            }
            Op::NextKey { key } => next_index(key.as_deref(), self.shape.spec.max_entries)
                .map_or(Answer::errno(ENOENT), |k| Answer::value(0, k)),
            Op::ReadBatch(_) if kind == MapType::ArrayOfMaps => self.read(op),
            Op::ReadBatch(_) | Op::TakeBatch(_) | Op::DeleteBatch { .. } if kind == MapType::HashOfMaps => {
                self.read(op)
            }
            other => lacking(other, ENOTSUPP),
        }
    }

    fn kind(&self) -> MapType {
        self.shape.spec.kind
    }

    fn contents(&mut self) -> Contents {
        let all = self.entries.clone();
        if self.shape.spec.kind == MapType::PerfEventArray {
            self.entries.clear();
            return all.into_keys().map(|k| (k, Vec::new())).collect();
        }
        all
    }
}

fn key(draw: &mut Draw, shape: &Shape) -> Vec<u8> {
    (draw.below(u64::from(shape.spec.max_entries) + 3) as u32).to_le_bytes().to_vec()
}

/// A value in numbers of the pool.
fn value(draw: &mut Draw, shape: &Shape) -> Vec<u8> {
    let any = 1 + draw.below(pool::SIZE.into()) as u32;
    let odd = draw.one_in(6);
    let first = match shape.spec.kind {
        // Kernel: an interface and a socket have to exist; uxdp: they are numbers. So none is asked for that does not.
        MapType::Devmap | MapType::DevmapHash if odd => 0,
        MapType::Cpumap => draw.of(&[0, 1, 64, MAX_QUEUE, MAX_QUEUE + 1]),
        MapType::ArrayOfMaps | MapType::HashOfMaps | MapType::PerfEventArray if odd => pool::WRONG,
        _ => any,
    };
    let program = draw.below(u64::from(pool::SIZE) + 1) as u32;
    [first, program].into_iter().flat_map(u32::to_le_bytes).take(shape.value_size).collect()
}

pub(super) fn op(draw: &mut Draw, shape: &Shape) -> Op {
    let kind = shape.spec.kind;
    let key_of = |draw: &mut Draw| key(draw, shape);
    let key = key_of(draw);
    match draw.below(100) {
        0..45 => Op::Update { key, value: value(draw, shape), flags: flags(draw, kind) },
        45..62 => Op::Lookup { key, flags: draw.no_flags() },
        62..80 => Op::Delete { key },
        80..88 => Op::NextKey { key: from(draw, shape, self::key) },
        88..92 => Op::TakeOut { key, flags: draw.no_flags() },
        92..96 if matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps) => {
            Op::ReadBatch(draw.read(shape, self::key))
        }
        92..94 if kind == MapType::HashOfMaps => Op::TakeBatch(draw.read(shape, self::key)),
        94..97 if kind == MapType::HashOfMaps => {
            let n = draw.below(3);
            Op::DeleteBatch { keys: draw.many(n, key_of), count: n as u32, flags: draw.no_flags() }
        }
        _ => match batch(draw, shape) {
            // Kernel: maps of maps take descriptors in a batch; uxdp: no numbers, see docs/maps.md.
            Op::UpdateBatch { .. } if matches!(kind, MapType::ArrayOfMaps | MapType::HashOfMaps) => {
                Op::Delete { key }
            }
            // With room for everything, as above.
            Op::ReadBatch(_) | Op::TakeBatch(_) if kind == MapType::HashOfMaps => Op::Delete { key },
            batch => batch,
        },
    }
}

/// Mostly none, where a type knows none.
fn flags(draw: &mut Draw, kind: MapType) -> u64 {
    match kind {
        MapType::ProgArray | MapType::ArrayOfMaps | MapType::PerfEventArray if !draw.one_in(8) => 0,
        _ => draw.update_flags(),
    }
}
