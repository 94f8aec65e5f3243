//! Things on the stack that only helpers touch: dynamic pointers (two slots) and iterators (one slot).
//!
//! A slot that is part of one holds its state in place of bytes; it is neither read nor written as bytes. Overwriting a dynamic pointer of the program's own memory or of the
//! packet ends it, and the memory that was reached through it; one of a ring buffer must be given back first.

use super::check;
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::reg::{Half, IterState, Kind, Reg};
use super::state::{Held, State};
use crate::helpers::{DynptrKind, DynptrUse, IterUse};
use crate::isa::Reg as R;

/// Bytes of `struct bpf_dynptr`.
const DYNPTR_SIZE: u32 = 16;
/// Bytes of `struct bpf_iter_num`.
const ITER_SIZE: u32 = 8;

/// A dynamic pointer that a call was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) kind: DynptrKind,
    /// Itself.
    pub(crate) id: u32,
    /// What has to be given back; 0: nothing.
    pub(crate) owner: u32,
}

/// What a call makes on the stack, once it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    frame: u8,
    off: i32,
    what: Object,
}

#[derive(Clone, Copy, Debug)]
enum Object {
    Dynptr(DynptrKind, u32),
    IterNum,
}

/// Where an object on the stack is: frame and offset.
fn place(reg: &Reg, what: &'static str, size: u32) -> Result<(u8, i32), E> {
    let Kind::Stack(frame) = reg.kind else { return Err(E::ObjectNotOnStack { what }) };
    let var = reg.var.known().ok_or(E::ObjectVariable { what })?;
    let off = i64::from(reg.off) + var as i64;
    let inside = (-512..=-i64::from(size)).contains(&off);
    if !inside || off % 8 != 0 {
        return Err(E::ObjectOffset { what, off });
    }
    Ok((frame, off as i32))
}

