//! Maps whose entries refer to something: inner maps, and the targets of device, CPU and socket maps.

use crate::map::with_key;
use crate::status::{arg, fail, status};
use crate::{uxdp_map, uxdp_prog};
use core::ffi::{c_int, c_void};
use core::slice;
use uxdp_core::error::Errno;
use uxdp_core::sync::Arc;

/// Puts a map into an entry of a map of maps, in place of the one that is there: programs see the old one or the new one. `flags` as for uxdp_map_update_elem. An entry is emptied by
/// uxdp_map_delete_elem, and uxdp_map_lookup_elem gives the id of what is there.
///
/// The entry takes a reference of its own; `m`, `key` and `inner` stay the caller's. The former inner map goes when every online worker was quiescent. Any thread, while
/// programs run. 0; -EINVAL for NULL, maps that are not loaded or of different environments, a map that holds no maps, and an inner map that differs from the template (type, sizes,
/// flags); -EEXIST, -ENOENT, -E2BIG as uxdp_map_update_elem; -EPERM for a frozen map; -ENOMEM.
///
/// # Safety
/// `m` and `inner` are NULL or handles; `key` is NULL or has the map's key size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_map(
    m: *mut uxdp_map,
    key: *const c_void,
    inner: *mut uxdp_map,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let ((m, map, key), inner) = unsafe { (with_key(m, key)?, arg(inner, "inner")?) };
        if !Arc::ptr_eq(&m.env, &inner.env) {
            return Err(fail(Errno::EINVAL, format_args!("the inner map is of another environment")));
        }
        m.env.set_map(map, key, inner.loaded()?, flags).map_err(|e| m.failed("inner map", e))
    })
}

/// Sets an entry of a device, CPU or socket map, with a program for the packets that go there. `value` begins as the kernel's: the interface's number, the queue's length or the
/// socket's number, in four bytes; what the map's value has beyond that is ignored, since `p` is the program. NULL: none, as uxdp_map_update_elem sets it.
///
/// The entry takes a reference of its own; everything else stays the caller's. Entries with programs go with the last handle of the map (the object's, unless uxdp_map_ref took one): who frees
/// the object while packets still run keeps the map. What was there goes when every online worker was quiescent. Any thread, while programs run. 0; -EINVAL
/// for NULL, other maps, and a program that is not loaded, of another environment, not made for entries of this type (`SEC("xdp/devmap")`, `SEC("xdp/cpumap")`), or that differs in
/// `xdp.frags` from those that the map goes with; the last two are -ENOMEM in a CPUMAP, as on Linux. -EEXIST, -ENOENT, -E2BIG as uxdp_map_update_elem; -EPERM for a frozen map; -ENOMEM.
///
/// # Safety
/// `m` and `p` are NULL or handles; `key` and `value` are NULL or have the sizes of the map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_update_target(
    m: *mut uxdp_map,
    key: *const c_void,
    value: *const c_void,
    p: *mut uxdp_prog,
    flags: u64,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, map, key, value, p) = unsafe {
            let (m, map, key) = with_key(m, key)?;
            let size = map.spec().value_size as usize;
            (m, map, key, slice::from_raw_parts(arg(value.cast::<u8>(), "value")?, size), p.as_ref())
        };
        let mut number = [0; 8];
        // The rest of a value names a program by a number of the kernel's, which means nothing here.
        for (to, from) in number.iter_mut().zip(value.iter().take(4)) {
            *to = *from;
        }
        let prog = p.map(|p| p.loaded()).transpose()?.map(|l| &l.prog);
        let value = number.get(..value.len()).unwrap_or(value);
        m.env.set_target(map, key, value, prog, flags).map_err(|e| m.failed("target", e))
    })
}
