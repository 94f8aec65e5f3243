//! A state as text, as the kernel's log shows one: `R1=ctx() R2=pkt(off=14,r=14) R10=fp0 fp-8=mmmm????`.
//!
//! A frame is shown as its registers that can be read, then its stack slots in which something was written, each where a mask asks for it. A
//! number with one value is that value; others are `scalar(…)` with the bounds that say something, equal bounds of one direction once
//! (`smin=smin32=0`), then the bits that are known. Small numbers are decimal, others hexadecimal. Relies on the state's own invariants and
//! refuses nothing.

use super::input::Input;
use super::reg::{Added, INNER, Kind, Reg, Slice};
use super::scalar::Scalar;
use super::stack::{Byte, Slot};
use super::state::State;
use super::tnum::Tnum;
use core::fmt;

/// Which registers and stack slots to show: bit r is register r, bit i the slot that ends 8 i bytes below the frame's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) regs: u16,
    pub(crate) slots: u64,
}

impl Part {
    pub(crate) const ALL: Part = Part { regs: u16::MAX, slots: u64::MAX };
    pub(crate) const NONE: Part = Part { regs: 0, slots: 0 };
}

/// One frame, with its number in front where it is not the first, and what the path holds.
pub(crate) struct ShownFrame<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) state: &'a State,
    pub(crate) depth: usize,
    pub(crate) part: Part,
}

impl fmt::Display for ShownFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(frame) = self.state.frames.get(self.depth) else { return Ok(()) };
        if self.depth > 0 {
            write!(f, " frame{}:", self.depth)?;
        }
        let shown = |reg| ShownReg { input: self.input, reg, depth: self.depth };
        for (i, reg) in frame.regs.iter().enumerate() {
            if reg.kind != Kind::NotInit && self.part.regs >> i & 1 == 1 {
                write!(f, " R{i}={}", shown(reg))?;
            }
        }
        for (i, slot) in frame.stack.slots().iter().enumerate() {
            if slot.bytes == [Byte::Invalid; 8] || self.part.slots >> i & 1 == 0 {
                continue;
            }
            write!(f, " fp-{}=", 8 * (i + 1))?;
            bytes(f, slot)?;
            if let Some(reg) = slot.spilled() {
                write!(f, "{}", shown(reg))?;
            }
        }
        for (i, r) in self.state.held.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { " refs=" } else { "," }, r.id)?;
        }
        match &frame.callback {
            Some(returns) if returns.is_async => f.write_str(" async_cb"),
            Some(_) => f.write_str(" cb"),
            None => Ok(()),
        }
    }
}

/// The bytes of a slot that no register covers, highest address first.
fn bytes(f: &mut fmt::Formatter<'_>, slot: &Slot) -> fmt::Result {
    use fmt::Write;
    for b in slot.bytes.iter().rev().take(8 - slot.spill_size() as usize) {
        f.write_char(match b {
            Byte::Invalid => '?',
            Byte::Known(0) => '0',
            _ => 'm',
        })?;
    }
    Ok(())
}

/// One register of a frame with that number.
pub(crate) struct ShownReg<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) reg: &'a Reg,
    pub(crate) depth: usize,
}

