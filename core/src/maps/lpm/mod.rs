//! LPM_TRIE: the value of the longest prefix that covers a key.
//!
//! A table of the first `root_bits` bits, and below it nodes of six bits each, compressed: a node says which of its 64 ways lead on and which prefixes end in it by bit
//! maps, has only what exists in an array behind them, and skips up to 54 bits in which all its descendants agree (tree bitmaps, Eatherton, Varghese
//! and Dittia 2004; the table in front as in poptrie, Asai and Ohara 2015). A lookup reads a root word, one or two nodes of one cache line, and the
//! element; what stands in front of tries of IPv4 addresses spares it most of that.
//!
//! ```text
//! root      a word for each value of the first bits: the longest prefix that is not longer (element, length), the node below
//! front     of a large trie of IPv4 addresses, a word for each value of the first 24 bits ([`front`]);
//!           of a small one, a word for each of the first 16 and a line for the next eight ([`chunks`])
//! short     a word for each prefix that is not longer than the root's bits, numbered as in a heap: element, number of prefixes below
//! nodes     blocks of 64 bytes ([`node`]); a cell of six bits begins at root_bits + 6 i, and a prefix belongs to the cell of its last bit
//! elements  all keys as they were given, padded to 8 bytes, then all values
//! pool      lock, counters, free lists ([`pool`]); deferred: what waits for a grace period
//! ```
//!
//! Readers take no lock: a node is never written after it is seen but for its pointers, each one word. Writers hold the map's tagged lock, build
//! the nodes that change anew, and publish them by one store each. Replaced nodes and elements are reused after a grace period. All numbers read here
//! are bounded before they are used.
//! Source of the semantics: the kernel's `kernel/bpf/lpm_trie.c`.

mod burst;
mod chunks;
mod front;
mod lookup;
mod next;
mod node;
mod pool;
mod repair;
mod update;

use super::layout::{CACHE_LINE, Cursor, Layout};
use super::lock::{After, Locked};
use super::ops::{MapOps, Reference};
use super::spec::flags::{BPF_EXIST, BPF_F_NO_PREALLOC};
use super::{Making, MapError, MapSpec};
use crate::error::Errno;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use chunks::Chunks;
use core::hint::select_unpredictable;
use core::ptr::{NonNull, null_mut};
use front::Front;
use node::CELL;
use pool::Pool;

/// Bytes of the prefix length at the start of a key.
const LENGTH_BYTES: usize = 4;
/// Most bytes of an address (`LPM_DATA_SIZE_MAX`).
const MAX_DATA: usize = 256;
/// Largest value: `KMALLOC_MAX_SIZE` less the kernel's node header and the largest address.
const MAX_VALUE: u32 = 4_194_024;
/// Up to so many entries the table in front has 12 bits, beyond 18.
const SMALL: u32 = 16384;
/// Up to so many entries it has 6.
const TINY: u32 = 64;
/// Times that a reader of a shared trie looks again because memory was used again under its eyes.
const RETRIES: u32 = 64;

/// The map.
#[derive(Debug)]
pub(super) struct Trie {
    root: NonNull<AtomicU64>,
    front: Option<Front>,
    short: NonNull<AtomicU64>,
    pool: Pool,
    values: Values,
    root_bits: u32,
    max_bits: u32,
    max_entries: u32,
    data_size: usize,
    value_size: usize,
}

/// Where the elements' values are.
#[derive(Debug)]
struct Values {
    /// Where that of an element before the first would be.
    before: *mut u8,
    stride: usize,
    count: u32,
}

impl Values {
    fn new(m: &Making<'_>) -> Values {
        let (l, key) = (m.l, key_stride(m.spec));
        let elements = m.region.section(l.elements, l.nr_elements * l.element_stride);
        let stride = l.element_stride - key;
        // All keys come first: they are seldom read, and would only take room in caches.
        let before = elements.as_ptr().wrapping_add(l.nr_elements * key).wrapping_sub(stride);
        Values { before, stride, count: l.nr_elements as u32 }
    }

