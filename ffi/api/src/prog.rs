//! Programs: names, settings before the load, what runs them, their counters.

use crate::object::Owner;
use crate::opts;
use crate::status::{Failed, arg, fail, number, status};
use crate::{uxdp_engine, uxdp_hook};
use core::ffi::{c_char, c_int};
use uxdp_core::error::Errno;
use uxdp_core::mem::{OutOfMemory, Vec};
use uxdp_core::sync::Arc;
use uxdp_core::vm::Prog;

/// A program of an object. Belongs to the object unless uxdp_prog_ref makes it live longer.
pub struct uxdp_prog {
    /// Both NUL-terminated.
    pub(crate) name: Vec<u8>,
    pub(crate) section: Vec<u8>,
    /// The object, until it is loaded or freed.
    pub(crate) owner: Owner,
    /// Index in the object.
    pub(crate) index: usize,
    loaded: spin::Once<Loaded>,
}

/// What a program is once it is loaded.
pub(crate) struct Loaded {
    pub(crate) prog: Arc<Prog>,
    /// Its own hook; none for programs of device and CPU maps.
    pub(crate) hook: Option<uxdp_hook>,
}

/// A copy of `text` with a NUL at its end.
pub(crate) fn c_text(text: &str) -> Result<Vec<u8>, OutOfMemory> {
    let mut out = Vec::with_capacity(text.len() + 1)?;
    out.extend_from_slice(text.as_bytes())?;
    out.push(0)?;
    Ok(out)
}

impl uxdp_prog {
    pub(crate) fn new(owner: Owner, index: usize, name: &str, section: &str) -> Result<Self, OutOfMemory> {
        Ok(uxdp_prog {
            name: c_text(name)?,
            section: c_text(section)?,
            owner,
            index,
            loaded: spin::Once::new(),
        })
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    pub(crate) fn set_loaded(&self, loaded: Loaded) {
        self.loaded.call_once(|| loaded);
    }

    /// # Errors
    /// EINVAL where it is not loaded.
    pub(crate) fn loaded(&self) -> Result<&Loaded, Failed> {
        self.loaded.get().ok_or_else(|| {
            let name = core::str::from_utf8(&self.name).unwrap_or("?").trim_end_matches('\0');
            fail(Errno::EINVAL, format_args!("program {name} is not loaded"))
        })
    }
}

/// The program's name: that of its function. NULL for NULL.
///
/// Lives as long as the program. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_name(p: *const uxdp_prog) -> *const c_char {
    // SAFETY: the caller's word.
    unsafe { p.as_ref() }.map_or(core::ptr::null(), |p| p.name.as_ptr().cast())
}

/// The name of the section that the program stands in, for example "xdp". NULL for NULL.
///
/// Lives as long as the program. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_section(p: *const uxdp_prog) -> *const c_char {
    // SAFETY: the caller's word.
    unsafe { p.as_ref() }.map_or(core::ptr::null(), |p| p.section.as_ptr().cast())
}

/// One more reference: the program lives until as many uxdp_prog_unref, even when its object is freed.
///
/// Returns `p`. Any thread. Cannot fail; NULL stays NULL.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_ref(p: *mut uxdp_prog) -> *mut uxdp_prog {
    // SAFETY: the caller\'s word.
    unsafe { crate::handle::add_ref(p) }
}

/// Gives back a reference of uxdp_prog_ref; NULL is allowed.
///
/// Takes one reference. Any thread; never blocks. Cannot fail.
///
/// # Safety
/// `p` is NULL or was returned by uxdp_prog_ref, once for each call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_unref(p: *mut uxdp_prog) {
    // SAFETY: the caller's word.
    unsafe { crate::handle::free_raw(p) };
}

/// Says before the load whether uxdp_object_load loads this program; all are loaded unless their section begins with '?'.
///
/// `p` stays the object's. The object's thread. 0, -EINVAL for NULL, -EBUSY once the object was loaded.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_set_autoload(p: *mut uxdp_prog, autoload: c_int) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let p = unsafe { arg(p, "program")? };
        p.owner.adjust(|o| Ok(o.inner.set_autoload(p.index, autoload != 0)?))
    })
}

