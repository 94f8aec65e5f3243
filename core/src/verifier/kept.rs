//! States at rest: packed while they wait for their turn, or to be compared with.
//!
//! A state takes some ten kilobytes with a full stack, most of it saying little. Packed, a register that cannot be read and a slot that holds nothing take no
//! byte, a known number takes its value, and only numbers with bounds of their own take all of it. The parts come out in the order in which they are
//! compared, so that a comparison that fails early reads no more.
//!
//! Nothing is lost: [`Kept::unpack`] gives the state that was packed, but for `FrameState::written`, which counts from where a state is kept. Kinds of pointers are kept once for
//! all states ([`Kinds`]).

use super::backtrack::{Halves, halves_of};
use super::reg::{Kind, Reg};
use super::scalar::Scalar;
use super::stack::{Byte, Slot, Stack};
use super::state::{FrameState, Reference, Returns, State};
use crate::isa::Reg as R;
use crate::mem::{OutOfMemory, Vec};

/// What packing and unpacking share: the kinds of pointers that were met, of which there are few in a program, and numbers of which only the width is
/// known, by how they are written.
#[derive(Debug)]
pub(crate) struct Kinds {
    kinds: Vec<Kind>,
    widths: [Scalar; 4],
    scratch: Vec<u8>,
}

impl Kinds {
    /// None yet.
    pub(crate) fn new() -> Self {
        let widths = [8, 1, 2, 4].map(|bytes| Scalar::UNKNOWN.coerce_to_size(bytes));
        Kinds { kinds: Vec::new(), widths, scratch: Vec::new() }
    }

    fn number(&mut self, kind: Kind) -> Result<u16, OutOfMemory> {
        let at = match self.kinds.iter().position(|k| *k == kind) {
            Some(at) => at,
            None => {
                self.kinds.push(kind)?;
                self.kinds.len() - 1
            }
        };
        // A program has some hundred: maps and sizes of memory that stand in its words.
        u16::try_from(at).map_err(|_| OutOfMemory)
    }

    fn get(&self, number: u16) -> Kind {
        self.kinds.get(usize::from(number)).copied().unwrap_or(Kind::NotInit)
    }
}

/// One frame's outline; its values are in [`Kept::bytes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptFrame {
    pub(crate) func: u32,
    pub(crate) callsite: u32,
    pub(crate) callback: Option<Returns>,
    pub(crate) turns: u32,
    /// Bit r: register r can be read.
    pub(crate) regs: u16,
    /// Bit r: it is a pointer.
    pub(crate) pointers: u16,
    /// Bit i: slot i, from the frame's end, holds something.
    pub(crate) slots: u64,
    /// Bit i: a pointer.
    pub(crate) pointer_slots: u64,
}

impl KeptFrame {
    /// The half slots that hold pointers.
    pub(crate) fn pointer_halves(&self) -> Halves {
        bits(self.pointer_slots).fold(0, |all, i| all | halves_of(i))
    }
}

/// A packed state.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) frames: Vec<KeptFrame>,
    pub(crate) held: Vec<Reference>,
    pub(crate) may_goto: u32,
    pub(crate) unrolled: u32,
    bytes: Vec<u8>,
}

/// The places of the bits that are set, lowest first.
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let at = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (at < 64).then_some(at as usize)
    })
}

impl Kept {
    /// Packs a state.
    pub(crate) fn pack(state: &State, kinds: &mut Kinds) -> Result<Kept, OutOfMemory> {
        let mut bytes = core::mem::take(&mut kinds.scratch);
        bytes.clear();
        let mut out = Writer { bytes, kinds };
        let mut frames = Vec::with_capacity(state.frames.len())?;
        for f in &state.frames {
            let mut kept = KeptFrame {
                func: f.func,
                callsite: f.callsite,
                callback: f.callback,
                turns: f.turns,
                regs: 0,
                pointers: 0,
                slots: 0,
                pointer_slots: 0,
            };
            for (r, reg) in f.regs.iter().enumerate().filter(|(_, reg)| !reg.is_not_init()) {
                kept.regs |= 1 << r;
                kept.pointers |= u16::from(reg.kind.is_pointer()) << r;
                out.reg(reg)?;
            }
            for (i, slot) in f.stack.slots().iter().enumerate().filter(|(_, s)| **s != Slot::EMPTY) {
                kept.slots |= 1 << i;
                kept.pointer_slots |= u64::from(slot.spilled().is_some_and(|r| r.kind.is_pointer())) << i;
                out.slot(slot)?;
            }
            frames.push(kept)?;
        }
        let held = Vec::from_slice(&state.held)?;
        let Writer { bytes: written, kinds } = out;
        let bytes = Vec::from_slice(&written)?;
        kinds.scratch = written;
        Ok(Kept { frames, held, may_goto: state.may_goto, unrolled: state.unrolled, bytes })
    }

