//! Statuses and versions as text.

use core::ffi::{c_char, c_int};
use uxdp_core::error::Errno;

/// The library's version, for example `"0.1.0"`.
///
/// Static memory, never freed. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn uxdp_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A sentence for a status, whether negative as functions return it or positive.
///
/// Static memory, never freed, NUL-terminated. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn uxdp_strerror(status: c_int) -> *const c_char {
    let text = match status {
        0 => "success\0",
        s => Errno(s.saturating_abs()).text_nul(),
    };
    text.as_ptr().cast()
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
