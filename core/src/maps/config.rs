//! What a map takes from the environment that makes it.

use super::reclaim::Epochs;
use super::wake::Wakes;
use crate::platform::{MapMemory, Processes};
use crate::sync::Arc;
use core::fmt;

/// The environment's part of a map: the same for every map of one environment, but for the secret.
#[derive(Clone)]
pub struct MapConfig {
    /// Slots of a per-CPU map.
    pub nr_cpus: u32,
    /// Slots that may write: those of CPUs first, then those of clients. At least `nr_cpus`, at most 65,536.
    pub writer_slots: u32,
    /// Bytes of a page.
    pub page_size: usize,
    /// Where maps live.
    pub memory: &'static dyn MapMemory,
    /// Where what is never shared lives: read-only data, tables of pointers. The platform's own memory.
    pub private_memory: &'static dyn MapMemory,
    /// Random bits that no sender of packets knows, new for each map: the key of its hash.
    pub secret: [u64; 2],
    /// Who shares maps; none: no map is shared.
    pub processes: Option<&'static dyn Processes>,
    /// The environment's workers, for maps that reuse memory when no program can hold it any more. None: no program runs while the map changes.
    pub epochs: Option<Arc<Epochs>>,
    /// Whom the environment wakes for its rings. None: nobody.
    pub wakes: Option<Arc<Wakes>>,
}

impl fmt::Debug for MapConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapConfig")
            .field("nr_cpus", &self.nr_cpus)
            .field("writer_slots", &self.writer_slots)
            .field("page_size", &self.page_size)
            .finish_non_exhaustive()
    }
}
