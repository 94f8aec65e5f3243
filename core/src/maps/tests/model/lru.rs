//! LRU_HASH and LRU_PERCPU_HASH by what must hold whichever keys go: never refused, bounded, the newest key there, values right, nothing gone but for an update; and used keys
//! survive better.

use super::keyed::{own, put};
use super::*;
use spec::flags::{BPF_EXIST, BPF_NOEXIST};
use std::collections::BTreeMap;

const ENOENT: i32 = Errno::ENOENT.0;
const EINVAL: i32 = Errno::EINVAL.0;

/// What is known of a key that was written and not deleted.
struct Known {
    /// One of these. A program's update of a per-CPU value leaves the other CPUs' alone, or makes them zero where the key went before.
    values: Vec<Vec<u8>>,
    /// Whether it must be there: it was, and nothing was written since that it may have gone for.
    certain: bool,
}

struct Lru {
    known: BTreeMap<Vec<u8>, Known>,
    shape: Shape,
}

pub(super) fn judge(shape: Shape) -> Box<dyn Judge> {
    Box::from(Lru { known: BTreeMap::new(), shape })
}

impl Lru {
    /// A lookup that found the key, with its value where that was shown, or did not: what it must have shown.
    fn looked(&mut self, key: &[u8], found: bool, shown: Option<&[u8]>) -> Answer {
        let known = self.known.get_mut(key);
        if !found {
            assert!(!known.is_some_and(|k| k.certain), "a key that must be there is gone: {key:?}");
            self.known.remove(key);
            return Answer::errno(ENOENT);
        }
        let known = known.expect("a key that was never written");
        known.certain = true;
        if let Some(shown) = shown.filter(|shown| known.values.iter().any(|v| v == shown)) {
            known.values = Vec::from([shown.to_vec()]);
        }
        Answer::value(0, known.values[0].clone())
    }

    fn updated(&mut self, key: &[u8], values: Vec<Vec<u8>>, flags: u64, got: i32) -> i32 {
        if flags > BPF_EXIST {
            return EINVAL;
        }
        // An element is asked for before it is known whether one is needed, so that any key may go for it, the updated one too.
        self.known.values_mut().for_each(|k| k.certain = false);
        match got {
            17 if flags == BPF_NOEXIST => _ = self.looked(key, true, None),
            ENOENT if flags == BPF_EXIST => _ = self.looked(key, false, None),
            0 => {
                assert!(flags != BPF_EXIST || self.known.contains_key(key), "replaced what is not there");
                self.known.insert(key.to_vec(), Known { values, certain: true });
            }
            other => panic!("an update is refused: {other}"),
        }
        got
    }

    /// Everything that is there.
    fn read(&mut self, all: &Contents) {
        assert!(all.len() <= self.shape.spec.max_entries as usize, "{} keys", all.len());
        for (key, value) in all {
            assert_eq!(self.looked(key, true, Some(value)).bytes, *value, "{key:?}");
        }
        self.known.retain(|key, known| {
            assert!(!known.certain || all.contains_key(key), "a key that must be there is gone: {key:?}");
            all.contains_key(key)
        });
    }

    fn batch(&mut self, op: &Op, got: &Answer) -> Answer {
        let key_size = self.shape.spec.key_size as usize;
        match op {
            Op::UpdateBatch { count, flags: 1.., .. } | Op::DeleteBatch { count, flags: 1.., .. } => {
                Answer::batch((EINVAL, *count))
            }
            Op::UpdateBatch { keys, values, count, .. } => {
                for (k, v) in keys.chunks(key_size).zip(values.chunks(self.shape.value_size)) {
                    self.updated(k, Vec::from([v.to_vec()]), 0, 0);
                }
                Answer::batch((0, *count))
            }
            Op::DeleteBatch { keys, count, .. } => {
                let done = got.count as usize;
                for key in keys.chunks(key_size).take(done) {
                    self.looked(key, true, None);
                    self.known.remove(key);
                }
                if let Some(key) = keys.chunks(key_size).nth(done) {
                    self.looked(key, false, None);
                    return Answer::batch((ENOENT, done as u32));
                }
                Answer::batch((0, *count))
            }
            Op::ReadBatch(read) | Op::TakeBatch(read) if read.elem_flags | read.flags != 0 => {
                Answer::batch((EINVAL, read.room))
            }
            Op::ReadBatch(_) | Op::TakeBatch(_) => {
                self.read(&got.all.iter().cloned().collect());
                if matches!(op, Op::TakeBatch(_)) {
                    self.known.clear();
                }
                // The end, or everything when the map is full.
                assert!(
                    got.errno == ENOENT || got.errno == 0 && got.count == self.shape.spec.max_entries.into()
                );
                Answer { count: got.all.len() as u64, ..got.clone() }
            }
            other => unreachable!("{other:?}"),
        }
    }
}

