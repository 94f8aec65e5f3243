//! Timers in map values (`struct bpf_timer`): programs arm them, a poll call of a worker runs what has expired.
//!
//! ```text
//! program: init, set_callback, start, cancel ──► Timer (private, one an element) ──► asked list ──┐
//! worker:  run_timers ◄── due ◄── wheel, sorted by expiry ◄──────────────────────────────────────┘
//! ```
//!
//! A value holds the number of its timer, never an address; the timers of a map are a private table beside it, made with the map, so that the run path allocates nothing
//! ([`table`]). What programs do changes the timer alone, under a lock of its own for a few instructions, and asks the next poll to look at it. The wheel and the order of
//! the asked list belong to whoever polls, one at a time; a callback runs while nobody is kept from polling.
//!
//! A timer with a callback holds its program alive. The reference goes with the element, with `bpf_timer_cancel`, or when the map's last user handle goes, as in the kernel; on the
//! run path it is only put aside, for a poll to drop.
//!
//! Refuses: maps without a table (those that no environment made, and those in memory that processes share).
//! Source of the semantics: `bpf_timer_init` and its neighbours in the kernel's `kernel/bpf/helpers.c`.

#[cfg(all(loom, test))]
mod loom;
mod table;
mod timer;
mod wheel;

pub(crate) use table::{TimerCell, TimerTable};
pub(crate) use timer::{Armed, Callback, Timer};

use super::limit::{self, give_records};
use super::run::{count_abort, give_lock};
use super::{Ctx, Prog, Worker};
use crate::error::Errno;
use crate::interp;
use crate::maps::ProgRef;
use crate::mem::OutOfMemory;
use crate::platform::Clock;
use crate::sync::{Arc, AtomicPtr, AtomicU64, Ordering};
use core::ptr::null_mut;
use wheel::Wheel;

/// Maps with timers that an environment may have.
const MAX_TABLES: usize = 256;
/// Asked timers that are looked at before others may poll, and what they held is dropped.
const AT_A_TIME: usize = 32;
/// How much later a timer is looked at again that only another slot may run.
const NOT_MINE: u64 = 1_000_000;

/// All timers of an environment.
pub struct Timers {
    tables: [AtomicPtr<TimerTable>; MAX_TABLES],
    /// Timers that a poll has to look at, last first.
    asked: AtomicPtr<Timer>,
    /// When the next one may expire, in nanoseconds of the monotonic clock; the last number there is: never.
    soonest: AtomicU64,
    wheel: spin::Mutex<Wheel>,
}

// SAFETY: timers are reached through tables, which live until they have left the directory, the list and the wheel; everything in them is atomic.
unsafe impl Send for Timers {}
// SAFETY: as above.
unsafe impl Sync for Timers {}

/// What a poll did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimersRun {
    /// Callbacks that ran.
    pub ran: u32,
    /// Nanoseconds from now to the next expiry, as far as is known: 0 where there is more to do, `None` where no timer is armed.
    pub next: Option<u64>,
}

impl Timers {
    pub(super) fn new() -> Result<Arc<Timers>, OutOfMemory> {
        Arc::new(Timers {
            tables: [const { AtomicPtr::new(null_mut()) }; MAX_TABLES],
            asked: AtomicPtr::new(null_mut()),
            soonest: AtomicU64::new(u64::MAX),
            wheel: spin::Mutex::new(Wheel::new()),
        })
    }

    /// The timer that a value's number names.
    pub(crate) fn find(&self, id: u64) -> Option<&Timer> {
        let number = ((id >> 32) as usize).checked_sub(1)?;
        // Acquire: pairs with the Release of whoever entered the table. A program that has the value holds its map, and that the table.
        // SAFETY: null, or a table that has not left the directory.
        let table = unsafe { self.tables.get(number)?.load(Ordering::Acquire).as_ref() }?;
        table.timer((id as u32).checked_sub(1)?)
    }

