//! Choices of a row's operations.

use super::super::Random;
use super::{Op, Read, Shape};
use std::vec::Vec;

/// Keys that are remembered.
const PAST: usize = 600;

/// Where random operations come from.
pub(super) struct Draw {
    random: Random,
    step: u32,
    /// Keys of before, since most of those that are drawn anew are not there.
    past: Vec<Vec<u8>>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Draw {
        Draw { random: Random(seed), step: 0, past: Vec::new() }
    }

    pub(super) fn op(&mut self, op: fn(&mut Draw, &Shape) -> Op, shape: &Shape) -> Op {
        self.step += 1;
        op(self, shape)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.random.below(n)
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        self.random.of(choices)
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Whether this is a phase in which more comes than goes.
    pub(super) fn grows(&self) -> bool {
        (self.step / 700).is_multiple_of(2)
    }

    /// A key of before, as often as not, or the new one.
    pub(super) fn known_or(&mut self, new: Vec<u8>) -> Vec<u8> {
        if !self.past.is_empty() && self.one_in(2) {
            let n = self.below(self.past.len() as u64) as usize;
            return self.past[n].clone();
        }
        let at = self.below(PAST as u64) as usize;
        match self.past.get_mut(at) {
            Some(old) => *old = new.clone(),
            None => self.past.push(new.clone()),
        }
        new
    }

    /// A value as bpf(2) has it, zero where it is padding.
    pub(super) fn value(&mut self, shape: &Shape) -> Vec<u8> {
        let mut value = std::vec![0; shape.value_size];
        for slot in value.chunks_mut(shape.spec.slot_value_size()) {
            slot[..shape.spec.value_size as usize].fill(self.random.next() as u8);
        }
        value
    }

    /// Flags of an update, wrong ones among them.
    pub(super) fn update_flags(&mut self) -> u64 {
        if self.one_in(12) { self.of(&[3, 4, 5, 6, 8, 1 << 32, u64::MAX]) } else { self.of(&[0, 0, 1, 2]) }
    }

    /// Mostly no flags.
    pub(super) fn no_flags(&mut self) -> u64 {
        if self.one_in(20) { 1 << self.below(34) } else { 0 }
    }

    pub(super) fn many(&mut self, n: u64, mut one: impl FnMut(&mut Self) -> Vec<u8>) -> Vec<u8> {
        (0..n).flat_map(|_| one(self)).collect()
    }

    /// A read batch: of an ordered type of any room, from anywhere.
    pub(super) fn read(&mut self, shape: &Shape, key: fn(&mut Draw, &Shape) -> Vec<u8>) -> Read {
        let mut read = Op::read_all(&shape.spec);
        (read.elem_flags, read.flags) = (self.no_flags(), self.no_flags());
        if super::is_ordered(shape.spec.kind) {
            read.room = self.below(u64::from(shape.spec.max_entries.min(80)) + 3) as u32;
            read.from = (!self.one_in(3)).then(|| key(self, shape));
        }
        read
    }
}
