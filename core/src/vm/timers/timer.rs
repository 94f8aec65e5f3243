//! One timer: what it is to call, when, and on whose behalf.
//!
//! Its own lock, held for a few instructions, keeps callback, program and expiry together. Nothing here waits without a bound, allocates, or drops a program: a reference that
//! goes is put aside until a poll looks at the timer ([`Timer::look`]).

use super::table::TimerTable;
use crate::error::Errno;
use crate::helpers::HelperFn;
use crate::maps::{Map, ProgRef, TailTarget, ValueLock};
use crate::platform::{Clock, Platform};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};
use crate::vm::Prog;
use core::ptr::{NonNull, null_mut};

/// It was initialised.
const MADE: u32 = 1;
/// It has a callback.
const CALLS: u32 = 2;
/// It is to expire.
const ARMED: u32 = 4;
/// Only the slot that started it may run it.
const PINNED: u32 = 8;

/// Times that a canceller lets others run while a callback is under way.
const WAITS: u32 = 1 << 12;

/// A timer. Zeroed memory is one that was never used. Fields without a comment change under the lock.
#[repr(C)]
pub(crate) struct Timer {
    lock: ValueLock,
    flags: AtomicU32,
    /// In nanoseconds of the monotonic clock.
    expiry: AtomicU64,
    /// The program of the callback: a reference.
    prog: AtomicPtr<TailTarget>,
    /// A reference that a poll has to drop.
    old: AtomicPtr<TailTarget>,
    code: AtomicPtr<()>,
    index: AtomicU32,
    clock: AtomicU32,
    /// The slot that started it.
    starter: AtomicU32,
    /// The slot + 1 that runs its callback.
    running: AtomicU32,
    /// Whether it is in the asked list; no lock.
    is_asked: AtomicU32,
    /// The wheel's: where it is + 1, or 0.
    pub(super) place: AtomicU32,
    pub(super) next_asked: AtomicPtr<Timer>,
    /// The wheel's.
    pub(super) when: AtomicU64,
    pub(super) next: AtomicPtr<Timer>,
    pub(super) prev: AtomicPtr<Timer>,
    /// Its table; written when it is made, to what it was before.
    table: AtomicPtr<TimerTable>,
}

/// What a poll is to run.
pub(crate) struct Callback {
    pub(super) prog: ProgRef,
    pub(super) code: Option<HelperFn>,
    pub(super) index: u32,
}

/// What is to be done with a timer whose time seems to have come.
pub(crate) enum Armed {
    /// Run this.
    Run(Callback),
    /// It expires later.
    Later(u64),
    /// Another slot has to run it.
    NotMine,
    /// It is being changed.
    Busy,
    /// It is not armed any more.
    Not,
}

/// What a look at a timer found.
pub(super) struct Looked {
    /// When it expires, where it is armed.
    pub(super) expiry: Option<u64>,
    /// References to drop.
    pub(super) dropped: [Option<ProgRef>; 2],
}

/// The key that a callback is shown.
pub(super) enum KeyOf {
    /// An array's.
    Index(u32),
    /// An element's own.
    At(*const u8),
}

impl KeyOf {
    pub(super) fn address(&self) -> *const u8 {
        match self {
            KeyOf::Index(i) => core::ptr::from_ref(i).cast(),
            KeyOf::At(p) => *p,
        }
    }
}

/// The lock, held until dropped.
struct Held<'a>(&'a Timer);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock.give();
    }
}

fn owned(raw: *mut TailTarget) -> Option<ProgRef> {
    // SAFETY: timers hold what `ProgRef::into_raw` gave; whoever takes it out puts null in its place, under the lock.
    NonNull::new(raw).map(|raw| unsafe { ProgRef::new(raw) })
}

impl Timer {
    fn hold(&self, slot: u32, platform: &dyn Platform) -> Result<Held<'_>, Errno> {
        if self.lock.take(slot, platform) { Ok(Held(self)) } else { Err(Errno::EBUSY) }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// Whether nobody has asked for it since it was last looked at.
    pub(super) fn is_first_to_ask(&self) -> bool {
        // AcqRel: pairs with the store in `may_ask_again`. Whoever comes second has its changes seen by the look that the first one asked for.
        self.is_asked.swap(1, Ordering::AcqRel) == 0
    }

