//! The blocks of one BPF function, and the registers that each reads before it writes them.

use super::Source;
use crate::ir::Block;
use crate::isa::{self, Callee, Operand, Reg};
use crate::jit::CompileError;
use crate::mem::Vec;
use crate::program::{Edge, Rewrite};

/// How a block ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Trap,
    Return,
    Jump(Block),
    Branch { pc: u32, taken: Block, not_taken: Block },
}

#[derive(Debug)]
pub(super) struct BlockShape {
    pub(super) start: u32,
    /// One behind the last slot that is not its end.
    pub(super) end: u32,
    pub(super) next: Next,
    /// The only way in, if there is only one.
    pub(super) single_pred: Option<Block>,
    /// Registers r0 to r9 read before they are written here or further on.
    pub(super) live_in: u16,
    reads: u16,
    writes: u16,
}

/// Block 0 is the entry, which jumps to the function's first instruction; the last one may be the trap.
#[derive(Debug)]
pub(super) struct Cfg {
    start: u32,
    ops: Vec<isa::Op>,
    pub(super) blocks: Vec<BlockShape>,
    /// Every block after one of its predecessors, but for loops: reverse postorder.
    pub(super) order: Vec<Block>,
}

/// Where a slot stands.
#[derive(Clone, Copy, Default)]
struct Slot {
    reached: bool,
    leader: bool,
    dead: bool,
    block: u32,
}

impl Cfg {
    pub(super) fn new(source: &Source<'_>, index: usize) -> Result<Self, CompileError> {
        let code = source.program.code();
        let (start, end) =
            code.subprogs.get(index).map_or((0, code.insns.len() as u32), |s| (s.start, s.end));
        if start >= end || end as usize > code.insns.len() {
            return Err(CompileError::NoFunction);
        }
        let mut finder = Finder {
            source,
            start,
            end,
            ops: Vec::filled(isa::Op::Exit, (end - start) as usize)?,
            slots: Vec::filled(Slot::default(), (end - start) as usize)?,
            work: Vec::new(),
        };
        finder.follow()?;
        finder.into_cfg()
    }

    pub(super) fn op(&self, pc: u32) -> isa::Op {
        self.ops[(pc - self.start) as usize]
    }

    /// Registers that the function reads before it writes them.
    pub(super) fn live_at_start(&self) -> u16 {
        self.blocks[0].live_in
    }

    /// Computes live-in registers, given which arguments each function reads.
    pub(super) fn find_live(&mut self, source: &Source<'_>, funcs: &[u16]) -> Result<(), CompileError> {
        for i in 0..self.blocks.len() {
            let (mut reads, mut writes) = (0, 0);
            let BlockShape { start, end, next, .. } = self.blocks[i];
            let mut pc = start;
            while pc < end {
                let op = self.op(pc);
                let (r, w) = touched(source, pc, &op, funcs);
                reads |= r & !writes;
                writes |= w;
                pc += op.slots();
            }
            let last = match next {
                Next::Branch { pc, .. } => touched(source, pc, &self.op(pc), funcs).0,
                Next::Return => 1,
                Next::Trap | Next::Jump(_) => 0,
            };
            reads |= last & !writes;
            let block = &mut self.blocks[i];
            (block.reads, block.writes) = (reads & 0x3ff, writes);
        }
        loop {
            let mut changed = false;
            for i in (0..self.order.len()).rev() {
                let b = self.order[i].index();
                let live = |to: Block| self.blocks[to.index()].live_in;
                let out = match self.blocks[b].next {
                    Next::Trap | Next::Return => 0,
                    Next::Jump(to) => live(to),
                    Next::Branch { taken, not_taken, .. } => live(taken) | live(not_taken),
                };
                let block = &mut self.blocks[b];
                let live_in = block.reads | (out & !block.writes);
                changed |= live_in != block.live_in;
                block.live_in = live_in;
            }
            if !changed {
                return Ok(());
            }
        }
    }

