//! What is known of one register, or of one spilled register on the stack.
//!
//! A value is a scalar, or a pointer: a base (its kind), a constant offset `off` and a variable part `var`, both added to the base. `id` ties values
//! together: scalars that were copied (`add_const`: and had the constant `off` added), packet pointers with the same variable part, copies of
//! one pointer that may be null.
//!
//! Invariant: the concrete value is one that the abstract one describes; `var` of a pointer is what was added to it since it was made, as a signed number.

use super::scalar::Scalar;

/// What a value is a pointer to, if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Never written, or clobbered: it cannot be read.
    NotInit,
    /// A number.
    Scalar,
    /// The context.
    Ctx,
    /// A map itself.
    MapPtr(u32),
    /// A value of a map.
    MapValue(u32),
    /// As above, or null.
    MapValueOrNull(u32),
    /// The end of the stack frame with that number.
    Stack(u8),
    /// Packet data.
    Packet,
    /// Packet metadata.
    PacketMeta,
    /// One beyond the packet.
    PacketEnd,
    /// Memory of that size that a caller gave a global function.
    Mem(u32),
    /// As above, or null.
    MemOrNull(u32),
    /// A function.
    Func(u32),
}

impl Kind {
    /// The kernel's name, as its messages use it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::NotInit => "?",
            Kind::Scalar => "scalar",
            Kind::Ctx => "ctx",
            Kind::MapPtr(_) => "map_ptr",
            Kind::MapValue(_) => "map_value",
            Kind::MapValueOrNull(_) => "map_value_or_null",
            Kind::Stack(_) => "fp",
            Kind::Packet => "pkt",
            Kind::PacketMeta => "pkt_meta",
            Kind::PacketEnd => "pkt_end",
            Kind::Mem(_) => "mem",
            Kind::MemOrNull(_) => "mem_or_null",
            Kind::Func(_) => "func",
        }
    }

    /// Whether it is a pointer that may be null.
    pub(crate) const fn may_be_null(self) -> bool {
        matches!(self, Kind::MapValueOrNull(_) | Kind::MemOrNull(_))
    }

    /// The kind once a null check has passed.
    pub(crate) const fn non_null(self) -> Kind {
        match self {
            Kind::MapValueOrNull(m) => Kind::MapValue(m),
            Kind::MemOrNull(n) => Kind::Mem(n),
            other => other,
        }
    }

    /// Whether it is a pointer of any kind.
    pub(crate) const fn is_pointer(self) -> bool {
        !matches!(self, Kind::NotInit | Kind::Scalar)
    }

    /// Whether it points into the packet or its metadata, with a range.
    pub(crate) const fn is_packet(self) -> bool {
        matches!(self, Kind::Packet | Kind::PacketMeta)
    }

    /// Whether a null test of it is decided: it never is null.
    pub(crate) const fn never_null(self) -> bool {
        matches!(self, Kind::MapPtr(_) | Kind::MapValue(_) | Kind::Mem(_))
    }
}

/// `range` of a packet pointer that was found to be at the packet's end or beyond.
pub(crate) const AT_PKT_END: i32 = -1;
/// `range` of a packet pointer that was found to be beyond the packet's end.
pub(crate) const BEYOND_PKT_END: i32 = -2;

/// What is known of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reg {
    /// Its base.
    pub(crate) kind: Kind,
    /// Whether `off` is a constant added to the scalar that `id` names.
    pub(crate) add_const: bool,
    /// Ties copies together; 0 is none.
    pub(crate) id: u32,
    /// Constant part of a pointer's offset, or what was added to a linked scalar.
    pub(crate) off: i32,
    /// Packet pointers: bytes from the base (with its variable part) that may be accessed, or a sentinel.
    pub(crate) range: i32,
    /// A scalar's value, or the variable part of a pointer's offset.
    pub(crate) var: Scalar,
}

impl Reg {
    /// Cannot be read.
    pub(crate) const NOT_INIT: Reg =
        Reg { kind: Kind::NotInit, add_const: false, id: 0, off: 0, range: 0, var: Scalar::UNKNOWN };

    /// A scalar of which nothing is known.
    pub(crate) const UNKNOWN: Reg = Reg::scalar(Scalar::UNKNOWN);

    /// A scalar.
    pub(crate) const fn scalar(var: Scalar) -> Reg {
        Reg { kind: Kind::Scalar, add_const: false, id: 0, off: 0, range: 0, var }
    }

    /// A known number.
    pub(crate) const fn constant(v: u64) -> Reg {
        Reg::scalar(Scalar::constant(v))
    }

    /// A pointer to the base of its kind.
    pub(crate) const fn pointer(kind: Kind) -> Reg {
        Reg { kind, add_const: false, id: 0, off: 0, range: 0, var: Scalar::constant(0) }
    }

    /// Whether it is a number.
    pub(crate) fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// The number, where it is one and known.
    pub(crate) fn known(&self) -> Option<u64> {
        if self.is_scalar() { self.var.known() } else { None }
    }

    /// Whether it is the number zero.
    pub(crate) fn is_null(&self) -> bool {
        self.known() == Some(0)
    }

    /// Forgets what it is a copy of.
    pub(crate) fn unlink(&mut self) {
        if self.is_scalar() {
            self.id = 0;
            self.off = 0;
            self.add_const = false;
        }
    }

    /// Bits that a scalar needs at most.
    pub(crate) fn width(&self) -> u32 {
        64 - self.var.umax().leading_zeros()
    }

    /// A scalar cut to its low `bytes`; it stays linked where nothing was cut off.
    pub(crate) fn cut_to(&self, bytes: u32) -> Reg {
        let mut out = *self;
        if out.width() > bytes * 8 {
            out.unlink();
            out.var = out.var.coerce_to_size(bytes);
        }
        out
    }
}
