//! Where code is written: bytes, labels, and jumps between them.
//!
//! The `dynasm` macro expands to calls of these methods, and the hand-written encoders call them too. The macro's calls cannot fail, so that
//! running out of memory is remembered and reported by [`CodeBuffer::finish`]; nothing is written any more from then on.
//!
//! Jumps are written twice. The first pass takes the long form of each; which of them the short form would reach is then known, and stays true
//! because code between a jump and its label only shrinks. The second pass is told by [`CodeBuffer::with_short_jumps`].
//!
//! Left to others: what the bytes mean (`x86_64`), and where they will be (`exec`), which resolves the calls of [`Extern`]s.

use crate::mem::{OutOfMemory, Vec};

/// A place in the code, bound once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(u32);

/// A call or jump to an absolute address, as a 32-bit distance that is filled in when the code's own address is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extern {
    /// Where the four bytes of the distance are; it counts from behind them.
    pub at: u32,
    /// The address.
    pub target: usize,
}

/// A distance to a label, to be filled in.
#[derive(Clone, Copy, Debug)]
struct Fixup {
    label: Label,
    /// Where the field is.
    at: u32,
    /// Its bytes: 1, 4 or 8.
    size: u8,
    /// What the distance counts from.
    from: u32,
    /// The jump it belongs to, where a short form exists.
    jump: Option<u32>,
}

const UNBOUND: u32 = u32::MAX;

/// Code being written.
#[derive(Debug, Default)]
pub struct CodeBuffer {
    bytes: Vec<u8>,
    labels: Vec<u32>,
    fixups: Vec<Fixup>,
    externs: Vec<Extern>,
    short: Vec<bool>,
    jumps: u32,
    failed: bool,
}

impl CodeBuffer {
    /// An empty buffer that writes every jump in its long form.
    pub const fn new() -> Self {
        CodeBuffer {
            bytes: Vec::new(),
            labels: Vec::new(),
            fixups: Vec::new(),
            externs: Vec::new(),
            short: Vec::new(),
            jumps: 0,
            failed: false,
        }
    }

    /// An empty buffer for the second pass: jumps in the order of the first, true where the short form reaches.
    pub fn with_short_jumps(short: Vec<bool>) -> Self {
        CodeBuffer { short, ..Self::new() }
    }

