//! Objects: opened from a file or from memory, adjusted, loaded.
//!
//! Until the load, settings go through the handles of programs and maps to the object, which they reach by an [`Owner`]: one thread uses an object and its
//! handles up to then. The load gives each handle its program or map; after it the object is nothing but a list of them.

use crate::env::resolve;
use crate::handle::{free_raw, into_raw, lent};
use crate::log::LogBuf;
use crate::map::uxdp_map;
use crate::prog::uxdp_prog;
use crate::status::{Failed, arg, fail, out, status};
use crate::{load, memory, opts, uxdp_load_opts, uxdp_open_opts};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::fmt::Write;
use core::sync::atomic::{AtomicPtr, Ordering};
use uxdp_core::error::{Errno, Status};
use uxdp_core::maps::Map;
use uxdp_core::mem::Vec;
use uxdp_core::object::{Object, OpenOptions};
use uxdp_core::platform::MapMemory;
use uxdp_core::sync::Arc;
use uxdp_core::vm::Env;

/// An object: programs and maps of one file.
pub struct uxdp_object {
    pub(crate) env: Arc<Env>,
    pub(crate) memory: Option<&'static dyn MapMemory>,
    pub(crate) numa_node: c_int,
    pub(crate) progs: Vec<Arc<uxdp_prog>>,
    pub(crate) maps: Vec<Arc<uxdp_map>>,
    parts: spin::Mutex<Parts>,
}

/// What settings change.
pub(crate) struct Parts {
    pub(crate) inner: Object,
    /// For each map one that takes its place.
    pub(crate) reuse: Vec<Option<Arc<Map>>>,
}

/// The way from a handle to its object, which ends with the load.
pub(crate) struct Owner(AtomicPtr<uxdp_object>);

impl Owner {
    pub(crate) fn none() -> Self {
        Owner(AtomicPtr::new(core::ptr::null_mut()))
    }

    fn set(&self, object: *const uxdp_object) {
        self.0.store(object.cast_mut(), Ordering::Relaxed); // one thread uses it, see above
    }

    /// Changes the object that is not loaded yet.
    ///
    /// # Errors
    /// EBUSY once it was loaded, or the change's.
    pub(crate) fn adjust<T>(
        &self,
        change: impl FnOnce(&mut Parts) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        // SAFETY: set while the object lives and is not loaded, cleared by load and free; the header leaves all of this to one thread.
        match unsafe { self.0.load(Ordering::Relaxed).as_ref() } {
            Some(object) => change(&mut object.parts.lock()),
            None => Err(fail(Errno::EBUSY, format_args!("the object was loaded: settings come before that"))),
        }
    }
}

impl uxdp_object {
    fn open(elf: &[u8], name: &str, opts: &uxdp_open_opts) -> Result<Self, Failed> {
        // SAFETY: whoever called us vouches for the options.
        let (env, memory) = unsafe { (resolve(opts.env, opts.nr_cpus)?, memory::of_host(opts.map_mem)?) };
        // SAFETY: as above.
        let mut log = unsafe { LogBuf::new(opts.log_buf, opts.log_size) };
        let btf = match opts.btf.is_null() {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { core::slice::from_raw_parts(opts.btf.cast::<u8>(), opts.btf_size) }),
        };
        let inner = Object::open(elf, &OpenOptions { name, btf }).map_err(|e| {
            let _ = writeln!(log, "{name}: {e}"); // a log takes everything
            fail(e.errno(), format_args!("{name}: {e}"))
        })?;
        let mut progs = Vec::with_capacity(inner.programs().len())?;
        for (i, p) in inner.programs().iter().enumerate() {
            progs.push(Arc::new(uxdp_prog::new(Owner::none(), i, &p.name, &p.section)?)?)?;
        }
        let mut maps = Vec::with_capacity(inner.maps().len())?;
        for (i, m) in inner.maps().iter().enumerate() {
            maps.push(Arc::new(uxdp_map::new(&env, Owner::none(), i, &m.name)?)?)?;
        }
        let reuse = Vec::from_fn(maps.len(), |_| None)?;
        let parts = spin::Mutex::new(Parts { inner, reuse });
        Ok(uxdp_object { env, memory, numa_node: opts.numa_node, progs, maps, parts })
    }

    /// Tells the handles where their object is, or that it can no longer be adjusted.
    fn set_owner(&self, object: *const uxdp_object) {
        self.progs.iter().for_each(|p| p.owner.set(object));
        self.maps.iter().for_each(|m| m.owner.set(object));
    }
}

