//! What a conditional jump tells each of its two ways.
//!
//! Scalars refine each other ([`super::refine`]) and take all linked copies along. Tests for null settle every copy of a pointer. Comparisons of a
//! packet pointer with the packet's end give a range, or the knowledge of being beyond the end, to every pointer with the same base.

use super::alu::{AluOp as Abstract, Width as AbstractWidth, alu};
use super::backtrack::Note;
use super::refine::{Cond as Abstracted, refine};
use super::reg::{AT_PKT_END, Added, BEYOND_PKT_END, Kind, Reg};
use super::scalar::Scalar;
use super::state::State;
use crate::isa::{Cond, Operand, Reg as R, Width};
use crate::limits::MAX_PACKET_OFF;
use crate::mem::{OutOfMemory, Vec};

/// A conditional jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jump {
    pub(crate) cond: Cond,
    pub(crate) width: Width,
    pub(crate) dst: R,
    pub(crate) src: Operand,
}

/// The two ways on; `None`: that way cannot be taken.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) taken: Option<State>,
    pub(crate) fallthrough: Option<State>,
}

pub(crate) fn abstracted(cond: Cond) -> Abstracted {
    match cond {
        Cond::Eq => Abstracted::Eq,
        Cond::Ne => Abstracted::Ne,
        Cond::Gt => Abstracted::Gt,
        Cond::Ge => Abstracted::Ge,
        Cond::Lt => Abstracted::Lt,
        Cond::Le => Abstracted::Le,
        Cond::Sgt => Abstracted::Sgt,
        Cond::Sge => Abstracted::Sge,
        Cond::Slt => Abstracted::Slt,
        Cond::Sle => Abstracted::Sle,
        Cond::Set => Abstracted::Set,
    }
}

pub(crate) fn abstract_width(width: Width) -> AbstractWidth {
    match width {
        Width::W64 => AbstractWidth::W64,
        Width::W32 => AbstractWidth::W32,
    }
}

/// Splits a state at a jump; a second state takes the memory of `spare`. `keeps_id` says of a map whether its values are told apart after their null test too.
pub(crate) fn split(
    state: State,
    spare: &mut State,
    j: Jump,
    keeps_id: impl Fn(u32) -> bool,
) -> Result<Ways, OutOfMemory> {
    let a = *state.reg(j.dst);
    let b = match j.src {
        Operand::Reg(r) => *state.reg(r),
        Operand::Imm(imm) => Reg::constant(match j.width {
            Width::W64 => i64::from(imm) as u64,
            Width::W32 => u64::from(imm as u32),
        }),
    };
    if a.is_scalar() && b.is_scalar() {
        return scalars(state, spare, j, &a, &b);
    }
    if j.width == Width::W64 {
        if let Some(test) = null_test(j, &a, &b) {
            return tested(state, spare, (j.cond == Cond::Eq, test), &a, keeps_id);
        }
        if let Some((pointer, is_end_right)) = packet_comparison(&a, &b) {
            let compared = match j.src {
                Operand::Reg(r) if !is_end_right => r,
                _ => j.dst,
            };
            return packet((state, spare), j.cond, compared, &pointer, is_end_right);
        }
    }
    both(state, spare)
}

/// A copy of a state in the memory of another.
fn another(state: &State, spare: &mut State) -> Result<State, OutOfMemory> {
    let mut copy = core::mem::replace(spare, State::EMPTY);
    copy.copy(state)?;
    Ok(copy)
}

fn both(state: State, spare: &mut State) -> Result<Ways, OutOfMemory> {
    Ok(Ways { taken: Some(another(&state, spare)?), fallthrough: Some(state) })
}

fn scalars(mut state: State, spare: &mut State, j: Jump, a: &Reg, b: &Reg) -> Result<Ways, OutOfMemory> {
    let (cond, width) = (abstracted(j.cond), abstract_width(j.width));
    // Of a number that is compared with itself both sides are told.
    let both_sides = |(x, y): (Scalar, Scalar)| match j.src == Operand::Reg(j.dst) {
        true => x.meet(&y).map(|met| (met, met)),
        false => Some((x, y)),
    };
    let taken = refine(cond, width, &a.var, &b.var).and_then(both_sides);
    let fall = refine(cond.negate(), width, &a.var, &b.var).and_then(both_sides);
    let apply = |state: &mut State, (x, y): (Scalar, Scalar)| {
        learn(state, j.dst, a, x);
        if let Operand::Reg(src) = j.src
            && src != j.dst
        {
            learn(state, src, b, y);
        }
    };
    let taken = match (taken, fall.is_some()) {
        (None, _) => None,
        (Some(values), false) => {
            apply(&mut state, values);
            return Ok(Ways { taken: Some(state), fallthrough: None });
        }
        (Some(values), true) => {
            let mut copy = another(&state, spare)?;
            apply(&mut copy, values);
            Some(copy)
        }
    };
    Ok(match fall {
        Some(values) => {
            apply(&mut state, values);
            Ways { taken, fallthrough: Some(state) }
        }
        None => Ways { taken, fallthrough: None },
    })
}

