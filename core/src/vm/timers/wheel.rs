//! A hierarchical timing wheel: timers by expiry, insertion, removal and the next one in constant time.
//!
//! Time is counted in ticks of 2^16 ns. Level `l` has 64 slots of 64^l ticks; a timer is put on the lowest level whose slots tell it from now. When time reaches a slot of
//! a higher level, its timers are put anew, lower. A bit a slot says whether it has any, so that idle time costs nothing. Expiries are rounded up to a tick: never early.
//!
//! Slots are doubly linked lists through the timers themselves; what falls into one tick stays in the order in which it came. Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels".

use super::Timer;
use crate::sync::Ordering::Relaxed;
use core::ptr::null_mut;

const TICK: u32 = 16;
const LEVELS: usize = 8;
const SLOTS: usize = 64;
/// The last tick that there is: more than half a thousand years.
const LAST: u64 = (1 << (6 * LEVELS)) - 1;
/// The list of what is due.
const DUE: usize = LEVELS * SLOTS;

/// The wheel. Whoever has it has the timers' links too.
pub(super) struct Wheel {
    heads: [*mut Timer; DUE + 1],
    tails: [*mut Timer; DUE + 1],
    /// A bit a slot that has timers.
    occupied: [u64; LEVELS],
    /// Ticks up to which everything has been moved on.
    elapsed: u64,
    /// What is left of the asked list that was taken last.
    pub(super) rest: *mut Timer,
}

// SAFETY: the pointers are to timers of living tables, which leave the wheel before they go.
unsafe impl Send for Wheel {}

impl Wheel {
    pub(super) const fn new() -> Wheel {
        Wheel {
            heads: [null_mut(); DUE + 1],
            tails: [null_mut(); DUE + 1],
            occupied: [0; LEVELS],
            elapsed: 0,
            rest: null_mut(),
        }
    }

    /// Puts a timer where it belongs, wherever it was. Times in nanoseconds.
    pub(super) fn put(&mut self, timer: &Timer, expiry: u64, now: u64) {
        self.take_out(timer);
        if self.occupied == [0; LEVELS] {
            // Nothing to move on: time may jump.
            self.elapsed = self.elapsed.max(now >> TICK);
        }
        timer.when.store(expiry.div_ceil(1 << TICK).min(LAST), Relaxed);
        self.link(timer);
    }

    fn link(&mut self, timer: &Timer) {
        let when = timer.when.load(Relaxed);
        let place = if when <= self.elapsed {
            DUE
        } else {
            let level = (63 - (when ^ self.elapsed).leading_zeros() as usize) / 6;
            let slot = (when >> (6 * level)) as usize % SLOTS;
            self.occupied[level] |= 1 << slot;
            level * SLOTS + slot
        };
        let tail = self.tails[place];
        let this = core::ptr::from_ref(timer).cast_mut();
        timer.next.store(null_mut(), Relaxed);
        timer.prev.store(tail, Relaxed);
        // SAFETY: null, or a timer in the wheel, which lives.
        match unsafe { tail.as_ref() } {
            Some(tail) => tail.next.store(this, Relaxed),
            None => self.heads[place] = this,
        }
        self.tails[place] = this;
        timer.place.store(place as u32 + 1, Relaxed);
    }

    /// Takes a timer out, if it is in.
    pub(super) fn take_out(&mut self, timer: &Timer) {
        let Some(place) = (timer.place.swap(0, Relaxed) as usize).checked_sub(1) else { return };
        let (next, prev) = (timer.next.load(Relaxed), timer.prev.load(Relaxed));
        // SAFETY: null, or timers in the wheel, which live.
        unsafe {
            match next.as_ref() {
                Some(next) => next.prev.store(prev, Relaxed),
                None => self.tails[place] = prev,
            }
            match prev.as_ref() {
                Some(prev) => prev.next.store(next, Relaxed),
                None => self.heads[place] = next,
            }
        }
        if self.heads[place].is_null() && place < DUE {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    /// The first slot that is not empty: its level and number, and the tick that it begins at. Lower levels come before higher ones.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|o| *o != 0)?;
        // All are ahead of now within their level, since a timer is put where it differs from now.
        let slot = self.occupied[level].trailing_zeros() as usize;
        let above = self.elapsed >> (6 * level) >> 6 << 6 << (6 * level);
        Some((level, slot, above | (slot as u64) << (6 * level)))
    }

    /// Takes out a timer whose time has come.
    pub(super) fn pop(&mut self, now: u64) -> Option<&'static Timer> {
        let now = now >> TICK;
        loop {
            // SAFETY: null, or a timer in the wheel, which lives until its table has taken it out, under the lock that the caller has; after that the caller's own
            // reference to the program, and through it to the map, keeps it.
            if let Some(timer) = unsafe { self.heads[DUE].as_ref() } {
                self.take_out(timer);
                return Some(timer);
            }
            let Some((level, slot, at)) = self.first().filter(|(_, _, at)| *at <= now) else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            self.elapsed = self.elapsed.max(at);
            let place = level * SLOTS + slot;
            // SAFETY: as above.
            while let Some(timer) = unsafe { self.heads[place].as_ref() } {
                self.take_out(timer);
                self.link(timer);
            }
        }
    }

    /// When the next one may be due, in nanoseconds.
    pub(super) fn next(&self) -> Option<u64> {
        if !self.heads[DUE].is_null() {
            return Some(0);
        }
        self.first().map(|(_, _, at)| at << TICK)
    }
}
