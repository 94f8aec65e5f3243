//! BLOOM_FILTER: what was pushed is there, and little else.

use super::queue::lacking;
use super::*;
use std::collections::HashSet;

#[derive(Default)]
struct Filter {
    pushed: HashSet<Vec<u8>>,
    /// Questions about values that were not pushed, while no more were than the filter is made for, and how many it took for pushed.
    asked: u32,
    wrong: u32,
    max_entries: usize,
}

pub(super) fn judge(shape: Shape) -> Box<dyn Judge> {
    Box::from(Filter { max_entries: shape.spec.max_entries as usize, ..Filter::default() })
}

impl Judge for Filter {
    fn judge(&mut self, op: &Op, got: &Answer) {
        let want = match op {
            Op::Update { value, flags: 0, .. } => {
                self.pushed.insert(value.clone());
                Answer::errno(0)
            }
            Op::Update { .. } | Op::Ask { flags: 1.., .. } => Answer::errno(Errno::EINVAL.0),
            Op::Ask { value, .. } if self.pushed.contains(value) => Answer::errno(0),
            Op::Ask { .. } => {
                if self.pushed.len() <= self.max_entries {
                    self.asked += 1;
                    self.wrong += u32::from(got.errno == 0);
                }
                Answer::errno(if got.errno == 0 { 0 } else { Errno::ENOENT.0 })
            }
            Op::Delete { .. } | Op::NextKey { .. } => Answer::errno(Errno::EOPNOTSUPP.0),
            other => lacking(other, Errno::ENOTSUPP.0),
        };
        assert_eq!(*got, want, "{op:?}");
    }

    /// Values of four bytes that are drawn at random are those pushed in one of two million cases.
    fn end(&mut self) {
        assert!(self.wrong * 20 < self.asked + 20, "{} false positives of {}", self.wrong, self.asked);
    }
}

pub(super) fn op(draw: &mut Draw, shape: &Shape) -> Op {
    let key = Vec::new();
    // As many as the filter is made for, then questions.
    let value: Vec<u8> = (0..shape.spec.value_size).map(|_| draw.below(256) as u8).collect();
    match draw.below(100) {
        0..20 => Op::Update {
            key,
            value: draw.known_or(value),
            flags: draw.of(&[0, 0, 0, 0, 0, 1, 2, 4, 1 << 40]),
        },
        20..92 => Op::Ask { value: draw.known_or(value), flags: draw.no_flags() },
        92..94 => Op::Delete { key },
        94..96 => Op::NextKey { key: None },
        96..98 => Op::TakeOut { key, flags: draw.no_flags() },
        _ => super::queue::batch(draw, shape),
    }
}
