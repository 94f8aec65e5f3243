//! Folds constants, drops operations that change nothing, takes cheaper ones of the same meaning, and moves additions of constants into addresses.
//!
//! One walk in layout order. Operands of an operation come before it but for loops, whose parameters are no constants; so that one walk sees most chains whole.

use super::eval;
use crate::ir::{Compare, Cond, Func, Inst, InstData, Op, Shape, Size, Term, Value, Width};
use crate::mem::OutOfMemory;

/// Runs the pass.
///
/// # Errors
/// Never at present; passes have one signature.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    for b in 0..func.blocks.len() {
        for i in 0..func.blocks[b].insts.len() {
            let inst = func.blocks[b].insts[i];
            resolve(func, inst);
            simplify(func, inst);
        }
        term(func, b);
    }
    func.apply_replacements();
    Ok(())
}

fn resolve(func: &mut Func, inst: Inst) {
    let mut args = func.insts[inst.index()].args;
    args.iter_mut().flatten().for_each(|v| *v = func.resolve(*v));
    func.insts[inst.index()].args = args;
}

fn simplify(func: &mut Func, inst: Inst) {
    match func.insts[inst.index()].op.shape() {
        Shape::Binary => binary(func, inst),
        Shape::Unary => unary(func, inst),
        Shape::Load | Shape::Swap => address(func, inst),
        Shape::Store => {
            address(func, inst);
            stored(func, inst);
        }
        Shape::Select => select(func, inst),
        Shape::Leaf | Shape::Call => {}
    }
}

/// What an operation turned out to be.
enum Outcome {
    /// Itself, perhaps changed.
    Same,
    /// That constant.
    Const(i64),
    /// That value.
    Value(Value),
}

fn finish(func: &mut Func, inst: Inst, d: InstData, outcome: Outcome) {
    match outcome {
        Outcome::Same => func.insts[inst.index()] = d,
        Outcome::Const(imm) => {
            func.insts[inst.index()] =
                InstData { result: d.result, ..InstData::new(Op::Const, d.pc).with_imm(imm) };
        }
        Outcome::Value(v) => {
            if let Some(result) = d.result {
                func.replace(result, v);
            }
        }
    }
}

/// Whether a constant can stand in an operation of that width; the form it has there.
fn immediate(width: Width, imm: i64) -> Option<i64> {
    match width {
        Width::W32 => Some(i64::from(imm as i32)),
        Width::W64 => i32::try_from(imm).ok().map(i64::from),
    }
}

fn binary(func: &mut Func, inst: Inst) {
    let mut d = func.insts[inst.index()];
    let constant = |v: Option<Value>| v.and_then(|v| func.constant(v));
    if d.op.commutes()
        && constant(d.args[0]).is_some()
        && d.args[1].is_some()
        && constant(d.args[1]).is_none()
    {
        d.args.swap(0, 1);
    }
    let b = if d.args[1].is_some() { constant(d.args[1]) } else { Some(d.imm) };
    if let (Some(a), Some(b)) = (constant(d.args[0]), b)
        && let Some(v) = eval::binary(d.op, d.width, a, b)
    {
        return finish(func, inst, d, Outcome::Const(v));
    }
    if let Some(imm) = b.and_then(|b| immediate(d.width, b)) {
        (d.args[1], d.imm) = (None, imm);
    } else if let (Op::And, Some(0xffff_ffff)) = (d.op, b) {
        d = InstData { size: Size::W, args: [d.args[0], None, None, None, None, None], op: Op::Zext, ..d };
    }
    let outcome = if d.args[1].is_none() && d.op.shape() == Shape::Binary {
        by_constant(func, &mut d)
    } else {
        Outcome::Same
    };
    finish(func, inst, d, outcome);
}

