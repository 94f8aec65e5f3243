//! One frame's stack, known byte by byte.
//!
//! A byte was never written (`Invalid`), holds something (`Misc`), is known, or belongs to a register that was spilled whole to the start of
//! its slot. A spill covers the first bytes of a slot (all eight for a pointer); writing into a part of it turns the rest of it into `Misc`, or zeros.
//!
//! Offsets are those of the frame pointer: -512 to -1. Callers have checked bounds and alignment ([`super::check`]); nothing here refuses,
//! except that part of a spilled pointer cannot be read. Reads of unwritten bytes give an unknown scalar: engines clear what may be read
//! so ([`super::frames`]).

use super::reg::{Kind, Reg};
use crate::limits::MAX_BPF_STACK;
use crate::mem::{OutOfMemory, Vec};

/// What is known of one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Byte {
    /// Not written on this path.
    Invalid,
    /// Written with something.
    Misc,
    /// Written with this number.
    Known(u8),
    /// As above, as part of a number that is not zero; the kernel knows nothing of such bytes.
    Part(u8),
    /// Part of the slot's register.
    Spill,
    /// Part of a dynamic pointer or an iterator, whose state is the slot's register: neither read nor written as bytes.
    Object,
}

/// Eight bytes, lowest address first, and the register that was spilled to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slot {
    /// The bytes.
    pub(crate) bytes: [Byte; 8],
    /// Meaningful where the first byte is `Spill`.
    pub(crate) reg: Reg,
}

impl Slot {
    /// Nothing written.
    pub(crate) const EMPTY: Slot = Slot { bytes: [Byte::Invalid; 8], reg: Reg::NOT_INIT };

    /// Whether nothing was written.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == [Byte::Invalid; 8]
    }

    /// Bytes that the spilled register covers; 0 where none is.
    pub(crate) fn spill_size(&self) -> u32 {
        self.bytes.iter().take_while(|b| **b == Byte::Spill).count() as u32
    }

    /// The spilled register, if there is one.
    pub(crate) fn spilled(&self) -> Option<&Reg> {
        (self.bytes[0] == Byte::Spill).then_some(&self.reg)
    }

    /// The state of the dynamic pointer or iterator that the slot is part of.
    pub(crate) fn object(&self) -> Option<&Reg> {
        (self.bytes[0] == Byte::Object).then_some(&self.reg)
    }

    /// Turns a spill or an object into plain bytes. A zero that was spilled stays zeros: whatever else is known would keep states apart for nothing.
    fn scrub(&mut self) {
        let left = if self.spilled().is_some_and(Reg::is_null) { Byte::Part(0) } else { Byte::Misc };
        for b in &mut self.bytes {
            if matches!(b, Byte::Spill | Byte::Object) {
                *b = left;
            }
        }
        self.reg = Reg::NOT_INIT;
    }

    /// One byte as a read of single bytes sees it.
    pub(crate) fn plain(&self, i: usize) -> Byte {
        match (self.bytes[i], self.reg.known()) {
            (Byte::Spill, Some(v)) => Byte::Known(v.to_le_bytes()[i]),
            (Byte::Spill, None) => Byte::Misc,
            (Byte::Part(v), _) => Byte::Known(v),
            (other, _) => other,
        }
    }
}

/// What cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Part of a spilled pointer.
    PartialFill,
    /// A dynamic pointer or an iterator.
    Object,
}

/// The stack of one frame, as deep as it was used.
#[derive(Debug)]
pub(crate) struct Stack {
    slots: Vec<Slot>,
}

fn slot_of(off: i32) -> (usize, usize) {
    debug_assert!((-(MAX_BPF_STACK as i32)..0).contains(&off));
    let index = (-off - 1) as usize;
    (index / 8, 7 - index % 8)
}

impl Stack {
    /// Nothing written.
    pub(crate) const fn new() -> Self {
        Stack { slots: Vec::new() }
    }

    /// Makes it one of so many slots, with nothing written; they come from the frame's end down.
    pub(crate) fn clear_to(&mut self, slots: usize) -> Result<&mut [Slot], OutOfMemory> {
        self.slots.clear();
        self.slots.resize(slots, Slot::EMPTY)?;
        Ok(&mut self.slots)
    }

    /// A copy.
    pub(crate) fn try_clone(&self) -> Result<Self, OutOfMemory> {
        Ok(Stack { slots: Vec::from_slice(&self.slots)? })
    }

    /// Makes it a copy of another.
    pub(crate) fn copy(&mut self, from: &Stack) -> Result<(), OutOfMemory> {
        self.slots.clear();
        self.slots.extend_from_slice(&from.slots)
    }

