//! Maps beyond one key and one value: batches, lookup-and-delete, one CPU slot's value, all elements, many keys at once.

use crate::map::with_key;
use crate::status::{Failed, arg, fail, number, status};
use crate::{uxdp_map, uxdp_worker};
use core::ffi::{c_int, c_void};
use core::slice;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Batch, BatchInput, MAX_BATCH_CURSOR, Map, MapType};
use uxdp_core::mem::Vec;
use uxdp_core::sync::Arc;

/// Elements that uxdp_map_for_each_elem copies at a time.
const CHUNK: usize = 64;

/// Gets an element of uxdp_map_for_each_elem: a key, a value of `value_buf_size` bytes, the caller's argument. Anything but 0 ends the walk.
pub type uxdp_elem_fn =
    Option<unsafe extern "C" fn(key: *const c_void, value: *const c_void, arg: *mut c_void) -> c_int>;

/// Copies the value of a key to `value`, which has `value_buf_size` bytes of uxdp_map_get_info, and removes the key; pops a QUEUE or STACK, whose `key` is NULL.
///
/// `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT; -ENOTSUPP (-524) for arrays and other types that cannot; -EINVAL for NULL, flags and a
/// map that is not loaded; -EPERM where the control plane may not read or not write; -EBUSY where the element changes all the time.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_and_delete_elem(
    m: *mut uxdp_map,
    key: *const c_void,
    value: *mut c_void,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key) = unsafe { with_key(m, key)? };
        // SAFETY: the caller's word.
        let value = unsafe { buffer(value, map.value_buffer_size(), "value")? };
        map.lookup_and_delete_elem(m.env.client_slot().slot(), key, value, flags)
            .map_err(|e| m.failed("lookup and delete", e))
    })
}

/// Copies the value that one CPU slot has of a key of a per-CPU map to `value`, which has the value size.
///
/// `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT; -ERANGE for a slot that is none; -EINVAL for NULL, other maps and a map that is not
/// loaded; -EPERM for a map that programs alone may read.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_elem_cpu(
    m: *mut uxdp_map,
    key: *const c_void,
    cpu: u32,
    value: *mut c_void,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key) = unsafe { with_key(m, key)? };
        // SAFETY: the caller's word.
        let value = unsafe { buffer(value, map.spec().value_size as usize, "value")? };
        map.lookup_elem_cpu(key, cpu, value).map_err(|e| m.failed("lookup", e))
    })
}

/// Sets the value that one CPU slot has of a key of a per-CPU map; a new key's other values are zero. `value` has the value size; `flags` as for
/// uxdp_map_update_elem.
///
/// `key` and `value` stay the caller's. Any thread, while programs run. As uxdp_map_update_elem; -ERANGE for a slot that is none, -EINVAL for maps that are not per CPU.
///
/// # Safety
/// `m` is NULL or a handle; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_elem_cpu(
    m: *mut uxdp_map,
    key: *const c_void,
    cpu: u32,
    value: *const c_void,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key, value) = unsafe {
            let (m, map, key) = with_key(m, key)?;
            let size = map.spec().value_size as usize;
            (m, map, key, slice::from_raw_parts(arg(value.cast::<u8>(), "value")?, size))
        };
        map.update_elem_cpu(m.env.client_slot().slot(), key, (cpu, value), flags)
            .map_err(|e| m.failed("update", e))
    })
}

/// Copies the next elements of a hash, array, map of maps or LPM_TRIE: up to `*count` keys to `keys` and values, each of `value_buf_size` bytes, to `values`. A map of maps
/// gives ids; empty entries of its array are passed over.
///
/// `in_batch` is NULL for the first elements, else what the call before wrote to `out_batch`; they may be the same. Both have 4 bytes, and for an LPM_TRIE as many as a key, since
/// its cursor is the last key: where that was deleted meanwhile, the walk begins anew. Else a key that is there throughout a walk is copied once. `*count` says afterwards how
/// many were copied, unless the call was refused at once. `elem_flags` is 0, or BPF_F_LOCK where values have a lock.
///
/// All memory stays the caller's. Any thread, while programs run. 0; -ENOENT with the last element, or behind it; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags and
/// a map that is not loaded; -EPERM for a map that programs alone may read; -EBUSY where a lock is not to be had: the next call goes on from there.
///
/// # Safety
/// `m` is NULL or a handle; the others are NULL or have the sizes that are named.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_batch(
    m: *mut uxdp_map,
    in_batch: *const c_void,
    out_batch: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    count: *mut u32,
    elem_flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        unsafe { Reading { m, in_batch, out_batch, keys, values, count, elem_flags }.run(Map::lookup_batch) }
    })
}

