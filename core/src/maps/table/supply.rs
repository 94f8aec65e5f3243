//! Where a map's free elements come from: lists that refuse when nothing is free, or an LRU that evicts.
//!
//! The kinds of the hash family are written once for both. A supply gives an element to one writer at a time; what an element holds is the kind's matter.

use super::Table;
use super::recover::Budget;
use crate::error::Errno;
use crate::maps::layout::Layout;
use crate::maps::memory::Region;
use crate::maps::{MapConfig, MapSpec};
use core::fmt;

/// A source of elements that no key has. `slot` is the writer slot that the caller alone holds.
pub(in crate::maps) trait Supply: fmt::Debug + Sized {
    /// What an update answers when there is none.
    const NONE_LEFT: Errno;
    /// Bytes between an element's key and its value that belong to the supply.
    const MARK_BYTES: usize;

    fn new(region: &Region, spec: &MapSpec, cfg: &MapConfig, l: &Layout) -> Self;

    /// An element for a key that is not there.
    fn take(&self, table: &Table, slot: u32) -> Option<u32>;

    /// Gives back an element that no key has.
    fn give(&self, table: &Table, slot: u32, index: u32);

    /// An element to take the place of `old`, which a key has.
    fn take_other(&self, table: &Table, slot: u32, old: u32) -> Option<u32>;

    /// What [`Supply::take_other`] gave took no place after all.
    fn give_other(&self, table: &Table, slot: u32, index: u32);

    /// `index` lost its place to what [`Supply::take_other`] gave.
    fn give_replaced(&self, table: &Table, slot: u32, index: u32);

    /// Tells anew which elements are free: what dead writers held is. Nobody takes or gives meanwhile.
    fn recover(&self, table: &Table, is_gone: &dyn Fn(u32) -> bool, budget: &Budget) -> Result<(), Errno>;

    /// A program looked an element up, or wrote it in place.
    fn mark_used(&self, table: &Table, index: u32);
}

/// The lists of [`super::pool`]: a full map refuses, its known keys can be updated by the writers' spares.
#[derive(Debug)]
pub(in crate::maps) struct FreeLists;

impl Supply for FreeLists {
    const NONE_LEFT: Errno = Errno::E2BIG;
    const MARK_BYTES: usize = 0;

    fn new(_: &Region, _: &MapSpec, _: &MapConfig, _: &Layout) -> FreeLists {
        FreeLists
    }

    fn take(&self, table: &Table, slot: u32) -> Option<u32> {
        table.pool.take(slot)
    }

    fn give(&self, table: &Table, slot: u32, index: u32) {
        table.pool.give(slot, index);
    }

    fn take_other(&self, table: &Table, slot: u32, _: u32) -> Option<u32> {
        Some(table.pool.spare(slot))
    }

    fn give_other(&self, _: &Table, _: u32, _: u32) {}

    fn give_replaced(&self, table: &Table, slot: u32, index: u32) {
        table.pool.set_spare(slot, index);
    }

    fn recover(&self, table: &Table, is_gone: &dyn Fn(u32) -> bool, budget: &Budget) -> Result<(), Errno> {
        table.pool.unpin_all(is_gone);
        table.pool.rebuild(&|index| table.has_key(index, budget), is_gone)
    }

    #[inline]
    fn mark_used(&self, _: &Table, _: u32) {}
}