    pub(super) fn may_ask_again(&self) {
        // AcqRel: pairs with the swap in `is_first_to_ask`.
        self.is_asked.swap(0, Ordering::AcqRel);
    }

    /// Accesses what models look at, before threads begin.
    #[cfg(all(loom, test))]
    pub(super) fn touch(&self) {
        self.is_asked.load(Relaxed);
        self.next_asked.load(Relaxed);
    }

    /// `bpf_timer_init`.
    ///
    /// # Errors
    /// EBUSY where it was made before.
    pub(crate) fn make(
        &self,
        table: &TimerTable,
        clock: Clock,
        slot: u32,
        platform: &dyn Platform,
    ) -> Result<(), Errno> {
        let _held = self.hold(slot, platform)?;
        if self.has(MADE) {
            return Err(Errno::EBUSY);
        }
        self.table.store(core::ptr::from_ref(table).cast_mut(), Relaxed);
        self.clock.store(clock as u32, Relaxed);
        self.flags.store(MADE, Relaxed);
        Ok(())
    }

    /// `bpf_timer_set_callback`: of this program. Says whether a poll has to look.
    ///
    /// # Errors
    /// EINVAL where it was not made; EBUSY where references of two former programs wait to be dropped.
    pub(crate) fn set_callback(
        &self,
        prog: &Prog,
        code: Option<HelperFn>,
        index: u32,
        slot: u32,
        platform: &dyn Platform,
    ) -> Result<bool, Errno> {
        let _held = self.hold(slot, platform)?;
        if !self.has(MADE) {
            return Err(Errno::EINVAL);
        }
        let before = self.prog.load(Relaxed);
        let another = !core::ptr::eq(before, prog.target());
        let aside = another && !before.is_null();
        if another {
            if aside && !self.old.load(Relaxed).is_null() {
                return Err(Errno::EBUSY);
            }
            if aside {
                self.old.store(before, Relaxed);
            }
            self.prog.store(prog.retain().into_raw(), Relaxed);
        }
        self.code.store(code.map_or(null_mut(), |c| c as *mut ()), Relaxed);
        self.index.store(index, Relaxed);
        self.flags.fetch_or(CALLS, Relaxed);
        Ok(aside)
    }

    /// The map whose timer it is, where it was made.
    pub(crate) fn map(&self) -> Option<&Map> {
        // SAFETY: null, or the table that this timer is in; a map owns its table.
        unsafe { self.table.load(Relaxed).as_ref() }.map(|t| t.map())
    }

    /// The clock that it was made with.
    pub(crate) fn clock(&self) -> Clock {
        const CLOCKS: [Clock; 3] = [Clock::Realtime, Clock::Monotonic, Clock::Boottime];
        let clock = self.clock.load(Relaxed);
        CLOCKS.into_iter().find(|c| *c as u32 == clock).unwrap_or(Clock::Monotonic)
    }

    /// `bpf_timer_start`: to expire then. A poll has to look.
    ///
    /// # Errors
    /// EINVAL where it has no callback.
    pub(crate) fn start(
        &self,
        expiry: u64,
        pinned: bool,
        slot: u32,
        platform: &dyn Platform,
    ) -> Result<(), Errno> {
        let _held = self.hold(slot, platform)?;
        if !self.has(MADE) || !self.has(CALLS) {
            return Err(Errno::EINVAL);
        }
        self.expiry.store(expiry, Relaxed);
        self.starter.store(slot, Relaxed);
        self.flags.store(MADE | CALLS | ARMED | if pinned { PINNED } else { 0 }, Relaxed);
        Ok(())
    }

