//! Maps: settings before the load, and the control plane's access at any time after it.

use crate::object::Owner;
use crate::opts;
use crate::prog::c_text;
use crate::status::{Failed, arg, fail, status};
use crate::{uxdp_map_info, uxdp_prog};
use core::ffi::{c_char, c_int, c_void};
use core::slice;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapType};
use uxdp_core::mem::{OutOfMemory, Vec};
use uxdp_core::sync::Arc;
use uxdp_core::vm::Env;
use uxdp_platform::share::Fd;

/// A map of an object, which belongs to the object unless uxdp_map_ref makes it live longer; or one of its own.
pub struct uxdp_map {
    /// NUL-terminated.
    pub(crate) name: Vec<u8>,
    pub(crate) env: Arc<Env>,
    /// The object, until it is loaded or freed.
    pub(crate) owner: Owner,
    /// Index in the object.
    pub(crate) index: usize,
    /// The map, of which this handle is one user.
    map: spin::Once<Arc<Map>>,
    /// The memfd that it lives in.
    fd: Option<Fd>,
}

impl uxdp_map {
    pub(crate) fn new(env: &Arc<Env>, owner: Owner, index: usize, name: &str) -> Result<Self, OutOfMemory> {
        Ok(uxdp_map { name: c_text(name)?, env: env.clone(), owner, index, map: spin::Once::new(), fd: None })
    }

    /// A map without an object. Its own user is this handle.
    pub(crate) fn alone(env: &Arc<Env>, map: Arc<Map>, fd: Option<Fd>) -> Result<Self, OutOfMemory> {
        let mut handle = uxdp_map::new(env, Owner::none(), 0, map.name())?;
        handle.fd = fd;
        handle.set_loaded(map);
        Ok(handle)
    }

    pub(crate) fn fd(&self) -> Option<&Fd> {
        self.fd.as_ref()
    }

    /// The map of this handle from now on; its user count says so already.
    pub(crate) fn set_loaded(&self, map: Arc<Map>) {
        self.map.call_once(|| map);
    }

    /// # Errors
    /// EINVAL where there is none yet.
    pub(crate) fn loaded(&self) -> Result<&Arc<Map>, Failed> {
        self.map
            .get()
            .ok_or_else(|| fail(Errno::EINVAL, format_args!("map {}: its object is not loaded", self.text())))
    }

    /// The map, once there is one.
    pub(crate) fn loaded_map(&self) -> Option<&Arc<Map>> {
        self.map.get()
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.name).unwrap_or("?").trim_end_matches('\0')
    }

    /// A failed access, with the map's name.
    pub(crate) fn failed(&self, what: &str, errno: Errno) -> Failed {
        fail(errno, format_args!("map {}: {what}: {}", self.text(), errno.text()))
    }
}

impl Drop for uxdp_map {
    fn drop(&mut self) {
        if let Some(map) = self.map.get() {
            map.drop_user(&mut |old| self.env.retire(old));
        }
    }
}

/// The handle, its map, and a key of the map's size. A map without keys has none, so that NULL alone stands for it, as for bpf(2).
///
/// # Safety
/// `m` is NULL or a handle; `key` is NULL or has the map's key size.
pub(crate) unsafe fn with_key<'a>(
    m: *const uxdp_map,
    key: *const c_void,
) -> Result<(&'a uxdp_map, &'a Arc<Map>, &'a [u8]), Failed> {
    // SAFETY: the caller's word.
    unsafe {
        let m = arg(m, "map")?;
        let map = m.loaded()?;
        let key = match map.spec().key_size as usize {
            0 if key.is_null() => &[],
            0 => {
                return Err(fail(
                    Errno::EINVAL,
                    format_args!("map {}: it has no keys: key is NULL", m.text()),
                ));
            }
            size => slice::from_raw_parts(arg(key.cast::<u8>(), "key")?, size),
        };
        Ok((m, map, key))
    }
}

/// The map's full name. NULL for NULL.
///
/// Lives as long as the map. Any thread. Cannot fail otherwise.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_name(m: *const uxdp_map) -> *const c_char {
    // SAFETY: the caller's word.
    unsafe { m.as_ref() }.map_or(core::ptr::null(), |m| m.name.as_ptr().cast())
}

/// One more reference: the map lives until as many uxdp_map_unref, even when its object is freed.
///
/// Returns `m`. Any thread. Cannot fail; NULL stays NULL.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_ref(m: *mut uxdp_map) -> *mut uxdp_map {
    // SAFETY: the caller\'s word.
    unsafe { crate::handle::add_ref(m) }
}

/// Gives back a reference of uxdp_map_ref, or of a function that made or attached a map; NULL is allowed.
///
/// Takes one reference. Any thread; never blocks. Cannot fail.
///
/// # Safety
/// `m` is NULL or was returned by uxdp_map_ref, once for each call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_unref(m: *mut uxdp_map) {
    // SAFETY: the caller's word.
    unsafe { crate::handle::free_raw(m) };
}