/// As uxdp_map_lookup_batch, and removes what it copies; hashes and HASH_OF_MAPS alone.
///
/// All memory stays the caller's. Any thread, while programs run. As uxdp_map_lookup_batch; -ENOTSUPP (-524) for arrays and an LPM_TRIE too; -EPERM where the control plane may not write.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_and_delete_batch(
    m: *mut uxdp_map,
    in_batch: *const c_void,
    out_batch: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    count: *mut u32,
    elem_flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let env = unsafe { &arg(m, "map")?.env };
        let slot = env.client_slot();
        let take = |map: &Map, from: Option<&[u8]>, next: &mut [u8], batch: &mut Batch<'_>| {
            map.lookup_and_delete_batch(slot.slot(), from, next, batch, &mut |old| env.retire(old))
        };
        // SAFETY: the caller's word.
        unsafe { Reading { m, in_batch, out_batch, keys, values, count, elem_flags }.run(take) }
    })
}

/// Sets the values of `*count` keys of a hash, array or LPM_TRIE, in order, as uxdp_map_update_elem with flags 0. `*count` says afterwards how many were set.
///
/// All memory stays the caller's. Any thread, while programs run. 0; the status of the first update that failed; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags, a
/// map of maps (uxdp_map_update_map sets its entries) and a map that is not loaded; -EPERM for a frozen map.
///
/// # Safety
/// `m` is NULL or a handle; `keys` and `values` are NULL or have `*count` of the map's sizes, `count` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_batch(
    m: *mut uxdp_map,
    keys: *const c_void,
    values: *const c_void,
    count: *mut u32,
    elem_flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, n) = unsafe { counted(m, count)? };
        let value_size = map.value_buffer_size();
        // SAFETY: the caller's word.
        let (keys, values) =
            unsafe { (input(keys, key_size(map), n, "keys")?, input(values, value_size, n, "values")?) };
        let mut batch = BatchInput { keys, values, count: n, elem_flags };
        let done = map.update_batch(m.env.client_slot().slot(), &mut batch);
        // SAFETY: `counted` saw that it is not NULL.
        unsafe { *count = batch.count };
        let of_maps = matches!(map.spec().kind, MapType::ArrayOfMaps | MapType::HashOfMaps);
        let what = if of_maps { "update of a batch by numbers, not by maps" } else { "update of a batch" };
        done.map_err(|e| m.failed(what, e))
    })
}

/// Removes `*count` keys of a hash, HASH_OF_MAPS or LPM_TRIE, in order. `*count` says afterwards how many were removed.
///
/// All memory stays the caller's. Any thread, while programs run. 0; the status of the first that failed; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags and a
/// map that is not loaded; -EPERM for a frozen map.
///
/// # Safety
/// `m` is NULL or a handle; `keys` is NULL or has `*count` keys, `count` is NULL or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_delete_batch(
    m: *mut uxdp_map,
    keys: *const c_void,
    count: *mut u32,
    elem_flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, n) = unsafe { counted(m, count)? };
        // SAFETY: the caller's word.
        let keys = unsafe { input(keys, key_size(map), n, "keys")? };
        let mut batch = BatchInput { keys, values: &[], count: n, elem_flags };
        let done = map.delete_batch(m.env.client_slot().slot(), &mut batch, &mut |old| m.env.retire(old));
        // SAFETY: `counted` saw that it is not NULL.
        unsafe { *count = batch.count };
        done.map_err(|e| m.failed("deletion of a batch", e))
    })
}

/// Shows copies of all elements of a map to `fn`, one after the other, until that returns something other than 0.
///
/// Returns how many were shown. `m` stays the caller's; what `fn` gets lives during its call. `fn` may change the map: a key that is there throughout is shown once. Any thread, while
/// programs run. -EINVAL for NULL and a map that is not loaded; -EOPNOTSUPP for types without keys; -EPERM for a map that programs alone may read; -ENOMEM.
///
/// # Safety
/// `m` is NULL or a handle; `fn` may be called with `arg`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_for_each_elem(
    m: *mut uxdp_map,
    r#fn: uxdp_elem_fn,
    arg: *mut c_void,
) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let m = unsafe { self::arg(m, "map")? };
        let each = r#fn.ok_or_else(|| fail(Errno::EINVAL, format_args!("fn is NULL")))?;
        let map = m.loaded()?;
        if key_size(map) == 0 {
            return Err(m.failed("walk", Errno::EOPNOTSUPP));
        }
        let mut shown = 0;
        let show = |key: &[u8], value: &[u8]| {
            shown += 1;
            // SAFETY: the caller's word; both live during the call.
            unsafe { each(key.as_ptr().cast(), value.as_ptr().cast(), arg) == 0 }
        };
        walk(map, show).map_err(|e| m.failed("walk", e))?;
        Ok(shown)
    })
}

