//! Source lines between the lines of a listing.

use std::io::Write;
use uxdp_core::isa::Source;
use uxdp_core::program::Code;

/// Writes the source line that an instruction comes from, where it is another than the last.
pub(crate) struct Lines<'a> {
    code: &'a Code,
    last: Option<(u32, u32)>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(code: &'a Code) -> Self {
        Lines { code, last: None }
    }

    pub(crate) fn at(&mut self, pc: u32, out: &mut dyn Write) -> std::io::Result<()> {
        let Some(l) = self.code.line_at(pc) else { return Ok(()) };
        let (text, file) = (self.code.string(l.text).trim(), self.code.string(l.file));
        if self.last.replace((l.file, l.line)) == Some((l.file, l.line)) || text.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}", Source { text, file, line: l.line })
    }
}
