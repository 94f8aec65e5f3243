//! Running programs: the context of a packet, its action, environments, workers, hooks, and the run entries.

mod action;
mod ctx;

pub use action::{AbortReason, Action};
pub use ctx::{Ctx, Entry, Frags, Pkt, Redirect, RedirectKind, RxMeta};

/// What helpers need at run time, reached through the context; made by an environment, shared by its workers, immutable.
pub struct RunEnv {
    /// The services of the surroundings.
    pub platform: &'static dyn crate::platform::Platform,
    /// Slots of every per-CPU map.
    pub nr_cpus: u32,
}
