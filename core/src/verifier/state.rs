//! The state of one path: the frames of its call chain, each with its registers and stack.
//!
//! States are plain values: a branch copies one ([`State::try_clone`]) and both halves go their own way.

use super::backtrack::Halves;
use super::reg::{Kind, Reg};
use super::stack::Stack;
use crate::isa::Reg as R;
use crate::limits::MAX_CALL_FRAMES;
use crate::mem::{OutOfMemory, Vec};

/// One function on the call chain.
#[derive(Debug)]
pub(crate) struct FrameState {
    /// R0 to R10.
    pub(crate) regs: [Reg; R::COUNT],
    /// Its stack.
    pub(crate) stack: Stack,
    /// Which function.
    pub(crate) func: u32,
    /// The call that made it; of no meaning in the first frame.
    pub(crate) callsite: u32,
    /// Half slots that were overwritten since a state of the path was kept; all, where the frame is younger.
    pub(crate) written: Halves,
    /// Of a callback's frame: what it may return.
    pub(crate) callback: Option<Returns>,
    /// Turns of the callback of the call at hand.
    pub(crate) turns: u32,
}

/// What a callback may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Returns {
    /// The largest number; the smallest is 0.
    pub(crate) max: i64,
    /// Whether it runs after the program has ended.
    pub(crate) is_async: bool,
}

/// Something that a path holds and has to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its id, or that of the value that holds the lock.
    pub(crate) id: u32,
    /// The call that took it.
    pub(crate) pc: u32,
    /// What it is.
    pub(crate) held: Held,
}

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Memory or an object of the host.
    Object,
    /// The lock of a value of that map.
    Lock(u32),
}

impl FrameState {
    /// A function at its entry: the frame pointer, nothing else.
    pub(crate) fn entry(func: u32, callsite: u32, depth: usize) -> Self {
        let mut regs = [Reg::NOT_INIT; R::COUNT];
        regs[R::FP.index()] = Reg::pointer(Kind::Stack(depth as u8));
        FrameState {
            regs,
            stack: Stack::new(),
            func,
            callsite,
            written: Halves::MAX,
            callback: None,
            turns: 0,
        }
    }

    fn try_clone(&self) -> Result<Self, OutOfMemory> {
        Ok(FrameState { regs: self.regs, stack: self.stack.try_clone()?, ..*self })
    }
}

/// One path at one instruction.
#[derive(Debug)]
pub(crate) struct State {
    /// The call chain, outermost first; never empty.
    pub(crate) frames: Vec<FrameState>,
    /// What is held, in the order of taking.
    pub(crate) held: Vec<Reference>,
    /// Turns of callbacks on this path.
    pub(crate) unrolled: u32,
}

impl State {
    /// No state: in place of one that was taken away.
    pub(crate) const EMPTY: State = State { frames: Vec::new(), held: Vec::new(), unrolled: 0 };

    /// A function at its entry, called by nobody.
    pub(crate) fn entry(func: u32) -> Result<Self, OutOfMemory> {
        let mut frames = Vec::new();
        frames.push(FrameState::entry(func, 0, 0))?;
        Ok(State { frames, ..State::EMPTY })
    }

    /// A copy.
    pub(crate) fn try_clone(&self) -> Result<Self, OutOfMemory> {
        let mut frames = Vec::with_capacity(self.frames.len())?;
        for f in &self.frames {
            frames.push(f.try_clone()?)?;
        }
        Ok(State { frames, held: Vec::from_slice(&self.held)?, ..*self })
    }

    /// Makes it a copy of another, in the memory that it has.
    pub(crate) fn copy(&mut self, from: &State) -> Result<(), OutOfMemory> {
        self.frames.truncate(from.frames.len());
        for (i, f) in from.frames.iter().enumerate() {
            match self.frames.get_mut(i) {
                Some(to) => {
                    to.stack.copy(&f.stack)?;
                    let stack = core::mem::replace(&mut to.stack, Stack::new());
                    *to = FrameState { regs: f.regs, stack, ..*f };
                }
                None => self.frames.push(f.try_clone()?)?,
            }
        }
        self.held.clear();
        self.held.extend_from_slice(&from.held)?;
        self.unrolled = from.unrolled;
        Ok(())
    }

