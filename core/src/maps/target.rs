//! What an entry of a device, CPU or socket map says: where a redirected packet goes, and the entry's own program.

use super::keyed::Says;
use super::ops::Guest;
use super::{MapSpec, MapType, ProgRef, TailTarget};
use crate::error::Errno;
use crate::sync::Arc;
use core::ptr::null;

/// An entry, constant while anybody has it.
#[derive(Debug)]
pub struct Target {
    kind: MapType,
    value: u32,
    prog: Option<ProgRef>,
}

impl Target {
    /// An entry from its value: a number and, in 8-byte values, a program, which `guest` stands for.
    pub(super) fn new(
        spec: &MapSpec,
        value: &[u8],
        guest: Option<Guest<'_>>,
    ) -> Result<Option<Arc<Target>>, Errno> {
        let value = number(value).ok_or(Errno::EINVAL)?;
        if guest.is_some() && spec.value_size != 8 {
            return Err(Errno::EINVAL);
        }
        if value == 0 && spec.kind != MapType::Xskmap {
            return if guest.is_some() && spec.kind != MapType::Cpumap {
                Err(Errno::EINVAL)
            } else {
                Ok(None)
            };
        }
        if guest.as_ref().is_some_and(|g| !(g.admitted)()) {
            return Err(if spec.kind == MapType::Cpumap { Errno::ENOMEM } else { Errno::EINVAL });
        }
        let prog = guest.map(|g| g.prog);
        Ok(Some(Arc::new(Target { kind: spec.kind, value, prog })?))
    }

    /// The type of its map.
    pub fn kind(&self) -> MapType {
        self.kind
    }

    /// Interface, queue length (of a CPU) or socket number.
    pub fn value(&self) -> u32 {
        self.value
    }

    /// The entry's own program, or null. Valid as long as the entry is.
    pub fn prog(&self) -> *const TailTarget {
        self.prog.as_ref().map_or(null(), |p| core::ptr::from_ref(p.target()))
    }
}

impl Says for Target {
    /// As the kernel's `struct bpf_devmap_val` and `bpf_cpumap_val`: number, then program id.
    fn word(&self) -> u64 {
        u64::from(self.value) | u64::from(self.prog.as_ref().map_or(0, ProgRef::id)) << 32
    }
}

/// The number at the start of a value.
pub(super) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*value.first_chunk()?))
}

/// Whether a value names a program: by a number that only the caller can resolve.
pub(crate) fn names_program(value: &[u8]) -> bool {
    value.get(4..8).and_then(number).is_some_and(|id| id as i32 > 0)
}

/// Copies a word to a value of 4 or 8 bytes.
pub(super) fn copy_word(word: u64, out: &mut [u8]) {
    for (to, from) in out.iter_mut().zip(word.to_le_bytes()) {
        *to = from;
    }
}
