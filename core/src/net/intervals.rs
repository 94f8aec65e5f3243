//! Longest-prefix match over a set that never changes: the address space cut where the longest prefix changes.
//!
//! Prefixes nest or are apart, so that each piece between two cuts has one longest prefix, and the shorter ones that hold it are that one's chain of parents. A lookup is
//! a binary search over at most twice as many cuts as there are prefixes.

use crate::mem::{OutOfMemory, Vec};

/// No prefix.
pub(super) const NONE: u32 = u32::MAX;

/// A prefix of the set: first and last address, and which it is to the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u128,
    pub(super) last: u128,
    /// The next longer-reaching one that holds it: an index of [`Intervals::spans`], or [`NONE`].
    pub(super) parent: u32,
    /// The caller's.
    pub(super) items: (u32, u32),
}

/// The set.
#[derive(Debug)]
pub(super) struct Intervals {
    spans: Vec<Span>,
    /// Where a piece begins, and its longest prefix.
    cuts: Vec<(u128, u32)>,
}

impl Intervals {
    /// A set of different prefixes, sorted by first address, longer-reaching ones first.
    pub(super) fn new(mut spans: Vec<Span>) -> Result<Intervals, OutOfMemory> {
        let mut cuts: Vec<(u128, u32)> = Vec::with_capacity(2 * spans.len() + 1)?;
        let mut open = NONE;
        for i in 0..spans.len() {
            let (first, last_open) = (spans[i].first, |spans: &[Span], open: u32| spans[open as usize].last);
            while open != NONE && last_open(&spans, open) < first {
                open = close(&spans, open, &mut cuts)?;
            }
            spans[i].parent = open;
            open = i as u32;
            cut(&mut cuts, first, open)?;
        }
        while open != NONE {
            open = close(&spans, open, &mut cuts)?;
        }
        Ok(Intervals { spans, cuts })
    }

    /// The longest prefix of an address.
    pub(super) fn longest(&self, key: u128) -> u32 {
        let after = self.cuts.partition_point(|(from, _)| *from <= key);
        after.checked_sub(1).and_then(|i| self.cuts.get(i)).map_or(NONE, |(_, span)| *span)
    }

    /// A prefix.
    pub(super) fn span(&self, index: u32) -> Option<&Span> {
        self.spans.get(index as usize)
    }
}

/// Ends a prefix: what follows belongs to its parent again.
fn close(spans: &[Span], open: u32, cuts: &mut Vec<(u128, u32)>) -> Result<u32, OutOfMemory> {
    let Span { last, parent, .. } = spans[open as usize];
    if let Some(next) = last.checked_add(1) {
        cut(cuts, next, parent)?;
    }
    Ok(parent)
}

/// A new piece; one of no length gives way.
fn cut(cuts: &mut Vec<(u128, u32)>, from: u128, span: u32) -> Result<(), OutOfMemory> {
    match cuts.last_mut() {
        Some(last) if last.0 == from => {
            last.1 = span;
            Ok(())
        }
        _ => cuts.push((from, span)),
    }
}
