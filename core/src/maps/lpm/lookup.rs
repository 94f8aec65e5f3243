//! The lookup of a key: by what stands in front of the trie where that knows the answer, else by the trie.

use super::{Bits, LENGTH_BYTES, Long, RETRIES, Trie, Word};
use crate::error::Errno;
use crate::maps::memory::load;
use core::ptr::null_mut;

/// Length and address of a key with an IPv4 address.
///
/// Two loads, since programs make it by two stores: one load of both would wait for them.
///
/// # Safety
/// `key` is readable for eight bytes.
#[inline(always)]
unsafe fn address_of(key: *const u8) -> (u32, u32) {
    // SAFETY: the caller's word.
    unsafe { (key.cast::<u32>().read_unaligned(), u32::from_be(key.add(4).cast::<u32>().read_unaligned())) }
}

impl Trie {
    /// # Safety
    /// `key` is readable for the key size.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_key(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        let (limit, data) = unsafe { self.split(key) };
        if limit > self.max_bits {
            return null_mut();
        }
        // SAFETY: the caller's word.
        let found = unsafe {
            if self.pool.is_shared() { self.find_shared(data, limit) } else { self.find_at(data, limit) }
        };
        self.values.at(found)
    }

    /// As `find_key`, of a trie that has a table in front; whatever that has no answer for goes there.
    ///
    /// # Safety
    /// `key` is readable for the key size; [`Trie::has_front`] is true.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_key_in_front(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        let (limit, address) = unsafe { address_of(key) };
        // SAFETY: the caller's word.
        let front = unsafe { self.front.unwrap_unchecked() };
        if limit == 32
            && let Some(found) = self.find_in_front(front, address)
        {
            // An element's number or 0: nobody but this process writes the memory of such a map.
            return self.values.of(found);
        }
        // SAFETY: the caller's word.
        unsafe { self.find_key_slowly(key) }
    }

    /// As `find_key`, of a trie that has chunks in front.
    ///
    /// # Safety
    /// `key` is readable for the key size; [`Trie::has_chunks`] is true.
    #[inline(always)]
    pub(in crate::maps) unsafe fn find_key_in_chunks(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word; such keys have eight bytes.
        let (chunks, limit, bytes, cell) = unsafe {
            let bytes = key.add(LENGTH_BYTES);
            (
                self.pool.chunks().unwrap_unchecked(),
                key.cast::<u32>().read_unaligned(),
                bytes.cast::<u16>().read_unaligned(),
                bytes.add(2).read(),
            )
        };
        if limit == 32
            && let Some(found) = chunks.find(bytes, cell)
        {
            return self.values.of(found);
        }
        // SAFETY: the caller's word.
        unsafe { self.find_key_slowly(key) }
    }

    /// `find_key`, out of the way of what is frequent.
    ///
    /// # Safety
    /// As there.
    #[cold]
    #[inline(never)]
    unsafe fn find_key_slowly(&self, key: *const u8) -> *mut u8 {
        // SAFETY: the caller's word.
        unsafe { self.find_key(key) }
    }

    /// Copies the value of a key; whole if no memory is used again meanwhile.
    ///
    /// # Safety
    /// As `find_key`.
    pub(super) unsafe fn read_at_once(&self, key: *const u8, out: &mut [u8]) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        let (limit, data) = unsafe { self.split(key) };
        if limit > self.max_bits {
            return Err(Errno::ENOENT);
        }
        // SAFETY: the caller's word.
        let value = self.values.at(unsafe { self.find_at(data, limit) });
        if value.is_null() {
            return Err(Errno::ENOENT);
        }
        // SAFETY: a value of `value_size` bytes, 8-aligned; the copy is no longer than both.
        unsafe { load(out.as_mut_ptr(), value, self.value_size.min(out.len())) };
        Ok(())
    }

    /// As `find_at`, where memory may be used again meanwhile.
    ///
    /// # Safety
    /// As `find_at`.
    unsafe fn find_shared(&self, data: *const u8, limit: u32) -> u32 {
        let mut found = 0;
        for _ in 0..RETRIES {
            let before = self.pool.reuses();
            // SAFETY: the caller's word.
            found = unsafe { self.find_at(data, limit) };
            if self.pool.is_undisturbed(before) {
                break;
            }
        }
        found
    }

    /// The element of an address, as index + 1.
    ///
    /// # Safety
    /// `data` is readable for the address's size.
    #[inline(always)]
    unsafe fn find_at(&self, data: *const u8, limit: u32) -> u32 {
        match self.data_size {
            4 => {
                // SAFETY: four bytes of address, by the caller's word.
                let word = u32::from_be(unsafe { data.cast::<u32>().read_unaligned() });
                let bits = Word(u64::from(word) << 32);
                if limit != 32 {
                    return self.find(&bits, limit);
                }
                match self.front {
                    Some(front) => self.find_in_front(front, word).unwrap_or_else(|| self.find_whole(&bits)),
                    None => self.find_whole(&bits),
                }
            }
            1..=8 => {
                // SAFETY: the caller's word.
                let word = unsafe { Long::new(data, self.data_size) }.at(0);
                self.find(&Word(word), limit)
            }
            // SAFETY: the caller's word.
            _ => self.find(&unsafe { Long::new(data, self.data_size) }, limit),
        }
    }
}