/// Sets before the load what a map of global data (.data, .rodata, .bss) holds first: all of it, `len` bytes.
///
/// `data` is copied. The object's thread. 0; -EINVAL for NULL, another length than the section's or a map that is no global data; -EBUSY once the
/// object was loaded; -ENOMEM.
///
/// # Safety
/// `m` is NULL or a handle; `data` is NULL or has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_set_initial_value(
    m: *mut uxdp_map,
    data: *const c_void,
    len: usize,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, data) =
            unsafe { (arg(m, "map")?, slice::from_raw_parts(arg(data.cast::<u8>(), "data")?, len)) };
        m.owner.adjust(|o| o.inner.set_initial_value(m.index, data).map_err(|e| m.failed("initial value", e)))
    })
}

/// Sets before the load how many elements a map has.
///
/// `m` stays the object's. The object's thread. 0; -EINVAL for NULL, 0 and maps of global data; -EBUSY once the object was loaded.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_set_max_entries(m: *mut uxdp_map, max_entries: u32) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        m.owner
            .adjust(|o| o.inner.set_max_entries(m.index, max_entries).map_err(|e| m.failed("max_entries", e)))
    })
}

/// Lets an object use a map of another, loaded object in place of its own, with what it holds: for a new version of a program that keeps its state.
///
/// Takes a reference to `other`, which stays the caller's. The thread of `m`'s object. 0; -EINVAL for NULL, where `other` is not loaded, has another
/// type, key size, value size or flags, or is of another environment; -EBUSY once `m`'s object was loaded.
///
/// # Safety
/// Both are NULL or handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_reuse(m: *mut uxdp_map, other: *mut uxdp_map) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, other) = unsafe { (arg(m, "map")?, arg(other, "other")?) };
        let map = other.loaded()?;
        if !Arc::ptr_eq(&m.env, &other.env) {
            return Err(fail(
                Errno::EINVAL,
                format_args!("map {}: the other map is of another environment", m.text()),
            ));
        }
        m.owner.adjust(|o| {
            let wanted = o.inner.maps().get(m.index).map(|d| d.spec);
            let fits = wanted.is_some_and(|w| {
                let have = map.spec();
                (w.kind, w.key_size, w.value_size, w.flags)
                    == (have.kind, have.key_size, have.value_size, have.flags)
            });
            match o.reuse.get_mut(m.index) {
                Some(place) if fits => *place = Some(map.clone()),
                _ => {
                    return Err(fail(
                        Errno::EINVAL,
                        format_args!("map {}: type, sizes or flags differ from {}", m.text(), other.text()),
                    ));
                }
            }
            Ok(())
        })
    })
}

/// Copies the value of a key to `value`, which has `value_buf_size` bytes of uxdp_map_get_info: for a per-CPU map one value a slot, each rounded
/// up to 8 bytes. A PROG_ARRAY gives the program's id. QUEUE, STACK and BLOOM_FILTER have no keys: `key` is NULL; the value is the next one, or the question to the filter.
///
/// `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT, -EINVAL for NULL, flags, a key where there are none and a map that is not loaded, -EPERM for a
/// map that programs alone may read, -EBUSY where the lock of a QUEUE, STACK or LPM_TRIE is not to be had.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_elem(
    m: *mut uxdp_map,
    key: *const c_void,
    value: *mut c_void,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word; zeroed because C need not have initialised it.
        let (m, map, key, value) = unsafe {
            let (m, map, key) = with_key(m, key)?;
            arg(value, "value")?;
            let size = map.value_buffer_size();
            // The question to a filter is the value itself.
            if map.spec().kind != MapType::BloomFilter {
                value.cast::<u8>().write_bytes(0, size);
            }
            (m, map, key, slice::from_raw_parts_mut(value.cast::<u8>(), size))
        };
        map.lookup_elem(key, value, flags).map_err(|e| m.failed("lookup", e))
    })
}

/// Sets the value of a key, seen by the next packet. `value` has `value_buf_size` bytes, as for uxdp_map_lookup_elem. `flags`: 0 (any), 1 (BPF_NOEXIST) or
/// 2 (BPF_EXIST). Programs are put into a PROG_ARRAY by uxdp_map_update_prog. QUEUE, STACK and BLOOM_FILTER have no keys: `key` is NULL, and the value is pushed.
///
/// `key` and `value` stay the caller's. Any thread, while programs run. 0; -EEXIST, -ENOENT, -E2BIG for a full map and an index beyond the end as the
/// kernel; -EINVAL for NULL, flags, a key where there are none, a PROG_ARRAY, a map of maps and a map that is not loaded; -EPERM for a frozen map; -EBUSY where a lock is not to
/// be had.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_elem(
    m: *mut uxdp_map,
    key: *const c_void,
    value: *const c_void,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key, value) = unsafe {
            let (m, map, key) = with_key(m, key)?;
            (m, map, key, slice::from_raw_parts(arg(value.cast::<u8>(), "value")?, map.value_buffer_size()))
        };
        m.env.update_elem(map, key, value, flags).map_err(|e| m.failed("update", e))
    })
}

