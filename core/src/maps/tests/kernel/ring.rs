//! The kernel's ring buffers: programs that produce into one and drain the other, and the other end, which is ours, by the protocol of their pages.
//! Source: libbpf's `ringbuf.c`.

use super::KernelMap;
use super::program::{Attach, EXIT, Program, add, call, copy, insn, load, map, packet, set, store};
use crate::error::Errno;
use crate::isa::Insn;
use crate::maps::tests::model::{Answer, End, Op};
use crate::maps::{MapSpec, MapType};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use core::ptr::NonNull;
use std::collections::HashMap;
use std::vec::Vec;

const PAGE: usize = 4096;
const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
/// Longest record of `bpf_ringbuf_output`.
const LONGEST: u32 = 2048;
/// Bits of a sample's length at most.
const BITS: u32 = 12;

/// Arguments in the packet: length, most or bytes of the record, then flags.
const FIRST: i16 = 0;
const FLAGS: i16 = 8;
const ARGUMENTS: i32 = 16;

/// A ring's pages and its programs.
#[derive(Debug)]
pub(super) struct Ring {
    kind: MapType,
    size: usize,
    consumed: NonNull<AtomicU64>,
    produced: NonNull<AtomicU64>,
    /// Twice, one behind the other.
    data: NonNull<u8>,
    /// The map's descriptor, which is open as long as this is used.
    fd: i32,
    producers: HashMap<(u32, End), Program>,
    query: Option<Program>,
    drain: Option<Program>,
    /// The record of `bpf_ringbuf_output`, which takes none from a packet.
    record: Option<KernelMap>,
    /// What a drain saw.
    seen: Option<KernelMap>,
}

impl Ring {
    pub(super) fn of(map: &KernelMap, spec: &MapSpec) -> Option<Ring> {
        let size = spec.max_entries as usize;
        let pages = |at: usize, len: usize, writes: bool| {
            let access = if writes { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
            // SAFETY: a new mapping of the map's, which stays until the process ends.
            let p = unsafe {
                libc::mmap(core::ptr::null_mut(), len, access, libc::MAP_SHARED, map.fd.0, at as libc::off_t)
            };
            (p != libc::MAP_FAILED).then(|| NonNull::new(p.cast::<u8>())).flatten()
        };
        let user_produces = spec.kind == MapType::UserRingbuf;
        let consumer = pages(0, PAGE, !user_produces)?;
        let producer = pages(PAGE, PAGE + 2 * size, user_produces)?;
        let mut ring = Ring {
            kind: spec.kind,
            size,
            consumed: consumer.cast(),
            produced: producer.cast(),
            // SAFETY: behind the producer's page, in the mapping.
            data: unsafe { producer.add(PAGE) },
            fd: map.fd.0,
            producers: HashMap::new(),
            query: None,
            drain: None,
            record: None,
            seen: None,
        };
        if user_produces {
            let seen = KernelMap::create(&MapSpec::new(MapType::Queue, 0, 8, 1024))?;
            ring.drain = ring.drainer(&seen);
            ring.seen = Some(seen);
        } else {
            ring.record = Some(KernelMap::create(&MapSpec::new(MapType::Array, 4, LONGEST, 1))?);
            ring.query = Program::load(&ring.querying(), Attach::Interface);
        }
        Some(ring)
    }

    pub(super) fn apply(&mut self, op: &Op) -> Answer {
        match *op {
            Op::Produce { len, fill, end, .. } if self.kind == MapType::UserRingbuf => {
                Answer::errno(self.send(len, fill, end))
            }
            Op::Produce { len, fill, end, flags } => Answer::errno(self.produce(len, fill, end, flags)),
            Op::Query { what } => {
                let mut arguments = [0u64, what].map(u64::to_le_bytes).concat();
                self.query.as_ref().expect("a ring that programs produce into").run(&mut arguments);
                Answer { count: word(&arguments), ..Answer::default() }
            }
            Op::Consume { most: 0, .. } => Answer::default(),
            Op::Consume { most, flags } if self.kind == MapType::UserRingbuf => self.drain(most, flags),
            Op::Consume { most, .. } => self.consume(most),
            _ => unreachable!("no operation of rings"),
        }
    }

    fn consumed(&self) -> &AtomicU64 {
        // SAFETY: a page of the mapping.
        unsafe { self.consumed.as_ref() }
    }

    fn produced(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.produced.as_ref() }
    }