/// Looks `n` keys up at once, faster than one by one: `values[i]` becomes the value of `keys[i]` in the map's own memory, or NULL. Of a per-CPU map it is the value of the
/// worker's slot. In an LRU map it is a use of the keys, as a program's lookup is.
///
/// What the pointers lead to is the map's: they are for reading, by loads of at most 8 bytes, until the worker's next uxdp_worker_quiescent; an element that is deleted or replaced
/// meanwhile may become another key's. The worker's thread. 0; -EINVAL for NULL, a map that is not loaded, is of another environment or whose values programs cannot point to.
///
/// # Safety
/// `w` and `m` are NULL or handles; `keys` has `n` pointers to keys of the map's key size, `values` room for `n` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_lookup_burst(
    w: *mut uxdp_worker,
    m: *mut uxdp_map,
    keys: *const *const c_void,
    values: *mut *mut c_void,
    n: usize,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (w, m) = unsafe { (arg(w, "worker")?, arg(m, "map")?) };
        let map = m.loaded()?;
        if !Arc::ptr_eq(w.worker.env(), &m.env) {
            return Err(m.failed("lookup by a worker of another environment", Errno::EINVAL));
        }
        let has_addresses = matches!(
            map.spec().kind,
            MapType::Array
                | MapType::PercpuArray
                | MapType::Hash
                | MapType::PercpuHash
                | MapType::LruHash
                | MapType::LruPercpuHash
                | MapType::LpmTrie
        );
        if !has_addresses {
            return Err(m.failed("lookup of addresses", Errno::EINVAL));
        }
        // SAFETY: the caller's word.
        let (keys, values) = unsafe {
            (
                slice::from_raw_parts(arg(keys.cast::<*const u8>(), "keys")?, n),
                buffer(values.cast::<*mut u8>(), n, "values")?,
            )
        };
        // SAFETY: the caller's word; the worker holds its slot.
        unsafe { map.lookup_burst(keys, values, w.worker.slot()) };
        Ok(())
    })
}

/// Asks the machine for what a lookup of a key reads first: the bucket of a hash, the element of an ARRAY; does nothing for other types. A hint, for a loop that looks the key
/// up some tens of nanoseconds later.
///
/// `m` and `key` stay the caller's; `key` has the map's key size and is NULL where the map has none. Any thread, while programs run. 0; -EINVAL for NULL and a map that is not
/// loaded.
///
/// # Safety
/// `m` is NULL or a handle; `key` is NULL or has the map's key size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_prefetch(m: *const uxdp_map, key: *const c_void) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (_, map, key) = unsafe { with_key(m, key)? };
        // SAFETY: `with_key` gives as many bytes as a key has.
        unsafe { map.prefetch(key.as_ptr()) };
        Ok(())
    })
}

/// Shows every element until `show` says no.
fn walk(map: &Map, mut show: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), Errno> {
    let (key_size, value_size) = (key_size(map), map.value_buffer_size());
    let mut keys: Vec<u8> = Vec::filled(0, key_size.checked_mul(CHUNK).ok_or(Errno::ENOMEM)?)?;
    let mut values: Vec<u8> = Vec::filled(0, value_size.checked_mul(CHUNK).ok_or(Errno::ENOMEM)?)?;
    // A trie's batch loses its way where `fn` deletes what it is shown.
    if map.spec().kind == MapType::LpmTrie {
        return walk_keys(map, &mut keys, &mut values, show);
    }
    let (mut cursor, mut is_first) = ([0; 4], true);
    loop {
        let from = cursor;
        let (count, flags, elem_flags) = (CHUNK as u32, 0, 0);
        let mut batch = Batch { keys: &mut keys, values: &mut values, count, elem_flags, flags };
        let done = map.lookup_batch((!is_first).then_some(&from[..]), &mut cursor, &mut batch);
        let n = batch.count as usize;
        match done {
            Err(Errno::ENOTSUPP) => return walk_keys(map, &mut keys, &mut values, show),
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
        for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)).take(n) {
            if !show(key, value) {
                return Ok(());
            }
        }
        if done.is_err() {
            return Ok(());
        }
        is_first = false;
    }
}

