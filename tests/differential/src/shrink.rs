//! A case that differs, made smaller: choices are taken out and made zero as long as it still differs.

use crate::round::Judge;

/// Attempts at most: each is a program loaded and run.
const ATTEMPTS: usize = 3000;

/// The smallest case that was found to differ still, from one that does.
pub fn shrunk(judge: &mut Judge, case: &[u8]) -> Vec<u8> {
    let mut best = case.to_vec();
    let mut left = ATTEMPTS;
    let mut differs = |judge: &mut Judge, case: &[u8]| {
        left = left.saturating_sub(1);
        left > 0 && matches!(judge.round(case), Ok(Some(_)))
    };
    loop {
        let before = best.clone();
        let mut piece = best.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at < best.len() {
                let end = (at + piece).min(best.len());
                let without = [&best[..at], &best[end..]].concat();
                if differs(judge, &without) {
                    best = without;
                } else {
                    at = end;
                }
            }
            piece /= 2;
        }
        for at in 0..best.len() {
            if best[at] != 0 {
                let mut zeroed = best.clone();
                zeroed[at] = 0;
                if differs(judge, &zeroed) {
                    best = zeroed;
                }
            }
        }
        if best == before {
            return best;
        }
    }
}
