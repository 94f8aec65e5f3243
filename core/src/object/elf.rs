//! The ELF container: a 64-bit little-endian relocatable file for EM_BPF, its sections, symbols and relocations.
//!
//! Everything read here borrows from the file; an index or range is checked once, when the section or symbol is taken. What a section
//! means is left to `section`; `object` does the byte layout (ELF-64 object file format; Linux's EM_BPF relocations).

use super::error::{ObjectError, Result};
use crate::mem::Vec;
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, Rel, SectionHeader, Sym, SymbolTable};
use object::read::{SectionIndex, SymbolIndex};

type Header = elf::FileHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

/// One section of the file.
#[derive(Clone, Copy)]
pub(crate) struct Section<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its contents; empty for one that takes no room in the file.
    pub(crate) data: &'a [u8],
    /// Its size in memory, also where the file has no contents for it.
    pub(crate) size: u64,
    /// Whether it holds contents (`SHT_PROGBITS`) or only reserves room (`SHT_NOBITS`).
    pub(crate) kind: SectionType,
    /// Whether it holds code.
    pub(crate) executable: bool,
}

/// The section types that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SectionType {
    /// Contents.
    Progbits,
    /// Zeros that are not in the file.
    Nobits,
    /// Anything else.
    Other,
}

/// Where a symbol is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Nowhere: another file would have it.
    Undefined,
    /// In the section with that index.
    Section(usize),
    /// A special index (absolute, common).
    Special,
}

/// The symbol types that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SymbolType {
    /// A function.
    Func,
    /// A section as a whole.
    Section,
    /// A variable.
    Object,
    /// Not said, as in hand-written assembly.
    Untyped,
    /// Anything else (file names).
    Other,
}

/// One symbol.
#[derive(Clone, Copy)]
pub(crate) struct Symbol<'a> {
    /// Its name; a section symbol has none.
    pub(crate) name: &'a str,
    /// What it is.
    pub(crate) kind: SymbolType,
    /// Where it is.
    pub(crate) place: Place,
    /// Byte offset in its section.
    pub(crate) value: u64,
    /// Bytes that it covers, 0 where not said.
    pub(crate) size: u64,
    /// Whether it may stay undefined.
    pub(crate) weak: bool,
    /// Whether it is visible outside the file.
    pub(crate) global: bool,
    /// Whether its visibility is hidden or internal.
    pub(crate) hidden: bool,
}

/// One relocation.
#[derive(Clone, Copy)]
pub(crate) struct Reloc {
    /// Byte offset in the section that is relocated.
    pub(crate) offset: u64,
    /// Index of the symbol.
    pub(crate) symbol: usize,
    /// `R_BPF_*`.
    pub(crate) kind: u32,
}

/// A parsed file.
pub(crate) struct Elf<'a> {
    data: &'a [u8],
    headers: &'a [elf::SectionHeader64<LittleEndian>],
    symbols: SymbolTable<'a, Header>,
    /// All sections; the index is that of the file.
    pub(crate) sections: Vec<Section<'a>>,
}

