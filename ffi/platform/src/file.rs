//! Small files of the kernel, read whole.

/// The bytes of a file, as many as fit.
pub(crate) fn read_file<'a>(path: &core::ffi::CStr, out: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: a NUL-terminated path; the descriptor is closed before it leaves here; `out` is writable for its length.
    let got = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let got = libc::read(file, out.as_mut_ptr().cast(), out.len());
        libc::close(file);
        got
    };
    out.get(..usize::try_from(got).ok()?)
}
