//! With which programs a map of programs goes: those of section `xdp.frags`, or those of others. The first program decides, for as long as the map lives: one that uses the
//! map, or one that is put into it. So no tail call and no entry leads from a packet in several buffers to a program that knows of one. A program array goes with
//! programs that attach at one place (a port, entries of device maps, of CPU maps), too: what they may read of the context differs.
//!
//! Kernel: `bpf_prog_map_compatible`. As there, a DEVMAP_HASH is judged by its entries alone.

use super::{Map, MapType};
use crate::program::AttachType;
use crate::sync::{AtomicU32, Ordering};

const NONE: u32 = 0;

/// What the first program was like.
#[derive(Debug)]
pub(super) struct Owner(AtomicU32);

impl Owner {
    pub(super) fn new() -> Owner {
        Owner(AtomicU32::new(NONE))
    }
}

/// What a program is like, as owners keep it: not 0.
fn kind(attach: AttachType, frags: bool) -> u32 {
    1 + u32::from(frags) + 2 * attach as u32
}

impl Map {
    fn judges_users(&self) -> bool {
        matches!(self.spec.kind, MapType::ProgArray | MapType::Devmap | MapType::Cpumap)
    }

    /// What is kept of a program here: where it attaches counts in program arrays alone, whose programs go on in one another.
    fn kind_here(&self, attach: AttachType, frags: bool) -> u32 {
        match self.spec.kind {
            MapType::ProgArray => kind(attach, frags),
            _ => kind(AttachType::Xdp, frags),
        }
    }

    /// Whether [`Map::admit_user`] would.
    pub(crate) fn would_admit_user(&self, attach: AttachType, frags: bool) -> bool {
        let own = self.kind_here(attach, frags);
        // Relaxed: the number stands for itself.
        !self.judges_users() || [NONE, own].contains(&self.owner.0.load(Ordering::Relaxed))
    }

    /// Lets a program use this map; it decides for those that follow, where it is the first one.
    pub(crate) fn admit_user(&self, attach: AttachType, frags: bool) -> bool {
        !self.judges_users() || self.admit_entry(attach, frags)
    }

    /// Lets a program stand in this map, as above.
    pub(crate) fn admit_entry(&self, attach: AttachType, frags: bool) -> bool {
        let own = self.kind_here(attach, frags);
        match self.owner.0.compare_exchange(NONE, own, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(first) => first == own,
        }
    }
}