    /// That of the element with index + 1; null for 0 and beyond the end.
    #[inline(always)]
    fn at(&self, plus_one: u32) -> *mut u8 {
        if plus_one <= self.count { self.of(plus_one) } else { null_mut() }
    }

    /// [`Values::at`] of a number that is known not to lie beyond the end. Without a jump: where many addresses have none, nobody could foretell it.
    #[inline(always)]
    fn of(&self, plus_one: u32) -> *mut u8 {
        let at = self.before.wrapping_add(plus_one as usize * self.stride);
        select_unpredictable(plus_one != 0, at, null_mut())
    }
}

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec, known: u32) -> Result<(), MapError> {
    let kind = spec.kind;
    if spec.max_entries == 0 {
        return Err(MapError::NoEntries(kind));
    }
    if spec.flags & BPF_F_NO_PREALLOC == 0 {
        return Err(MapError::Flags(kind, spec.flags));
    }
    super::check::flags(spec, known | BPF_F_NO_PREALLOC)?;
    let key = LENGTH_BYTES as u32 + 1..=(LENGTH_BYTES + MAX_DATA) as u32;
    if !key.contains(&spec.key_size) {
        return Err(MapError::KeySize(kind, spec.key_size));
    }
    if spec.value_size == 0 || spec.value_size > MAX_VALUE {
        return Err(MapError::ValueSize(kind, spec.value_size));
    }
    Ok(())
}

fn root_bits(spec: &MapSpec) -> u32 {
    let by_size = match spec.max_entries {
        n if n <= TINY => 6,
        _ if chunks::are_for(spec) => chunks::ROOT_BITS,
        n if n <= SMALL => 12,
        _ => front::ROOT_BITS,
    };
    match spec.key_size as usize - LENGTH_BYTES {
        1 => 6,
        2 => by_size.min(12),
        _ => by_size,
    }
}

/// Bytes from an element's key to the next.
fn key_stride(spec: &MapSpec) -> usize {
    (spec.key_size as usize).next_multiple_of(8)
}

pub(super) fn layout(spec: &MapSpec, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    let bits = root_bits(spec);
    l.nr_buckets = 1 << bits;
    let in_front = front::bytes(spec) + chunks::bytes(spec);
    l.buckets = at.take(l.nr_buckets * 8 + in_front, CACHE_LINE)?;
    l.ids = at.take(l.nr_buckets * 16, CACHE_LINE)?;
    l.element_stride = key_stride(spec) + (spec.value_size as usize).next_multiple_of(8);
    pool::layout(spec, bits, at, l)
}

/// The bits of an address from its first byte on, the most significant first.
pub(super) trait Bits {
    /// 64 bits from `at` on; zeroes beyond the end.
    fn at(&self, at: u32) -> u64;
}

/// Addresses of at most eight bytes.
#[derive(Clone, Copy)]
struct Word(u64);

impl Bits for Word {
    #[inline(always)]
    fn at(&self, at: u32) -> u64 {
        self.0.checked_shl(at).unwrap_or(0)
    }
}

/// Addresses of any size.
pub(super) struct Long {
    data: *const u8,
    size: usize,
}

impl Long {
    /// # Safety
    /// `data` is readable for `size` bytes as long as this lives.
    unsafe fn new(data: *const u8, size: usize) -> Long {
        Long { data, size }
    }
}

impl Bits for Long {
    #[inline]
    fn at(&self, at: u32) -> u64 {
        let (byte, bit) = (at as usize / 8, at % 8);
        let mut bytes = [0; 9];
        let there = self.size.saturating_sub(byte).min(9);
        if there > 0 {
            // SAFETY: `byte + there` does not exceed the size, for which `new` was promised that `data` is readable.
            unsafe { core::ptr::copy_nonoverlapping(self.data.add(byte), bytes.as_mut_ptr(), there) };
        }
        let [a, b, c, d, e, f, g, h, last] = bytes;
        let word = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if bit == 0 { word } else { word << bit | u64::from(last) >> (8 - bit) }
    }
}

/// A word of the root: element (index + 1, 0 for none), node (27 bits), length of the element's prefix (5 bits).
#[derive(Clone, Copy)]
struct RootWord(u64);

