//! Option structs, and how a call reads them.
//!
//! Each begins with `sz`, the size that the caller was compiled with: a smaller one leaves the fields beyond it at their defaults, a larger
//! one is fine as long as what this library does not know is zero. None has padding, so that every byte of a newer struct is a field.

use core::ffi::{c_char, c_int, c_void};
use core::mem::size_of;
use uxdp_core::error::Errno;

/// Where map memory comes from. The memory need not be zeroed; it is never moved.
///
/// Both functions may be called from any thread that loads or frees; `arg` is handed to them. Memory is given back when no program, no
/// worker and no handle can reach it any more: in uxdp_synchronize, in the last worker's uxdp_worker_quiescent, or in the call that drops
/// the last reference.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_mem_ops {
    /// `size` bytes aligned to `align` (a power of two, at most a page) for the map `name`, on `numa_node` (-1: any); NULL when it cannot be had.
    pub alloc: Option<
        unsafe extern "C" fn(
            arg: *mut c_void,
            name: *const c_char,
            size: usize,
            align: usize,
            numa_node: c_int,
        ) -> *mut c_void,
    >,
    /// Gives back what `alloc` returned for that size.
    pub free: Option<unsafe extern "C" fn(arg: *mut c_void, p: *mut c_void, size: usize)>,
    /// The caller's own.
    pub arg: *mut c_void,
}

/// How an object is opened. Declare one with `UXDP_OPEN_OPTS(opts, .name = "x", ...)`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_open_opts {
    /// `sizeof(struct uxdp_open_opts)`.
    pub sz: usize,
    /// The object's name in messages; NULL: the file's name, or "object".
    pub name: *const c_char,
    /// The environment; NULL: the default one.
    pub env: *mut crate::uxdp_env,
    /// Slots of per-CPU maps, which an environment fixes once: the first open decides for the default one. 0: whatever the environment has.
    pub nr_cpus: u32,
    /// NUMA node for map memory; -1, which UXDP_OPEN_OPTS sets: any.
    pub numa_node: c_int,
    /// Where maps live; NULL: anonymous pages. Copied; `arg` and the functions stay in use as long as the maps.
    pub map_mem: *const uxdp_mem_ops,
    /// Gets the reason of a refusal, NUL-terminated; NULL: none. Used during the call only.
    pub log_buf: *mut c_char,
    /// Bytes of `log_buf`.
    pub log_size: usize,
    /// 0: errors only.
    pub log_level: u32,
    /// 0.
    pub reserved: u32,
}

/// Which engine runs a program.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum uxdp_engine {
    /// Compiled code where the machine allows it, else the interpreter.
    UXDP_ENGINE_AUTO = 0,
    /// Compiled code, or the load fails with -EOPNOTSUPP.
    UXDP_ENGINE_JIT = 1,
    /// The interpreter.
    UXDP_ENGINE_INTERP = 2,
}

/// How an object is loaded. Declare one with `UXDP_LOAD_OPTS(opts, .log_buf = buf, .log_size = sizeof(buf))`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uxdp_load_opts {
    /// `sizeof(struct uxdp_load_opts)`.
    pub sz: usize,
    /// One of `enum uxdp_engine`.
    pub engine: u32,
    /// 0.
    pub flags: u32,
    /// Most bytes that verifying one program may take; 0: the default.
    pub verifier_mem: usize,
    /// Gets the verifier's log, NUL-terminated, its last lines where it is cut; NULL: none. Used during the call only.
    pub log_buf: *mut c_char,
    /// Bytes of `log_buf`.
    pub log_size: usize,
    /// As the kernel's: 0 the reason of a refusal only, 1 each instruction once with its state, 2 every visit, 4 the closing counts.
    pub log_level: u32,
    /// 0.
    pub reserved: u32,
}

/// An option struct of C.
///
/// # Safety
/// `repr(C)`, begins with `sz: usize`, has no padding, and any bytes are a valid value of it.
pub(crate) unsafe trait Opts: Copy {
    /// What a NULL pointer and fields beyond the caller's `sz` stand for.
    const DEFAULT: Self;
}