/// An operation whose second operand is the constant `d.imm`.
fn by_constant(func: &Func, d: &mut InstData) -> Outcome {
    let Some(a) = d.args[0] else { return Outcome::Same };
    let wide = d.width == Width::W64;
    let bits = if wide { 64 } else { 32 };
    let unsigned = if wide { d.imm as u64 } else { u64::from(d.imm as u32) };
    match d.op {
        Op::Lsh | Op::Rsh | Op::Arsh => d.imm &= bits - 1,
        Op::Sub if d.imm != i64::from(i32::MIN) => (d.op, d.imm) = (Op::Add, -d.imm),
        Op::Mul if unsigned.is_power_of_two() => {
            (d.op, d.imm) = (Op::Lsh, i64::from(unsigned.trailing_zeros()))
        }
        Op::Div if unsigned.is_power_of_two() => {
            (d.op, d.imm) = (Op::Rsh, i64::from(unsigned.trailing_zeros()))
        }
        Op::Mod if unsigned.is_power_of_two() && unsigned <= 1 << 31 => {
            (d.op, d.imm) = (Op::And, (unsigned - 1) as i64);
        }
        _ => {}
    }
    let neutral = match d.op {
        Op::Add | Op::Sub | Op::Or | Op::Xor | Op::Lsh | Op::Rsh | Op::Arsh => d.imm == 0,
        Op::And => d.imm == -1,
        Op::Mul | Op::Div | Op::Sdiv => d.imm == 1,
        _ => false,
    };
    if neutral {
        if wide {
            return Outcome::Value(a);
        }
        (d.op, d.size) = (Op::Zext, Size::W);
        return Outcome::Same;
    }
    if matches!(d.op, Op::And | Op::Mul) && d.imm == 0 {
        return Outcome::Const(0);
    }
    let Some(inner) = func.def_inst(a) else { return Outcome::Same };
    match (d.op, inner.op) {
        (Op::And, _) if d.imm >= 0 && covers(d.imm, inner) => return Outcome::Value(a),
        // A 32-bit value in the form that compilers without 32-bit moves give it.
        (Op::Rsh, Op::Lsh)
            if wide
                && d.imm == 32
                && inner.width == Width::W64
                && inner.args[1].is_none()
                && inner.imm == 32 =>
        {
            (d.op, d.size, d.args[0]) = (Op::Zext, Size::W, inner.args[0]);
        }
        (Op::Add, Op::FrameAddr | Op::MapValue) if wide => {
            if let Some(sum) = moved(inner, d.imm) {
                *d = InstData { result: d.result, pc: d.pc, ..sum };
            }
        }
        (Op::Add, Op::Add) if wide && inner.width == Width::W64 && inner.args[1].is_none() => {
            if let Some(sum) = d.imm.checked_add(inner.imm).and_then(|s| immediate(Width::W64, s)) {
                (d.args[0], d.imm) = (inner.args[0], sum);
            }
        }
        _ => {}
    }
    Outcome::Same
}

/// An address with that many bytes added.
fn moved(address: &InstData, by: i64) -> Option<InstData> {
    let mut d = *address;
    if d.op == Op::FrameAddr {
        d.imm = i64::from(i32::try_from(d.imm.checked_add(by)?).ok()?);
    } else {
        d.off = i32::try_from(i64::from(d.off).checked_add(by)?).ok()?;
    }
    Some(d)
}

/// Whether a mask keeps every bit that an operation's result can have.
fn covers(mask: i64, d: &InstData) -> bool {
    let possible: u64 = match d.op {
        Op::Load if d.ext == crate::ir::Ext::Zero => u64::MAX >> (64 - d.size.bits()),
        Op::Zext | Op::Bswap => u64::MAX >> (64 - d.size.bits()),
        Op::And if d.args[1].is_none() && d.imm >= 0 => d.imm as u64,
        Op::Rsh if d.args[1].is_none() => match d.width {
            Width::W64 => u64::MAX >> (d.imm & 63),
            Width::W32 => u64::from(u32::MAX >> (d.imm & 31)),
        },
        _ => return false,
    };
    possible & !(mask as u64) == 0
}

fn unary(func: &mut Func, inst: Inst) {
    let d = func.insts[inst.index()];
    let Some(a) = d.args[0] else { return };
    let outcome = match func.constant(a).and_then(|c| eval::unary(d.op, d.size, d.width, c)) {
        Some(v) => Outcome::Const(v),
        None if d.op == Op::Zext => {
            let mask = (u64::MAX >> (64 - d.size.bits())) as i64;
            let unchanged = d.size == Size::DW || func.def_inst(a).is_some_and(|inner| covers(mask, inner));
            if unchanged { Outcome::Value(a) } else { Outcome::Same }
        }
        None => Outcome::Same,
    };
    finish(func, inst, d, outcome);
}

