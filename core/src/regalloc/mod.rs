//! Register allocation: where each value lives.
//!
//! Linear scan over live intervals with holes. A value has one place for its whole life: a register, a stack slot, or none where it is cheaper to
//! recompute (constants and addresses). Values that live across a call sit in registers that calls keep, or on the stack.
//!
//! What an operation wants of the machine it says through [`Machine`]: operands and results in fixed registers, registers it destroys. Operands in
//! fixed registers are moved there by a parallel move in front of the operation; all others are read where they live. The two scratch registers are
//! never allocated: lowering uses them for what lives on the stack, and moves break cycles with one.
//!
//! [`checker`] derives from the result, and from the very moves that lowering emits, that each operand finds its value. Tests always run it.
//!
//! Source: Poletto and Sarkar, "Linear scan register allocation"; Wimmer and Mössenböck for holes and hints.

pub mod checker;
mod linear_scan;
pub mod liveness;
pub mod moves;

pub use linear_scan::allocate;

use crate::ir::{Func, InstData, Value};
use crate::mem::Vec;

/// A machine register by its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PReg(pub u8);

/// A set of machine registers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RegSet(pub u32);

impl RegSet {
    /// No register.
    pub const EMPTY: RegSet = RegSet(0);

    /// The registers of a list.
    pub const fn of(regs: &[PReg]) -> RegSet {
        let mut bits = 0;
        let mut i = 0;
        while i < regs.len() {
            bits |= 1 << regs[i].0;
            i += 1;
        }
        RegSet(bits)
    }

    /// Whether a register is in the set.
    pub const fn has(self, reg: PReg) -> bool {
        self.0 >> reg.0 & 1 == 1
    }

    /// Those of both.
    pub const fn union(self, other: RegSet) -> RegSet {
        RegSet(self.0 | other.0)
    }

    /// The set with one more.
    pub const fn with(self, reg: PReg) -> RegSet {
        RegSet(self.0 | 1 << reg.0)
    }
}

/// Where a value lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Loc {
    /// In a register.
    Reg(PReg),
    /// In a slot of eight bytes of the native frame.
    Stack(u32),
    /// Nowhere: recomputed where it is needed.
    Remat(Value),
    /// Nowhere: nothing reads it.
    None,
}

/// What one operation wants.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Constraints {
    /// Operands that have to be in a certain register when it begins. An operation that destroys registers fixes all its operands; beside scratch
    /// registers at most one of them unless it is a call, so that no move needs scratch itself.
    pub fixed: [Option<PReg>; 6],
    /// Registers that hold nothing afterwards.
    pub clobbers: RegSet,
    /// Where the result is when it ends.
    pub result: Option<PReg>,
}

/// What the allocator has to know of a machine, for one function.
pub trait Machine {
    /// Registers that values may have, best first.
    fn allocatable(&self) -> &[PReg];
    /// Those among them that a function has to give back as it found them.
    fn callee_saved(&self) -> RegSet;
    /// Where arguments arrive.
    fn arguments(&self) -> [PReg; 5];
    /// Where a function's result is.
    fn result(&self) -> PReg;
    /// What breaks cycles of moves; never allocated.
    fn scratch(&self) -> PReg;
    /// What an operation wants.
    fn constraints(&self, func: &Func, inst: &InstData) -> Constraints;
    /// Whether a constant as second operand costs an instruction of its own.
    fn is_large(&self, imm: i64) -> bool;
}

/// Where every value of a function lives.
#[derive(Debug)]
pub struct Allocation {
    /// One a value. Values that nothing defines any more have an arbitrary place.
    pub locs: Vec<Loc>,
    /// Slots of the stack in use.
    pub slots: u32,
    /// Registers in use.
    pub used: RegSet,
}

impl Allocation {
    /// Where a value lives.
    pub fn of(&self, v: Value) -> Loc {
        self.locs[v.index()]
    }
}
