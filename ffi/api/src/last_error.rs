//! The calling thread's last error in words, for callers that gave no log buffer.
//!
//! One buffer a thread, made when the thread's first call fails and freed when the thread ends. Where memory is too short even for that,
//! the status alone has to do.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::log::LogBuf;

/// Bytes of a thread's text.
const TEXT: usize = 1024;
/// No key made yet; glibc's keys are far below.
const NO_KEY: u32 = u32::MAX;

static KEY: AtomicU32 = AtomicU32::new(NO_KEY);

/// The key of the threads' buffers.
fn key() -> Option<libc::pthread_key_t> {
    let seen = KEY.load(Ordering::Relaxed); // a key is a number: nothing is published with it
    if seen != NO_KEY {
        return Some(seen);
    }
    let mut made = 0;
    // SAFETY: `free` takes what malloc and calloc return, which is all that is stored under the key.
    if unsafe { libc::pthread_key_create(&mut made, Some(libc::free)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(NO_KEY, made, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Some(made),
        Err(first) => {
            // SAFETY: this key was made above and never used.
            unsafe { libc::pthread_key_delete(made) };
            Some(first)
        }
    }
}

/// The thread's buffer, if it has one.
fn existing() -> *mut c_char {
    match KEY.load(Ordering::Relaxed) {
        NO_KEY => core::ptr::null_mut(),
        // SAFETY: a key that was made.
        key => unsafe { libc::pthread_getspecific(key) }.cast(),
    }
}

/// The thread's buffer, made if need be; NULL where there is no memory.
fn buffer() -> *mut c_char {
    let Some(key) = key() else { return core::ptr::null_mut() };
    // SAFETY: a key that was made.
    let mut p: *mut c_void = unsafe { libc::pthread_getspecific(key) };
    if p.is_null() {
        // SAFETY: sizes are not zero; what calloc returns may be stored, and is freed again where it cannot be.
        unsafe {
            p = libc::calloc(1, TEXT);
            if !p.is_null() && libc::pthread_setspecific(key, p) != 0 {
                libc::free(p);
                p = core::ptr::null_mut();
            }
        }
    }
    p.cast()
}

/// Notes what went wrong for the calling thread.
pub(crate) fn set(text: fmt::Arguments<'_>) {
    let p = buffer();
    if p.is_null() {
        return;
    }
    // SAFETY: the thread's own buffer of TEXT bytes; no reference to it outlives a call.
    let mut log = unsafe { LogBuf::new(p, TEXT) };
    let _ = fmt::Write::write_fmt(&mut log, text); // a cut text is the log's business
}

/// Copies the calling thread's last error in words to `buf`, NUL-terminated, its last lines where `n` is too small.
///
/// Returns the length of the whole text without the NUL; 0 when no call of this thread failed. A later success does not clear it.
/// `buf` stays the caller's and may be NULL if `n` is 0. Any thread. Cannot fail.
///
/// # Safety
/// `buf` has `n` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_last_error(buf: *mut c_char, n: usize) -> c_int {
    let text = existing();
    let text: &[u8] = if text.is_null() {
        &[]
    } else {
        // SAFETY: the thread's buffer is NUL-terminated and nobody writes to it during this call.
        unsafe { core::ffi::CStr::from_ptr(text) }.to_bytes()
    };
    // SAFETY: the caller's promise.
    let mut log = unsafe { LogBuf::new(buf, n) };
    log.bytes(text);
    text.len() as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(n: usize) -> (c_int, String) {
        let mut buf = [1u8; 64];
        // SAFETY: n <= 64.
        let len = unsafe { uxdp_last_error(buf.as_mut_ptr().cast(), n) };
        let text = buf[..n].split(|b| *b == 0).next().unwrap();
        (len, String::from_utf8(text.into()).unwrap())
    }

    #[test]
    fn each_thread_has_its_own_text() {
        std::thread::spawn(|| {
            assert_eq!(last(64), (0, String::new()));
            set(format_args!("map {} is full", "counters"));
            assert_eq!(last(64), (20, "map counters is full".into()));
            std::thread::spawn(|| assert_eq!(last(64).0, 0)).join().unwrap();
            assert_eq!(last(0).0, 20);
            // SAFETY: no bytes.
            assert_eq!(unsafe { uxdp_last_error(core::ptr::null_mut(), 0) }, 20);
        })
        .join()
        .unwrap();
    }
}