    /// The slots that were used, from the frame's end down.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// As above, to change.
    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The slot that holds the byte at `off`.
    pub(crate) fn slot(&self, off: i32) -> Slot {
        self.slots.get(slot_of(off).0).copied().unwrap_or(Slot::EMPTY)
    }

    fn slot_mut(&mut self, off: i32) -> Result<&mut Slot, OutOfMemory> {
        let index = slot_of(off).0;
        while self.slots.len() <= index {
            self.slots.push(Slot::EMPTY)?;
        }
        Ok(&mut self.slots[index])
    }

    /// Writes a value of `size` bytes at a known offset; all its bytes are in one slot.
    pub(crate) fn write(&mut self, off: i32, size: u32, value: &Reg) -> Result<(), OutOfMemory> {
        let (_, first) = slot_of(off);
        let slot = self.slot_mut(off)?;
        let spills = first == 0 && (value.is_scalar() || (size == 8 && value.kind != Kind::NotInit));
        slot.scrub();
        let known = value.known().map(u64::to_le_bytes);
        for i in 0..size as usize {
            slot.bytes[first + i] = match known {
                _ if spills => Byte::Spill,
                Some(_) if value.is_null() => Byte::Known(0),
                Some(bytes) => Byte::Part(bytes[i]),
                None => Byte::Misc,
            };
        }
        if spills {
            slot.reg = if value.is_scalar() { value.cut_to(size) } else { *value };
        }
        Ok(())
    }

    /// Reads `size` bytes at a known offset, all in one slot, zero-extended.
    pub(crate) fn read(&self, off: i32, size: u32) -> Result<Reg, Unreadable> {
        let (_, first) = slot_of(off);
        let slot = self.slot(off);
        if slot.object().is_some() {
            return Err(Unreadable::Object);
        }
        if let Some(reg) = slot.spilled() {
            let covered = slot.spill_size();
            if !reg.is_scalar() && size != 8 {
                return Err(Unreadable::PartialFill);
            }
            if first == 0 && size <= covered {
                return Ok(if reg.is_scalar() { reg.cut_to(size) } else { *reg });
            }
        }
        Ok(self.read_bytes(off, size))
    }

    /// Puts an object into the slot at `off`.
    pub(crate) fn put_object(&mut self, off: i32, reg: Reg) -> Result<(), OutOfMemory> {
        *self.slot_mut(off)? = Slot { bytes: [Byte::Object; 8], reg };
        Ok(())
    }

    /// The object in the slot at `off`, to change.
    pub(crate) fn object_mut(&mut self, off: i32) -> Option<&mut Reg> {
        let slot = self.slots.get_mut(slot_of(off).0)?;
        (slot.bytes[0] == Byte::Object).then_some(&mut slot.reg)
    }

    /// Takes the object out of the slot at `off`; its bytes are unwritten then.
    pub(crate) fn take_object(&mut self, off: i32) {
        if let Some(slot) = self.slots.get_mut(slot_of(off).0) {
            *slot = Slot::EMPTY;
        }
    }

    /// The objects whose bytes are touched by an access of `off .. off + size`: the offset of each one's slot, and its state.
    pub(crate) fn objects(&self, off: i32, size: u32) -> impl Iterator<Item = (i32, Reg)> {
        let (first, last) = (off.div_euclid(8), (off + size as i32 - 1).div_euclid(8));
        (first..=last).filter_map(|i| Some((i * 8, *self.slot(i * 8).object()?)))
    }

    /// Reads a scalar that was spilled whole, and gives slot and copy a common id.
    pub(crate) fn tie(&mut self, off: i32, fresh: impl FnOnce() -> u32) -> Reg {
        match self.slots.get_mut(slot_of(off).0) {
            Some(slot) if slot.spill_size() == 8 && slot.reg.is_scalar() => {
                slot.reg.id = fresh();
                slot.reg
            }
            _ => Reg::UNKNOWN,
        }
    }

    /// Reads bytes as plain numbers, wherever they are.
    pub(crate) fn read_bytes(&self, off: i32, size: u32) -> Reg {
        let mut value = 0u64;
        for (i, o) in (off..off + size as i32).enumerate() {
            match self.slot(o).plain(slot_of(o).1) {
                Byte::Known(b) if i < 8 => value |= u64::from(b) << (8 * i),
                _ => return Reg::UNKNOWN,
            }
        }
        Reg::constant(value)
    }

    /// Whether all bytes were written with zeros; like the kernel, without those of spilled registers.
    fn all_zero(&self, off: i32, size: u32) -> bool {
        (off..off + size as i32).all(|o| self.slot(o).bytes[slot_of(o).1] == Byte::Known(0))
    }

