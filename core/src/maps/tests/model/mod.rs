//! One model test for all types: random operations are given to our map, to the kernel's own of the same type and to a plain model, and every answer and the contents are compared.
//!
//! [`rows::rows`] is the table: a type and its shape, its model, its operations, and what of an answer counts. Where a type leaves nothing open, every answer and all contents
//! are the model's ([`Judged::Exactly`]). Where it does (which key an LRU evicts, what else a filter takes for pushed, where a ring's record has no room), ours and the kernel's have a
//! judge each, who knows what was answered before and what must hold ([`Judged::ByInvariants`]). The order of a hash's keys is in no answer.
//!
//! `UXDP_ROUNDS` says how many operations a row has, `UXDP_SEED` is another sequence.

mod access;
mod bloom;
mod draw;
mod keyed;
mod lru;
mod op;
mod ours;
pub(in crate::maps) mod pool;
mod queue;
mod references;
mod ring;
mod rows;
mod table;
mod trie;

use super::kernel::{Theirs, possible_cpus};
use super::*;
use draw::Draw;
pub(in crate::maps) use op::{Answer, Contents, End, Op, Read, is_ordered};
pub(in crate::maps) use ours::Ours;
use std::boxed::Box;
use std::io::Write;
use std::vec::Vec;

/// Whatever can be asked like a map.
pub(in crate::maps) trait Subject {
    fn apply(&mut self, op: &Op) -> Answer;

    fn kind(&self) -> MapType;

    /// The key behind another one, without more ado.
    fn walk(&mut self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let next = self.apply(&Op::NextKey { key: key.map(<[u8]>::to_vec) });
        (next.errno == 0).then_some(next.bytes)
    }

    /// What the entries of a socket map lead to, which no lookup tells.
    fn all_sockets(&mut self) -> Contents {
        Contents::new()
    }

    /// Everything, read key by key. A queue is emptied and filled again, a perf event array stays empty, filters and rings have nothing to show.
    fn contents(&mut self) -> Contents {
        let number = |n: usize| (n as u64).to_be_bytes().to_vec();
        match self.kind() {
            MapType::Xskmap => return self.all_sockets(),
            MapType::BloomFilter | MapType::Ringbuf | MapType::UserRingbuf => return Contents::new(),
            kind @ (MapType::Queue | MapType::Stack) => {
                let take =
                    |_| Some(self.apply(&Op::TakeOut { key: Vec::new(), flags: 0 })).filter(|a| a.errno == 0);
                let all: Vec<Vec<u8>> = (0..).map_while(take).map(|a| a.bytes).collect();
                let mut back = all.clone();
                if kind == MapType::Stack {
                    back.reverse();
                }
                for value in back {
                    assert_eq!(self.apply(&Op::Update { key: Vec::new(), value, flags: 0 }).errno, 0);
                }
                return all.into_iter().enumerate().map(|(i, v)| (number(i), v)).collect();
            }
            _ => {}
        }
        let mut all = Contents::new();
        let mut key: Option<Vec<u8>> = None;
        while let Some(next) = self.walk(key.as_deref()) {
            let there = match self.kind() {
                MapType::PerfEventArray => self.apply(&Op::Delete { key: next.clone() }),
                _ => self.apply(&Op::Lookup { key: next.clone(), flags: 0 }),
            };
            if there.errno == 0 {
                assert!(all.insert(next.clone(), there.bytes).is_none(), "a walk meets a key twice");
            }
            key = Some(next);
        }
        all
    }
}

/// Who knows what may be answered where a type leaves something open; each subject has one of its own.
trait Judge {
    /// # Panics
    /// Where that may not be answered.
    fn judge(&mut self, op: &Op, got: &Answer);

    fn judge_contents(&mut self, _all: &Contents) {}

    /// After the last operation.
    fn end(&mut self) {}
}

/// A row's map, as models and operations want to know it.
#[derive(Clone, Copy)]
struct Shape {
    spec: MapSpec,
    /// Bytes of a value as bpf(2) has it.
    value_size: usize,
    nr_cpus: u32,
}

