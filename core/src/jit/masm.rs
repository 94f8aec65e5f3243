//! What a machine has to offer to lowering: one short method an operation.
//!
//! Operands come as they live ([`Opnd`]); a method may use the two scratch registers for those that are not where the machine wants them, and leaves
//! every other register but the destination alone. Constraints that [`crate::regalloc::Machine`] reports are met before the method is called.

use super::buffer::{CodeBuffer, Label};
use crate::ir::{Compare, Ext, InstData, Size};
use crate::maps::ProgArrayGeometry;
use crate::mem::OutOfMemory;
use crate::regalloc::{Allocation, Machine, PReg};
use crate::vm::AbortReason;

/// An operand where it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opnd {
    /// In a register.
    Reg(PReg),
    /// In a slot of the native frame.
    Stack(u32),
    /// A constant.
    Imm(i64),
    /// The address of the BPF frame's top plus this.
    Frame(i32),
    /// The address of a place in the code.
    Code(Label),
    /// As a destination: the value is not wanted. As a source: any value will do.
    None,
}

/// A place in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Addr {
    /// What the displacement counts from.
    pub base: Opnd,
    /// Bytes from there.
    pub off: i32,
}

/// What a function's code returns to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReturnMode {
    /// Code of ours: r0 as it is.
    Raw,
    /// The host: an action; anything that is no plain action goes through the slow path first.
    Action,
}

/// A function about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameSpec {
    /// Whether it is the program's main function, which gets the context as its argument rather than pinned.
    pub main: bool,
    /// Whether it calls nothing.
    pub leaf: bool,
    /// Bytes of BPF stack it needs, a multiple of 8.
    pub bpf_stack: u32,
    /// Slots of it to clear, as in [`crate::program::Frame`].
    pub clear: u64,
}

/// Offsets and addresses that code embeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Externs {
    /// Offset of the tail call counter in the context.
    pub tail_calls: i32,
    /// Offset of the abort reason in the context.
    pub abort: i32,
    /// Offset of the running program in the context: null outside of runs, set by tail calls.
    pub prog: i32,
    /// Offset of the run's budget in the context.
    pub budget: i32,
    /// What the budget is at first.
    pub limit: u64,
    /// Where runs are limited: offsets in the context of what there is beyond the budget, and the values at first ([`crate::vm::Ctx`]).
    pub beyond: Option<[(i32, u64); 3]>,
    /// What is called where the budget is used up: `fn(ctx) -> u32`, 0 where there is no more.
    pub refill: usize,
    /// Offset of the redirect's kind in the context.
    pub redirect: i32,
    /// Whether a run may set a redirect: its entry forgets the one before then, else the way to `on_abort` does.
    pub redirects: bool,
    /// Tail calls that one run may make.
    pub tail_call_limit: i32,
    /// Finds the target of a tail call: a [`crate::helpers::HelperFn`] of map and index, which gives its address or null.
    pub tail_target: usize,
    /// The slow path of the entry: `fn(ctx, code) -> action`.
    pub on_abort: usize,
}

/// A macro-assembler.
pub(crate) trait Masm {
    /// The code so far.
    fn buf(&mut self) -> &mut CodeBuffer;
    /// The machine as the allocator sees it, for a function of that kind.
    fn machine(&self, spec: &FrameSpec) -> impl Machine;
    /// Lays out the frame and writes the prologue.
    fn enter(&mut self, spec: &FrameSpec, alloc: &Allocation) -> Result<(), OutOfMemory>;
    /// Bytes of native stack of the function that was entered last, its return address included.
    fn frame_bytes(&self) -> u32;
    /// Where the context's address is in the function that was entered last.
    fn env(&self) -> PReg;

    /// Copies a value; keeps flags.
    fn mov(&mut self, dst: Opnd, src: Opnd);
    /// A binary operation.
    fn binary(&mut self, d: &InstData, dst: Opnd, a: Opnd, b: Opnd);
    /// An operation on one operand.
    fn unary(&mut self, d: &InstData, dst: Opnd, a: Opnd);
    /// One of two values.
    fn select(&mut self, cmp: &Compare, dst: Opnd, cmp_args: [Opnd; 2], values: [Opnd; 2]);
    /// A load.
    fn load(&mut self, size: Size, ext: Ext, dst: Opnd, addr: Addr);
    /// A store.
    fn store(&mut self, size: Size, addr: Addr, src: Opnd);
    /// An atomic operation; `args` are the operands behind the address.
    fn atomic(&mut self, d: &InstData, dst: Opnd, addr: Addr, args: [Opnd; 2]);
    /// Call of a helper; arguments are in place.
    fn call_helper(&mut self, target: usize);
    /// Call of a function of the program; arguments are in place.
    fn call_func(&mut self, target: Label);
    /// Call of the function whose record the last call operand points to.
    fn call_value(&mut self);
    /// In front of a call that may come back from another program: keeps the one that runs on the stack, of which it takes so many bytes.
    fn keep_prog(&mut self, ext: &Externs) -> u32;
    /// Behind that call: takes it from the stack again.
    fn take_prog(&mut self);
    /// Behind that, where the run goes on: names it in the context.
    fn name_prog(&mut self, ext: &Externs);
    /// Writes what helpers call in place of a function: their ABI outside, ours inside; where it is.
    fn thunk(&mut self, func: Label) -> u32;
    /// Writes the record of a function ([`crate::vm::Func`]), its thunk's address to be filled in; where it is.
    fn record(&mut self, label: Label, index: u64) -> u32;
    /// Tail call through a program array; falls through where it fails.
    fn tail_call(&mut self, ext: &Externs, table: &ProgArrayGeometry, index: Opnd);
    /// Tail call through a program array that is only known at run time; map and index are in place as a call's. Falls through where it fails.
    fn tail_call_any(&mut self, ext: &Externs);
    /// Jump.
    fn jump(&mut self, to: Label);
    /// Jump where the comparison gives `when`.
    fn branch(&mut self, cmp: &Compare, args: [Opnd; 2], when: bool, to: Label);
    /// Jump where the run has been aborted.
    fn branch_if_aborted(&mut self, ext: &Externs, to: Label);
    /// Notes that the run is aborted, and why.
    fn set_abort(&mut self, ext: &Externs, why: AbortReason);
    /// Takes a cost from the run's budget, and jumps where there was less.
    fn spend(&mut self, ext: &Externs, cost: i32, to: Label);
    /// Where that jumps to: calls `refill`, and goes back where there is more, else to `ended`. Keeps every register.
    fn ask_for_more(&mut self, refill: Label, back: Label, ended: Label);
    /// Writes a function's `refill`.
    fn refill(&mut self, ext: &Externs);
    /// Return; in [`ReturnMode::Action`] what is no plain action jumps to `slow`, with the code in the result register.
    fn ret(&mut self, mode: ReturnMode, value: Opnd, slow: Label);
    /// Forgets the redirect of the run before.
    fn forget_redirect(&mut self, ext: &Externs);
    /// The slow path of returns: leaves the frame and goes to `on_abort`.
    fn slow_return(&mut self, ext: &Externs);
    /// The host's entry around a raw main function.
    fn wrapper(&mut self, ext: &Externs, main: Label);
    /// One entry of the table that far calls go through: an absolute jump.
    fn veneer(&mut self, target: usize);
}
