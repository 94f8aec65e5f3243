//! Judges obligations against a state: registers that are read, pointers that are used, bounds of every kind of memory.
//!
//! Nothing here changes a state. A judgement of "holds" covers every concrete state that the abstract one describes; [`super::transfer`]
//! and the engines rely on exactly what was judged. The order of the tests is the kernel's, so that the message is.

use super::error::VerifierError as E;
use super::input::Input;
use super::obligation::{AccessKind, MemAccess, Obligation};
use super::reg::{Kind, Reg, Slice};
use super::state::State;
use super::tnum::Tnum;
use crate::isa::Reg as R;
use crate::limits::{BPF_MAX_VAR_OFF, MAX_BPF_STACK};
use crate::maps::spec::flags::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use crate::program::{AttachType, CtxField};

/// Bytes of the number that an iterator shows.
const ITER_NUM_SIZE: u32 = 4;

/// Whether memory is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    /// Read.
    Read,
    /// Written.
    Write,
}

/// Judges one obligation.
pub(crate) fn holds(input: &Input<'_>, state: &State, o: &Obligation) -> Result<(), E> {
    match *o {
        Obligation::Readable(r) => readable(state, r),
        Obligation::Writable(R::FP) => Err(E::FramePointerReadOnly),
        Obligation::Writable(_) => Ok(()),
        Obligation::Mem(m) => memory(input, state, &m),
        Obligation::Spill { value, base, size } => spill(state, value, base, size.bytes()),
        Obligation::Never(e) => Err(e),
    }
}

/// A register that was written on this path.
pub(crate) fn readable(state: &State, r: R) -> Result<(), E> {
    if state.reg(r).is_not_init() { Err(E::NotReadable { reg: r.num() }) } else { Ok(()) }
}

fn memory(input: &Input<'_>, state: &State, m: &MemAccess) -> Result<(), E> {
    let reg = state.reg(m.base);
    let (num, off, size) = (m.base.num(), i32::from(m.off), m.size.bytes());
    let atomic = matches!(m.kind, AccessKind::Atomic | AccessKind::Ordered { .. });
    // Kernel: takes atomics on the memory of a global function's caller; uxdp: not, because nothing says that it is aligned, or no packet.
    if atomic && (matches!(reg.kind, Kind::Ctx | Kind::Mem(_) | Kind::Slice(_)) || reg.kind.is_packet()) {
        let kind = reg.kind.name();
        return match m.kind {
            AccessKind::Ordered { writes: false } => Err(E::AtomicLoad { reg: num, kind }),
            AccessKind::Ordered { .. } if reg.kind == Kind::Ctx => context(input, reg, m, Dir::Write),
            _ => Err(E::AtomicKind { reg: num, kind }),
        };
    }
    let dirs: &[Dir] = match m.kind {
        AccessKind::Load | AccessKind::LoadSigned | AccessKind::Ordered { writes: false } => &[Dir::Read],
        AccessKind::Store | AccessKind::Ordered { writes: true } => &[Dir::Write],
        AccessKind::Atomic => &[Dir::Read, Dir::Write],
    };
    if atomic || matches!(reg.kind, Kind::Stack(_)) {
        aligned(reg, off, size)?;
    }
    for &dir in dirs {
        match reg.kind {
            Kind::Ctx => context(input, reg, m, dir)?,
            Kind::Stack(frame) => stack_access(state, reg, num, frame, off, size, dir)?,
            Kind::MapValue(_)
            | Kind::MapKey(_)
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::Mem(_)
            | Kind::Ring(_)
            | Kind::Slice(_)
            | Kind::IterNum => {
                region(input, reg, num, off, size, dir, ZeroSize::Refused)?;
            }
            _ => return Err(E::InvalidMem { reg: num, kind: reg.kind.name() }),
        }
    }
    Ok(())
}

/// Whether an access is aligned to its size, as far as the pointer's own offset tells.
pub(crate) fn aligned(reg: &Reg, off: i32, size: u32) -> Result<(), E> {
    let at = reg.var.tnum() + Tnum::constant((i64::from(reg.off) + i64::from(off)) as u64);
    if at.is_aligned(u64::from(size)) {
        return Ok(());
    }
    Err(E::Misaligned {
        kind: if matches!(reg.kind, Kind::Stack(_)) { "stack" } else { "value" },
        var: reg.var.tnum(),
        reg_off: reg.off,
        off,
        size,
    })
}

