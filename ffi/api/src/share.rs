//! Maps of one's own, and maps that several processes share: made and attached in memory, by a descriptor, by a file.

use crate::env::resolve;
use crate::handle::into_raw;
use crate::map::uxdp_map;
use crate::opts;
use crate::status::{Failed, arg, fail, number, out, status};
use crate::{uxdp_env, uxdp_map_spec};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::NonNull;
use uxdp_core::error::{Errno, Status};
use uxdp_core::maps::{LENT, Map, MapError, MapPlace, MapSpec, MapType, check_sharable, memory_size};
use uxdp_core::sync::Arc;
use uxdp_core::vm::Env;
use uxdp_platform::share::{self, Fd};

/// Bytes of a memfd's name, the NUL included: what the kernel allows less its own prefix.
const FD_NAME: usize = 64;

/// What a caller asks for.
struct Wanted<'a> {
    env: Arc<Env>,
    name: &'a str,
    spec: MapSpec,
}

fn refused(e: MapError) -> Failed {
    fail(e.errno(), format_args!("{e}"))
}

/// A map without inner ones.
fn plain(s: &uxdp_map_spec) -> Result<MapSpec, Failed> {
    const NUMA_NODE: u32 = 1 << 2;
    let kind = MapType::from_number(s.r#type).ok_or_else(|| {
        fail(Errno::EINVAL, format_args!("{} is no map type that XDP programs use", s.r#type))
    })?;
    Ok(MapSpec {
        flags: s.flags,
        extra: s.map_extra,
        numa_node: if s.flags & NUMA_NODE != 0 { s.numa_node } else { -1 },
        ..MapSpec::new(kind, s.key_size, s.value_size, s.max_entries)
    })
}

/// # Safety
/// `env` is NULL or a handle; `spec` and its inner one are NULL or point at as many bytes as their `sz` says.
unsafe fn wanted<'a>(env: *mut uxdp_env, spec: *const uxdp_map_spec) -> Result<Wanted<'a>, Failed> {
    // SAFETY: the caller's word; NULL is refused, since no default makes a map.
    let (env, s) = unsafe {
        arg(spec, "spec")?;
        (resolve(env, 0)?, opts::read(spec)?)
    };
    let mut spec = plain(&s)?;
    if !s.inner.is_null() {
        if !matches!(spec.kind, MapType::ArrayOfMaps | MapType::HashOfMaps) {
            return Err(fail(Errno::EINVAL, format_args!("a {} has no inner maps", spec.kind.name())));
        }
        // SAFETY: the caller's word.
        spec.inner = Some(plain(&unsafe { opts::read(s.inner)? })?.as_inner());
    }
    let name = match s.name.is_null() {
        true => "map",
        // SAFETY: the caller's word: NUL-terminated.
        false => unsafe { CStr::from_ptr(s.name) }
            .to_str()
            .map_err(|_| fail(Errno::EINVAL, format_args!("the map's name is not UTF-8")))?,
    };
    Ok(Wanted { env, name, spec })
}

impl Wanted<'_> {
    fn size(&self) -> Result<usize, Failed> {
        memory_size(&self.spec, &self.env.map_config(None)).map_err(refused)
    }

    fn create_in(&self, place: MapPlace) -> Result<Arc<Map>, Failed> {
        Map::create_in(place, self.name, self.env.new_map_id()?, &self.spec, &self.env.map_config(None))
            .map_err(refused)
    }
}

fn attach(env: &Arc<Env>, place: MapPlace) -> Result<Arc<Map>, Failed> {
    Map::attach(place, env.new_map_id()?, &env.map_config(None)).map_err(refused)
}

fn give(out: &mut *mut uxdp_map, env: &Arc<Env>, map: Arc<Map>, fd: Option<Fd>) -> Result<(), Failed> {
    *out = into_raw(uxdp_map::alone(env, map, fd)?)?;
    Ok(())
}

