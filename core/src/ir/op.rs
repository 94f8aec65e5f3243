//! The operations of the intermediate representation, and one of them with its operands.
//!
//! One table ([`ops!`]) declares them: mnemonic, shape, whether there is a result, and what else it does.

use super::{Cond, Ext, Size, Value, Width};
use crate::program::MemClass;

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

    pub(super) const fn shape(&self) -> Shape {
        self.op.shape()
    }
}
