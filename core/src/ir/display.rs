//! The IR as text, for `uxdp dump --as ir` and golden files. Addresses never appear: constants are as the program has them.

use super::{Edge, Ext, Func, InstData, MemClass, Module, Op, Shape, Size, Term, Value, Width};
use crate::isa::Cond;
use core::fmt;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.index())
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.funcs.iter().try_for_each(|func| write!(f, "{func}"))
    }
}

impl fmt::Display for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "func {} frame {} {{", self.index, self.frame.size)?;
        for (block, data) in self.live_blocks() {
            write!(f, "block{}", block.0)?;
            list(f, &data.params)?;
            writeln!(f, ":")?;
            for inst in &data.insts {
                let d = &self.insts[inst.index()];
                f.write_str("    ")?;
                if let Some(v) = d.result {
                    write!(f, "{v} = ")?;
                }
                writeln!(f, "{d}")?;
            }
            writeln!(f, "    {}", data.term)?;
        }
        f.write_str("}\n")
    }
}

fn list(f: &mut fmt::Formatter<'_>, values: &[Value]) -> fmt::Result {
    for (i, v) in values.iter().enumerate() {
        write!(f, "{}{v}", if i == 0 { "(" } else { ", " })?;
    }
    if values.is_empty() { Ok(()) } else { f.write_str(")") }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block{}", self.to.0)?;
        list(f, &self.args)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Jump(e) => write!(f, "jump {e}"),
            Term::Branch(c, [yes, no]) => {
                write!(f, "br{}.{} {}, ", width(c.width), condition(c.cond), c.a)?;
                operand(f, c.b, c.imm)?;
                write!(f, ", {yes}, {no}")
            }
            Term::Return(v) => write!(f, "return {v}"),
            Term::Trap => f.write_str("trap"),
        }
    }
}

impl fmt::Display for InstData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self;
        f.write_str(d.op.mnemonic())?;
        match d.shape() {
            Shape::Leaf => match d.op {
                Op::Env | Op::Undef => Ok(()),
                Op::MapValue => write!(f, " {}{:+}", d.imm, d.off),
                Op::FrameAddr => write!(f, " {:+}", d.imm),
                Op::MapPtr | Op::FuncPtr => write!(f, " {}", d.imm),
                _ => write!(f, " {:#x}", d.imm),
            },
            Shape::Unary => {
                match d.op {
                    Op::Neg => write!(f, "{} ", width(d.width))?,
                    Op::Sext => write!(f, "{}.{} ", width(d.width), bits(d.size))?,
                    _ => write!(f, ".{} ", bits(d.size))?,
                }
                operand(f, d.args[0], 0)
            }
            Shape::Binary => {
                write!(f, "{} ", width(d.width))?;
                operand(f, d.args[0], 0)?;
                f.write_str(", ")?;
                operand(f, d.args[1], d.imm)
            }
            Shape::Select => {
                write!(f, "{}.{} ", width(d.width), condition(d.cond))?;
                operand(f, d.args[0], 0)?;
                f.write_str(", ")?;
                operand(f, d.args[1], d.imm)?;
                f.write_str(", ")?;
                operand(f, d.args[2], 0)?;
                f.write_str(", ")?;
                operand(f, d.args[3], 0)
            }
            Shape::Load => {
                let sign = if d.ext == Ext::Sign { "s" } else { "" };
                write!(f, ".{}{sign} ", bits(d.size))?;
                address(f, d)
            }
            Shape::Store => {
                write!(f, ".{} ", bits(d.size))?;
                address(f, d)?;
                f.write_str(", ")?;
                operand(f, d.args[1], d.imm)
            }
            Shape::Swap => {
                write!(f, ".{} ", bits(d.size))?;
                address(f, d)?;
                f.write_str(", ")?;
                operand(f, d.args[1], 0)?;
                f.write_str(", ")?;
                operand(f, d.args[2], 0)
            }
            Shape::Call => {
                match d.args[5] {
                    Some(callee) => write!(f, " {callee}(")?,
                    None => write!(f, " {}(", d.imm)?,
                }
                let mut comma = "";
                for v in d.args[..5].iter().flatten() {
                    write!(f, "{comma}{v}")?;
                    comma = ", ";
                }
                f.write_str(")")
            }
        }
    }
}

fn operand(f: &mut fmt::Formatter<'_>, v: Option<Value>, imm: i64) -> fmt::Result {
    match v {
        Some(v) => write!(f, "{v}"),
        None => write!(f, "{imm}"),
    }
}

fn address(f: &mut fmt::Formatter<'_>, d: &InstData) -> fmt::Result {
    match d.mem {
        MemClass::Unknown => {}
        MemClass::Stack => f.write_str("stack ")?,
        MemClass::Ctx => f.write_str("ctx ")?,
        MemClass::Packet => f.write_str("packet ")?,
        MemClass::Map(m) => write!(f, "map{m} ")?,
        MemClass::MapAny => f.write_str("map ")?,
    }
    match d.args[0] {
        Some(v) => write!(f, "[{v}{:+}]", d.off),
        None => write!(f, "[frame{:+}]", d.off),
    }
}

const fn width(w: Width) -> &'static str {
    match w {
        Width::W32 => "32",
        Width::W64 => "64",
    }
}

const fn bits(s: Size) -> &'static str {
    match s {
        Size::B => "8",
        Size::H => "16",
        Size::W => "32",
        Size::DW => "64",
    }
}

const fn condition(c: Cond) -> &'static str {
    match c {
        Cond::Eq => "eq",
        Cond::Ne => "ne",
        Cond::Gt => "gt",
        Cond::Ge => "ge",
        Cond::Lt => "lt",
        Cond::Le => "le",
        Cond::Sgt => "sgt",
        Cond::Sge => "sge",
        Cond::Slt => "slt",
        Cond::Sle => "sle",
        Cond::Set => "set",
    }
}