/// Takes constant additions, and the frame, into the displacement.
fn address(func: &mut Func, inst: Inst) {
    let mut d = func.insts[inst.index()];
    while let Some(base) = d.args[0].and_then(|v| func.def_inst(v)) {
        let by = match base.op {
            Op::Add if base.width == Width::W64 && base.args[1].is_none() => base.imm,
            Op::FrameAddr => base.imm,
            _ => break,
        };
        let Ok(off) = i32::try_from(i64::from(d.off) + by) else { break };
        d.off = off;
        d.args[0] = if base.op == Op::FrameAddr { None } else { base.args[0] };
        if d.args[0].is_none() {
            break;
        }
    }
    func.insts[inst.index()] = d;
}

/// A constant to be stored or combined needs no register.
fn stored(func: &mut Func, inst: Inst) {
    let d = &mut func.insts[inst.index()];
    let (op, size, value) = (d.op, d.size, d.args[1]);
    let Some(imm) = value.and_then(|v| func.constant(v)) else { return };
    let imm = match size {
        Size::DW => immediate(Width::W64, imm),
        _ => immediate(Width::W32, imm),
    };
    if let (Some(imm), true) = (imm, op != Op::Xchg) {
        let d = &mut func.insts[inst.index()];
        (d.args[1], d.imm) = (None, imm);
    }
}

fn select(func: &mut Func, inst: Inst) {
    let mut d = func.insts[inst.index()];
    let Some(a) = d.args[0] else { return };
    let mut c = Compare { cond: d.cond, width: d.width, a, b: d.args[1], imm: d.imm };
    let decided = comparison(func, &mut c);
    (d.cond, d.args[0], d.args[1], d.imm) = (c.cond, Some(c.a), c.b, c.imm);
    let chosen = decided.and_then(|yes| if yes { d.args[2] } else { d.args[3] });
    finish(func, inst, d, chosen.map_or(Outcome::Same, Outcome::Value));
}

/// Puts constants to the right; the result where it is certain.
fn comparison(func: &Func, c: &mut Compare) -> Option<bool> {
    c.a = func.resolve(c.a);
    c.b = c.b.map(|b| func.resolve(b));
    if let Some(b) = c.b {
        if func.constant(c.a).is_some() && func.constant(b).is_none() {
            (c.cond, c.a, c.b) = (swapped(c.cond), b, Some(c.a));
        }
        if let Some(imm) = c.b.and_then(|b| func.constant(b)) {
            if let Some(a) = func.constant(c.a) {
                return Some(eval::compare(c.cond, c.width, a, imm));
            }
            if let Some(imm) = immediate(c.width, imm) {
                (c.b, c.imm) = (None, imm);
            }
        }
    } else if let Some(a) = func.constant(c.a) {
        return Some(eval::compare(c.cond, c.width, a, c.imm));
    }
    let null_test = c.b.is_none() && c.imm == 0 && c.width == Width::W64;
    match c.cond {
        Cond::Eq if null_test && is_address(func, c.a) => Some(false),
        Cond::Ne if null_test && is_address(func, c.a) => Some(true),
        _ => None,
    }
}

/// Whether a value is an address for certain. Addition keeps it one: the verifier bounds what may be added to a pointer.
fn is_address(func: &Func, v: Value) -> bool {
    match func.def_inst(v) {
        Some(d) if d.op == Op::Add && d.width == Width::W64 => {
            d.args.iter().flatten().any(|a| func.def_inst(*a).is_some_and(|d| d.op == Op::MapValue))
        }
        Some(d) => matches!(d.op, Op::MapValue | Op::MapPtr | Op::FrameAddr | Op::Env),
        None => false,
    }
}

const fn swapped(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
        Cond::Eq | Cond::Ne | Cond::Set => cond,
    }
}

/// A branch that is decided becomes a jump.
fn term(func: &mut Func, b: usize) {
    let term = core::mem::replace(&mut func.blocks[b].term, Term::Trap);
    func.blocks[b].term = match term {
        Term::Branch(mut c, [yes, no]) => match comparison(func, &mut c) {
            Some(true) => Term::Jump(yes),
            Some(false) => Term::Jump(no),
            None if yes == no => Term::Jump(yes),
            None => Term::Branch(c, [yes, no]),
        },
        other => other,
    };
}
