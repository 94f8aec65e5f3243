//! Programs of entries of device and CPU maps: run on one packet at a time, by whichever lcore the packet is on.

use uxdp_core::error::Errno;
use uxdp_core::sync::Arc;
use uxdp_core::vm::{self, Ctx, Env, Hook, Worker};

use super::Pkt;

/// Where a packet came in, as programs see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) ifindex: u32,
    pub(crate) queue: u16,
}

/// A context for such programs. It is used as long as its worker is registered, on the worker's thread.
pub(crate) struct EntryRunner {
    ctx: Box<Ctx>,
    /// A hook without programs, which the context is tied to.
    _hook: Arc<Hook>,
}

impl EntryRunner {
    /// Whoever makes it drops it before the worker.
    ///
    /// # Errors
    /// Memory is short.
    pub(super) fn new(env: &Arc<Env>, worker: &Worker) -> Result<Self, Errno> {
        let hook = Hook::create(env)?;
        let mut ctx = Box::new(Ctx::empty());
        // SAFETY: the box is writable; the hook lives as long as the context, the worker by the caller's word.
        unsafe { vm::ctx_init(&mut *ctx, worker, &hook) }?;
        Ok(Self { ctx, _hook: hook })
    }

    /// Runs the program of the entry that the packet's redirect names; the action and what became of packet and redirect stand in `pkt` then.
    ///
    /// # Safety
    /// The pointers are those of a packet that is the caller's alone; the redirect is as [`vm::run_entry`] wants it.
    pub(crate) unsafe fn run(&mut self, pkt: &mut Pkt, origin: Origin) {
        let (c, Pkt(pkt)) = (&mut *self.ctx, pkt);
        (c.data_hard_start, c.data_meta, c.data) = (pkt.data_hard_start, pkt.data_meta, pkt.data);
        (c.data_end, c.frame_end, c.frags) = (pkt.data_end, pkt.frame_end, pkt.frags);
        (c.ingress_ifindex, c.rx_queue_index) = (origin.ifindex, origin.queue.into());
        c.redirect = pkt.redirect;
        // SAFETY: the caller's word; the context is this worker's.
        pkt.action = unsafe { vm::run_entry(c) };
        (pkt.data_meta, pkt.data, pkt.data_end) = (c.data_meta, c.data, c.data_end);
        pkt.redirect = c.redirect;
    }
}

/// Another lcore's place among the workers of the programs' environment.
pub(crate) struct LcoreWorker {
    pub(crate) runner: EntryRunner,
    worker: Worker,
}

impl LcoreWorker {
    /// On the lcore's own thread.
    ///
    /// # Errors
    /// The slot is taken or beyond the environment's, or memory is short.
    pub(crate) fn register(env: &Arc<Env>, slot: u32) -> Result<Self, Errno> {
        let worker = Worker::register(env, slot)?;
        Ok(Self { runner: EntryRunner::new(env, &worker)?, worker })
    }

    /// Says that nothing of earlier packets is in use any more.
    pub(crate) fn quiescent(&self) {
        self.worker.quiescent();
    }
}