    /// The header at a position, and its bytes.
    fn record(&self, at: u64) -> (&AtomicU32, *mut u8) {
        let offset = at as usize & (self.size - 1);
        // SAFETY: in the mapping, which is twice as long as the data.
        unsafe { (self.data.add(offset).cast::<AtomicU32>().as_ref(), self.data.add(offset + 8).as_ptr()) }
    }

    /// As the consumer of a ring.
    fn consume(&self, most: u32) -> Answer {
        let mut records = Vec::new();
        let mut at = self.consumed().load(Ordering::Acquire);
        while at < self.produced().load(Ordering::Acquire) && records.len() < most as usize {
            let (word, bytes) = self.record(at);
            let word = word.load(Ordering::Acquire);
            assert_eq!(word & BUSY, 0, "a program that ended left a record");
            if word & DISCARD == 0 {
                // SAFETY: a record of so many bytes, which is ours until the position moves.
                records.push(unsafe { core::slice::from_raw_parts(bytes, word as usize) }.to_vec());
            }
            at += taken(word & !DISCARD);
            self.consumed().store(at, Ordering::Release);
        }
        Answer { count: records.len() as u64, records, ..Answer::default() }
    }

    /// As the producer of a user ring; errno.
    fn send(&self, len: u32, fill: u8, end: End) -> i32 {
        let total = taken(len);
        let produced = self.produced().load(Ordering::Acquire);
        if total > self.size as u64 {
            return Errno::E2BIG.0;
        }
        if total > self.size as u64 - (produced - self.consumed().load(Ordering::Acquire)) {
            return Errno::ENOSPC.0;
        }
        let (word, bytes) = self.record(produced);
        // SAFETY: so many bytes are free, and the mapping is twice as long as the data.
        unsafe { bytes.write_bytes(fill, len as usize) };
        word.store(if end == End::Discard { len | DISCARD } else { len }, Ordering::Release);
        self.produced().store(produced + total, Ordering::Release);
        0
    }

    fn produce(&mut self, len: u32, fill: u8, end: End, flags: u64) -> i32 {
        let insns = self.producing(len, end);
        let of_any_length = if end == End::Output { 0 } else { len };
        let program = self
            .producers
            .entry((of_any_length, end))
            .or_insert_with(|| Program::load(&insns, Attach::Interface).expect("a program can be loaded"));
        let mut first = u64::from_le_bytes([fill; 8]);
        if let (End::Output, Some(record)) = (end, &self.record) {
            record.update_elem(&[0; 4], &std::vec![fill; LONGEST as usize], 0).unwrap();
            first = len.into();
        }
        let mut arguments = [first, flags].map(u64::to_le_bytes).concat();
        -program.run(&mut arguments)
    }

    fn drain(&self, most: u32, flags: u64) -> Answer {
        let mut arguments = [most.into(), flags].map(u64::to_le_bytes).concat();
        let answer = self.drain.as_ref().expect("a ring that a program drains").run(&mut arguments);
        let mut records = Vec::new();
        let mut sample = [0; 8];
        while self.seen.as_ref().is_some_and(|s| s.take(&[], &mut sample).is_ok()) {
            records.push(std::vec![sample[4]; word(&sample) as u32 as usize]);
        }
        Answer { errno: (-answer).max(0), count: answer.max(0) as u64, records, ..Answer::default() }
    }

    fn map(&self, dst: u8) -> [Insn; 2] {
        [insn(0x18, dst, 1, 0, self.fd), insn(0, 0, 0, 0, 0)]
    }

