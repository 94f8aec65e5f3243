//! The compiler's intermediate representation: SSA with block parameters, one function a BPF function.
//!
//! A value is 64 bits wide; an operation of [`Width::W32`] works on the low halves and zeroes the upper half of its result, as BPF's do. Memory
//! is addressed by plain pointers: a base value plus a displacement, or the function's own BPF frame where the base is absent. The context is
//! reached through `env`, which every function has beside its five arguments.
//!
//! One table ([`ops!`] below) declares the operations: mnemonic, shape, whether there is a result, and what else it does. Display, passes,
//! liveness and lowering derive from it.
//!
//! Invariants, kept by [`build`] and every pass: a value is defined once, and its definition dominates its uses; a branch gives as many arguments as
//! its target has parameters; loads and stores stay in their block and in their order, so that each runs exactly once.
//! Left to others: which machine register holds what (`regalloc`), and what an operation costs (`jit`).
//!
//! Source: Cranelift's IR for block parameters, LuaJIT's `lj_ir.h` for the one table.

pub mod build;
mod display;

pub use crate::isa::{Cond, Ext, Size, Width};
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Frame, MemClass};
use core::num::NonZeroU32;

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

/// How the fields of an operation are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// No operand; `imm` says what it is.
    Leaf,
    /// `args[0]`.
    Unary,
    /// `args[0]`, and `args[1]` or else `imm`.
    Binary,
    /// Memory at `args[0]` (or the frame) plus `off`.
    Load,
    /// Memory as for a load; `args[1]` or else `imm` is stored or combined.
    Store,
    /// Memory as for a load; `args[1]` is the expected value, `args[2]` the new one.
    Swap,
    /// `args[0]` compared by `cond` with `args[1]` or else `imm`: true gives `args[2]`, false `args[3]`.
    Select,
    /// Up to five arguments, and in `args[5]` what is called, where that is a value.
    Call,
}

/// What an operation does beside giving a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing: may be dropped, merged and recomputed.
    Pure,
    /// Reads memory: may be dropped when unused, never repeated.
    Read,
    /// Changes memory or more: stays.
    Write,
}

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident $text:literal $shape:ident $result:literal $effect:ident;)*) => {
        /// The operations.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Op { $($(#[$doc])* $name),* }

        impl Op {
            /// Every operation.
            pub const ALL: &'static [Op] = &[$(Op::$name),*];

            /// Its name in listings.
            pub const fn mnemonic(self) -> &'static str {
                match self { $(Op::$name => $text),* }
            }

            /// How its fields are read.
            pub const fn shape(self) -> Shape {
                match self { $(Op::$name => Shape::$shape),* }
            }

            /// Whether it gives a value.
            pub const fn has_result(self) -> bool {
                match self { $(Op::$name => $result),* }
            }

            /// What else it does.
            pub const fn effect(self) -> Effect {
                match self { $(Op::$name => Effect::$effect),* }
            }
        }
    };
}

ops! {
    /// `imm`.
    Const "const" Leaf true Pure;
    /// Address of map number `imm`: what helpers take.
    MapPtr "map_ptr" Leaf true Pure;
    /// Address of the first value of array map `imm`, plus `off`.
    MapValue "map_value" Leaf true Pure;
    /// Address of the frame's top (r10) plus `imm`.
    FrameAddr "frame_addr" Leaf true Pure;
    /// Address of the record of function `imm`: a function as a value.
    FuncPtr "func_ptr" Leaf true Pure;
    /// The context.
    Env "env" Leaf true Pure;
    /// Whatever: a register that nothing has written.
    Undef "undef" Leaf true Pure;
    /// Sum.
    Add "add" Binary true Pure;
    /// Difference.
    Sub "sub" Binary true Pure;
    /// Product.
    Mul "mul" Binary true Pure;
    /// Quotient, unsigned; 0 for a divisor of 0.
    Div "div" Binary true Pure;
    /// Quotient, signed and truncated; 0 for a divisor of 0, the dividend for MIN / -1.
    Sdiv "sdiv" Binary true Pure;
    /// Remainder, unsigned; the dividend for a divisor of 0.
    Mod "mod" Binary true Pure;
    /// Remainder, signed, of the dividend's sign; the dividend for a divisor of 0, 0 for MIN % -1.
    Smod "smod" Binary true Pure;
    /// Bitwise and.
    And "and" Binary true Pure;
    /// Bitwise or.
    Or "or" Binary true Pure;
    /// Bitwise exclusive or.
    Xor "xor" Binary true Pure;
    /// Shift left by the count modulo the width.
    Lsh "lsh" Binary true Pure;
    /// Shift right, filling with zeros.
    Rsh "rsh" Binary true Pure;
    /// Shift right, filling with the sign.
    Arsh "arsh" Binary true Pure;
    /// Zero minus.
    Neg "neg" Unary true Pure;
    /// The low `size`, zero-extended.
    Zext "zext" Unary true Pure;
    /// The low `size`, sign-extended to `width`.
    Sext "sext" Unary true Pure;
    /// The bytes of the low `size` in reverse, zero-extended.
    Bswap "bswap" Unary true Pure;
    /// One of two values.
    Select "select" Select true Pure;
    /// Load of `size`, extended by `ext`.
    Load "load" Load true Read;
    /// Load with acquire order.
    LoadAcq "load_acq" Load true Write;
    /// Store of `size`.
    Store "store" Store false Write;
    /// Store with release order.
    StoreRel "store_rel" Store false Write;
    /// `*p += v`, atomic.
    AtomicAdd "atomic_add" Store false Write;
    /// `*p &= v`, atomic.
    AtomicAnd "atomic_and" Store false Write;
    /// `*p |= v`, atomic.
    AtomicOr "atomic_or" Store false Write;
    /// `*p ^= v`, atomic.
    AtomicXor "atomic_xor" Store false Write;
    /// As `atomic_add`, giving the old value.
    FetchAdd "fetch_add" Store true Write;
    /// As `atomic_and`, giving the old value.
    FetchAnd "fetch_and" Store true Write;
    /// As `atomic_or`, giving the old value.
    FetchOr "fetch_or" Store true Write;
    /// As `atomic_xor`, giving the old value.
    FetchXor "fetch_xor" Store true Write;
    /// Atomic exchange, giving the old value.
    Xchg "xchg" Store true Write;
    /// Atomic exchange where memory holds the expected value; gives the old value.
    CmpXchg "cmpxchg" Swap true Write;
    /// Call of helper row `imm`.
    CallHelper "call_helper" Call true Write;
    /// Call of function `imm`.
    CallFunc "call_func" Call true Write;
    /// Call of the function whose record `args[5]` points to.
    CallValue "call_value" Call true Write;
    /// Takes `imm` from the run's budget; the run ends where that is used up.
    Spend "spend" Call false Write;
    /// Tail call into program map `imm` at index `args[0]`; gives what r0 is when it fails.
    TailCall "tail_call" Call true Write;
    /// Tail call into the program map `args[0]` at index `args[1]`, a map that is only known at run time; gives what r0 is when it fails.
    TailCallAny "tail_call_any" Call true Write;
}

