//! Parallel moves: several places get new values at once, as block parameters and call arguments do, put into an order of single moves.
//!
//! ```text
//! while moves are left:
//!     emit one whose destination no other one still reads
//!     if there is none, all that is left are cycles: save one source in scratch, and read it there from now on
//! ```

use super::{Loc, PReg};
use crate::mem::{OutOfMemory, Vec};

/// One move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Where to: a register or a slot.
    pub dst: Loc,
    /// What.
    pub src: Loc,
}

/// Puts `moves` into an order; destinations are distinct. Leaves `moves` empty and appends to `out`.
///
/// # Errors
/// When memory is short.
pub fn sequence(moves: &mut Vec<Move>, scratch: PReg, out: &mut Vec<Move>) -> Result<(), OutOfMemory> {
    moves.retain(|m| m.dst != m.src && m.dst != Loc::None);
    while !moves.is_empty() {
        let ready = (0..moves.len()).find(|&i| moves.iter().all(|m| m.src != moves[i].dst));
        match ready {
            Some(i) => out.push(moves.remove(i))?,
            None => {
                let saved = moves[0].src;
                out.push(Move { dst: Loc::Reg(scratch), src: saved })?;
                for m in moves.iter_mut().filter(|m| m.src == saved) {
                    m.src = Loc::Reg(scratch);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All moves from 5 places to permutations and copies of them, run one by one and at once.
    #[test]
    fn sequence_has_the_effect_of_the_parallel_move() {
        let place = |i: u32| if i < 3 { Loc::Reg(PReg(i as u8)) } else { Loc::Stack(i) };
        let scratch = PReg(11);
        for code in 0..5u32.pow(5) {
            let sources: [u32; 5] = core::array::from_fn(|i| code / 5u32.pow(i as u32) % 5);
            let mut moves =
                Vec::from_fn(5, |i| Move { dst: place(i as u32), src: place(sources[i]) }).unwrap();
            let mut out = Vec::new();
            sequence(&mut moves, scratch, &mut out).unwrap();
            let mut state: std::collections::HashMap<Loc, u32> = (0..5).map(|i| (place(i), i)).collect();
            for m in &out {
                let v = state[&m.src];
                state.insert(m.dst, v);
            }
            for (i, &s) in sources.iter().enumerate() {
                assert_eq!(state[&place(i as u32)], s, "{sources:?}: {out:?}");
            }
        }
    }
}
