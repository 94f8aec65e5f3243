//! When a state need not be explored: an older one at the same instruction, explored to its end, covers it.
//!
//! `covers` is the one place that decides. Old covers new where every concrete state of the new one is a concrete state of the old one, up to
//! a renaming of ids that keeps who is tied to whom, as far as it mattered. What the old state calls unreadable was dead or never read, and
//! covers anything; so do half slots of the stack that no path from the old state read. A byte that is unwritten or "something"
//! covers every byte but those of a spilled pointer: a read of it was explored as a number.
//!
//! A number on which no judgement and no fact rested covers every number, and a known byte likewise; but never a pointer. Kinds, maps, offsets
//! and ranges of pointers are compared in full: what was noted of them on the explored path holds on the pruned one ([`super::facts`]).
//! Packet ends that are known to be passed are compared as such, not as numbers.

use super::backtrack::{Halves, Need, halves_of};
use super::kept::{Frame, View, bits};
use super::packed::Values;
use super::reg::Reg;
use super::stack::{Byte, Slot};
use super::state::{FrameState, State};
use crate::mem::{OutOfMemory, Vec};

/// How states are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// The old one has every state of the new one, as far as it mattered to the paths from it.
    Covers,
    /// The old one has every state of the new one, whatever matters: it is not known yet.
    Within,
    /// They are the same: a loop that changed nothing.
    Same,
}

/// What mattered of one frame of a state to the paths from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mattered {
    /// Numbers that something rested on.
    pub(crate) precise: Need,
    /// Half slots that were read.
    pub(crate) read: Halves,
}

impl Mattered {
    fn reg(&self, r: usize) -> bool {
        self.precise.regs >> r & 1 == 1
    }
}

/// Which id of the old state is which of the new one.
#[derive(Debug)]
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    temporary: u32,
}

impl IdMap {
    /// Ids above every real one are free for values that are tied to nothing.
    const FIRST_TEMPORARY: u32 = 1 << 31;

    pub(crate) const fn new() -> Self {
        IdMap { pairs: Vec::new(), temporary: Self::FIRST_TEMPORARY }
    }

    fn clear(&mut self) {
        self.pairs.clear();
        self.temporary = Self::FIRST_TEMPORARY;
    }

    /// Ties `old` to `new`, one to one.
    fn tie(&mut self, old: u32, new: u32) -> Result<bool, OutOfMemory> {
        if old == 0 || new == 0 {
            return Ok(old == new);
        }
        if let Some(pair) = self.pairs.iter().find(|p| p.0 == old || p.1 == new) {
            return Ok(*pair == (old, new));
        }
        self.pairs.push((old, new))?;
        Ok(true)
    }

    /// As above for scalars: an old one that was tied to nothing covers one that is; one that was tied needs ties of its own.
    fn tie_scalar(&mut self, old: u32, new: u32) -> Result<bool, OutOfMemory> {
        if old == 0 {
            return Ok(true);
        }
        if new == 0 {
            self.temporary += 1;
            let temporary = self.temporary;
            return self.tie(old, temporary);
        }
        self.tie(old, new)
    }
}

