//! The allocator itself.
//!
//! ```text
//! for each interval in order of its start:
//!     forget assigned intervals that have ended
//!     candidates = registers that no clobber inside the interval destroys
//!     take a candidate that no assigned interval meets: a hinted one first, then the best
//!     else, if some candidate is held by intervals that together weigh less: send those to the stack, take it
//!     else: the stack
//! ```
//!
//! Hints: values that flow into each other through block parameters form one web and try for one register; an operation's result tries for its first operand's;
//! arguments and results of calls try for where they have to be. Weight: reads and writes, ten times as much a loop deeper, over the interval's length.

use super::liveness::{Liveness, Numbering, Range};
use super::{Allocation, Loc, Machine, PReg, RegSet};
use crate::ir::{Func, Op, Shape, Term, Value, ValueDef};
use crate::mem::{OutOfMemory, Vec};

/// Finds a place for every value of a function.
///
/// # Errors
/// When memory is short.
pub fn allocate(func: &Func, machine: &dyn Machine) -> Result<Allocation, OutOfMemory> {
    let n = Numbering::new(func)?;
    let live = Liveness::new(func, &n)?;
    let mut scan = Scan::new(func, machine, &n, &live)?;
    for i in 0..scan.order.len() {
        let v = scan.order[i];
        scan.place(v)?;
    }
    scan.place_on_stack()
}

/// Registers that an operation destroys, and when.
#[derive(Clone, Copy)]
struct Clobber {
    at: u32,
    regs: RegSet,
}

struct Scan<'a> {
    func: &'a Func,
    machine: &'a dyn Machine,
    live: &'a Liveness,
    clobbers: Vec<Clobber>,
    /// Values that want a register, by start.
    order: Vec<Value>,
    locs: Vec<Loc>,
    weight: Vec<f32>,
    /// Fixed registers that a value flows from or to.
    wanted: Vec<RegSet>,
    /// Representative of a value's web, and the register that the web had last.
    web: Vec<Value>,
    web_reg: Vec<Option<PReg>>,
    /// Values assigned to each register that have not ended.
    held: Vec<Vec<Value>>,
    /// Values that lost their register or never had one.
    spilled: Vec<Value>,
    used: RegSet,
}

/// A slot that is not decided yet.
const PENDING: Loc = Loc::Stack(u32::MAX);

impl<'a> Scan<'a> {
    fn new(
        func: &'a Func,
        machine: &'a dyn Machine,
        n: &Numbering,
        live: &'a Liveness,
    ) -> Result<Self, OutOfMemory> {
        let values = func.values.len();
        let mut scan = Scan {
            func,
            machine,
            live,
            clobbers: Vec::new(),
            order: Vec::new(),
            locs: Vec::filled(PENDING, values)?,
            weight: Vec::filled(0.0, values)?,
            wanted: Vec::filled(RegSet::EMPTY, values)?,
            web: Vec::from_fn(values, Value::new)?,
            web_reg: Vec::filled(None, values)?,
            held: Vec::from_fn(32, |_| Vec::new())?,
            spilled: Vec::new(),
            used: RegSet::EMPTY,
        };
        scan.note_machine(n)?;
        scan.note_flow();
        for index in 0..values {
            let v = Value::new(index);
            if live.ranges(v).is_empty() {
                continue;
            }
            if live.uses(v).is_empty() {
                scan.locs[index] = Loc::None;
                continue;
            }
            scan.weigh(v, n);
            if scan.is_free_to_recompute(v) {
                scan.locs[index] = Loc::Remat(v);
            } else {
                scan.order.push(v)?;
            }
        }
        scan.order.sort_unstable_by_key(|&v| (live.ranges(v)[0].start, v));
        Ok(scan)
    }

