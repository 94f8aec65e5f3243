//! The names that an object knows, for disassembly: maps, functions, kernel functions, source lines.

use super::Object;
use crate::isa::{Names, Source};
use crate::program::Code;

/// What an object and one of its linked programs call things.
#[derive(Clone, Copy, Debug)]
pub struct ObjectNames<'a> {
    object: &'a Object,
    code: &'a Code,
}

impl<'a> ObjectNames<'a> {
    /// The names for a program that `object` linked.
    pub fn new(object: &'a Object, code: &'a Code) -> Self {
        ObjectNames { object, code }
    }
}

impl Names for ObjectNames<'_> {
    fn map(&self, idx: u32) -> Option<&str> {
        self.object.maps().get(idx as usize).map(|m| m.name.as_str())
    }

    fn kfunc(&self, id: i32) -> Option<&str> {
        self.object.kfunc_name(id)
    }

    fn function(&self, pc: u32) -> Option<&str> {
        let found = self.code.subprogs.binary_search_by_key(&pc, |s| s.start).ok()?;
        self.code.subprogs.get(found).map(|s| s.name.as_str())
    }

    fn source(&self, pc: u32) -> Option<Source<'_>> {
        let line = self.code.line_at(pc).filter(|l| l.pc == pc)?;
        let text = self.code.string(line.text);
        (!text.is_empty()).then(|| Source { text, file: self.code.string(line.file), line: line.line })
    }
}
