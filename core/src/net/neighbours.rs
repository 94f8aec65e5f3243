//! Who is at an address of a link: an open-addressed table that never changes.

use super::indexed::Keyed;
use super::{Neighbour, hash, key};
use crate::mem::{OutOfMemory, Vec};
use core::net::IpAddr;

/// No entry.
const EMPTY: u32 = u32::MAX;

/// All neighbours.
#[derive(Debug)]
pub(super) struct Neighbours {
    list: Vec<Neighbour>,
    /// Indices of `list`, at least half of them empty; a power of two.
    slots: Vec<u32>,
}

impl Neighbours {
    pub(super) fn new(all: &[Neighbour]) -> Result<Neighbours, OutOfMemory> {
        let list = Vec::from_slice(all)?;
        let mut slots = Vec::filled(EMPTY, (2 * all.len()).next_power_of_two())?;
        let mask = slots.len() - 1;
        for (i, n) in all.iter().enumerate() {
            let mut at = n.hash() as usize & mask;
            while slots[at] != EMPTY {
                at = (at + 1) & mask;
            }
            slots[at] = i as u32;
        }
        Ok(Neighbours { list, slots })
    }

    pub(super) fn find(&self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        let mask = self.slots.len().checked_sub(1)?;
        let start = hash(key(address), u64::from(ifindex)) as usize;
        for step in 0..self.slots.len() {
            let index = *self.slots.get(start.wrapping_add(step) & mask)?;
            let n = self.list.get(index as usize)?;
            if n.ifindex == ifindex && n.address == address {
                return Some(n.link_address);
            }
        }
        None
    }
}
