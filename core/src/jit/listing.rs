//! Machine code as text: one line an instruction of the program, with the bytes that it became.

use super::{Artifact, FuncCode};
use core::fmt;

/// The code of an artifact, or of what was installed, for display.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// The code.
    pub bytes: &'a [u8],
    /// Functions in order of their code.
    pub funcs: &'a [FuncCode],
    /// Offset and pc, sorted by offset.
    pub pcs: &'a [(u32, u32)],
}

impl Artifact {
    /// The code as text.
    pub fn listing(&self) -> Listing<'_> {
        Listing { bytes: &self.bytes, funcs: &self.funcs, pcs: &self.pcs }
    }
}

impl Listing<'_> {
    /// The pc that a byte of the code comes from, if it is not a function's frame.
    pub fn pc_at(&self, offset: u32) -> Option<u32> {
        let after = self.pcs.partition_point(|e| e.0 <= offset);
        self.pcs.get(after.checked_sub(1)?).map(|e| e.1)
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, start: u32, end: u32) -> fmt::Result {
        write!(f, "{start:5x}:")?;
        for byte in self.bytes.get(start as usize..end as usize).unwrap_or_default() {
            write!(f, " {byte:02x}")?;
        }
        f.write_str("\n")
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        for func in self.funcs {
            if at < func.start {
                writeln!(f, "entry:")?;
                self.line(f, at, func.start)?;
            }
            writeln!(f, "func {} ({} bytes of stack):", func.func, func.frame)?;
            at = func.start;
            for (start, pc) in self.pcs.iter().filter(|e| (func.start..func.end).contains(&e.0)) {
                if at < *start {
                    self.line(f, at, *start)?;
                }
                let next = self.pcs.iter().map(|e| e.0).find(|o| o > start);
                let end = next.unwrap_or(func.end).min(func.end);
                writeln!(f, "; insn {pc}")?;
                self.line(f, *start, end)?;
                at = end;
            }
            if at < func.end {
                self.line(f, at, func.end)?;
            }
            at = func.end;
        }
        if at < self.bytes.len() as u32 {
            writeln!(f, "calls and records:")?;
            self.line(f, at, self.bytes.len() as u32)?;
        }
        Ok(())
    }
}