/// The context: aligned reads of whole fields, nothing else, through the pointer as it was given.
fn context(input: &Input<'_>, reg: &Reg, m: &MemAccess, dir: Dir) -> Result<(), E> {
    unmodified(reg, m.base.num())?;
    let bad = E::InvalidCtx { off: i32::from(m.off), size: m.size.bytes() };
    let field = CtxField::at(m.off).ok_or(bad)?;
    let pointer = matches!(field, CtxField::Data | CtxField::DataEnd | CtxField::DataMeta);
    let refused = dir == Dir::Write
        || m.size.bytes() != 4
        || (pointer && m.kind == AccessKind::LoadSigned)
        || (field == CtxField::EgressIfindex && input.code.attach != AttachType::XdpDevmap);
    if refused { Err(bad) } else { Ok(()) }
}

/// A pointer to which nothing was added.
pub(crate) fn unmodified(reg: &Reg, num: u8) -> Result<(), E> {
    if reg.off < 0 {
        Err(E::NegativeOffset { kind: reg.kind.name(), reg: num, off: reg.off })
    } else if reg.off != 0 {
        Err(E::ModifiedPointer { kind: reg.kind.name(), reg: num, off: reg.off })
    } else if reg.var.known() != Some(0) {
        Err(E::VariableAccess { kind: reg.kind.name(), var: reg.var.tnum() })
    } else {
        Ok(())
    }
}

/// Whether an access of no bytes is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ZeroSize {
    /// It is.
    Allowed,
    /// It is not.
    Refused,
}

/// Bounds of map values, packet data and memory of a caller: `size` bytes at `off` from where `reg` points.
pub(crate) fn region(
    input: &Input<'_>,
    reg: &Reg,
    num: u8,
    off: i32,
    size: u32,
    dir: Dir,
    zero: ZeroSize,
) -> Result<(), E> {
    let limit = match reg.kind {
        Kind::MapValue(map) => {
            let spec = input.map(map).ok_or(E::Internal { what: "map index" })?.spec;
            let at = (spec.value_size, i64::from(off) + i64::from(reg.off), size);
            if dir == Dir::Write && spec.flags & BPF_F_RDONLY_PROG != 0 {
                return Err(E::MapWriteForbidden { value_size: at.0, off: at.1, size });
            }
            if dir == Dir::Read && spec.flags & BPF_F_WRONLY_PROG != 0 {
                return Err(E::MapReadForbidden { value_size: at.0, off: at.1, size });
            }
            i64::from(spec.value_size)
        }
        Kind::MapKey(_) if dir == Dir::Write => return Err(E::KeyWrite { reg: num }),
        Kind::MapKey(map) => {
            i64::from(input.map(map).ok_or(E::Internal { what: "map index" })?.spec.key_size)
        }
        Kind::Slice(Slice { writable: false, .. }) | Kind::IterNum if dir == Dir::Write => {
            return Err(E::ReadOnlyMem { reg: num, kind: reg.kind.name() });
        }
        Kind::Mem(size) | Kind::Ring(size) | Kind::Slice(Slice { size, .. }) => i64::from(size),
        Kind::IterNum => i64::from(ITER_NUM_SIZE),
        _ => return packet(reg, num, off, size, zero),
    };
    let off = i64::from(off) + i64::from(reg.off);
    let smin = reg.var.smin();
    // The sum cannot overflow: smin is far from the ends once it is compared with the largest offset.
    if smin < 0 && (smin < -BPF_MAX_VAR_OFF || smin + off < 0) {
        return Err(E::MinNegative { reg: num });
    }
    if reg.var.umax() >= BPF_MAX_VAR_OFF as u64 {
        // A negative smin was refused above where it could matter; what is left has no upper bound, unless it is a small negative number.
        let low = span(reg, num, off + smin.clamp(0, BPF_MAX_VAR_OFF), size, limit, zero);
        return Err(low.err().map_or(E::Unbounded { reg: num }, |_| E::MinOutside { reg: num }));
    }
    let inside = |var: i64| span(reg, num, off + var, size, limit, zero);
    if reg.var.is_const() {
        inside(smin)?;
    } else {
        inside(smin).map_err(|_| E::MinOutside { reg: num })?;
        inside(reg.var.umax() as i64).map_err(|_| E::MaxOutside { reg: num })?;
    }
    plain_bytes(input, reg, off, size)
}