    /// Bytes so far.
    pub fn offset(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// A label that is not bound yet.
    pub fn new_label(&mut self) -> Label {
        let label = Label(self.labels.len() as u32);
        let done = self.labels.push(UNBOUND);
        self.note(done);
        label
    }

    /// Whether the next jump, which has a short form, may take it.
    pub fn next_jump_is_short(&self) -> bool {
        self.short.get(self.jumps as usize).copied().unwrap_or(false)
    }

    /// Notes that the last `size` bytes written are a jump's distance to `label`.
    pub fn jump_field(&mut self, label: Label, size: u8) {
        let at = self.offset().saturating_sub(u32::from(size));
        let jump = Some(self.jumps);
        self.jumps += 1;
        let done = self.fixups.push(Fixup { label, at, size, from: at + u32::from(size), jump });
        self.note(done);
    }

    /// Notes that the last four bytes written are the distance to `label` of something that has no short form.
    pub fn far_field(&mut self, label: Label) {
        let end = self.offset();
        let done =
            self.fixups.push(Fixup { label, at: end.saturating_sub(4), size: 4, from: end, jump: None });
        self.note(done);
    }

    /// Notes that the last four bytes written are the distance to an absolute address.
    pub fn extern_field(&mut self, target: usize) {
        let at = self.offset().saturating_sub(4);
        let done = self.externs.push(Extern { at, target });
        self.note(done);
    }

    /// Appends every absolute address that is called, once.
    ///
    /// # Errors
    /// When memory is short.
    pub fn extern_targets(&self, out: &mut Vec<usize>) -> Result<(), OutOfMemory> {
        for e in &self.externs {
            if !out.contains(&e.target) {
                out.push(e.target)?;
            }
        }
        Ok(())
    }

    /// Where a label was bound.
    pub fn label_offset(&self, label: Label) -> Option<u32> {
        self.labels.get(label.0 as usize).copied().filter(|&o| o != UNBOUND)
    }

    /// For each jump in order, whether its short form would reach: what the second pass wants to be told.
    ///
    /// # Errors
    /// When memory is short.
    pub fn short_jumps(&self) -> Result<Vec<bool>, OutOfMemory> {
        let mut short = Vec::filled(false, self.jumps as usize)?;
        for fixup in &self.fixups {
            let (Some(jump), Some(to)) = (fixup.jump, self.label_offset(fixup.label)) else { continue };
            let distance = i64::from(to) - i64::from(fixup.from);
            if let Some(slot) = short.get_mut(jump as usize) {
                // A backward jump counts from its own end, which moves closer by what the short form saves.
                *slot = (-128..=127).contains(&distance);
            }
        }
        Ok(short)
    }

    /// Fills in the distances to labels and gives the code away.
    ///
    /// # Errors
    /// When memory was short at any time, or a label was not bound or is out of a field's reach.
    pub fn finish(mut self) -> Result<(Vec<u8>, Vec<Extern>), BufferError> {
        if self.failed {
            return Err(BufferError::OutOfMemory);
        }
        for i in 0..self.fixups.len() {
            let Fixup { label, at, size, from, .. } = self.fixups[i];
            let to = self.label_offset(label).ok_or(BufferError::UnboundLabel)?;
            let distance = i64::from(to) - i64::from(from);
            let fits = match size {
                1 => i8::try_from(distance).is_ok(),
                4 => i32::try_from(distance).is_ok(),
                _ => true,
            };
            let field = self.bytes.get_mut(at as usize..at as usize + size as usize);
            match field {
                Some(field) if fits => field.copy_from_slice(&distance.to_le_bytes()[..size as usize]),
                _ => return Err(BufferError::OutOfReach),
            }
        }
        Ok((self.bytes, self.externs))
    }

    fn note(&mut self, done: Result<(), OutOfMemory>) {
        self.failed |= done.is_err();
    }
}

/// Why code could not be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferError {
    /// Memory was short.
    OutOfMemory,
    /// A jump leads to a label that was never bound.
    UnboundLabel,
    /// A distance does not fit its field.
    OutOfReach,
}

/// What the `dynasm` macro calls.
#[expect(missing_docs, reason = "the names and meanings of dynasmrt's DynasmApi and DynasmLabelApi")]
impl CodeBuffer {
    pub fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        let done = if self.failed { Ok(()) } else { self.bytes.extend_from_slice(bytes) };
        self.note(done);
    }

    pub fn push_i8(&mut self, value: i8) {
        self.extend(&value.to_le_bytes());
    }

    pub fn push_i32(&mut self, value: i32) {
        self.extend(&value.to_le_bytes());
    }

    pub fn push_u32(&mut self, value: u32) {
        self.extend(&value.to_le_bytes());
    }

    pub fn push_i64(&mut self, value: i64) {
        self.extend(&value.to_le_bytes());
    }

    pub fn dynamic_label(&mut self, label: Label) {
        let offset = self.offset();
        if let Some(slot) = self.labels.get_mut(label.0 as usize) {
            *slot = offset;
        }
    }

    /// `field` and `from` count back from the end of what is written; the low two bits of `encoding` are the field's size as a power of two.
    pub fn dynamic_reloc(&mut self, label: Label, addend: isize, field: u8, from: u8, encoding: u8) {
        self.failed |= addend != 0 || encoding >= 4;
        let end = self.offset();
        let (at, from) = (end - u32::from(field), end - u32::from(from));
        let done = self.fixups.push(Fixup { label, at, size: 1 << encoding, from, jump: None });
        self.note(done);
    }
}
