//! A worker: the holder of a slot, on its own thread.

use super::Env;
use crate::error::Errno;
use crate::sync::Arc;
use core::marker::PhantomData;

/// The right to run programs in a slot. Bound to the thread that registered; dropping it gives the slot back.
pub struct Worker {
    env: Arc<Env>,
    slot: u32,
    _thread: PhantomData<*const ()>,
}

impl Worker {
    /// Takes a slot of `env`; the worker is online then.
    ///
    /// # Errors
    /// ERANGE where there is no such slot, EBUSY where another worker holds it, ENOMEM.
    pub fn register(env: &Arc<Env>, slot: u32) -> Result<Worker, Errno> {
        let block = env.block(slot).ok_or(Errno::ERANGE)?;
        if !env.grace().epochs().hold(slot) {
            return Err(Errno::EBUSY);
        }
        let worker = Worker { env: env.clone(), slot, _thread: PhantomData };
        block.prepare(env.platform())?;
        worker.online();
        Ok(worker)
    }

    /// Its slot.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Its environment.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// Says that it holds nothing from before: after each burst, also when idle. One that is offline stays so.
    #[inline]
    pub fn quiescent(&self) {
        self.env.grace().epochs().quiescent(self.slot);
        if self.env.grace().has_pending() {
            self.env.grace().try_reclaim();
        }
        self.flush_wakes();
    }

    /// Tells the readers of rings what its runs have noted.
    #[inline]
    fn flush_wakes(&self) {
        self.env.run_env().wakes.flush(self.env.platform());
    }

    /// Before it sleeps: nobody waits for it until it is online again. It runs no program meanwhile.
    pub fn offline(&self) {
        self.env.grace().epochs().offline(self.slot);
        if self.env.grace().has_pending() {
            self.env.grace().reclaim();
        }
        self.flush_wakes();
    }

    /// After it slept.
    pub fn online(&self) {
        self.env.grace().epochs().online(self.slot);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.env.grace().epochs().release(self.slot);
        self.env.grace().reclaim();
        self.flush_wakes();
    }
}
