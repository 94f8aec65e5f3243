//! The trace: a ring of binary records a worker, written by `bpf_trace_printk`, formatted by whoever reads.
//!
//! One writer (the slot's holder) and one reader at a time (under the environment's lock). Positions count words and never wrap back; the words of a record lie
//! between `tail` and `head`, taken modulo the ring's size. A record that does not fit is dropped and counted.
//! A record: a word with its size in words, the format's length and how many arguments there are; the time; the arguments; the lengths of their texts, four a word;
//! the format's bytes; the texts' bytes.

use crate::helpers::{MAX_BPRINTF_BIN_ARGS, MAX_BPRINTF_VARARGS, Taken, render};
use crate::mem::{OutOfMemory, Vec};
use crate::sync::{AtomicU64, AtomicUsize, Ordering};
use core::fmt::{self, Write};

/// Words of a ring: 16 KiB.
const WORDS: usize = 2048;
/// Bytes of the longest format that is recorded: what the kernel prints at most.
const MAX_FORMAT: usize = 1024;
/// Words before the arguments.
const HEAD_WORDS: usize = 2;

/// One message, not yet formatted.
#[derive(Clone, Copy)]
pub(crate) struct TraceRecord<'a> {
    /// The format, without its NUL.
    pub(crate) format: &'a [u8],
    /// Its arguments.
    pub(crate) arguments: &'a Taken,
    /// When, in ns of the monotonic clock.
    pub(crate) time: u64,
}

/// A worker's ring.
pub(crate) struct TraceRing {
    words: Vec<AtomicU64>,
    head: AtomicUsize,
    tail: AtomicUsize,
    lost: AtomicU64,
}

impl TraceRing {
    pub(super) fn new() -> Result<Self, OutOfMemory> {
        Ok(TraceRing {
            words: Vec::from_fn(WORDS, |_| AtomicU64::new(0))?,
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        })
    }

    fn word(&self, position: usize) -> Option<&AtomicU64> {
        self.words.get(position % WORDS)
    }

    /// Appends a record; the slot's holder alone calls it.
    pub(super) fn push(&self, record: &TraceRecord<'_>) {
        let arguments = record.arguments;
        let (count, text) = (arguments.numbers().len(), arguments.text());
        let bytes = record.format.len() + text.len();
        let start = HEAD_WORDS + count + count.div_ceil(4);
        let size = start + bytes.div_ceil(8);
        let head = self.head.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of `pop`; the reader has done with the words that are written now.
        let used = head.wrapping_sub(self.tail.load(Ordering::Acquire));
        if record.format.len() > MAX_FORMAT || used + size > WORDS {
            super::stats::bump(&self.lost);
            return;
        }
        let put = |at: usize, value: u64| {
            if let Some(word) = self.word(head.wrapping_add(at)) {
                word.store(value, Ordering::Relaxed);
            }
        };
        put(0, size as u64 | (record.format.len() as u64) << 16 | (count as u64) << 32);
        put(1, record.time);
        for (i, &number) in arguments.numbers().iter().enumerate() {
            put(HEAD_WORDS + i, number);
        }
        for (i, four) in arguments.lens().chunks(4).enumerate() {
            let packed = four.iter().rev().fold(0, |word, &len| word << 16 | u64::from(len));
            put(HEAD_WORDS + count + i, packed);
        }
        let mut all = record.format.iter().chain(text);
        for at in start..size {
            let mut word = 0;
            for shift in 0..8 {
                word |= u64::from(all.next().copied().unwrap_or(0)) << (8 * shift);
            }
            put(at, word);
        }
        // Release: pairs with the Acquire of `peek`; who sees the new head sees the words.
        self.head.store(head.wrapping_add(size), Ordering::Release);
    }

    /// The oldest record's time.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.peek().map(|tail| self.read(tail, 1))
    }

    fn peek(&self) -> Option<usize> {
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire: pairs with the Release of `push`.
        (self.head.load(Ordering::Acquire) != tail).then_some(tail)
    }

    fn read(&self, tail: usize, at: usize) -> u64 {
        self.word(tail.wrapping_add(at)).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// Gives the oldest record to `use_it`, and drops it when that says so. One reader at a time.
    pub(super) fn pop(&self, use_it: impl FnOnce(&TraceRecord<'_>) -> bool) -> bool {
        let Some(tail) = self.peek() else { return false };
        let first = self.read(tail, 0);
        let size = (first & 0xffff) as usize;
        let (len, count) = ((first >> 16) as usize & 0xffff, (first >> 32) as usize & 0xff);
        let count = count.min(MAX_BPRINTF_VARARGS);
        let start = HEAD_WORDS + count + count.div_ceil(4);
        let mut arguments = Taken::none();
        for i in 0..count {
            let four = self.read(tail, HEAD_WORDS + count + i / 4);
            arguments.push(self.read(tail, HEAD_WORDS + i), (four >> (16 * (i % 4))) as u16);
        }
        let mut bytes = [0; MAX_FORMAT + MAX_BPRINTF_BIN_ARGS];
        for (at, chunk) in (start..size).zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&self.read(tail, at).to_le_bytes());
        }
        let (format, rest) = bytes.split_at_checked(len).unwrap_or_default();
        for (place, &byte) in arguments.text_mut().iter_mut().zip(rest) {
            *place = byte;
        }
        let record = TraceRecord { format, arguments: &arguments, time: self.read(tail, 1) };
        let done = use_it(&record);
        if done {
            // Release: pairs with the Acquire of `push`.
            self.tail.store(tail.wrapping_add(size), Ordering::Release);
        }
        done
    }

    /// Records that did not fit.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Text that is written into a caller's buffer as far as it goes.
pub(super) struct Line<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Line<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Line { out, len: 0 }
    }

    /// Writes one record as a line: `[slot] seconds: bpf_trace_printk: text`. The bytes written, or `None` where the buffer is too short.
    pub(super) fn write(mut self, slot: usize, record: &TraceRecord<'_>) -> Option<usize> {
        let (seconds, micros) = (record.time / 1_000_000_000, record.time / 1000 % 1_000_000);
        write!(self, "[{slot:03}] {seconds:5}.{micros:06}: bpf_trace_printk: ").ok()?;
        render(&mut self, record.format, record.arguments).ok()?;
        if self.out.get(self.len.wrapping_sub(1)) != Some(&b'\n') {
            self.write_char('\n').ok()?;
        }
        Some(self.len)
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for c in s.chars() {
            self.write_char(c)?;
        }
        Ok(())
    }

    /// Formats hold bytes: a character is one.
    fn write_char(&mut self, c: char) -> fmt::Result {
        let place = self.out.get_mut(self.len).ok_or(fmt::Error)?;
        *place = c as u32 as u8;
        self.len += 1;
        Ok(())
    }
}
