//! Values as bytes: how a state at rest writes its registers and slots.
//!
//! The first byte of a value says what there is of it; parts that a value does not have take no byte. What was written is read with the same [`Kinds`] and in the same
//! order; there is no other reader, and nothing is checked but that a read stays inside.

use super::reg::{Added, Kind, Reg};
use super::scalar::Scalar;
use super::stack::{Byte, Slot};
use super::state::{Held, Reference};
use crate::mem::{OutOfMemory, Vec};

/// What packing and unpacking share: the kinds of pointers that were met, of which there are few in a program, and numbers of which only the width is
/// known, by how they are written.
#[derive(Debug)]
pub(crate) struct Kinds {
    kinds: Vec<Kind>,
    widths: [Scalar; 4],
}

impl Kinds {
    /// None yet.
    pub(crate) fn new() -> Self {
        let widths = [8, 1, 2, 4].map(|bytes| Scalar::UNKNOWN.coerce_to_size(bytes));
        Kinds { kinds: Vec::new(), widths }
    }

    fn number(&mut self, kind: Kind) -> Result<u16, OutOfMemory> {
        let at = match self.kinds.iter().position(|k| *k == kind) {
            Some(at) => at,
            None => {
                self.kinds.push(kind)?;
                self.kinds.len() - 1
            }
        };
        // A program has some hundred: maps and sizes of memory that stand in its words.
        u16::try_from(at).map_err(|_| OutOfMemory)
    }

    fn get(&self, number: u16) -> Kind {
        self.kinds.get(usize::from(number)).copied().unwrap_or(Kind::NotInit)
    }
}

// The first byte of a value: what its number is like, then what else there is.
const CONSTANT: u8 = 0;
/// A place in [`Kinds::widths`] is added: 8, 1, 2 or 4 bytes.
const ANY: u8 = 1;
const ZERO: u8 = 5;
const BOUNDS: u8 = 6;
const NUMBER: u8 = 7;
const TIED: u8 = 1 << 3;
const ADDED: u8 = 1 << 4;
const POINTER: u8 = 1 << 5;
const OWNED: u8 = 1 << 6;

// The first byte of a slot.
const MISC: u8 = 0;
const SPILL: u8 = 1;
const OBJECT: u8 = 2;
const BYTES: u8 = 3;

/// Writes values.
#[derive(Debug)]
pub(crate) struct Writer<'v> {
    bytes: &'v mut Vec<u8>,
    kinds: &'v mut Kinds,
}

impl<'v> Writer<'v> {
    /// Appends to `bytes`.
    pub(crate) fn new(bytes: &'v mut Vec<u8>, kinds: &'v mut Kinds) -> Self {
        Writer { bytes, kinds }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), OutOfMemory> {
        self.bytes.extend_from_slice(bytes)
    }

    /// Something that is held.
    pub(crate) fn reference(&mut self, r: &Reference) -> Result<(), OutOfMemory> {
        let (tag, map) = match r.held {
            Held::Object => (0, 0),
            Held::Lock(map) => (1, map),
        };
        self.put(&r.id.to_le_bytes())?;
        self.put(&r.pc.to_le_bytes())?;
        self.put(&[tag])?;
        self.put(&map.to_le_bytes())
    }

    /// A register.
    pub(crate) fn reg(&mut self, reg: &Reg) -> Result<(), OutOfMemory> {
        let var = &reg.var;
        let width = || self.kinds.widths.iter().zip(ANY..).find(|(w, _)| *w == var);
        let number = match var.known() {
            Some(0) => ZERO,
            Some(_) => CONSTANT,
            None => width().map_or(BOUNDS, |w| w.1),
        };
        let (pointer, owned) = (!reg.is_scalar(), reg.owner != 0 || reg.uid != 0);
        let mut first = number;
        first |= if reg.id != 0 { TIED } else { 0 };
        first |= if reg.off != 0 || reg.added != Added::Nothing { ADDED } else { 0 };
        first |= if pointer { POINTER } else { 0 };
        first |= if owned { OWNED } else { 0 };
        self.put(&[first])?;
        if pointer {
            let kind = self.kinds.number(reg.kind)?;
            self.put(&kind.to_le_bytes())?;
            self.put(&reg.range.to_le_bytes())?;
        }
        if reg.id != 0 {
            self.put(&reg.id.to_le_bytes())?;
        }
        if first & ADDED != 0 {
            self.put(&reg.off.to_le_bytes())?;
            self.put(&[reg.added as u8])?;
        }
        if owned {
            self.put(&reg.owner.to_le_bytes())?;
            self.put(&reg.uid.to_le_bytes())?;
        }
        match number {
            CONSTANT => self.put(&var.known().unwrap_or(0).to_le_bytes()),
            BOUNDS => self.put(&var.to_bytes()),
            _ => Ok(()),
        }
    }