/// Opens and hands out, for both forms.
///
/// # Safety
/// As the two functions that call it.
unsafe fn open(
    opts: *const uxdp_open_opts,
    out: *mut *mut uxdp_object,
    default_name: &str,
    bytes: impl FnOnce() -> Result<Vec<u8>, Failed>,
    borrowed: &[u8],
) -> Result<(), Failed> {
    // SAFETY: the caller's word, for all three.
    let (out, opts) = unsafe { (self::out(out)?, opts::read(opts)?) };
    let name = match opts.name.is_null() {
        true => default_name,
        // SAFETY: the caller's word: NUL-terminated.
        false => unsafe { CStr::from_ptr(opts.name) }
            .to_str()
            .map_err(|_| fail(Errno::EINVAL, format_args!("the object's name is not UTF-8")))?,
    };
    let owned = bytes()?;
    let elf = if owned.is_empty() { borrowed } else { &owned };
    let object = into_raw(uxdp_object::open(elf, name, &opts)?)?;
    // SAFETY: made a line above.
    unsafe { (*object).set_owner(object) };
    *out = object;
    Ok(())
}

/// Opens an object file as clang wrote it: reads and checks it, makes nothing yet.
///
/// `*out` is the caller's until uxdp_object_free; `path` and `opts` are not needed afterwards, `map_mem`'s functions and `arg` as long as maps of theirs
/// live. Any thread. 0; the status of reading the file; -ENOEXEC for a file that is no BPF object, -EINVAL for a malformed one or bad options,
/// -EOPNOTSUPP for what this version does not do, -ENOENT for an undefined symbol, -E2BIG over a limit or for options that this version does not
/// know, -ENOMEM.
///
/// # Safety
/// `path` is NULL or NUL-terminated; `opts` is NULL or points at `opts->sz` bytes whose pointers are NULL or valid; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_open_file(
    path: *const c_char,
    opts: *const uxdp_open_opts,
    out: *mut *mut uxdp_object,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let path = unsafe { CStr::from_ptr(arg(path, "path")?) };
        let text = path.to_str().unwrap_or("object");
        let file = text.rsplit('/').next().unwrap_or(text);
        let name = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        // SAFETY: the caller's word.
        unsafe { open(opts, out, name, || load::read_file(path), &[]) }
    })
}

/// Opens an object that is in memory.
///
/// As uxdp_object_open_file; `elf` stays the caller's and is not needed afterwards. Any thread. 0; -ENOEXEC, -EINVAL, -EOPNOTSUPP, -ENOENT, -E2BIG, -ENOMEM as there.
///
/// # Safety
/// `elf` is NULL or has `len` bytes; `opts` is NULL or points at `opts->sz` bytes whose pointers are NULL or valid; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_open_mem(
    elf: *const c_void,
    len: usize,
    opts: *const uxdp_open_opts,
    out: *mut *mut uxdp_object,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        unsafe {
            let elf = core::slice::from_raw_parts(arg(elf.cast::<u8>(), "elf")?, len);
            open(opts, out, "object", || Ok(Vec::new()), elf)
        }
    })
}