/// Register `r` was found to be `value`: so is every copy of it, up to the constants that were added.
fn learn(state: &mut State, r: R, old: &Reg, value: Scalar) {
    let mut known = *old;
    known.var = value;
    state.set(r, known);
    if old.id == 0 {
        return;
    }
    state.for_each(|reg| {
        if !reg.is_scalar() || reg.id != old.id {
            return;
        }
        let in_64 = known.added != Added::In32 && reg.added != Added::In32;
        if reg.off == known.off && (in_64 || reg.added == known.added) {
            reg.var = value;
            return;
        }
        // With x for the number that the id names, in 64 bits both are x plus a constant, so they differ by the difference of the constants. Where `reg` is the low half of such a
        // sum, it is the low half of that difference. Where `known` is, it tells of x the low half alone: that is all of x where x is known to have no more, and of
        // a sum in 64 bits nothing.
        let width = match (known.added, reg.added) {
            (Added::In32, Added::In64) => return,
            (Added::In32, Added::Nothing) if reg.width() > 32 => return,
            (Added::In32, _) | (_, Added::In32) => AbstractWidth::W32,
            _ => AbstractWidth::W64,
        };
        let delta = Scalar::constant(i64::from(reg.off).wrapping_sub(i64::from(known.off)) as u64);
        let moved = alu(Abstract::Add, width, &value, &delta);
        reg.var = reg.var.meet(&moved).unwrap_or(moved);
    });
}

/// The scalars that a jump refines together with its operands, if there are any: as notes for the trace.
pub(crate) fn linked(state: &State, j: Jump) -> Result<Vec<Note>, OutOfMemory> {
    let id_of = |r: R| Some(state.reg(r)).filter(|reg| reg.is_scalar()).map_or(0, |reg| reg.id);
    let ids = match j.src {
        Operand::Reg(r) => [id_of(j.dst), id_of(r)],
        Operand::Imm(_) => [id_of(j.dst), 0],
    };
    let mut notes = Vec::new();
    if ids == [0, 0] {
        return Ok(notes);
    }
    let tied = |reg: &Reg| reg.is_scalar() && reg.id != 0 && ids.contains(&reg.id);
    for (f, frame) in state.frames.iter().enumerate() {
        for (r, _) in frame.regs.iter().enumerate().filter(|(_, reg)| tied(reg)) {
            notes.push(Note::LinkedReg { frame: f as u8, reg: r as u8 })?;
        }
        let slots = frame.stack.slots().iter().enumerate();
        for (i, _) in slots.filter(|(_, slot)| slot.spilled().is_some_and(tied)) {
            notes.push(Note::LinkedSlot { frame: f as u8, slot: i as u8 })?;
        }
    }
    if notes.len() < 2 {
        notes.clear();
    }
    Ok(notes)
}

/// What a 64-bit comparison for equality says of null.
#[derive(Clone, Copy)]
enum NullTest {
    /// The pointer is null where they are equal.
    OfPointer,
    /// The pointers with that id are not null where they are equal.
    AgainstPointer(u32),
    /// They are never equal.
    NeverEqual,
}

fn null_test(j: Jump, a: &Reg, b: &Reg) -> Option<NullTest> {
    if !matches!(j.cond, Cond::Eq | Cond::Ne) {
        return None;
    }
    match j.src {
        Operand::Imm(0) if a.kind.may_be_null() => Some(NullTest::OfPointer),
        Operand::Reg(_) if a.kind.is_pointer() && b.kind.is_pointer() => {
            match (a.kind.may_be_null(), b.kind.may_be_null()) {
                (true, false) => Some(NullTest::AgainstPointer(a.id)),
                (false, true) => Some(NullTest::AgainstPointer(b.id)),
                _ => None,
            }
        }
        _ if (a.kind.never_null() && b.is_null()) || (b.kind.never_null() && a.is_null()) => {
            Some(NullTest::NeverEqual)
        }
        _ => None,
    }
}