/// Memory of the caller's, which stays his.
///
/// # Safety
/// `mem` is NULL or has `len` bytes for as long as the map that is made of it.
unsafe fn lent(mem: *mut c_void, len: usize) -> Result<MapPlace, Failed> {
    let base =
        NonNull::new(mem.cast::<u8>()).ok_or_else(|| fail(Errno::EINVAL, format_args!("mem is NULL")))?;
    // SAFETY: the caller's word.
    Ok(unsafe { MapPlace::new(base, len, &LENT) })
}

/// # Safety
/// `path` is NULL or NUL-terminated.
unsafe fn path<'a>(path: *const c_char) -> Result<&'a CStr, Failed> {
    // SAFETY: the caller's word.
    unsafe {
        arg(path, "path")?;
        Ok(CStr::from_ptr(path))
    }
}

fn system(what: &str) -> impl Fn(Errno) -> Failed + '_ {
    move |e| fail(e, format_args!("{what}: {}", e.text()))
}

/// Bytes of memory that a map takes: what uxdp_map_create_in needs at least, and what a file or memfd of it has, rounded up to pages. The memory has to be
/// aligned to a page.
///
/// `spec` stays the caller's; `env` NULL is the default one, whose CPUs count. Any thread. The bytes, or -EINVAL, -E2BIG and others as the kernel refuses the map;
/// -EOPNOTSUPP for a type that this version lacks.
///
/// # Safety
/// `env` is NULL or a handle; `spec` and `spec->inner` are NULL or point at as many bytes as their `sz` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_memory_size(env: *mut uxdp_env, spec: *const uxdp_map_spec) -> i64 {
    // SAFETY: the caller's word.
    let size = unsafe { wanted(env, spec) }.and_then(|w| w.size());
    size.map_or_else(|f| f.code().into(), |n| i64::try_from(n).unwrap_or(i64::MAX))
}

/// Makes a map without an object, in the library's own memory: for an inner map, a map of maps (`spec->inner`), or for uxdp_map_reuse.
///
/// `*out` is the caller's until uxdp_map_unref; `spec` stays his. Any thread. 0; -EINVAL, -E2BIG and others as the kernel refuses the map, -EBADF for a map
/// of maps without `inner`; -EOPNOTSUPP for a type that this version lacks; -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `spec` and `spec->inner` are NULL or point at as many bytes as their `sz` says; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_create(
    env: *mut uxdp_env,
    spec: *const uxdp_map_spec,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, w) = unsafe { (self::out(out)?, wanted(env, spec)?) };
        let map =
            Map::create(w.name, w.env.new_map_id()?, &w.spec, &w.env.map_config(None)).map_err(refused)?;
        give(out, &w.env, map, None)
    })
}

/// Makes a map in memory of the caller's, page-aligned and zeroed, of uxdp_map_memory_size bytes at least, that other processes can attach.
///
/// `mem` stays the caller's, who frees it after the last reference to the map in this process went and uxdp_synchronize returned; until then nobody but maps touches it.
/// `*out` is his until uxdp_map_unref. Any thread. 0; -EEXIST where the memory is not zeroed, -EINVAL where it is too small or not aligned; -EOPNOTSUPP for a type whose
/// entries are references of one process (uxdp_last_error names what); else as uxdp_map_create.
///
/// # Safety
/// `env` is NULL or a handle; `spec` and `spec->inner` are NULL or point at as many bytes as their `sz` says; `mem` has `len` bytes; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_create_in(
    env: *mut uxdp_env,
    spec: *const uxdp_map_spec,
    mem: *mut c_void,
    len: usize,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, w, place) = unsafe { (self::out(out)?, wanted(env, spec)?, lent(mem, len)?) };
        if len < w.size()? {
            return Err(fail(
                Errno::EINVAL,
                format_args!("the map needs {} bytes of memory, {len} are there", w.size()?),
            ));
        }
        let map = w.create_in(place)?;
        give(out, &w.env, map, None)
    })
}

