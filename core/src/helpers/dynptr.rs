//! Dynamic pointers: memory whose size is known at run time alone, behind a checked handle on the stack.
//!
//! A handle is [`Dynptr`], the kernel's `struct bpf_dynptr_kern`. Programs can neither read nor write its bytes: the verifier keeps its stack slots to helpers. Every access is
//! checked against the size that stands there. A handle of a packet knows the size that the packet had when it was made; accesses are checked against what it has now too.
//!
//! Source: the kernel's `kernel/bpf/helpers.c`.

use super::{Access, ArgType, DynptrKind, DynptrUse, Helper, HelperFn, KFUNC_BASE, Proto, RetType, chain};
use crate::error::Errno;
use crate::vm::Ctx;

/// Most bytes behind a handle.
const DYNPTR_MAX_SIZE: u32 = (1 << 24) - 1;
/// The bits of the size word that are the size; kind and access are above.
const SIZE_MASK: u32 = 0xff_ffff;
const KIND_SHIFT: u32 = 28;
const RDONLY: u32 = 1 << 31;

/// `struct bpf_dynptr_kern`: what stands on the program's stack.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dynptr {
    /// The memory; the context for a packet; null: nothing.
    data: *mut u8,
    size: u32,
    offset: u32,
}

const _: () = assert!(size_of::<Dynptr>() == 16);

/// Kinds as the kernel numbers them (`enum bpf_dynptr_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Memory = 1,
    Ringbuf = 2,
    Xdp = 4,
}

impl Dynptr {
    pub(crate) const NULL: Dynptr = Dynptr { data: core::ptr::null_mut(), size: 0, offset: 0 };

    const fn of(data: *mut u8, size: u32, kind: Kind) -> Dynptr {
        Dynptr { data, size: size | (kind as u32) << KIND_SHIFT, offset: 0 }
    }

    /// A handle of memory that is written as it is read.
    ///
    /// # Errors
    /// E2BIG for more than a handle can have.
    pub(crate) const fn memory(data: *mut u8, size: u32) -> Result<Dynptr, Errno> {
        if size > DYNPTR_MAX_SIZE { Err(Errno::E2BIG) } else { Ok(Dynptr::of(data, size, Kind::Memory)) }
    }

    const fn is_null(self) -> bool {
        self.data.is_null()
    }

    const fn is_rdonly(self) -> bool {
        self.size & RDONLY != 0
    }

    const fn len(self) -> u32 {
        self.size & SIZE_MASK
    }

    const fn is_packet(self) -> bool {
        (self.size >> KIND_SHIFT) & 7 == Kind::Xdp as u32
    }

    /// Whether `len` bytes at `offset` are within it.
    const fn check(self, offset: u32, len: u32) -> Result<(), Errno> {
        let size = self.len();
        if len > size || offset > size - len { Err(Errno::E2BIG) } else { Ok(()) }
    }

    /// The address of a byte of memory.
    ///
    /// # Safety
    /// It is no packet's, not null, and `offset` was checked.
    unsafe fn at(self, offset: u32) -> *mut u8 {
        // SAFETY: the caller's; the memory has as many bytes as its handle was made with.
        unsafe { self.data.add((self.offset + offset) as usize) }
    }
}

/// Reads the handle that a program holds.
///
/// # Safety
/// The verifier proved that `at` is an initialised handle on the stack, or one that a callback was given.
unsafe fn held(at: u64) -> Dynptr {
    // SAFETY: the caller's.
    unsafe { (at as *const Dynptr).read() }
}

/// Puts a handle, or none, where the program wants it.
///
/// # Safety
/// The verifier proved that `at` is a place for one.
unsafe fn put(at: u64, made: Result<Dynptr, Errno>) -> Result<(), Errno> {
    // SAFETY: the caller's.
    unsafe { (at as *mut Dynptr).write(made.unwrap_or(Dynptr::NULL)) };
    made.map(|_| ())
}

fn long(result: Result<(), Errno>) -> u64 {
    result.map_or_else(Errno::to_ret, |()| 0)
}

/// An `int` as a kernel function returns it.
fn int(result: Result<(), Errno>) -> u64 {
    u64::from(result.map_or_else(|e| -e.0, |()| 0) as u32)
}

const READ: ArgType = ArgType::Dynptr(DynptrUse::Read);

pub(super) const FROM_MEM: Helper = Helper {
    id: 197,
    name: "bpf_dynptr_from_mem",
    proto: Proto::new(
        &[
            ArgType::Mem { access: Access::Write, nullable: false },
            ArgType::ConstSizeOrZero,
            ArgType::Anything,
            ArgType::Dynptr(DynptrUse::New(DynptrKind::Local)),
        ],
        RetType::Integer,
    ),
    func: Some(from_mem),
};

