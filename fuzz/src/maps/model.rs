//! What maps of keys answer, in the plainest words: errno numbers, and values as bpf(2) has them.

use super::CPUS;
use std::collections::BTreeMap;
use uxdp_core::maps::spec::flags::{BPF_EXIST, BPF_NOEXIST};
use uxdp_core::maps::{MapSpec, MapType};

pub(super) const ENOENT: i32 = 2;
pub(super) const E2BIG: i32 = 7;
pub(super) const EBUSY: i32 = 16;
pub(super) const EEXIST: i32 = 17;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOSPC: i32 = 28;

/// Keys and values. A key of a trie is its length and its bits, the others zero.
pub(super) struct Model {
    pub(super) spec: MapSpec,
    pub(super) elements: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Model {
    pub(super) fn new(spec: &MapSpec) -> Model {
        let mut model = Model { spec: *spec, elements: BTreeMap::new() };
        if model.is_array() {
            let zeros = vec![0; model.buffer_size()];
            model.elements =
                (0..spec.max_entries).map(|i| (i.to_le_bytes().to_vec(), zeros.clone())).collect();
        }
        model
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.spec.kind, MapType::Array | MapType::PercpuArray)
    }

    pub(super) fn is_lru(&self) -> bool {
        matches!(self.spec.kind, MapType::LruHash | MapType::LruPercpuHash)
    }

    pub(super) fn is_trie(&self) -> bool {
        self.spec.kind == MapType::LpmTrie
    }

    /// Bytes of a value of all CPUs.
    pub(super) fn buffer_size(&self) -> usize {
        self.spec.slot_value_size() * if self.spec.kind.is_percpu() { CPUS as usize } else { 1 }
    }

    /// The key as it is kept; none where there can be no such key.
    pub(super) fn kept(&self, key: &[u8]) -> Option<Vec<u8>> {
        if !self.is_trie() {
            return Some(key.to_vec());
        }
        let (len, bits) = key.split_at(4);
        let len = u32::from_le_bytes(len.try_into().ok()?);
        if len as usize > 8 * bits.len() {
            return None;
        }
        Some(prefix(len, bits))
    }

    /// What an update answers before it is made.
    pub(super) fn judge(&self, key: &[u8], flags: u64) -> i32 {
        let Some(kept) = self.kept(key).filter(|_| flags <= BPF_EXIST) else { return EINVAL };
        let there = self.elements.contains_key(&kept);
        let full = self.elements.len() >= self.spec.max_entries as usize;
        match flags {
            _ if self.is_array() && !there => E2BIG,
            BPF_NOEXIST if there => EEXIST,
            BPF_EXIST if !there => ENOENT,
            _ if there || !full || self.is_lru() => 0,
            _ if self.is_trie() => ENOSPC,
            _ => E2BIG,
        }
    }

    /// Sets what every CPU has.
    pub(super) fn set(&mut self, key: &[u8], value: &[u8]) {
        if let Some(kept) = self.kept(key) {
            self.elements.insert(kept, value.to_vec());
        }
    }

    /// Sets what one CPU has; the others of a new element have zeros.
    pub(super) fn set_one(&mut self, key: &[u8], cpu: usize, value: &[u8]) {
        let Some(kept) = self.kept(key) else { return };
        let (size, cpu) = (self.spec.slot_value_size(), if self.spec.kind.is_percpu() { cpu } else { 0 });
        let zeros = vec![0; self.buffer_size()];
        let all = self.elements.entry(kept).or_insert(zeros);
        all[cpu * size..][..value.len()].copy_from_slice(value);
    }

    /// The value that a lookup finds; of a trie that of the longest prefix.
    pub(super) fn find(&self, key: &[u8]) -> Option<&Vec<u8>> {
        let kept = self.kept(key)?;
        if !self.is_trie() {
            return self.elements.get(&kept);
        }
        let len = u32::from_le_bytes(kept[..4].try_into().ok()?);
        (0..=len).rev().find_map(|len| self.elements.get(&prefix(len, &kept[4..])))
    }

    /// What a deletion answers; the value that was there is gone.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<Vec<u8>, i32> {
        if self.is_array() {
            return Err(EINVAL);
        }
        let kept = self.kept(key).ok_or(EINVAL)?;
        self.elements.remove(&kept).ok_or(ENOENT)
    }
}

/// A prefix: its length, its bits, the others zero.
fn prefix(len: u32, bits: &[u8]) -> Vec<u8> {
    let kept = bits.iter().enumerate().map(|(i, b)| {
        let n = len.saturating_sub(8 * i as u32).min(8);
        *b & !(0xffu32 >> n) as u8
    });
    len.to_le_bytes().into_iter().chain(kept).collect()
}
