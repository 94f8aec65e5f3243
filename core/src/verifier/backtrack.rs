//! Which numbers of the past a judgement rests on: demands for precision, followed backwards along the path.
//!
//! The trace is the path at hand, an entry an instruction, with what cannot be seen from the instruction: which bytes of the stack it touched,
//! whether it entered or left a function, and at a jump the linked scalars that it refined together. A demand is a set of registers and
//! half slots (four bytes) per frame whose values mattered. Walking back, an instruction turns a demand for what it wrote into one for
//! what it read:
//!
//! - a move, a load from the stack, a store to it: for the source alone;
//! - arithmetic: for both operands; a constant or another memory's content: for nothing;
//! - a jump: if one of the linked scalars is demanded, all are, since the refinement went through all; if one of two registers is
//!   demanded, both are;
//! - entering a function: arguments of the callee are the caller's; leaving it: R0 of the caller is the callee's.
//!
//! At each state kept on the way, what is demanded is marked there, and what was marked before needs no further walk. A demand may only be
//! too large: a store that does not cover a half slot leaves the demand for it in place.

use super::cfg::Cfg;
use crate::isa::{AluOp, AtomicOp, Callee, Op, Operand, Reg as R};
use crate::limits::{MAX_BPF_STACK, MAX_CALL_FRAMES};

/// What an instruction did that its words do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Nothing of interest.
    Plain,
    /// It touched these half slots, from the first to before the end, all of their bytes.
    Stack { frame: u8, first: u8, end: u8 },
    /// It touched some bytes of these half slots.
    StackPart { frame: u8, first: u8, end: u8 },
    /// It entered a function's frame.
    Enter,
    /// It left one.
    Leave,
    /// It entered a callback's frame, whose arguments are no numbers of the caller.
    EnterCallback,
    /// It left one, back to the call.
    LeaveCallback,
    /// No instruction: a register that the jump before refined with others.
    LinkedReg { frame: u8, reg: u8 },
    /// No instruction: a slot, counted from the frame's end, that the jump before refined with others.
    LinkedSlot { frame: u8, slot: u8 },
}

/// One instruction of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) pc: u32,
    pub(crate) note: Note,
}

/// Half slots of a frame: bit i is the four bytes at r10 - 512 + 4 i.
pub(crate) type Halves = u128;

/// The bits from `first` to before `end`.
pub(crate) fn span(first: u8, end: u8) -> Halves {
    let upto = |n: u8| if n >= 128 { Halves::MAX } else { (1 << n) - 1 };
    upto(end) & !upto(first)
}

/// The half slots with a byte in `from .. to`.
pub(crate) fn touched(from: i32, to: i32) -> (u8, u8) {
    let at = |off: i32| (off + MAX_BPF_STACK as i32).clamp(0, MAX_BPF_STACK as i32);
    ((at(from) / 4) as u8, ((at(to) + 3) / 4) as u8)
}

/// The half slots with all bytes in `from .. to`.
pub(crate) fn covered(from: i32, to: i32) -> (u8, u8) {
    let at = |off: i32| (off + MAX_BPF_STACK as i32).clamp(0, MAX_BPF_STACK as i32);
    let (first, end) = ((at(from) + 3) / 4, at(to) / 4);
    (first as u8, end.max(first) as u8)
}

/// The two half slots of a slot, counted from the frame's end.
pub(crate) fn halves_of(slot: usize) -> Halves {
    if slot < 64 { 3 << (126 - 2 * slot) } else { 0 }
}

/// What is demanded of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Bit r: register r.
    pub(crate) regs: u16,
    /// Of the stack.
    pub(crate) halves: Halves,
}

/// What is demanded, frame by frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) frames: [Need; MAX_CALL_FRAMES],
}

impl Demand {
    /// One register.
    pub(crate) fn reg(frame: usize, r: R) -> Self {
        let mut d = Demand::default();
        d.add_reg(frame, r.num());
        d
    }

    /// Whether nothing is demanded.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.iter().all(|f| f.regs == 0 && f.halves == 0)
    }

    pub(crate) fn add_reg(&mut self, frame: usize, r: u8) {
        if let Some(f) = self.frames.get_mut(frame) {
            f.regs |= 1 << r;
        }
    }

    pub(crate) fn add_halves(&mut self, frame: usize, halves: Halves) {
        if let Some(f) = self.frames.get_mut(frame) {
            f.halves |= halves;
        }
    }

    /// Takes a register's demand away; whether there was one.
    fn take_reg(&mut self, frame: usize, r: R) -> bool {
        self.frames.get_mut(frame).is_some_and(|f| {
            let was = f.regs >> r.num() & 1 == 1;
            f.regs &= !(1 << r.num());
            was
        })
    }

    fn has_reg(&self, frame: usize, r: R) -> bool {
        self.frames.get(frame).is_some_and(|f| f.regs >> r.num() & 1 == 1)
    }

    fn take_regs(&mut self, frame: usize, mask: u16) -> u16 {
        self.frames.get_mut(frame).map_or(0, |f| {
            let was = f.regs & mask;
            f.regs &= !mask;
            was
        })
    }

    fn meets(&self, other: &Demand) -> bool {
        self.frames.iter().zip(&other.frames).any(|(a, b)| a.regs & b.regs != 0 || a.halves & b.halves != 0)
    }

    fn join(&mut self, other: &Demand) {
        for (a, b) in self.frames.iter_mut().zip(&other.frames) {
            a.regs |= b.regs;
            a.halves |= b.halves;
        }
    }
}

