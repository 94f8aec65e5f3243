//! Counters of a program, one cache line a slot: actions, and aborted runs by reason.

use super::{AbortReason, Action};
use crate::mem::{OutOfMemory, Vec};
use crate::sync::{AtomicU64, Ordering};

/// How many actions there are.
const ACTIONS: usize = 5;

/// What is counted of a program's runs, the same on every engine and through every entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Aborted runs: their host does not see why. Plain actions cost nothing.
    #[default]
    Aborts,
    /// Every action besides; about a nanosecond a run.
    Actions,
}

/// Counters of one slot; its holder alone writes them. Compiled code may count there directly.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct SlotStats {
    /// Runs by the action they ended with.
    pub actions: [AtomicU64; ACTIONS],
    /// Aborted runs by reason.
    pub aborts: [AtomicU64; AbortReason::COUNT],
}

/// Counters of a program.
#[derive(Debug)]
pub struct ProgStats {
    slots: Vec<SlotStats>,
}

/// Counters added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsSum {
    /// Runs by the action they ended with.
    pub actions: [u64; ACTIONS],
    /// Aborted runs by reason.
    pub aborts: [u64; AbortReason::COUNT],
}

impl StatsSum {
    /// All runs.
    pub fn runs(&self) -> u64 {
        self.actions.iter().sum()
    }
}

/// Adds one to a counter that only this thread writes.
#[inline(always)]
pub(super) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

impl ProgStats {
    pub(super) fn new(nr_cpus: u32) -> Result<Self, OutOfMemory> {
        Ok(ProgStats { slots: Vec::from_fn(nr_cpus as usize, |_| SlotStats::default())? })
    }

    /// The counters of all slots, slot 0 first.
    pub fn slots(&self) -> &[SlotStats] {
        &self.slots
    }

    pub(super) fn count(&self, slot: u32, action: Action) {
        let counter = self.slots.get(slot as usize).and_then(|s| s.actions.get(action as usize));
        if let Some(counter) = counter {
            bump(counter);
        }
    }

    pub(super) fn count_abort(&self, slot: u32, reason: AbortReason) {
        let counter = self.slots.get(slot as usize).and_then(|s| s.aborts.get(reason as usize));
        if let Some(counter) = counter {
            bump(counter);
        }
    }

    /// The counters of one slot, or of all of them added up.
    pub fn sum(&self, slot: Option<u32>) -> StatsSum {
        let mut sum = StatsSum::default();
        let chosen = self.slots.iter().enumerate().filter(|(i, _)| slot.is_none_or(|s| s as usize == *i));
        for (_, one) in chosen {
            for (total, counter) in sum.actions.iter_mut().zip(&one.actions) {
                *total += counter.load(Ordering::Relaxed);
            }
            for (total, counter) in sum.aborts.iter_mut().zip(&one.aborts) {
                *total += counter.load(Ordering::Relaxed);
            }
        }
        sum
    }
}
