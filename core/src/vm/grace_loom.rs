//! Grace periods under every order of a few threads' accesses: `cargo xtask loom`.

use super::*;
use crate::maps::{ProgRef, TailTarget};
use crate::sync::AtomicU64;
use crate::sync::model::check;
use core::ptr::NonNull;
use loom::thread;
use std::boxed::Box;

/// A program that knows whether it was freed.
#[repr(C)]
struct Target {
    target: TailTarget,
    freed: AtomicU32,
}

unsafe extern "C" fn nothing(_: *mut crate::vm::Ctx, _: *const TailTarget) -> u64 {
    0
}

unsafe fn freed(target: *const TailTarget) {
    // SAFETY: the targets of this test are `Target`s, which begin with it, and are never given back to the heap.
    unsafe { (*target.cast::<Target>()).freed.store(1, Ordering::Relaxed) };
}

fn program() -> &'static Target {
    let target = TailTarget { entry: nothing, id: 1, release: freed };
    let t: &'static Target = Box::leak(Box::from(Target { target, freed: AtomicU32::new(0) }));
    t.freed.load(Ordering::Relaxed); // what loom has in its place is made before threads begin
    t
}

/// Programs behind a slot that holds 0, 1 or 2, and the grace periods of `workers`.
struct World {
    grace: Grace,
    current: AtomicU64,
    programs: [&'static Target; 2],
}

fn world(workers: u32) -> std::sync::Arc<World> {
    let w = World {
        grace: Grace::new(workers).unwrap(),
        current: AtomicU64::new(1),
        programs: [program(), program()],
    };
    let w = std::sync::Arc::new(w);
    w.current.load(Ordering::Relaxed);
    w.grace.epochs.touch();
    w.grace.pending.load(Ordering::Relaxed);
    w.grace.dropping.load(Ordering::Relaxed);
    w
}

impl World {
    /// What a worker does with a packet.
    fn run(&self) {
        let n = self.current.load(Ordering::Acquire);
        if let Some(p) = (n as usize).checked_sub(1).and_then(|i| self.programs.get(i)) {
            assert_eq!(p.freed.load(Ordering::Relaxed), 0, "runs a program that was freed");
        }
    }

    /// Takes the first program out of use.
    fn replace(&self) {
        let place = self.grace.reserve().unwrap();
        self.current.store(2, Ordering::Release);
        // SAFETY: the target lives for ever; it is given up once, here.
        let prog = unsafe { ProgRef::new(NonNull::from(&self.programs[0].target)) };
        self.grace.retire(place, Retired::Reference(Reference::Prog(prog)));
    }
}

#[test]
fn replaced_program_is_freed_when_no_worker_runs_it() {
    check(3, || {
        let w = world(1);
        let worker = {
            let w = w.clone();
            thread::spawn(move || {
                w.grace.epochs.online(0);
                w.run();
                w.grace.epochs.quiescent(0);
                w.run();
                w.grace.epochs.offline(0);
            })
        };
        w.replace();
        worker.join().unwrap();
        w.grace.reclaim();
        assert_eq!(w.programs[0].freed.load(Ordering::Relaxed), 1, "free when the last worker is offline");
    });
}

#[test]
fn one_quiescent_worker_does_not_free_what_another_runs() {
    check(2, || {
        let w = world(2);
        let workers = [0, 1].map(|slot| {
            let w = w.clone();
            thread::spawn(move || {
                w.grace.epochs.online(slot);
                w.run();
                w.grace.epochs.offline(slot);
            })
        });
        w.replace();
        w.grace.reclaim();
        workers.into_iter().for_each(|t| t.join().unwrap());
    });
}