    /// Reads bytes somewhere in `off .. off + size`: zero if all are.
    pub(crate) fn read_anywhere(&self, off: i32, size: u32) -> Reg {
        if self.all_zero(off, size) { Reg::constant(0) } else { Reg::UNKNOWN }
    }

    /// Notes that each byte of `off .. off + size` may have been overwritten; `zero`: with zero, if at all.
    pub(crate) fn smear(&mut self, off: i32, size: u32, zero: bool) -> Result<(), OutOfMemory> {
        for o in off..off + size as i32 {
            let (_, i) = slot_of(o);
            let slot = self.slot_mut(o)?;
            let keep = zero && slot.plain(i) == Byte::Known(0);
            if !keep {
                slot.scrub();
                slot.bytes[i] = Byte::Misc;
            }
        }
        Ok(())
    }

    /// The number that eight or fewer bytes hold, if it is known: a constant spilled to the start of a slot, or zeros.
    pub(crate) fn known_bytes(&self, off: i32, size: u32) -> Option<u64> {
        let (_, first) = slot_of(off);
        if size == 0 || size as usize + first > 8 {
            return None;
        }
        match self.read(off, size) {
            Ok(reg) => reg.known(),
            Err(_) => None,
        }
    }

    /// The constant that the kernel knows of a key there: zeros, or a constant spilled with the key's size.
    pub(crate) fn spilled_key(&self, off: i32, size: u32) -> Option<u64> {
        let slot = self.slot(off);
        let spilled = slot_of(off).1 == 0 && slot.spill_size() == size;
        // A zero that was spilled is a register to Linux, not zeros.
        let zeros = (off..off + size as i32).all(|o| self.slot(o).bytes[slot_of(o).1] == Byte::Known(0));
        if spilled || zeros { self.known_bytes(off, size) } else { None }
    }

    /// Heap bytes that a copy takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::scalar::Scalar;

    #[test]
    fn spilled_pointer_comes_back_whole_and_not_in_parts() {
        let mut s = Stack::new();
        let p = Reg::pointer(Kind::Ctx);
        s.write(-8, 8, &p).unwrap();
        assert_eq!(s.read(-8, 8), Ok(p));
        assert_eq!(s.read(-8, 4), Err(Unreadable::PartialFill));
        assert_eq!(s.read(-4, 4), Err(Unreadable::PartialFill));
        s.write(-4, 4, &Reg::constant(0)).unwrap();
        assert_eq!(s.read(-8, 8), Ok(Reg::UNKNOWN), "what is left of the pointer is plain bytes");
        assert_eq!(s.read(-4, 4), Ok(Reg::constant(0)));
    }

    #[test]
    fn narrow_read_of_a_spilled_scalar_is_cut() {
        let mut s = Stack::new();
        s.write(-16, 8, &Reg::constant(0x1_2345_6789)).unwrap();
        assert_eq!(s.read(-16, 4).unwrap().known(), Some(0x2345_6789));
        assert_eq!(s.read(-16, 1).unwrap().known(), Some(0x89));
        assert_eq!(s.read(-12, 4).unwrap().known(), Some(1));
    }

    #[test]
    fn narrow_spill_forgets_the_upper_bytes_of_what_was_there() {
        let mut s = Stack::new();
        s.write(-8, 8, &Reg::constant(0)).unwrap();
        s.write(-8, 4, &Reg::scalar(Scalar::from_unsigned(0, 10))).unwrap();
        assert_eq!(s.read(-8, 8), Ok(Reg::UNKNOWN));
        assert_eq!(s.read(-8, 4).unwrap().var.umax(), 10);
    }

    #[test]
    fn what_a_narrow_write_leaves_of_a_spilled_zero_is_zero() {
        let mut s = Stack::new();
        s.write(-8, 8, &Reg::constant(0)).unwrap();
        s.write(-8, 1, &Reg::UNKNOWN).unwrap();
        assert_eq!(s.read(-5, 1), Ok(Reg::constant(0)));
        assert_eq!(s.read(-8, 8), Ok(Reg::UNKNOWN));
        s.smear(-6, 2, false).unwrap();
        assert_eq!((s.read(-6, 1), s.read(-4, 4)), (Ok(Reg::UNKNOWN), Ok(Reg::constant(0))));
    }

    #[test]
    fn smear_keeps_zero_only_under_zero() {
        let mut s = Stack::new();
        s.write(-8, 8, &Reg::constant(0)).unwrap();
        s.smear(-8, 4, true).unwrap();
        assert_eq!(s.read(-8, 8).unwrap().known(), Some(0));
        s.smear(-8, 1, false).unwrap();
        assert_eq!(s.read(-8, 8).unwrap().known(), None);
        assert_eq!(s.read_bytes(-8, 1), Reg::UNKNOWN);
    }
}
