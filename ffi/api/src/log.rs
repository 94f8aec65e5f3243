//! Text for a buffer of the caller's: NUL-terminated, and where it does not fit, its last lines.
//!
//! The buffer is used as a ring while text comes, and turned so that it begins with the oldest whole line when the log is done. A single line
//! that is longer than the buffer keeps its end.

use core::ffi::c_char;
use core::fmt;

/// A log into a caller's buffer.
pub(crate) struct LogBuf<'a> {
    /// All of the buffer; the byte that the NUL needs is given up at the end.
    ring: &'a mut [u8],
    /// Bytes written so far; those beyond the ring's length have overwritten older ones.
    written: usize,
}

impl LogBuf<'_> {
    /// A log into `n` bytes at `buf`; nowhere where either is zero.
    ///
    /// # Safety
    /// `buf` is NULL or has `n` writable bytes that nothing else touches while the log lives.
    pub(crate) unsafe fn new(buf: *mut c_char, n: usize) -> Self {
        if buf.is_null() || n > isize::MAX as usize {
            return LogBuf { ring: &mut [], written: 0 };
        }
        // SAFETY: the caller's promise; zeroed first, because what C hands over may not be initialised.
        let ring = unsafe {
            buf.cast::<u8>().write_bytes(0, n);
            core::slice::from_raw_parts_mut(buf.cast::<u8>(), n)
        };
        LogBuf { ring, written: 0 }
    }

    /// Appends bytes; NULs in them become '?'.
    pub(crate) fn bytes(&mut self, text: &[u8]) {
        let size = self.ring.len();
        // What a longer text would overwrite itself need not be written.
        let skip = text.len().saturating_sub(size);
        self.written += skip;
        for &b in text.iter().skip(skip) {
            if let Some(at) = self.ring.get_mut(self.written.checked_rem(size).unwrap_or(0)) {
                *at = if b == 0 { b'?' } else { b };
            }
            self.written += 1;
        }
    }
}

impl fmt::Write for LogBuf<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

impl Drop for LogBuf<'_> {
    /// Brings the ring in order and ends it with a NUL.
    fn drop(&mut self) {
        let size = self.ring.len();
        if self.written < size || size == 0 {
            return; // a NUL follows: the buffer was zeroed
        }
        self.ring.rotate_left(self.written % size);
        // What stands before the first newline may be the rest of a line: it goes, unless it is all there is. One byte goes in any case.
        let line = self.ring.iter().position(|b| *b == b'\n').map_or(size, |i| i + 1);
        let from = if line < size { line } else { 1 };
        self.ring.copy_within(from.., 0);
        if let Some(rest) = self.ring.get_mut(size - from..) {
            rest.fill(0);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_macros, reason = "tests may abort when memory is short")]
mod tests {
    use super::*;
    use core::fmt::Write;

    fn logged(n: usize, parts: &[&str]) -> String {
        let mut buf = vec![0x7f_u8; n + 1];
        {
            // SAFETY: n bytes.
            let mut log = unsafe { LogBuf::new(buf.as_mut_ptr().cast(), n) };
            for p in parts {
                log.write_str(p).unwrap();
            }
        }
        assert_eq!(buf[n], 0x7f, "wrote beyond the buffer");
        let end = buf[..n].iter().position(|b| *b == 0).expect("no NUL");
        String::from_utf8(buf[..end].to_vec()).unwrap()
    }

    #[test]
    fn text_that_fits_is_kept_whole() {
        assert_eq!(logged(16, &["one\n", "two\n"]), "one\ntwo\n");
        assert_eq!(logged(9, &["one\n", "two\n"]), "one\ntwo\n");
    }

    #[test]
    fn text_that_does_not_fit_keeps_its_last_lines() {
        assert_eq!(logged(8, &["one\n", "two\n"]), "two\n");
        assert_eq!(logged(10, &["first\nsecond\nthird\n"]), "third\n");
        assert_eq!(logged(14, &["first\n", "second\n", "third\n"]), "second\nthird\n"); // 13 bytes and a NUL
    }

    #[test]
    fn line_longer_than_the_buffer_keeps_its_end() {
        assert_eq!(logged(5, &["abcdefghij"]), "ghij");
        assert_eq!(logged(5, &["abcdefghi\n"]), "ghi\n");
        assert_eq!(logged(1, &["abc"]), "");
    }

    #[test]
    fn no_buffer_is_no_log() {
        // SAFETY: NULL is allowed.
        let mut log = unsafe { LogBuf::new(core::ptr::null_mut(), 10) };
        log.bytes(b"text");
        assert!(log.ring.is_empty());
    }
}