/// Whether `old` makes the exploration of `new` needless.
pub(crate) fn covers(old: View<'_>, new: &State, how: Compare, ids: &mut IdMap) -> Result<bool, OutOfMemory> {
    if old.frames.len() != new.frames.len() {
        return Ok(false);
    }
    ids.clear();
    if how == Compare::Same && old.unrolled != new.unrolled {
        return Ok(false);
    }
    let mut values = old.values();
    if !holds_alike(old, &mut values, new, ids)? {
        return Ok(false);
    }
    for (i, (a, b)) in old.frames.iter().zip(&new.frames).enumerate() {
        if a.func != b.func
            || (i > 0 && a.callsite != b.callsite)
            || a.callback != b.callback
            // A callback that had fewer turns was explored for more of them.
            || a.turns > b.turns
            || !frame(a, &mut values, b, how, ids)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is held is the same, in the same order.
fn holds_alike(
    old: View<'_>,
    values: &mut Values<'_>,
    new: &State,
    ids: &mut IdMap,
) -> Result<bool, OutOfMemory> {
    if old.held() != new.held.len() {
        return Ok(false);
    }
    for b in &new.held {
        let a = values.reference();
        if a.held != b.held || !ids.tie(a.id, b.id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn frame(
    old: &Frame,
    values: &mut Values<'_>,
    new: &FrameState,
    how: Compare,
    ids: &mut IdMap,
) -> Result<bool, OutOfMemory> {
    let m = &old.mattered;
    for r in bits(u64::from(old.regs)) {
        if !reg(&values.reg(), &new.regs[r], how, m.reg(r), ids)? {
            return Ok(false);
        }
    }
    let b = new.stack.slots();
    let used = 64 - old.slots.leading_zeros() as usize;
    for i in 0..used.max(b.len()) {
        let (there, halves) = (old.slots >> i & 1 == 1, halves_of(i));
        if how == Compare::Covers && m.read & halves == 0 {
            if there {
                values.skip_slot();
            }
            continue;
        }
        let a = if there { values.slot() } else { Slot::EMPTY };
        let b = b.get(i).unwrap_or(&Slot::EMPTY);
        if !slot(&a, b, how, m.precise.halves & halves != 0, ids)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[inline(always)]
fn reg(old: &Reg, new: &Reg, how: Compare, precise: bool, ids: &mut IdMap) -> Result<bool, OutOfMemory> {
    if old.is_not_init() {
        return Ok(true);
    }
    if old.is_scalar() {
        if !new.is_scalar() {
            return Ok(false);
        }
        if how == Compare::Covers && !precise {
            return Ok(true);
        }
    }
    value(old, new, how, ids)
}

/// Two values of which the old one mattered.
fn value(old: &Reg, new: &Reg, how: Compare, ids: &mut IdMap) -> Result<bool, OutOfMemory> {
    let values = match how {
        Compare::Covers | Compare::Within => new.var.subset_of(&old.var),
        Compare::Same => new.var == old.var,
    };
    if old.kind != new.kind || !values {
        return Ok(false);
    }
    if old.is_scalar() {
        let tied_alike = old.id == 0 || (old.added == new.added && old.off == new.off);
        return Ok(tied_alike && ids.tie_scalar(old.id, new.id)?);
    }
    let range = match how {
        _ if old.range < 0 || new.range < 0 => old.range == new.range,
        Compare::Covers | Compare::Within => old.range <= new.range,
        Compare::Same => old.range == new.range,
    };
    Ok(old.off == new.off
        && range
        && ids.tie(old.id, new.id)?
        && ids.tie(old.owner, new.owner)?
        && ids.tie(old.uid, new.uid)?)
}

fn slot(old: &Slot, new: &Slot, how: Compare, precise: bool, ids: &mut IdMap) -> Result<bool, OutOfMemory> {
    if old.object().is_some() || new.object().is_some() {
        return object(old, new, how, ids);
    }
    let pointer = new.spilled().is_some_and(|r| r.kind.is_pointer());
    if how == Compare::Covers && !precise && !old.spilled().is_some_and(|r| r.kind.is_pointer()) {
        return Ok(!pointer);
    }
    if let Some(a) = old.spilled() {
        let size = old.spill_size();
        let b = match new.spilled() {
            Some(b) if new.spill_size() == size => *b,
            Some(b) if !b.is_scalar() => return Ok(false),
            _ if a.is_scalar() && how != Compare::Same => bytes_as_scalar(new, size),
            _ => return Ok(false),
        };
        if !reg(a, &b, how, precise, ids)? {
            return Ok(false);
        }
    }
    for i in 0..8 {
        let fits = match (old.bytes[i], new.bytes[i]) {
            (Byte::Spill | Byte::Object, _) => true,
            (a, b) if how == Compare::Same => a == b,
            (Byte::Invalid | Byte::Misc, Byte::Spill) => !pointer,
            (Byte::Invalid | Byte::Misc, _) => true,
            (Byte::Known(_) | Byte::Part(_), _) => new.plain(i) == old.plain(i),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Two slots of which one at least is part of an object. How often an iterator was stepped tells two turns of a loop apart; it bounds nothing.
fn object(old: &Slot, new: &Slot, how: Compare, ids: &mut IdMap) -> Result<bool, OutOfMemory> {
    let (Some(a), Some(b)) = (old.object(), new.object()) else { return Ok(false) };
    Ok(a.kind == b.kind
        && (how != Compare::Same || a.off == b.off)
        && ids.tie(a.id, b.id)?
        && ids.tie(a.owner, b.owner)?)
}

/// The number in the first bytes of a slot that holds no pointer.
fn bytes_as_scalar(slot: &Slot, size: u32) -> Reg {
    let mut value = 0u64;
    for i in 0..size as usize {
        match slot.plain(i) {
            Byte::Known(b) => value |= u64::from(b) << (8 * i),
            _ => return Reg::UNKNOWN.cut_to(size),
        }
    }
    Reg::constant(value)
}