impl fmt::Display for ShownReg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.reg;
        if let Some(v) = r.known() {
            return write!(f, "{}", Signed(v as i64));
        }
        f.write_str(r.kind.name())?;
        if let Kind::Stack(frame) = r.kind {
            if usize::from(frame) != self.depth {
                write!(f, "[{frame}]")?;
            }
            if let Some(v) = r.var.known() {
                return write!(f, "{}", Signed((v as i64).wrapping_add(i64::from(r.off))));
            }
        }
        let mut list = List { f, gap: "(" };
        if r.id != 0 {
            match r.is_scalar() && r.added != Added::Nothing {
                true => list.put(format_args!("id={}{:+}", r.id, r.off))?,
                false => list.put(format_args!("id={}", r.id))?,
            }
        }
        if r.owner != 0 {
            list.put(format_args!("ref_obj_id={}", r.owner))?;
        }
        if let Kind::MapPtr(m)
        | Kind::MapPtrOrNull(m)
        | Kind::MapKey(m)
        | Kind::MapValue(m)
        | Kind::MapValueOrNull(m) = r.kind
            && let Some(map) = self.input.map(m)
        {
            if m & INNER == 0 && !map.name.is_empty() {
                list.put(format_args!("map={}", map.name))?;
            }
            list.put(format_args!("ks={},vs={}", map.spec.key_size, map.spec.value_size))?;
        }
        if !r.is_scalar() && r.off != 0 {
            list.put(format_args!("off={}", Signed(r.off.into())))?;
        }
        if r.kind.is_packet() {
            list.put(format_args!("r={}", Unsigned(i64::from(r.range) as u64)))?;
        }
        if let Kind::Mem(size)
        | Kind::MemOrNull(size)
        | Kind::Ring(size)
        | Kind::RingOrNull(size)
        | Kind::Slice(Slice { size, .. })
        | Kind::SliceOrNull(Slice { size, .. }) = r.kind
        {
            list.put(format_args!("sz={}", Unsigned(size.into())))?;
        }
        match r.var.known() {
            Some(0) => {}
            Some(v) => list.put(format_args!("imm={}", Signed(v as i64)))?,
            None => bounds(&mut list, &r.var)?,
        }
        let open = if list.gap == "(" { "(" } else { "" };
        write!(f, "{open})")
    }
}

/// What stands between the parentheses.
struct List<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    gap: &'static str,
}

impl List<'_, '_> {
    fn put(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        self.f.write_str(core::mem::replace(&mut self.gap, ","))?;
        self.f.write_fmt(text)
    }
}

/// One bound: its name, whether it is signed, its value, whether it says nothing.
type Bound = (&'static str, bool, i64, bool);

/// A signed 32-bit bound: as it is where it is shown decimal, else its bits.
fn low(v: i32) -> i64 {
    i16::try_from(v).map_or(i64::from(v as u32), i64::from)
}

/// The bounds that say something: lower ones with equal lower ones, upper ones with equal upper ones.
fn bounds(list: &mut List<'_, '_>, v: &Scalar) -> fmt::Result {
    let mut all: [Bound; 8] = [
        ("smin", true, v.smin(), v.smin() == i64::MIN),
        ("smax", true, v.smax(), v.smax() == i64::MAX),
        ("umin", false, v.umin() as i64, v.umin() == 0),
        ("umax", false, v.umax() as i64, v.umax() == u64::MAX),
        ("smin32", true, low(v.s32_min()), v.s32_min() == i32::MIN),
        ("smax32", true, low(v.s32_max()), v.s32_max() == i32::MAX),
        ("umin32", false, v.u32_min().into(), v.u32_min() == 0),
        ("umax32", false, v.u32_max().into(), v.u32_max() == u32::MAX),
    ];
    for i in 0..all.len() {
        let (name, signed, value, silent) = all[i];
        if silent {
            continue;
        }
        list.put(format_args!("{name}"))?;
        for other in all.iter_mut().skip(i + 2).step_by(2) {
            if !other.3 && other.2 == value {
                write!(list.f, "={}", other.0)?;
                other.3 = true;
            }
        }
        match signed {
            true => write!(list.f, "={}", Signed(value))?,
            false => write!(list.f, "={}", Unsigned(value as u64))?,
        }
    }
    if v.tnum() != Tnum::UNKNOWN {
        list.put(format_args!("var_off={:?}", v.tnum()))?;
    }
    Ok(())
}

/// Decimal where it fits 16 bits.
struct Signed(i64);

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i16::try_from(self.0) {
            Ok(v) => write!(f, "{v}"),
            Err(_) => write!(f, "{:#x}", self.0),
        }
    }
}

/// Decimal where it fits 16 bits.
struct Unsigned(u64);

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u16::try_from(self.0) {
            Ok(v) => write!(f, "{v}"),
            Err(_) => write!(f, "{:#x}", self.0),
        }
    }
}