    /// `bpf_timer_cancel`, but for the wait: whether it was to expire. It forgets its callback.
    ///
    /// # Errors
    /// EINVAL where it was not made; EDEADLK from its own callback.
    pub(crate) fn cancel(&self, from_own: bool, slot: u32, platform: &dyn Platform) -> Result<bool, Errno> {
        let _held = self.hold(slot, platform)?;
        if !self.has(MADE) {
            return Err(Errno::EINVAL);
        }
        if from_own {
            return Err(Errno::EDEADLK);
        }
        let before = self.flags.swap(MADE, Relaxed);
        Ok(before & ARMED != 0)
    }

    /// Waits for a callback that is under way, but not for ever.
    ///
    /// Kernel: until it has ended; uxdp: bounded, because its thread may be preempted for as long as the host likes.
    pub(crate) fn wait(&self, platform: &dyn Platform) {
        for _ in 0..WAITS {
            // Acquire: pairs with the Release in `has_run`.
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            platform.yield_now();
        }
    }

    /// Its element is another one's now, or nobody's. Says whether a poll has to look.
    pub(super) fn free(&self, slot: u32, platform: &dyn Platform) -> bool {
        if self.flags.load(Relaxed) == 0 {
            return false;
        }
        let Ok(_held) = self.hold(slot, platform) else { return false };
        self.flags.store(0, Relaxed);
        !self.prog.load(Relaxed).is_null()
    }

    /// What a poll does with a timer that somebody asked for. `None`: it is being changed.
    pub(super) fn look(&self, slot: u32, platform: &dyn Platform) -> Option<Looked> {
        let _held = self.hold(slot, platform).ok()?;
        let unused = !self.has(CALLS);
        let dropped = [
            owned(self.old.swap(null_mut(), Relaxed)),
            if unused { owned(self.prog.swap(null_mut(), Relaxed)) } else { None },
        ];
        let expiry = self.has(ARMED).then(|| self.expiry.load(Relaxed));
        Some(Looked { expiry, dropped })
    }

    /// Everything that it holds, when its table goes or is let go.
    pub(super) fn take_all(&self) -> [Option<ProgRef>; 2] {
        [owned(self.old.swap(null_mut(), Relaxed)), owned(self.prog.swap(null_mut(), Relaxed))]
    }

    /// Disarms it for a run, where its time has come.
    pub(super) fn fire(&self, slot: u32, now: u64, platform: &dyn Platform) -> Armed {
        let Ok(_held) = self.hold(slot, platform) else { return Armed::Busy };
        if !self.has(ARMED) {
            return Armed::Not;
        }
        let expiry = self.expiry.load(Relaxed);
        if expiry > now {
            return Armed::Later(expiry);
        }
        if self.has(PINNED) && self.starter.load(Relaxed) != slot || self.running.load(Relaxed) != 0 {
            return Armed::NotMine;
        }
        let Some(prog) = NonNull::new(self.prog.load(Relaxed)) else { return Armed::Not };
        self.flags.fetch_and(!ARMED, Relaxed);
        self.running.store(slot.wrapping_add(1), Relaxed);
        let code = self.code.load(Relaxed);
        // SAFETY: the reference that the timer holds keeps the program alive; this is one more.
        let prog = unsafe { Prog::of(prog.as_ptr()) }.retain();
        // SAFETY: null, or what `set_callback` stored: a function of that type.
        let code = unsafe { core::mem::transmute::<*mut (), Option<HelperFn>>(code) };
        Armed::Run(Callback { prog, code, index: self.index.load(Relaxed) })
    }

    /// The callback has ended.
    pub(super) fn has_run(&self) {
        self.running.store(0, Ordering::Release); // pairs with the Acquire in `wait`
    }

    /// Map, key and value that it stands in; `None` where the element is no key's any more.
    pub(super) fn element(&self) -> Option<(*const Map, KeyOf, *mut u8)> {
        // SAFETY: as `map`.
        let table = unsafe { self.table.load(Relaxed).as_ref() }?;
        let index = table.index_of(self)?;
        let map = table.map();
        let (key, value) = map.timer_element(index)?;
        let key = if key.is_null() { KeyOf::Index(index) } else { KeyOf::At(key) };
        Some((map, key, value))
    }
}