/// Makes the maps, proves and compiles the programs. Either all of it works, or nothing is left behind and the object can be adjusted and loaded again.
///
/// `obj` stays the caller's; its programs and maps can be used from any thread after this. The object's thread, not a worker's. 0; -EACCES for a program that is
/// refused (the log has the kernel's reason, with instruction and source line), -EINVAL for one that is malformed, -E2BIG for too many instructions or branches
/// and for options that this version does not know, -ENOMEM, -EOPNOTSUPP for what this version or machine does not do, -EALREADY when it was loaded before; the
/// status of a map that cannot be made.
///
/// # Safety
/// `obj` is NULL or a handle; `opts` is NULL or points at `opts->sz` bytes whose pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_load(obj: *mut uxdp_object, opts: *const uxdp_load_opts) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (obj, opts) = unsafe { (arg(obj, "object")?, opts::read::<uxdp_load_opts>(opts)?) };
        // SAFETY: the caller's word.
        let mut log = unsafe { LogBuf::new(opts.log_buf, opts.log_size) };
        load::load(obj, &obj.parts.lock(), &opts, &mut log)?;
        obj.set_owner(core::ptr::null());
        Ok(())
    })
}

/// A program by the name of its function, or of its section where it is alone there. NULL where there is none.
///
/// Belongs to the object unless uxdp_prog_ref is called. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `obj` is NULL or a handle; `name` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_find_prog(
    obj: *const uxdp_object,
    name: *const c_char,
) -> *mut uxdp_prog {
    // SAFETY: the caller's word.
    let (Some(obj), Some(name)) = (unsafe { obj.as_ref() }, (unsafe { text(name) })) else {
        return core::ptr::null_mut();
    };
    let found = obj.parts.lock().inner.find_program(name).ok();
    lent(found.and_then(|i| obj.progs.get(i)))
}

/// A map by its name; global data also by the name of its section. NULL where there is none.
///
/// Belongs to the object unless uxdp_map_ref is called. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `obj` is NULL or a handle; `name` is NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_find_map(obj: *const uxdp_object, name: *const c_char) -> *mut uxdp_map {
    // SAFETY: the caller's word.
    let (Some(obj), Some(name)) = (unsafe { obj.as_ref() }, (unsafe { text(name) })) else {
        return core::ptr::null_mut();
    };
    let found = obj.parts.lock().inner.find_map(name);
    lent(found.and_then(|i| obj.maps.get(i)))
}

/// The program after `prev` in the order of the file; the first for NULL, NULL after the last.
///
/// Belongs to the object unless uxdp_prog_ref is called. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `obj` is NULL or a handle; `prev` is NULL or a handle of the same object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_next_prog(
    obj: *const uxdp_object,
    prev: *const uxdp_prog,
) -> *mut uxdp_prog {
    // SAFETY: the caller's word.
    let (obj, prev) = unsafe { (obj.as_ref(), prev.as_ref()) };
    lent(obj.and_then(|o| o.progs.get(prev.map_or(0, |p| p.index + 1))))
}

/// The map after `prev` in the order of the file; the first for NULL, NULL after the last.
///
/// Belongs to the object unless uxdp_map_ref is called. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `obj` is NULL or a handle; `prev` is NULL or a handle of the same object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_next_map(
    obj: *const uxdp_object,
    prev: *const uxdp_map,
) -> *mut uxdp_map {
    // SAFETY: the caller's word.
    let (obj, prev) = unsafe { (obj.as_ref(), prev.as_ref()) };
    lent(obj.and_then(|o| o.maps.get(prev.map_or(0, |m| m.index + 1))))
}

/// Frees an object; NULL is allowed. Programs and maps live on where hooks, maps or references hold them.
///
/// Takes `obj`: handles that were found in it without a reference of their own, and contexts of their hooks, are not used any more. Any thread, never blocks:
/// what workers may still run is freed when they were quiescent. Cannot fail.
///
/// # Safety
/// `obj` came from uxdp_object_open_file or uxdp_object_open_mem and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_object_free(obj: *mut uxdp_object) {
    // SAFETY: the caller's word.
    unsafe {
        if let Some(o) = obj.as_ref() {
            o.set_owner(core::ptr::null());
        }
        free_raw(obj);
    }
}

/// # Safety
/// `name` is NULL or NUL-terminated and lives as long as the result is used.
unsafe fn text<'a>(name: *const c_char) -> Option<&'a str> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the caller's word.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}
