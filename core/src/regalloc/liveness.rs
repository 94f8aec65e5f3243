//! When each value lives: half-open ranges over the function's positions.
//!
//! Every block header, operation and block end has a number n in layout order. It reads at position 2n and writes at 2n + 1; parameters are written at their
//! header's 2n. A range goes from the write to just behind the last read of a block, or to the block's end where the value leaves it, so that a value
//! which dies at an operation and that operation's result do not meet.
//!
//! Each use is followed backwards, block by block, until the definition: time and memory are proportional to the ranges themselves, without a bit for every
//! value in every block.

use crate::ir::{Block, Func, Shape, Value, ValueDef};
use crate::mem::{OutOfMemory, Vec};

/// Positions from `start` up to, but not with, `end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Range {
    /// First position.
    pub start: u32,
    /// One behind the last.
    pub end: u32,
}

/// The numbers of a function's parts.
#[derive(Debug)]
pub struct Numbering {
    /// Of each block's header.
    pub header: Vec<u32>,
    /// Of each block's end.
    pub end: Vec<u32>,
    /// Of each operation; those in no block have 0.
    pub inst: Vec<u32>,
    /// The block of each operation.
    pub home: Vec<Block>,
    /// Loops around each block, as far as backward jumps show them.
    pub depth: Vec<u8>,
}

impl Numbering {
    /// Numbers a function in layout order.
    pub fn new(func: &Func) -> Result<Self, OutOfMemory> {
        let blocks = func.blocks.len();
        let mut n = Numbering {
            header: Vec::filled(0, blocks)?,
            end: Vec::filled(0, blocks)?,
            inst: Vec::filled(0, func.insts.len())?,
            home: Vec::filled(Block::ENTRY, func.insts.len())?,
            depth: Vec::filled(0, blocks)?,
        };
        let mut next = 0;
        for (block, data) in func.live_blocks() {
            n.header[block.index()] = next;
            next += 1;
            for inst in &data.insts {
                n.inst[inst.index()] = next;
                n.home[inst.index()] = block;
                next += 1;
            }
            n.end[block.index()] = next;
            next += 1;
        }
        for (block, data) in func.live_blocks() {
            for edge in data.term.edges().iter().filter(|e| e.to <= block) {
                for depth in &mut n.depth[edge.to.index()..=block.index()] {
                    *depth = depth.saturating_add(1).min(4);
                }
            }
        }
        Ok(n)
    }
}

/// A read: the value, the block, the position.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// The value.
    pub value: Value,
    /// Where.
    pub block: Block,
    /// When.
    pub at: u32,
    /// Whether it wants a register of its own rather than a copy of the value.
    pub in_place: bool,
}

/// The ranges of every value, and its reads.
#[derive(Debug)]
pub struct Liveness {
    ranges: Vec<Range>,
    first: Vec<u32>,
    /// Reads, sorted by value.
    pub uses: Vec<Use>,
    first_use: Vec<u32>,
}

impl Liveness {
    /// Follows every use of a function.
    pub fn new(func: &Func, n: &Numbering) -> Result<Self, OutOfMemory> {
        let (uses, first_use) = collect_uses(func, n)?;
        let preds = predecessors(func)?;
        let mut live = Liveness { ranges: Vec::new(), first: Vec::new(), uses, first_use };
        let mut walk = Walk { visited: Vec::filled(0, func.blocks.len())?, work: Vec::new() };
        for index in 0..func.values.len() {
            live.first.push(live.ranges.len() as u32)?;
            let value = Value::new(index);
            if let Some((home, start)) = definition(func, n, value) {
                live.follow(n, &preds, &mut walk, value, home, start)?;
            }
        }
        live.first.push(live.ranges.len() as u32)?;
        Ok(live)
    }

    /// A value's ranges, in order and apart.
    pub fn ranges(&self, v: Value) -> &[Range] {
        &self.ranges[self.first[v.index()] as usize..self.first[v.index() + 1] as usize]
    }

    /// A value's reads.
    pub fn uses(&self, v: Value) -> &[Use] {
        &self.uses[self.first_use[v.index()] as usize..self.first_use[v.index() + 1] as usize]
    }

