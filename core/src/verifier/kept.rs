//! States at rest: packed while they wait for their turn, or to be compared with.
//!
//! A state takes some ten kilobytes with a full stack, most of it saying little. Packed, a register that cannot be read and a slot that holds nothing take no
//! byte, a known number takes its value, and only numbers with bounds of their own take all of it ([`super::packed`]). The parts come out in the order in which
//! they are compared, so that a comparison that fails early reads no more.
//!
//! Nothing is lost: [`Rest::unpack`] gives the state that was packed. Kinds of pointers are kept once for all states. All memory is that of one [`Arena`].

use super::arena::{Arena, Block, Run};
use super::backtrack::{Halves, Need, halves_of};
use super::packed::{Kinds, Values, Writer};
use super::prune::Mattered;
use super::reg::Reg;
use super::state::{FrameState, Returns, State};
use crate::isa::Reg as R;
use crate::mem::{OutOfMemory, Vec};

/// One frame at rest: its outline, and what is noted of it. Its values are in the state's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) func: u32,
    pub(crate) callsite: u32,
    pub(crate) callback: Option<Returns>,
    pub(crate) turns: u32,
    /// Bit r: register r can be read.
    pub(crate) regs: u16,
    /// Bit i: slot i, from the frame's end, holds something.
    pub(crate) slots: u64,
    /// Registers and half slots that hold pointers, which are always compared in full.
    pub(crate) pointers: Need,
    /// Half slots that were overwritten since the state before it on its path was kept.
    pub(crate) written: Halves,
    /// What mattered of it to the paths from it.
    pub(crate) mattered: Mattered,
}

/// A packed state; its parts are in an [`Arena`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    frames: Run,
    bytes: Block,
    held: u32,
    unrolled: u32,
}

/// A packed state, to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) frames: &'a [Frame],
    pub(crate) unrolled: u32,
    held: u32,
    bytes: &'a [u8],
    kinds: &'a Kinds,
}

/// The places of the bits that are set, lowest first.
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let at = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (at < 64).then_some(at as usize)
    })
}

/// States at rest.
#[derive(Debug)]
pub(crate) struct Rest {
    arena: Arena,
    kinds: Kinds,
    scratch: Vec<u8>,
}

impl Rest {
    /// None yet; they may take so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Rest { arena: Arena::new(limit), kinds: Kinds::new(), scratch: Vec::new() }
    }

    /// Bytes that they take.
    pub(crate) fn size(&self) -> usize {
        self.arena.size()
    }

    /// Packs a state.
    pub(crate) fn pack(&mut self, state: &State) -> Result<Kept, OutOfMemory> {
        self.scratch.clear();
        let frames = self.arena.take_run(state.frames.len())?;
        let mut out = Writer::new(&mut self.scratch, &mut self.kinds);
        for r in &state.held {
            out.reference(r)?;
        }
        for (f, kept) in state.frames.iter().zip(self.arena.run_mut(frames)) {
            let mut new = Frame {
                func: f.func,
                callsite: f.callsite,
                callback: f.callback,
                turns: f.turns,
                written: f.written,
                ..Frame::default()
            };
            for (r, reg) in f.regs.iter().enumerate().filter(|(_, reg)| !reg.is_not_init()) {
                new.regs |= 1 << r;
                new.pointers.regs |= u16::from(reg.kind.is_pointer()) << r;
                out.reg(reg)?;
            }
            for (i, slot) in f.stack.slots().iter().enumerate().filter(|(_, s)| !s.is_empty()) {
                new.slots |= 1 << i;
                if slot.spilled().is_some_and(|r| r.kind.is_pointer()) {
                    new.pointers.halves |= halves_of(i);
                }
                out.slot(slot)?;
            }
            *kept = new;
        }
        let bytes = match self.arena.put(&self.scratch) {
            Ok(bytes) => bytes,
            Err(e) => {
                self.arena.give_run(frames);
                return Err(e);
            }
        };
        Ok(Kept { frames, bytes, held: state.held.len() as u32, unrolled: state.unrolled })
    }

    /// Makes `state` the packed state again.
    pub(crate) fn unpack(&self, kept: Kept, state: &mut State) -> Result<(), OutOfMemory> {
        let view = self.view(kept);
        let mut values = view.values();
        state.held.clear();
        for _ in 0..kept.held {
            state.held.push(values.reference())?;
        }
        state.frames.truncate(view.frames.len());
        for (depth, kept) in view.frames.iter().enumerate() {
            if depth == state.frames.len() {
                state.frames.push(FrameState::entry(kept.func, kept.callsite, depth))?;
            }
            let f = &mut state.frames[depth];
            (f.func, f.callsite, f.callback) = (kept.func, kept.callsite, kept.callback);
            (f.turns, f.written) = (kept.turns, kept.written);
            f.regs = [Reg::NOT_INIT; R::COUNT];
            for r in bits(u64::from(kept.regs)) {
                f.regs[r] = values.reg();
            }
            let slots = f.stack.clear_to(64 - kept.slots.leading_zeros() as usize)?;
            for i in bits(kept.slots) {
                slots[i] = values.slot();
            }
        }
        state.unrolled = kept.unrolled;
        Ok(())
    }

    /// A packed state as a new one.
    pub(crate) fn unpacked(&self, kept: Kept) -> Result<State, OutOfMemory> {
        let mut state = State::EMPTY;
        self.unpack(kept, &mut state)?;
        Ok(state)
    }

    /// A packed state, to look at.
    #[inline]
    pub(crate) fn view(&self, kept: Kept) -> View<'_> {
        View {
            frames: self.arena.run(kept.frames),
            unrolled: kept.unrolled,
            held: kept.held,
            bytes: self.arena.get(kept.bytes),
            kinds: &self.kinds,
        }
    }

    /// The frames of a packed state.
    #[inline]
    pub(crate) fn frames(&self, kept: Kept) -> &[Frame] {
        self.arena.run(kept.frames)
    }

    /// The frames of a packed state, to note something of them.
    #[inline]
    pub(crate) fn frames_mut(&mut self, kept: Kept) -> &mut [Frame] {
        self.arena.run_mut(kept.frames)
    }

    /// Gives the values of a state back; its frames, with their notes, stay.
    pub(crate) fn give_values(&mut self, kept: Kept) {
        self.arena.give(kept.bytes);
    }

    /// Gives the frames of a state back, whose values are given back.
    pub(crate) fn give_frames(&mut self, kept: Kept) {
        self.arena.give_run(kept.frames);
    }

    /// Gives all of a state back.
    pub(crate) fn give(&mut self, kept: Kept) {
        self.give_values(kept);
        self.give_frames(kept);
    }
}

