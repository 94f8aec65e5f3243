//! Lookups in hashes and tries, a function for each kind and form of key: compiled code calls the one that its map needs, without asking for kind and size again.
//!
//! Those for one key have the ABI of a helper, take the arguments of `bpf_map_lookup_elem` and answer what [`Map::lookup`] does. A function gets no other map than it was
//! chosen for.

use super::hash::Hash;
use super::lpm::Trie;
use super::machine::{compares_lines, counts_bits, on_both, on_lines};
use super::ops::Ops;
use super::percpu_hash::PercpuHash;
use super::table::key::{Bytes, OneWord, TwoWords};
use super::table::{Clock, FreeLists, Key, Supply, Usual, Wide};
use super::{Kind, Map};
use crate::helpers::HelperFn;
use crate::vm::Ctx;

/// The kinds of hash with a supply.
trait Kinds: Supply {
    fn hash(kind: &Kind) -> Option<&Hash<Self>>;
    fn percpu(kind: &Kind) -> Option<&PercpuHash<Self>>;
}

impl Kinds for FreeLists {
    #[inline(always)]
    fn hash(kind: &Kind) -> Option<&Hash<FreeLists>> {
        if let Kind::Hash(h) = kind { Some(h) } else { None }
    }

    #[inline(always)]
    fn percpu(kind: &Kind) -> Option<&PercpuHash<FreeLists>> {
        if let Kind::PercpuHash(h) = kind { Some(h) } else { None }
    }
}

impl Kinds for Clock {
    #[inline(always)]
    fn hash(kind: &Kind) -> Option<&Hash<Clock>> {
        if let Kind::LruHash(h) = kind { Some(h) } else { None }
    }

    #[inline(always)]
    fn percpu(kind: &Kind) -> Option<&PercpuHash<Clock>> {
        if let Kind::LruPercpuHash(h) = kind { Some(h) } else { None }
    }
}

/// The functions of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookups {
    pub(super) one: HelperFn,
    /// Whether `one` asks which slot the caller has, by its context.
    pub(super) by_slot: bool,
    pub(super) burst: Burst,
}

/// Up to [`super::table::BURST`] keys, as [`Map::lookup_burst`].
type Burst = unsafe fn(&Kind, &[*const u8], &mut [*mut u8], u32);

impl Lookups {
    /// Those of a kind, where it is a hash or a trie.
    pub(super) fn of(kind: &Kind, key_size: u32) -> Option<Lookups> {
        match kind {
            Kind::Hash(_) => Some(Lookups::in_hash::<FreeLists>(key_size)),
            Kind::LruHash(_) => Some(Lookups::in_hash::<Clock>(key_size)),
            Kind::PercpuHash(_) => Some(Lookups::in_percpu::<FreeLists>(key_size)),
            Kind::LruPercpuHash(_) => Some(Lookups::in_percpu::<Clock>(key_size)),
            Kind::Ops(Ops::Trie(t)) => Some(Lookups::in_trie(t)),
            _ => None,
        }
    }

    fn in_hash<S: Kinds>(key_size: u32) -> Lookups {
        fn both<S: Kinds, K: Key, const LEN: usize>() -> Lookups {
            let (one, burst): (HelperFn, Burst) = match compares_lines() {
                true => (in_hash_wide::<S, K, LEN>, hash_burst_wide::<S, K, LEN>),
                false => (in_hash::<S, K, LEN>, hash_burst::<S, K, LEN>),
            };
            Lookups { one, by_slot: false, burst }
        }
        match key_size {
            4 => both::<S, OneWord, 4>(),
            8 => both::<S, OneWord, 8>(),
            1..=8 => both::<S, OneWord, 0>(),
            16 => both::<S, TwoWords, 16>(),
            9..=16 => both::<S, TwoWords, 0>(),
            _ => both::<S, Bytes, 0>(),
        }
    }

    fn in_percpu<S: Kinds>(key_size: u32) -> Lookups {
        fn both<S: Kinds, K: Key, const LEN: usize>() -> Lookups {
            let (one, burst): (HelperFn, Burst) = match compares_lines() {
                true => (in_percpu_wide::<S, K, LEN>, percpu_burst_wide::<S, K, LEN>),
                false => (in_percpu::<S, K, LEN>, percpu_burst::<S, K, LEN>),
            };
            Lookups { one, by_slot: true, burst }
        }
        match key_size {
            4 => both::<S, OneWord, 4>(),
            8 => both::<S, OneWord, 8>(),
            1..=8 => both::<S, OneWord, 0>(),
            16 => both::<S, TwoWords, 16>(),
            9..=16 => both::<S, TwoWords, 0>(),
            _ => both::<S, Bytes, 0>(),
        }
    }

    fn in_trie(t: &Trie) -> Lookups {
        let (one, burst): (HelperFn, Burst) = match (t.has_chunks(), counts_bits()) {
            (true, true) => (in_chunks_quick, chunks_burst_quick),
            (true, false) => (in_chunks, chunks_burst),
            (false, true) => (in_trie_quick, trie_burst_quick),
            (false, false) => (in_trie, trie_burst),
        };
        Lookups { one: if t.has_front() { in_trie_with_front } else { one }, by_slot: false, burst }
    }
}

