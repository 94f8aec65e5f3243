//! Keys: hashed, compared with an element's, written into an element. Specialised for one and two words; every other size goes word by word.
//!
//! The hash is a keyed 64×64→128 multiply whose halves are folded by exclusive-or, the same on every machine. It has a secret of 128 bits a map; nobody who
//! does not know it can aim at a bucket. An element's key is padded with zeroes to whole words.

use crate::maps::memory;
use crate::sync::{AtomicU64, Ordering};

/// What the secret is mixed with, so that a zero secret (BPF_F_ZERO_SEED) still hashes: the fraction of pi in hexadecimal.
const BASE: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

/// A map's hash key.
#[derive(Clone, Copy, Debug)]
pub(in crate::maps) struct Secret(u64, u64);

impl Secret {
    pub(in crate::maps) fn new(bits: [u64; 2]) -> Secret {
        // Odd, so that the low half of the product depends on every bit.
        Secret(Self::whitened(bits[0] ^ BASE[0]), Self::whitened(bits[1] ^ BASE[1]) | 1)
    }

    /// Lets every bit of a secret weigh on every bit of the key: secrets that differ little must not give hashes that do. The finaliser of SplitMix64.
    fn whitened(mut bits: u64) -> u64 {
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }
}

/// A key's hash: the bucket comes from the upper half, the tag from the lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::maps) struct Hash(pub(super) u64);

impl Hash {
    /// All of it.
    pub(in crate::maps) fn bits(self) -> u64 {
        self.0
    }

    /// The home bucket, below `nr_buckets`.
    #[inline]
    pub(super) fn bucket(self, nr_buckets: u32) -> u32 {
        ((u128::from(self.0) * u128::from(nr_buckets)) >> 64) as u32
    }

