//! With which programs a map of programs goes: those of section `xdp.frags`, or those of others. The first program decides, for as long as the map lives: one that uses the
//! map, or one that is put into it. So no tail call and no entry leads from a packet in several buffers to a program that knows of one.
//!
//! Kernel: `bpf_prog_map_compatible`. As there, a DEVMAP_HASH is judged by its entries alone, and programs for entries of device and CPU maps neither make tail calls nor are reached
//! by them.

use super::{Map, MapType};
use crate::program::AttachType;
use crate::sync::{AtomicU32, Ordering};

const NONE: u32 = 0;

/// What the first program said.
#[derive(Debug)]
pub(super) struct Owner(AtomicU32);

impl Owner {
    pub(super) fn new() -> Owner {
        Owner(AtomicU32::new(NONE))
    }

    fn fits(&self, frags: bool) -> bool {
        // Relaxed: the number stands for itself.
        [NONE, 1 + u32::from(frags)].contains(&self.0.load(Ordering::Relaxed))
    }

    fn admit(&self, frags: bool) -> bool {
        let own = 1 + u32::from(frags);
        match self.0.compare_exchange(NONE, own, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(first) => first == own,
        }
    }
}

impl Map {
    /// Whether programs that are attached so may use this map.
    pub(crate) fn may_have_users(&self, attach: AttachType) -> bool {
        self.spec.kind != MapType::ProgArray || attach == AttachType::Xdp
    }

    fn judges_users(&self) -> bool {
        matches!(self.spec.kind, MapType::ProgArray | MapType::Devmap | MapType::Cpumap)
    }

    /// Whether [`Map::admit_user`] would.
    pub(crate) fn would_admit_user(&self, attach: AttachType, frags: bool) -> bool {
        !self.judges_users() || (self.may_have_users(attach) && self.owner.fits(frags))
    }

    /// Lets a program use this map; it decides for those that follow, where it is the first one.
    pub(crate) fn admit_user(&self, attach: AttachType, frags: bool) -> bool {
        !self.judges_users() || (self.may_have_users(attach) && self.owner.admit(frags))
    }

    /// Lets a program stand in this map, as above.
    pub(crate) fn admit_entry(&self, frags: bool) -> bool {
        self.owner.admit(frags)
    }
}