/// The ways after a test of the pointer `a` for null.
fn tested(
    mut state: State,
    spare: &mut State,
    (taken_if_equal, test): (bool, NullTest),
    a: &Reg,
    keeps_id: impl Fn(u32) -> bool,
) -> Result<Ways, OutOfMemory> {
    let equal = match test {
        NullTest::OfPointer => {
            let mut null = another(&state, spare)?;
            if a.owner == a.id {
                null.drop_reference(a.id);
            }
            settle(&mut null, a.id, true, &keeps_id);
            settle(&mut state, a.id, false, &keeps_id);
            Some(null)
        }
        NullTest::AgainstPointer(id) => {
            let mut same = another(&state, spare)?;
            settle(&mut same, id, false, &keeps_id);
            Some(same)
        }
        NullTest::NeverEqual => None,
    };
    Ok(if taken_if_equal {
        Ways { taken: equal, fallthrough: Some(state) }
    } else {
        Ways { taken: Some(state), fallthrough: equal }
    })
}

/// Every copy of a pointer that may be null is null, or is not.
fn settle(state: &mut State, id: u32, null: bool, keeps_id: &impl Fn(u32) -> bool) {
    state.for_each(|reg| {
        if reg.kind.may_be_null() && reg.id == id {
            if null {
                *reg = Reg::constant(0);
            } else {
                reg.kind = reg.kind.non_null();
                if !matches!(reg.kind, Kind::MapValue(map) if keeps_id(map)) {
                    reg.id = 0;
                }
            }
        }
    });
}

/// The pointer of a comparison with an end, and whether the end is the right operand. Metadata ends where untouched packet data starts.
fn packet_comparison(a: &Reg, b: &Reg) -> Option<(Reg, bool)> {
    if is_end_for(a, b) {
        Some((*a, true))
    } else if is_end_for(b, a) {
        Some((*b, false))
    } else {
        None
    }
}

fn is_end_for(pointer: &Reg, end: &Reg) -> bool {
    match pointer.kind {
        Kind::Packet => end.kind == Kind::PacketEnd,
        Kind::PacketMeta => end.kind == Kind::Packet && end.off == 0 && end.var.known() == Some(0),
        _ => false,
    }
}

/// How a pointer lies to the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// pointer <= end
    Within,
    /// pointer < end
    Before,
    /// pointer >= end
    AtOrBeyond,
    /// pointer > end
    Beyond,
}

fn packet(
    (mut state, spare): (State, &mut State),
    cond: Cond,
    r: R,
    p: &Reg,
    end_right: bool,
) -> Result<Ways, OutOfMemory> {
    use Lies::{AtOrBeyond, Before, Beyond, Within};
    let (taken, fall) = match (cond, end_right) {
        (Cond::Gt, true) | (Cond::Lt, false) => (Beyond, Within),
        (Cond::Lt, true) | (Cond::Gt, false) => (Before, AtOrBeyond),
        (Cond::Ge, true) | (Cond::Le, false) => (AtOrBeyond, Before),
        (Cond::Le, true) | (Cond::Ge, false) => (Within, Beyond),
        _ => return both(state, spare),
    };
    let impossible = |way: Lies| match p.range {
        BEYOND_PKT_END => matches!(way, Within | Before),
        AT_PKT_END => way == Before,
        _ => false,
    };
    let mut other = None;
    if !impossible(taken) {
        let mut copy = another(&state, spare)?;
        found(&mut copy, r, p, taken);
        other = Some(copy);
    }
    if impossible(fall) {
        return Ok(Ways { taken: other, fallthrough: None });
    }
    found(&mut state, r, p, fall);
    Ok(Ways { taken: other, fallthrough: Some(state) })
}

/// Notes where a packet pointer was found to lie: that it may be accessed for all pointers of the same base, that it is beyond for the register alone.
fn found(state: &mut State, r: R, p: &Reg, way: Lies) {
    match way {
        Lies::Within | Lies::Before => good_range(state, p, way == Lies::Before),
        Lies::AtOrBeyond | Lies::Beyond if p.kind == Kind::Packet => {
            let range = if way == Lies::Beyond { BEYOND_PKT_END } else { AT_PKT_END };
            state.set(r, Reg { range, ..*p });
        }
        Lies::AtOrBeyond | Lies::Beyond => {}
    }
}

/// `p` lies within the end: the bytes from the base up to `p` may be accessed, and one more where it lies before the end.
fn good_range(state: &mut State, p: &Reg, before: bool) {
    let max = p.var.umax();
    if p.off < 0 || (p.off == 0 && before) {
        return;
    }
    let most = u64::from(MAX_PACKET_OFF);
    if max > most || max + p.off as u64 > most {
        return; // the end of the range could wrap
    }
    let range = p.off + i32::from(before);
    state.for_each(|reg| {
        if reg.kind == p.kind && reg.id == p.id {
            reg.range = reg.range.max(range);
        }
    });
}