    /// Collects clobbers and fixed registers.
    fn note_machine(&mut self, n: &Numbering) -> Result<(), OutOfMemory> {
        for (block, data) in self.func.live_blocks() {
            if block == crate::ir::Block::ENTRY {
                for (&v, reg) in data.params.iter().zip(self.machine.arguments()) {
                    self.wanted[v.index()] = RegSet::of(&[reg]);
                }
            }
            for &inst in &data.insts {
                let d = &self.func.insts[inst.index()];
                let c = self.machine.constraints(self.func, d);
                if c.clobbers != RegSet::EMPTY {
                    self.clobbers.push(Clobber { at: 2 * n.inst[inst.index()], regs: c.clobbers })?;
                }
                for (arg, reg) in d.args.iter().zip(c.fixed) {
                    if let (Some(v), Some(reg)) = (arg, reg) {
                        self.wanted[v.index()] = self.wanted[v.index()].with(reg);
                    }
                }
                if let (Some(v), Some(reg)) = (d.result, c.result) {
                    self.wanted[v.index()] = self.wanted[v.index()].with(reg);
                }
            }
            if let Term::Return(v) = data.term {
                self.wanted[v.index()] = self.wanted[v.index()].with(self.machine.result());
            }
        }
        Ok(())
    }

    /// Joins what flows through parameters into webs.
    fn note_flow(&mut self) {
        for (_, data) in self.func.live_blocks() {
            for edge in data.term.edges() {
                let params = &self.func.blocks[edge.to.index()].params;
                for (&arg, &param) in edge.args.iter().zip(params) {
                    if recomputed(self.func, arg) {
                        continue;
                    }
                    let (a, p) = (self.find(arg), self.find(param));
                    self.web[a.index()] = p;
                    self.wanted[p.index()] = self.wanted[p.index()].union(self.wanted[a.index()]);
                }
            }
        }
    }

    fn find(&mut self, v: Value) -> Value {
        let mut at = v;
        while self.web[at.index()] != at {
            let up = self.web[at.index()];
            self.web[at.index()] = self.web[up.index()];
            at = up;
        }
        at
    }

    fn weigh(&mut self, v: Value, n: &Numbering) {
        let ranges = self.live.ranges(v);
        let length: u32 = ranges.iter().map(|r| r.end - r.start).sum();
        let cost = |depth: u8| [1.0, 10.0, 100.0, 1000.0, 10_000.0][depth.min(4) as usize];
        let uses: f32 = self.live.uses(v).iter().map(|u| cost(n.depth[u.block.index()])).sum();
        let def = match self.func.values[v.index()] {
            ValueDef::Param(b) => cost(n.depth[b.index()]),
            ValueDef::Inst(i) if recomputed(self.func, v) => 0.5 * cost(n.depth[n.home[i.index()].index()]),
            ValueDef::Inst(i) => cost(n.depth[n.home[i.index()].index()]),
            ValueDef::Alias(_) => 0.0,
        };
        self.weight[v.index()] = (uses + def) / (length as f32 + 8.0);
    }

    /// Whether a value that can be recomputed is better recomputed at each use.
    fn is_free_to_recompute(&self, v: Value) -> bool {
        let Some(d) = self.func.def_inst(v).filter(|_| recomputed(self.func, v)) else { return false };
        let large = match d.op {
            Op::Const => self.machine.is_large(d.imm),
            Op::MapPtr | Op::MapValue => true,
            _ => false,
        };
        !large || self.live.uses(v).iter().filter(|u| u.in_place).count() < 2
    }

    fn place(&mut self, v: Value) -> Result<(), OutOfMemory> {
        let ranges = self.live.ranges(v);
        let start = ranges[0].start;
        let live = self.live;
        for held in &mut self.held {
            held.retain(|&o| live.ranges(o).last().is_some_and(|r| r.end > start));
        }
        let lost = self.lost_registers(ranges);
        if let Some(reg) = self.choose(v, lost) {
            return self.assign(v, reg);
        }
        match self.cheapest(v, lost) {
            Some(reg) => {
                let mut kept = Vec::new();
                let held = core::mem::take(&mut self.held[reg.0 as usize]);
                for o in held {
                    if meet(self.live.ranges(o), ranges) {
                        self.locs[o.index()] = PENDING;
                        self.spilled.push(o)?;
                    } else {
                        kept.push(o)?;
                    }
                }
                self.held[reg.0 as usize] = kept;
                self.assign(v, reg)
            }
            None => self.spilled.push(v),
        }
    }