    /// The state again; nothing of it was overwritten yet.
    pub(crate) fn unpack(&self, kinds: &Kinds) -> Result<State, OutOfMemory> {
        let mut values = self.values(kinds);
        let mut frames = Vec::with_capacity(self.frames.len())?;
        for (depth, kept) in self.frames.iter().enumerate() {
            let mut f = FrameState::entry(kept.func, kept.callsite, depth);
            f.regs = [Reg::NOT_INIT; R::COUNT];
            for r in bits(u64::from(kept.regs)) {
                f.regs[r] = values.reg();
            }
            let used = 64 - kept.slots.leading_zeros() as usize;
            let mut slots = Vec::filled(Slot::EMPTY, used)?;
            for i in bits(kept.slots) {
                slots[i] = values.slot();
            }
            f.stack = Stack::from_slots(slots);
            (f.callback, f.turns, f.written) = (kept.callback, kept.turns, 0);
            frames.push(f)?;
        }
        let held = Vec::from_slice(&self.held)?;
        Ok(State { frames, held, may_goto: self.may_goto, unrolled: self.unrolled })
    }

    /// The values, in order: of each frame its readable registers, then its slots that hold something.
    pub(crate) fn values<'k>(&'k self, kinds: &'k Kinds) -> Values<'k> {
        Values { bytes: &self.bytes, kinds }
    }

    /// Number of the innermost frame.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// Bytes that it takes, for the account.
    pub(crate) fn size(&self) -> usize {
        size_of::<Kept>()
            + self.bytes.len()
            + self.frames.len() * size_of::<KeptFrame>()
            + self.held.len() * size_of::<Reference>()
    }
}

// The first byte of a value: what its number is like, then what else there is.
const CONSTANT: u8 = 0;
/// A place in [`Kinds::widths`] is added: 8, 1, 2 or 4 bytes.
const ANY: u8 = 1;
const ZERO: u8 = 5;
const BOUNDS: u8 = 6;
const NUMBER: u8 = 7;
const TIED: u8 = 1 << 3;
const ADDED: u8 = 1 << 4;
const POINTER: u8 = 1 << 5;
const OWNED: u8 = 1 << 6;

// The first byte of a slot.
const MISC: u8 = 0;
const SPILL: u8 = 1;
const OBJECT: u8 = 2;
const BYTES: u8 = 3;

struct Writer<'v> {
    bytes: Vec<u8>,
    kinds: &'v mut Kinds,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.bytes.extend_from_slice(bytes)
    }

    fn reg(&mut self, reg: &Reg) -> Result<(), OutOfMemory> {
        let var = &reg.var;
        let width = || self.kinds.widths.iter().zip(ANY..).find(|(w, _)| *w == var);
        let number = match var.known() {
            Some(0) => ZERO,
            Some(_) => CONSTANT,
            None => width().map_or(BOUNDS, |w| w.1),
        };
        let (pointer, owned) = (!reg.is_scalar(), reg.owner != 0 || reg.uid != 0);
        let mut first = number;
        first |= if reg.id != 0 { TIED } else { 0 };
        first |= if reg.off != 0 || reg.add_const { ADDED } else { 0 };
        first |= if pointer { POINTER } else { 0 };
        first |= if owned { OWNED } else { 0 };
        self.put(&[first])?;
        if pointer {
            let kind = self.kinds.number(reg.kind)?;
            self.put(&kind.to_le_bytes())?;
            self.put(&reg.range.to_le_bytes())?;
        }
        if reg.id != 0 {
            self.put(&reg.id.to_le_bytes())?;
        }
        if first & ADDED != 0 {
            self.put(&reg.off.to_le_bytes())?;
            self.put(&[u8::from(reg.add_const)])?;
        }
        if owned {
            self.put(&reg.owner.to_le_bytes())?;
            self.put(&reg.uid.to_le_bytes())?;
        }
        match number {
            CONSTANT => self.put(&var.known().unwrap_or(0).to_le_bytes()),
            BOUNDS => self.put(&var.to_bytes()),
            _ => Ok(()),
        }
    }

    fn slot(&mut self, slot: &Slot) -> Result<(), OutOfMemory> {
        match slot.bytes {
            [Byte::Misc, ..] if slot.bytes == [Byte::Misc; 8] => self.put(&[MISC]),
            [Byte::Object, ..] => {
                self.put(&[OBJECT])?;
                self.reg(&slot.reg)
            }
            [Byte::Spill, ..] if slot.spill_size() == 8 => {
                self.put(&[SPILL])?;
                self.reg(&slot.reg)
            }
            _ => {
                self.put(&[BYTES])?;
                for b in slot.bytes {
                    self.put(&match b {
                        Byte::Invalid => [0, 0],
                        Byte::Misc => [1, 0],
                        Byte::Known(v) => [2, v],
                        Byte::Spill => [3, 0],
                        Byte::Object => [4, 0],
                        Byte::Part(v) => [5, v],
                    })?;
                }
                if slot.spilled().is_some() { self.reg(&slot.reg) } else { Ok(()) }
            }
        }
    }
}

/// Reads values back.
#[derive(Debug)]
pub(crate) struct Values<'k> {
    bytes: &'k [u8],
    kinds: &'k Kinds,
}

