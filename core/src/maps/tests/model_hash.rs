//! Hashes and arrays: random operations against a plain model and the kernel's map of the same type.

use super::hash::Random;
use super::kernel::{KernelMap, possible_cpus};
use super::model::{Answer, Contents, Op, Ours, Subject, compare};
use super::*;
use spec::flags::{BPF_ANY, BPF_EXIST, BPF_NOEXIST};
use std::vec::Vec;

const ENOENT: i32 = Errno::ENOENT.0;
const EINVAL: i32 = Errno::EINVAL.0;
const E2BIG: i32 = Errno::E2BIG.0;
const EEXIST: i32 = Errno::EEXIST.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

/// What a hash or an array holds and answers, in the plainest words.
struct Plain {
    elements: Contents,
    spec: MapSpec,
}

impl Plain {
    fn new(spec: &MapSpec, value_size: usize) -> Plain {
        let indices = if is_array(spec) { spec.max_entries } else { 0 };
        let all = (0..indices).map(|i| (i.to_le_bytes().to_vec(), std::vec![0; value_size]));
        Plain { elements: all.collect(), spec: *spec }
    }

    fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> i32 {
        let there = self.elements.contains_key(key);
        match flags {
            3.. => return EINVAL,
            _ if is_array(&self.spec) && !there => return E2BIG,
            BPF_NOEXIST if there => return EEXIST,
            BPF_EXIST if !there => return ENOENT,
            _ if !there && self.elements.len() == self.spec.max_entries as usize => return E2BIG,
            _ => {}
        }
        self.elements.insert(key.to_vec(), value.to_vec());
        0
    }

    fn take(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.elements.remove(key)
    }
}

fn is_array(spec: &MapSpec) -> bool {
    matches!(spec.kind, MapType::Array | MapType::PercpuArray)
}

impl Subject for Plain {
    fn apply(&mut self, op: &Op) -> Answer {
        let (array, key_size) = (is_array(&self.spec), self.spec.key_size as usize);
        match op {
            Op::Lookup { flags: 1.., .. } | Op::TakeOut { flags: 1.., .. } => Answer::errno(EINVAL),
            Op::Lookup { key, .. } => match self.elements.get(key) {
                Some(v) => Answer::value(0, v.clone()),
                None => Answer::errno(ENOENT),
            },
            Op::TakeOut { .. } if array => Answer::errno(ENOTSUPP),
            Op::TakeOut { key, .. } => match self.take(key) {
                Some(v) => Answer::value(0, v),
                None => Answer::errno(ENOENT),
            },
            Op::Update { key, value, flags } => Answer::errno(self.update(key, value, *flags)),
            Op::Delete { .. } if array => Answer::errno(EINVAL),
            Op::Delete { key } => Answer::errno(self.take(key).map_or(ENOENT, |_| 0)),
            Op::UpdateBatch { keys, values, count } => {
                let value_size = values.len() / (*count).max(1) as usize;
                let mut done = 0;
                for (k, v) in
                    keys.chunks(key_size).zip(values.chunks(value_size.max(1))).take(*count as usize)
                {
                    match self.update(k, v, BPF_ANY) {
                        0 => done += 1,
                        errno => return Answer::batch((errno, done)),
                    }
                }
                Answer::batch((0, done))
            }
            Op::DeleteBatch { count, .. } if array => Answer::batch((ENOTSUPP, *count)),
            Op::DeleteBatch { keys, count } => {
                let mut done = 0;
                for k in keys.chunks(key_size).take(*count as usize) {
                    match self.take(k) {
                        Some(_) => done += 1,
                        None => return Answer::batch((ENOENT, done)),
                    }
                }
                Answer::batch((0, done))
            }
            Op::TakeAll if array => Answer::batch((ENOTSUPP, self.spec.max_entries)),
            Op::TakeAll | Op::ReadAll => {
                let all = self.elements.clone();
                if matches!(op, Op::TakeAll) {
                    self.elements.clear();
                }
                // An array does not look beyond what was asked for.
                let errno = if array { 0 } else { ENOENT };
                Answer { errno, count: all.len() as u32, all, ..Answer::default() }
            }
        }
    }

