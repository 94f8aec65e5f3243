//! A hook: where programs are attached, and what contexts point to.
//!
//! `entry` is what a host calls: `(*ctx->entry)(ctx)`. Beside it stands the unit, the immutable set of programs behind it. Both are published by one store each, the
//! unit first; whoever runs between them uses the old unit, which lives until every online worker was quiescent.

use super::grace::Retired;
use super::run::{Ends, unit_entry, unit_of_none};
use super::{Counting, Ctx, Engine, Entry, Env, PacketUse, Prog};
use crate::error::Errno;
use crate::mem::Vec;
use crate::program::AttachType;
use crate::sync::{Arc, AtomicPtr, Ordering};
use core::ptr::null_mut;

/// Programs that run one after the other, each while the one before says PASS.
pub(super) struct Unit {
    pub(super) progs: Vec<Arc<Prog>>,
    /// The whole unit as one function, where there is one.
    pub(super) direct: Option<Entry>,
    /// What any of them may do to the ends of a packet.
    pub(super) ends: Ends,
}

/// An attach point: a port's queue, or just a loop.
#[repr(C)]
pub struct Hook {
    /// An [`Entry`], never null. First: a context's `entry` is the hook's address.
    entry: AtomicPtr<()>,
    /// Null where nothing is attached.
    unit: AtomicPtr<Unit>,
    /// One replacement at a time.
    replacing: spin::Mutex<()>,
    env: Arc<Env>,
}

impl Hook {
    /// A hook of `env` with nothing attached: its runs end as aborted.
    ///
    /// # Errors
    /// When memory is short.
    pub fn create(env: &Arc<Env>) -> Result<Arc<Hook>, Errno> {
        Ok(Arc::new(Hook {
            entry: AtomicPtr::new(unit_of_none as Entry as *mut ()),
            unit: AtomicPtr::new(null_mut()),
            replacing: spin::Mutex::new(()),
            env: env.clone(),
        })?)
    }

    /// Attaches programs in order, in place of what was there; none detaches. The next packet of each worker (in a burst, the next burst) uses them. Never
    /// blocks; the former programs go after a grace period.
    ///
    /// # Errors
    /// EINVAL for a program of another environment, or one for an entry of a device or CPU map; ENOMEM. The hook keeps what it had then.
    pub fn set(&self, progs: &[Arc<Prog>]) -> Result<(), Errno> {
        let fits =
            |p: &Arc<Prog>| Arc::ptr_eq(p.env(), &self.env) && p.program().code().attach == AttachType::Xdp;
        if !progs.iter().all(fits) {
            return Err(Errno::EINVAL);
        }
        let place = self.env.grace().reserve()?;
        let (entry, unit): (Entry, *mut Unit) = if progs.is_empty() {
            (unit_of_none, null_mut())
        } else {
            let mut list = Vec::with_capacity(progs.len())?;
            list.extend(progs.iter().cloned())?;
            let direct = match progs {
                [only] if only.counting() == Counting::Aborts => only.engine().direct_entry(),
                _ => None,
            };
            let moves = progs.iter().any(|p| p.packet_use() == PacketUse::Moves);
            let ends = if moves { Ends::Move } else { Ends::Stay };
            let unit = Arc::new(Unit { progs: list, direct, ends })?;
            (direct.unwrap_or(unit_entry), Arc::into_raw(unit).cast_mut())
        };
        let held = self.replacing.lock();
        // Release: whoever loads the pointer or the entry sees the unit; Acquire: the old unit is seen whole by whoever drops it.
        let old = self.unit.swap(unit, Ordering::AcqRel);
        self.entry.store(entry as *mut (), Ordering::Release);
        drop(held);
        if !old.is_null() {
            // SAFETY: `set` gave this reference away, and the swap took it back, once.
            self.env.grace().retire(place, Retired::Unit(unsafe { Arc::from_raw(old) }));
        }
        Ok(())
    }

    /// What is attached, in order, as ids; the number of programs there are.
    pub fn program_ids(&self, out: &mut [u32]) -> usize {
        let _held = self.replacing.lock();
        // SAFETY: null, or a unit that nobody retires while the lock is held.
        let Some(unit) = (unsafe { self.unit.load(Ordering::Acquire).as_ref() }) else { return 0 };
        for (place, prog) in out.iter_mut().zip(&unit.progs) {
            *place = prog.id();
        }
        unit.progs.len()
    }

    /// Whether every program that is attached takes packets in several buffers (`xdp.frags`): others see the first buffer alone, so that a host is not to give them such.
    pub fn takes_frags(&self) -> bool {
        let _held = self.replacing.lock();
        // SAFETY: as above.
        let unit = unsafe { self.unit.load(Ordering::Acquire).as_ref() };
        unit.is_some_and(|u| u.progs.iter().all(|p| p.program().code().frags))
    }

    /// The engine's name, where one program is attached.
    pub fn engine_name(&self) -> Option<&'static str> {
        let _held = self.replacing.lock();
        // SAFETY: as above.
        let unit = unsafe { self.unit.load(Ordering::Acquire).as_ref() }?;
        unit.progs.first().map(|p| Engine::name(p.engine()))
    }

    /// Its environment.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// What a context's `entry` is.
    pub(super) fn entry_slot(&self) -> *const Entry {
        core::ptr::from_ref(&self.entry).cast()
    }

    /// The hook of a context.
    ///
    /// # Safety
    /// The context was tied to a hook that lives.
    pub(super) unsafe fn of<'a>(ctx: *const Ctx) -> &'a Hook {
        // SAFETY: the caller's; the entry is the first field.
        unsafe { &*(*ctx).entry.cast::<Hook>() }
    }

    /// The function to call now. Acquire: pairs with `set`.
    #[inline(always)]
    pub(super) fn entry(&self) -> Entry {
        // SAFETY: `create` and `set` store nothing but entries.
        unsafe { core::mem::transmute::<*mut (), Entry>(self.entry.load(Ordering::Acquire)) }
    }

    /// The unit to run now. It stays valid until the worker's next quiescent point.
    #[inline(always)]
    pub(super) fn unit(&self) -> Option<&Unit> {
        // Acquire: pairs with `set`.
        // SAFETY: null, or a unit that is freed only after this worker was quiescent.
        unsafe { self.unit.load(Ordering::Acquire).as_ref() }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // A place that cannot be had for want of memory: the unit stays, and with it its programs, rather than go under a worker.
        let Ok(place) = self.env.grace().reserve() else { return };
        let old = *self.unit.get_mut();
        if !old.is_null() {
            // SAFETY: as in `set`.
            self.env.grace().retire(place, Retired::Unit(unsafe { Arc::from_raw(old) }));
        }
    }
}
