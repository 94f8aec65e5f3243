//! A number that is 0 or all ones, as an arithmetic shift makes it of a sign, where a mask or a constant is applied to it: two paths, each with one result.
//!
//! Compilers make conditions without jumps so, and between the two results no value is possible that their range has. Linux 6.18 does the same, for AND and OR
//! by a constant: the path at hand goes on with all ones, the other waits with 0.

use super::alu::Width;
use super::branch::abstract_width;
use super::lane::Lane;
use super::reg::Reg;
use super::state::State;
use crate::isa::{AluOp, Op, Operand, Reg as R};
use crate::mem::OutOfMemory;

/// Splits a state before an instruction. `state` keeps all ones; the state where the number is 0 comes back, with the register.
pub(crate) fn split(state: &mut State, op: &Op) -> Result<Option<(State, R)>, OutOfMemory> {
    let Op::Alu { op: AluOp::And | AluOp::Or, width, dst, src } = *op else { return Ok(None) };
    let by_constant = match src {
        Operand::Imm(_) => true,
        Operand::Reg(r) => r != dst && state.reg(r).known().is_some(),
    };
    let reg = *state.reg(dst);
    if !by_constant || !reg.is_scalar() {
        return Ok(None);
    }
    let is_sign = (reg.var.smin(), reg.var.smax()) == (-1, 0);
    let is_low_sign = (reg.var.s32_min(), reg.var.s32_max()) == (-1, 0);
    let ways = match abstract_width(width) {
        Width::W64 if is_sign => [Some(0), Some(u64::MAX)].map(|v| v.map(Reg::constant)),
        _ if is_low_sign => {
            [0, u64::from(u32::MAX)].map(|low| reg.var.meet_low(&Lane::constant(low)).map(Reg::scalar))
        }
        _ => return Ok(None),
    };
    // Where one of both contradicts what else is known, nothing is gained.
    let [Some(none), Some(all)] = ways else { return Ok(None) };
    let mut other = state.try_clone()?;
    other.set(dst, none);
    state.set(dst, all);
    Ok(Some((other, dst)))
}
