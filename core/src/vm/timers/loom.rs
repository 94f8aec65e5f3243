//! The asked list and each timer's `asked` flag under every order of a few threads' accesses: `cargo xtask loom`.
//!
//! What must hold: a change that was made before a timer was asked for is seen by a later look at it, also where somebody else had asked already and a poll is taking the
//! timer out of the list at that moment.

use super::wheel::Wheel;
use super::{Timer, Timers};
use crate::sync::model::check;
use crate::sync::{AtomicU64, Ordering};
use loom::thread;
use std::sync::Arc;

/// The list, timers that are in nobody's table, and for each what two threads change of it.
struct World {
    timers: crate::sync::Arc<Timers>,
    all: [Timer; 2],
    changes: [[AtomicU64; 2]; 2],
}

fn world() -> Arc<World> {
    let changes = || [AtomicU64::new(0), AtomicU64::new(0)];
    // SAFETY: zeroed memory is a timer that was never used.
    let all = unsafe { [core::mem::zeroed::<Timer>(), core::mem::zeroed()] };
    let w = Arc::new(World { timers: Timers::new().unwrap(), all, changes: [changes(), changes()] });
    // What loom has in their place is made before threads begin.
    w.timers.asked.load(Ordering::Relaxed);
    for (timer, changes) in w.all.iter().zip(&w.changes) {
        timer.touch();
        for change in changes {
            change.load(Ordering::Relaxed);
        }
    }
    w
}

impl World {
    /// What a program does with a timer.
    fn change(&self, timer: usize, which: usize) {
        self.changes[timer][which].store(1, Ordering::Relaxed);
        self.timers.ask(&self.all[timer]);
    }

    /// What a poll does: looks at all that was asked for, and notes what it sees.
    fn poll(&self, wheel: &mut Wheel, seen: &mut [[u64; 2]; 2]) {
        while let Some(timer) = self.timers.next_asked(wheel) {
            let at = self.all.iter().position(|t| core::ptr::eq(t, timer)).expect("one of them");
            seen[at] = [0, 1].map(|i| self.changes[at][i].load(Ordering::Relaxed));
        }
    }
}

#[test]
fn a_change_that_was_asked_for_is_seen_by_a_look() {
    check(3, || {
        let w = world();
        let askers = [0, 1].map(|which| {
            let w = w.clone();
            thread::spawn(move || w.change(0, which))
        });
        let (mut wheel, mut seen) = (Wheel::new(), [[0; 2]; 2]);
        w.poll(&mut wheel, &mut seen);
        askers.into_iter().for_each(|a| a.join().unwrap());
        w.poll(&mut wheel, &mut seen);
        assert_eq!(seen[0], [1, 1], "nobody looks any more, and a change was not seen");
    });
}

#[test]
fn timers_that_are_asked_for_together_are_all_looked_at() {
    check(3, || {
        let w = world();
        let askers = [0, 1].map(|which| {
            let w = w.clone();
            thread::spawn(move || {
                w.change(which, which);
                w.change(1 - which, which);
            })
        });
        let (mut wheel, mut seen) = (Wheel::new(), [[0; 2]; 2]);
        w.poll(&mut wheel, &mut seen);
        askers.into_iter().for_each(|a| a.join().unwrap());
        w.poll(&mut wheel, &mut seen);
        assert_eq!(seen, [[1, 1], [1, 1]], "a timer was lost, or a change");
    });
}