/// The program's own hook, for the simple case: this program alone, for good.
///
/// NULL for NULL, a program that is not loaded, or one for entries of a device or CPU map. Belongs to the program. Any thread.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_hook(p: *mut uxdp_prog) -> *mut uxdp_hook {
    // SAFETY: the caller's word.
    let hook = unsafe { p.as_ref() }.and_then(|p| p.loaded.get()).and_then(|l| l.hook.as_ref());
    hook.map_or(core::ptr::null_mut(), |h| core::ptr::from_ref(h).cast_mut())
}

/// What runs the program: UXDP_ENGINE_JIT or UXDP_ENGINE_INTERP.
///
/// `p` stays the caller's. Any thread. -EINVAL for NULL and a program that is not loaded.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_engine(p: *const uxdp_prog) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let prog = unsafe { arg(p, "program")? }.loaded()?;
        Ok(match prog.prog.engine().name() {
            "interp" => uxdp_engine::UXDP_ENGINE_INTERP,
            _ => uxdp_engine::UXDP_ENGINE_JIT,
        } as c_int)
    })
}

/// Bytes of native stack that a run of the program takes at most, tail-called programs and helpers apart, but for those that call functions of the program.
///
/// `p` stays the caller's. Any thread. -EINVAL for NULL and a program that is not loaded.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_stack_size(p: *const uxdp_prog) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let prog = unsafe { arg(p, "program")? }.loaded()?;
        Ok(c_int::try_from(prog.prog.stack_size()).unwrap_or(c_int::MAX))
    })
}

/// What the program needs of a port: `*needs` gets the bits of UXDP_OFFERS_* without UXDP_OFFERS_STATED; UXDP_OFFERS_SEVERAL_BUFFERS says that it takes no packets in
/// several buffers, UXDP_OFFERS_TX that the constant XDP_TX is one of its answers. Programs that it reaches by tail call have needs of their own.
///
/// `p` stays the caller's. Any thread. 0, -EINVAL for NULL and a program that is not loaded.
///
/// # Safety
/// `p` is NULL or a handle; `needs` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_needs(p: *const uxdp_prog, needs: *mut u32) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (p, needs) = unsafe { (arg(p, "program")?, needs.as_mut()) };
        let needs = needs.ok_or_else(|| fail(Errno::EINVAL, format_args!("needs is NULL")))?;
        *needs = p.loaded()?.prog.needs().bits();
        Ok(())
    })
}

/// The program's number in its environment, from 1, never used again; 0 for NULL and a program that is not loaded.
///
/// `p` stays the caller's. Any thread. Cannot fail.
///
/// # Safety
/// `p` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_id(p: *const uxdp_prog) -> u32 {
    // SAFETY: the caller's word.
    unsafe { p.as_ref() }.and_then(|p| p.loaded.get()).map_or(0, |l| l.prog.id())
}

/// The program's counters in one slot, or added up over all with UXDP_ALL_SLOTS. They count while workers run: a sum is of no one moment.
/// Aborted runs are counted by reason always, runs and actions where the object was loaded with UXDP_LOAD_COUNT_ACTIONS.
///
/// `out->sz` is set before; `p` and `out` stay the caller's. Any thread. 0; -EINVAL for NULL and a program that is not loaded, -ERANGE for a slot
/// that there is not.
///
/// # Safety
/// `p` is NULL or a handle; `out` is NULL or points at `out->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_prog_stats(
    p: *const uxdp_prog,
    slot: c_int,
    out: *mut opts::uxdp_prog_stats,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let prog = &unsafe { arg(p, "program")? }.loaded()?.prog;
        let slot = match slot {
            opts::UXDP_ALL_SLOTS => None,
            s => Some(u32::try_from(s).ok().filter(|s| *s < prog.env().nr_cpus()).ok_or(Errno::ERANGE)?),
        };
        let sum = prog.stats().sum(slot);
        let mut stats = opts::uxdp_prog_stats { runs: sum.runs(), ..opts::uxdp_prog_stats::EMPTY };
        for (to, from) in stats.actions.iter_mut().zip(sum.actions) {
            *to = from;
        }
        for (to, from) in stats.aborts.iter_mut().zip(sum.aborts) {
            *to = from;
        }
        // SAFETY: the caller's word.
        unsafe { opts::write(out, stats) }
    })
}