    /// Number of the innermost frame.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// The innermost frame.
    pub(crate) fn frame(&self) -> &FrameState {
        &self.frames[self.depth()]
    }

    /// The innermost frame, to change.
    pub(crate) fn frame_mut(&mut self) -> &mut FrameState {
        let depth = self.depth();
        &mut self.frames[depth]
    }

    /// A register of the innermost frame.
    pub(crate) fn reg(&self, r: R) -> &Reg {
        &self.frame().regs[r.index()]
    }

    /// Sets a register of the innermost frame.
    pub(crate) fn set(&mut self, r: R, value: Reg) {
        self.frame_mut().regs[r.index()] = value;
    }

    /// Calls `f` on every register and spilled register of every frame.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            for reg in &mut frame.regs {
                f(reg);
            }
            for slot in frame.stack.slots_mut() {
                if slot.spilled().is_some() {
                    f(&mut slot.reg);
                }
            }
        }
    }

    /// Turns every pointer of a kind into what is left of it.
    pub(crate) fn forget(&mut self, left: Reg, mut gone: impl FnMut(&Reg) -> bool) {
        self.for_each(|r| {
            if gone(r) {
                *r = left;
            }
        });
    }

    /// No packet pointer can be read any more: the packet may have moved.
    pub(crate) fn drop_packet_pointers(&mut self, left: Reg) {
        self.forget(left, |r| match r.kind {
            Kind::PacketEnd => true,
            Kind::Slice(s) | Kind::SliceOrNull(s) => s.packet,
            kind => kind.is_packet(),
        });
    }

    /// Enters a function: arguments go over, the rest of the new frame is unwritten. The caller has checked the depth.
    pub(crate) fn enter(&mut self, func: u32, callsite: u32) -> Result<(), OutOfMemory> {
        debug_assert!(self.frames.len() < MAX_CALL_FRAMES);
        let mut callee = FrameState::entry(func, callsite, self.frames.len());
        callee.regs[1..=5].copy_from_slice(&self.frame().regs[1..=5]);
        self.clobber_caller_saved();
        self.frames.push(callee)
    }

    /// Leaves the innermost function: its R0 goes to the caller. Returns where the caller goes on; `None` in the outermost frame.
    pub(crate) fn leave(&mut self) -> Option<u32> {
        if self.frames.len() < 2 {
            return None;
        }
        let callee = self.frames.pop()?;
        self.set(R::R0, callee.regs[0]);
        Some(callee.callsite + 1)
    }

    /// A state of the path is kept: what is overwritten is counted from here on.
    pub(crate) fn nothing_written(&mut self) {
        for frame in &mut self.frames {
            frame.written = 0;
        }
    }

    /// Unties numbers that are tied to no other: an id that nothing shares says nothing.
    pub(crate) fn drop_lonely_ids(&mut self) {
        let mut seen = [(0u32, 0u32); 32];
        let mut count = 0;
        let mut all = true;
        self.for_each(|r| {
            if !r.is_scalar() || r.id == 0 {
                return;
            }
            match seen[..count].iter().position(|s| s.0 == r.id) {
                Some(i) => seen[i].1 += 1,
                None if count < seen.len() => {
                    seen[count] = (r.id, 1);
                    count += 1;
                }
                None => all = false,
            }
        });
        self.for_each(|r| {
            if all && r.is_scalar() && seen[..count].contains(&(r.id, 1)) {
                r.unlink();
            }
        });
    }

    /// What every call does: R0 to R5 cannot be read afterwards.
    pub(crate) fn clobber_caller_saved(&mut self) {
        self.frame_mut().regs[..=5].fill(Reg::NOT_INIT);
    }

    /// Heap bytes that it takes, for the account.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        size_of::<State>()
            + size_of::<Reference>() * self.held.len()
            + self.frames.iter().map(|f| size_of::<FrameState>() + f.stack.bytes()).sum::<usize>()
    }
}
