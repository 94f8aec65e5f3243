//! Connection tracking: the host's, by its callbacks ([`crate::host::Host`]). What can be judged without it is judged here, as the kernel does.
//!
//! Source: the kernel's `net/netfilter/nf_conntrack_bpf.c`.

use super::host::{TUPLES, hold, host, let_go};
use super::{Access, ArgType, Handle, Helper, HelperFn, KFUNC_BASE, Proto, RetType};
use crate::error::Errno;
use crate::host::{CtQuery, Host, Object};
use crate::vm::{Ctx, HeldKind};

const MODIFY: ArgType = ArgType::Mem { access: Access::Modify, nullable: false };
const NEW: ArgType = ArgType::Handle { handle: Handle::NewConn, release: false };
const CONN: ArgType = ArgType::Handle { handle: Handle::Conn, release: false };

const fn row(number: u32, name: &'static str, proto: Proto, func: HelperFn) -> Helper {
    Helper { id: KFUNC_BASE + number, name, proto, func: Some(func) }
}

/// (context, tuple, its size, options, their size).
const fn asking(number: u32, name: &'static str, handle: Handle, func: HelperFn) -> Helper {
    let args = &[ArgType::Ctx, MODIFY, ArgType::ConstSizeOrZero, MODIFY, ArgType::ConstSizeOrZero];
    row(number, name, Proto::new(args, RetType::HandleOrNull(handle)).taking_packet(), func)
}

pub(super) const CT_ALLOC: Helper = asking(14, "bpf_xdp_ct_alloc", Handle::NewConn, ct_alloc);
pub(super) const CT_LOOKUP: Helper = asking(15, "bpf_xdp_ct_lookup", Handle::Conn, ct_lookup);

pub(super) const CT_INSERT: Helper = row(
    16,
    "bpf_ct_insert_entry",
    Proto::new(
        &[ArgType::Handle { handle: Handle::NewConn, release: true }],
        RetType::HandleOrNull(Handle::Conn),
    ),
    ct_insert,
);

pub(super) const CT_RELEASE: Helper = row(
    17,
    "bpf_ct_release",
    Proto::new(&[ArgType::Handle { handle: Handle::Conn, release: true }], RetType::Void),
    ct_release,
);

pub(super) const CT_SET_TIMEOUT: Helper =
    row(18, "bpf_ct_set_timeout", Proto::new(&[NEW, ArgType::Scalar], RetType::Void), ct_set_timeout);
pub(super) const CT_CHANGE_TIMEOUT: Helper = row(
    19,
    "bpf_ct_change_timeout",
    Proto::new(&[CONN, ArgType::Scalar], RetType::Integer),
    ct_change_timeout,
);
pub(super) const CT_SET_STATUS: Helper =
    row(20, "bpf_ct_set_status", Proto::new(&[NEW, ArgType::Scalar], RetType::Integer), ct_set_status);
pub(super) const CT_CHANGE_STATUS: Helper =
    row(21, "bpf_ct_change_status", Proto::new(&[CONN, ArgType::Scalar], RetType::Integer), ct_change_status);

/// `struct bpf_ct_opts`; its last four bytes came later.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Opts {
    netns_id: i32,
    error: i32,
    l4proto: u8,
    dir: u8,
    zone: u16,
    zone_dir: u8,
    reserved: [u8; 3],
}

const SIZE: usize = size_of::<Opts>();
const OLD_SIZE: usize = 12;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The directions of a zone that names none (`NF_CT_DEFAULT_ZONE_DIR`).
const BOTH: u8 = 3;

/// An `int` as a kernel function returns it.
fn int(result: Result<(), Errno>) -> u64 {
    u64::from(result.map_or_else(|e| -e.0, |()| 0) as u32)
}