    /// A slot that holds something.
    pub(crate) fn slot(&mut self, slot: &Slot) -> Result<(), OutOfMemory> {
        match slot.bytes {
            [Byte::Misc, ..] if slot.bytes == [Byte::Misc; 8] => self.put(&[MISC]),
            [Byte::Object, ..] => {
                self.put(&[OBJECT])?;
                self.reg(&slot.reg)
            }
            [Byte::Spill, ..] if slot.spill_size() == 8 => {
                self.put(&[SPILL])?;
                self.reg(&slot.reg)
            }
            _ => {
                self.put(&[BYTES])?;
                for b in slot.bytes {
                    self.put(&match b {
                        Byte::Invalid => [0, 0],
                        Byte::Misc => [1, 0],
                        Byte::Known(v) => [2, v],
                        Byte::Spill => [3, 0],
                        Byte::Object => [4, 0],
                        Byte::Part(v) => [5, v],
                    })?;
                }
                if slot.spilled().is_some() { self.reg(&slot.reg) } else { Ok(()) }
            }
        }
    }
}

/// Reads values back.
#[derive(Debug)]
pub(crate) struct Values<'k> {
    bytes: &'k [u8],
    kinds: &'k Kinds,
}

impl<'k> Values<'k> {
    /// Reads what a [`Writer`] wrote with the same kinds.
    pub(crate) fn new(bytes: &'k [u8], kinds: &'k Kinds) -> Self {
        Values { bytes, kinds }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.bytes.split_first_chunk() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            // What was written has as many bytes as it is read by.
            None => [0; N],
        }
    }

    /// The next thing that is held.
    pub(crate) fn reference(&mut self) -> Reference {
        let [id, pc] = [(); 2].map(|()| u32::from_le_bytes(self.take()));
        let [tag] = self.take();
        let map = u32::from_le_bytes(self.take());
        Reference { id, pc, held: if tag == 0 { Held::Object } else { Held::Lock(map) } }
    }

    /// The next register.
    #[inline]
    pub(crate) fn reg(&mut self) -> Reg {
        let [first] = self.take();
        let mut reg = Reg::UNKNOWN;
        if first & POINTER != 0 {
            reg.kind = self.kinds.get(u16::from_le_bytes(self.take()));
            reg.range = i32::from_le_bytes(self.take());
        }
        if first & TIED != 0 {
            reg.id = u32::from_le_bytes(self.take());
        }
        if first & ADDED != 0 {
            reg.off = i32::from_le_bytes(self.take());
            reg.added = match self.take() {
                [0] => Added::Nothing,
                [1] => Added::In64,
                _ => Added::In32,
            };
        }
        if first & OWNED != 0 {
            reg.owner = u32::from_le_bytes(self.take());
            reg.uid = u32::from_le_bytes(self.take());
        }
        reg.var = match first & NUMBER {
            CONSTANT => Scalar::constant(u64::from_le_bytes(self.take())),
            ZERO => Scalar::constant(0),
            BOUNDS => Scalar::from_bytes(&self.take()),
            width => self.kinds.widths[usize::from(width - ANY) % 4],
        };
        reg
    }

    fn skip(&mut self, n: usize) {
        self.bytes = self.bytes.get(n..).unwrap_or_default();
    }

    /// Passes over the next register.
    fn skip_reg(&mut self) {
        let [first] = self.take();
        let part = |flag: u8, bytes: usize| if first & flag != 0 { bytes } else { 0 };
        let number = match first & NUMBER {
            CONSTANT => 8,
            BOUNDS => 64,
            _ => 0,
        };
        self.skip(part(POINTER, 6) + part(TIED, 4) + part(ADDED, 5) + part(OWNED, 8) + number);
    }

    /// Passes over the next slot.
    pub(crate) fn skip_slot(&mut self) {
        match self.take() {
            [MISC] => {}
            [SPILL | OBJECT] => self.skip_reg(),
            _ => {
                let spills = self.bytes.first() == Some(&3);
                self.skip(16);
                if spills {
                    self.skip_reg();
                }
            }
        }
    }

    /// The next slot.
    #[inline]
    pub(crate) fn slot(&mut self) -> Slot {
        match self.take() {
            [MISC] => Slot { bytes: [Byte::Misc; 8], reg: Reg::NOT_INIT },
            [SPILL] => Slot { bytes: [Byte::Spill; 8], reg: self.reg() },
            [OBJECT] => Slot { bytes: [Byte::Object; 8], reg: self.reg() },
            _ => {
                let mut slot = Slot::EMPTY;
                for b in &mut slot.bytes {
                    *b = match self.take() {
                        [0, _] => Byte::Invalid,
                        [2, v] => Byte::Known(v),
                        [3, _] => Byte::Spill,
                        [4, _] => Byte::Object,
                        [5, v] => Byte::Part(v),
                        _ => Byte::Misc,
                    };
                }
                if slot.spilled().is_some() {
                    slot.reg = self.reg();
                }
                slot
            }
        }
    }
}
