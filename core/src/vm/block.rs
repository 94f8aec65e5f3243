//! A worker's private block: what its runs write without sharing a cache line with another worker.
//!
//! It is reached from a context's `percpu`. The slot's holder alone writes it, with plain relaxed loads and stores; anyone may read it.

use super::held::HeldObjects;
use super::trace::{TraceRecord, TraceRing};
use super::{AbortReason, Ctx};
use crate::mem::OutOfMemory;
use crate::platform::{Clock, Platform};
use crate::sync::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use core::ops::Range;
use core::ptr::null_mut;

/// One slot's block.
#[repr(align(128))]
pub(crate) struct WorkerBlock {
    random: AtomicU64,
    aborts: [AtomicU64; AbortReason::COUNT],
    /// Null until a worker registers; then it stays as long as the block.
    trace: AtomicPtr<TraceRing>,
    /// The stack of the thread that holds the slot; both 0 where it is not known.
    stack: [AtomicUsize; 2],
    /// Objects of the host that the run at hand holds.
    pub(crate) held: HeldObjects,
}

impl WorkerBlock {
    pub(super) const fn new() -> Self {
        WorkerBlock {
            random: AtomicU64::new(0),
            aborts: [const { AtomicU64::new(0) }; AbortReason::COUNT],
            trace: AtomicPtr::new(null_mut()),
            stack: [const { AtomicUsize::new(0) }; 2],
            held: HeldObjects::new(),
        }
    }

    /// Seeds the generator, notes the thread's stack and makes the trace ring, that once; called by whoever holds the slot, on its own thread.
    pub(super) fn prepare(&self, platform: &dyn Platform) -> Result<(), OutOfMemory> {
        let mut seed = [0; 8];
        if !platform.random(&mut seed) {
            seed = platform.clock_ns(Clock::Monotonic).unwrap_or(1).to_le_bytes();
        }
        self.random.store(u64::from_le_bytes(seed), Ordering::Relaxed);
        let Range { start, end } = platform.thread_stack().unwrap_or_default();
        let [low, high] = &self.stack;
        low.store(start, Ordering::Relaxed);
        high.store(end, Ordering::Relaxed);
        // Acquire: pairs with the Release below, of a former holder.
        if self.trace.load(Ordering::Acquire).is_null() {
            let ring = crate::sync::Arc::new(TraceRing::new()?)?;
            let ring = crate::sync::Arc::into_raw(ring).cast_mut();
            // Release: readers that see the pointer see the ring.
            self.trace.store(ring, Ordering::Release);
        }
        Ok(())
    }

    /// The block of a context's worker.
    ///
    /// # Safety
    /// `ctx` is a valid context; its `percpu` is null or what [`super::ctx_init`] set, and the environment lives.
    pub(crate) unsafe fn of<'a>(ctx: *const Ctx) -> Option<&'a WorkerBlock> {
        // SAFETY: the caller's.
        unsafe { (*ctx).percpu.cast::<WorkerBlock>().as_ref() }
    }

    /// 32 random bits: a Weyl sequence mixed by a wide multiply. Good enough to sample packets, not to keep secrets, as the kernel's.
    pub(crate) fn random(&self) -> u32 {
        let state = self.random.load(Ordering::Relaxed).wrapping_add(0xa076_1d64_78bd_642f);
        self.random.store(state, Ordering::Relaxed);
        let wide = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
        ((wide >> 64) ^ wide) as u32
    }

    /// Records a message with the time of now; a full ring counts it as lost.
    pub(crate) fn trace(&self, record: &TraceRecord<'_>, ctx: *const Ctx) {
        // SAFETY: the run's context; its services outlive it.
        let env = unsafe { (*ctx).env.as_ref() };
        let time = env.and_then(|e| e.platform.clock_ns(Clock::Monotonic)).unwrap_or(0);
        if let Some(ring) = self.ring() {
            ring.push(&TraceRecord { time, ..*record });
        }
    }

    /// The stack of the thread that holds the slot, where it is known.
    pub(crate) fn stack(&self) -> Option<Range<usize>> {
        let [low, high] = &self.stack;
        let stack = low.load(Ordering::Relaxed)..high.load(Ordering::Relaxed);
        (!stack.is_empty()).then_some(stack)
    }

    pub(super) fn ring(&self) -> Option<&TraceRing> {
        // Acquire: pairs with the Release of `prepare`.
        // SAFETY: null, or the ring that `prepare` made, which lives as long as the block.
        unsafe { self.trace.load(Ordering::Acquire).as_ref() }
    }

    /// Counts an aborted run; only the slot's holder calls it.
    pub(super) fn count_abort(&self, reason: AbortReason) {
        if let Some(counter) = self.aborts.get(reason as usize) {
            super::stats::bump(counter);
        }
    }

    /// Aborted runs of this slot by reason, whatever the program.
    pub(super) fn aborts(&self) -> [u64; AbortReason::COUNT] {
        core::array::from_fn(|i| self.aborts.get(i).map_or(0, |c| c.load(Ordering::Relaxed)))
    }
}

impl Drop for WorkerBlock {
    fn drop(&mut self) {
        let ring = *self.trace.get_mut();
        if !ring.is_null() {
            // SAFETY: `prepare` gave this reference away, once; nobody reads the block any more.
            drop(unsafe { crate::sync::Arc::from_raw(ring) });
        }
    }
}