    /// Asks the next poll to look at a timer.
    pub(crate) fn ask(&self, timer: &Timer) {
        if !timer.is_first_to_ask() {
            return;
        }
        let this = core::ptr::from_ref(timer).cast_mut();
        let mut head = self.asked.load(Ordering::Relaxed);
        loop {
            timer.next_asked.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire of the poll that takes the list.
            match self.asked.compare_exchange_weak(head, this, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Puts everything that was asked where it belongs: into the wheel, or out of it.
    fn take_asked(&self, worker: &Worker, now: u64) {
        loop {
            let mut dropped: heapless::Vec<ProgRef, { 2 * AT_A_TIME }> = heapless::Vec::new();
            let Some(mut wheel) = self.wheel.try_lock() else { return };
            for _ in 0..AT_A_TIME {
                let Some(timer) = self.next_asked(&mut wheel) else { break };
                let Some(armed) = timer.look(worker.slot(), worker.env().platform()) else {
                    // Somebody is in the midst of changing it, and will ask again.
                    self.ask(timer);
                    break;
                };
                for reference in armed.dropped.into_iter().flatten() {
                    // There is room for two a timer.
                    let _ = dropped.push(reference);
                }
                match armed.expiry {
                    Some(expiry) => wheel.put(timer, expiry, now),
                    None => wheel.take_out(timer),
                }
            }
            let done = self.asked.load(Ordering::Relaxed).is_null() && wheel.rest.is_null();
            self.note_next(&wheel);
            drop(wheel);
            let stuck = dropped.is_empty() && !done;
            drop(dropped);
            if done || stuck {
                return;
            }
        }
    }

    /// Keeps for polls without the wheel when the next timer may expire.
    fn note_next(&self, wheel: &Wheel) {
        let next = if wheel.rest.is_null() { wheel.next().unwrap_or(u64::MAX) } else { 0 };
        self.soonest.store(next, Ordering::Relaxed);
    }

    /// The next timer that was asked.
    fn next_asked(&self, wheel: &mut Wheel) -> Option<&Timer> {
        if wheel.rest.is_null() {
            // Acquire: pairs with the Release in `ask`.
            wheel.rest = first_first(self.asked.swap(null_mut(), Ordering::Acquire));
        }
        // SAFETY: timers in the list are of living tables: those that go take theirs out first.
        let timer = unsafe { wheel.rest.as_ref() }?;
        wheel.rest = timer.next_asked.load(Ordering::Relaxed);
        timer.may_ask_again();
        Some(timer)
    }

    /// Runs what has expired, `max` callbacks at most.
    fn run(&self, worker: &Worker, max: u32) -> TimersRun {
        let mut done = TimersRun::default();
        let asked = !self.asked.load(Ordering::Relaxed).is_null();
        let soonest = self.soonest.load(Ordering::Relaxed);
        if !asked && soonest == u64::MAX {
            return done;
        }
        let platform = worker.env().platform();
        let now = || platform.clock_ns(Clock::Monotonic).unwrap_or(0);
        let start = now();
        if !asked && soonest > start {
            return TimersRun { ran: 0, next: Some(soonest - start) };
        }
        self.take_asked(worker, start);
        while done.ran < max {
            let Some(mut wheel) = self.wheel.try_lock() else { break };
            let at = now();
            let Some(timer) = wheel.pop(at) else {
                self.note_next(&wheel);
                done.next = wheel.next().map(|when| when.saturating_sub(at));
                break;
            };
            match timer.fire(worker.slot(), at, platform) {
                Armed::Run(callback) => {
                    drop(wheel);
                    run_callback(worker, timer, callback);
                    done.ran += 1;
                }
                Armed::Later(expiry) => wheel.put(timer, expiry, at),
                Armed::NotMine => wheel.put(timer, at.saturating_add(NOT_MINE), at),
                Armed::Busy => {
                    self.ask(timer);
                    break;
                }
                Armed::Not => {}
            }
        }
        if done.ran == max || !self.asked.load(Ordering::Relaxed).is_null() {
            done.next = Some(0);
        }
        done
    }
}

/// A list of asked timers the other way round.
fn first_first(mut list: *mut Timer) -> *mut Timer {
    let mut turned = null_mut();
    // SAFETY: timers in the list are of living tables, and only whoever took the list has its links.
    while let Some(timer) = unsafe { list.as_ref() } {
        let next = timer.next_asked.load(Ordering::Relaxed);
        timer.next_asked.store(turned, Ordering::Relaxed);
        turned = core::mem::replace(&mut list, next);
    }
    turned
}

/// Runs a timer's callback as a run of its own, without a packet. An aborted one is counted.
fn run_callback(worker: &Worker, timer: &Timer, callback: Callback) {
    let env = worker.env();
    if let Some((map, key, value)) = timer.element() {
        let mut ctx = Ctx::empty();
        ctx.percpu = env
            .block(worker.slot())
            .map_or(core::ptr::null_mut(), |b| core::ptr::from_ref(b).cast_mut().cast());
        ctx.slot = worker.slot();
        ctx.env = env.run_env();
        ctx.timer = timer;
        // SAFETY: the reference is that of a program: its target is its first field.
        let prog = unsafe { Prog::of(callback.prog.target()) };
        ctx.prog = core::ptr::from_ref(prog).cast();
        limit::begin(&mut ctx, prog.program());
        let args = [map as u64, key.address() as u64, value as u64, 0, 0];
        let [a, b, c, d, e] = args;
        // SAFETY: the verifier proved the callback for a map, key and value of this map; `callback` holds the program, and that its maps; the context is ours.
        unsafe {
            match callback.code {
                Some(code) => code(a, b, c, d, e, &mut ctx),
                None => interp::run_function(prog.program(), prog.helpers(), callback.index, args, &mut ctx),
            };
            if ctx.abort != 0 {
                give_lock(&mut ctx);
                give_records(&ctx);
                count_abort(&ctx);
            }
        }
    }
    timer.has_run();
}

impl Worker {
    /// Runs the callbacks of timers that have expired, in this worker's slot, `max` at most: from its main loop, or from a thread that does nothing else. Not inside a run.
    ///
    /// Every worker of an environment may poll; each timer runs once. One that was started with BPF_F_TIMER_CPU_PIN waits for the worker that started it.
    pub fn run_timers(&self, max: u32) -> TimersRun {
        self.env().run_env().timers.run(self, max)
    }
}

/// What `bpf_timer_init` makes of its flags: the clock.
///
/// # Errors
/// EINVAL for what is no clock that timers have.
pub(crate) fn clock(flags: u64) -> Result<Clock, Errno> {
    match flags {
        0 => Ok(Clock::Realtime),
        1 => Ok(Clock::Monotonic),
        7 => Ok(Clock::Boottime),
        _ => Err(Errno::EINVAL),
    }
}
