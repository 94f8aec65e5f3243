//! Nodes: six bits of an address, with what exists below them.
//!
//! A block of one to thirteen cache lines: the skipped bits, three bit maps, then an array: the nodes that ways lead to, the elements of prefixes that end with
//! the cell's sixth bit, the elements of prefixes that end before it. An item's place is the number of bits before its own. The prefixes that end
//! inside are numbered as in a heap: 1 followed by their bits in the cell.

use crate::sync::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
};

/// Bits of a cell.
pub(super) const CELL: u32 = 6;
/// Bytes of a unit of memory.
pub(super) const UNIT: usize = 64;
/// Most items of a node: 64 ways, 64 prefixes of six bits, 62 of one to five.
pub(super) const MAX_ITEMS: usize = 64 + 64 + 62;
/// Units of the largest node.
pub(super) const MAX_UNITS: usize = units_for(MAX_ITEMS);
/// Most bits that a node skips: whole cells, so that skip and cell fit a window of 64 bits.
pub(super) const MAX_SKIP: u32 = 54;

/// For each value of a cell's six bits the prefixes of one to five bits that cover it.
pub(super) const PATHS: [u64; 64] = {
    let mut paths = [0; 64];
    let mut way = 0;
    while way < 64 {
        let mut len = 1;
        while len < CELL {
            paths[way] |= 1 << (1 << len | way >> (CELL - len));
            len += 1;
        }
        way += 1;
    }
    paths
};

/// Bits that are set before bit `i`.
#[inline(always)]
pub(super) fn rank(map: u64, i: u32) -> u32 {
    (map & ((1 << (i & 63)) - 1)).count_ones()
}

/// Units of a node with so many items.
pub(super) const fn units_for(items: usize) -> usize {
    (size_of::<Head>() + 4 * items).div_ceil(UNIT)
}

#[repr(C)]
struct Head {
    skip: AtomicU64,
    ways: AtomicU64,
    ends: AtomicU64,
    inner: AtomicU64,
}

/// The skipped bits, left-aligned, and how many in the lowest six bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Skip(u64);

impl Skip {
    /// The first `bits` bits of `window`; `bits` is at most `MAX_SKIP`.
    pub(super) fn new(window: u64, bits: u32) -> Skip {
        let mask = u64::MAX.checked_shl(64 - bits).unwrap_or(0);
        Skip(window & mask | u64::from(bits))
    }

    /// How many; at most 63 whatever the memory says.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 as u32 & 63
    }

    /// The bits, left-aligned; the lowest six are not theirs.
    pub(super) fn window(self) -> u64 {
        self.0 & !63
    }

    #[inline(always)]
    pub(super) fn fits(self, window: u64) -> bool {
        // Two shifts, because one by 64 is none.
        (window ^ self.0) >> 1 >> (63 - self.bits()) == 0
    }
}

/// Where an address goes in a node.
pub(super) struct Step {
    way: u32,
    ways: u64,
    /// Prefixes of all six bits.
    ends: u64,
    inner: u64,
    /// Shorter prefixes that cover it.
    path: u64,
    first_end: u32,
    first_inner: u32,
}

impl Step {
    /// Forgets prefixes of more than `bits` bits, fewer than six.
    pub(super) fn cut(&mut self, bits: u32) {
        // Numbers below 2 << bits are of prefixes of at most so many bits.
        self.path &= u64::MAX >> (64 - (2 << bits));
        self.ends = 0;
    }

    /// The element of the longest prefix in the node, as index + 1; `best` where there is none.
    #[inline(always)]
    pub(super) fn best(&self, node: Node<'_>, best: u32) -> u32 {
        let is_end = self.ends >> self.way & 1 != 0;
        let index = 63 - (self.path | 1).leading_zeros();
        let end = self.first_end + rank(self.ends, self.way);
        let inner = self.first_inner + rank(self.inner, index);
        // Acquire: pairs with the stores that publish elements.
        let item = node.item(core::hint::select_unpredictable(is_end, end, inner)).load(Acquire);
        core::hint::select_unpredictable(is_end | (self.path != 0), item, best)
    }

    /// The node that the way leads to.
    #[inline(always)]
    pub(super) fn below(&self, node: Node<'_>) -> Option<u32> {
        // Acquire: pairs with the stores that publish nodes.
        (self.ways >> self.way & 1 != 0).then(|| node.item(rank(self.ways, self.way)).load(Acquire))
    }
}

/// A node that others may read.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    head: &'a Head,
}