    fn contents(&mut self) -> Contents {
        self.elements.clone()
    }
}

/// Random operations on few keys, so that they meet.
struct Ops {
    random: Random,
    spec: MapSpec,
    value_size: usize,
    left: u32,
}

impl Ops {
    fn key(&mut self) -> Vec<u8> {
        let space = (u64::from(self.spec.max_entries) * 3 / 2 + 2).min(1 << (8 * self.spec.key_size.min(4)));
        super::hash::key_of(self.random.below(space), self.spec.key_size)
    }

    /// A value as bpf(2) has it, zero where it is padding.
    fn value(&mut self) -> Vec<u8> {
        let mut value = std::vec![0; self.value_size];
        for slot in value.chunks_mut(self.spec.slot_value_size()) {
            slot[..self.spec.value_size as usize].fill(self.random.next() as u8);
        }
        value
    }

    fn many<T>(&mut self, n: u64, mut one: impl FnMut(&mut Self) -> Vec<T>) -> Vec<T> {
        (0..n).flat_map(|_| one(self)).collect()
    }
}

impl Iterator for Ops {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        self.left = self.left.checked_sub(1)?;
        let key = self.key();
        let odd = self.random.below(50) == 0;
        Some(match self.random.below(100) {
            0..45 => {
                let flags = [BPF_ANY, BPF_ANY, BPF_NOEXIST, BPF_EXIST][self.random.below(4) as usize];
                let flags = if odd { [3, 4, 8, 1 << 32][self.random.below(4) as usize] } else { flags };
                Op::Update { key, value: self.value(), flags }
            }
            45..65 => Op::Lookup { key, flags: if odd { 1 << self.random.below(34) } else { 0 } },
            65..82 => Op::Delete { key },
            82..90 => Op::TakeOut { key, flags: if odd { 1 << self.random.below(34) } else { 0 } },
            90..94 => {
                let n = self.random.below(5);
                let (keys, values) = (self.many(n, Self::key), self.many(n, Self::value));
                Op::UpdateBatch { keys, values, count: n as u32 }
            }
            94..97 => {
                let n = self.random.below(3);
                Op::DeleteBatch { keys: self.many(n, Self::key), count: n as u32 }
            }
            97..99 => Op::ReadAll,
            _ if odd => Op::TakeAll,
            _ => Op::Delete { key },
        })
    }
}

fn run(spec: &MapSpec, seed: u64) {
    let nr_cpus = possible_cpus();
    let cfg = MapConfig { nr_cpus, writer_slots: nr_cpus + 2, ..config(Heap::leaked()) };
    let map = Map::create("model", 1, spec, &cfg).unwrap();
    let value_size = map.value_buffer_size();
    let left = if cfg!(miri) { 100 } else { 4000 };
    let ops = Ops { random: Random(seed), spec: *spec, value_size, left };
    let mut plain = Plain::new(spec, value_size);
    let mut ours = Ours { map, slot: nr_cpus };
    match KernelMap::create(spec) {
        Some(mut kernel) => compare(&mut [&mut plain, &mut kernel, &mut ours], ops),
        None => compare(&mut [&mut plain, &mut ours], ops),
    }
}

#[test]
fn hashes_answer_as_the_model_and_the_kernel() {
    let shapes = [(1, 1), (3, 3), (4, 8), (8, 16), (12, 5), (16, 8), (17, 24), (40, 64)];
    for kind in [MapType::Hash, MapType::PercpuHash] {
        for (i, (key_size, value_size)) in shapes.into_iter().enumerate() {
            let sizes: &[u32] = if cfg!(miri) { &[7] } else { &[1, 2, 7, 60] };
            for max_entries in sizes {
                run(&spec(kind, key_size, value_size, *max_entries), 0x5151 + i as u64);
            }
        }
    }
}

#[test]
fn arrays_answer_as_the_model_and_the_kernel() {
    for kind in [MapType::Array, MapType::PercpuArray] {
        for (i, (value_size, max_entries)) in [(1, 1), (8, 2), (12, 7), (40, 50)].into_iter().enumerate() {
            run(&spec(kind, 4, value_size, max_entries), 0x777 + i as u64);
        }
    }
}
