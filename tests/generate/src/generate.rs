//! Programs from choices, so that a good part of them is accepted.
//!
//! r6 is the context, r7 to r9 are values whose kind is kept track of, r0 to r5 are for the statement at hand. Each statement is safe for most of its
//! choices and unsafe for some: a mask too wide, a test that is missing, an offset beyond. Whether it is, the verifier has to find out. In the end
//! values are stored to map 4, so that engines that differ are seen to.

mod emit;
mod statements;

use crate::bytes::Bytes;
use crate::raw;
use emit::Emit;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::build::*;
use uxdp_core::isa::{Cond, Size};
use uxdp_core::program::Code;

/// Which helpers a program may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that this version provides.
    Provided,
    /// All whose prototype is known.
    EveryHelper,
    /// Those whose results are the same everywhere. Programs begin with a map, a loop and a packet write more often than not.
    Everywhere,
}

/// What r7 to r9 hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    /// A value of a map, and how many bytes it has.
    Value(i16),
}

/// A program under construction.
struct Maker<'a, 'b> {
    bytes: &'a mut Bytes<'b>,
    scope: Scope,
    emit: Emit,
    kinds: [Kind; 3],
    /// Bodies of functions, behind the main one.
    functions: Vec<Vec<uxdp_core::isa::Insn>>,
}

/// The program that these choices make.
pub fn program(bytes: &mut Bytes<'_>, scope: Scope) -> Code {
    let mut m =
        Maker { bytes, scope, emit: Emit::default(), kinds: [Kind::Number; 3], functions: Vec::new() };
    m.begin();
    if scope == Scope::Everywhere {
        m.usual();
    }
    for _ in 0..24 {
        if m.bytes.is_empty() {
            break;
        }
        m.statement();
    }
    m.end();
    // Linux wants types for global functions, which generated programs do not have.
    let global = scope != Scope::Everywhere && m.bytes.rarely(8);
    raw::code(&m.emit.finish(&m.functions), global)
}

impl Maker<'_, '_> {
    fn begin(&mut self) {
        self.emit.put(&[
            mov64_reg(6, 1),
            ldx(Size::W, 7, 1, 12),
            ldx(Size::W, 8, 1, 16),
            mov64_imm(9, 5),
            mov64_imm(0, 0),
        ]);
        for slot in 1..=8 {
            self.emit.put(&[st(Size::DW, 10, -8 * slot, i32::from(slot))]);
        }
        self.emit.put(&[stx(Size::DW, 10, -16, 7)]);
    }

    fn end(&mut self) {
        self.emit.put(&ld_map_value(1, 4, 0));
        for (i, kind) in self.kinds.into_iter().enumerate() {
            if kind == Kind::Number {
                self.emit.put(&[stx(Size::DW, 1, 8 * i as i16, 7 + i as u8)]);
            }
        }
        self.emit.put(&[ldx(Size::DW, 2, 10, -8), stx(Size::DW, 1, 24, 2)]);
        let known = mov64_imm(0, self.bytes.below(4) as i32);
        let last = match self.number() {
            Some(r) if self.bytes.rarely(2) => mov64_reg(0, r),
            _ => known,
        };
        self.emit.put(&[last, exit()]);
        if self.emit.out() {
            self.emit.put(&[mov64_imm(0, 2), exit()]);
        }
    }

    /// A register that holds a number.
    fn number(&mut self) -> Option<u8> {
        let from = self.bytes.below(3);
        (0..3).map(|i| (from + i) % 3).find(|i| self.kinds[*i] == Kind::Number).map(|i| 7 + i as u8)
    }

    /// A register to write to, a number from now on.
    fn fresh(&mut self) -> u8 {
        let i = self.bytes.below(3);
        self.kinds[i] = Kind::Number;
        7 + i as u8
    }

    /// Whether a program of this scope may call a helper.
    fn may_call(&self, id: u32) -> bool {
        let row = STANDARD.row_of(id).and_then(|row| STANDARD.get(row));
        // Time, random numbers, jiffies and nodes are each machine's own.
        let own = matches!(id, 5 | 7 | 42 | 118);
        row.is_some_and(|h| match self.scope {
            Scope::Provided => h.func.is_some(),
            Scope::EveryHelper => true,
            Scope::Everywhere => h.func.is_some() && !own,
        })
    }

    fn cond(&mut self) -> Cond {
        self.bytes.pick(&Cond::ALL)
    }

    fn size(&mut self) -> Size {
        self.bytes.pick(&Size::ALL)
    }

    /// A number at which arithmetic tends to break.
    fn constant(&mut self) -> i32 {
        const EDGES: [i32; 16] = [0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 255, -1, -8, i32::MAX, i32::MIN];
        match self.bytes.below(4) {
            0 => i32::from(self.bytes.byte()) << self.bytes.below(24),
            _ => self.bytes.pick(&EDGES),
        }
    }

    /// An offset of an access within `room` bytes, and at times beyond.
    fn offset(&mut self, room: i16, size: Size) -> i16 {
        let last = (room - size.bytes() as i16).max(0);
        let within = self.bytes.below(last as usize + 1) as i16;
        if self.bytes.rarely(40) { within + 1 + last } else { within }
    }

    /// The same for the stack, whose accesses are aligned.
    fn aligned(&mut self, room: i16, size: Size) -> i16 {
        let off = self.offset(room, size);
        if self.bytes.rarely(40) { off } else { off & -(size.bytes() as i16) }
    }
}
