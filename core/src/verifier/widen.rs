//! Widening: what makes loops over iterators and callbacks end.
//!
//! At the second and later turns, a number that differs from the one that an older state of the same place has, and on which nothing rested so far, becomes
//! unknown. That is always sound: an unknown number describes every number. Where something comes to rest on the number later, the exploration of that
//! turn refuses or demands it, and the turns after are not widened there.

use super::backtrack::halves_of;
use super::kept::Frame;
use super::reg::Reg;
use super::state::State;

/// Widens `new` against an older state of the same place on its path.
pub(crate) fn widen(old: &State, noted: &[Frame], new: &mut State) {
    for ((a, b), m) in old.frames.iter().zip(&mut new.frames).zip(noted) {
        let m = &m.mattered;
        for (r, (x, y)) in a.regs.iter().zip(&mut b.regs).enumerate() {
            number(x, y, m.precise.regs >> r & 1 == 1);
        }
        for (i, (x, y)) in a.stack.slots().iter().zip(b.stack.slots_mut()).enumerate() {
            let size = y.spill_size();
            if x.spill_size() == size && size > 0 {
                let whole = y.reg;
                number(&x.reg, &mut y.reg, m.precise.halves & halves_of(i) != 0);
                if y.reg != whole {
                    y.reg = y.reg.cut_to(size);
                }
            }
        }
    }
}

fn number(old: &Reg, new: &mut Reg, precise: bool) {
    if old.is_scalar() && new.is_scalar() && !precise && old.var != new.var {
        *new = Reg::UNKNOWN;
    }
}
