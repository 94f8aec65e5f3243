//! Wake-ups: who waits for a ring is told at a worker's next quiescent point.
//!
//! The run path only sets two flags, the map's bell and one for the environment. A worker that is quiescent looks at the latter, and if it is set, writes to the descriptors of
//! all bells that rang. Flags are set in that order and taken in the other, so that no ring of a bell is lost; a reader may be woken for nothing.
//!
//! Relies on the platform to write to descriptors ([`Platform::notify`]); without that, hosts ask ([`Map::ringbuf_take_wake`](super::Map::ringbuf_take_wake)).

use super::Map;
use crate::error::Errno;
use crate::mem::{OutOfMemory, Vec};
use crate::platform::Platform;
use crate::sync::{Arc, AtomicBool, AtomicU32, Ordering};
use core::fmt;

/// No descriptor.
const NONE: u32 = u32::MAX;

/// The bell of a map. It is private: in a shared map each process has its own.
#[derive(Debug)]
pub(super) struct Bell {
    rang: AtomicBool,
    /// Who waits.
    fd: AtomicU32,
}

/// All bells of an environment that somebody listens to.
pub struct Wakes {
    rang: AtomicBool,
    /// A ring that the program does not name (an inner map) has a record: all are rung.
    all: AtomicBool,
    bells: spin::Mutex<Vec<Arc<Bell>>>,
}

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakes").field("rang", &self.rang).finish_non_exhaustive()
    }
}

impl Wakes {
    /// Nobody listens.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<Arc<Wakes>, OutOfMemory> {
        Arc::new(Wakes {
            rang: AtomicBool::new(false),
            all: AtomicBool::new(false),
            bells: spin::Mutex::new(Vec::new()),
        })
    }

    /// A ring that nobody can name got a record that should wake its reader.
    pub(crate) fn ring_all(&self) {
        self.all.store(true, Ordering::Relaxed); // published by the next store
        self.rang.store(true, Ordering::Release); // pairs with `deliver`
    }

    /// At a quiescent point: tells those whose bells rang. Where another thread changes who listens, the next quiescent point does it.
    #[inline]
    pub(crate) fn flush(&self, platform: &dyn Platform) {
        if self.rang.load(Ordering::Relaxed) {
            self.deliver(platform);
        }
    }

    #[cold]
    fn deliver(&self, platform: &dyn Platform) {
        let Some(bells) = self.bells.try_lock() else { return };
        // Acquire: pairs with `ring` and `ring_all`: their bells' flags are seen.
        if !self.rang.swap(false, Ordering::Acquire) {
            return;
        }
        let all = self.all.swap(false, Ordering::Relaxed);
        for bell in bells.iter() {
            let fd = bell.fd.load(Ordering::Relaxed);
            // Acquire: pairs with `ring`.
            if fd != NONE && (bell.rang.swap(false, Ordering::Acquire) || all) {
                // A descriptor that takes nothing more has told its reader; one that was closed is its owner's mistake.
                _ = platform.notify(fd as i32);
            }
        }
    }
}

/// A map's own end.
#[derive(Debug)]
pub(super) struct Ringer {
    bell: Arc<Bell>,
    wakes: Option<Arc<Wakes>>,
}

impl Ringer {
    pub(super) fn new(wakes: Option<&Arc<Wakes>>) -> Result<Ringer, OutOfMemory> {
        let bell = Arc::new(Bell { rang: AtomicBool::new(false), fd: AtomicU32::new(NONE) })?;
        Ok(Ringer { bell, wakes: wakes.cloned() })
    }

    /// Whoever waits is to be woken.
    pub(super) fn ring(&self) {
        self.bell.rang.store(true, Ordering::Release); // pairs with `take` and `deliver`
        if let Some(wakes) = &self.wakes {
            wakes.rang.store(true, Ordering::Release); // pairs with `deliver`
        }
    }

    /// Whether it rang since the last time.
    pub(super) fn take(&self) -> bool {
        self.bell.rang.swap(false, Ordering::Acquire) // pairs with `ring`
    }

    /// From now on the descriptor is written to; `None`: none is. It is told at once, since something may be there.
    ///
    /// # Errors
    /// EOPNOTSUPP where the platform knows no descriptors, what writing to it answers, ENOMEM; nothing changes then.
    pub(super) fn listen(&self, fd: Option<i32>, platform: &dyn Platform) -> Result<(), Errno> {
        let wakes = self.wakes.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let mut bells = wakes.bells.lock();
        // Of a map that is gone only this list has the bell.
        while let Some(gone) = bells.iter().position(|b| Arc::strong_count(b) == 1) {
            bells.swap_remove(gone);
        }
        if let Some(fd) = fd {
            platform.notify(fd)?;
            if !bells.iter().any(|b| Arc::ptr_eq(b, &self.bell)) {
                bells.push(self.bell.clone())?;
            }
        }
        self.bell.fd.store(fd.map_or(NONE, |fd| fd as u32), Ordering::Relaxed); // the lock orders it
        Ok(())
    }
}

impl Map {
    /// From now on a platform's descriptor is written to when whoever is at the other end of a RINGBUF, USER_RINGBUF or PERF_EVENT_ARRAY should wake up, and once at this
    /// moment, since something may be there; `None`: no longer. A map has one.
    ///
    /// # Errors
    /// EINVAL for other types; EOPNOTSUPP where the map's environment wakes nobody, or the platform knows no descriptors; what writing to it answers; ENOMEM. Nothing
    /// changes then.
    pub fn listen(&self, fd: Option<i32>, platform: &dyn Platform) -> Result<(), Errno> {
        self.ops().and_then(|o| o.ringer()).ok_or(Errno::EINVAL)?.listen(fd, platform)
    }
}