    fn follow(
        &mut self,
        n: &Numbering,
        preds: &Preds,
        walk: &mut Walk,
        value: Value,
        home: Block,
        start: u32,
    ) -> Result<(), OutOfMemory> {
        let from = self.ranges.len();
        self.ranges.push(Range { start, end: start + 1 })?;
        let stamp = value.index() as u32 + 1;
        for i in self.first_use[value.index()]..self.first_use[value.index() + 1] {
            let Use { block, at, .. } = self.uses[i as usize];
            if block == home {
                self.ranges.push(Range { start, end: at + 1 })?;
                continue;
            }
            self.ranges.push(Range { start: 2 * n.header[block.index()], end: at + 1 })?;
            walk.work.push(block)?;
            while let Some(block) = walk.work.pop() {
                if core::mem::replace(&mut walk.visited[block.index()], stamp) == stamp {
                    continue;
                }
                for &pred in preds.of(block) {
                    let end = 2 * n.end[pred.index()] + 2;
                    if pred == home {
                        self.ranges.push(Range { start, end })?;
                    } else {
                        self.ranges.push(Range { start: 2 * n.header[pred.index()], end })?;
                        walk.work.push(pred)?;
                    }
                }
            }
        }
        self.merge(from);
        Ok(())
    }

    /// Sorts and joins the ranges from `from` on.
    fn merge(&mut self, from: usize) {
        self.ranges[from..].sort_unstable();
        let mut last = from;
        for i in from + 1..self.ranges.len() {
            let range = self.ranges[i];
            if range.start <= self.ranges[last].end {
                self.ranges[last].end = self.ranges[last].end.max(range.end);
            } else {
                last += 1;
                self.ranges[last] = range;
            }
        }
        self.ranges.truncate(last + 1);
    }
}

struct Walk {
    /// The last value that came by, as index + 1.
    visited: Vec<u32>,
    work: Vec<Block>,
}

/// Where and when a value is written.
fn definition(func: &Func, n: &Numbering, v: Value) -> Option<(Block, u32)> {
    match func.values[v.index()] {
        ValueDef::Param(block) => {
            let data = &func.blocks[block.index()];
            (!data.dead && data.params.contains(&v)).then(|| (block, 2 * n.header[block.index()]))
        }
        ValueDef::Inst(inst) => {
            let at = n.inst[inst.index()];
            if at == 0 {
                return None;
            }
            Some((n.home[inst.index()], 2 * at + 1))
        }
        ValueDef::Alias(_) => None,
    }
}

fn collect_uses(func: &Func, n: &Numbering) -> Result<(Vec<Use>, Vec<u32>), OutOfMemory> {
    let mut uses = Vec::new();
    for (block, data) in func.live_blocks() {
        for inst in &data.insts {
            let d = &func.insts[inst.index()];
            let at = 2 * n.inst[inst.index()];
            for (i, arg) in d.args.iter().enumerate() {
                let Some(value) = *arg else { continue };
                let in_place = match d.op.shape() {
                    Shape::Load | Shape::Store | Shape::Swap => true,
                    Shape::Binary | Shape::Select => i > 0,
                    Shape::Leaf | Shape::Unary | Shape::Call => false,
                };
                uses.push(Use { value, block, at, in_place })?;
            }
        }
        let at = 2 * n.end[block.index()];
        let compares = matches!(data.term, crate::ir::Term::Branch(..));
        for value in data.term.operands().into_iter().flatten() {
            uses.push(Use { value, block, at, in_place: compares })?;
        }
        for &value in data.term.edges().iter().flat_map(|e| &e.args) {
            uses.push(Use { value, block, at, in_place: false })?;
        }
    }
    uses.sort_unstable_by_key(|u| (u.value, u.at));
    let mut first = Vec::with_capacity(func.values.len() + 1)?;
    let mut i = 0;
    for value in 0..=func.values.len() {
        while uses.get(i).is_some_and(|u: &Use| u.value.index() < value) {
            i += 1;
        }
        first.push(i as u32)?;
    }
    Ok((uses, first))
}

/// The blocks that lead to each block.
#[derive(Debug)]
pub struct Preds {
    list: Vec<Block>,
    first: Vec<u32>,
}

impl Preds {
    /// Those of one block; a branch with both edges to it counts twice.
    pub fn of(&self, b: Block) -> &[Block] {
        &self.list[self.first[b.index()] as usize..self.first[b.index() + 1] as usize]
    }
}

/// Who leads to whom.
pub fn predecessors(func: &Func) -> Result<Preds, OutOfMemory> {
    let mut first: Vec<u32> = Vec::filled(0, func.blocks.len() + 2)?;
    for (_, data) in func.live_blocks() {
        for edge in data.term.edges() {
            first[edge.to.index() + 2] += 1;
        }
    }
    for i in 2..first.len() {
        first[i] += first[i - 1];
    }
    let mut list = Vec::filled(Block(0), *first.last().unwrap_or(&0) as usize)?;
    for (block, data) in func.live_blocks() {
        for edge in data.term.edges() {
            let slot = &mut first[edge.to.index() + 1];
            list[*slot as usize] = block;
            *slot += 1;
        }
    }
    Ok(Preds { list, first })
}