const CALLER_SAVED: u16 = 0x3f;
const ARGUMENTS: u16 = 0x3e;

/// A walk backwards.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What is demanded before the entry that was undone last.
    pub(crate) demand: Demand,
    /// The innermost frame there.
    pub(crate) depth: usize,
    /// The linked scalars of the jump that comes next, where there are some.
    linked: Option<Demand>,
}

impl Walk {
    pub(crate) fn new(demand: Demand, depth: usize) -> Self {
        Walk { demand, depth, linked: None }
    }

    /// Turns what is demanded after an entry into what is demanded before it.
    pub(crate) fn undo(&mut self, cfg: &Cfg, entry: Entry) {
        match entry.note {
            Note::LinkedReg { frame, reg } => {
                return self.linked.get_or_insert_default().add_reg(usize::from(frame), reg);
            }
            Note::LinkedSlot { frame, slot } => {
                let linked = self.linked.get_or_insert_default();
                return linked.add_halves(usize::from(frame), halves_of(usize::from(slot)));
            }
            _ => {}
        }
        let Some(op) = cfg.op(entry.pc) else { return };
        let (frame, d) = (self.depth, &mut self.demand);
        let want = |d: &mut Demand, src: Operand| {
            if let Operand::Reg(r) = src {
                d.add_reg(frame, r.num());
            }
        };
        match *op {
            Op::Alu { op: AluOp::Sub | AluOp::Xor, dst, src, .. } if src == Operand::Reg(dst) => {
                d.take_reg(frame, dst);
            }
            Op::Alu { dst, src, .. } if d.has_reg(frame, dst) => want(d, src),
            Op::Mov { dst, src, .. } if d.take_reg(frame, dst) => want(d, src),
            Op::MovSx { dst, src, .. } if d.take_reg(frame, dst) => want(d, Operand::Reg(src)),
            Op::LdImm64 { dst, .. } => {
                d.take_reg(frame, dst);
            }
            Op::Load { dst, .. } | Op::LoadAcq { dst, .. } if d.take_reg(frame, dst) => {
                self.loaded(entry.note);
            }
            Op::Store { src, .. } => self.stored(entry.note, src),
            Op::StoreRel { src, .. } => self.stored(entry.note, Operand::Reg(src)),
            Op::Atomic { op, fetch, src, .. } => {
                let into = match op {
                    AtomicOp::Cmpxchg => Some(R::R0),
                    _ if fetch => Some(src),
                    _ => None,
                };
                if into.is_some_and(|r| d.take_reg(frame, r)) {
                    self.loaded(entry.note);
                }
            }
            Op::Jmp { dst, src, .. } => {
                let linked = self.linked.take();
                if let Some(linked) = &linked
                    && d.meets(linked)
                {
                    d.join(linked);
                }
                if let Operand::Reg(r) = src
                    && (d.has_reg(frame, dst) || d.has_reg(frame, r))
                {
                    d.add_reg(frame, dst.num());
                    d.add_reg(frame, r.num());
                }
                if let Some(linked) = &linked
                    && d.meets(linked)
                {
                    d.join(linked);
                }
            }
            Op::Call(Callee::Local(_)) if entry.note == Note::Enter => {
                let arguments = d.take_regs(frame, u16::MAX) & ARGUMENTS;
                d.frames[frame] = Need::default();
                self.depth = frame.saturating_sub(1);
                self.demand.frames[self.depth].regs |= arguments;
            }
            Op::Call(_) if entry.note == Note::EnterCallback => {
                d.frames[frame] = Need::default();
                self.depth = frame.saturating_sub(1);
            }
            Op::Exit if entry.note == Note::LeaveCallback => {
                // The caller's registers are as they were at the call; the result is demanded where the callback returns.
                self.depth = (frame + 1).min(MAX_CALL_FRAMES - 1);
                self.demand.frames[self.depth] = Need::default();
            }
            Op::Exit | Op::Call(_) if entry.note == Note::Leave => {
                // A tail call's way back goes to the caller with any number in R0, so that nothing is demanded of the callee's.
                let result = d.take_regs(frame, CALLER_SAVED) & 1;
                self.depth = (frame + 1).min(MAX_CALL_FRAMES - 1);
                let wanted = if matches!(op, Op::Exit) { result } else { 0 };
                self.demand.frames[self.depth] = Need { regs: wanted, halves: 0 };
            }
            Op::Call(_) => {
                d.take_regs(frame, CALLER_SAVED);
            }
            _ => {}
        }
    }

    fn loaded(&mut self, note: Note) {
        if let Note::Stack { frame, first, end } | Note::StackPart { frame, first, end } = note {
            self.demand.add_halves(usize::from(frame), span(first, end));
        }
    }

    fn stored(&mut self, note: Note, src: Operand) {
        let (Note::Stack { frame, first, end } | Note::StackPart { frame, first, end }) = note else {
            return;
        };
        let halves = span(first, end);
        let Some(need) = self.demand.frames.get_mut(usize::from(frame)) else { return };
        if need.halves & halves == 0 {
            return;
        }
        if matches!(note, Note::Stack { .. }) {
            need.halves &= !halves;
        }
        if let Operand::Reg(r) = src {
            self.demand.add_reg(self.depth, r.num());
        }
    }
}