/// The size of keys of this form: that of the table where `LEN` is 0.
const fn size<const LEN: usize>(key_size: usize) -> usize {
    if LEN == 0 { key_size } else { LEN }
}

on_lines! {
    /// # Safety
    /// `map` is the address of a [`Map`] that lives, `key` readable for its key size, which is `LEN` or one that `K` is for.
    in_hash, in_hash_wide, [S: Kinds, K: Key, const LEN: usize] C, "C"
    (map: u64, key: u64, _r3: u64, _r4: u64, _r5: u64, _ctx: *mut Ctx) -> u64 {
        // SAFETY: the caller's word.
        let Some(h) = S::hash(unsafe { &(*(map as *const Map)).kind }) else { return 0 };
        // SAFETY: the caller's word.
        let key = unsafe { K::at(key as *const u8, size::<LEN>(h.key_size())) };
        // SAFETY: the caller's word.
        unsafe { h.lookup_key::<K, C>(&key) as u64 }
    }
}

on_lines! {
    /// # Safety
    /// As [`in_hash`]; `ctx` is a context of a worker.
    in_percpu, in_percpu_wide, [S: Kinds, K: Key, const LEN: usize] C, "C"
    (map: u64, key: u64, _r3: u64, _r4: u64, _r5: u64, ctx: *mut Ctx) -> u64 {
        // SAFETY: the caller's word.
        let Some(h) = S::percpu(unsafe { &(*(map as *const Map)).kind }) else { return 0 };
        // SAFETY: the caller's word.
        let (key, cpu) = unsafe { (K::at(key as *const u8, size::<LEN>(h.key_size())), (*ctx).slot) };
        // SAFETY: the caller's word.
        unsafe { h.lookup_key::<K, C>(&key, cpu) as u64 }
    }
}

on_lines! {
    /// # Safety
    /// The keys are readable for the map's key size, which is `LEN` or one that `K` is for.
    hash_burst, hash_burst_wide, [S: Kinds, K: Key, const LEN: usize] C,
    (kind: &Kind, keys: &[*const u8], out: &mut [*mut u8], _cpu: u32) {
        if let Some(h) = S::hash(kind) {
            // SAFETY: the caller's word.
            unsafe { h.lookup_burst::<K, C>(keys, size::<LEN>(h.key_size()), out) }
        }
    }
}

on_lines! {
    /// # Safety
    /// As [`hash_burst`].
    percpu_burst, percpu_burst_wide, [S: Kinds, K: Key, const LEN: usize] C,
    (kind: &Kind, keys: &[*const u8], out: &mut [*mut u8], cpu: u32) {
        if let Some(h) = S::percpu(kind) {
            // SAFETY: the caller's word.
            unsafe { h.lookup_burst::<K, C>(keys, size::<LEN>(h.key_size()), out, cpu) }
        }
    }
}

#[inline(always)]
fn trie(kind: &Kind) -> Option<&Trie> {
    if let Kind::Ops(Ops::Trie(t)) = kind { Some(t) } else { None }
}

on_both! {
    /// # Safety
    /// As [`in_hash`].
    in_trie, in_trie_quick, "C" (map: u64, key: u64, _r3: u64, _r4: u64, _r5: u64, _ctx: *mut Ctx) -> u64 {
        // SAFETY: the caller's word.
        let Some(t) = trie(unsafe { &(*(map as *const Map)).kind }) else { return 0 };
        // SAFETY: the caller's word.
        unsafe { t.find_key(key as *const u8) as u64 }
    }
}

on_both! {
    /// # Safety
    /// As [`in_hash`], of a map that this function was chosen for: a trie with chunks in front.
    in_chunks, in_chunks_quick, "C" (map: u64, key: u64, _r3: u64, _r4: u64, _r5: u64, _ctx: *mut Ctx) -> u64 {
        // SAFETY: the caller's word.
        unsafe { trie(&(*(map as *const Map)).kind).unwrap_unchecked().find_key_in_chunks(key as *const u8) as u64 }
    }
}

/// # Safety
/// As [`in_hash`], of a map that this function was chosen for: a trie with a table in front.
unsafe extern "C" fn in_trie_with_front(map: u64, key: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    // SAFETY: the caller's word.
    unsafe {
        trie(&(*(map as *const Map)).kind).unwrap_unchecked().find_key_in_front(key as *const u8) as u64
    }
}

on_both! {
    /// # Safety
    /// As [`hash_burst`].
    trie_burst, trie_burst_quick, (kind: &Kind, keys: &[*const u8], out: &mut [*mut u8], _cpu: u32) {
        let (Some(t), Some(out)) = (trie(kind), out.get_mut(..keys.len())) else { return };
        // SAFETY: the caller's word.
        unsafe { t.find_burst(keys, out) }
    }
}

on_both! {
    /// # Safety
    /// As [`hash_burst`].
    chunks_burst, chunks_burst_quick, (kind: &Kind, keys: &[*const u8], out: &mut [*mut u8], _cpu: u32) {
        if let Some(t) = trie(kind) {
            // SAFETY: the caller's word.
            unsafe { t.find_burst_in_chunks(keys, out) }
        }
    }
}
