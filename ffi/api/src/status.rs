//! Statuses and versions as text, and how a function of this crate ends.

use crate::last_error;
use core::ffi::{c_char, c_int};
use core::fmt;
use uxdp_core::error::Errno;
use uxdp_core::mem::OutOfMemory;

/// The library's version, for example `"0.1.0"`.
///
/// Static memory, never freed. Any thread. Cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn uxdp_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A sentence for a status, whether negative as functions return it or positive.
///
/// Static memory, never freed, NUL-terminated. Any thread. Cannot fail: a number that is no status has a sentence too.
#[unsafe(no_mangle)]
pub extern "C" fn uxdp_strerror(status: c_int) -> *const c_char {
    let text = match status {
        0 => "success\0",
        s => Errno(s.saturating_abs()).text_nul(),
    };
    text.as_ptr().cast()
}

/// A call that failed: its status. Whoever makes one has said why in the thread's last error.
#[derive(Debug)]
pub(crate) struct Failed(Errno);

/// A failure with its reason in words.
pub(crate) fn fail(errno: Errno, why: fmt::Arguments<'_>) -> Failed {
    last_error::set(why);
    Failed(errno)
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        fail(errno, format_args!("{}", errno.text()))
    }
}

impl From<OutOfMemory> for Failed {
    fn from(_: OutOfMemory) -> Self {
        Errno::ENOMEM.into()
    }
}

impl Failed {
    /// What C gets.
    pub(crate) fn code(&self) -> c_int {
        -self.0.0
    }
}

/// Runs a function's body and turns its result into a status.
pub(crate) fn status(body: impl FnOnce() -> Result<(), Failed>) -> c_int {
    body().map_or_else(|f| f.code(), |()| 0)
}

/// Runs a function's body and turns its result into a number or a status.
pub(crate) fn number(body: impl FnOnce() -> Result<c_int, Failed>) -> c_int {
    body().unwrap_or_else(|f| f.code())
}

/// What a pointer argument points to.
///
/// # Errors
/// EINVAL for NULL.
///
/// # Safety
/// `p` is NULL or valid for reads for as long as the result is used.
pub(crate) unsafe fn arg<'a, T>(p: *const T, name: &str) -> Result<&'a T, Failed> {
    // SAFETY: the caller's word.
    unsafe { p.as_ref() }.ok_or_else(|| fail(Errno::EINVAL, format_args!("{name} is NULL")))
}

/// Where a result goes; set to NULL first.
///
/// # Errors
/// EINVAL for NULL.
///
/// # Safety
/// `out` is NULL or valid for writes for as long as the result is used.
pub(crate) unsafe fn out<'a, T>(out: *mut *mut T) -> Result<&'a mut *mut T, Failed> {
    // SAFETY: the caller's word.
    let out = unsafe { out.as_mut() }.ok_or_else(|| fail(Errno::EINVAL, format_args!("out is NULL")))?;
    *out = core::ptr::null_mut();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    #[test]
    fn every_status_has_its_own_sentence() {
        let text = |s| {
            // SAFETY: the function returns static NUL-terminated text.
            unsafe { CStr::from_ptr(uxdp_strerror(s)) }.to_str().unwrap()
        };
        let mut seen = std::collections::HashSet::new();
        for (errno, name, sentence) in Errno::ALL {
            assert_eq!(text(-errno.0), *sentence, "{name}");
            assert_eq!(text(errno.0), *sentence, "{name}");
            assert!(seen.insert(text(errno.0)), "{name} shares its sentence");
        }
        assert_eq!(text(0), "success");
        assert_eq!(text(-9999), "unknown error");
        assert_eq!(text(i32::MIN), "unknown error");
    }
}
