//! `.BTF.ext`: which function starts where, and which source line each instruction comes from.
//!
//! Records come out with the index of their ELF section, lines and functions sorted by it and by slot. CO-RE relocations are read here and
//! applied by `core_reloc`.

use super::btf::{header_len, part, u32_at};
use super::elf::Elf;
use super::error::{ObjectError, Result};
use crate::mem::Vec;

const SECTION: &str = ".BTF.ext";
/// The length of a header that knows CO-RE relocations.
const HEADER_WITH_CORE: usize = 32;

/// A function begins here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FuncInfo {
    /// Index of the ELF section.
    pub(crate) section: usize,
    /// First slot in that section.
    pub(crate) slot: u32,
    /// Its BTF type.
    pub(crate) type_id: u32,
}

/// A source line begins here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineInfo {
    /// Index of the ELF section.
    pub(crate) section: usize,
    /// First slot in that section.
    pub(crate) slot: u32,
    /// Offset of the file's name among the BTF strings.
    pub(crate) file: u32,
    /// Offset of the line's text among the BTF strings.
    pub(crate) text: u32,
    /// Line number in the upper 22 bits, column in the lower 10.
    pub(crate) line_col: u32,
}

/// A CO-RE relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreRecord {
    /// Index of the ELF section.
    pub(crate) section: usize,
    /// Byte offset of the instruction in that section.
    pub(crate) offset: u32,
    /// The type that it starts from.
    pub(crate) type_id: u32,
    /// Offset of the access string among the BTF strings.
    pub(crate) access: u32,
    /// What is asked (`enum bpf_core_relo_kind`).
    pub(crate) kind: u32,
}

/// What the section holds.
#[derive(Default)]
pub(crate) struct Ext {
    /// Sorted by section and slot.
    pub(crate) funcs: Vec<FuncInfo>,
    /// Sorted by section and slot.
    pub(crate) lines: Vec<LineInfo>,
    /// CO-RE relocations, in the file's order.
    pub(crate) core: Vec<CoreRecord>,
}

impl Ext {
    /// Checks the section's contents; `names` gives the BTF string at an offset.
    pub(crate) fn parse<'n>(data: &[u8], elf: &Elf<'_>, names: impl Fn(u32) -> &'n str) -> Result<Self> {
        let header = header_len(data, SECTION, 24)?;
        let mut ext = Ext::default();
        let section = |name: u32| elf.section_by_name(names(name)).map(|(i, _)| i);
        records(part(data, header, 8, SECTION)?, 8, |name, record| {
            let (Some(section), Some(offset), Some(type_id)) =
                (section(name), u32_at(record, 0), u32_at(record, 4))
            else {
                return Ok(());
            };
            Ok(ext.funcs.push(FuncInfo { section, slot: offset / 8, type_id })?)
        })?;
        records(part(data, header, 16, SECTION)?, 16, |name, record| {
            let word = |i: usize| u32_at(record, 4 * i).unwrap_or(0);
            let Some(section) = section(name) else { return Ok(()) };
            let line =
                LineInfo { section, slot: word(0) / 8, file: word(1), text: word(2), line_col: word(3) };
            Ok(ext.lines.push(line)?)
        })?;
        if header >= HEADER_WITH_CORE {
            records(part(data, header, 24, SECTION)?, 16, |name, record| {
                let word = |i: usize| u32_at(record, 4 * i).unwrap_or(0);
                let Some(section) = section(name) else { return Ok(()) };
                let (offset, type_id, access, kind) = (word(0), word(1), word(2), word(3));
                Ok(ext.core.push(CoreRecord { section, offset, type_id, access, kind })?)
            })?;
        }
        ext.funcs.sort_unstable_by_key(|f| (f.section, f.slot));
        ext.lines.sort_unstable_by_key(|l| (l.section, l.slot));
        Ok(ext)
    }

    /// The type of the function that starts at a slot.
    pub(crate) fn func_type(&self, section: usize, slot: u32) -> Option<u32> {
        let found = self.funcs.binary_search_by_key(&(section, slot), |f| (f.section, f.slot)).ok()?;
        self.funcs.get(found).map(|f| f.type_id)
    }

    /// The lines of one section.
    pub(crate) fn section_lines(&self, section: usize) -> &[LineInfo] {
        let from = self.lines.partition_point(|l| l.section < section);
        let to = self.lines.partition_point(|l| l.section <= section);
        self.lines.get(from..to).unwrap_or(&[])
    }
}

/// Calls `each` with the section name and the bytes of every record of one table.
fn records(table: &[u8], min: usize, mut each: impl FnMut(u32, &[u8]) -> Result<()>) -> Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    let bad = || ObjectError::malformed("a table of .BTF.ext is cut or invalid").at(SECTION, 0);
    let size = u32_at(table, 0).map_or(0, |n| n as usize);
    if size < min || !size.is_multiple_of(4) {
        return Err(bad());
    }
    let mut rest = table.get(4..).unwrap_or(&[]);
    while !rest.is_empty() {
        let name = u32_at(rest, 0).ok_or_else(bad)?;
        let count = u32_at(rest, 4).ok_or_else(bad)? as usize;
        let bytes = count.checked_mul(size).ok_or_else(bad)?;
        let body = rest.get(8..).unwrap_or(&[]);
        if count == 0 || bytes > body.len() {
            return Err(bad());
        }
        let (mine, others) = body.split_at(bytes);
        for record in mine.chunks_exact(size) {
            each(name, record)?;
        }
        rest = others;
    }
    Ok(())
}