impl<'a> Node<'a> {
    /// # Safety
    /// `block` is 8-aligned memory of `MAX_UNITS` units that lives for `'a`.
    #[inline(always)]
    pub(super) unsafe fn new(block: *const u8) -> Node<'a> {
        // SAFETY: the caller's word.
        Node { head: unsafe { &*block.cast::<Head>() } }
    }

    #[inline(always)]
    pub(super) fn skip(self) -> Skip {
        Skip(self.head.skip.load(Relaxed))
    }
    #[inline(always)]
    pub(super) fn ways(self) -> u64 {
        self.head.ways.load(Relaxed)
    }
    #[inline(always)]
    pub(super) fn ends(self) -> u64 {
        self.head.ends.load(Relaxed)
    }
    #[inline(always)]
    pub(super) fn inner(self) -> u64 {
        self.head.inner.load(Relaxed)
    }

    /// The `nth` item, at most the sum of 64 ways, 64 ends and 64 others whatever the memory says.
    #[inline(always)]
    pub(super) fn item(self, nth: u32) -> &'a AtomicU32 {
        let head = core::ptr::from_ref(self.head);
        // SAFETY: `new` was promised MAX_UNITS units, which hold 200 items and more than `nth` can be.
        unsafe { &*head.add(1).cast::<AtomicU32>().add(nth as usize) }
    }

    /// What the node says of an address whose bits from its skip on are `window`. It has no unpredictable branch, so that lookups of many addresses overlap.
    #[inline(always)]
    pub(super) fn step(self, window: u64) -> Step {
        let skip = self.skip();
        let way = (window << skip.bits() >> (64 - CELL)) as u32;
        // All ones where the skipped bits agree.
        let fits = u64::from(skip.fits(window)).wrapping_neg();
        let (ways, ends, inner) = (self.ways(), self.ends(), self.inner());
        Step {
            way,
            ways: ways & fits,
            ends: ends & fits,
            inner,
            path: inner & PATHS[way as usize & 63] & fits,
            first_end: ways.count_ones(),
            first_inner: ways.count_ones() + ends.count_ones(),
        }
    }

    /// The item that way `way` leads to.
    pub(super) fn way(self, way: u32) -> Option<&'a AtomicU32> {
        let ways = self.ways();
        (ways >> way & 1 != 0).then(|| self.item(rank(ways, way)))
    }

    /// The item of an ending prefix.
    pub(super) fn end(self, end: End) -> Option<&'a AtomicU32> {
        let (ways, ends, inner) = (self.ways().count_ones(), self.ends(), self.inner());
        match end {
            End::Sixth(way) => (ends >> way & 1 != 0).then(|| self.item(ways + rank(ends, way))),
            End::Inner(heap) => {
                let nth = ways + ends.count_ones() + rank(inner, heap);
                (inner >> heap & 1 != 0).then(|| self.item(nth))
            }
        }
    }
}

const _: () = assert!(MAX_UNITS * UNIT >= size_of::<Head>() + 4 * (3 * 64 + 1));

/// Where in its cell a prefix ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the sixth bit: the six bits.
    Sixth(u32),
    /// Before it: its number in the heap.
    Inner(u32),
}

impl End {
    /// Of a prefix that ends `len` bits (1 to 6) into the cell whose bits are `way`.
    pub(super) fn new(way: u32, len: u32) -> End {
        if len >= CELL { End::Sixth(way) } else { End::Inner(1 << len | way >> (CELL - len)) }
    }
}

/// A node that is being made.
pub(super) struct Draft {
    pub(super) skip: Skip,
    ways: u64,
    ends: u64,
    inner: u64,
    items: [u32; MAX_ITEMS + 2],
}

impl Draft {
    pub(super) fn new(skip: Skip) -> Draft {
        Draft { skip, ways: 0, ends: 0, inner: 0, items: [0; MAX_ITEMS + 2] }
    }

    pub(super) fn copy_of(node: Node<'_>) -> Draft {
        let mut draft = Draft::new(node.skip());
        (draft.ways, draft.ends, draft.inner) = (node.ways(), node.ends(), node.inner() & !0b11);
        let len = draft.len();
        for (nth, item) in draft.items.iter_mut().take(len).enumerate() {
            *item = node.item(nth as u32).load(Relaxed);
        }
        draft
    }

    /// Items.
    pub(super) fn len(&self) -> usize {
        (self.ways.count_ones() + self.ends.count_ones() + self.inner.count_ones()) as usize
    }

    fn put(&mut self, at: u32, item: u32) {
        let (at, len) = (at as usize, self.len());
        // Numbers beyond the items come from memory that somebody else wrote to.
        if at <= len && len < self.items.len() {
            self.items.copy_within(at..len, at + 1);
        }
        if let Some(place) = self.items.get_mut(at) {
            *place = item;
        }
    }

    fn cut(&mut self, at: u32) {
        let len = self.len();
        if let Some(items @ [_, ..]) = self.items.get_mut(at as usize..len) {
            items.copy_within(1.., 0);
        }
    }

    fn nth(&self, end: End) -> u32 {
        let ways = self.ways.count_ones();
        match end {
            End::Sixth(way) => ways + rank(self.ends, way),
            End::Inner(heap) => ways + self.ends.count_ones() + rank(self.inner, heap),
        }
    }

    fn flip(&mut self, end: End) {
        match end {
            End::Sixth(way) => self.ends ^= 1 << way,
            End::Inner(heap) => self.inner ^= 1 << heap,
        }
    }

    pub(super) fn add_way(&mut self, way: u32, unit: u32) {
        self.put(rank(self.ways, way), unit);
        self.ways |= 1 << way;
    }

    pub(super) fn remove_way(&mut self, way: u32) {
        self.cut(rank(self.ways, way));
        self.ways &= !(1 << way);
    }

    pub(super) fn add_end(&mut self, end: End, element: u32) {
        self.put(self.nth(end), element);
        self.flip(end);
    }

    pub(super) fn remove_end(&mut self, end: End) {
        self.cut(self.nth(end));
        self.flip(end);
    }

    /// The only item, where it is a way.
    pub(super) fn only_way(&self) -> Option<(u32, u32)> {
        let [first, ..] = self.items;
        (self.len() == 1 && self.ways != 0).then(|| (self.ways.trailing_zeros(), first))
    }

    /// Writes it to a block that nobody reads.
    ///
    /// # Safety
    /// As [`Node::new`], and nobody else writes to the block; the first item is at most so far in the block as `units_for` says.
    pub(super) unsafe fn write(&self, block: *mut u8) {
        // SAFETY: the caller's word.
        let node = unsafe { Node::new(block) };
        node.head.skip.store(self.skip.0, Relaxed);
        node.head.ways.store(self.ways, Relaxed);
        node.head.ends.store(self.ends, Relaxed);
        node.head.inner.store(self.inner, Relaxed);
        for (nth, item) in self.items.iter().take(self.len()).enumerate() {
            node.item(nth as u32).store(*item, Relaxed);
        }
    }
}
