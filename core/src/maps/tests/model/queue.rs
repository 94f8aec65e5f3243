//! QUEUE and STACK in the plainest words.

use super::*;
use spec::flags::BPF_EXIST;
use std::collections::VecDeque;

const EINVAL: i32 = Errno::EINVAL.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

struct Queue {
    values: VecDeque<Vec<u8>>,
    spec: MapSpec,
}

pub(super) fn model(shape: Shape) -> Box<dyn Subject> {
    Box::from(Queue { values: VecDeque::new(), spec: shape.spec })
}

impl Queue {
    fn next(&self) -> Option<&Vec<u8>> {
        if self.spec.kind == MapType::Queue { self.values.front() } else { self.values.back() }
    }

    fn push(&mut self, value: &[u8], flags: u64) -> i32 {
        let full = self.values.len() == self.spec.max_entries as usize;
        match flags {
            0 if full => return Errno::E2BIG.0,
            0 => {}
            // The oldest one makes room, of a stack too.
            BPF_EXIST if full => drop(self.values.pop_front()),
            BPF_EXIST => {}
            _ => return EINVAL,
        }
        self.values.push_back(value.to_vec());
        0
    }
}

impl Subject for Queue {
    fn apply(&mut self, op: &Op) -> Answer {
        match op {
            Op::Update { value, flags, .. } | Op::Put { value, flags, .. } => {
                Answer::errno(self.push(value, *flags))
            }
            Op::Lookup { flags: 1.., .. } | Op::TakeOut { flags: 1.., .. } => Answer::errno(EINVAL),
            Op::Lookup { .. } | Op::See { .. } => Answer::found(self.next()),
            Op::TakeOut { .. } | Op::Remove { .. } => {
                let answer = Answer::found(self.next());
                match self.spec.kind {
                    MapType::Queue => self.values.pop_front(),
                    _ => self.values.pop_back(),
                };
                answer
            }
            Op::Delete { .. } | Op::NextKey { .. } => Answer::errno(EINVAL),
            other => lacking(other, ENOTSUPP),
        }
    }

    fn kind(&self) -> MapType {
        self.spec.kind
    }
}

/// Of an operation that a type does not have.
pub(super) fn lacking(op: &Op, errno: i32) -> Answer {
    match op {
        Op::Lookup { flags: 1.., .. } | Op::Ask { flags: 1.., .. } | Op::TakeOut { flags: 1.., .. } => {
            Answer::errno(EINVAL)
        }
        Op::ReadBatch(read) | Op::TakeBatch(read) => Answer::batch((errno, read.room)),
        Op::UpdateBatch { count, .. } | Op::DeleteBatch { count, .. } => Answer::batch((errno, *count)),
        _ => Answer::errno(errno),
    }
}

/// A batch of a type that has none.
pub(super) fn batch(draw: &mut Draw, shape: &Shape) -> Op {
    let key_size = shape.spec.key_size as usize;
    let (keys, values) = (std::vec![0; 2 * key_size], std::vec![0; 2 * shape.value_size]);
    let (elem_flags, flags) = (draw.no_flags(), draw.no_flags());
    let read = Read { elem_flags, flags, ..Op::read_all(&MapSpec { max_entries: 2, ..shape.spec }) };
    let count = draw.below(3) as u32;
    match draw.below(4) {
        0 => Op::UpdateBatch { keys, values, count, flags: draw.no_flags() },
        1 => Op::DeleteBatch { keys, count, flags: draw.no_flags() },
        2 => Op::ReadBatch(read),
        _ => Op::TakeBatch(read),
    }
}

pub(super) fn op(draw: &mut Draw, shape: &Shape) -> Op {
    let key = Vec::new();
    let value = draw.value(shape);
    match draw.below(100) {
        n @ 0..48 => match draw.of(&[0, 2, 0, 2, 0, 2, 0, 1, 3, 4, 8, 1 << 32]) {
            flags if n < 12 => Op::Put { key, value, flags },
            flags => Op::Update { key, value, flags },
        },
        48..60 => Op::Lookup { key, flags: draw.no_flags() },
        60..66 => Op::See { key },
        66..82 => Op::TakeOut { key, flags: draw.no_flags() },
        82..96 => Op::Remove { key },
        96 => Op::Delete { key },
        97 => Op::NextKey { key: None },
        _ => batch(draw, shape),
    }
}