// SAFETY: as the trait asks; the size assertions below exclude padding.
unsafe impl Opts for uxdp_open_opts {
    const DEFAULT: Self = uxdp_open_opts {
        sz: size_of::<Self>(),
        name: core::ptr::null(),
        env: core::ptr::null_mut(),
        nr_cpus: 0,
        numa_node: -1,
        map_mem: core::ptr::null(),
        log_buf: core::ptr::null_mut(),
        log_size: 0,
        log_level: 0,
        reserved: 0,
    };
}

// SAFETY: as above.
unsafe impl Opts for uxdp_load_opts {
    const DEFAULT: Self = uxdp_load_opts {
        sz: size_of::<Self>(),
        engine: 0,
        flags: 0,
        verifier_mem: 0,
        log_buf: core::ptr::null_mut(),
        log_size: 0,
        log_level: 0,
        reserved: 0,
    };
}

const _: () = {
    assert!(size_of::<uxdp_open_opts>() == 64);
    assert!(size_of::<uxdp_load_opts>() == 48);
};

/// The caller's options over the defaults.
///
/// # Errors
/// EINVAL where `sz` does not even cover itself, E2BIG where a field that this library does not know is set.
///
/// # Safety
/// `opts` is NULL or points at `sz` readable bytes.
pub(crate) unsafe fn read<T: Opts>(opts: *const T) -> Result<T, Errno> {
    let mut out = T::DEFAULT;
    if opts.is_null() {
        return Ok(out);
    }
    // SAFETY: the caller's struct begins with `sz`.
    let sz = unsafe { opts.cast::<usize>().read() };
    if sz < size_of::<usize>() {
        return Err(Errno::EINVAL);
    }
    let known = sz.min(size_of::<T>());
    // SAFETY: `sz` bytes are readable, and the trait says that any bytes make a T.
    unsafe { core::ptr::copy_nonoverlapping(opts.cast::<u8>(), (&raw mut out).cast(), known) };
    // SAFETY: `known <= sz` bytes are readable.
    let unknown = unsafe { core::slice::from_raw_parts(opts.cast::<u8>().add(known), sz - known) };
    if unknown.iter().any(|b| *b != 0) { Err(Errno::E2BIG) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newer header's struct: one field more than this library knows.
    #[repr(C)]
    struct Newer {
        known: uxdp_load_opts,
        extra: u64,
    }

    fn read_newer(extra: u64) -> Result<uxdp_load_opts, Errno> {
        let mut n = Newer { known: uxdp_load_opts::DEFAULT, extra };
        n.known.sz = size_of::<Newer>();
        n.known.engine = 2;
        // SAFETY: `sz` is the whole struct's.
        unsafe { read((&raw const n).cast()) }
    }

    #[test]
    fn unknown_fields_must_be_zero() {
        assert_eq!(read_newer(0).unwrap().engine, 2);
        assert_eq!(read_newer(1 << 40).err(), Some(Errno::E2BIG));
    }

    #[test]
    fn fields_beyond_the_callers_size_are_defaults() {
        let old = uxdp_open_opts { sz: 24, numa_node: 5, nr_cpus: 3, ..uxdp_open_opts::DEFAULT };
        // SAFETY: `sz` is below the struct's size.
        let seen = unsafe { read(&raw const old) }.unwrap();
        assert_eq!((seen.numa_node, seen.nr_cpus), (-1, 0));
    }

    #[test]
    fn size_that_does_not_cover_itself_is_refused() {
        let bad = uxdp_load_opts { sz: 4, ..uxdp_load_opts::DEFAULT };
        // SAFETY: a whole struct is readable.
        assert_eq!(unsafe { read(&raw const bad) }.err(), Some(Errno::EINVAL));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { read::<uxdp_load_opts>(core::ptr::null()) }.unwrap().engine, 0);
    }
}
