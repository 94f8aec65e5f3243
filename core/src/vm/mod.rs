//! Running programs: the context of a packet, its action, environments, workers, hooks, and the run entries.
//!
//! An [`Env`] owns everything that is shared: slots, ids, grace periods, helpers, the trace. A [`Worker`] holds a slot and runs programs on its own thread; a
//! [`Hook`] is where programs are attached; [`ctx_init`] ties one context to both, and [`xdp_run`] and [`xdp_run_burst`] run packets through it.
//! A replaced program is freed when every online worker was quiescent.

mod action;
mod block;
mod ctx;
mod engine;
mod entry;
mod env;
mod frags;
mod frame;
mod func;
mod grace;
mod held;
mod hook;
mod limit;
mod load;
mod needs;
mod offers;
mod own_name;
mod packet_use;
mod prog;
mod returned;
mod run;
mod stats;
mod timers;
mod trace;
mod unfit;
mod worker;

pub use action::{AbortReason, Action};
pub use ctx::{Ctx, Entry, Pkt, Redirect, RedirectKind, RxMeta};
pub use engine::{Engine, EngineChoice, compile_options};
pub use entry::{hold_entry, next_target, run_entry};
pub use env::{ClientSlot, Env, EnvOptions};
pub use frags::{Chain, Frag, Frags, MAX_FRAGS};
pub use frame::{Frame, Origin, Runner, Way};
pub use grace::Reclamation;
pub use hook::{Hook, Link};
pub use load::{MapDef, ProgOptions, create_maps, install};
pub use needs::{Needs, needs_of_code};
pub use offers::{Missing, Mtu, Offers};
pub use packet_use::PacketUse;
pub use prog::Prog;
pub use run::{ctx_init, on_abort, xdp_run, xdp_run_burst};
pub use stats::{Counting, ProgStats, SlotStats, StatsSum};
pub use timers::{Timers, TimersRun};
pub use unfit::{Unfit, unfit};
pub use worker::Worker;

pub(crate) use block::WorkerBlock;
pub(crate) use entry::{BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS};
pub(crate) use func::Func;
pub(crate) use held::HeldKind;
pub(crate) use limit::{NO_LIMIT, refill};
pub(crate) use prog::{interpreted, maps_of};
pub(crate) use run::{owner_of, tail_target, takes_frags};
pub(crate) use timers::{Timer, TimerCell, TimerTable, clock as timer_clock};
pub(crate) use trace::TraceRecord;

/// What helpers need at run time, reached through the context; made by an environment, shared by its workers, immutable.
pub struct RunEnv {
    /// The services of the surroundings.
    pub platform: &'static dyn crate::platform::Platform,
    /// Slots of every per-CPU map.
    pub nr_cpus: u32,
    /// Timers in map values.
    pub timers: crate::sync::Arc<Timers>,
    /// Nanoseconds of a tick.
    pub(crate) tick_ns: core::num::NonZeroU64,
    /// Keys of SYN cookies; none where the platform has no random numbers.
    pub(crate) cookie_secrets: Option<CookieSecrets>,
    /// What only the host can do.
    pub(crate) host: Option<&'static dyn crate::host::Host>,
    /// What the host says of the network; null until it does.
    network: crate::sync::AtomicPtr<crate::net::Tables>,
    /// Who waits for rings.
    pub(crate) wakes: crate::sync::Arc<crate::maps::Wakes>,
}

/// Two keys for IPv4, two for IPv6.
pub(crate) type CookieSecrets = [[u64; 2]; 4];

impl RunEnv {
    /// What the host says of the network at this moment. It lives until this worker's next quiescent point.
    pub(crate) fn network(&self) -> Option<&crate::net::Tables> {
        // SAFETY: null, or tables that `Env::set_network` retires only when every worker was quiescent. Acquire: pairs with its swap.
        unsafe { self.network.load(crate::sync::Ordering::Acquire).as_ref() }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests may abort when memory is short"
)]
pub(crate) mod tests;
