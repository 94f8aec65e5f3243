//! Loading an object: maps, then programs, then what stands in prog arrays from the start. What fails leaves nothing behind.

use crate::hook::uxdp_hook;
use crate::log::LogBuf;
use crate::object::{Parts, uxdp_object};
use crate::prog::Loaded;
use crate::status::{Failed, fail};
use crate::{UXDP_LOAD_COUNT_ACTIONS, UXDP_LOAD_HYGIENE, UXDP_LOAD_STRICT, uxdp_engine, uxdp_load_opts};
use core::ffi::CStr;
use core::fmt::Write;
use uxdp_core::error::{Errno, Status};
use uxdp_core::helpers::kernel_only;
use uxdp_core::maps::Map;
use uxdp_core::mem::Vec;
use uxdp_core::object::{MapOrigin, SlotInit};
use uxdp_core::program::AttachType;
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{Mode, VerifierError, VerifyOptions, verify};
use uxdp_core::vm::{Counting, EngineChoice, Env, MapDef, ProgOptions, create_maps, install, unfit};

/// Loads every program that is to be loaded.
pub(crate) fn load(
    obj: &uxdp_object,
    parts: &Parts,
    opts: &uxdp_load_opts,
    log: &mut LogBuf<'_>,
) -> Result<(), Failed> {
    let (prog_opts, verify_opts) = settings(opts)?;
    if obj.maps.iter().any(|m| m.loaded_map().is_some()) || obj.progs.iter().any(|p| p.is_loaded()) {
        return Err(fail(Errno::EALREADY, format_args!("the object was loaded before")));
    }
    let maps = Maps::make(obj, parts, log)?;
    let mut progs: Vec<Option<Loaded>> = Vec::with_capacity(obj.progs.len())?;
    for (index, def) in parts.inner.programs().iter().enumerate() {
        let loaded = match def.autoload {
            true => Some(load_prog((obj, parts), index, &maps.list, prog_opts, &verify_opts, log)?),
            false => None,
        };
        progs.push(loaded)?;
    }
    fill_slots(parts, &maps, &progs)?;
    // Nothing fails from here on.
    for (handle, map) in obj.maps.iter().zip(maps.keep()) {
        handle.set_loaded(map);
    }
    for (handle, loaded) in obj.progs.iter().zip(progs) {
        if let Some(loaded) = loaded {
            handle.set_loaded(loaded);
        }
    }
    Ok(())
}

/// The options of a load, checked.
fn settings(opts: &uxdp_load_opts) -> Result<(ProgOptions, VerifyOptions), Failed> {
    const AUTO: u32 = uxdp_engine::UXDP_ENGINE_AUTO as u32;
    const JIT: u32 = uxdp_engine::UXDP_ENGINE_JIT as u32;
    const INTERP: u32 = uxdp_engine::UXDP_ENGINE_INTERP as u32;
    if opts.flags & !(UXDP_LOAD_COUNT_ACTIONS | UXDP_LOAD_HYGIENE | UXDP_LOAD_STRICT) != 0 {
        return Err(fail(Errno::EINVAL, format_args!("unknown load flags {:#x}", opts.flags)));
    }
    let engine = match opts.engine {
        AUTO => EngineChoice::Best,
        JIT => EngineChoice::Jit,
        INTERP => EngineChoice::Interp,
        other => return Err(fail(Errno::EINVAL, format_args!("unknown engine {other}"))),
    };
    let mut verify_opts = VerifyOptions { log_level: opts.log_level, ..VerifyOptions::default() };
    verify_opts.mode = match opts.flags & (UXDP_LOAD_HYGIENE | UXDP_LOAD_STRICT) {
        0 => Mode::Compat,
        UXDP_LOAD_HYGIENE => Mode::Hygiene,
        _ => Mode::Strict,
    };
    if opts.verifier_mem != 0 {
        verify_opts.memory_limit = opts.verifier_mem;
    }
    let counting = match opts.flags & UXDP_LOAD_COUNT_ACTIONS {
        0 => Counting::Aborts,
        _ => Counting::Actions,
    };
    Ok((ProgOptions { engine, counting, limit: opts.run_limit, limit_ns: opts.run_time_limit }, verify_opts))
}

/// The maps of an object on their way to its handles; each counts one user, given back where the load fails.
struct Maps<'a> {
    env: &'a Env,
    list: Vec<Arc<Map>>,
}

impl<'a> Maps<'a> {
    fn make(obj: &'a uxdp_object, parts: &Parts, log: &mut LogBuf<'_>) -> Result<Self, Failed> {
        let defs = parts.inner.maps();
        let mut wanted = Vec::with_capacity(defs.len())?;
        for (def, reuse) in defs.iter().zip(parts.reuse.iter()) {
            let mut spec = def.spec;
            if spec.numa_node < 0 {
                spec.numa_node = obj.numa_node;
            }
            wanted.push(MapDef { name: &def.name, spec, reuse: reuse.as_ref() })?;
        }
        let mut refused = |index: usize, e: Errno| {
            let name = defs.get(index).map_or("?", |d| d.name.as_str());
            let _ = writeln!(log, "map {name}: {e}"); // a log takes everything
            fail(e, format_args!("map {name}: {}", e.text()))
        };
        let list = create_maps(&obj.env, &wanted, obj.memory).map_err(|(i, e)| refused(i, e))?;
        for (map, reuse) in list.iter().zip(parts.reuse.iter()) {
            if reuse.is_some() {
                map.add_user();
            }
        }
        let maps = Maps { env: &obj.env, list };
        for (i, (def, map)) in defs.iter().zip(maps.list.iter()).enumerate() {
            if wanted.get(i).is_some_and(|w| w.reuse.is_some()) {
                continue; // it keeps what it holds
            }
            if matches!(def.origin, MapOrigin::Data(_)) {
                map.set_initial(&def.initial).map_err(|e| refused(i, e))?;
            }
            if def.frozen {
                map.freeze().map_err(|e| refused(i, e))?;
            }
        }
        Ok(maps)
    }