impl RootWord {
    const NODE: u64 = ((1 << 27) - 1) << 32;

    fn new(element: u32, len: u32, node: u32) -> RootWord {
        RootWord(u64::from(element) | u64::from(node) << 32 & Self::NODE | u64::from(len) << 59)
    }
    fn element(self) -> u32 {
        self.0 as u32
    }
    fn node(self) -> u32 {
        ((self.0 & Self::NODE) >> 32) as u32
    }
    fn len(self) -> u32 {
        (self.0 >> 59) as u32
    }
}

/// A word of the short prefixes: element (index + 1, 0 for none), number of prefixes that it covers.
#[derive(Clone, Copy)]
struct ShortWord(u64);

impl ShortWord {
    fn new(element: u32, count: u32) -> ShortWord {
        ShortWord(u64::from(element) | u64::from(count) << 32)
    }
    fn element(self) -> u32 {
        self.0 as u32
    }
    fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The first `n` bits as a number; `n` is below 64.
fn first(bits: u64, n: u32) -> u64 {
    bits.checked_shr(64 - n).unwrap_or(0)
}

impl Trie {
    pub(super) fn new(m: &Making<'_>) -> Trie {
        let (region, spec, l) = (m.region, m.spec, m.l);
        let root_bits = root_bits(spec);
        let in_front = |bytes| (bytes != 0).then(|| region.section(l.buckets + l.nr_buckets * 8, bytes));
        let chunks =
            in_front(chunks::bytes(spec)).map(|section| Chunks::new(section, spec, l.nr_elements as u32));
        // Elements of a shared map wait for no grace periods: what stands in front has no use there.
        let chunks = chunks.filter(|_| !m.peers.are_there());
        let front = in_front(front::bytes(spec)).map(Front::new).filter(|_| !m.peers.are_there());
        Trie {
            root: region.section(l.buckets, l.nr_buckets * 8).cast(),
            front,
            short: region.section(l.ids, l.nr_buckets * 16).cast(),
            pool: Pool::new(m, chunks),
            values: Values::new(m),
            root_bits,
            max_bits: (spec.key_size - LENGTH_BYTES as u32) * 8,
            max_entries: spec.max_entries,
            data_size: spec.key_size as usize - LENGTH_BYTES,
            value_size: spec.value_size as usize,
        }
    }

    /// The root's word for an address.
    #[inline]
    fn root(&self, index: u64) -> &AtomicU64 {
        debug_assert!(index < 1 << self.root_bits);
        // SAFETY: callers give the first `root_bits` bits of an address, or count up to that: the root has a word for each.
        unsafe { self.root.add(index as usize).as_ref() }
    }

    /// The word of the short prefix with a number in the heap, below 2 << root_bits.
    fn short(&self, heap: u64) -> &AtomicU64 {
        debug_assert!(heap < 2 << self.root_bits);
        // SAFETY: numbers are 1 and at most `root_bits` bits behind it; there are 2 << root_bits words.
        unsafe { self.short.add(heap as usize).as_ref() }
    }

    /// The element of the longest prefix, not longer than `limit`, as index + 1; 0 for none.
    #[inline(always)]
    fn find<B: Bits>(&self, bits: &B, limit: u32) -> u32 {
        if limit < self.root_bits {
            return self.find_short(bits, limit);
        }
        let word = self.root_word(bits);
        let (mut best, mut unit, mut at) = (word.element(), word.node(), self.root_bits);
        loop {
            let node = self.pool.node_or_empty(unit);
            let window = bits.at(at);
            at += node.skip().bits();
            if at >= limit {
                return best;
            }
            let mut step = node.step(window);
            if limit - at < CELL {
                step.cut(limit - at);
            }
            best = step.best(node, best);
            match step.below(node) {
                Some(below) => unit = below,
                None => return best,
            }
            at += CELL;
        }
    }

    /// [`Trie::find`] of a whole address, which no limit cuts short.
    #[inline(always)]
    fn find_whole<B: Bits>(&self, bits: &B) -> u32 {
        self.find_below(bits, self.root_word(bits))
    }

