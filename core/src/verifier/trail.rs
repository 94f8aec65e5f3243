//! What is kept of a refused path: how it came there, and what was known.
//!
//! A refusal carries the branches of its path from the function's entry on, the registers that the refused instruction reads, and the memory that it was to touch.
//! They are collected once, when the refusal is found; without memory for them a refusal has none. Explanations are made of it
//! ([`super::explain`]).

use super::backtrack::{Entry, Note};
use super::cfg::Cfg;
use super::error::Reject;
use super::explore::Verifier;
use super::input::Input;
use super::live;
use super::obligation::{self, Obligation};
use super::reg::{AT_PKT_END, BEYOND_PKT_END, Kind, Reg};
use super::scalar::Scalar;
use super::state::State;
use crate::isa::{Callee, Op};
use crate::mem::{OutOfMemory, Vec};
use core::fmt;

/// Most branches that are kept, the last ones.
const STEPS: usize = 256;

/// How a path went on at a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the jump's target.
    Taken,
    /// To the next instruction.
    NotTaken,
    /// Into a function of the program.
    Called,
    /// Back to the caller.
    Returned,
}

/// A branch of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The instruction.
    pub pc: u32,
    /// How it went on.
    pub way: Way,
}

/// What a value counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// It was not written.
    Unwritten,
    /// Nothing: it is a number.
    Number,
    /// The context.
    Context,
    /// Nothing: it is a map itself.
    Map,
    /// The start of a value of a map: the map's place in the object, and the value's size.
    MapValue {
        /// Place in the object.
        map: u32,
        /// Bytes of a value.
        size: u32,
    },
    /// The end of a stack frame.
    Stack,
    /// The start of the packet, or of its metadata.
    Packet,
    /// The end of the packet.
    PacketEnd,
    /// Memory of that many bytes.
    Memory(u32),
    /// Another kind of pointer, in the kernel's words.
    Other(&'static str),
}

impl Base {
    /// What distances are counted from, where there is such.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Base::MapValue { .. } => Some("the value's start"),
            Base::Stack => Some("the stack frame's end"),
            Base::Packet => Some("the packet's start"),
            Base::Memory(_) => Some("the memory's start"),
            _ => None,
        }
    }
}

/// What was known of a register.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// Its number.
    pub reg: u8,
    /// What it counts from.
    pub base: Base,
    /// Whether it may be null instead.
    pub or_null: bool,
    /// What was added to the base for sure.
    pub off: i64,
    /// The number, or what else was added to the base.
    pub var: Scalar,
    /// Packet: bytes from the base, with the variable part, that may be read; negative where it lies at the end or beyond.
    pub proven: i32,
}

/// Memory that an instruction was to touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Through which register.
    pub reg: u8,
    /// Bytes from where it points.
    pub off: i32,
    /// How many.
    pub size: u32,
}

/// A refused path.
#[derive(Debug, Default, PartialEq)]
pub struct Trail {
    /// Its branches, the last [`STEPS`] of them.
    pub steps: Vec<Step>,
    /// Branches before those.
    pub left_out: usize,
    /// Registers that the refused instruction reads.
    pub values: Vec<Value>,
    /// Memory that the refused instruction touches itself.
    pub access: Option<Access>,
}

impl Trail {
    /// Of no path.
    pub const fn none() -> Self {
        Trail { steps: Vec::new(), left_out: 0, values: Vec::new(), access: None }
    }

    /// Of a path that came to `pc`.
    pub(crate) fn of(cfg: &Cfg, trace: &[Entry], pc: u32) -> Result<Self, OutOfMemory> {
        let plain = |e: &&Entry| !matches!(e.note, Note::LinkedReg { .. } | Note::LinkedSlot { .. });
        let step = |i: usize| {
            let entry = trace.get(i).filter(|e| plain(e))?;
            let next = trace.get(i + 1..)?.iter().find(plain).map_or(pc, |e| e.pc);
            let way = match (cfg.op(entry.pc)?, entry.note) {
                (Op::Jmp { .. }, _) if next == entry.pc + 1 => Way::NotTaken,
                (Op::Jmp { .. }, _) => Way::Taken,
                (Op::Call(Callee::Local(_)), Note::Enter) => Way::Called,
                (_, Note::Leave) => Way::Returned,
                _ => return None,
            };
            Some(Step { pc: entry.pc, way })
        };
        let count = (0..trace.len()).filter_map(step).count();
        let left_out = count.saturating_sub(STEPS);
        let mut trail = Trail { left_out, ..Trail::default() };
        trail.steps.extend((0..trace.len()).filter_map(step).skip(left_out))?;
        Ok(trail)
    }

    /// Adds what the refused instruction reads.
    pub(crate) fn add(&mut self, input: Input<'_>, op: &Op, state: &State) -> Result<(), OutOfMemory> {
        let (uses, _) = live::use_def(op, &input.helpers);
        let call = matches!(op, Op::Call(_));
        for (i, reg) in state.frame().regs.iter().enumerate() {
            if uses >> i & 1 == 1 && (reg.kind != Kind::NotInit || !call) {
                self.values.push(Value::new(input, i as u8, reg))?;
            }
        }
        self.access = obligation::of(op).iter().find_map(|o| match o {
            Obligation::Mem(m) => Some(Access { reg: m.base.num(), off: m.off.into(), size: m.size.bytes() }),
            _ => None,
        });
        Ok(())
    }

