//! The compiler's intermediate representation: SSA with block parameters, one function a BPF function.
//!
//! A value is 64 bits wide; an operation of [`Width::W32`] works on the low halves and zeroes the upper half of its result, as BPF's do. Memory
//! is addressed by plain pointers: a base value plus a displacement, or the function's own BPF frame where the base is absent. The context is
//! reached through `env`, which every function has beside its five arguments.
//!
//! One table (`op`) declares the operations. Display, passes, liveness and lowering derive from it.
//!
//! Invariants, kept by [`build`] and every pass: a value is defined once, and its definition dominates its uses; a branch gives as many arguments as
//! its target has parameters; loads and stores stay in their block and in their order, so that each runs exactly once.
//! Left to others: which machine register holds what (`regalloc`), and what an operation costs (`jit`).
//!
//! Source: Cranelift's IR for block parameters, LuaJIT's `lj_ir.h` for the one table.

pub mod build;
mod display;
mod op;

pub use crate::isa::{Cond, Ext, Size, Width};
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Frame, MemClass};
use core::num::NonZeroU32;
pub use op::{Effect, InstData, Op, Shape};

/// A value: an operation's result or a block's parameter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Value(NonZeroU32);

impl Value {
    /// The value with that index.
    pub const fn new(index: usize) -> Value {
        Value(NonZeroU32::MIN.saturating_add(index as u32))
    }

    /// Its index in [`Func::values`].
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An operation: its index in [`Func::insts`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Inst(pub u32);

/// A block: its index in [`Func::blocks`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Block(pub u32);

impl Inst {
    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Block {
    /// The block where a function begins; its parameters are the function's arguments.
    pub const ENTRY: Block = Block(0);

    /// As an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueDef {
    /// An operation.
    Inst(Inst),
    /// A parameter of a block.
    Param(Block),
    /// Nothing any more: another value took its place.
    Alias(Value),
}

/// A way into a block.
#[derive(Debug, PartialEq)]
pub struct Edge {
    /// The block.
    pub to: Block,
    /// One value a parameter.
    pub args: Vec<Value>,
}

/// What a conditional branch compares.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Compare {
    /// The condition.
    pub cond: Cond,
    /// Bits compared.
    pub width: Width,
    /// Left.
    pub a: Value,
    /// Right; `imm` where absent.
    pub b: Option<Value>,
    /// Right, as a constant.
    pub imm: i64,
}

/// How a block ends.
#[derive(Debug, PartialEq)]
pub enum Term {
    /// Always there.
    Jump(Edge),
    /// To the first where the comparison holds, else to the second.
    Branch(Compare, [Edge; 2]),
    /// End of the function, with its result.
    Return(Value),
    /// Never to be reached; the run ends as aborted.
    Trap,
}

impl Term {
    /// The ways out.
    pub fn edges(&self) -> &[Edge] {
        match self {
            Term::Jump(e) => core::slice::from_ref(e),
            Term::Branch(_, e) => e,
            Term::Return(_) | Term::Trap => &[],
        }
    }

    /// The ways out, to be changed.
    pub fn edges_mut(&mut self) -> &mut [Edge] {
        match self {
            Term::Jump(e) => core::slice::from_mut(e),
            Term::Branch(_, e) => e,
            Term::Return(_) | Term::Trap => &mut [],
        }
    }

    /// What it reads itself, beside the arguments of its edges.
    pub fn operands(&self) -> [Option<Value>; 2] {
        match self {
            Term::Branch(c, _) => [Some(c.a), c.b],
            Term::Return(v) => [Some(*v), None],
            Term::Jump(_) | Term::Trap => [None, None],
        }
    }
}

/// A straight line of operations.
#[derive(Debug)]
pub struct BlockData {
    /// Values that each way in gives.
    pub params: Vec<Value>,
    /// Operations in order.
    pub insts: Vec<Inst>,
    /// How it ends.
    pub term: Term,
    /// The instruction it begins with.
    pub pc: u32,
    /// Whether a pass found that nothing leads here.
    pub dead: bool,
}

/// One function.
#[derive(Debug)]
pub struct Func {
    /// Index among the program's functions.
    pub index: u32,
    /// Operations; those that no block lists are gone.
    pub insts: Vec<InstData>,
    /// Where each value comes from.
    pub values: Vec<ValueDef>,
    /// Blocks in the order of the bytecode; the first is the entry.
    pub blocks: Vec<BlockData>,
    /// Its BPF stack.
    pub frame: Frame,
}

impl Func {
    /// Where a value comes from, past what was replaced.
    pub fn def(&self, v: Value) -> ValueDef {
        self.values[self.resolve(v).index()]
    }

    /// The operation that defines a value.
    pub fn def_inst(&self, v: Value) -> Option<&InstData> {
        match self.def(v) {
            ValueDef::Inst(i) => self.insts.get(i.index()),
            ValueDef::Param(_) | ValueDef::Alias(_) => None,
        }
    }

    /// The constant that a value is.
    pub fn constant(&self, v: Value) -> Option<i64> {
        self.def_inst(v).filter(|d| d.op == Op::Const).map(|d| d.imm)
    }

    /// The value that took a value's place, or itself.
    pub fn resolve(&self, mut v: Value) -> Value {
        while let ValueDef::Alias(to) = self.values[v.index()] {
            v = to;
        }
        v
    }

    /// Adds an operation, not yet in a block; gives it a value where it has a result.
    pub fn add_inst(&mut self, mut data: InstData) -> Result<Inst, OutOfMemory> {
        let inst = Inst(self.insts.len() as u32);
        if data.op.has_result() {
            data.result = Some(self.add_value(ValueDef::Inst(inst))?);
        }
        self.insts.push(data)?;
        Ok(inst)
    }

    /// Adds a value.
    pub fn add_value(&mut self, def: ValueDef) -> Result<Value, OutOfMemory> {
        self.values.push(def)?;
        Ok(Value::new(self.values.len() - 1))
    }

    /// Lets `to` take the place of `from` everywhere.
    pub fn replace(&mut self, from: Value, to: Value) {
        let to = self.resolve(to);
        if to != from {
            self.values[from.index()] = ValueDef::Alias(to);
        }
    }

    /// Writes what was replaced into every operand.
    pub fn apply_replacements(&mut self) {
        let Func { insts, values, blocks, .. } = self;
        let resolve = |v: &mut Value| {
            while let ValueDef::Alias(to) = values[v.index()] {
                *v = to;
            }
        };
        for inst in insts.iter_mut() {
            inst.args.iter_mut().flatten().for_each(resolve);
        }
        for block in blocks.iter_mut() {
            match &mut block.term {
                Term::Branch(c, _) => {
                    resolve(&mut c.a);
                    c.b.iter_mut().for_each(resolve);
                }
                Term::Return(v) => resolve(v),
                Term::Jump(_) | Term::Trap => {}
            }
            for edge in block.term.edges_mut() {
                edge.args.iter_mut().for_each(resolve);
            }
        }
    }

    /// The blocks that something leads to.
    pub fn live_blocks(&self) -> impl Iterator<Item = (Block, &BlockData)> {
        self.blocks.iter().enumerate().filter(|(_, b)| !b.dead).map(|(i, b)| (Block(i as u32), b))
    }
}

/// A program: its functions, the main one first.
#[derive(Debug)]
pub struct Module {
    /// Functions, as the program has them.
    pub funcs: Vec<Func>,
}
