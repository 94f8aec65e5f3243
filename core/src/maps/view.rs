//! What mmap(2) of the kernel's map of the same type shows: which parts of a map's memory, one behind the other, and which of them may be written.
//!
//! - RINGBUF: the consumer's page to be written; the producers' page and the data; the data once more, so that a record that wraps is in one piece.
//! - USER_RINGBUF: the same with the rights exchanged.
//! - ARRAY with BPF_F_MMAPABLE: the values.
//!
//! Other maps show nothing.

use super::Map;
use super::ops::MapOps;
use super::spec::flags::{BPF_F_MMAPABLE, BPF_F_RDONLY};
use super::user_ringbuf::UserRing;

/// A part of a map's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it begins, in bytes from the beginning of the map's memory; a multiple of a page.
    pub offset: usize,
    /// Bytes, not rounded up to pages.
    pub len: usize,
    /// Whether it may be written.
    pub writable: bool,
}

/// Nothing.
const NONE: View = View { offset: 0, len: 0, writable: false };

impl Map {
    /// The parts in their order; those of no bytes are none. `None` for a map that shows nothing.
    pub fn views(&self) -> Option<[View; 3]> {
        let from = |at: usize| at - self.region.base().as_ptr().addr();
        let user = self.ops().and_then(MapOps::user_ring).map(UserRing::ring);
        if let Some(ring) = user.or(self.ops().and_then(MapOps::ring)) {
            let (size, user) = (ring.size() as usize, user.is_some());
            let [offset, producer] =
                [ring.consumed(), ring.produced()].map(|p| from(core::ptr::from_ref(p).addr()));
            let page = producer - offset;
            return Some([
                View { offset, len: page, writable: !user },
                View { offset: offset + page, len: page + size, writable: user },
                View { offset: offset + 2 * page, len: size, writable: user },
            ]);
        }
        let array = self.array().filter(|_| self.spec.flags & BPF_F_MMAPABLE != 0)?;
        let writable = self.spec.flags & BPF_F_RDONLY == 0 && !self.is_frozen();
        let len = array.stride as usize * array.max_entries as usize;
        Some([View { offset: from(array.base), len, writable }, NONE, NONE])
    }
}