/// Takes part in a map that another process made in memory that both see. The header is checked whole; nothing in the memory is believed.
///
/// `mem` stays the caller's, as for uxdp_map_create_in; `*out` is his until uxdp_map_unref. Any thread. 0; -EPROTO where no map is there or its header is malformed; -EAGAIN
/// where it is not finished; -EOPNOTSUPP for a version that this library does not know; -EINVAL where the environment has another number of CPUs, or the map is of another
/// PID namespace; -EBUSY where too many processes share it; -ENOMEM.
///
/// # Safety
/// `env` is NULL or a handle; `mem` has `len` bytes; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_attach(
    env: *mut uxdp_env,
    mem: *mut c_void,
    len: usize,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, env, place) = unsafe { (self::out(out)?, resolve(env, 0)?, lent(mem, len)?) };
        let map = attach(&env, place)?;
        give(out, &env, map, None)
    })
}

/// Makes a map in a memfd that is sealed against shrinking and growing: uxdp_map_export_fd gives a descriptor of it for another process.
///
/// `*out` is the caller's until uxdp_map_unref; `spec` stays his. Any thread. As uxdp_map_create_in; -EMFILE.
///
/// # Safety
/// `env` is NULL or a handle; `spec` and `spec->inner` are NULL or point at as many bytes as their `sz` says; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_create_shared(
    env: *mut uxdp_env,
    spec: *const uxdp_map_spec,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, w) = unsafe { (self::out(out)?, wanted(env, spec)?) };
        check_sharable(&w.spec).map_err(|e| refused(e.into()))?;
        let mut name = [0; FD_NAME];
        for (to, from) in
            name.iter_mut().take(FD_NAME - 1).zip(b"uxdp:".iter().copied().chain(w.name.bytes()))
        {
            *to = from;
        }
        let name = CStr::from_bytes_until_nul(&name).unwrap_or(c"uxdp");
        let (fd, place) = share::memfd(name, w.size()?).map_err(system("memfd"))?;
        let map = w.create_in(place)?;
        give(out, &w.env, map, Some(fd))
    })
}

/// A descriptor of a map that uxdp_map_create_shared made, or uxdp_map_attach_fd attached: to be sent over a Unix socket, or inherited (clear FD_CLOEXEC then). Whoever
/// has it can read and write the map.
///
/// The descriptor is the caller's, who closes it; `m` stays his. Any thread. The descriptor, or -EINVAL for NULL and maps without one, -EMFILE.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_export_fd(m: *const uxdp_map) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        let fd = m.fd().ok_or_else(|| fail(Errno::EINVAL, format_args!("the map is not in a memfd")))?;
        Ok(Fd::duplicate(fd.number()).map_err(system("duplicate"))?.into_number())
    })
}

/// Maps what mmap(2) of the kernel's map shows, for consumers and producers that were written for that: of a RINGBUF the consumer's page (to be written), the producers' page, and the
/// data twice; of a USER_RINGBUF the same, with the rights exchanged; of an ARRAY with BPF_F_MMAPABLE its values. The map is one of uxdp_map_create_shared or uxdp_map_attach_fd.
///
/// `*out` and `*len` are the caller's, for munmap(2): they may outlive the map. `m` stays his. Any thread. 0; -EINVAL for NULL and maps without a descriptor, -EOPNOTSUPP for
/// types that the kernel does not show, -ENOMEM.
///
/// # Safety
/// `m` is NULL or a handle; `out` and `len` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_mmap(m: *const uxdp_map, out: *mut *mut c_void, len: *mut usize) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, len, to) = unsafe { (arg(m, "map")?, len.as_mut(), crate::status::out(out)?) };
        let len = len.ok_or_else(|| fail(Errno::EINVAL, format_args!("len is NULL")))?;
        let fd = m.fd().ok_or_else(|| fail(Errno::EINVAL, format_args!("the map is not in a memfd")))?;
        let views = m.loaded()?.views();
        let views = views.ok_or_else(|| {
            let kind = m.loaded_map().map_or("?", |m| m.spec().kind.name());
            fail(Errno::EOPNOTSUPP, format_args!("a {kind} without BPF_F_MMAPABLE cannot be mapped"))
        })?;
        let (at, bytes) = share::map_views(fd, &views).map_err(system("mmap"))?;
        (*to, *len) = (at.as_ptr().cast(), bytes);
        Ok(())
    })
}