    #[inline(always)]
    fn find_below<B: Bits>(&self, bits: &B, word: RootWord) -> u32 {
        let (mut best, mut unit, mut at) = (word.element(), word.node(), self.root_bits);
        loop {
            let node = self.pool.node_or_empty(unit);
            let step = node.step(bits.at(at));
            best = step.best(node, best);
            at += node.skip().bits() + CELL;
            match step.below(node) {
                // Paths are shorter; what hostile memory says may not lead in a circle.
                Some(below) if at < self.max_bits => unit = below,
                _ => return best,
            }
        }
    }

    #[inline(always)]
    fn root_word<B: Bits>(&self, bits: &B) -> RootWord {
        // Acquire, as wherever a node's or element's number is read: pairs with the stores that publish them.
        RootWord(self.root(first(bits.at(0), self.root_bits)).load(Ordering::Acquire))
    }

    #[cold]
    fn find_short<B: Bits>(&self, bits: &B, limit: u32) -> u32 {
        let all = bits.at(0);
        let words = (0..=limit).rev().map(|len| self.short(1 << len | first(all, len)));
        words.map(|w| ShortWord(w.load(Ordering::Acquire)).element()).find(|&e| e != 0).unwrap_or(0)
    }

    /// Takes the lock, and puts in order what a writer left that died with it.
    fn lock(&self, slot: u32) -> Result<Locked<'_>, Errno> {
        let held = self.pool.lock(slot)?;
        if held.after() == After::Death {
            self.repair();
        }
        Ok(held)
    }

    /// Length and address of a key.
    ///
    /// # Safety
    /// `key` is readable for the key size.
    unsafe fn split(&self, key: *const u8) -> (u32, *const u8) {
        // SAFETY: the caller's word: a key is a length of four bytes and the address.
        unsafe { (key.cast::<u32>().read_unaligned(), key.add(LENGTH_BYTES)) }
    }

    pub(super) fn has_front(&self) -> bool {
        self.front.is_some()
    }

    pub(super) fn has_chunks(&self) -> bool {
        self.pool.chunks().is_some()
    }
}

impl MapOps for Trie {
    unsafe fn lookup(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.find_key(key) }
    }

    unsafe fn update(&self, key: *const u8, value: *const u8, flags: u64, slot: u32) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let _locked = self.lock(slot)?;
        // SAFETY: the caller's word.
        unsafe { self.insert(key, value, flags) }
    }

    unsafe fn delete(&self, key: *const u8, slot: u32) -> Result<(), Errno> {
        let _locked = self.lock(slot)?;
        // SAFETY: the caller's word.
        unsafe { self.withdraw(key) }
    }

    fn read(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: `control` checked that the key has its size.
        let read = |out: &mut [u8]| unsafe { self.read_at_once(key.as_ptr(), out) };
        // No grace period waits for a control plane, which reports no quiescence.
        for _ in 0..RETRIES {
            let before = self.pool.reuses();
            let answer = read(out);
            if self.pool.is_undisturbed(before) {
                return answer;
            }
        }
        // Writers are so busy that one has to stand in their way.
        let _locked = self.lock(self.pool.reader())?;
        read(out)
    }

    fn write(&self, slot: u32, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        // SAFETY: `control` checked the sizes.
        unsafe { self.update(key.as_ptr(), value.as_ptr(), flags, slot) }
    }

    fn remove(&self, slot: u32, key: &[u8]) -> Result<Option<Reference>, Errno> {
        // SAFETY: as above.
        unsafe { self.delete(key.as_ptr(), slot) }.map(|()| None)
    }

    #[cfg(test)]
    fn repair_for_test(&self) {
        self.repair();
    }

    fn recover(&self, _: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        self.lock(self.pool.reader()).map(drop)
    }

    fn next(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let _locked = self.lock(self.pool.reader())?;
        self.next_key(key, out)
    }
}

/// A word that names a node or an element: what is stored here publishes.
fn publish(word: &AtomicU32, index: u32) {
    word.store(index, Ordering::Release); // pairs with the loads in `find`
}
