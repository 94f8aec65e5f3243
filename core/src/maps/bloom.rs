//! BLOOM_FILTER: whether a value may have been pushed. Never a false "no"; a false "yes" in about one of thirty questions when it is full.
//!
//! Pushing sets a few bits, asking looks at them; both without a lock. Bits are never cleared. The bit numbers are an arithmetic sequence from the two halves
//! of one hash (Kirsch and Mitzenmacher, "Less hashing, same performance", 2006).
//! Kernel: a Jenkins hash for each bit; uxdp: the map's keyed hash, so that other values are false positives.
//! Source of the sizes and errors: the kernel's `kernel/bpf/bloom_filter.c`.

use super::layout::{CACHE_LINE, Cursor, Layout};
use super::ops::{MapOps, Reference};
use super::queue::MAX_VALUE;
use super::spec::flags::{BPF_ANY, BPF_F_ZERO_SEED};
use super::table::key::Secret;
use super::table::{Key, with_key};
use super::{Making, MapError, MapSpec};
use crate::error::Errno;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use core::ptr::NonNull;

/// Hashes where `map_extra` is 0.
const DEFAULT_HASHES: u32 = 5;
/// Bits of `map_extra` that say how many hashes.
const HASHES_MASK: u64 = 0xf;

/// The bits.
#[derive(Debug)]
pub(super) struct Bloom {
    words: NonNull<AtomicU64>,
    /// Bits - 1; bits are a power of two.
    mask: u32,
    hashes: u32,
    secret: Secret,
    value_size: usize,
}

/// Whether the kernel would make this map.
pub(super) fn check(spec: &MapSpec, known: u32) -> Result<(), MapError> {
    if spec.extra & !HASHES_MASK != 0 {
        return Err(MapError::Extra(spec.kind, spec.extra));
    }
    super::queue::check(spec, known)?;
    if spec.value_size > MAX_VALUE {
        return Err(MapError::ElementTooBig { kind: spec.kind, key_size: 0, value_size: spec.value_size });
    }
    Ok(())
}

fn hashes(spec: &MapSpec) -> u32 {
    match spec.extra & HASHES_MASK {
        0 => DEFAULT_HASHES,
        n => n as u32,
    }
}

/// Bits - 1: for each value and hash 7/5 bits (the optimum is 1 / ln 2), rounded up to a power of two; 2^32 at most.
fn mask(spec: &MapSpec) -> u32 {
    let bits = u64::from(spec.max_entries) * u64::from(hashes(spec)) / 5 * 7;
    bits.next_power_of_two().clamp(64, 1 << 32).wrapping_sub(1) as u32
}

pub(super) fn layout(spec: &MapSpec, at: &mut Cursor, l: &mut Layout) -> Option<()> {
    l.values = at.take((mask(spec) as usize + 1) / 8, CACHE_LINE)?;
    Some(())
}

impl Bloom {
    pub(super) fn new(m: &Making<'_>) -> Bloom {
        let (spec, mask) = (m.spec, mask(m.spec));
        let zero_seed = spec.flags & BPF_F_ZERO_SEED != 0;
        Bloom {
            words: m.region.section(m.l.values, (mask as usize + 1) / 8).cast(),
            mask,
            hashes: hashes(spec),
            secret: Secret::new(if zero_seed { [0; 2] } else { m.cfg.secret }),
            value_size: spec.value_size as usize,
        }
    }

    /// What `with_key` asks: here the value is what is hashed.
    fn key_size(&self) -> usize {
        self.value_size
    }

    /// The words and bits of a value.
    ///
    /// # Safety
    /// `value` is readable for the value size.
    unsafe fn bits(&self, value: *const u8) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let hash = with_key!(self, value, |k| k.hash(self.secret).bits());
        let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
        (0..self.hashes).map(move |i| {
            let bit = first.wrapping_add(i.wrapping_mul(step)) & self.mask;
            // SAFETY: there are `mask` + 1 bits, a multiple of 64.
            let word = unsafe { self.words.add(bit as usize / 64).as_ref() };
            (word, 1 << (bit % 64))
        })
    }

    /// # Safety
    /// As `bits`.
    unsafe fn has(&self, value: *const u8) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        let all = unsafe { self.bits(value) }.all(|(word, bit)| word.load(Relaxed) & bit != 0);
        if all { Ok(()) } else { Err(Errno::ENOENT) }
    }
}

impl MapOps for Bloom {
    unsafe fn push(&self, value: *const u8, flags: u64, _: u32) -> Result<(), Errno> {
        if flags != BPF_ANY {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller's word.
        for (word, bit) in unsafe { self.bits(value) } {
            // A bit that is set already costs no exclusive cache line.
            if word.load(Relaxed) & bit == 0 {
                word.fetch_or(bit, Relaxed);
            }
        }
        Ok(())
    }

    unsafe fn peek(&self, value: *mut u8, _: Result<u32, Errno>) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        unsafe { self.has(value) }
    }

    fn read(&self, _: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: `control` checked that `out` has the value size.
        unsafe { self.has(out.as_ptr()) }
    }

    fn write(&self, slot: u32, _: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        // SAFETY: as above.
        unsafe { self.push(value.as_ptr(), flags, slot) }
    }

    fn remove(&self, _: u32, _: &[u8]) -> Result<Option<Reference>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn next(&self, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