/// Takes part in the map that a descriptor of uxdp_map_export_fd names.
///
/// `fd` stays the caller's and may be closed at once; `*out` is his until uxdp_map_unref. Any thread. As uxdp_map_attach; -EBADF; -EPERM for a descriptor that is no memfd
/// or not sealed against shrinking.
///
/// # Safety
/// `env` is NULL or a handle; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_attach_fd(env: *mut uxdp_env, fd: c_int, out: *mut *mut uxdp_map) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, env) = unsafe { (self::out(out)?, resolve(env, 0)?) };
        let place = share::map_memfd(fd).map_err(system("descriptor"))?;
        let map = attach(&env, place)?;
        give(out, &env, map, Some(Fd::duplicate(fd).map_err(system("duplicate"))?))
    })
}

/// Makes a map in a new file that its owner alone may open (mode 0600), which keeps it over restarts. Its blocks are reserved; whoever shortens the file kills its users.
///
/// `*out` is the caller's until uxdp_map_unref; the file stays, and `spec` and `path` are his. Any thread. As uxdp_map_create_in; -EEXIST where there is something of
/// that name; -ENOSPC and others of open(2), after which no file is left.
///
/// # Safety
/// `env` is NULL or a handle; `spec` and `spec->inner` are NULL or point at as many bytes as their `sz` says; `path` is NULL or NUL-terminated; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_create_file(
    env: *mut uxdp_env,
    spec: *const uxdp_map_spec,
    path: *const c_char,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, w, path) = unsafe { (self::out(out)?, wanted(env, spec)?, self::path(path)?) };
        check_sharable(&w.spec).map_err(|e| refused(e.into()))?;
        let place = share::create_file(path, w.size()?).map_err(system("file"))?;
        match w.create_in(place) {
            Ok(map) => give(out, &w.env, map, None),
            Err(why) => {
                share::remove_file(path);
                Err(why)
            }
        }
    })
}

/// Takes part in the map of a file that uxdp_map_create_file made: in this process or another of the same user, before or after a restart.
///
/// `path` stays the caller's; `*out` is his until uxdp_map_unref. Any thread. As uxdp_map_attach; -ENOENT; -EPERM for what is no regular file (a symbolic link is none), has
/// other names, belongs to another user or is open to others.
///
/// # Safety
/// `env` is NULL or a handle; `path` is NULL or NUL-terminated; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_attach_file(
    env: *mut uxdp_env,
    path: *const c_char,
    out: *mut *mut uxdp_map,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (out, env, path) = unsafe { (self::out(out)?, resolve(env, 0)?, self::path(path)?) };
        let place = share::open_file(path).map_err(system("file"))?;
        let map = attach(&env, place)?;
        give(out, &env, map, None)
    })
}

/// Puts in order what dead processes left in a shared map, and frees their slots. For whoever watches over the processes: after one died, or now and then. Writers of other
/// processes are told -EBUSY if it takes longer than they wait; readers notice nothing.
///
/// `m` stays the caller's. Any thread that is not inside a program. How many slots came free; -EINVAL for NULL; -EBUSY while another process recovers or a living writer does
/// not end its operation; -EPROTO where somebody wrote nonsense into the map.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_recover(m: *mut uxdp_map) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        let freed = m.loaded()?.recover().map_err(system("recover"))?;
        Ok(c_int::try_from(freed).unwrap_or(c_int::MAX))
    })
}
