//! Who is at an address of a link: an open-addressed table that never changes.

use super::{Neighbour, key};
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
            let mut at = hash(n.ifindex, n.address) & mask;
            while slots[at] != EMPTY {
                at = (at + 1) & mask;
            }
            slots[at] = i as u32;
        }
        Ok(Neighbours { list, slots })
    }

    pub(super) fn find(&self, ifindex: u32, address: IpAddr) -> Option<[u8; 6]> {
        let mask = self.slots.len().checked_sub(1)?;
        let start = hash(ifindex, address);
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

/// Bits of an address, mixed.
fn hash(ifindex: u32, address: IpAddr) -> usize {
    let key = key(address);
    let folded = (key >> 64) as u64 ^ (key as u64).rotate_left(32) ^ u64::from(ifindex);
    let wide = u128::from(folded ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xd6e8_feb8_6659_fd93u64);
    ((wide >> 64) as u64 ^ wide as u64) as usize
}