    /// What was known of a register, if the instruction reads it.
    pub fn value(&self, reg: u8) -> Option<&Value> {
        self.values.iter().find(|v| v.reg == reg)
    }
}

impl Verifier<'_, '_, '_> {
    /// Keeps the refused path and what was known at its end; without memory for it, nothing.
    pub(crate) fn blame(&mut self, pc: u32, op: &Op, state: &State) {
        if let Ok(mut trail) = Trail::of(&self.cfg, &self.trace, pc)
            && !state.frames.is_empty()
            && trail.add(self.input, op, state).is_ok()
        {
            self.trail = trail;
        }
    }

    /// As above where no instruction was refused, but the path.
    pub(crate) fn blame_path(&mut self, reject: &Reject) {
        if let Some(pc) = reject.pc
            && self.trail == Trail::none()
        {
            self.trail = Trail::of(&self.cfg, &self.trace, pc).unwrap_or_default();
        }
    }
}

impl Value {
    fn new(input: Input<'_>, num: u8, reg: &Reg) -> Self {
        let base = match reg.kind.non_null() {
            Kind::NotInit => Base::Unwritten,
            Kind::Scalar => Base::Number,
            Kind::Ctx => Base::Context,
            Kind::MapValue(map) => {
                Base::MapValue { map, size: input.map(map).map_or(0, |m| m.spec.value_size) }
            }
            Kind::MapPtr(_) => Base::Map,
            Kind::Stack(_) => Base::Stack,
            Kind::Packet | Kind::PacketMeta => Base::Packet,
            Kind::PacketEnd => Base::PacketEnd,
            Kind::Mem(size) => Base::Memory(size),
            other => Base::Other(other.name()),
        };
        let off = if reg.is_scalar() { 0 } else { i64::from(reg.off) };
        Value { reg: num, base, or_null: reg.kind.may_be_null(), off, var: reg.var, proven: reg.range }
    }

    /// Lowest and highest distance from the base; the highest may be 2^63 - 1, where it has no bound.
    pub fn span(&self) -> (i64, i64) {
        let high = self.var.smax();
        (self.var.smin().saturating_add(self.off), high.saturating_add(self.off))
    }

    /// Whether it has one distance from its base only.
    pub fn is_fixed(&self) -> bool {
        self.var.is_const()
    }
}

/// In plain words: `r2 = packet + [14 .. 269], proven readable up to byte 14`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{} = ", self.reg)?;
        match self.base {
            Base::Unwritten => return f.write_str("nothing: it was not written on this path"),
            Base::Number => return number(f, &self.var),
            Base::Context => f.write_str("the context")?,
            Base::Map => f.write_str("a map")?,
            Base::MapValue { size, .. } => write!(f, "a map's value of {size} bytes")?,
            Base::Stack => f.write_str("the stack frame's end")?,
            Base::Packet => f.write_str("packet")?,
            Base::PacketEnd => f.write_str("the packet's end")?,
            Base::Memory(size) => write!(f, "memory of {size} bytes")?,
            Base::Other(name) => write!(f, "a pointer ({name})")?,
        }
        match self.span() {
            (0, 0) => {}
            (low, high) if low == high => write!(f, " {} {}", sign(low), low.unsigned_abs())?,
            (low, i64::MAX) if low > i64::MIN => write!(f, " + [{low} ..]")?,
            (i64::MIN, _) => f.write_str(" + any number")?,
            (low, high) => write!(f, " + [{low} .. {high}]")?,
        }
        if self.or_null {
            f.write_str(", or null")?;
        }
        if self.base != Base::Packet {
            return Ok(());
        }
        match self.proven {
            BEYOND_PKT_END => f.write_str(", known to lie beyond the packet's end"),
            AT_PKT_END => f.write_str(", known to lie at the packet's end or beyond"),
            ..=0 => f.write_str(", nothing of it proven readable"),
            n if self.is_fixed() => write!(f, ", proven readable up to byte {n}"),
            n => write!(f, ", proven readable up to byte {n} after the part that varies"),
        }
    }
}

fn sign(v: i64) -> char {
    if v < 0 { '-' } else { '+' }
}

fn number(f: &mut fmt::Formatter<'_>, v: &Scalar) -> fmt::Result {
    if let Some(v) = v.known() {
        return write!(f, "{}", v as i64);
    }
    if v.umin() == 0 && v.umax() == u64::MAX && v.smin() == i64::MIN && v.smax() == i64::MAX {
        return f.write_str("a number of which nothing is known");
    }
    if v.smin() < 0 && (v.smin() > i64::MIN || v.smax() < i64::MAX) {
        return write!(f, "a number in [{} .. {}], signed", v.smin(), v.smax());
    }
    write!(f, "a number in [{} .. {}]", v.umin(), v.umax())
}