    fn find_order(&mut self) -> Result<(), CompileError> {
        let mut seen = Vec::filled(false, self.blocks.len())?;
        let mut stack: Vec<(Block, usize)> = Vec::new();
        stack.push((Block::ENTRY, 0))?;
        seen[0] = true;
        while let Some(top) = stack.last_mut() {
            let (block, way) = *top;
            top.1 += 1;
            match successor(&self.blocks[block.index()].next, way) {
                Some(to) if !core::mem::replace(&mut seen[to.index()], true) => stack.push((to, 0))?,
                Some(_) => {}
                None => {
                    self.order.push(block)?;
                    stack.pop();
                }
            }
        }
        self.order.reverse();
        Ok(())
    }

    fn find_preds(&mut self) -> Result<(), CompileError> {
        let mut count: Vec<u32> = Vec::filled(0, self.blocks.len())?;
        for i in 0..self.blocks.len() {
            let next = self.blocks[i].next;
            for to in (0..2).filter_map(|way| successor(&next, way)) {
                count[to.index()] += 1;
                let first = count[to.index()] == 1;
                self.blocks[to.index()].single_pred = first.then_some(Block(i as u32));
            }
        }
        Ok(())
    }
}

fn successor(next: &Next, way: usize) -> Option<Block> {
    match (*next, way) {
        (Next::Jump(to), 0)
        | (Next::Branch { not_taken: to, .. }, 0)
        | (Next::Branch { taken: to, .. }, 1) => Some(to),
        _ => None,
    }
}

struct Finder<'a> {
    source: &'a Source<'a>,
    start: u32,
    end: u32,
    ops: Vec<isa::Op>,
    slots: Vec<Slot>,
    work: Vec<u32>,
}

