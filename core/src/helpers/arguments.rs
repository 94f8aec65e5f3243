//! The arguments of a format, taken when a helper is called: numbers, and what pointers among them point to.
//!
//! The kernel packs them into [`MAX_BPRINTF_BIN_ARGS`] bytes, which is what bounds texts, and is ENOSPC where a number does not fit any more. A text ends where it
//! cannot be read, an address's bytes are zero then. Source: `bpf_bprintf_prepare` of the kernel's `kernel/bpf/helpers.c`.

use super::format::{self, Arguments, Kind, Length, Spec};
use super::readable::readable_at;
use crate::error::Errno;
use crate::vm::Ctx;

/// Most conversions of a format.
pub(crate) const MAX_BPRINTF_VARARGS: usize = 12;
/// Bytes that all arguments of a format may take.
pub(crate) const MAX_BPRINTF_BIN_ARGS: usize = 512;

/// The arguments of one call.
pub(crate) struct Taken {
    numbers: [u64; MAX_BPRINTF_VARARGS],
    /// Bytes of each in `text`, one behind the other.
    lens: [u16; MAX_BPRINTF_VARARGS],
    text: [u8; MAX_BPRINTF_BIN_ARGS],
    count: usize,
}

impl Taken {
    pub(crate) const fn none() -> Taken {
        Taken {
            numbers: [0; MAX_BPRINTF_VARARGS],
            lens: [0; MAX_BPRINTF_VARARGS],
            text: [0; MAX_BPRINTF_BIN_ARGS],
            count: 0,
        }
    }

    /// The arguments `numbers` of a format, at most twelve; it may have fewer conversions.
    ///
    /// # Errors
    /// EINVAL where it is no format, or has more conversions than there are arguments; ENOSPC where they take too many bytes.
    pub(super) fn of(format: &[u8], numbers: &[u64], ctx: &Ctx) -> Result<Taken, Errno> {
        let mut taken = Taken::none();
        let (mut packed, mut text_end) = (0usize, 0usize);
        format::check(format, numbers.len(), |index, spec| {
            let number = numbers.get(index).copied().unwrap_or(0);
            taken.push(number, 0);
            let room = MAX_BPRINTF_BIN_ARGS.saturating_sub(packed);
            let len = match spec.pointee() {
                0 => {
                    let size = spec.size();
                    if size > 1 {
                        packed = packed.next_multiple_of(4);
                    }
                    if MAX_BPRINTF_BIN_ARGS.saturating_sub(packed) < size {
                        return Err(Errno::ENOSPC);
                    }
                    packed += size;
                    return Ok(());
                }
                _ if room == 0 => return Err(Errno::ENOSPC),
                // The kernel needs a place for the NUL.
                most => most.min(room - 1),
            };
            let to = taken.text.get_mut(text_end..).unwrap_or_default();
            let got = copy(number, len.min(to.len()), spec.kind, ctx, to);
            if let Some(len) = taken.lens.get_mut(index) {
                *len = got as u16;
            }
            text_end += got;
            packed += match spec.kind {
                Kind::Text => got + 1,
                _ => {
                    let mut printed = Length::default();
                    let _ = Spec::plain(spec.kind).render(&mut printed, number, taken.bytes(index));
                    printed.0 + 1
                }
            };
            Ok(())
        })?;
        Ok(taken)
    }

    /// Conversions that have an argument.
    pub(crate) fn numbers(&self) -> &[u64] {
        self.numbers.get(..self.count).unwrap_or_default()
    }

    /// Bytes of each argument's text.
    pub(crate) fn lens(&self) -> &[u16] {
        self.lens.get(..self.count).unwrap_or_default()
    }

    /// All texts, one behind the other.
    pub(crate) fn text(&self) -> &[u8] {
        let end = self.lens().iter().map(|&n| usize::from(n)).sum();
        self.text.get(..end).unwrap_or_default()
    }

    /// Adds an argument that was taken before; those that are too many are left out.
    pub(crate) fn push(&mut self, number: u64, len: u16) {
        if let (Some(n), Some(l)) = (self.numbers.get_mut(self.count), self.lens.get_mut(self.count)) {
            (*n, *l) = (number, len);
            self.count += 1;
        }
    }

    /// The place of all texts, to be filled.
    pub(crate) fn text_mut(&mut self) -> &mut [u8; MAX_BPRINTF_BIN_ARGS] {
        &mut self.text
    }
}

/// Copies what is behind an address: a text up to its NUL, an address's bytes whole or not at all.
fn copy(from: u64, len: usize, kind: Kind, ctx: &Ctx, to: &mut [u8]) -> usize {
    let readable = readable_at(from, ctx);
    if kind != Kind::Text && readable < len {
        return 0;
    }
    for (i, place) in to.iter_mut().enumerate().take(len) {
        if i >= readable {
            return i;
        }
        // SAFETY: `readable_at` says that so many bytes can be read there.
        let byte = unsafe { (from as *const u8).add(i).read() };
        if kind == Kind::Text && byte == 0 {
            return i;
        }
        *place = byte;
    }
    len
}

impl Arguments for Taken {
    fn number(&self, index: usize) -> u64 {
        self.numbers.get(index).copied().unwrap_or(0)
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let start = self.lens.iter().take(index).map(|&n| usize::from(n)).sum::<usize>();
        let len = self.lens.get(index).map_or(0, |&n| usize::from(n));
        self.text.get(start..start + len).unwrap_or_default()
    }
}
