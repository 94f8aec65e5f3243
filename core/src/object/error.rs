//! Why an object file is refused: section, offset and reason.

use crate::error::{Errno, Status};
use crate::mem::OutOfMemory;
use core::fmt;

/// A short piece of a name from the file, kept for a message: at most 40 bytes, cut at a character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; 40],
    len: u8,
}

impl Label {
    /// No name.
    pub const NONE: Label = Label { bytes: [0; 40], len: 0 };

    /// The start of `text`.
    pub fn new(text: &str) -> Label {
        let mut label = Label::NONE;
        let mut len = text.len().min(label.bytes.len());
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        for (to, from) in label.bytes.iter_mut().zip(text.as_bytes().iter().take(len)) {
            *to = *from;
        }
        label.len = len as u8;
        label
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What kind of refusal it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectErrorKind {
    /// Not a BPF object file at all.
    NotBpf,
    /// The file contradicts itself or its format.
    Malformed,
    /// Well formed, but this version does not do it.
    NotSupported,
    /// A symbol that nothing defines.
    Undefined,
    /// Over a limit.
    TooBig,
    /// Memory is short.
    OutOfMemory,
}

/// An object file that is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectError {
    /// What kind of refusal.
    pub kind: ObjectErrorKind,
    /// The section, or nothing where the file as a whole is meant.
    pub section: Label,
    /// Byte offset in that section, or in the file.
    pub offset: u64,
    /// The reason.
    pub what: &'static str,
    /// The symbol, map or field that it is about, or nothing.
    pub name: Label,
}

/// What everything in this folder returns.
pub(crate) type Result<T> = core::result::Result<T, ObjectError>;

impl ObjectError {
    fn new(kind: ObjectErrorKind, what: &'static str) -> Self {
        ObjectError { kind, section: Label::NONE, offset: 0, what, name: Label::NONE }
    }

    pub(crate) fn not_bpf(what: &'static str) -> Self {
        Self::new(ObjectErrorKind::NotBpf, what)
    }

    pub(crate) fn malformed(what: &'static str) -> Self {
        Self::new(ObjectErrorKind::Malformed, what)
    }

    pub(crate) fn not_supported(what: &'static str) -> Self {
        Self::new(ObjectErrorKind::NotSupported, what)
    }

    pub(crate) fn undefined(what: &'static str) -> Self {
        Self::new(ObjectErrorKind::Undefined, what)
    }

    pub(crate) fn too_big(what: &'static str) -> Self {
        Self::new(ObjectErrorKind::TooBig, what)
    }

    /// The same, with its place; a place that is set already stays.
    pub(crate) fn at(mut self, section: &str, offset: u64) -> Self {
        if self.section == Label::NONE {
            self.section = Label::new(section);
            self.offset = offset;
        }
        self
    }

    /// The same, with the name that it is about; a name that is set already stays.
    pub(crate) fn named(mut self, name: &str) -> Self {
        if self.name == Label::NONE {
            self.name = Label::new(name);
        }
        self
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section.as_str() {
            "" => write!(f, "offset {:#x}: ", self.offset)?,
            name => write!(f, "section \"{name}\", offset {:#x}: ", self.offset)?,
        }
        f.write_str(self.what)?;
        match self.name.as_str() {
            "" => Ok(()),
            name => write!(f, ": \"{name}\""),
        }
    }
}

impl core::error::Error for ObjectError {}

impl Status for ObjectError {
    fn errno(&self) -> Errno {
        match self.kind {
            ObjectErrorKind::NotBpf => Errno::ENOEXEC,
            ObjectErrorKind::Malformed => Errno::EINVAL,
            ObjectErrorKind::NotSupported => Errno::EOPNOTSUPP,
            ObjectErrorKind::Undefined => Errno::ENOENT,
            ObjectErrorKind::TooBig => Errno::E2BIG,
            ObjectErrorKind::OutOfMemory => Errno::ENOMEM,
        }
    }
}

impl From<OutOfMemory> for ObjectError {
    fn from(_: OutOfMemory) -> Self {
        Self::new(ObjectErrorKind::OutOfMemory, "out of memory")
    }
}
