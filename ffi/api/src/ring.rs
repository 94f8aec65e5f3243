//! Rings: what programs tell their host, and what a host tells them.

use crate::status::{arg, fail, number, out, status};
use crate::uxdp_map;
use core::ffi::{c_int, c_void};
use core::ops::ControlFlow;
use uxdp_core::error::Errno;
use uxdp_core::maps::{Commit, PerfRecord};

/// Gets a record: `size` bytes at `data`, which are the library's and gone when it returns. 0 goes on, anything else ends the call behind this record. It must not
/// call the same function on the same map.
pub type uxdp_sample_fn =
    Option<unsafe extern "C" fn(arg: *mut c_void, data: *const c_void, size: usize) -> c_int>;

/// Hands the records of a ring buffer to `fn`, oldest first, until it stops it, or none is whole.
///
/// Returns how many; each is gone from the ring. `m` stays the caller's. Any thread, one at a time. -EINVAL for NULL and maps of other types, -EBUSY while another thread
/// or process reads, -EPROTO where somebody else wrote nonsense into a shared ring.
///
/// # Safety
/// `m` is NULL or a handle; `fn` may be called with `arg`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_ringbuf_consume(
    m: *mut uxdp_map,
    r#fn: uxdp_sample_fn,
    arg: *mut c_void,
) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let m = unsafe { self::arg(m, "map")? };
        let each = r#fn.ok_or_else(|| fail(Errno::EINVAL, format_args!("fn is NULL")))?;
        let mut show = |bytes: &[u8]| {
            // SAFETY: the caller's word; the bytes live during the call.
            match unsafe { each(arg, bytes.as_ptr().cast(), bytes.len()) } {
                0 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        };
        let n = m.loaded()?.ringbuf_consume(&mut show).map_err(|e| m.failed("consume", e))?;
        Ok(c_int::try_from(n).unwrap_or(c_int::MAX))
    })
}

/// Tells `fd`, an eventfd that does not block or alike, when whoever is at the other end of a ring should wake up: the reader of a ring buffer and of a perf event array, the producer
/// of a user ring buffer. -1 ends it.
///
/// `fd` stays the caller's, who closes it only after a call with -1 or when the map is gone. Eight bytes, the number 1, are written to it once at this moment, since something may be there, and then
/// by workers, in uxdp_worker_quiescent, uxdp_worker_offline and when they end, as the flags of the programs' calls say (BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP); a record of an inner map tells all.
/// A map has one `fd`; of a shared map each process tells its own. Any thread. 0; -EINVAL for NULL, maps of other types and numbers below -1; what writing to `fd` answers, -ENOMEM: nothing changes then.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_map_notify(m: *mut uxdp_map, fd: c_int) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        let fd = match fd {
            -1 => None,
            0.. => Some(fd),
            _ => return Err(fail(Errno::EINVAL, format_args!("fd is {fd}"))),
        };
        m.loaded()?.listen(fd, m.env.platform()).map_err(|e| m.failed("notify", e))
    })
}

/// Opens the ring of a slot in a perf event array: samples of its worker are kept from now on.
///
/// `m` stays the caller's. Any thread. 0; -EINVAL for NULL and maps of other types, -E2BIG beyond the entries and slots, -EPERM where the map may only be read.
///
/// # Safety
/// `m` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_perf_open(m: *mut uxdp_map, slot: u32) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let m = unsafe { arg(m, "map")? };
        m.loaded()?.perf_open(slot).map_err(|e| m.failed("open", e))
    })
}

/// Hands the samples of a slot's ring to `fn`, oldest first; what `fn` returns is of no meaning. `*lost`, where it is not NULL, grows by the samples for which there was no
/// room.
///
/// Returns how many samples. `m` stays the caller's. Any thread, one at a time. -EINVAL for NULL and maps of other types, -E2BIG beyond the entries and slots, -EBUSY
/// while another thread reads, -ENOMEM, -EPROTO where somebody else wrote nonsense into a shared ring.
///
/// # Safety
/// `m` is NULL or a handle; `fn` may be called with `arg`; `lost` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_perf_read(
    m: *mut uxdp_map,
    slot: u32,
    r#fn: uxdp_sample_fn,
    arg: *mut c_void,
    lost: *mut u64,
) -> c_int {
    number(|| {
        // SAFETY: the caller's word.
        let (m, lost) = unsafe { (self::arg(m, "map")?, lost.as_mut()) };
        let each = r#fn.ok_or_else(|| fail(Errno::EINVAL, format_args!("fn is NULL")))?;
        let (mut samples, mut gone) = (0, 0);
        let mut show = |record: PerfRecord<'_>| match record {
            PerfRecord::Sample(bytes) => {
                samples += 1;
                // SAFETY: the caller's word; the bytes live during the call.
                unsafe { each(arg, bytes.as_ptr().cast(), bytes.len()) };
            }
            PerfRecord::Lost(n) => gone += n,
        };
        m.loaded()?.perf_read(slot, &mut show).map_err(|e| m.failed("read", e))?;
        if let Some(lost) = lost {
            *lost += gone;
        }
        Ok(samples)
    })
}

/// Room for a sample of `size` bytes in a user ring buffer, 8-aligned: to be filled, and then given to programs or dropped, by one of the two functions below, once.
///
/// `*out` is the caller's until then. Any thread. 0; -EINVAL for NULL and maps of other types, -E2BIG for what no ring of this size holds, -ENOSPC until a program has drained,
/// -EBUSY where another producer does not come to an end.
///
/// # Safety
/// `m` is NULL or a handle; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_user_ringbuf_reserve(
    m: *mut uxdp_map,
    size: u32,
    out: *mut *mut c_void,
) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        let (m, out) = unsafe { (arg(m, "map")?, self::out(out)?) };
        let slot = m.env.client_slot();
        let bytes =
            m.loaded()?.user_ringbuf_reserve(size, slot.slot()).map_err(|e| m.failed("reserve", e))?;
        *out = bytes.cast();
        Ok(())
    })
}

/// Gives a sample to the programs that drain the ring.
///
/// Takes `sample`. Any thread. 0, -EINVAL for NULL.
///
/// # Safety
/// `m` is NULL or a handle; `sample` is NULL or from uxdp_user_ringbuf_reserve of this map, and was not ended yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_user_ringbuf_submit(m: *mut uxdp_map, sample: *mut c_void) -> c_int {
    // SAFETY: the caller's word.
    unsafe { end(m, sample, Commit::Submit) }
}

/// Drops a sample.
///
/// Takes `sample`. Any thread. 0, -EINVAL for NULL.
///
/// # Safety
/// `m` is NULL or a handle; `sample` is NULL or from uxdp_user_ringbuf_reserve of this map, and was not ended yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uxdp_user_ringbuf_discard(m: *mut uxdp_map, sample: *mut c_void) -> c_int {
    // SAFETY: the caller's word.
    unsafe { end(m, sample, Commit::Discard) }
}

/// # Safety
/// As its callers say.
unsafe fn end(m: *mut uxdp_map, sample: *mut c_void, how: Commit) -> c_int {
    status(|| {
        // SAFETY: the caller's word.
        unsafe {
            let m = arg(m, "map")?;
            arg(sample.cast::<u8>(), "sample")?;
            m.loaded()?.user_ringbuf_end(sample.cast(), how);
        }
        Ok(())
    })
}