    /// The maps, whose users are the handles now.
    fn keep(mut self) -> Vec<Arc<Map>> {
        core::mem::take(&mut self.list)
    }
}

impl Drop for Maps<'_> {
    fn drop(&mut self) {
        for map in self.list.iter() {
            map.drop_user(&mut |old| self.env.retire(old));
        }
    }
}

/// Links, proves and installs one program.
fn load_prog(
    (obj, parts): (&uxdp_object, &Parts),
    index: usize,
    maps: &[Arc<Map>],
    prog_opts: ProgOptions,
    opts: &VerifyOptions,
    log: &mut LogBuf<'_>,
) -> Result<Loaded, Failed> {
    let name = parts.inner.programs().get(index).map_or("?", |p| p.name.as_str());
    let linked = parts.inner.link_with(index, obj.env.helpers()).map_err(|e| {
        let _ = writeln!(log, "program {name}: {e}"); // a log takes everything
        fail(e.errno(), format_args!("program {name}: {e}"))
    })?;
    let attach = linked.code().attach;
    let list = Vec::from_slice(maps)?;
    let opts = VerifyOptions { nr_cpus: obj.env.nr_cpus(), ..*opts };
    let verified = verify(linked, list, obj.env.helpers(), &opts, log)
        .map_err(|e| match unprovided(parts, &e.error) {
            Some(function) => fail(
                e.errno(),
                format_args!(
                    "program {name} is refused: it calls {function}, which is neither a kernel function of this version nor a helper of the environment (uxdp_env_opts.helpers)"
                ),
            ),
            None => fail(e.errno(), format_args!("program {name} is refused: {e}")),
        })?;
    if let Some(why) = unfit(&obj.env, &verified, &prog_opts) {
        let _ = writeln!(log, "program {name}: {why}"); // a log takes everything
        return Err(fail(why.errno(), format_args!("program {name} is refused: {why}")));
    }
    let prog = install(&obj.env, verified, prog_opts).map_err(|e| {
        let why = if e == Errno::EOPNOTSUPP { "it cannot be compiled on this machine" } else { e.text() };
        fail(e, format_args!("program {name} gets no engine: {why}"))
    })?;
    let hook = match attach {
        AttachType::Xdp => Some(uxdp_hook::of_prog(&obj.env, &prog)?),
        AttachType::XdpDevmap | AttachType::XdpCpumap => None,
    };
    Ok(Loaded { prog, hook })
}

/// The function that a program declares and that nobody provides, where it is refused for that.
fn unprovided<'a>(parts: &'a Parts, error: &VerifierError) -> Option<&'a str> {
    match *error {
        VerifierError::Kfunc { id } if kernel_only(id as u32).is_none() => parts.inner.kfunc_name(id),
        _ => None,
    }
}

/// Puts programs and inner maps where the object says that they stand from the start.
fn fill_slots(parts: &Parts, maps: &Maps<'_>, progs: &[Option<Loaded>]) -> Result<(), Failed> {
    for ((def, map), reuse) in parts.inner.maps().iter().zip(maps.list.iter()).zip(parts.reuse.iter()) {
        if reuse.is_some() {
            continue;
        }
        for &(slot, init) in def.slots.iter() {
            let done = match init {
                SlotInit::Program(p) => match progs.get(p as usize).and_then(Option::as_ref) {
                    Some(loaded) => maps.env.set_prog(map, slot, Some(&loaded.prog)),
                    None => {
                        return Err(fail(
                            Errno::EINVAL,
                            format_args!("map {}: entry {slot} holds a program that is not loaded", def.name),
                        ));
                    }
                },
                SlotInit::Map(inner) => match maps.list.get(inner as usize) {
                    Some(inner) => maps.env.set_map(map, &slot.to_le_bytes(), inner, 0),
                    None => Err(Errno::EINVAL),
                },
            };
            done.map_err(|e| fail(e, format_args!("map {}: entry {slot}: {}", def.name, e.text())))?;
        }
    }
    Ok(())
}

/// All bytes of a file.
///
/// # Errors
/// The system's status, or EIO for one that this library has no sentence for.
pub(crate) fn read_file(path: &CStr) -> Result<Vec<u8>, Failed> {
    let shown = path.to_str().unwrap_or("the file");
    let refused = |what: &str| {
        // SAFETY: always valid to call.
        let code = unsafe { *libc::__errno_location() };
        let known = Errno::ALL.iter().any(|e| e.0.0 == code);
        let errno = if known { Errno(code) } else { Errno::EIO };
        fail(errno, format_args!("cannot {what} {shown} (errno {code})"))
    };
    // SAFETY: a NUL-terminated path.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(refused("open"));
    }
    let mut bytes = Vec::new();
    let read = loop {
        let mut block = [0u8; 16 * 1024];
        // SAFETY: an open descriptor, and a buffer of that size.
        let n = unsafe { libc::read(fd, block.as_mut_ptr().cast(), block.len()) };
        match usize::try_from(n) {
            Err(_) => break Err(refused("read")),
            Ok(0) => break Ok(bytes),
            Ok(n) => {
                if let Err(e) = bytes.extend_from_slice(block.get(..n).unwrap_or_default()) {
                    break Err(e.into());
                }
            }
        }
    };
    // SAFETY: opened above, used no more.
    unsafe { libc::close(fd) };
    read
}
