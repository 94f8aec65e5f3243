//! Where addresses may go: what the modes `hygiene` and `strict` refuse beyond what safety needs.
//!
//! `Compat` is the privileged kernel: a pointer may be stored anywhere, and becomes a number at will; each instruction that stores one where others
//! read it is a warning. `Hygiene` refuses such stores: direct and atomic ones into maps, packets and records, memory of the stack that a helper
//! reads while a pointer is spilled there, and writes that leave a part of a spilled pointer as plain bytes. It does not follow numbers that were made from
//! addresses. `Strict` refuses to make them, as the kernel does for loaders without CAP_PERFMON: differences, comparisons and halves of pointers, pointers as
//! plain arguments and results, and reads of stack that was never written.
//!
//! All of it is judged on top of the obligations, so that a mode can only refuse more. Sources: `is_pointer_value` and its callers, `check_stack_*` in the kernel's `verifier.c`.

use super::check::{Dir, stack_span};
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::reg::{Kind, Reg};
use super::stack::{Byte, Slot};
use super::state::State;
use crate::isa::{AluOp, Cond, Op, Operand, Reg as R, Width};

/// How much more than safety is demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// What a privileged loader gets from Linux.
    #[default]
    Compat,
    /// No pointers into memory that others read.
    Hygiene,
    /// As above; no numbers from pointers, and no unwritten stack is read.
    Strict,
}

