//! A program that can run: verified, with an engine, an id and counters.

use super::engine::Engine;
use super::needs::{Needs, needs};
use super::own_name;
use super::packet_use::{PacketUse, packet_use};
use super::{Counting, Ctx, Env, Func, ProgStats};
use crate::error::Errno;
use crate::helpers::HelperSet;
use crate::interp;
use crate::maps::{Map, ProgRef, TailTarget};
use crate::program::{Program, Verified};
use crate::sync::Arc;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

/// A loaded program. Shared: hooks, prog arrays and handles hold references; it goes with the last one.
#[repr(C)]
pub struct Prog {
    /// First, so that the target's address is the program's.
    target: TailTarget,
    program: Program<Verified>,
    helpers: HelperSet,
    engine: Engine,
    counting: Counting,
    needs: Needs,
    stats: ProgStats,
    /// Last: the program's maps go before the environment.
    env: Arc<Env>,
}

// SAFETY: everything is constant but the counters, which are atomics; the raw pointers in `engine` and `target` are to code.
unsafe impl Send for Prog {}
// SAFETY: as above.
unsafe impl Sync for Prog {}

impl core::fmt::Debug for Prog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}#{} ({})", self.name(), self.id(), self.engine.name())
    }
}

impl Prog {
    /// A program of `env`, run by `engine`; it gets an id.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(
        env: &Arc<Env>,
        program: Program<Verified>,
        engine: Engine,
        counting: Counting,
    ) -> Result<Arc<Prog>, Errno> {
        let target = TailTarget { entry: engine.tail_entry(), id: env.new_prog_id()?, release };
        let stats = ProgStats::new(env.nr_cpus())?;
        let helpers = env.helpers();
        let needs = needs(&program, helpers)?;
        let env = env.clone();
        Ok(Arc::new(Prog { target, program, helpers, engine, counting, needs, stats, env })?)
    }

    /// Its number in the environment, from 1, never used again.
    pub fn id(&self) -> u32 {
        self.target.id
    }

    /// Its main function's name.
    pub fn name(&self) -> &str {
        self.program.name()
    }

    /// Instructions, maps, rewrites, facts.
    pub fn program(&self) -> &Program<Verified> {
        &self.program
    }

    /// What runs it.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What is counted of its runs.
    pub fn counting(&self) -> Counting {
        self.counting
    }

    /// Its counters.
    pub fn stats(&self) -> &ProgStats {
        &self.stats
    }

    /// Native stack that a run takes at most, in bytes, whatever runs it. Helpers that do not call back are left out.
    pub fn stack_size(&self) -> u32 {
        self.engine.code().map_or_else(|| interp::stack(&self.program, self.helpers), |c| c.stack())
    }

    /// The most that it may do to a packet.
    pub fn packet_use(&self) -> PacketUse {
        packet_use(&self.program, self.helpers)
    }

    /// Whether its runs name it in the context.
    pub(super) fn is_named(&self) -> bool {
        own_name::asks(&self.program, self.helpers)
    }

    /// What it needs of the port that it runs on.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Its environment.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// A reference for a prog array.
    pub fn prog_ref(this: &Arc<Prog>) -> ProgRef {
        let raw = Arc::into_raw(this.clone()).cast_mut().cast::<TailTarget>();
        // SAFETY: the address of a program that the reference keeps alive until `release`, which gives it back; ids start at 1.
        unsafe { ProgRef::new(NonNull::new_unchecked(raw)) }
    }

    /// One more reference, to a program that somebody has.
    pub(crate) fn retain(&self) -> ProgRef {
        // SAFETY: programs are made by `new` alone, so that this one is in an `Arc`; the reference is not taken back here.
        let this = ManuallyDrop::new(unsafe { Arc::from_raw(core::ptr::from_ref(self)) });
        Prog::prog_ref(&this)
    }

    /// The helpers that it was verified with.
    pub(super) fn helpers(&self) -> HelperSet {
        self.helpers
    }

    /// Whether a function value is one of its functions.
    pub(super) fn has(&self, func: &Func) -> bool {
        match (func.code(), self.engine.code()) {
            (None, None) => true,
            (Some(code), Some(own)) => own.code().as_ptr_range().contains(&(code as *const u8)),
            _ => false,
        }
    }

    pub(super) fn target(&self) -> &TailTarget {
        &self.target
    }

    /// The program around a target of ours.
    ///
    /// # Safety
    /// `target` is the field of a living [`Prog`].
    pub(super) unsafe fn of<'a>(target: *const TailTarget) -> &'a Prog {
        // SAFETY: the caller's; the target is the first field.
        unsafe { &*target.cast::<Prog>() }
    }
}

/// Gives back what [`Prog::prog_ref`] took.
unsafe fn release(target: *const TailTarget) {
    // SAFETY: called once for a reference that `prog_ref` made; the target is the first field.
    drop(unsafe { Arc::from_raw(target.cast::<Prog>()) });
}

/// The interpreter as a tail target: runs the program around `target`.
pub(super) unsafe extern "C" fn interpret(ctx: *mut Ctx, target: *const TailTarget) -> u64 {
    // SAFETY: engines enter a target with its own address; a program lives as long as workers may enter it. The context is the run's.
    unsafe {
        let prog = Prog::of(target);
        (*ctx).prog = core::ptr::from_ref(prog).cast();
        interp::run(&prog.program, prog.helpers, ctx)
    }
}

/// The program of a target that the interpreter runs, so that it can go on there itself.
///
/// # Safety
/// `target` is valid.
pub(crate) unsafe fn interpreted<'a>(target: *const TailTarget) -> Option<&'a Prog> {
    // SAFETY: the caller's; only programs of ours have this entry.
    unsafe {
        core::ptr::fn_addr_eq((*target).entry, interpret as super::engine::TailEntry)
            .then(|| Prog::of(target))
    }
}

/// The maps of the program that a context runs.
pub(crate) fn maps_of(ctx: &Ctx) -> &[Arc<Map>] {
    // SAFETY: the program that a run's context names, or the hook's, lives until this worker's next quiescent point.
    unsafe { super::run::running(ctx) }.map_or(&[], |p| p.program.maps())
}
