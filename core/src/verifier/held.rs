//! What a path holds and must give back: records, host objects, iterators, and the one lock.
//!
//! A reference is made by the call that takes something, and named by its id; pointers to what is held carry the id as their `owner`. Giving it
//! back makes them plain numbers. A path may end, and a program may go on in another, only with nothing held.

use super::error::VerifierError as E;
use super::reg::Reg;
use super::state::{Held, Reference, State};
use crate::mem::OutOfMemory;

impl State {
    /// Something is held from here on.
    pub(crate) fn hold(&mut self, id: u32, pc: u32, held: Held) -> Result<(), OutOfMemory> {
        self.held.push(Reference { id, pc, held })
    }

    /// Gives an object back: pointers to it cannot be used any more. Whether it was held.
    pub(crate) fn give_back(&mut self, id: u32, left: Reg) -> bool {
        let was = self.drop_reference(id);
        self.forget(left, |r| r.owner == id);
        was
    }

    /// An object turned out not to exist: nothing is held. Whether it was.
    pub(crate) fn drop_reference(&mut self, id: u32) -> bool {
        let at = self.held.iter().position(|r| r.held == Held::Object && r.id == id);
        if let Some(at) = at {
            self.held.remove(at);
        }
        at.is_some()
    }

    /// The lock that is held: the map of its value, and the value's id.
    pub(crate) fn lock(&self) -> Option<(u32, u32)> {
        self.held.iter().find_map(|r| match r.held {
            Held::Lock(map) => Some((map, r.id)),
            Held::Object => None,
        })
    }

    /// The lock is given back.
    pub(crate) fn unlock(&mut self) {
        if let Some(at) = self.held.iter().position(|r| matches!(r.held, Held::Lock(_))) {
            self.held.remove(at);
        }
    }

    /// Nothing may be held where the program ends or goes on in another. `what` is how the kernel names that place.
    pub(crate) fn holds_nothing(&self, what: &'static str) -> Result<(), E> {
        if self.lock().is_some() {
            return Err(E::InLock { what });
        }
        match self.held.first() {
            Some(r) => Err(E::Unreleased { id: r.id, pc: r.pc }),
            None => Ok(()),
        }
    }
}