impl Finder<'_> {
    fn slot(&mut self, pc: u32) -> Result<&mut Slot, CompileError> {
        let index = pc.checked_sub(self.start).ok_or(CompileError::Unsupported { pc })?;
        self.slots.get_mut(index as usize).ok_or(CompileError::Unsupported { pc })
    }

    fn lead(&mut self, pc: u32) -> Result<(), CompileError> {
        let slot = self.slot(pc)?;
        slot.leader = true;
        if !slot.reached {
            self.work.push(pc)?;
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<(), CompileError> {
        self.lead(self.start)?;
        while let Some(mut pc) = self.work.pop() {
            loop {
                if core::mem::replace(&mut self.slot(pc)?.reached, true) {
                    break;
                }
                if self.source.rewrite(pc) == Rewrite::Dead {
                    let slot = self.slot(pc)?;
                    (slot.leader, slot.dead) = (true, true);
                    break;
                }
                let insns = &self.source.program.code().insns;
                let op = isa::decode(insns, pc).map_err(|_| CompileError::Unsupported { pc })?;
                self.ops[(pc - self.start) as usize] = op;
                let next = pc + op.slots();
                match op {
                    isa::Op::Exit => break,
                    isa::Op::Ja { target, .. } => {
                        self.lead(target)?;
                        break;
                    }
                    isa::Op::Jmp { target, .. } => match self.source.fact(pc).edge {
                        Edge::AlwaysTaken => {
                            self.lead(target)?;
                            break;
                        }
                        Edge::NeverTaken => {}
                        Edge::Both => {
                            self.lead(target)?;
                            self.slot(next)?.leader = true;
                        }
                    },
                    _ => {}
                }
                pc = next;
            }
        }
        Ok(())
    }

    fn into_cfg(mut self) -> Result<Cfg, CompileError> {
        let shape = |start, end, next| BlockShape {
            start,
            end,
            next,
            single_pred: None,
            live_in: 0,
            reads: 0,
            writes: 0,
        };
        let mut blocks = Vec::new();
        blocks.push(shape(self.start, self.start, Next::Trap))?;
        for pc in self.start..self.end {
            let number = blocks.len() as u32;
            let slot = self.slot(pc)?;
            if slot.leader && !slot.dead {
                slot.block = number;
                blocks.push(shape(pc, pc, Next::Trap))?;
            }
        }
        let trap = blocks.len() as u32;
        let any_dead = self.slots.iter().any(|s| s.dead);
        for slot in self.slots.iter_mut().filter(|s| s.dead) {
            slot.block = trap;
        }
        for block in blocks.iter_mut().skip(1) {
            (block.end, block.next) = self.block_end(block.start)?;
        }
        blocks[0].next = Next::Jump(self.block_of(self.start)?);
        if any_dead {
            blocks.push(shape(self.end, self.end, Next::Trap))?;
        }
        let mut cfg = Cfg { start: self.start, ops: self.ops, blocks, order: Vec::new() };
        cfg.find_order()?;
        cfg.find_preds()?;
        Ok(cfg)
    }

    fn block_of(&mut self, pc: u32) -> Result<Block, CompileError> {
        self.slot(pc).map(|s| Block(s.block))
    }

    /// One behind the last slot of straight-line code from `pc` on, and what follows it.
    fn block_end(&mut self, mut pc: u32) -> Result<(u32, Next), CompileError> {
        loop {
            let op = self.ops[(pc - self.start) as usize];
            let next = pc + op.slots();
            match op {
                isa::Op::Exit => return Ok((pc, Next::Return)),
                isa::Op::Ja { target, .. } => return Ok((pc, Next::Jump(self.block_of(target)?))),
                isa::Op::Jmp { target, .. } => match self.source.fact(pc).edge {
                    Edge::AlwaysTaken => return Ok((pc, Next::Jump(self.block_of(target)?))),
                    Edge::NeverTaken => {}
                    Edge::Both => {
                        let (taken, not_taken) = (self.block_of(target)?, self.block_of(next)?);
                        return Ok((pc, Next::Branch { pc, taken, not_taken }));
                    }
                },
                _ => {}
            }
            if self.slot(next)?.leader {
                return Ok((next, Next::Jump(self.block_of(next)?)));
            }
            pc = next;
        }
    }
}

/// The registers that an instruction reads and writes, as sets.
fn touched(source: &Source<'_>, pc: u32, op: &isa::Op, funcs: &[u16]) -> (u16, u16) {
    let bit = |r: Reg| 1u16 << r.num();
    let operand = |o: Operand| match o {
        Operand::Reg(r) => bit(r),
        Operand::Imm(_) => 0,
    };
    match *op {
        isa::Op::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        isa::Op::Mov { dst, src, .. } => (operand(src), bit(dst)),
        isa::Op::MovSx { dst, src, .. } => (bit(src), bit(dst)),
        isa::Op::Neg { dst, .. } | isa::Op::End { dst, .. } => (bit(dst), bit(dst)),
        isa::Op::LdImm64 { dst, .. } => (0, bit(dst)),
        isa::Op::Load { dst, base, .. } | isa::Op::LoadAcq { dst, base, .. } => (bit(base), bit(dst)),
        isa::Op::Store { base, src, .. } => (bit(base) | operand(src), 0),
        isa::Op::StoreRel { base, src, .. } => (bit(base) | bit(src), 0),
        isa::Op::Atomic { op: isa::AtomicOp::Cmpxchg, base, src, .. } => (bit(base) | bit(src) | 1, 1),
        isa::Op::Atomic { fetch, base, src, .. } => (bit(base) | bit(src), if fetch { bit(src) } else { 0 }),
        isa::Op::Jmp { dst, src, .. } => (bit(dst) | operand(src), 0),
        isa::Op::Call(Callee::Reg(r)) => (bit(r) | 0b11_1110, 0b11_1111),
        isa::Op::Call(_) => (source.call_args(pc, funcs), 0b11_1111),
        isa::Op::Exit => (1, 0),
        isa::Op::Ja { .. } | isa::Op::LegacyPacket { .. } => (0, 0),
    }
}