/// Removes a key; in a PROG_ARRAY, a map of maps or a device, CPU or socket map empties the entry.
///
/// `key` stays the caller's. Any thread, while programs run. 0; -ENOENT; -EINVAL for NULL, arrays and a map that is not loaded; -E2BIG beyond the end
/// of a PROG_ARRAY; -EPERM for a frozen map.
///
/// # Safety
/// `m` is NULL or a handle; `key` is NULL or has the map's key size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_delete_elem(m: *mut uxdp_map, key: *const c_void) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key) = unsafe { with_key(m, key)? };
        m.env.delete_elem(map, key).map_err(|e| m.failed("delete", e))
    })
}

/// Copies the key after `key` to `next_key`, in the map's own order; the first one for NULL or a key that is not there.
///
/// `key` and `next_key` stay the caller's and may be the same. Any thread, while programs run: keys that come and go meanwhile may be missed or met twice. 0;
/// -ENOENT after the last; -EINVAL for NULL and a map that is not loaded; -EPERM for a map that programs alone may read.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `next_key` are NULL or have the map's key size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_get_next_key(
    m: *mut uxdp_map,
    key: *const c_void,
    next_key: *mut c_void,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map) = unsafe {
            let m = arg(m, "map")?;
            arg(next_key, "next_key")?;
            (m, m.loaded()?)
        };
        let size = map.spec().key_size as usize;
        // The kernel's largest key is 512 bytes; ours are copied because `key` and `next_key` may be the same memory.
        let mut next: Vec<u8> = Vec::filled(0, size)?;
        // SAFETY: the caller's word; used before anything is written.
        let key = (!key.is_null()).then(|| unsafe { slice::from_raw_parts(key.cast::<u8>(), size) });
        map.next_key(key, &mut next).map_err(|e| m.failed("next key", e))?;
        // SAFETY: the caller's word; `next` is memory of our own.
        unsafe { core::ptr::copy_nonoverlapping(next.as_ptr(), next_key.cast::<u8>(), size) };
        Ok(())
    })
}

/// Type, sizes, flags and name of a map; before the load what it is going to be, with id 0.
///
/// `out->sz` is set before (UXDP_STRUCT does it); `m` and `out` stay the caller's, `out->name` lives as long as the map. Any thread; before the load the
/// object's. 0, -EINVAL for NULL, -EBUSY where the object could not be loaded and is freed.
///
/// # Safety
/// `m` is NULL or a handle; `out` is NULL or points at `out->sz` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_get_info(m: *const uxdp_map, out: *mut uxdp_map_info) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        let nr_cpus = m.env.nr_cpus();
        let (spec, id, memory_size) = match m.map.get() {
            Some(map) => (*map.spec(), map.id(), map.memory_size()),
            None => {
                let spec = m.owner.adjust(|o| Ok(o.inner.maps().get(m.index).ok_or(Errno::EINVAL)?.spec))?;
                (spec, 0, 0)
            }
        };
        let slots = if spec.kind.is_percpu() { nr_cpus as usize } else { 1 };
        let info = uxdp_map_info {
            r#type: spec.kind as u32,
            id,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            nr_cpus,
            frozen: m.map.get().is_some_and(|map| map.is_frozen()).into(),
            value_buf_size: spec.slot_value_size() * slots,
            memory_size,
            name: m.name.as_ptr().cast(),
            ..uxdp_map_info::EMPTY
        };
        // SAFETY: the caller's word.
        unsafe { opts::write(out, info) }
    })
}

/// Ends all writes of the control plane to a map, for ever.
///
/// `m` stays the caller's. Any thread. 0; -EPERM where it is frozen already, -EBUSY while a write is under way, -EINVAL for NULL and a map that is not loaded.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_freeze(m: *mut uxdp_map) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        m.loaded()?.freeze().map_err(|e| m.failed("freeze", e))
    })
}

/// Puts a program into entry `index` of a PROG_ARRAY; NULL empties it. The next tail call uses it; the former program is freed when every online worker
/// was quiescent.
///
/// The map takes a reference of its own; `m` and `p` stay the caller's. Any thread, while programs run. 0; -EINVAL for a NULL or other map, a program
/// that is not loaded or of another environment; -E2BIG beyond the last entry, -EPERM for a frozen map, -EBUSY where another writer does not come to an end, -ENOMEM.
///
/// # Safety
/// `m` and `p` are NULL or handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_prog(m: *mut uxdp_map, index: u32, p: *mut uxdp_prog) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, p) = unsafe { (arg(m, "map")?, p.as_ref()) };
        let prog = p.map(|p| p.loaded()).transpose()?.map(|l| &l.prog);
        m.env.set_prog(m.loaded()?, index, prog).map_err(|e| m.failed("program", e))
    })
}
