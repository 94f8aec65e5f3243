//! Hashes, LRUs, arrays and tries.

use super::model::{E2BIG, EBUSY, EINVAL, ENOENT, Model};
use super::{CONTROL, CPUS, code, walked};
use crate::bytes::Bytes;
use core::ops::ControlFlow;
use uxdp_core::error::Errno;
use uxdp_core::maps::spec::flags::BPF_F_LOCK;
use uxdp_core::maps::{Batch, BatchInput, Map};
use uxdp_core::sync::Arc;

/// A map, what it should hold, and whether the control plane may still write.
struct Pair<'a> {
    map: &'a Arc<Map>,
    model: Model,
    frozen: bool,
}

pub(super) fn run(map: &Arc<Map>, bytes: &mut Bytes<'_>) {
    let mut pair = Pair { map, model: Model::new(map.spec()), frozen: false };
    while !bytes.is_empty() {
        pair.step(bytes);
    }
    pair.same_contents();
}

impl Pair<'_> {
    /// A key of few, so that operations meet.
    fn key(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let spec = &self.model.spec;
        let mut key = vec![0; spec.key_size as usize];
        if !self.model.is_trie() {
            key[0] = bytes.below(spec.max_entries.min(170) as usize * 3 / 2 + 1) as u8;
            return key;
        }
        let bits = 8 * (key.len() - 4);
        let len = if bytes.rarely(3) { bits } else { bytes.below(bits.min(255) + 1) };
        key[..4].copy_from_slice(&(len as u32 + u32::from(bytes.rarely(40))).to_le_bytes());
        for at in 4..key.len().min(8) {
            key[at] = bytes.pick(&[0, 0, 1, 0x80, 0xff, 10]);
        }
        key
    }

    fn flags(bytes: &mut Bytes<'_>) -> u64 {
        bytes.pick(&[0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 8, 1 << 32])
    }

    /// A value as bpf(2) has it, zero where it is padding.
    fn value(&self, fill: u8) -> Vec<u8> {
        let mut value = vec![0; self.model.buffer_size()];
        for (i, slot) in value.chunks_mut(self.model.spec.slot_value_size()).enumerate() {
            slot[..self.model.spec.value_size as usize].fill(fill.wrapping_add(i as u8));
        }
        value
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let (key, fill) = (self.key(bytes), bytes.byte());
        match bytes.below(16) {
            0..3 => self.update(&key, fill, Self::flags(bytes)),
            3..6 => self.program_updates(&key, fill, Self::flags(bytes), bytes.below(CPUS as usize) as u32),
            6..8 => self.look(&key, bytes),
            8 => {
                let want = if self.frozen { 1 } else { self.model.remove(&key).err().unwrap_or(0) };
                assert_eq!(code(self.map.delete_elem(CONTROL, &key).map(drop)), want);
            }
            9 => {
                let want = self.model.remove(&key).err().unwrap_or(0);
                // SAFETY: the key has its size; nobody else has the slot.
                assert_eq!(code(unsafe { self.map.delete(key.as_ptr(), 1) }), want);
            }
            10 => self.take(&key),
            11 => self.update_many(fill, bytes),
            12 => self.delete_many(bytes),
            13 => self.read_by_batches(1 + bytes.below(50) as u32, bytes.rarely(4)),
            14 => self.one_cpu(&key, fill, Self::flags(bytes), bytes.below(CPUS as usize + 1) as u32),
            _ => self.odd(&key, bytes),
        }
        if self.model.is_lru() {
            self.forget_evicted();
        }
    }

    fn update(&mut self, key: &[u8], fill: u8, flags: u64) {
        let (want, value) = (self.model.judge(key, flags), self.value(fill));
        let got = code(self.map.update_elem(CONTROL, key, &value, flags));
        if self.frozen {
            return assert_eq!(got, 1, "frozen");
        }
        self.updated(key, got, want, |model| model.set(key, &value));
    }

    fn program_updates(&mut self, key: &[u8], fill: u8, flags: u64, cpu: u32) {
        let (mut want, value) =
            (self.model.judge(key, flags), vec![fill; self.model.spec.value_size as usize]);
        if self.model.is_array() && flags == BPF_F_LOCK && self.model.judge(key, 0) == E2BIG {
            want = E2BIG; // As in the kernel, the helper looks at the index first.
        }
        // SAFETY: key and value have their sizes; nobody else has the slot.
        let got = code(unsafe { self.map.update(key.as_ptr(), value.as_ptr(), flags, cpu) });
        self.updated(key, got, want, |model| model.set_one(key, cpu as usize, &value));
    }

    fn updated(&mut self, key: &[u8], got: i32, want: i32, set: impl FnOnce(&mut Model)) {
        if self.model.is_lru() && got == ENOENT && want == 0 {
            return; // As in the kernel, an element can be evicted for its own update.
        }
        assert_eq!(got, want, "{key:?}");
        if want == 0 {
            set(&mut self.model);
            assert!(self.has(key), "the newest key is there");
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        self.map.lookup_elem(key, &mut self.value(0), 0).is_ok()
    }

    fn look(&self, key: &[u8], bytes: &mut Bytes<'_>) {
        let want = self.model.find(key);
        let mut out = self.value(0xee);
        let got = self.map.lookup_elem(key, &mut out, 0);
        assert_eq!(got.is_ok().then_some(&out), want, "{key:?}");
        assert!(want.is_some() || got == Err(Errno::ENOENT));
        let cpu = bytes.below(CPUS as usize);
        let size = self.model.spec.slot_value_size();
        // SAFETY: the key has its size.
        let found = unsafe { self.map.lookup(key.as_ptr(), cpu as u32) };
        let at = if self.model.spec.kind.is_percpu() { cpu * size } else { 0 };
        let want = want.map(|all| &all[at..][..self.model.spec.value_size as usize]);
        // SAFETY: a value has its size, and nobody writes to it now.
        let found = (!found.is_null())
            .then(|| unsafe { core::slice::from_raw_parts(found, self.model.spec.value_size as usize) });
        assert_eq!(found, want, "a program's lookup of {key:?}");
    }

    fn take(&mut self, key: &[u8]) {
        let mut out = self.value(0xee);
        let got = code(self.map.lookup_and_delete_elem(CONTROL, key, &mut out, 0));
        if self.frozen || self.model.is_array() || self.model.is_trie() {
            return assert!(got != 0);
        }
        match self.model.remove(key) {
            Ok(value) => assert_eq!((got, out), (0, value)),
            Err(errno) => assert_eq!(got, errno),
        }
    }

    fn update_many(&mut self, fill: u8, bytes: &mut Bytes<'_>) {
        let all: Vec<_> =
            (0..bytes.below(6) as u8).map(|i| (self.key(bytes), self.value(fill.wrapping_add(i)))).collect();
        let (keys, values): (Vec<_>, Vec<_>) = all.iter().cloned().unzip();
        let (keys, values) = (keys.concat(), values.concat());
        let mut batch = BatchInput { keys: &keys, values: &values, count: all.len() as u32, elem_flags: 0 };
        let got = code(self.map.update_batch(CONTROL, &mut batch));
        if self.frozen {
            return assert_eq!(got, 1);
        }
        for (i, (key, value)) in all.iter().enumerate() {
            match self.model.judge(key, 0) {
                0 => self.model.set(key, value),
                errno => return assert_eq!((got, batch.count), (errno, i as u32)),
            }
        }
        assert_eq!((got, batch.count), (0, all.len() as u32));
    }

    fn delete_many(&mut self, bytes: &mut Bytes<'_>) {
        let all: Vec<_> = (0..bytes.below(4)).map(|_| self.key(bytes)).collect();
        let keys = all.concat();
        let mut batch = BatchInput { keys: &keys, values: &[], count: all.len() as u32, elem_flags: 0 };
        let got = code(self.map.delete_batch(CONTROL, &mut batch, &mut drop));
        if self.frozen || self.model.is_array() {
            return assert!(got != 0, "frozen, or without deletion");
        }
        for (i, key) in all.iter().enumerate() {
            if let Err(errno) = self.model.remove(key) {
                return assert_eq!((got, batch.count), (errno, i as u32));
            }
        }
        assert_eq!((got, batch.count), (0, all.len() as u32));
    }

    /// Everything, `room` elements at a time; where `take` says so they are removed.
    fn read_by_batches(&mut self, room: u32, take: bool) {
        if take && (self.frozen || self.model.is_array() || self.model.is_trie()) {
            return;
        }
        let (key_size, value_size) = (self.model.spec.key_size as usize, self.model.buffer_size());
        let mut keys = vec![0; room as usize * key_size];
        let mut values = vec![0; room as usize * value_size];
        let (mut from, mut next) = (None, vec![0; self.map.batch_cursor_size()]);
        let mut read = std::collections::BTreeMap::new();
        loop {
            let mut batch =
                Batch { keys: &mut keys, values: &mut values, count: room, elem_flags: 0, flags: 0 };
            let cursor = from.as_ref().map(|c: &Vec<u8>| &c[..]);
            let answer = match take {
                true => self.map.lookup_and_delete_batch(CONTROL, cursor, &mut next, &mut batch, &mut drop),
                false => self.map.lookup_batch(cursor, &mut next, &mut batch),
            };
            let count = batch.count as usize;
            assert!(count <= room as usize);
            for (key, value) in keys.chunks(key_size).zip(values.chunks(value_size)).take(count) {
                let key = self.model.kept(key).expect("a key that can be");
                assert!(read.insert(key, value.to_vec()).is_none(), "a key twice");
            }
            from = Some(next.clone());
            match code(answer) {
                0 if count > 0 => {}
                0 | ENOENT => break,
                errno => panic!("a batch answers {errno}"),
            }
        }
        assert_eq!(read, self.model.elements);
        if take {
            self.model.elements.clear();
        }
    }

    fn one_cpu(&mut self, key: &[u8], fill: u8, flags: u64, cpu: u32) {
        let size = self.model.spec.value_size as usize;
        let (value, mut out) = (vec![fill; size], vec![0; size]);
        let set = code(self.map.update_elem_cpu(CONTROL, key, (cpu, &value), flags));
        let per_cpu = self.model.spec.kind.is_percpu();
        if self.frozen || !per_cpu || cpu >= CPUS {
            return assert!(set != 0 && (!per_cpu || cpu < CPUS || !self.frozen || set == 1));
        }
        let want = self.model.judge(key, flags);
        self.updated(key, set, want, |model| model.set_one(key, cpu as usize, &value));
        let at = cpu as usize * self.model.spec.slot_value_size();
        let got = self.map.lookup_elem_cpu(key, cpu, &mut out);
        if self.model.is_lru() && !self.has(key) {
            return;
        }
        let want = self.model.find(key).map(|all| &all[at..][..size]);
        assert_eq!(got.is_ok().then_some(&out[..]), want);
    }

    /// Wrong sizes, unknown flags, a walk that shows everything, the end of writing.
    fn odd(&mut self, key: &[u8], bytes: &mut Bytes<'_>) {
        let (mut out, value) = (self.value(0), self.value(1));
        match bytes.below(8) {
            0 => {
                let long = [key, &[0]].concat();
                assert_eq!(code(self.map.lookup_elem(&long, &mut out, 0)), EINVAL);
                assert_eq!(code(self.map.lookup_elem(&key[1..], &mut out, 0)), EINVAL);
                assert_eq!(code(self.map.next_key(Some(&long), &mut vec![0; key.len()])), EINVAL);
            }
            1 => {
                out.push(0);
                assert_eq!(code(self.map.lookup_elem(key, &mut out, 0)), EINVAL);
                let set = code(self.map.update_elem(CONTROL, key, &out, 0));
                assert!(matches!(set, EINVAL | 1));
            }
            2 => assert_eq!(code(self.map.lookup_elem(key, &mut out, 1 << bytes.below(64))), EINVAL),
            3 if !self.model.is_array() && !self.model.is_trie() => {
                let set = code(self.map.update_elem(99, key, &value, 0));
                assert_eq!(set, if self.frozen { 1 } else { EBUSY }, "there is no such slot");
            }
            4 if bytes.rarely(4) => {
                assert_eq!(self.map.freeze().is_ok(), !self.frozen);
                self.frozen = true;
            }
            _ => self.same_contents(),
        }
    }

    /// What an LRU gave up is forgotten; what it holds has to be right.
    fn forget_evicted(&mut self) {
        let there = walked(self.map);
        self.model.elements.retain(|key, _| there.contains(key));
        self.same_contents();
    }

    fn same_contents(&self) {
        let mut keys = walked(self.map);
        if self.model.is_trie() {
            keys.iter_mut().for_each(|k| *k = self.model.kept(k).expect("a prefix that can be"));
        }
        keys.sort();
        assert!(keys.iter().eq(self.model.elements.keys()), "keys {keys:?}");
        let mut out = self.value(0);
        for key in &keys {
            assert_eq!(code(self.map.lookup_elem(key, &mut out, 0)), 0);
            assert_eq!(self.model.elements.get(key), Some(&out));
        }
        if !self.model.is_trie() {
            let shown = self.map.for_each(1, |_, _| ControlFlow::Continue(()));
            assert_eq!(shown, keys.len() as u64);
        }
    }
}