    /// The first free register: hinted ones, then the machine's order.
    fn choose(&mut self, v: Value, lost: RegSet) -> Option<PReg> {
        let root = self.find(v);
        let operand = self.func.def_inst(v).and_then(|d| match d.op.shape() {
            Shape::Unary | Shape::Binary => d.args[0],
            Shape::Select => d.args[2],
            _ => None,
        });
        let operand = operand.and_then(|a| match self.locs[a.index()] {
            Loc::Reg(r) => Some(r),
            _ => None,
        });
        let wanted = self.wanted[v.index()].union(self.wanted[root.index()]);
        let machine = self.machine;
        let by_want = machine.allocatable().iter().copied().filter(move |&r| wanted.has(r));
        let all = machine.allocatable().iter().copied();
        let hints = self.web_reg[root.index()].into_iter().chain(by_want).chain(operand);
        hints.chain(all).find(|&r| machine.allocatable().contains(&r) && !lost.has(r) && self.is_free(r, v))
    }

    fn is_free(&self, reg: PReg, v: Value) -> bool {
        let ranges = self.live.ranges(v);
        self.held[reg.0 as usize].iter().all(|&o| !meet(self.live.ranges(o), ranges))
    }

    /// The register whose holders weigh least, where that is less than `v`.
    fn cheapest(&self, v: Value, lost: RegSet) -> Option<PReg> {
        let ranges = self.live.ranges(v);
        let burden = |r: PReg| -> f32 {
            let met = self.held[r.0 as usize].iter().filter(|&&o| meet(self.live.ranges(o), ranges));
            met.map(|o| self.weight[o.index()]).sum()
        };
        let free = self.machine.allocatable().iter().copied().filter(|&r| !lost.has(r));
        let (burden, reg) = free.map(|r| (burden(r), r)).min_by(|a, b| a.0.total_cmp(&b.0))?;
        (burden < self.weight[v.index()]).then_some(reg)
    }

    /// Registers that something destroys while the value lives.
    fn lost_registers(&self, ranges: &[Range]) -> RegSet {
        let mut lost = RegSet::EMPTY;
        for range in ranges {
            let from = self.clobbers.partition_point(|c| c.at < range.start);
            let inside = self.clobbers[from..].iter().take_while(|c| c.at + 1 < range.end);
            lost = inside.fold(lost, |lost, c| lost.union(c.regs));
        }
        lost
    }

    fn assign(&mut self, v: Value, reg: PReg) -> Result<(), OutOfMemory> {
        let root = self.find(v);
        self.locs[v.index()] = Loc::Reg(reg);
        self.web_reg[root.index()] = Some(reg);
        self.used = self.used.with(reg);
        self.held[reg.0 as usize].push(v)
    }

    /// Gives the spilled values slots; values that never meet share one.
    fn place_on_stack(mut self) -> Result<Allocation, OutOfMemory> {
        let live = self.live;
        self.spilled.sort_unstable_by_key(|&v| (live.ranges(v)[0].start, v));
        let mut slots: Vec<Vec<Value>> = Vec::new();
        for i in 0..self.spilled.len() {
            let v = self.spilled[i];
            if recomputed(self.func, v) {
                self.locs[v.index()] = Loc::Remat(v);
                continue;
            }
            let ranges = live.ranges(v);
            for slot in &mut slots {
                slot.retain(|&o| live.ranges(o).last().is_some_and(|r| r.end > ranges[0].start));
            }
            let free = slots.iter().position(|s| s.iter().all(|&o| !meet(live.ranges(o), ranges)));
            let slot = match free {
                Some(slot) => slot,
                None => {
                    slots.push(Vec::new())?;
                    slots.len() - 1
                }
            };
            slots[slot].push(v)?;
            self.locs[v.index()] = Loc::Stack(slot as u32);
        }
        Ok(Allocation { locs: self.locs, slots: slots.len() as u32, used: self.used })
    }
}

/// Whether a value costs nothing to keep, because it can be had again at any time.
fn recomputed(func: &Func, v: Value) -> bool {
    func.def_inst(v).is_some_and(|d| d.op.shape() == Shape::Leaf)
}

/// Whether two sorted lists of ranges have a position in common.
fn meet(a: &[Range], b: &[Range]) -> bool {
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.end <= y.start {
            i += 1;
        } else if y.end <= x.start {
            j += 1;
        } else {
            return true;
        }
    }
    false
}
