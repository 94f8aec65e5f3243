//! What is known of one register, or of one spilled register on the stack.
//!
//! A value is a scalar, or a pointer: a base (its kind), a constant offset `off` and a variable part `var`, both added to the base. `id` ties values
//! together: scalars that were copied (`added`: and had the constant `off` added), packet pointers with the same variable part, copies of
//! one pointer that may be null.
//!
//! Invariant: the concrete value is one that the abstract one describes; `var` of a pointer is what was added to it since it was made, as a signed number.

use super::scalar::Scalar;
use crate::helpers::{DynptrKind, Handle};

/// Set in a map's number: not that map, which is a map of maps, but one of those inside it.
pub(crate) const INNER: u32 = 1 << 31;

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
    /// What a map of maps gave: a map inside it, or null.
    MapPtrOrNull(u32),
    /// A key of a map, as callbacks get one: read only.
    MapKey(u32),
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
    /// A ring buffer's record of that size, not yet submitted.
    Ring(u32),
    /// As above, or null.
    RingOrNull(u32),
    /// Memory behind a dynamic pointer.
    Slice(Slice),
    /// As above, or null.
    SliceOrNull(Slice),
    /// The number that an iterator is at.
    IterNum,
    /// An object of the host.
    Handle(Handle),
    /// As above, or null.
    HandleOrNull(Handle),
    /// A socket of an XSKMAP.
    XskSock,
    /// As above, or null.
    XskSockOrNull,
    /// A dynamic pointer that a callback was given.
    Dynptr,
    /// No value: the first or second half of a dynamic pointer on the stack.
    DynptrSlot(DynptrKind, Half),
    /// No value: an iterator on the stack, and whether it has numbers left.
    IterSlot(IterState),
}

/// Memory behind a dynamic pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Bytes.
    pub(crate) size: u32,
    /// Whether it may be written.
    pub(crate) writable: bool,
    /// Whether it is of a packet: gone when the packet moves.
    pub(crate) packet: bool,
}

/// Which half of a dynamic pointer a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// The one at the lower address.
    First,
    /// The other one.
    Second,
}

/// What is known of an iterator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IterState {
    /// It may have more.
    Active,
    /// It gave null.
    Drained,
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
            // The kernel calls it so until it was tested.
            Kind::MapPtrOrNull(_) => "map_value_or_null",
            Kind::MapKey(_) => "map_key",
            Kind::Ring(_) => "ringbuf_mem",
            Kind::RingOrNull(_) => "ringbuf_mem_or_null",
            Kind::Slice(Slice { writable: true, .. }) => "mem",
            Kind::SliceOrNull(Slice { writable: true, .. }) => "mem_or_null",
            Kind::Slice(_) | Kind::IterNum => "rdonly_mem",
            Kind::SliceOrNull(_) => "rdonly_mem_or_null",
            Kind::Handle(h) => match h {
                Handle::SockCommon => "sock_common",
                Handle::Sock => "sock",
                Handle::Conn => "ptr_nf_conn",
                Handle::NewConn => "ptr_nf_conn___init",
            },
            Kind::HandleOrNull(h) => match h {
                Handle::SockCommon => "sock_common_or_null",
                Handle::Sock => "sock_or_null",
                Handle::Conn => "ptr_or_null_nf_conn",
                Handle::NewConn => "ptr_or_null_nf_conn___init",
            },
            Kind::XskSock => "xdp_sock",
            Kind::XskSockOrNull => "xdp_sock_or_null",
            Kind::Dynptr => "dynptr_ptr",
            Kind::DynptrSlot(..) => "dynptr",
            Kind::IterSlot(_) => "iter",
        }
    }

    /// Whether it is a pointer that may be null.
    pub(crate) const fn may_be_null(self) -> bool {
        self.without_null().is_some()
    }

    /// The kind once a null check has passed.
    pub(crate) const fn non_null(self) -> Kind {
        match self.without_null() {
            Some(kind) => kind,
            None => self,
        }
    }

    const fn without_null(self) -> Option<Kind> {
        Some(match self {
            Kind::MapValueOrNull(m) => Kind::MapValue(m),
            Kind::MemOrNull(n) => Kind::Mem(n),
            Kind::MapPtrOrNull(m) => Kind::MapPtr(m),
            Kind::RingOrNull(n) => Kind::Ring(n),
            Kind::SliceOrNull(s) => Kind::Slice(s),
            Kind::HandleOrNull(h) => Kind::Handle(h),
            Kind::XskSockOrNull => Kind::XskSock,
            _ => return None,
        })
    }

    /// Whether it is the state of something on the stack, no value.
    pub(crate) const fn is_object_state(self) -> bool {
        matches!(self, Kind::DynptrSlot(..) | Kind::IterSlot(_))
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
        matches!(
            self,
            Kind::MapPtr(_)
                | Kind::MapValue(_)
                | Kind::MapKey(_)
                | Kind::Mem(_)
                | Kind::Ring(_)
                | Kind::Slice(_)
                | Kind::IterNum
                | Kind::Handle(_)
                | Kind::XskSock
        )
    }
}

/// `range` of a packet pointer that was found to be at the packet's end or beyond.
pub(crate) const AT_PKT_END: i32 = -1;
/// `range` of a packet pointer that was found to be beyond the packet's end.
pub(crate) const BEYOND_PKT_END: i32 = -2;

/// How a linked scalar comes from the one that its id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Added {
    /// It is that one.
    Nothing,
    /// That one plus the constant.
    In64,
    /// The low half of that sum, zero-extended.
    In32,
}

/// What is known of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reg {
    /// Its base.
    pub(crate) kind: Kind,
    /// Whether, and how, the constant `off` was added to the scalar that `id` names.
    pub(crate) added: Added,
    /// Ties copies together; 0 is none.
    pub(crate) id: u32,
    /// Constant part of a pointer's offset, or what was added to a linked scalar.
    pub(crate) off: i32,
    /// Packet pointers: bytes from the base (with its variable part) that may be accessed, or a sentinel.
    pub(crate) range: i32,
    /// What the memory behind it goes with: a reference that has to be given back, or a dynamic pointer; 0 is nothing.
    pub(crate) owner: u32,
    /// Of a map inside a map, and of values looked up in it: which lookup gave the map. Of memory behind a dynamic pointer: which one.
    pub(crate) uid: u32,
    /// A scalar's value, or the variable part of a pointer's offset.
    pub(crate) var: Scalar,
}

impl Reg {
    /// Cannot be read.
    pub(crate) const NOT_INIT: Reg = Reg { kind: Kind::NotInit, ..Reg::scalar(Scalar::UNKNOWN) };

    /// A scalar of which nothing is known.
    pub(crate) const UNKNOWN: Reg = Reg::scalar(Scalar::UNKNOWN);

    /// A scalar.
    pub(crate) const fn scalar(var: Scalar) -> Reg {
        Reg { kind: Kind::Scalar, added: Added::Nothing, id: 0, off: 0, range: 0, owner: 0, uid: 0, var }
    }

    /// A known number.
    pub(crate) const fn constant(v: u64) -> Reg {
        Reg::scalar(Scalar::constant(v))
    }

    /// A pointer to the base of its kind.
    pub(crate) const fn pointer(kind: Kind) -> Reg {
        Reg { kind, ..Reg::scalar(Scalar::constant(0)) }
    }

    /// Whether it is a number.
    #[inline(always)]
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self.kind, Kind::Scalar)
    }

    /// Whether it cannot be read.
    #[inline(always)]
    pub(crate) fn is_not_init(&self) -> bool {
        matches!(self.kind, Kind::NotInit)
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
            self.added = Added::Nothing;
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
