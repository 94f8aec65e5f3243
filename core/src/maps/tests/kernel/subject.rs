//! The kernel's map as a subject of the model tests: bpf(2), and programs of the test's own that run on CPU 0.

use super::program::{self, Attach, EXIT, Program, add, call, copy, insn, load, packet, set, store};
use super::references::References;
use super::ring::Ring;
use super::{DELETE, KernelMap, LOOKUP, LOOKUP_AND_DELETE, UPDATE};
use crate::error::Errno;
use crate::isa::Insn;
use crate::maps::tests::code;
use crate::maps::tests::model::{Answer, Contents, Op, Read, Subject, is_ordered};
use crate::maps::{Batch, BatchInput, MapSpec, MapType};
use std::vec::Vec;

/// What a program does with a key; of a queue it peeks, pushes and pops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Lookup = 1,
    Update = 2,
    Delete = 3,
}

/// The kernel's map, what its entries refer to, and programs that use it.
#[derive(Debug)]
pub(in crate::maps) struct Theirs {
    spec: MapSpec,
    pub(super) map: KernelMap,
    references: References,
    programs: [Option<Program>; 3],
    ring: Option<Ring>,
}

impl Theirs {
    /// `None` where the system does not permit it, with a line that says so. CI permits it, so there it is a failure.
    pub(in crate::maps) fn create(spec: &MapSpec) -> Option<Theirs> {
        // Asked first, so that it is this that says no.
        drop(KernelMap::create(&MapSpec::new(MapType::Array, 4, 4, 1))?);
        stay_on_cpu_0();
        let Some(references) = References::of(spec.kind) else {
            super::say_skipped(spec.kind, "nothing that such a map holds can be made");
            return None;
        };
        let map = match references.template() {
            Some(inner) => KernelMap::create_outer(spec, inner)?,
            None => KernelMap::create(spec)?,
        };
        let ring = matches!(spec.kind, MapType::Ringbuf | MapType::UserRingbuf)
            .then(|| Ring::of(&map, spec).expect("a ring can be mapped"));
        Some(Theirs { spec: *spec, map, references, programs: [const { None }; 3], ring })
    }

    fn run(&mut self, does: Does, mut arguments: Vec<u8>) -> (i32, Vec<u8>) {
        let program = self.programs[does as usize - 1].get_or_insert_with(|| {
            let value_size = self.spec.value_size as i16;
            let insns = match is_queue(self.spec.kind) {
                true => queued(&self.map, value_size, does),
                false => keyed(&self.map, value_size, does),
            };
            Program::load(&insns, Attach::Interface).expect("a program can be loaded")
        });
        let answer = program.run(&mut arguments);
        (-answer, arguments)
    }

    fn lookup(&self, key: &[u8], flags: u64) -> Answer {
        let mut out = std::vec![0u8; self.map.value_size];
        let errno = self.map.element(LOOKUP, key, out.as_mut_ptr(), flags);
        Answer::value(errno, self.shown(out))
    }

    fn shown(&self, value: Vec<u8>) -> Vec<u8> {
        if holds_references(self.spec.kind) { self.references.shown(&self.spec, &value) } else { value }
    }

    fn read(&self, take: bool, read: &Read) -> Answer {
        let (key_size, value_size) = (self.map.key_size, self.map.value_size);
        let room = read.room as usize;
        let (mut keys, mut values) = (std::vec![0; room * key_size], std::vec![0; room * value_size]);
        let mut next = [0; 264];
        let Read { elem_flags, flags, .. } = *read;
        let mut b = Batch { keys: &mut keys, values: &mut values, count: read.room, elem_flags, flags };
        let said = self.map.read_batch(take, read.from.as_deref(), &mut next, &mut b);
        let values: Vec<u8> = values.chunks(value_size.max(1)).flat_map(|v| self.shown(v.to_vec())).collect();
        Answer::read(self.spec.kind, said, (&keys, key_size), (&values, value_size), &next)
    }

    fn next_key(&self, key: Option<&[u8]>) -> Answer {
        let mut next = std::vec![0; self.map.key_size];
        let errno = code(self.map.next_key(key, &mut next));
        if errno == 0 && !is_ordered(self.spec.kind) {
            assert_eq!(self.lookup(&next, 0).errno, 0, "a walk met a key that is not there");
            return Answer::errno(0);
        }
        Answer::value(errno, next)
    }
}

fn is_queue(kind: MapType) -> bool {
    matches!(kind, MapType::Queue | MapType::Stack)
}

fn holds_references(kind: MapType) -> bool {
    matches!(
        kind,
        MapType::ProgArray
            | MapType::PerfEventArray
            | MapType::ArrayOfMaps
            | MapType::HashOfMaps
            | MapType::Devmap
            | MapType::DevmapHash
            | MapType::Cpumap
            | MapType::Xskmap
    )
}

/// Each row has a thread of its own.
fn stay_on_cpu_0() {
    // SAFETY: a set of CPUs, zeroed, of the size that is said; this thread's alone.
    unsafe {
        let mut cpus: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(0, &mut cpus);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cpus);
    }
}