/// As [`walk`], for types that have no batches, and tries: from key to key. `keys` and `values` have room for two and one.
fn walk_keys(
    map: &Map,
    keys: &mut [u8],
    values: &mut [u8],
    mut show: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), Errno> {
    let key_size = key_size(map);
    let (key, rest) = keys.split_at_mut(key_size);
    let (next, value) = (&mut rest[..key_size], &mut values[..map.value_buffer_size()]);
    let mut more = map.next_key(None, next);
    // A key that goes meanwhile leads back to the first: not for ever.
    for _ in 0..2 * u64::from(map.spec().max_entries) {
        match more {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        }
        key.copy_from_slice(next);
        value.fill(0);
        let read = map.lookup_elem(key, value, 0);
        // Before it is shown, since it may be deleted then.
        more = map.next_key(Some(key), next);
        match read {
            Ok(()) if !show(key, value) => return Ok(()),
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn key_size(map: &Map) -> usize {
    map.spec().key_size as usize
}

/// The arguments of a batch that reads.
struct Reading {
    m: *mut uxdp_map,
    in_batch: *const c_void,
    out_batch: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    count: *mut u32,
    elem_flags: u64,
}

impl Reading {
    /// # Safety
    /// As uxdp_map_lookup_batch.
    unsafe fn run(
        self,
        read: impl FnOnce(&Map, Option<&[u8]>, &mut [u8], &mut Batch<'_>) -> Result<(), Errno>,
    ) -> Result<(), Failed> {
        // SAFETY: the caller's word.
        let (m, map, n) = unsafe { counted(self.m, self.count)? };
        let room = |size: usize| {
            size.checked_mul(n as usize).ok_or_else(|| m.failed("room of a batch", Errno::EFAULT))
        };
        // Copied, because both cursors may be the same memory. Where a call comes nowhere, the next one goes on where this one did.
        let mut cursors = [[0; MAX_BATCH_CURSOR]; 2];
        let size = map.batch_cursor_size();
        let [from, next] = cursors.each_mut().map(|c| c.get_mut(..size).unwrap_or_default());
        if !self.in_batch.is_null() {
            // SAFETY: the caller's word.
            from.copy_from_slice(unsafe { slice::from_raw_parts(self.in_batch.cast::<u8>(), size) });
            next.copy_from_slice(from);
        }
        // SAFETY: the caller's word.
        let (out, keys, values) = unsafe {
            (
                buffer(self.out_batch.cast::<u8>(), size, "out_batch")?,
                buffer(self.keys.cast::<u8>(), room(key_size(map))?, "keys")?,
                buffer(self.values.cast::<u8>(), room(map.value_buffer_size())?, "values")?,
            )
        };
        let mut batch = Batch { keys, values, count: n, elem_flags: self.elem_flags, flags: 0 };
        let done = read(map, (!self.in_batch.is_null()).then_some(from), next, &mut batch);
        out.copy_from_slice(next);
        // SAFETY: `counted` saw that it is not NULL.
        unsafe { *self.count = batch.count };
        done.map_err(|e| m.failed("batch", e))
    }
}

/// The handle, its map, and how many elements are meant.
///
/// # Safety
/// `m` is NULL or a handle, `count` NULL or readable.
unsafe fn counted<'a>(
    m: *mut uxdp_map,
    count: *mut u32,
) -> Result<(&'a uxdp_map, &'a Arc<Map>, u32), Failed> {
    // SAFETY: the caller's word.
    unsafe {
        let m = arg(m, "map")?;
        Ok((m, m.loaded()?, *arg(count, "count")?))
    }
}

/// Memory that is written, zeroed first because C need not have initialised it.
///
/// # Safety
/// `p` is NULL or has room for `n`; a zero is a `T`.
unsafe fn buffer<'a, T>(p: *mut impl Sized, n: usize, name: &str) -> Result<&'a mut [T], Failed> {
    // SAFETY: the caller's word.
    unsafe {
        let p = p.cast::<T>();
        arg(p.cast::<u8>(), name)?;
        p.write_bytes(0, n);
        Ok(slice::from_raw_parts_mut(p, n))
    }
}

/// # Safety
/// `p` is NULL or has `n` of that size.
unsafe fn input<'a>(p: *const c_void, size: usize, n: u32, name: &str) -> Result<&'a [u8], Failed> {
    let len = size
        .checked_mul(n as usize)
        .ok_or_else(|| fail(Errno::EFAULT, format_args!("{name}: {n} of {size} bytes are too many")))?;
    // SAFETY: the caller's word.
    Ok(unsafe { slice::from_raw_parts(arg(p.cast::<u8>(), name)?, len) })
}
