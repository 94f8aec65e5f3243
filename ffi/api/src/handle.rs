//! Handles: a value on the heap with a count of references, which C has as a plain pointer.

use crate::status::Failed;
use core::mem::ManuallyDrop;
use uxdp_core::sync::Arc;

/// Moves a value to the heap and gives the reference to C.
pub(crate) fn into_raw<T>(value: T) -> Result<*mut T, Failed> {
    Ok(Arc::into_raw(Arc::new(value)?).cast_mut())
}

/// What C calls a handle that something else holds; no reference goes with it.
pub(crate) fn lent<T>(held: Option<&Arc<T>>) -> *mut T {
    held.map_or(core::ptr::null_mut(), |h| Arc::as_ptr(h).cast_mut())
}

/// One more reference, for C; NULL stays NULL.
///
/// # Safety
/// `p` is NULL or a handle of that type with at least one reference.
pub(crate) unsafe fn add_ref<T>(p: *mut T) -> *mut T {
    if !p.is_null() {
        // SAFETY: handles are values in an Arc. The reference that is made here from nothing is not given back; the clone is C's.
        let held = ManuallyDrop::new(unsafe { Arc::from_raw(p.cast_const()) });
        core::mem::forget(Arc::clone(&held));
    }
    p
}

/// Takes back and drops a reference that C has; NULL is allowed.
///
/// # Safety
/// `p` is NULL or came from [`into_raw`] or [`add_ref`] of the same type, and is not used afterwards.
pub(crate) unsafe fn free_raw<T>(p: *mut T) {
    if !p.is_null() {
        // SAFETY: the caller's word.
        drop(unsafe { Arc::from_raw(p.cast_const()) });
    }
}
