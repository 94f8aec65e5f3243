//! USER_RINGBUF: samples from a host, or another process, to a program that drains them.
//!
//! The pages and records are those of [`super::ringbuf`]; producer and consumer have changed sides. A producer reserves a sample under the map's tagged lock, fills it
//! without, and submits or discards it; a program's drain shows one sample after the other to a callback, and gives each back after it. It stops at a sample that is
//! being filled, and passes over discarded ones.
//! Kernel: data pages are mapped twice, so that a sample may wrap; uxdp: our producers fill the end with a discarded sample, and one that a foreign producer let wrap is
//! refused.
//! Source: `bpf_user_ringbuf_drain` in the kernel's `kernel/bpf/ringbuf.c`, `user_ring_buffer__reserve` in libbpf's `ringbuf.c`.

use super::ops::MapOps;
use super::ringbuf::{BUSY, DISCARD, HEADER, Ring, flags};
use super::wake::Ringer;
use super::{Making, Map};
use crate::error::Errno;
use crate::mem::OutOfMemory;
use crate::sync::{AtomicBool, Ordering};
use core::ops::ControlFlow;

/// Samples of one drain (`BPF_MAX_USER_RINGBUF_SAMPLES`), discarded ones included.
const MOST_SAMPLES: u32 = 128 * 1024;
/// Longest sample: what a dynamic pointer can say.
const MAX_SAMPLE: u64 = (1 << 24) - 1;

/// The ring from the other side.
#[derive(Debug)]
pub(super) struct UserRing {
    ring: Ring,
    /// A program of this process drains.
    draining: AtomicBool,
}

/// What stands at the consumer's position.
enum Next {
    /// A sample: its bytes, how many, and the position behind it.
    Sample(*mut u8, u32, u64),
    /// A discarded one; the position behind it.
    Discarded(u64),
    /// Nothing that is ready.
    Nothing,
}

/// Ends a drain.
struct Draining<'a>(&'a AtomicBool);

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release); // pairs with the next drain's swap
    }
}

impl UserRing {
    pub(super) fn new(m: &Making<'_>) -> Result<UserRing, OutOfMemory> {
        Ok(UserRing { ring: Ring::new(m)?, draining: AtomicBool::new(false) })
    }

    /// Looks at the consumer's position; everything there is the producer's word, and bounded.
    fn peek(&self) -> Result<Next, Errno> {
        // Acquire: pairs with the store in `reserve`.
        let produced = self.ring.produced().load(Ordering::Acquire);
        if !produced.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let at = self.ring.consumed().load(Ordering::Acquire);
        if at >= produced {
            return Ok(Next::Nothing);
        }
        let (word, bytes) = self.ring.record(at);
        // Acquire: pairs with the exchange of the submission, so that the bytes are whole.
        let word = word.load(Ordering::Acquire);
        let total = Ring::taken(word);
        if total > produced - at {
            return Err(Errno::EINVAL);
        }
        let len = word & !(BUSY | DISCARD);
        if total > self.ring.size() || u64::from(len) > MAX_SAMPLE {
            return Err(Errno::E2BIG);
        }
        if word & DISCARD != 0 {
            return Ok(Next::Discarded(at + total));
        }
        if word & BUSY != 0 {
            return Ok(Next::Nothing);
        }
        if total > self.ring.rest(at) || !at.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        Ok(Next::Sample(bytes, len, at + total))
    }

    fn drain(&self, wake: u64, each: &mut dyn FnMut(*mut u8, u32) -> ControlFlow<()>) -> Result<u32, Errno> {
        if wake & !(flags::BPF_RB_NO_WAKEUP | flags::BPF_RB_FORCE_WAKEUP) != 0 {
            return Err(Errno::EINVAL);
        }
        // Acquire: pairs with the end of the drain before.
        if self.draining.swap(true, Ordering::Acquire) {
            return Err(Errno::EBUSY);
        }
        let _draining = Draining(&self.draining);
        let _shared = self.ring.lock_consumer()?;
        let mut samples = 0;
        let mut result = Ok(());
        for _ in 0..MOST_SAMPLES {
            let (behind, flow) = match self.peek() {
                Ok(Next::Sample(bytes, len, behind)) => {
                    samples += 1;
                    (behind, each(bytes, len))
                }
                Ok(Next::Discarded(behind)) => (behind, ControlFlow::Continue(())),
                Ok(Next::Nothing) => break,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            };
            self.ring.consumed().store(behind, Ordering::Release); // pairs with the load in `reserve`
            if flow.is_break() {
                break;
            }
        }
        if wake & flags::BPF_RB_FORCE_WAKEUP != 0 || wake & flags::BPF_RB_NO_WAKEUP == 0 && samples > 0 {
            self.ring.wake().ring();
        }
        result.map(|()| samples)
    }

