//! Which instructions lie on a common loop: the strongly connected components of the control flow.
//!
//! Only the log shows them: level 2 writes the number of the loop before an instruction's line. Numbers start at 1 and are given in the order in which
//! the components are complete, in Tarjan's walk from the first instruction; 0 is no loop. The walk keeps its own stack, since it may be as
//! long as the program.

use super::cfg::Cfg;
use crate::mem::{OutOfMemory, Vec};

/// The loop of each slot.
pub(crate) fn number(cfg: &Cfg, slots: usize) -> Result<Vec<u32>, OutOfMemory> {
    let mut loops = Vec::filled(0u32, slots)?;
    // Order of discovery, from 1; 0: not yet. And the earliest that is reached, or DONE.
    let (mut order, mut low) = (Vec::filled(0u32, slots)?, Vec::filled(0u32, slots)?);
    let (mut component, mut walk): (Vec<u32>, Vec<(u32, usize)>) = (Vec::new(), Vec::new());
    let (mut discovered, mut numbered) = (0, 0);
    for (root, _) in cfg.iter() {
        if order[root as usize] != 0 {
            continue;
        }
        walk.push((root, 0))?;
        while let Some((pc, next)) = walk.pop() {
            let at = pc as usize;
            if next == 0 {
                discovered += 1;
                (order[at], low[at]) = (discovered, discovered);
                component.push(pc)?;
            }
            let successors = cfg.successors(pc);
            if let Some(done) = next.checked_sub(1).and_then(|i| successors[i]) {
                low[at] = low[at].min(low[done as usize]);
            }
            if let Some(to) = successors.get(next) {
                walk.push((pc, next + 1))?;
                if let Some(to) = to.filter(|to| order.get(*to as usize) == Some(&0)) {
                    walk.push((to, 0))?;
                }
                continue;
            }
            if low[at] != order[at] {
                continue;
            }
            let start = component.iter().rposition(|c| *c == pc).unwrap_or(0);
            let looped = component.len() - start > 1 || successors.contains(&Some(pc));
            numbered += u32::from(looped);
            while component.len() > start
                && let Some(member) = component.pop()
            {
                low[member as usize] = DONE;
                loops[member as usize] = if looped { numbered } else { 0 };
            }
        }
    }
    Ok(loops)
}

/// Of a complete component: no other is reached through it.
const DONE: u32 = u32::MAX;