impl Verifier<'_, '_, '_> {
    fn mode(&self) -> Mode {
        self.input.opts.mode
    }

    /// What becomes of a pointer that cannot be used any more.
    pub(crate) fn leftover(&self) -> Reg {
        if self.mode() == Mode::Strict { Reg::NOT_INIT } else { Reg::UNKNOWN }
    }

    /// What a mode demands of an instruction whose obligations hold.
    pub(crate) fn policy(&mut self, state: &State, pc: u32, op: &Op) -> Result<(), E> {
        let reg = |r: R| state.reg(r);
        let pointer = |r: R| reg(r).kind.is_pointer();
        match *op {
            Op::Store { size, base, off, src } => {
                if let Operand::Reg(src) = src {
                    self.stores(pc, src.num(), reg(src), reg(base))?;
                }
                self.covers_whole(state, reg(base), i32::from(off), size.bytes())?;
            }
            Op::StoreRel { size, base, off, src } | Op::Atomic { size, base, off, src, .. } => {
                self.stores(pc, src.num(), reg(src), reg(base))?;
                self.covers_whole(state, reg(base), i32::from(off), size.bytes())?;
            }
            _ => {}
        }
        if self.mode() < Mode::Strict {
            return Ok(());
        }
        match *op {
            Op::Load { size, base, off, .. } | Op::LoadAcq { size, base, off, .. } => {
                all_written(state, reg(base), i32::from(off), size.bytes(), None)
            }
            Op::Atomic { size, base, off, src, .. } => {
                if pointer(src) {
                    return Err(E::PointerLeak { reg: src.num(), into: reg(base).kind.name() });
                }
                all_written(state, reg(base), i32::from(off), size.bytes(), None)
            }
            Op::Mov { width: Width::W32, src: Operand::Reg(src), .. } if pointer(src) => {
                Err(E::PartialCopy { reg: src.num() })
            }
            Op::MovSx { src, .. } if pointer(src) => Err(E::PartialCopy { reg: src.num() }),
            Op::Neg { dst, .. } | Op::End { dst, .. } if pointer(dst) => {
                Err(E::PointerAsNumber { reg: dst.num() })
            }
            Op::Alu { op: AluOp::Sub, dst, src: Operand::Reg(src), .. } if pointer(dst) && pointer(src) => {
                Err(E::PointerAsNumber { reg: dst.num() })
            }
            Op::Alu { width: Width::W32, dst, .. } if pointer(dst) => Err(E::Pointer32 { reg: dst.num() }),
            Op::Jmp { cond, dst, src, .. } => compares(reg(dst), dst.num(), cond, src, state),
            Op::Exit if state.depth() == 0 && pointer(R::R0) => Err(E::ReturnsPointer),
            _ => Ok(()),
        }
    }

    /// A value is stored through a pointer.
    fn stores(&mut self, pc: u32, num: u8, value: &Reg, into: &Reg) -> Result<(), E> {
        if !value.kind.is_pointer() || matches!(into.kind, Kind::Stack(_)) {
            return Ok(());
        }
        if self.mode() >= Mode::Hygiene {
            return Err(E::PointerLeak { reg: num, into: into.kind.name() });
        }
        if let Some(warned) = self.pointer_store_warned.get_mut(pc as usize)
            && !core::mem::replace(warned, true)
        {
            self.log.warn(format_args!("insn {pc} stores an address into {}", into.kind.name()));
        }
        Ok(())
    }

    /// A write to the stack leaves no part of a spilled pointer behind.
    fn covers_whole(&self, state: &State, base: &Reg, off: i32, size: u32) -> Result<(), E> {
        let Kind::Stack(_) = base.kind else { return Ok(()) };
        if self.mode() < Mode::Hygiene {
            return Ok(());
        }
        let (min, end, fixed) = stack_span(base, off, size);
        match touched(state, base, min, end).find(|(_, s)| holds_pointer(s)) {
            Some((at, _)) if !fixed || min > at || end < at + 8 => Err(E::CorruptSpill),
            _ => Ok(()),
        }
    }

    /// What a mode demands of stack memory that a helper reads or writes.
    pub(crate) fn helper_memory(
        &self,
        state: &State,
        base: &Reg,
        num: u8,
        size: u32,
        dir: Dir,
    ) -> Result<(), E> {
        let Kind::Stack(_) = base.kind else { return Ok(()) };
        if self.mode() < Mode::Hygiene || size == 0 {
            return Ok(());
        }
        let (min, end, _) = stack_span(base, 0, size);
        match dir {
            Dir::Write => self.covers_whole(state, base, 0, size),
            Dir::Read => {
                if let Some((at, _)) = touched(state, base, min, end).find(|(_, s)| holds_pointer(s)) {
                    return Err(E::ObjectRead { reg: num, off: min, i: (at - min).max(0), size });
                }
                match self.mode() {
                    Mode::Strict => all_written(state, base, 0, size, Some(num)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// A plain argument of a helper.
    pub(crate) fn plain_argument(&self, reg: &Reg, num: u8) -> Result<(), E> {
        if self.mode() == Mode::Strict && reg.kind.is_pointer() {
            return Err(E::PointerLeak { reg: num, into: "helper function" });
        }
        Ok(())
    }
}

fn holds_pointer(slot: &Slot) -> bool {
    slot.spilled().is_some_and(|r| r.kind.is_pointer())
}

/// The slots with a byte in `min .. end`: offset and content.
fn touched<'s>(state: &'s State, base: &Reg, min: i64, end: i64) -> impl Iterator<Item = (i64, Slot)> + 's {
    let frame = match base.kind {
        Kind::Stack(frame) => state.frames.get(usize::from(frame)),
        _ => None,
    };
    let slots = min.max(-512).div_euclid(8)..=(end - 1).min(-1).div_euclid(8);
    slots.filter_map(move |i| Some((i * 8, frame?.stack.slot(i as i32 * 8))))
}

/// Every byte of a read of the stack was written, and none is of a pointer unless it is read whole. `helper`: the register of a helper's argument.
fn all_written(state: &State, base: &Reg, off: i32, size: u32, helper: Option<u8>) -> Result<(), E> {
    let Kind::Stack(_) = base.kind else { return Ok(()) };
    let (min, end, fixed) = stack_span(base, off, size);
    for (at, slot) in touched(state, base, min, end) {
        let bad = (at..at + 8).zip(slot.bytes).find(|(o, b)| {
            (min..end).contains(o) && (*b == Byte::Invalid || (!fixed && holds_pointer(&slot)))
        });
        if let Some((o, _)) = bad {
            let (off, i) = (min, o - min);
            return Err(match helper {
                Some(reg) => E::ObjectRead { reg, off, i, size },
                None => E::ObjectFill { off, i, size },
            });
        }
    }
    Ok(())
}

/// Comparisons of pointers that tell no address: with null, and of the packet with its end.
fn compares(a: &Reg, num: u8, cond: Cond, src: Operand, state: &State) -> Result<(), E> {
    let b = match src {
        Operand::Reg(r) => *state.reg(r),
        Operand::Imm(0) if matches!(cond, Cond::Eq | Cond::Ne) => return Ok(()),
        Operand::Imm(_) => Reg::constant(1),
    };
    let of_packet = |r: &Reg| r.kind.is_packet() || r.kind == Kind::PacketEnd;
    let null = |r: &Reg| r.is_null() && matches!(cond, Cond::Eq | Cond::Ne);
    match (a.kind.is_pointer(), b.kind.is_pointer()) {
        (false, false) => Ok(()),
        (true, true) if of_packet(a) && of_packet(&b) => Ok(()),
        (true, false) if null(&b) => Ok(()),
        (false, true) if null(a) => Ok(()),
        _ => Err(E::PointerComparison { reg: num }),
    }
}