impl Judge for Lru {
    fn judge(&mut self, op: &Op, got: &Answer) {
        let found = got.errno == 0;
        let want = match op {
            Op::Lookup { flags: 1.., .. } | Op::TakeOut { flags: 1.., .. } => Answer::errno(EINVAL),
            Op::Lookup { key, .. } => self.looked(key, found, Some(&got.bytes)),
            Op::See { key } => match self.looked(key, found, None) {
                a if found => Answer::value(0, own(&self.shape, &a.bytes)),
                a => a,
            },
            Op::TakeOut { key, .. } => {
                let answer = self.looked(key, found, Some(&got.bytes));
                self.known.remove(key);
                answer
            }
            Op::Delete { key } | Op::Remove { key } => {
                let errno = self.looked(key, found, None).errno;
                self.known.remove(key);
                Answer::errno(errno)
            }
            Op::Update { key, value, flags } => {
                Answer::errno(self.updated(key, Vec::from([value.clone()]), *flags, got.errno))
            }
            Op::Put { key, value, flags } => {
                let olds = self.known.get(key).map(|k| k.values.iter().map(Some)).into_iter().flatten();
                let values = olds.chain([None]).map(|old| put(&self.shape, old, value)).collect();
                Answer::errno(self.updated(key, values, *flags, got.errno))
            }
            Op::NextKey { .. } => {
                let must = self.known.values().any(|k| k.certain);
                assert!(found && !self.known.is_empty() || got.errno == ENOENT && !must, "{got:?}");
                got.clone()
            }
            batch => self.batch(batch, got),
        };
        assert_eq!(*got, want, "{op:?}");
    }

    fn judge_contents(&mut self, all: &Contents) {
        self.read(all);
    }
}

/// A key is used by a program's lookup, and by an update of what is there; not by a lookup of the control plane.
#[test]
fn used_keys_survive_a_stream_of_new_ones_and_looked_at_ones_do_not() {
    let n = if cfg!(miri) { 100 } else { 1000u64 };
    for kind in [MapType::LruHash, MapType::LruPercpuHash] {
        let spec = spec(kind, 8, 8, n as u32);
        let survivors = |whose: usize, touch: &dyn Fn(Vec<u8>, Vec<u8>) -> Op| {
            let (shape, mut subjects) = subjects(&spec);
            let subject = subjects.get_mut(whose)?;
            let key = |k: u64| k.to_le_bytes().to_vec();
            let value = || std::vec![1; shape.value_size];
            let mut random = Random(5);
            let put = |subject: &mut Box<dyn Subject>, k: u64| {
                assert_eq!(subject.apply(&Op::Update { key: key(k), value: value(), flags: 0 }).errno, 0);
            };
            (0..n / 4).for_each(|k| put(subject, k));
            for new in 0..n * 6 {
                put(subject, 1 << 32 | new);
                for _ in 0..4 {
                    subject.apply(&touch(key(random.below(n / 4)), value()));
                }
            }
            let there = |k: &u64| subject.apply(&Op::Lookup { key: key(*k), flags: 0 }).errno == 0;
            Some((0..n / 4).filter(there).count() as u64)
        };
        for (whose, name) in NAMES.into_iter().enumerate() {
            let alone = std::thread::scope(|s| {
                let look = || survivors(whose, &|key, _| Op::Lookup { key, flags: 0 });
                let see = || survivors(whose, &|key, _| Op::See { key });
                let write = || survivors(whose, &|key, value| Op::Update { key, value, flags: BPF_EXIST });
                s.spawn(move || [look(), see(), write()]).join().unwrap()
            });
            let [Some(looked), Some(seen), Some(written)] = alone else { continue };
            let of = n / 4;
            assert!(seen * 100 >= of * 95, "{kind:?} {name}: {seen} of {of} keys survive that programs use");
            assert!(
                written * 100 >= of * 95,
                "{kind:?} {name}: {written} of {of} keys survive that are written"
            );
            assert!(
                looked * 10 < of,
                "{kind:?} {name}: {looked} keys survive that only the control plane read"
            );
        }
    }
}
