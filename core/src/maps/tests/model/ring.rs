//! RINGBUF and USER_RINGBUF: records in order, exactly where all take the same room, since then none meets the data's end.
//!
//! Kernel: a record may wrap; uxdp: it never does, what is left at the end is a filler. So positions and refusals of records of any length are not the same, and the rows with those have a judge.

use super::queue::lacking;
use super::*;
use std::collections::VecDeque;

const EINVAL: i32 = Errno::EINVAL.0;
const EAGAIN: i32 = Errno::EAGAIN.0;
const E2BIG: i32 = Errno::E2BIG.0;
const ENOSPC: i32 = Errno::ENOSPC.0;
const ENOTSUPP: i32 = Errno::ENOTSUPP.0;

/// Bytes that a record takes.
fn taken(len: u32) -> u64 {
    (u64::from(len) + 8).next_multiple_of(8)
}

/// Whether these are flags of waking.
fn wakes(flags: u64) -> bool {
    flags & !3 == 0
}

/// What is in the ring.
struct Ring {
    records: VecDeque<(Vec<u8>, End)>,
    consumed: u64,
    produced: u64,
    spec: MapSpec,
    /// Whether the last consumer left nothing, and nobody produced since.
    empty: bool,
}

impl Ring {
    fn of(shape: Shape) -> Ring {
        Ring { records: VecDeque::new(), consumed: 0, produced: 0, spec: shape.spec, empty: true }
    }

    fn is_user(&self) -> bool {
        self.spec.kind == MapType::UserRingbuf
    }

    fn size(&self) -> u64 {
        self.spec.max_entries.into()
    }

    /// What a producer is told. One byte less than the data is the most of a ring; a user ring may be full.
    fn room(&self, len: u32, end: End, flags: u64) -> i32 {
        let behind = self.produced - self.consumed + taken(len);
        match self.is_user() {
            true if taken(len) > self.size() => E2BIG,
            true if behind > self.size() => ENOSPC,
            false if end == End::Output && !wakes(flags) => EINVAL,
            false if behind >= self.size() => EAGAIN,
            _ => 0,
        }
    }

    fn put(&mut self, len: u32, fill: u8, end: End) {
        self.records.push_back((std::vec![fill; len as usize], end));
        self.produced += taken(len);
        self.empty = false;
    }

    fn consume(&mut self, most: u32, flags: u64) -> Answer {
        let mut records = Vec::new();
        if most > 0 && self.is_user() && !wakes(flags) {
            return Answer::errno(EINVAL);
        }
        while records.len() < most as usize {
            let Some((record, end)) = self.records.pop_front() else {
                self.empty = true;
                break;
            };
            self.consumed += taken(record.len() as u32);
            if end != End::Discard {
                records.push(record);
            }
        }
        Answer { count: records.len() as u64, records, ..Answer::default() }
    }

    fn query(&self, what: u64) -> u64 {
        [self.produced - self.consumed, self.size(), self.consumed, self.produced]
            .get(what as usize)
            .copied()
            .unwrap_or(0)
    }
}

pub(super) fn model(shape: Shape) -> Box<dyn Subject> {
    Box::from(Ring::of(shape))
}

pub(super) fn judge(shape: Shape) -> Box<dyn Judge> {
    Box::from(Ring::of(shape))
}

impl Subject for Ring {
    fn apply(&mut self, op: &Op) -> Answer {
        match *op {
            Op::Produce { len, fill, end, flags } => {
                let errno = self.room(len, end, flags);
                if errno == 0 {
                    self.put(len, fill, end);
                }
                Answer::errno(errno)
            }
            Op::Consume { most, flags } => self.consume(most, flags),
            Op::Query { what } => Answer { count: self.query(what), ..Answer::default() },
            _ => lacking(op, ENOTSUPP),
        }
    }

    fn kind(&self) -> MapType {
        self.spec.kind
    }
}

impl Judge for Ring {
    fn judge(&mut self, op: &Op, got: &Answer) {
        match *op {
            Op::Produce { len, fill, end, flags } => {
                let want = self.room(len, end, flags);
                // What has to be passed before a record finds its place takes room, too.
                let may_be_refused = !self.empty || 2 * taken(len) >= self.size();
                let refused = if self.is_user() { ENOSPC } else { EAGAIN };
                assert!(
                    got.errno == want || want == 0 && may_be_refused && got.errno == refused,
                    "{op:?} {got:?}"
                );
                match got.errno {
                    0 => self.put(len, fill, end),
                    _ => self.empty = false,
                }
            }
            Op::Query { what: what @ 0..4 } if what != 1 => {
                let least = if what == 0 { self.query(what) } else { 0 };
                assert!(got.count >= least && got.count.is_multiple_of(8), "{op:?} {got:?}");
                assert!(what != 0 || got.count <= self.size());
            }
            _ => assert_eq!(*got, self.apply(op), "{op:?}"),
        }
    }
}

/// Records that all take `ROOM` bytes, and seldom one that is longer than the ring.
pub(super) fn op_of<const ROOM: u32>(draw: &mut Draw, shape: &Shape) -> Op {
    let len = ROOM - 8 - draw.below(8) as u32;
    match draw.below(60) {
        0 => {
            // A user ring may be full.
            let over = if shape.spec.kind == MapType::UserRingbuf { 0 } else { 8 };
            Op::Produce { len: shape.spec.max_entries - over, fill: 1, end: End::Submit, flags: 0 }
        }
        _ => op(draw, shape, len, len),
    }
}

/// Records of any length.
pub(super) fn op_of_any(draw: &mut Draw, shape: &Shape) -> Op {
    let (output, reserved) = (draw.below(2000) as u32, draw.of(&[0, 1, 8, 100, 700, 1500]));
    op(draw, shape, output, reserved)
}

fn op(draw: &mut Draw, shape: &Shape, output: u32, reserved: u32) -> Op {
    let user = shape.spec.kind == MapType::UserRingbuf;
    let flags = draw.of(&[0, 0, 0, 1, 2, 3, 4, 1 << 32]);
    let fill = draw.below(256) as u8;
    match draw.below(100) {
        0..35 if !user => Op::Produce { len: output, fill, end: End::Output, flags },
        0..50 => Op::Produce { len: if user { output } else { reserved }, fill, end: End::Submit, flags },
        50..60 => Op::Produce { len: reserved, fill, end: End::Discard, flags },
        60..82 => Op::Consume { most: draw.of(&[1, 2, 5, 5, 1000]), flags },
        82..92 if !user => Op::Query { what: draw.below(6) },
        82..92 => Op::Consume { most: 1, flags: 0 },
        92..96 => super::queue::batch(draw, shape),
        96 => Op::Lookup { key: Vec::new(), flags: draw.no_flags() },
        97 => Op::Update { key: Vec::new(), value: Vec::new(), flags: 0 },
        98 => Op::Delete { key: Vec::new() },
        _ => Op::NextKey { key: None },
    }
}