/// Bytes of a map value that are no part of a lock or a timer.
fn plain_bytes(input: &Input<'_>, reg: &Reg, off: i64, size: u32) -> Result<(), E> {
    let Kind::MapValue(map) = reg.kind else { return Ok(()) };
    let fields = input.map(map).ok_or(E::Internal { what: "map index" })?.spec.fields;
    let (first, end) = (off + reg.var.smin(), off + reg.var.umax() as i64 + i64::from(size));
    match fields.iter().find(|(at, bytes, _)| first < i64::from(at + bytes) && i64::from(*at) < end) {
        Some((_, _, name)) => Err(E::FieldAccess { name }),
        None => Ok(()),
    }
}

fn span(reg: &Reg, num: u8, off: i64, size: u32, limit: i64, zero: ZeroSize) -> Result<(), E> {
    let sized = size > 0 || zero == ZeroSize::Allowed;
    if off >= 0 && sized && off + i64::from(size) <= limit {
        return Ok(());
    }
    Err(match reg.kind {
        Kind::MapKey(_) => E::KeyBounds { key_size: limit as u32, off, size },
        Kind::MapValue(_) => E::MapBounds { value_size: limit as u32, off, size },
        Kind::Packet | Kind::PacketMeta => {
            E::PacketBounds { off, size, reg: num, id: reg.id, range: limit as i32 }
        }
        _ => E::MemBounds { mem_size: limit as u32, off, size },
    })
}

/// Packet data: within the range that a comparison with the packet's end has proven.
fn packet(reg: &Reg, num: u8, off: i32, size: u32, zero: ZeroSize) -> Result<(), E> {
    if reg.var.smin() < 0 {
        return Err(E::MinNegative { reg: num });
    }
    if reg.range < 0 {
        return Err(E::PacketOutside { reg: num });
    }
    let at = i64::from(off) + i64::from(reg.off);
    span(reg, num, at, size, i64::from(reg.range), zero)
}

/// The bytes that an access through a stack pointer may touch, as offsets of the frame's end: first, one beyond the last, and whether that is
/// exactly the access.
pub(crate) fn stack_span(reg: &Reg, off: i32, size: u32) -> (i64, i64, bool) {
    let base = i64::from(reg.off) + i64::from(off);
    let (lo, hi) = (base + reg.var.smin(), base + reg.var.smax());
    (lo, hi + i64::from(size), reg.var.is_const())
}

/// Bounds of the stack. `what` is how the kernel names the access.
pub(crate) fn stack_bounds(reg: &Reg, num: u8, off: i32, size: u32, what: &'static str) -> Result<(), E> {
    let fixed = reg.var.is_const();
    if !fixed && (reg.var.smax() >= BPF_MAX_VAR_OFF || reg.var.smin() <= -BPF_MAX_VAR_OFF) {
        return Err(E::StackUnbounded { what, reg: num });
    }
    let (min, end, _) = stack_span(reg, off, size);
    if min >= -i64::from(MAX_BPF_STACK) && min < 0 && end <= 0 {
        return Ok(());
    }
    Err(if fixed {
        E::StackBounds { what, reg: num, off: min, size }
    } else {
        E::StackVarBounds {
            what,
            reg: num,
            var: reg.var.tnum(),
            off: i64::from(reg.off) + i64::from(off),
            size,
        }
    })
}

fn stack_access(
    state: &State,
    reg: &Reg,
    num: u8,
    frame: u8,
    off: i32,
    size: u32,
    dir: Dir,
) -> Result<(), E> {
    stack_bounds(reg, num, off, size, if dir == Dir::Read { " read from" } else { " write to" })?;
    let (min, end, fixed) = stack_span(reg, off, size);
    let stack = &state.frames.get(frame as usize).ok_or(E::Internal { what: "frame number" })?.stack;
    if dir == Dir::Write {
        return Ok(());
    }
    if let Some((at, _)) = stack.objects(min as i32, (end - min) as u32).next() {
        return Err(E::ObjectFill { off: min, i: (i64::from(at) - min).max(0), size });
    }
    if fixed && stack.read(min as i32, size).is_err() {
        return Err(E::InvalidFill);
    }
    Ok(())
}

fn spill(state: &State, value: R, base: R, size: u32) -> Result<(), E> {
    let (value, base) = (state.reg(value), state.reg(base));
    let Kind::Stack(frame) = base.kind else { return Ok(()) };
    if value.is_scalar() || !base.var.is_const() {
        return Ok(());
    }
    if size != 8 {
        return Err(E::InvalidSpill);
    }
    if matches!(value.kind, Kind::Stack(_)) && usize::from(frame) != state.depth() {
        return Err(E::StackPointerToCaller);
    }
    Ok(())
}
