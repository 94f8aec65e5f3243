//! What the instruction at hand uses, noted as it is judged: maps against their limit, bytes of the stack for liveness, precision and the slots to clear.

use super::backtrack::{self, Note};
use super::error::VerifierError as E;
use super::explore::Verifier;
use super::state::State;
use crate::limits::MAX_USED_MAPS;
use crate::maps::MapSpec;

impl Verifier<'_, '_, '_> {
    /// Notes that a map is used; returns what it is.
    pub(crate) fn use_map(&mut self, index: u32) -> Result<MapSpec, E> {
        let spec = self.input.map(index).ok_or(E::NoSuchMap { index: i64::from(index) })?.spec;
        if let Some(used) = self.used_maps.get_mut(index as usize) {
            *used = true;
        }
        if self.used_maps.iter().filter(|u| **u).count() > MAX_USED_MAPS {
            return Err(E::TooManyMaps);
        }
        Ok(spec)
    }

    /// Notes which bytes of which frame the instruction at hand touches.
    pub(crate) fn uses_stack(
        &mut self,
        state: &State,
        frame: u8,
        (from, to): (i32, i32),
        reads: bool,
        writes: bool,
    ) -> Result<(), E> {
        let index = usize::from(frame);
        let owner = state.frames.get(index).ok_or(E::Internal { what: "frame number" })?;
        self.frames.deepen(owner.func, from);
        let ((first, end), whole) = (backtrack::touched(from, to), backtrack::covered(from, to));
        if reads {
            self.explored.read(self.parent, state, index, backtrack::span(first, end));
        }
        self.note = match (first, end) == whole && !state.frames.is_empty() {
            true => Note::Stack { frame, first, end },
            false => Note::StackPart { frame, first, end },
        };
        if index == state.depth() {
            self.frames.own(from, to, reads, writes);
        } else if let Some(callee) = state.frames.get(index + 1) {
            self.frames.callers(callee.callsite, from, to)?;
        }
        Ok(())
    }
}
