//! Arithmetic on pointers: what is allowed, and what it does to base, offset and variable part.
//!
//! A pointer takes additions and subtractions of scalars in 64 bits, nothing else. A known scalar goes into the constant part, an unknown
//! one into the variable part; a packet pointer whose variable part changes is a new one (its range starts again at nothing). Both parts
//! stay below 2^29, so that no sum of them can wrap.

use super::alu::{AluOp as Abstract, Width as AbstractWidth, alu};
use super::error::VerifierError as E;
use super::reg::{Kind, Reg};
use super::scalar::Scalar;
use crate::isa::{AluOp, Width};
use crate::limits::BPF_MAX_VAR_OFF;

/// The result of `dst op= src` where at least one of them is a pointer. `num` is the destination's number, `fresh` makes a new id.
pub(crate) fn arithmetic(
    op: AluOp,
    width: Width,
    num: u8,
    dst: &Reg,
    src: &Reg,
    fresh: impl FnOnce() -> u32,
) -> Result<Reg, E> {
    let both = dst.kind.is_pointer() && src.kind.is_pointer();
    if both {
        // Kernel (privileged): the difference of pointers is a number of which nothing is known.
        return if op == AluOp::Sub {
            Ok(Reg::UNKNOWN)
        } else {
            Err(E::PointerPointer { reg: num, op: op.symbol() })
        };
    }
    let (pointer, scalar) = if dst.kind.is_pointer() { (dst, src) } else { (src, dst) };
    if width == Width::W32 {
        return if op == AluOp::Sub { Ok(Reg::UNKNOWN) } else { Err(E::Pointer32 { reg: num }) };
    }
    allowed_base(op, num, pointer, scalar)?;
    sane(scalar.var, scalar.known().map(|v| v as i64), 0, pointer.kind)?;
    let out = match op {
        AluOp::Add => add(pointer, scalar, fresh),
        AluOp::Sub => {
            if !dst.kind.is_pointer() {
                return Err(E::SubFromScalar { reg: num });
            }
            if matches!(pointer.kind, Kind::Stack(_)) {
                return Err(E::StackSub { reg: num });
            }
            sub(pointer, scalar, fresh)
        }
        AluOp::And | AluOp::Or | AluOp::Xor => {
            return Err(E::PointerBitwise { reg: num, op: op.symbol() });
        }
        _ => return Err(E::PointerOp { reg: num, op: op.symbol() }),
    };
    let off = out.1;
    let mut out = out.0;
    sane(out.var, None, off, out.kind)?;
    out.off = off as i32;
    Ok(out)
}

fn allowed_base(op: AluOp, num: u8, pointer: &Reg, scalar: &Reg) -> Result<(), E> {
    let kind = pointer.kind;
    if kind.may_be_null() {
        return Err(E::NullArithmetic { reg: num, kind: kind.name() });
    }
    match kind {
        Kind::MapPtr(_) if op == AluOp::Add && scalar.known() == Some(0) => Ok(()),
        Kind::MapPtr(_) | Kind::PacketEnd | Kind::Func(_) | Kind::Handle(_) | Kind::XskSock => {
            Err(E::NoArithmetic { reg: num, kind: kind.name() })
        }
        _ => Ok(()),
    }
}

/// Keeps offsets far from where they could wrap.
fn sane(var: Scalar, known: Option<i64>, off: i64, kind: Kind) -> Result<(), E> {
    let outside = |v: i64| v >= BPF_MAX_VAR_OFF || v <= -BPF_MAX_VAR_OFF;
    let kind = kind.name();
    if let Some(value) = known
        && outside(value)
    {
        return Err(E::PointerConst { kind, value });
    }
    if outside(off) {
        return Err(E::PointerOff { kind, off });
    }
    let smin = var.smin();
    if smin == i64::MIN {
        return Err(E::PointerUnbounded { kind });
    }
    if outside(smin) {
        return Err(E::PointerOutOfBounds { kind, value: smin });
    }
    Ok(())
}

fn add(pointer: &Reg, scalar: &Reg, fresh: impl FnOnce() -> u32) -> (Reg, i64) {
    let mut out = *pointer;
    let off = i64::from(pointer.off);
    if let Some(v) = scalar.known() {
        // A pointer at or beyond the end stays so when something is added, not when something is taken away.
        if out.range < 0 && (v as i64) < 0 {
            out.range = 0;
        }
        return (out, off + v as i64);
    }
    out.var = alu(Abstract::Add, AbstractWidth::W64, &pointer.var, &scalar.var);
    renew(&mut out, fresh);
    (out, off)
}

fn sub(pointer: &Reg, scalar: &Reg, fresh: impl FnOnce() -> u32) -> (Reg, i64) {
    let mut out = *pointer;
    let off = i64::from(pointer.off);
    if let Some(v) = scalar.known() {
        if out.range < 0 && v as i64 > 0 {
            out.range = 0;
        }
        return (out, off - v as i64);
    }
    out.var = alu(Abstract::Sub, AbstractWidth::W64, &pointer.var, &scalar.var);
    renew(&mut out, fresh);
    (out, off)
}

/// A packet pointer with another variable part: what was proven of the old one does not hold for it.
fn renew(out: &mut Reg, fresh: impl FnOnce() -> u32) {
    if out.kind.is_packet() {
        out.id = fresh();
        out.range = 0;
    }
}