/// What of a row's answers counts.
#[derive(Clone, Copy)]
enum Judged {
    Exactly(fn(Shape) -> Box<dyn Subject>),
    ByInvariants(fn(Shape) -> Box<dyn Judge>),
}

/// A type in one shape.
struct Row {
    spec: MapSpec,
    op: fn(&mut Draw, &Shape) -> Op,
    judged: Judged,
    /// Operations, unless `UXDP_ROUNDS` says otherwise.
    rounds: u32,
}

/// Ours and the kernel's, where that is to be had.
fn subjects(spec: &MapSpec) -> (Shape, Vec<Box<dyn Subject>>) {
    let nr_cpus = possible_cpus();
    let cfg = MapConfig { nr_cpus, writer_slots: nr_cpus + 2, ..config(Heap::leaked()) };
    let map = Map::create("model", 1, spec, &cfg).unwrap();
    let shape = Shape { spec: *map.spec(), value_size: map.value_buffer_size(), nr_cpus };
    let mut subjects: Vec<Box<dyn Subject>> =
        Vec::from([Box::from(Ours::new(map, 0..nr_cpus + 2)) as Box<dyn Subject>]);
    if let Some(kernel) = Theirs::create(spec) {
        subjects.push(Box::from(kernel));
    }
    (shape, subjects)
}

const NAMES: [&str; 2] = ["ours", "the kernel's"];

impl Row {
    fn run(&self, seed: u64) {
        let (shape, mut subjects) = subjects(&self.spec);
        let rounds = super::number("UXDP_ROUNDS").map_or(self.rounds, |n| n as u32);
        let mut draw = Draw::new(seed);
        let ops = (0..if cfg!(miri) { 100 } else { rounds }).map(|_| draw.op(self.op, &shape));
        match &self.judged {
            Judged::Exactly(model) => {
                compare(&mut *access::bound(model(shape), self.spec.flags), &mut subjects, ops);
            }
            Judged::ByInvariants(judge) => {
                let mut judges: Vec<_> = subjects.iter().map(|_| judge(shape)).collect();
                judge_all(&mut judges, &mut subjects, ops);
            }
        }
    }
}

/// Gives every operation to all; the model's answer is what the others have to say too.
fn compare(model: &mut dyn Subject, subjects: &mut [Box<dyn Subject>], ops: impl Iterator<Item = Op>) {
    let same_contents = |model: &mut dyn Subject, subjects: &mut [Box<dyn Subject>], nth: usize| {
        let want = model.contents();
        for (subject, name) in subjects.iter_mut().zip(NAMES) {
            assert_eq!(subject.contents(), want, "contents of {name} (left) and the model, operation {nth}");
        }
    };
    for (nth, op) in ops.enumerate() {
        let want = model.apply(&op);
        for (subject, name) in subjects.iter_mut().zip(NAMES) {
            let got = subject.apply(&op);
            assert_eq!(got, want, "operation {nth}, {name} (left) and the model: {op:?}");
        }
        if nth % 500 == 0 {
            same_contents(model, subjects, nth);
        }
    }
    same_contents(model, subjects, usize::MAX);
}

/// Says what was judged when the judge did not like it.
struct Judging<'a>(&'a str, usize, &'a Op, &'a Answer);

impl Drop for Judging<'_> {
    fn drop(&mut self) {
        let Judging(name, nth, op, got) = self;
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "operation {nth}, {name}: {op:?} answered {got:?}");
        }
    }
}

/// The same where each has a judge.
fn judge_all(
    judges: &mut [Box<dyn Judge>],
    subjects: &mut [Box<dyn Subject>],
    ops: impl Iterator<Item = Op>,
) {
    for (nth, op) in ops.enumerate() {
        for ((judge, subject), name) in judges.iter_mut().zip(subjects.iter_mut()).zip(NAMES) {
            let got = subject.apply(&op);
            let _judging = Judging(name, nth, &op, &got);
            judge.judge(&op, &got);
            if nth % 100 == 0 {
                judge.judge_contents(&subject.contents());
            }
        }
    }
    for (judge, subject) in judges.iter_mut().zip(subjects) {
        judge.judge_contents(&subject.contents());
        judge.end();
    }
}
