//! Objects of the host that a run holds: what an aborted one gives back.
//!
//! The verifier proves that a run which comes to its end has given back everything, so that the lists are empty between runs. One that is ended earlier (by a limit, a lock that
//! is not to be had, a fault) leaves what it held at that moment.
//!
//! A reference is of use only while a register or a stack slot has it, and a run whose reference is gone would never be proven: there are never more than fit.

use crate::host::{Host, Object};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use core::ffi::c_void;
use core::ptr::null_mut;

/// References that there is room for: one in each stack slot of a run, and in the registers of each frame.
const MOST: usize = 128;
const _: () =
    assert!(MOST >= crate::limits::MAX_BPF_STACK as usize / 8 + 6 + 4 * crate::limits::MAX_CALL_FRAMES);

/// What kind of object, which says how it goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldKind {
    /// [`Host::sk_release`].
    Socket,
    /// [`Host::ct_release`].
    Connection,
}

/// Objects of one kind.
struct List {
    count: AtomicUsize,
    objects: [AtomicPtr<c_void>; MOST],
}

impl List {
    const fn new() -> List {
        List { count: AtomicUsize::new(0), objects: [const { AtomicPtr::new(null_mut()) }; MOST] }
    }

    fn push(&self, object: Object) -> bool {
        let count = self.count.load(Relaxed);
        let Some(place) = self.objects.get(count) else { return false };
        place.store(object.as_ptr(), Relaxed);
        self.count.store(count + 1, Relaxed);
        true
    }

    /// The last one; none where there is nothing.
    fn pop(&self) -> Option<Object> {
        let last = self.count.load(Relaxed).checked_sub(1)?;
        self.count.store(last, Relaxed);
        Object::new(self.objects.get(last)?.load(Relaxed))
    }

    fn remove(&self, object: Object) {
        let held = self.objects.iter().take(self.count.load(Relaxed));
        let place = held.rev().find(|o| o.load(Relaxed) == object.as_ptr());
        if let (Some(place), Some(last)) = (place, self.pop()) {
            place.store(last.as_ptr(), Relaxed);
        }
    }
}

/// What the runs of one slot hold; the slot's holder alone uses it.
pub(crate) struct HeldObjects {
    sockets: List,
    connections: List,
}

impl HeldObjects {
    pub(super) const fn new() -> HeldObjects {
        HeldObjects { sockets: List::new(), connections: List::new() }
    }

    fn list(&self, kind: HeldKind) -> &List {
        match kind {
            HeldKind::Socket => &self.sockets,
            HeldKind::Connection => &self.connections,
        }
    }

    /// Notes an object that the host gave, if there is room.
    pub(crate) fn take(&self, kind: HeldKind, object: Object) -> bool {
        self.list(kind).push(object)
    }

    /// Forgets an object that goes back to the host.
    pub(crate) fn give(&self, kind: HeldKind, object: Object) {
        self.list(kind).remove(object);
    }

    /// Gives back everything, the last one first.
    #[cold]
    pub(super) fn give_all(&self, host: &dyn Host) {
        while let Some(socket) = self.sockets.pop() {
            host.sk_release(socket);
        }
        while let Some(connection) = self.connections.pop() {
            host.ct_release(connection);
        }
    }
}