impl Op {
    /// Whether the operands of a binary operation may change places.
    pub const fn commutes(self) -> bool {
        matches!(self, Op::Add | Op::Mul | Op::And | Op::Or | Op::Xor)
    }

    /// Whether the operation touches memory at a base plus a displacement.
    pub const fn is_memory(self) -> bool {
        matches!(self.shape(), Shape::Load | Shape::Store | Shape::Swap)
    }

    /// Whether it runs code beyond this function.
    pub const fn is_call(self) -> bool {
        matches!(self, Op::CallHelper | Op::CallFunc | Op::CallValue | Op::TailCallAny)
    }
}

/// One operation and its operands; which fields count is what [`Op::shape`] says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct InstData {
    /// What it does.
    pub op: Op,
    /// Bits it works on.
    pub width: Width,
    /// Bytes of a memory access or an extension.
    pub size: Size,
    /// How a load fills up.
    pub ext: Ext,
    /// Of a select.
    pub cond: Cond,
    /// Operands.
    pub args: [Option<Value>; 6],
    /// Constant operand.
    pub imm: i64,
    /// Displacement in bytes.
    pub off: i32,
    /// The memory it touches.
    pub mem: MemClass,
    /// The instruction it comes from.
    pub pc: u32,
    /// Its value, once it is in a function.
    pub result: Option<Value>,
}

impl InstData {
    /// An operation without operands, 64 bits wide.
    pub const fn new(op: Op, pc: u32) -> Self {
        InstData {
            op,
            width: Width::W64,
            size: Size::DW,
            ext: Ext::Zero,
            cond: Cond::Eq,
            args: [None; 6],
            imm: 0,
            off: 0,
            mem: MemClass::Unknown,
            pc,
            result: None,
        }
    }

    /// The same with a constant operand.
    pub const fn with_imm(mut self, imm: i64) -> Self {
        self.imm = imm;
        self
    }

    /// The same with these operands first.
    pub const fn with_args(mut self, args: &[Option<Value>]) -> Self {
        let mut i = 0;
        while i < args.len() && i < self.args.len() {
            self.args[i] = args[i];
            i += 1;
        }
        self
    }

    /// The same with a first operand.
    pub const fn with_arg(mut self, a: Value) -> Self {
        self.args[0] = Some(a);
        self
    }

    /// The same of another width.
    pub const fn with_width(mut self, width: Width) -> Self {
        self.width = width;
        self
    }

    /// Whether the upper half of its result is always zero.
    pub const fn zeroes_upper_half(&self) -> bool {
        match self.op {
            Op::Const => self.imm as u64 >> 32 == 0,
            Op::Zext | Op::Bswap => !matches!(self.size, Size::DW),
            Op::Sext => matches!(self.width, Width::W32),
            Op::Load => matches!(self.ext, Ext::Zero) && !matches!(self.size, Size::DW),
            Op::LoadAcq | Op::Xchg | Op::CmpXchg => !matches!(self.size, Size::DW),
            Op::FetchAdd | Op::FetchAnd | Op::FetchOr | Op::FetchXor => !matches!(self.size, Size::DW),
            Op::And => {
                matches!(self.width, Width::W32) || (self.args[1].is_none() && self.imm as u64 >> 32 == 0)
            }
            _ => matches!(self.shape(), Shape::Unary | Shape::Binary) && matches!(self.width, Width::W32),
        }
    }

    const fn shape(&self) -> Shape {
        self.op.shape()
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