    /// Room for a sample of `size` bytes.
    fn reserve(&self, size: u32, slot: u32) -> Result<*mut u8, Errno> {
        let total = Ring::taken(size);
        if size & (BUSY | DISCARD) != 0 || total > self.ring.size() {
            return Err(Errno::E2BIG);
        }
        let _locked = self.ring.lock(slot)?;
        // Acquire: pairs with the store of the drain, whose callback is done with what is overwritten.
        let consumed = self.ring.consumed().load(Ordering::Acquire);
        let start = self.ring.produced().load(Ordering::Relaxed) & !7;
        let room = self.ring.size().saturating_sub(start.wrapping_sub(consumed));
        let rest = self.ring.rest(start);
        let filler = if total > rest { rest } else { 0 };
        if filler != 0 && filler <= room {
            // Behind it the sample finds its place, now or when the program has passed it.
            self.ring.record(start).0.store((filler - HEADER) as u32 | DISCARD, Ordering::Relaxed);
            self.ring.produced().store(start.wrapping_add(filler), Ordering::Release); // pairs with the load in `peek`
        }
        if filler + total > room {
            return Err(Errno::ENOSPC);
        }
        let start = start.wrapping_add(filler);
        let (word, bytes) = self.ring.record(start);
        self.ring.owner(start).store(slot, Ordering::Relaxed);
        word.store(size | BUSY, Ordering::Relaxed);
        self.ring.produced().store(start.wrapping_add(total), Ordering::Release); // as above
        Ok(bytes)
    }
}

impl UserRing {
    pub(super) fn ring(&self) -> &Ring {
        &self.ring
    }
}

impl MapOps for UserRing {
    fn recover(&self, is_gone: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        self.ring.recover(is_gone)
    }

    fn user_ring(&self) -> Option<&UserRing> {
        Some(self)
    }

    fn ringer(&self) -> Option<&Ringer> {
        Some(self.ring.wake())
    }
}

impl Map {
    fn user_ring(&self) -> Result<&UserRing, Errno> {
        self.ops().and_then(|o| o.user_ring()).ok_or(Errno::EINVAL)
    }

    /// Shows the samples of a USER_RINGBUF to `each`, oldest first, until it breaks (the sample that it broke at counts and is gone), none is ready, or 131,072 were
    /// passed; how many it showed. What helper 209 does: no allocation, no wait. The bytes are `each`'s until it returns; their producer may still write to them.
    ///
    /// # Errors
    /// EINVAL for other types, flags, and what is no sample; E2BIG for one that is too long; EBUSY while another drains, this call's own `each` included.
    pub fn user_ringbuf_drain(
        &self,
        flags: u64,
        each: &mut dyn FnMut(*mut u8, u32) -> ControlFlow<()>,
    ) -> Result<u32, Errno> {
        self.user_ring()?.drain(flags, each)
    }

    /// Room for a sample of `size` bytes in a USER_RINGBUF, 8-aligned, to be filled and then ended by [`Map::user_ringbuf_end`]. `slot` is the caller's.
    ///
    /// # Errors
    /// EINVAL for other types; E2BIG for what no ring of this size holds; ENOSPC until the program has drained; EBUSY where another producer does not come to an end.
    pub fn user_ringbuf_reserve(&self, size: u32, slot: u32) -> Result<*mut u8, Errno> {
        self.user_ring()?.reserve(size, self.peers.slot(slot)?)
    }

    /// Gives a reserved sample to the program, or drops it.
    ///
    /// # Safety
    /// `bytes` came from [`Map::user_ringbuf_reserve`] of this map and was not ended yet.
    pub unsafe fn user_ringbuf_end(&self, bytes: *mut u8, how: super::Commit) {
        // SAFETY: the caller's word.
        unsafe { super::ringbuf::end(bytes, how) };
    }

    /// Whether a drain since the last call wants the producer of a USER_RINGBUF to be woken: there is room again.
    pub fn user_ringbuf_take_wake(&self) -> bool {
        self.user_ring().is_ok_and(|u| u.ring.wake().take())
    }
}
