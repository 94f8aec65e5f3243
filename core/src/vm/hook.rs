//! A hook: where programs are attached, and what contexts point to.
//!
//! Programs that are all compiled are compiled into one function, which calls each of them directly ([`crate::jit::unit`]); others are run one after the other by `unit_entry`.
//!
//! `entry` is what a host calls: `(*ctx->entry)(ctx)`. Beside it stands the unit, the immutable set of programs behind it. Both are published by one store each, the
//! unit first; whoever runs between them uses the old unit, which lives until every online worker was quiescent.

use super::engine::compile_unit;
use super::grace::Retired;
use super::run::{Ends, unit_entry, unit_of_none};
use super::{Action, Counting, Ctx, Engine, Entry, Env, Missing, Needs, Offers, PacketUse, Prog};
use crate::error::Errno;
use crate::jit::exec::ExecCode;
use crate::mem::Vec;
use crate::program::AttachType;
use crate::sync::{Arc, AtomicPtr, Ordering};
use core::ptr::null_mut;

/// Goes on after XDP_PASS alone: behind the last program that changes nothing.
const ONLY_PASS: u32 = 1 << Action::Pass as u32;

/// A program and when the one behind it runs.
#[derive(Clone)]
pub struct Link {
    /// The program.
    pub prog: Arc<Prog>,
    /// Bit n: after action n the next program runs, and the action is forgotten.
    pub chain_call_actions: u32,
}

impl Link {
    /// As the program's object says: after XDP_PASS where it says nothing.
    pub fn of(prog: &Arc<Prog>) -> Link {
        Link { prog: prog.clone(), chain_call_actions: prog.program().code().run.chain_call_actions }
    }

    /// What it needs of the port: what its program does, but for an XDP_TX that is forgotten here.
    pub fn needs(&self) -> Needs {
        let forgotten = self.chain_call_actions & 1 << Action::Tx as u32 != 0;
        if forgotten { self.prog.needs().without(Needs::TX) } else { self.prog.needs() }
    }
}

/// Programs that run one after the other.
pub(super) struct Unit {
    pub(super) links: Vec<Link>,
    /// The whole unit as one function, where there is one: the only program's, or that of `code`.
    pub(super) direct: Option<Entry>,
    #[expect(dead_code, reason = "kept to be dropped")]
    code: Option<ExecCode<'static>>,
    /// What any of them may do to the ends of a packet.
    pub(super) ends: Ends,
    /// Whether all of them take packets in several buffers.
    pub(super) takes_frags: bool,
}

/// An attach point: a port's queue, or just a loop.
#[repr(C)]
pub struct Hook {
    /// An [`Entry`], never null. First: a context's `entry` is the hook's address.
    entry: AtomicPtr<()>,
    /// Null where nothing is attached.
    unit: AtomicPtr<Unit>,
    /// What its port offers, as far as the host said so.
    offers: Offers,
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
        Self::create_at(env, Offers::default())
    }

    /// As above, at a port that offers this.
    ///
    /// # Errors
    /// When memory is short.
    pub fn create_at(env: &Arc<Env>, offers: impl Into<Offers>) -> Result<Arc<Hook>, Errno> {
        Ok(Arc::new(Hook {
            entry: AtomicPtr::new(unit_of_none as Entry as *mut ()),
            unit: AtomicPtr::new(null_mut()),
            offers: offers.into(),
            replacing: spin::Mutex::new(()),
            env: env.clone(),
        })?)
    }

    /// [`Self::set_links`], with each program's own actions.
    ///
    /// # Errors
    /// As there.
    pub fn set(&self, progs: &[Arc<Prog>]) -> Result<(), Errno> {
        let mut links = Vec::with_capacity(progs.len())?;
        links.extend(progs.iter().map(Link::of))?;
        self.set_links(links)
    }

    /// Attaches programs in order, in place of what was there; none detaches. Behind the last one the action is XDP_PASS, as behind libxdp's dispatcher. The next packet of each worker (in a burst, the next burst) uses them. Never
    /// blocks; the former programs go after a grace period.
    ///
    /// # Errors
    /// EINVAL for a program of another environment, or one for an entry of a device or CPU map; EOPNOTSUPP for one that needs what the port does not offer
    /// ([`Self::missing`]); ENOMEM. The hook keeps what it had then.
    pub fn set_links(&self, links: Vec<Link>) -> Result<(), Errno> {
        let fits = |l: &Link| {
            Arc::ptr_eq(l.prog.env(), &self.env) && l.prog.program().code().attach == AttachType::Xdp
        };
        if !links.iter().all(fits) {
            return Err(Errno::EINVAL);
        }
        if links.iter().any(|l| !self.missing(l).is_empty()) {
            return Err(Errno::EOPNOTSUPP);
        }
        let place = self.env.grace().reserve()?;
        let (entry, unit): (Entry, *mut Unit) = if links.is_empty() {
            (unit_of_none, null_mut())
        } else {
            let plain = |l: &Link| l.prog.counting() == Counting::Aborts && l.chain_call_actions == ONLY_PASS;
            let only = match &links[..] {
                [only] if plain(only) && !only.prog.is_named() => only.prog.engine().direct_entry(),
                _ => None,
            };
            let code = if only.is_none() { compile_unit(&self.env, &links)? } else { None };
            let direct = only.or(code.as_ref().map(ExecCode::entry));
            let moves = links.iter().any(|l| l.prog.packet_use() == PacketUse::Moves);
            let ends = if moves { Ends::Move } else { Ends::Stay };
            let takes_frags = links.iter().all(|l| l.prog.program().code().frags);
            let unit = Arc::new(Unit { links, direct, code, ends, takes_frags })?;
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

    /// What a program needs that the port does not offer.
    pub fn missing(&self, link: &Link) -> Missing {
        self.offers.missing(link.needs())
    }

    /// What is attached, in order, as ids; the number of programs there are.
    pub fn program_ids(&self, out: &mut [u32]) -> usize {
        let _held = self.replacing.lock();
        // SAFETY: null, or a unit that nobody retires while the lock is held.
        let Some(unit) = (unsafe { self.unit.load(Ordering::Acquire).as_ref() }) else { return 0 };
        for (place, link) in out.iter_mut().zip(&unit.links) {
            *place = link.prog.id();
        }
        unit.links.len()
    }

    /// Whether every program that is attached takes packets in several buffers (`xdp.frags`). Where one does not, runs on such packets end as aborted
    /// ([`super::AbortReason::SeveralBuffers`]) before the first program.
    pub fn takes_frags(&self) -> bool {
        let _held = self.replacing.lock();
        // SAFETY: as above.
        let unit = unsafe { self.unit.load(Ordering::Acquire).as_ref() };
        unit.is_some_and(|u| u.takes_frags)
    }

    /// The engine's name, where one program is attached.
    pub fn engine_name(&self) -> Option<&'static str> {
        let _held = self.replacing.lock();
        // SAFETY: as above.
        let unit = unsafe { self.unit.load(Ordering::Acquire).as_ref() }?;
        unit.links.first().map(|l| Engine::name(l.prog.engine()))
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