/// Checks a question, asks, and leaves errors in the options as far as they go.
///
/// Kernel: the error is written where options have it, also behind the size that the program gave; uxdp: only within that size, because no more was proven to be there.
///
/// # Safety
/// Tuple and options are readable and writable for their sizes, `ctx` is the run's context.
unsafe fn ask(
    (tuple, tuple_size): (u64, u64),
    (at, size): (u64, u64),
    ctx: *mut Ctx,
    check: impl FnOnce(&Opts, &[u8]) -> Result<(), Errno>,
    ask: impl FnOnce(&dyn Host, &CtQuery<'_>, &mut Opts) -> Result<Object, Errno>,
) -> u64 {
    let (tuple_size, size) = (tuple_size as u32 as usize, size as u32 as usize);
    let mut opts = Opts::default();
    // SAFETY: the caller's; no more than both sizes.
    let (host, tuple) = unsafe {
        let known = size.min(SIZE);
        core::ptr::copy_nonoverlapping(at as *const u8, (&raw mut opts).cast(), known);
        (host(ctx), core::slice::from_raw_parts(tuple as *const u8, tuple_size))
    };
    let asked = reserved(&opts, size).and_then(|()| check(&opts, tuple));
    let found = asked.and_then(|()| {
        let Opts { netns_id: netns, l4proto: protocol, zone, zone_dir: zone_direction, .. } = opts;
        let query = CtQuery { tuple, netns, protocol, zone, zone_direction };
        let host = host.ok_or(Errno::EOPNOTSUPP)?;
        let found = ask(host, &query, &mut opts)?;
        // SAFETY: the caller's.
        if !unsafe { hold(HeldKind::Connection, found, ctx) } {
            host.ct_release(found);
            return Err(Errno::ENOMEM);
        }
        Ok(found)
    });
    // The zone is settled before the table is asked.
    if asked.is_ok() && found != Err(Errno::ENONET) && opts.zone_dir == 0 {
        opts.zone_dir = BOTH;
    }
    opts.error = found.map_or_else(|e| -e.0, |_| opts.error);
    // SAFETY: as above. What was not there is not written.
    unsafe {
        let changed = if size == SIZE { SIZE } else { core::mem::offset_of!(Opts, zone).min(size) };
        core::ptr::copy_nonoverlapping((&raw const opts).cast::<u8>(), at as *mut u8, changed);
    }
    found.map_or(0, |o| o.as_ptr() as u64)
}

fn reserved(opts: &Opts, size: usize) -> Result<(), Errno> {
    let wrong = match size {
        SIZE => opts.reserved != [0; 3],
        OLD_SIZE => opts.zone != 0,
        _ => true,
    };
    if wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

fn protocol(opts: &Opts) -> Result<(), Errno> {
    if opts.l4proto == TCP || opts.l4proto == UDP { Ok(()) } else { Err(Errno::EPROTO) }
}

fn name_space(opts: &Opts) -> Result<(), Errno> {
    if opts.netns_id < -1 { Err(Errno::EINVAL) } else { Ok(()) }
}

fn family(tuple: &[u8]) -> Result<(), Errno> {
    if TUPLES.contains(&tuple.len()) { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
}

unsafe extern "C" fn ct_alloc(
    _: u64,
    tuple: u64,
    tuple_size: u64,
    opts: u64,
    size: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the verifier proved both memory arguments; the context is the run's.
    unsafe {
        let check = |opts: &Opts, tuple: &[u8]| name_space(opts).and(protocol(opts)).and(family(tuple));
        ask((tuple, tuple_size), (opts, size), ctx, check, |host, query, _| host.ct_alloc(query))
    }
}

unsafe extern "C" fn ct_lookup(
    _: u64,
    tuple: u64,
    tuple_size: u64,
    opts: u64,
    size: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: as `ct_alloc`.
    unsafe {
        let check = |opts: &Opts, tuple: &[u8]| protocol(opts).and(name_space(opts)).and(family(tuple));
        ask((tuple, tuple_size), (opts, size), ctx, check, |host, query, opts| {
            let found = host.ct_lookup(query)?;
            opts.dir = found.direction;
            Ok(found.object)
        })
    }
}

/// The host and an object of it that the verifier proved to be held.
///
/// # Safety
/// `ctx` is the run's context.
unsafe fn held(object: u64, ctx: *const Ctx) -> Option<(&'static dyn Host, Object)> {
    // SAFETY: the caller's.
    Some((unsafe { host(ctx) }?, Object::new(object as *mut _)?))
}

unsafe extern "C" fn ct_insert(new: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    unsafe {
        let Some((host, new)) = held(new, ctx) else { return 0 };
        let_go(HeldKind::Connection, new, ctx);
        let Some(inserted) = host.ct_insert(new) else { return 0 };
        // There is room: the new one's.
        hold(HeldKind::Connection, inserted, ctx);
        inserted.as_ptr() as u64
    }
}

unsafe extern "C" fn ct_release(conn: u64, _: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    unsafe {
        if let Some((host, conn)) = held(conn, ctx) {
            let_go(HeldKind::Connection, conn, ctx);
            host.ct_release(conn);
        }
    }
    0
}

unsafe extern "C" fn ct_set_timeout(new: u64, timeout: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    if let Some((host, new)) = unsafe { held(new, ctx) } {
        host.ct_set_timeout(new, timeout as u32);
    }
    0
}

unsafe extern "C" fn ct_change_timeout(
    conn: u64,
    timeout: u64,
    _: u64,
    _: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    // SAFETY: the run's context.
    let held = unsafe { held(conn, ctx) }.ok_or(Errno::EOPNOTSUPP);
    int(held.and_then(|(host, conn)| host.ct_change_timeout(conn, timeout as u32)))
}

unsafe extern "C" fn ct_set_status(new: u64, status: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    let held = unsafe { held(new, ctx) }.ok_or(Errno::EOPNOTSUPP);
    int(held.and_then(|(host, new)| host.ct_set_status(new, status as u32)))
}

unsafe extern "C" fn ct_change_status(conn: u64, status: u64, _: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the run's context.
    let held = unsafe { held(conn, ctx) }.ok_or(Errno::EOPNOTSUPP);
    int(held.and_then(|(host, conn)| host.ct_change_status(conn, status as u32)))
}