impl<'a> Elf<'a> {
    /// Reads the header, the section table and the symbol table.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self> {
        if !data.starts_with(&elf::ELFMAG) {
            return Err(ObjectError::not_bpf("not an ELF file"));
        }
        if data.get(4) != Some(&elf::ELFCLASS64.0) || data.get(5) != Some(&elf::ELFDATA2LSB.0) {
            return Err(ObjectError::not_bpf("not a 64-bit little-endian ELF file").at("", 4));
        }
        let header =
            Header::parse(data).map_err(|_| ObjectError::not_bpf("the ELF header is cut or invalid"))?;
        if header.e_type(LE) != elf::ET_REL {
            return Err(ObjectError::not_bpf("not a relocatable ELF file").at("", 16));
        }
        if header.e_machine(LE) != elf::EM_BPF {
            return Err(ObjectError::not_bpf("not for the BPF machine").at("", 18));
        }
        let table = header
            .sections(LE, data)
            .map_err(|_| ObjectError::malformed("the section table is cut or invalid").at("", 40))?;
        let headers = table.iter().as_slice();
        let mut sections = Vec::with_capacity(headers.len())?;
        for (i, h) in headers.iter().enumerate() {
            let name = table.section_name(LE, h).ok().and_then(|n| core::str::from_utf8(n).ok());
            let name = name.ok_or_else(|| {
                ObjectError::malformed("the name of a section is not readable").at("", i as u64)
            })?;
            let kind = match h.sh_type(LE) {
                elf::SHT_PROGBITS => SectionType::Progbits,
                elf::SHT_NOBITS => SectionType::Nobits,
                _ => SectionType::Other,
            };
            let bytes = h.data(LE, data).map_err(|_| {
                ObjectError::malformed("the section reaches beyond the end of the file").at(name, 0)
            })?;
            let size = h.sh_size(LE);
            let executable = (h.sh_flags(LE) & elf::SHF_EXECINSTR).0 != 0;
            sections.push(Section { name, data: bytes, size, kind, executable })?;
        }
        let symbols = table
            .symbols(LE, data, elf::SHT_SYMTAB)
            .map_err(|_| ObjectError::malformed("the symbol table is cut or invalid").at(".symtab", 0))?;
        Ok(Elf { data, headers, symbols, sections })
    }

    /// How many symbols there are, the null symbol included.
    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.len()
    }

    /// The symbol with that index.
    pub(crate) fn symbol(&self, index: usize) -> Result<Symbol<'a>> {
        let bad = |what| ObjectError::malformed(what).at(".symtab", (index as u64).saturating_mul(24));
        let sym = self
            .symbols
            .symbol(SymbolIndex(index))
            .map_err(|_| bad("a symbol index is beyond the symbol table"))?;
        let name = self.symbols.symbol_name(LE, sym).ok().and_then(|n| core::str::from_utf8(n).ok());
        let place = if sym.is_undefined(LE) {
            Place::Undefined
        } else {
            match self.symbols.symbol_section(LE, sym, SymbolIndex(index)) {
                Ok(Some(SectionIndex(s))) if s < self.sections.len() => Place::Section(s),
                Ok(None) => Place::Special,
                _ => return Err(bad("a symbol is in a section that does not exist")),
            }
        };
        let kind = match sym.st_type() {
            elf::STT_FUNC => SymbolType::Func,
            elf::STT_SECTION => SymbolType::Section,
            elf::STT_OBJECT => SymbolType::Object,
            elf::STT_NOTYPE => SymbolType::Untyped,
            _ => SymbolType::Other,
        };
        Ok(Symbol {
            name: name.ok_or_else(|| bad("the name of a symbol is not readable"))?,
            kind,
            place,
            value: sym.st_value(LE),
            size: sym.st_size(LE),
            weak: sym.is_weak(),
            global: !sym.is_local(),
            hidden: matches!(sym.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
        })
    }

    /// All symbols but the null one, with their indices.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = Result<(usize, Symbol<'a>)>> + '_ {
        (1..self.symbol_count()).map(|i| Ok((i, self.symbol(i)?)))
    }

    /// The section with that name; the first of several.
    pub(crate) fn section_by_name(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, s)| s.name == name)
    }

    /// The relocations of a section, sorted by offset.
    pub(crate) fn relocs(&self, section: usize) -> Result<Vec<Reloc>> {
        let mut all = Vec::new();
        for (i, header) in self.headers.iter().enumerate() {
            if header.sh_info(LE) as usize != section {
                continue;
            }
            let name = self.sections.get(i).map_or("", |s| s.name);
            if header.sh_type(LE) == elf::SHT_RELA {
                return Err(ObjectError::not_supported("relocations with addends").at(name, 0));
            }
            if header.sh_type(LE) != elf::SHT_REL {
                continue;
            }
            let rels = header
                .rel(LE, self.data)
                .map_err(|_| ObjectError::malformed("the relocation table is cut or invalid").at(name, 0))?;
            let Some((rels, _)) = rels else { continue };
            for r in rels {
                let (kind, symbol) = (r.r_type(LE).0, r.r_sym(LE) as usize);
                all.push(Reloc { offset: r.r_offset(LE), symbol, kind })?;
            }
        }
        all.sort_unstable_by_key(|r: &Reloc| r.offset);
        Ok(all)
    }
}