    #[inline]
    pub(super) fn tag(self) -> u32 {
        self.0 as u32 & ((1 << super::word::TAG_BITS) - 1)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A key that somebody asks for.
pub(in crate::maps) trait Key {
    /// # Safety
    /// `key` stays readable for `len` bytes as long as this is used; `len` is one that the form is for.
    unsafe fn at(key: *const u8, len: usize) -> Self;

    fn hash(&self, secret: Secret) -> Hash;

    /// Whether it is the element's key at this moment.
    ///
    /// # Safety
    /// `element` is the start of an element of the table that the key belongs to.
    unsafe fn is_at(&self, element: *const AtomicU64) -> bool;

    /// Makes it the element's key.
    ///
    /// # Safety
    /// As [`Key::is_at`].
    unsafe fn write(&self, element: *const AtomicU64);
}

/// A word of an element's key. Relaxed: whoever reads validates the slot word afterwards, behind a fence.
///
/// # Safety
/// The element's key has more than `i` words.
#[inline]
unsafe fn word<'a>(element: *const AtomicU64, i: usize) -> &'a AtomicU64 {
    // SAFETY: by the caller's word; elements are 8-aligned.
    unsafe { &*element.add(i) }
}

/// Up to 8 bytes as a zero-extended number.
///
/// # Safety
/// `bytes` is readable for `len` bytes; `len` is at most 8.
#[inline]
unsafe fn read_word(bytes: *const u8, len: usize) -> u64 {
    // SAFETY: each read is within `len` bytes by its condition.
    unsafe {
        match len {
            8 => bytes.cast::<u64>().read_unaligned(),
            4 => u64::from(bytes.cast::<u32>().read_unaligned()),
            _ => {
                let (mut value, mut at) = (0, 0);
                if len & 4 != 0 {
                    value = u64::from(bytes.cast::<u32>().read_unaligned());
                    at = 4;
                }
                if len & 2 != 0 {
                    value |= u64::from(bytes.add(at).cast::<u16>().read_unaligned()) << (8 * at);
                    at += 2;
                }
                if len & 1 != 0 {
                    value |= u64::from(bytes.add(at).read()) << (8 * at);
                }
                value
            }
        }
    }
}

/// A key of at most 8 bytes.
pub(in crate::maps) struct OneWord(u64);

impl Key for OneWord {
    #[inline]
    unsafe fn at(key: *const u8, len: usize) -> OneWord {
        // SAFETY: the caller's word; the form is for 1 to 8 bytes.
        OneWord(unsafe { read_word(key, len) })
    }

    #[inline]
    fn hash(&self, s: Secret) -> Hash {
        Hash(fold(self.0 ^ s.0, s.1))
    }

    #[inline]
    unsafe fn is_at(&self, element: *const AtomicU64) -> bool {
        // SAFETY: every element has one key word.
        unsafe { word(element, 0) }.load(Ordering::Relaxed) == self.0
    }

    unsafe fn write(&self, element: *const AtomicU64) {
        // SAFETY: as above.
        unsafe { word(element, 0) }.store(self.0, Ordering::Relaxed);
    }
}

/// A key of 9 to 16 bytes.
pub(in crate::maps) struct TwoWords(u64, u64);

impl Key for TwoWords {
    #[inline]
    unsafe fn at(key: *const u8, len: usize) -> TwoWords {
        // SAFETY: the caller's word; the form is for 9 to 16 bytes.
        unsafe { TwoWords(read_word(key, 8), read_word(key.add(8), len - 8)) }
    }

    #[inline]
    fn hash(&self, s: Secret) -> Hash {
        Hash(fold(self.0 ^ s.0, self.1 ^ s.1))
    }

    #[inline]
    unsafe fn is_at(&self, element: *const AtomicU64) -> bool {
        // SAFETY: the elements of this table have two key words.
        let (a, b) = unsafe { (word(element, 0), word(element, 1)) };
        a.load(Ordering::Relaxed) == self.0 && b.load(Ordering::Relaxed) == self.1
    }

    unsafe fn write(&self, element: *const AtomicU64) {
        // SAFETY: as above.
        let (a, b) = unsafe { (word(element, 0), word(element, 1)) };
        a.store(self.0, Ordering::Relaxed);
        b.store(self.1, Ordering::Relaxed);
    }
}

/// A key of any size, read where it stands.
pub(in crate::maps) struct Bytes {
    key: *const u8,
    len: usize,
}

impl Bytes {
    fn words(&self) -> usize {
        self.len.div_ceil(8)
    }

    fn word(&self, i: usize) -> u64 {
        // SAFETY: `at` was promised `len` readable bytes; word `i` begins below that and is cut there.
        unsafe { read_word(self.key.add(8 * i), (self.len - 8 * i).min(8)) }
    }
}

impl Key for Bytes {
    #[inline]
    unsafe fn at(key: *const u8, len: usize) -> Bytes {
        Bytes { key, len }
    }

    fn hash(&self, s: Secret) -> Hash {
        hash_words(self.words(), |i| self.word(i), s)
    }

    unsafe fn is_at(&self, element: *const AtomicU64) -> bool {
        // SAFETY: the elements of this table have as many key words as the key.
        (0..self.words()).all(|i| unsafe { word(element, i) }.load(Ordering::Relaxed) == self.word(i))
    }

    unsafe fn write(&self, element: *const AtomicU64) {
        for i in 0..self.words() {
            // SAFETY: as above.
            unsafe { word(element, i) }.store(self.word(i), Ordering::Relaxed);
        }
    }
}

/// The hash of the key that an element has at this moment: what [`Key::hash`] says of that key.
///
/// # Safety
/// `element` is the start of an element whose key has `len` bytes, at least one.
pub(super) unsafe fn hash_at(element: *const AtomicU64, len: usize, secret: Secret) -> Hash {
    // SAFETY: word `i` of a key that has more.
    let at = |i| unsafe { word(element, i) }.load(Ordering::Relaxed);
    match len.div_ceil(8) {
        1 => OneWord(at(0)).hash(secret),
        2 => TwoWords(at(0), at(1)).hash(secret),
        words => hash_words(words, at, secret),
    }
}

/// The hash of a key of more than two words.
fn hash_words(words: usize, word: impl Fn(usize) -> u64, s: Secret) -> Hash {
    let mut mixed = s.0;
    let mut i = 0;
    while i + 1 < words {
        mixed = fold(word(i) ^ mixed, word(i + 1) ^ s.1);
        i += 2;
    }
    if i < words {
        mixed = fold(word(i) ^ mixed, s.1);
    }
    Hash(mixed)
}

/// Copies an element's key out.
///
/// # Safety
/// `element` is the start of an element whose key has `out.len()` bytes.
pub(super) unsafe fn read_out(element: *const AtomicU64, out: &mut [u8]) {
    // SAFETY: the caller's word; elements are 8-aligned.
    unsafe { memory::load(out.as_mut_ptr(), element.cast(), out.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(key: &[u8], secret: Secret) -> Hash {
        // SAFETY: a slice is readable for its length.
        unsafe {
            match key.len() {
                1..=8 => OneWord::at(key.as_ptr(), key.len()).hash(secret),
                9..=16 => TwoWords::at(key.as_ptr(), key.len()).hash(secret),
                _ => Bytes::at(key.as_ptr(), key.len()).hash(secret),
            }
        }
    }

    #[test]
    fn words_of_every_length_are_zero_extended() {
        let bytes = [0x11u8, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        for len in 1..=8 {
            let mut padded = [0; 8];
            padded[..len].copy_from_slice(&bytes[..len]);
            // SAFETY: `len` bytes are there.
            assert_eq!(unsafe { read_word(bytes.as_ptr(), len) }, u64::from_le_bytes(padded));
        }
    }

    #[test]
    fn an_elements_key_hashes_as_the_key_that_was_written() {
        let secret = Secret::new([7, 8]);
        for len in 1..=40usize {
            let bytes: std::vec::Vec<u8> = (0..len as u8).map(|b| b.wrapping_mul(37) ^ 0xa5).collect();
            let element: [AtomicU64; 5] = core::array::from_fn(|_| AtomicU64::new(0));
            // SAFETY: the slice has `len` bytes, the element room for 40.
            unsafe {
                Bytes::at(bytes.as_ptr(), len).write(element.as_ptr());
                assert_eq!(hash_at(element.as_ptr(), len, secret), hash_of(&bytes, secret), "{len}");
            }
        }
    }

    /// The largest number of keys in one of `buckets`, over the mean.
    fn crowding(keys: impl Iterator<Item = std::vec::Vec<u8>>, secret: Secret, buckets: u32) -> f64 {
        let mut counts = std::collections::HashMap::<u32, u32>::new();
        let mut n = 0;
        for key in keys {
            *counts.entry(hash_of(&key, secret).bucket(buckets)).or_default() += 1;
            n += 1;
        }
        f64::from(*counts.values().max().unwrap()) * f64::from(buckets) / f64::from(n)
    }

    #[test]
    #[cfg_attr(miri, ignore = "numbers alone: too long for an interpreter")]
    fn regular_keys_spread_under_any_secret() {
        for secret in [[0, 0], [1, 1], [u64::MAX; 2], [0x0123_4567_89ab_cdef, 42]].map(Secret::new) {
            for (step, size) in
                [(1u64, 4), (256, 4), (1 << 16, 4), (1, 8), (1 << 40, 8), (1, 16), (1 << 20, 24), (1, 40)]
            {
                let keys = (0..20_000u64).map(|i| {
                    let mut key = std::vec::Vec::from([0; 40]);
                    key[..8].copy_from_slice(&i.wrapping_mul(step).to_le_bytes());
                    key.truncate(size);
                    key
                });
                let worst = crowding(keys, secret, 1000);
                // Twenty a bucket in the mean; 2.6 times that is far beyond chance, 65,536 twice the key at 4 bytes.
                let duplicates = if size == 4 && step == 1 << 16 { continue } else { 1.0 };
                assert!(worst < 2.6 * duplicates, "step {step} size {size}: {worst}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "numbers alone: too long for an interpreter")]
    fn keys_that_collide_under_one_secret_spread_under_another() {
        let known = Secret::new([1, 2]);
        let colliding = |i: &std::vec::Vec<u8>| hash_of(i, known).bucket(1 << 12) == 7;
        let keys: std::vec::Vec<_> =
            (0..1_200_000u64).map(|i| std::vec::Vec::from(i.to_le_bytes())).filter(colliding).collect();
        assert!(keys.len() > 100);
        for other in (3..40).map(|n| Secret::new([n, n + 1])) {
            let mut buckets = std::collections::HashMap::<u32, u32>::new();
            for key in &keys {
                *buckets.entry(hash_of(key, other).bucket(1 << 12)).or_default() += 1;
            }
            let worst = buckets.values().max().unwrap();
            assert!(*worst < 12, "{worst} of {} keys in one bucket under {other:?}", keys.len());
        }
    }
}
