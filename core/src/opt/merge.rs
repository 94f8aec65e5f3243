//! Copies of neighbouring places as one: loads whose values only go into stores, where both lie side by side, become one load and one store of twice the size.
//!
//! ```text
//! a = load.16 [p+0];  store.16 [p+6], a;  b = load.16 [p+2];  store.16 [p+8], b   =>   c = load.32 [p+0];  store.32 [p+6], c
//! ```
//!
//! It works inside a block. The load is made where the first of both was, the store where the last of both was; what lies between must not touch what moves past it.
//! Accesses at the same base are told apart by their displacements, others by the memory that the verifier says they are in. Map values, which others see, stay as they are.

use crate::ir::{Effect, Ext, Func, Inst, InstData, Op, Shape, Size, Value};
use crate::mem::{OutOfMemory, Vec};
use crate::program::MemClass;

/// How many operations apart two copies may be: bounds the work on long blocks.
const WINDOW: usize = 48;

/// Runs the pass.
///
/// # Errors
/// When memory is short.
pub(crate) fn run(func: &mut Func) -> Result<(), OutOfMemory> {
    let uses = uses(func)?;
    for b in 0..func.blocks.len() {
        let mut i = 0;
        while i < func.blocks[b].insts.len() {
            match pair(func, b, i, &uses) {
                // What became wide may have a wide neighbour behind it, or before.
                Some(p) => {
                    join(func, b, &p);
                    i = i.saturating_sub(WINDOW);
                }
                None => i += 1,
            }
        }
    }
    Ok(())
}

/// How often each value is read, up to twice.
fn uses(func: &Func) -> Result<Vec<u8>, OutOfMemory> {
    let mut uses = Vec::from_fn(func.values.len(), |_| 0u8)?;
    let mut read = |v: &Value| {
        let n = &mut uses[func.resolve(*v).index()];
        *n = (*n + 1).min(2);
    };
    for (_, data) in func.live_blocks() {
        data.insts.iter().for_each(|i| func.insts[i.index()].args.iter().flatten().for_each(&mut read));
        data.term.operands().iter().flatten().for_each(&mut read);
        data.term.edges().iter().flat_map(|e| &e.args).for_each(&mut read);
    }
    Ok(uses)
}

/// A load and the store that takes its value, as positions in their block.
#[derive(Clone, Copy)]
struct Copy {
    load: usize,
    store: usize,
}

/// Copies of neighbouring places, the one of the lower address first.
struct Pair {
    low: Copy,
    high: Copy,
}

fn at(func: &Func, b: usize, i: usize) -> &InstData {
    &func.insts[func.blocks[b].insts[i].index()]
}

/// The copy that the store at `store` ends.
fn copy(func: &Func, b: usize, store: usize, uses: &[u8]) -> Option<Copy> {
    let d = at(func, b, store);
    let value = func.resolve(d.args[1].filter(|_| d.op == Op::Store)?);
    let from = store.saturating_sub(WINDOW);
    let load = (from..store).rev().find(|&i| at(func, b, i).result == Some(value))?;
    let l = at(func, b, load);
    let plain = l.op == Op::Load && l.size == d.size && uses.get(value.index()) == Some(&1);
    let private = |m| matches!(m, MemClass::Packet | MemClass::Stack | MemClass::Unknown);
    (plain && d.args[0].is_some() && l.args[0].is_some() && private(d.mem) && private(l.mem))
        .then_some(Copy { load, store })
}

/// The copy that ends at `store`, and one within reach before it, if both can become one.
fn pair(func: &Func, b: usize, store: usize, uses: &[u8]) -> Option<Pair> {
    let this = copy(func, b, store, uses)?;
    double(at(func, b, store).size)?;
    (store.saturating_sub(WINDOW)..store).rev().find_map(|i| {
        let that = copy(func, b, i, uses)?;
        let behind = |x: usize, y: usize| follows(at(func, b, x), at(func, b, y));
        let pair = if behind(that.load, this.load) && behind(that.store, this.store) {
            Pair { low: that, high: this }
        } else if behind(this.load, that.load) && behind(this.store, that.store) {
            Pair { low: this, high: that }
        } else {
            return None;
        };
        movable(func, b, &pair).then_some(pair)
    })
}

/// Whether `y` begins where `x` ends.
fn follows(x: &InstData, y: &InstData) -> bool {
    x.args[0] == y.args[0]
        && x.mem == y.mem
        && x.size == y.size
        && x.off.checked_add(x.size.bytes() as i32) == Some(y.off)
}

const fn double(size: Size) -> Option<Size> {
    match size {
        Size::B => Some(Size::H),
        Size::H => Some(Size::W),
        Size::W => Some(Size::DW),
        Size::DW => None,
    }
}

/// Whether the later load can move up to the earlier one, and the earlier store down to the later one.
fn movable(func: &Func, b: usize, p: &Pair) -> bool {
    let (first, second) = (p.low.load.min(p.high.load), p.low.load.max(p.high.load));
    let (early, late) = (p.low.store.min(p.high.store), p.low.store.max(p.high.store));
    let load = at(func, b, second);
    let store = at(func, b, early);
    let clear_above = (first + 1..second).all(|i| {
        let d = at(func, b, i);
        d.op.effect() != Effect::Write || !touches(d, load)
    });
    let clear_below = (early + 1..late).all(|i| {
        let d = at(func, b, i);
        d.op.effect() == Effect::Pure || !touches(d, store)
    });
    clear_above && clear_below
}

/// Whether an operation may touch the bytes of an access.
fn touches(d: &InstData, access: &InstData) -> bool {
    if !d.op.is_memory() || !matches!(d.op.shape(), Shape::Load | Shape::Store) {
        return true;
    }
    if !matches!(d.op, Op::Load | Op::Store) {
        // Atomics order what is around them.
        return true;
    }
    if d.args[0] == access.args[0] {
        let end = |x: &InstData| i64::from(x.off) + i64::from(x.size.bytes());
        return i64::from(d.off) < end(access) && i64::from(access.off) < end(d);
    }
    let class = |x: &InstData| if x.args[0].is_none() { MemClass::Stack } else { x.mem };
    let (x, y) = (class(d), class(access));
    let map = |m| matches!(m, MemClass::Map(_) | MemClass::MapAny);
    x == MemClass::Unknown || y == MemClass::Unknown || x == y || (map(x) && map(y))
}

fn join(func: &mut Func, b: usize, p: &Pair) {
    let inst = |i: usize| func.blocks[b].insts[i];
    let (load, other_load) = (inst(p.low.load.min(p.high.load)), inst(p.low.load.max(p.high.load)));
    let (store, other_store) = (inst(p.low.store.max(p.high.store)), inst(p.low.store.min(p.high.store)));
    let low_load = func.insts[inst(p.low.load).index()];
    let low_store = func.insts[inst(p.low.store).index()];
    let Some(size) = double(low_load.size) else { return };
    let set = |d: &mut InstData, low: &InstData| {
        (d.off, d.size, d.ext) = (low.off, size, Ext::Zero);
    };
    set(&mut func.insts[load.index()], &low_load);
    let value = func.insts[load.index()].result;
    let d = &mut func.insts[store.index()];
    set(d, &low_store);
    d.args[1] = value;
    func.blocks[b].insts.retain(|i: &Inst| *i != other_load && *i != other_store);
}