/// A program that does it with the key in the packet; the value that it found is in the packet then.
fn keyed(of: &KernelMap, value_size: i16, does: Does) -> Vec<Insn> {
    let mut insns = packet((program::VALUE + value_size).into()).to_vec();
    insns.extend([copy(2, 6), add(2, program::KEY.into()), copy(3, 6), add(3, program::VALUE.into())]);
    insns.push(load(8, 4, 6, program::FLAGS));
    insns.extend(program::map(1, &of.fd));
    insns.push(call(does as i32));
    if does == Does::Lookup {
        // if r0 != 0 goto +2
        insns.extend([insn(0x55, 0, 0, 2, 0), set(0, -Errno::ENOENT.0), EXIT]);
        for at in 0..value_size {
            insns.extend([load(1, 1, 0, at), store(1, 6, program::VALUE + at, 1)]);
        }
        insns.push(set(0, 0));
    }
    insns.push(EXIT);
    insns
}

/// The same of a queue, which writes to no packet.
fn queued(of: &KernelMap, value_size: i16, does: Does) -> Vec<Insn> {
    const STACK: i16 = -64;
    let (helper, pushes) = match does {
        Does::Update => (87, true),
        Does::Delete => (88, false),
        Does::Lookup => (89, false),
    };
    let mut insns = packet((program::VALUE + value_size).into()).to_vec();
    let (value, at) = if pushes { (6, program::VALUE) } else { (10, STACK) };
    insns.extend([copy(2, value), add(2, at.into()), load(8, 3, 6, program::FLAGS)]);
    insns.extend(program::map(1, &of.fd));
    insns.push(call(helper));
    for at in (0..value_size).filter(|_| !pushes) {
        insns.extend([load(1, 1, 10, STACK + at), store(1, 6, program::VALUE + at, 1)]);
    }
    insns.push(EXIT);
    insns
}

/// A packet with a program's arguments.
fn arguments(key: &[u8], value: &[u8], value_size: u32, flags: u64) -> Vec<u8> {
    let mut packet = std::vec![0; program::VALUE as usize + value_size as usize];
    packet[..key.len()].copy_from_slice(key);
    packet[program::FLAGS as usize..][..8].copy_from_slice(&flags.to_le_bytes());
    packet[program::VALUE as usize..][..value.len()].copy_from_slice(value);
    packet
}

impl Subject for Theirs {
    fn apply(&mut self, op: &Op) -> Answer {
        let value_size = self.spec.value_size;
        match op {
            Op::Lookup { key, flags } => self.lookup(key, *flags),
            Op::Ask { value, flags } => {
                Answer::errno(self.map.element(LOOKUP, &[], value.clone().as_mut_ptr(), *flags))
            }
            Op::TakeOut { key, flags } => {
                let mut out = std::vec![0u8; self.map.value_size];
                let errno = self.map.element(LOOKUP_AND_DELETE, key, out.as_mut_ptr(), *flags);
                Answer::value(errno, out)
            }
            Op::Update { key, value, flags } if holds_references(self.spec.kind) => {
                let given = self.references.given(&self.spec, value);
                Answer::errno(self.map.element(UPDATE, key, given.as_ptr(), *flags))
            }
            Op::Update { key, value, flags } => {
                Answer::errno(self.map.element(UPDATE, key, value.as_ptr(), *flags))
            }
            Op::Delete { key } => Answer::errno(self.map.element(DELETE, key, core::ptr::null(), 0)),
            Op::NextKey { key } => self.next_key(key.as_deref()),
            Op::UpdateBatch { keys, values, count, flags } => {
                let b = BatchInput { keys, values, count: *count, elem_flags: *flags };
                Answer::batch(self.map.write_batch(false, &b))
            }
            Op::DeleteBatch { keys, count, flags } => {
                let b = BatchInput { keys, values: &[], count: *count, elem_flags: *flags };
                Answer::batch(self.map.write_batch(true, &b))
            }
            Op::ReadBatch(read) => self.read(false, read),
            Op::TakeBatch(read) => self.read(true, read),
            Op::See { key } => {
                let (errno, left) = self.run(Does::Lookup, arguments(key, &[], value_size, 0));
                Answer::value(errno, left[program::VALUE as usize..].to_vec())
            }
            Op::Put { key, value, flags } => {
                Answer::errno(self.run(Does::Update, arguments(key, value, value_size, *flags)).0)
            }
            Op::Remove { key } if is_queue(self.spec.kind) => {
                let (errno, left) = self.run(Does::Delete, arguments(key, &[], value_size, 0));
                Answer::value(errno, left[program::VALUE as usize..].to_vec())
            }
            Op::Remove { key } => Answer::errno(self.run(Does::Delete, arguments(key, &[], value_size, 0)).0),
            Op::Produce { .. } | Op::Query { .. } | Op::Consume { .. } => {
                self.ring.as_mut().expect("a ring").apply(op)
            }
        }
    }

    fn kind(&self) -> MapType {
        self.spec.kind
    }

    fn walk(&mut self, key: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut next = std::vec![0; self.map.key_size];
        self.map.next_key(key, &mut next).ok().map(|()| next)
    }

    /// Nobody can read what an entry holds. But an update with BPF_NOEXIST by the socket that is there says 0, by another one EEXIST.
    fn all_sockets(&mut self) -> Contents {
        const NOEXIST: u64 = 1;
        let mut all = Contents::new();
        for key in (0..self.spec.max_entries).map(u32::to_le_bytes) {
            let is = |socket: &[u8]| self.map.element(UPDATE, &key, socket.as_ptr(), NOEXIST) == 0;
            if is(&self.references.probe()) {
                self.map.element(DELETE, &key, core::ptr::null(), 0);
                continue;
            }
            let number = (1..=crate::maps::tests::model::pool::SIZE)
                .find(|n| is(&self.references.given(&self.spec, &n.to_le_bytes())));
            all.insert(key.to_vec(), number.unwrap_or(0).to_le_bytes().to_vec());
        }
        all
    }
}