impl Values<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes.split_first_chunk() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            // What was written has as many bytes as it is read by.
            None => [0; N],
        }
    }

    /// The next register.
    #[inline]
    pub(crate) fn reg(&mut self) -> Reg {
        let [first] = self.take();
        let mut reg = Reg::UNKNOWN;
        if first & POINTER != 0 {
            reg.kind = self.kinds.get(u16::from_le_bytes(self.take()));
            reg.range = i32::from_le_bytes(self.take());
        }
        if first & TIED != 0 {
            reg.id = u32::from_le_bytes(self.take());
        }
        if first & ADDED != 0 {
            reg.off = i32::from_le_bytes(self.take());
            reg.add_const = self.take() == [1];
        }
        if first & OWNED != 0 {
            reg.owner = u32::from_le_bytes(self.take());
            reg.uid = u32::from_le_bytes(self.take());
        }
        reg.var = match first & NUMBER {
            CONSTANT => Scalar::constant(u64::from_le_bytes(self.take())),
            ZERO => Scalar::constant(0),
            BOUNDS => Scalar::from_bytes(&self.take()),
            width => self.kinds.widths[usize::from(width - ANY) % 4],
        };
        reg
    }

    fn skip(&mut self, n: usize) {
        self.bytes = self.bytes.get(n..).unwrap_or_default();
    }

    /// Passes over the next register.
    fn skip_reg(&mut self) {
        let [first] = self.take();
        let part = |flag: u8, bytes: usize| if first & flag != 0 { bytes } else { 0 };
        let number = match first & NUMBER {
            CONSTANT => 8,
            BOUNDS => 64,
            _ => 0,
        };
        self.skip(part(POINTER, 6) + part(TIED, 4) + part(ADDED, 5) + part(OWNED, 8) + number);
    }

    /// Passes over the next slot.
    pub(crate) fn skip_slot(&mut self) {
        match self.take() {
            [MISC] => {}
            [SPILL | OBJECT] => self.skip_reg(),
            _ => {
                let spills = self.bytes.first() == Some(&3);
                self.skip(16);
                if spills {
                    self.skip_reg();
                }
            }
        }
    }

    /// The next slot.
    #[inline]
    pub(crate) fn slot(&mut self) -> Slot {
        match self.take() {
            [MISC] => Slot { bytes: [Byte::Misc; 8], reg: Reg::NOT_INIT },
            [SPILL] => Slot { bytes: [Byte::Spill; 8], reg: self.reg() },
            [OBJECT] => Slot { bytes: [Byte::Object; 8], reg: self.reg() },
            _ => {
                let mut slot = Slot::EMPTY;
                for b in &mut slot.bytes {
                    *b = match self.take() {
                        [0, _] => Byte::Invalid,
                        [2, v] => Byte::Known(v),
                        [3, _] => Byte::Spill,
                        [4, _] => Byte::Object,
                        [5, v] => Byte::Part(v),
                        _ => Byte::Misc,
                    };
                }
                if slot.spilled().is_some() {
                    slot.reg = self.reg();
                }
                slot
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::DynptrKind;
    use crate::verifier::reg::Half;

    #[test]
    fn packed_state_comes_back_as_it_was() {
        let bounded = Reg { id: 7, ..Reg::scalar(Scalar::from_unsigned(3, 900)) };
        let linked = Reg { add_const: true, off: -4, ..bounded };
        let packet = Reg { range: -2, off: 14, id: 3, ..Reg::pointer(Kind::Packet) };
        let owned = Reg { owner: 9, uid: 5, ..Reg::pointer(Kind::Ring(64)) };
        let object =
            Reg { id: 2, owner: 4, ..Reg::pointer(Kind::DynptrSlot(DynptrKind::Ringbuf, Half::First)) };
        let values = [
            Reg::constant(0),
            Reg::constant(u64::MAX),
            Reg::UNKNOWN,
            Reg::UNKNOWN.cut_to(1),
            Reg::UNKNOWN.cut_to(2),
            Reg::UNKNOWN.cut_to(4),
            bounded,
            linked,
            packet,
            owned,
        ];
        let mut state = State::entry(0).unwrap();
        state.frame_mut().regs[..10].copy_from_slice(&values);
        for (i, value) in values.iter().enumerate() {
            state.frame_mut().stack.write(-16 * (i as i32 + 1), 8, value).unwrap();
        }
        let stack = &mut state.frame_mut().stack;
        stack.write(-24, 4, &bounded).unwrap();
        stack.write(-36, 2, &Reg::constant(0x1234)).unwrap();
        stack.write(-49, 1, &Reg::UNKNOWN).unwrap();
        stack.put_object(-72, object).unwrap();
        state.nothing_written();
        let mut kinds = Kinds::new();
        let kept = Kept::pack(&state, &mut kinds).unwrap();
        let back = kept.unpack(&kinds).unwrap();
        assert_eq!(back.frame().regs, state.frame().regs);
        for off in (-512..0).step_by(8) {
            assert_eq!(back.frame().stack.slot(off), state.frame().stack.slot(off), "{off}");
        }
        assert!(kept.size() * 4 < state.bytes(), "{} of {}", kept.size(), state.bytes());
    }
}