impl<'a> View<'a> {
    /// What is held, and after that the values.
    pub(crate) fn values(&self) -> Values<'a> {
        Values::new(self.bytes, self.kinds)
    }

    /// How much is held.
    pub(crate) fn held(&self) -> usize {
        self.held as usize
    }

    /// Number of the innermost frame.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::DynptrKind;
    use crate::verifier::reg::{Added, Half, Kind};
    use crate::verifier::scalar::Scalar;
    use crate::verifier::state::{Held, Reference};

    #[test]
    fn packed_state_comes_back_as_it_was() {
        let bounded = Reg { id: 7, ..Reg::scalar(Scalar::from_unsigned(3, 900)) };
        let linked = Reg { added: Added::In64, off: -4, ..bounded };
        let linked_low = Reg { added: Added::In32, off: 0, ..bounded };
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
            linked_low,
        ];
        let mut state = State::entry(0).unwrap();
        state.frame_mut().regs[..10].copy_from_slice(&values[..10]);
        for (i, value) in values.iter().enumerate() {
            state.frame_mut().stack.write(-16 * (i as i32 + 1), 8, value).unwrap();
        }
        let stack = &mut state.frame_mut().stack;
        stack.write(-24, 4, &bounded).unwrap();
        stack.write(-36, 2, &Reg::constant(0x1234)).unwrap();
        stack.write(-49, 1, &Reg::UNKNOWN).unwrap();
        stack.put_object(-72, object).unwrap();
        state.nothing_written();
        state.held.push(Reference { id: 3, pc: 70_000, held: Held::Lock(5) }).unwrap();
        state.held.push(Reference { id: 9, pc: 2, held: Held::Object }).unwrap();
        let mut rest = Rest::new(1 << 20);
        for _ in 0..100 {
            rest.pack(&state).unwrap();
        }
        let kept = rest.pack(&state).unwrap();
        let back = rest.unpacked(kept).unwrap();
        assert_eq!(back.held[..], state.held[..]);
        assert_eq!(back.frame().regs, state.frame().regs);
        for off in (-512..0).step_by(8) {
            assert_eq!(back.frame().stack.slot(off), state.frame().stack.slot(off), "{off}");
        }
        assert!(rest.size() / 100 * 3 < state.bytes(), "{} of 100 times {}", rest.size(), state.bytes());
    }
}
