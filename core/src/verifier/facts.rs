//! What the verifier hands to the engines: rewrites, which they must apply, and facts, which a compiler may use.
//!
//! Every visit of an instruction notes what it saw; visits are joined, and a mismatch leaves nothing. That is sound although pruned paths are not
//! visited: a pruned state was found to be covered by an explored one in kinds, maps, offsets and ranges of pointers ([`super::prune`]), so it
//! could only have noted the same. A number is compared only where something rests on it: so whoever notes a number, or a branch that numbers
//! decide, demands it ([`super::explore::Verifier::rests_on`]) on that visit.

use super::error::VerifierError as E;
use super::reg::{INNER, Kind};
use crate::mem::{OutOfMemory, Vec};
use crate::program::{Edge, Fact, Facts, MapSel, MemClass, Rewrite};

/// What visits of one instruction saw.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    rewrite: Option<Rewrite>,
    /// The kind of pointer, as a class; `None` before the first visit.
    mem: Option<MemClass>,
    ctx: Option<bool>,
    taken: bool,
    fell: bool,
    call: Option<CallFact>,
}

/// What one visit of a call knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFact {
    /// The map it works on.
    pub(crate) map: MapSel,
    /// A constant key.
    pub(crate) key: Option<u64>,
    /// The result cannot be null.
    pub(crate) non_null: bool,
}

/// The notes of all visits.
#[derive(Debug)]
pub(crate) struct FactTable {
    seen: Vec<Seen>,
}

fn class(kind: Kind) -> MemClass {
    match kind {
        Kind::Stack(_) => MemClass::Stack,
        Kind::Ctx => MemClass::Ctx,
        Kind::Packet | Kind::PacketMeta => MemClass::Packet,
        Kind::MapValue(m) if m & INNER == 0 => MemClass::Map(m),
        Kind::MapValue(_) => MemClass::MapAny,
        _ => MemClass::Unknown,
    }
}

fn join_class(a: MemClass, b: MemClass) -> MemClass {
    let map = |c| matches!(c, MemClass::Map(_) | MemClass::MapAny);
    match (a, b) {
        _ if a == b => a,
        _ if map(a) && map(b) => MemClass::MapAny,
        _ => MemClass::Unknown,
    }
}

impl FactTable {
    /// No visits yet.
    pub(crate) fn new(slots: usize) -> Result<Self, OutOfMemory> {
        Ok(FactTable { seen: Vec::filled(Seen::default(), slots)? })
    }

    /// An instruction was visited.
    pub(crate) fn visit(&mut self, pc: u32) {
        if let Some(s) = self.seen.get_mut(pc as usize) {
            s.rewrite.get_or_insert(Rewrite::Plain);
        }
    }

    /// An instruction means that, on every visit.
    pub(crate) fn rewrite(&mut self, pc: u32, rewrite: Rewrite) {
        if let Some(s) = self.seen.get_mut(pc as usize) {
            s.rewrite = Some(rewrite);
        }
    }

    /// An access through a pointer of that kind.
    ///
    /// # Errors
    /// Context accesses are rewritten, so that an instruction is one always or never.
    pub(crate) fn touches(&mut self, pc: u32, kind: Kind) -> Result<(), E> {
        let Some(s) = self.seen.get_mut(pc as usize) else { return Ok(()) };
        let is_ctx = kind == Kind::Ctx;
        if s.ctx.is_some_and(|before| before != is_ctx) {
            return Err(E::DifferentPointers);
        }
        s.ctx = Some(is_ctx);
        let now = class(kind);
        s.mem = Some(s.mem.map_or(now, |before| join_class(before, now)));
        Ok(())
    }

    /// Which ways of a conditional jump were possible.
    pub(crate) fn branch(&mut self, pc: u32, taken: bool, fell: bool) {
        if let Some(s) = self.seen.get_mut(pc as usize) {
            s.taken |= taken;
            s.fell |= fell;
        }
    }

    /// Whether a key would be a fact: no visit has seen another one.
    pub(crate) fn key_may_hold(&self, pc: u32, key: Option<u64>) -> bool {
        let before = self.seen.get(pc as usize).and_then(|s| s.call);
        before.is_none_or(|before| before.key == key)
    }

    /// A call of a helper.
    pub(crate) fn call(&mut self, pc: u32, row: u16, now: CallFact) {
        let Some(s) = self.seen.get_mut(pc as usize) else { return };
        let joined = s.call.map_or(now, |before| CallFact {
            map: if before.map == now.map { now.map } else { MapSel::Many },
            key: if before.key == now.key { now.key } else { None },
            non_null: before.non_null && now.non_null,
        });
        s.call = Some(joined);
        s.rewrite = Some(Rewrite::CallHelper { row, map: joined.map });
    }

    /// The rewrites of all slots.
    pub(crate) fn rewrites(&self) -> Result<Vec<Rewrite>, OutOfMemory> {
        Vec::from_fn(self.seen.len(), |i| self.seen[i].rewrite.unwrap_or(Rewrite::Dead))
    }

    /// The facts of all slots.
    pub(crate) fn facts(&self) -> Result<Facts, OutOfMemory> {
        let mut facts = Facts::unknown(self.seen.len())?;
        for (pc, s) in self.seen.iter().enumerate() {
            let Some(fact) = facts.at_mut(pc as u32) else { continue };
            *fact = Fact {
                mem: s.mem.unwrap_or_default(),
                edge: match (s.taken, s.fell) {
                    (true, false) => Edge::AlwaysTaken,
                    (false, true) => Edge::NeverTaken,
                    _ => Edge::Both,
                },
                const_key: s.call.and_then(|c| c.key),
                non_null: s.call.is_some_and(|c| c.non_null),
            };
        }
        Ok(facts)
    }
}