pub(super) const READ_BYTES: Helper = Helper {
    id: 201,
    name: "bpf_dynptr_read",
    proto: Proto::new(
        &[
            ArgType::Mem { access: Access::Write, nullable: false },
            ArgType::ConstSizeOrZero,
            READ,
            ArgType::Anything,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
    func: Some(read),
};

pub(super) const WRITE_BYTES: Helper = Helper {
    id: 202,
    name: "bpf_dynptr_write",
    proto: Proto::new(
        &[
            READ,
            ArgType::Anything,
            ArgType::Mem { access: Access::Read, nullable: false },
            ArgType::ConstSizeOrZero,
            ArgType::Anything,
        ],
        RetType::Integer,
    ),
    func: Some(write),
};

pub(super) const DATA: Helper = Helper {
    id: 203,
    name: "bpf_dynptr_data",
    proto: Proto::new(
        &[READ, ArgType::Anything, ArgType::AllocSize],
        RetType::DynptrMemOrNull { writable: true },
    ),
    func: Some(data),
};

const fn kfunc(number: u32, name: &'static str, args: &[ArgType], func: HelperFn) -> Helper {
    Helper { id: KFUNC_BASE + number, name, proto: Proto::new(args, RetType::Integer), func: Some(func) }
}

const NEW_XDP: ArgType = ArgType::Dynptr(DynptrUse::New(DynptrKind::Xdp));
const SCALAR: ArgType = ArgType::Scalar;

pub(super) const FROM_XDP: Helper =
    kfunc(3, "bpf_dynptr_from_xdp", &[ArgType::Ctx, SCALAR, NEW_XDP], from_xdp);
pub(super) const ADJUST: Helper = kfunc(6, "bpf_dynptr_adjust", &[READ, SCALAR, SCALAR], adjust);
pub(super) const CLONE: Helper =
    kfunc(7, "bpf_dynptr_clone", &[READ, ArgType::Dynptr(DynptrUse::Clone)], clone);
pub(super) const SIZE: Helper = kfunc(8, "bpf_dynptr_size", &[READ], size);
pub(super) const IS_NULL: Helper = kfunc(9, "bpf_dynptr_is_null", &[READ], is_null);
pub(super) const IS_RDONLY: Helper = kfunc(10, "bpf_dynptr_is_rdonly", &[READ], is_rdonly);

const fn slicing(number: u32, name: &'static str, writable: bool, func: HelperFn) -> Helper {
    let buffer = ArgType::Mem { access: Access::Modify, nullable: true };
    let proto =
        Proto::new(&[READ, SCALAR, buffer, ArgType::SliceSize], RetType::DynptrMemOrNull { writable });
    Helper { id: KFUNC_BASE + number, name, proto, func: Some(func) }
}

pub(super) const SLICE: Helper = slicing(4, "bpf_dynptr_slice", false, slice);
pub(super) const SLICE_RDWR: Helper = slicing(5, "bpf_dynptr_slice_rdwr", true, slice_rdwr);

unsafe extern "C" fn from_mem(data: u64, size: u64, flags: u64, at: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    let made = Dynptr::memory(data as *mut u8, size as u32);
    let made = made.and_then(|d| if flags == 0 { Ok(d) } else { Err(Errno::EINVAL) });
    // SAFETY: the verifier proved that r1 is a map's value of r2 bytes, which stays, and that r4 is a place for a handle.
    long(unsafe { put(at, made) })
}

/// The packet's length now.
fn packet_len(ctx: &Ctx) -> u32 {
    u32::try_from(chain::length(ctx)).unwrap_or(u32::MAX).min(DYNPTR_MAX_SIZE)
}

unsafe extern "C" fn from_xdp(_: u64, flags: u64, at: u64, _: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the context is the run's.
    let made = Dynptr::of(ctx.cast(), packet_len(unsafe { &*ctx }), Kind::Xdp);
    // SAFETY: the verifier proved that r3 is a place for a handle.
    int(unsafe { put(at, if flags == 0 { Ok(made) } else { Err(Errno::EINVAL) }) })
}

unsafe extern "C" fn read(to: u64, len: u64, from: u64, offset: u64, flags: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved r2 writable bytes at r1 and a handle at r3; the context is the run's.
    unsafe {
        let (d, offset, len) = (held(from), offset as u32, len as u32);
        if d.is_null() || flags != 0 {
            return Errno::EINVAL.to_ret();
        }
        long(d.check(offset, len).and_then(|()| {
            if d.is_packet() {
                return chain::load(&*ctx, d.offset.wrapping_add(offset), to as *mut u8, len);
            }
            core::ptr::copy(d.at(offset), to as *mut u8, len as usize);
            Ok(())
        }))
    }
}

unsafe extern "C" fn write(to: u64, offset: u64, from: u64, len: u64, flags: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1 and r4 readable bytes at r3; the context is the run's.
    unsafe {
        let (d, offset, len) = (held(to), offset as u32, len as u32);
        if d.is_null() || d.is_rdonly() {
            return Errno::EINVAL.to_ret();
        }
        long(d.check(offset, len).and_then(|()| {
            if flags != 0 {
                return Err(Errno::EINVAL);
            }
            if d.is_packet() {
                return chain::store(&*ctx, d.offset.wrapping_add(offset), from as *const u8, len);
            }
            core::ptr::copy(from as *const u8, d.at(offset), len as usize);
            Ok(())
        }))
    }
}

unsafe extern "C" fn data(from: u64, offset: u64, len: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1.
    unsafe {
        let (d, offset, len) = (held(from), offset as u32, len as u32);
        let refused = d.is_null() || d.check(offset, len).is_err() || d.is_rdonly() || d.is_packet();
        if refused { 0 } else { d.at(offset) as u64 }
    }
}

unsafe extern "C" fn slice(from: u64, offset: u64, buffer: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1, and r4 writable bytes at r3 unless it is null; the context is the run's.
    unsafe {
        let (d, offset, len) = (held(from), offset as u32, len as u32);
        if d.is_null() || d.check(offset, len).is_err() {
            return 0;
        }
        if !d.is_packet() {
            return d.at(offset) as u64;
        }
        let offset = d.offset.wrapping_add(offset);
        match chain::pointer(&*ctx, offset, len) {
            Ok(Some(place)) => place as u64,
            _ if buffer == 0 => 0,
            // Across pieces, or beyond a packet that became shorter: what there is, in the program's buffer.
            _ => {
                chain::gather(&*ctx, offset, buffer as *mut u8, len);
                buffer
            }
        }
    }
}

unsafe extern "C" fn slice_rdwr(from: u64, offset: u64, buffer: u64, len: u64, _: u64, ctx: *mut Ctx) -> u64 {
    // SAFETY: as `slice`.
    unsafe { if held(from).is_rdonly() { 0 } else { slice(from, offset, buffer, len, 0, ctx) } }
}

unsafe extern "C" fn adjust(at: u64, start: u64, end: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1.
    unsafe {
        let (mut d, start, end) = (held(at), start as u32, end as u32);
        if d.is_null() || start > end {
            return int(Err(Errno::EINVAL));
        }
        if end > d.len() {
            return int(Err(Errno::ERANGE));
        }
        d.offset = d.offset.wrapping_add(start);
        d.size = d.size & !SIZE_MASK | (end - start);
        (at as *mut Dynptr).write(d);
    }
    0
}

unsafe extern "C" fn clone(from: u64, to: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1 and a place for one at r2.
    unsafe {
        let d = held(from);
        int(put(to, if d.is_null() { Err(Errno::EINVAL) } else { Ok(d) }))
    }
}

unsafe extern "C" fn size(at: u64, _: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1.
    let d = unsafe { held(at) };
    if d.is_null() { int(Err(Errno::EINVAL)) } else { u64::from(d.len()) }
}

unsafe extern "C" fn is_null(at: u64, _: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1.
    u64::from(unsafe { held(at) }.is_null())
}

unsafe extern "C" fn is_rdonly(at: u64, _: u64, _: u64, _: u64, _: u64, _ctx: *mut Ctx) -> u64 {
    // SAFETY: the verifier proved a handle at r1.
    let d = unsafe { held(at) };
    u64::from(!d.is_null() && d.is_rdonly())
}

/// Makes a handle of a new record in a ring buffer.
pub(super) unsafe extern "C" fn reserve(
    map: u64,
    size: u64,
    flags: u64,
    at: u64,
    _: u64,
    ctx: *mut Ctx,
) -> u64 {
    let size = size as u32;
    let made = match (flags, size <= DYNPTR_MAX_SIZE) {
        (0, true) => {
            // SAFETY: the verifier proved that r1 is a map of the program; the context is the run's.
            let record =
                unsafe { (*(map as *const crate::maps::Map)).ringbuf_reserve(u64::from(size), (*ctx).slot) };
            if record.is_null() { Err(Errno::EINVAL) } else { Ok(Dynptr::of(record, size, Kind::Ringbuf)) }
        }
        (0, false) => Err(Errno::E2BIG),
        _ => Err(Errno::EINVAL),
    };
    // SAFETY: the verifier proved that r4 is a place for a handle.
    long(unsafe { put(at, made) })
}

/// The record of a ring buffer's handle, which ends with this; none where the reservation failed.
///
/// # Safety
/// The verifier proved that `at` is a handle of a reservation.
pub(super) unsafe fn take_record(at: u64) -> Option<*mut u8> {
    // SAFETY: the caller's.
    unsafe {
        let d = held(at);
        (at as *mut Dynptr).write(Dynptr::NULL);
        (!d.is_null()).then_some(d.data)
    }
}