impl Verifier<'_, '_, '_> {
    /// Judges a dynamic pointer argument.
    pub(crate) fn dynptr_argument(
        &mut self,
        state: &mut State,
        r: R,
        how: DynptrUse,
        first: Option<Given>,
    ) -> Result<(Option<Given>, Option<Made>), E> {
        let reg = *state.reg(r);
        let arg = r.num() - 1;
        if !matches!(reg.kind, Kind::Stack(_) | Kind::Dynptr) {
            return Err(E::ArgType { reg: r.num(), kind: reg.kind.name(), expected: "fp, dynptr_ptr" });
        }
        if let DynptrUse::New(_) | DynptrUse::Clone = how {
            if reg.kind == Kind::Dynptr {
                return Err(E::DynptrNotFree);
            }
            let source = state.reg(R::R1).kind;
            if how == DynptrUse::New(DynptrKind::Local) && !matches!(source, Kind::MapValue(_)) {
                return Err(E::DynptrSource { kind: source.name() });
            }
            let (frame, off) = place(&reg, "dynptr", DYNPTR_SIZE)?;
            let (kind, owner) = match (how, first) {
                (DynptrUse::New(kind), _) => (kind, 0),
                (_, Some(given)) => (given.kind, given.owner),
                (_, None) => return Err(E::Internal { what: "clone of nothing" }),
            };
            self.uses_stack(state, frame, (off, off + DYNPTR_SIZE as i32), false, false)?;
            self.overwrite(state, frame, off, DYNPTR_SIZE)?;
            return Ok((None, Some(Made { frame, off, what: Object::Dynptr(kind, owner) })));
        }
        if reg.kind == Kind::Dynptr {
            check::unmodified(&reg, r.num())?;
            if how == DynptrUse::Modify {
                return Err(E::DynptrConst);
            }
            if how == DynptrUse::Release {
                return Err(E::DynptrNotOwned);
            }
            return Ok((Some(Given { kind: DynptrKind::Local, id: reg.uid, owner: 0 }), None));
        }
        let (frame, off) = place(&reg, "dynptr", DYNPTR_SIZE)?;
        self.uses_stack(state, frame, (off, off + DYNPTR_SIZE as i32), true, false)?;
        let stack = &state.frames[usize::from(frame)].stack;
        let object = stack.slot(off).object().copied();
        let Some((object, kind)) = object.and_then(|o| match o.kind {
            Kind::DynptrSlot(kind, Half::First) => Some((o, kind)),
            _ => None,
        }) else {
            return Err(if how == DynptrUse::Release {
                E::DynptrNotAcquired { arg: r.num() }
            } else {
                E::DynptrNotReady { arg }
            });
        };
        if how == DynptrUse::Release {
            if object.owner == 0 {
                return Err(E::DynptrNotAcquired { arg: r.num() });
            }
            self.release_dynptrs(state, object.owner);
        }
        Ok((Some(Given { kind, id: object.id, owner: object.owner }), None))
    }

    /// A reservation is over: every dynamic pointer of it, and the memory behind them.
    fn release_dynptrs(&mut self, state: &mut State, owner: u32) {
        for frame in &mut state.frames {
            for slot in frame.stack.slots_mut() {
                if slot.object().is_some_and(|o| o.owner == owner && matches!(o.kind, Kind::DynptrSlot(..))) {
                    *slot = super::stack::Slot::EMPTY;
                }
            }
        }
        state.give_back(owner, self.leftover());
    }

    /// Judges an iterator argument.
    pub(crate) fn iter_argument(
        &mut self,
        state: &State,
        r: R,
        how: IterUse,
    ) -> Result<(Option<Reg>, Option<Made>), E> {
        let reg = *state.reg(r);
        let arg = r.num() - 1;
        if !matches!(reg.kind, Kind::Stack(_)) {
            return Err(E::IterNotOnStack { arg });
        }
        let (frame, off) = place(&reg, "iter", ITER_SIZE)?;
        let span = (off, off + ITER_SIZE as i32);
        self.uses_stack(state, frame, span, how != IterUse::New, false)?;
        let slot = state.frames[usize::from(frame)].stack.slot(off);
        match (how, slot.object()) {
            (IterUse::New, None) => Ok((None, Some(Made { frame, off, what: Object::IterNum }))),
            (IterUse::New, Some(o)) if !matches!(o.kind, Kind::IterSlot(_)) => {
                Ok((None, Some(Made { frame, off, what: Object::IterNum })))
            }
            (IterUse::New, Some(_)) => Err(E::IterNotFree { arg }),
            (_, Some(o)) if matches!(o.kind, Kind::IterSlot(_)) => Ok((Some(*o), None)),
            _ => Err(E::IterNotReady { arg }),
        }
    }

    /// Puts what a call made into its place.
    pub(crate) fn make(&mut self, state: &mut State, pc: u32, made: Made) -> Result<(), E> {
        let size = if matches!(made.what, Object::IterNum) { ITER_SIZE } else { DYNPTR_SIZE };
        self.overwrite(state, made.frame, made.off, size)?;
        let id = self.ids.fresh();
        match made.what {
            Object::IterNum => {
                state.hold(id, pc, Held::Object)?;
                let object = Reg { owner: id, ..Reg::pointer(Kind::IterSlot(IterState::Active)) };
                state.frames[usize::from(made.frame)].stack.put_object(made.off, object)?;
            }
            Object::Dynptr(kind, of) => {
                let owner = match (kind, of) {
                    (DynptrKind::Ringbuf, 0) => {
                        let owner = self.ids.fresh();
                        state.hold(owner, pc, Held::Object)?;
                        owner
                    }
                    (_, of) => of,
                };
                let stack = &mut state.frames[usize::from(made.frame)].stack;
                for (off, half) in [(made.off, Half::First), (made.off + 8, Half::Second)] {
                    let object = Reg { id, owner, ..Reg::pointer(Kind::DynptrSlot(kind, half)) };
                    stack.put_object(off, object)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of the stack are about to be overwritten: objects there end, where they may.
    pub(crate) fn overwrite(&mut self, state: &mut State, frame: u8, off: i32, size: u32) -> Result<(), E> {
        loop {
            let stack = &mut state.frames[usize::from(frame)].stack;
            let Some((at, object)) = stack.objects(off, size).next() else { return Ok(()) };
            match object.kind {
                Kind::DynptrSlot(_, half) => {
                    if object.owner != 0 {
                        return Err(E::DynptrReferenced);
                    }
                    let first = if half == Half::First { at } else { at - 8 };
                    stack.take_object(first);
                    stack.take_object(first + 8);
                    state.forget(self.leftover(), |r| {
                        r.uid == object.id && matches!(r.kind, Kind::Slice(_) | Kind::SliceOrNull(_))
                    });
                }
                // What it held stays held, so that the path cannot end.
                _ => stack.take_object(at),
            }
        }
    }

    /// Steps an iterator: a turn with a number is put aside, and the path at hand goes on with none left.
    pub(crate) fn iter_next(&mut self, state: &mut State, pc: u32, r: R) -> Result<State, E> {
        let (frame, off) = place(state.reg(r), "iter", ITER_SIZE)?;
        let slot = |state: &mut State, change: &dyn Fn(&mut Reg)| {
            if let Some(object) = state.frames[usize::from(frame)].stack.object_mut(off) {
                change(object);
            }
        };
        let owner = state.frames[usize::from(frame)].stack.slot(off).object().map_or(0, |o| o.owner);
        let mut turn = state.try_clone()?;
        turn.clobber_caller_saved();
        turn.set(R::R0, Reg { owner, ..Reg::pointer(Kind::IterNum) });
        slot(&mut turn, &|o| {
            o.kind = Kind::IterSlot(IterState::Active);
            o.off += 1;
        });
        let above = self.explored.parent_of(self.parent);
        if let Some((old, noted)) = self.explored.previous(above, pc, &turn)? {
            super::widen::widen(&old, noted, &mut turn);
        }
        slot(state, &|o| o.kind = Kind::IterSlot(IterState::Drained));
        state.clobber_caller_saved();
        state.set(R::R0, Reg::constant(0));
        Ok(turn)
    }

    /// Ends an iterator.
    pub(crate) fn iter_destroy(&mut self, state: &mut State, r: R) -> Result<(), E> {
        let (frame, off) = place(state.reg(r), "iter", ITER_SIZE)?;
        let stack = &mut state.frames[usize::from(frame)].stack;
        let owner = stack.slot(off).object().map_or(0, |o| o.owner);
        stack.take_object(off);
        state.give_back(owner, self.leftover());
        Ok(())
    }
}

/// The lock or timer that a value's pointer stands at.
pub(crate) fn field(reg: &Reg, num: u8, name: &'static str, at: Option<u32>) -> Result<(), E> {
    if !matches!(reg.kind, Kind::MapValue(_)) {
        return Err(E::ArgType { reg: num, kind: reg.kind.name(), expected: "map_value" });
    }
    let var = reg.var.known().ok_or(E::FieldVariable { reg: num, name })?;
    let at = at.ok_or(E::NoField { name })?;
    let off = i64::from(reg.off).wrapping_add(var as i64);
    if off == i64::from(at) { Ok(()) } else { Err(E::FieldOffset { off, name, at }) }
}

/// Bytes of the stack that a helper reads or writes hold no objects.
pub(crate) fn no_objects(state: &State, reg: &Reg, size: u32, dir: check::Dir, num: u8) -> Result<(), E> {
    let Kind::Stack(frame) = reg.kind else { return Ok(()) };
    let (min, end, _) = check::stack_span(reg, 0, size);
    if size == 0 {
        return Ok(());
    }
    let stack = &state.frames[usize::from(frame)].stack;
    match stack.objects(min as i32, (end - min) as u32).next() {
        None => Ok(()),
        Some((at, _)) if dir == check::Dir::Write => Err(E::ObjectWrite { off: i64::from(at).max(min) }),
        Some((at, _)) => Err(E::ObjectRead { reg: num, off: min, i: (i64::from(at) - min).max(0), size }),
    }
}
