//! The check that would prove a refused access, as C.
//!
//! Made from the reason and from what was known of the registers: bounds are those that would have been enough, so that the program passes there with the lines in
//! front. In C, `data` and `data_end` are the packet's pointers, `p` is the pointer that is used, `i` the number that was added to it, `size` the size given to a helper.

use super::error::VerifierError as E;
use super::trail::{Base, Trail, Value};
use crate::limits::{MAX_BPF_STACK, MAX_PACKET_OFF};
use core::fmt;

/// Lines of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// These.
    Text(&'static str),
    /// So many bytes from the packet's start are there.
    PacketFixed(i64),
    /// So many bytes from a pointer with a variable offset, of at most that many bytes, are there.
    PacketVariable {
        /// Bytes from where the offset that varies leads.
        bytes: i64,
        /// What the offset may be at most, where it has no such bound yet.
        bound: Option<u64>,
    },
    /// The number that is added is at most that.
    Index(u64),
    /// The size is from 1 to that.
    Size(u64),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Remedy::Text(text) => f.write_str(text),
            Remedy::PacketFixed(n) => write!(f, "if (data + {n} > data_end)\n    return XDP_DROP;"),
            Remedy::PacketVariable { bytes, bound } => {
                if let Some(most) = bound {
                    write!(f, "if (i > {most})\n    return XDP_DROP;\n")?;
                }
                write!(f, "p = data + i;\nif (p + {bytes} > data_end)\n    return XDP_DROP;")
            }
            Remedy::Index(most) if most > 0 && (most + 1).is_power_of_two() => {
                write!(f, "i &= {most:#x};    /* or: if (i > {most}) return XDP_PASS; with an unsigned i */")
            }
            Remedy::Index(most) => {
                write!(f, "if (i > {most})    /* with an unsigned i */\n    return XDP_PASS;")
            }
            Remedy::Size(most) => {
                write!(
                    f,
                    "if (size == 0 || size > {most})    /* with an unsigned size */\n    return XDP_PASS;"
                )
            }
        }
    }
}

const NULL: Remedy = Remedy::Text("if (!p)\n    return XDP_PASS;");
const LOOP: Remedy =
    Remedy::Text("for (int i = 0; i < 64; i++) {    /* a constant bound, and i counts in every round */");
const PACKET_AGAIN: Remedy = Remedy::Text(
    "data = (void *)(long)ctx->data;    /* again, after each helper that may move the packet */\ndata_end = (void *)(long)ctx->data_end;",
);

/// What would prove it, where a check can.
pub(crate) fn of(error: &E, trail: &Trail) -> Option<Remedy> {
    let accessed =
        trail.access.and_then(|a| Some((trail.value(a.reg)?, i64::from(a.off), i64::from(a.size))));
    match *error {
        E::PacketBounds { off, size, reg, .. } => packet(trail.value(reg)?, off + i64::from(size)),
        E::PacketOutside { .. } => {
            let (p, off, size) = accessed?;
            packet(p, p.off + off + size)
        }
        E::InvalidMem { reg, .. } | E::NullArithmetic { reg, .. } => match trail.value(reg)? {
            v if v.or_null => Some(NULL),
            v if v.base == Base::Number && v.var.is_unknown() => Some(PACKET_AGAIN),
            _ => None,
        },
        E::ArgType { reg, .. } => trail.value(reg).filter(|v| v.or_null).map(|_| NULL),
        E::MinNegative { reg }
        | E::Unbounded { reg }
        | E::MinOutside { reg }
        | E::MaxOutside { reg }
        | E::StackUnbounded { reg, .. }
        | E::StackVarBounds { reg, .. } => {
            let p = trail.value(reg)?;
            let (off, size) = accessed
                .filter(|a| a.0.reg == reg)
                .map_or_else(|| (0, size_after(trail, reg)), |a| (a.1, a.2));
            index(p, off, size)
        }
        E::SizeNegative { reg } | E::SizeUnbounded { reg } => size_within(trail, reg),
        E::SizeZero { reg, max, .. } => match size_within(trail, reg) {
            Some(Remedy::Size(most)) if max > most => Some(Remedy::Size(most)),
            _ => Some(Remedy::Text("if (size == 0)\n    return XDP_PASS;")),
        },
        // The sum is not accessed yet: what leaves room for a byte.
        E::PointerUnbounded { .. } | E::PointerOutOfBounds { .. } => {
            let p = trail.values.iter().find(|v| room(v).is_some())?;
            index(p, 0, 1).or_else(|| sum(p))
        }
        E::InfiniteLoop { .. } | E::TooManyInsns { .. } | E::TooManyBranches => Some(LOOP),
        E::NotReadable { .. } => Some(Remedy::Text("long x = 0;    /* a value on every path */")),
        E::HelperPacket => {
            Some(Remedy::Text("__builtin_memcpy(buf, p, sizeof(buf));    /* and give the helper buf */"))
        }
        E::Misaligned { kind: "stack", .. } => {
            Some(Remedy::Text("char buf[16] __attribute__((aligned(8)));"))
        }
        _ => None,
    }
}

/// Packet bytes up to `end` from the base and its variable part.
fn packet(p: &Value, end: i64) -> Option<Remedy> {
    if end <= 0 {
        return None;
    }
    if p.is_fixed() {
        return Some(Remedy::PacketFixed(end));
    }
    let most = u64::from(MAX_PACKET_OFF).checked_sub(end as u64)?;
    let bound = (p.var.smin() < 0 || p.var.umax() > most).then_some(most);
    Some(Remedy::PacketVariable { bytes: end, bound })
}

/// The size in a register fits the memory before it.
fn size_within(trail: &Trail, reg: u8) -> Option<Remedy> {
    let most = room(trail.value(reg.checked_sub(1)?)?)?;
    u64::try_from(most).ok().filter(|m| *m > 0).map(Remedy::Size)
}

/// The largest size given to a helper for the memory before it.
fn size_after(trail: &Trail, reg: u8) -> i64 {
    let size = trail.value(reg + 1).filter(|v| v.base == Base::Number).map(|v| v.var.umax());
    size.and_then(|s| i64::try_from(s).ok()).unwrap_or(1)
}

/// Bytes from where a pointer's variable part starts to the end of its memory.
fn room(p: &Value) -> Option<i64> {
    match p.base {
        Base::MapValue { size, .. } | Base::Memory(size) => Some(i64::from(size) - p.off),
        Base::Stack => Some(-p.off),
        Base::Packet => Some(i64::from(MAX_PACKET_OFF) - p.off),
        _ => None,
    }
}

/// What may be added at most to a pointer to which nothing was added yet.
fn sum(p: &Value) -> Option<Remedy> {
    u64::try_from(room(p)?.checked_sub(1)?).ok().filter(|_| p.is_fixed()).map(Remedy::Index)
}

/// What may be added at most.
fn index(p: &Value, off: i64, size: i64) -> Option<Remedy> {
    let most = room(p)?.checked_sub(off)?.checked_sub(size)?;
    let low = p.off + off;
    let starts_inside = if p.base == Base::Stack { low >= -i64::from(MAX_BPF_STACK) } else { low >= 0 };
    (starts_inside && !p.is_fixed()).then(|| u64::try_from(most).ok().map(Remedy::Index)).flatten()
}