    /// `bpf_ringbuf_output`, of any length; or a reservation of that length, filled and ended.
    fn producing(&self, len: u32, end: End) -> Vec<Insn> {
        let mut insns = packet(ARGUMENTS).to_vec();
        if end == End::Output {
            let record = self.record.as_ref().expect("a ring that programs produce into");
            insns.extend([set(1, 0), store(4, 10, -4, 1), copy(2, 10), add(2, -4)]);
            insns.extend(map(1, &record.fd));
            insns.extend([call(1), insn(0x55, 0, 0, 2, 0), set(0, -1), EXIT]); // if r0 != 0 goto +2
            insns.extend([copy(2, 0), load(4, 3, 6, FIRST), load(8, 4, 6, FLAGS)]);
            insns.extend([insn(0xb5, 3, 0, 2, LONGEST as i32), set(0, -1), EXIT]); // if r3 <= LONGEST goto +2
            insns.extend(self.map(1));
            insns.extend([call(130), EXIT]);
            return insns;
        }
        insns.extend([load(8, 7, 6, FIRST), load(8, 8, 6, FLAGS)]);
        insns.extend(self.map(1));
        insns.extend([set(2, len as i32), set(3, 0), call(131)]);
        insns.extend([insn(0x55, 0, 0, 2, 0), set(0, -Errno::EAGAIN.0), EXIT]); // if r0 != 0 goto +2
        let (words, bytes) = (len / 8 * 8, len);
        insns.extend((0..words).step_by(8).map(|at| store(8, 0, at as i16, 7)));
        insns.extend((words..bytes).map(|at| store(1, 0, at as i16, 7)));
        let how = if end == End::Submit { 132 } else { 133 };
        insns.extend([copy(1, 0), copy(2, 8), call(how), set(0, 0), EXIT]);
        insns
    }

    fn querying(&self) -> Vec<Insn> {
        let mut insns = packet(ARGUMENTS).to_vec();
        insns.push(load(8, 2, 6, FLAGS));
        insns.extend(self.map(1));
        insns.extend([call(134), store(8, 6, FIRST, 0), set(0, 0), EXIT]);
        insns
    }

    /// A program that drains the ring, and its callback, which notes each sample's length and first byte. A sample has a byte at an offset or not, so that its length is found bit by bit.
    fn drainer(&self, seen: &KernelMap) -> Option<Program> {
        const READ: i32 = 201;
        let mut insns = packet(ARGUMENTS).to_vec();
        insns.extend([load(8, 1, 6, FIRST), store(8, 10, -8, 1), load(8, 4, 6, FLAGS)]);
        insns.extend(self.map(1));
        // The callback begins behind the exit, six instructions on.
        insns.extend([insn(0x18, 2, 4, 0, 5), insn(0, 0, 0, 0, 0)]);
        insns.extend([copy(3, 10), add(3, -8), call(209), EXIT]);
        let callback = insns.len() as u32;
        insns.extend([copy(6, 1), copy(7, 2), set(8, 0)]);
        let read = |at: i32| {
            [copy(1, 10), add(1, -8), set(2, 1), copy(3, 6), copy(4, 8), add(4, at), set(5, 0), call(READ)]
        };
        for bit in (0..BITS).rev() {
            insns.extend(read((1 << bit) - 1));
            insns.extend([insn(0x55, 0, 0, 1, 0), add(8, 1 << bit)]); // if r0 != 0 goto +1
        }
        // r9 = length | first byte << 32
        insns.extend([copy(9, 8), set(8, 0), set(1, 0), store(8, 10, -8, 1)]);
        insns.extend(read(0));
        insns.extend([
            load(1, 1, 10, -8),
            insn(0x67, 1, 0, 0, 32),
            insn(0x4f, 9, 1, 0, 0),
            store(8, 10, -16, 9),
        ]);
        insns.extend(map(1, &seen.fd));
        insns.extend([copy(2, 10), add(2, -16), set(3, 0), call(87)]);
        // The last one that is wanted says 1.
        insns.extend([load(8, 1, 7, 0), add(1, -1), store(8, 7, 0, 1), set(0, 0)]);
        insns.extend([insn(0x55, 1, 0, 1, 0), set(0, 1), EXIT]); // if r1 != 0 goto +1
        Program::with_callback(&insns, callback)
    }
}

/// Bytes that a record takes.
fn taken(len: u32) -> u64 {
    (u64::from(len) + 8).next_multiple_of(8)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}
