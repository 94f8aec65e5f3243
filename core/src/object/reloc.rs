//! Relocations: what each reference from code, and from static map contents, means.
//!
//! References to maps and global variables are written into the instructions at once, as an index into the object's list of maps
//! (`BPF_PSEUDO_MAP_IDX`, `BPF_PSEUDO_MAP_IDX_VALUE`). References to functions and external symbols are kept for linking, since only a
//! program that reaches them needs them. Relocations against data sections are ignored, as libbpf does.

use super::btf::{Btf, Kind};
use super::elf::{Elf, Place, Reloc, Symbol, SymbolType};
use super::error::{ObjectError, ObjectErrorKind, Result};
use super::maps::{MapDef, MapPlace, SlotInit};
use super::section::{CodeRef, Fault, Function, Role, Target, Text, function_at};
use crate::helpers;
use crate::isa::{Insn, op};
use crate::limits::BPF_COMPLEXITY_LIMIT_INSNS;
use crate::mem::{String, Vec};

/// `R_BPF_64_64`: a wide immediate.
const R_BPF_64_64: u32 = 1;
/// `R_BPF_64_ABS64`: eight bytes of data.
const R_BPF_64_ABS64: u32 = 2;
/// `R_BPF_64_32`: a call.
const R_BPF_64_32: u32 = 10;

/// What an external symbol is, by its BTF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExternKind {
    /// A kernel function (`__ksym`).
    Kfunc,
    /// A kernel variable (`__ksym`).
    Ksym,
    /// A configuration value (`__kconfig`).
    Kconfig,
    /// Nothing that the BTF knows.
    Unknown,
}

/// A symbol that the object does not define.
#[derive(Debug)]
pub(crate) struct Extern {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: ExternKind,
    /// Whether it may be missing.
    pub(crate) weak: bool,
    symbol: usize,
}

/// What relocations may refer to.
pub(crate) struct Targets<'t, 'a> {
    pub(crate) elf: &'t Elf<'a>,
    pub(crate) roles: &'t [Role],
    pub(crate) places: &'t [MapPlace],
    pub(crate) functions: &'t [Function],
    pub(crate) externs: &'t [Extern],
}

/// All symbols that the object does not define, in order of their index.
pub(crate) fn externs(elf: &Elf<'_>, btf: Option<&Btf<'_>>) -> Result<Vec<Extern>> {
    let mut all = Vec::new();
    for symbol in elf.symbols() {
        let (index, symbol) = symbol?;
        if symbol.place != Place::Undefined || symbol.name.is_empty() {
            continue;
        }
        let name = String::from_text(symbol.name)?;
        all.push(Extern { name, kind: ExternKind::Unknown, weak: symbol.weak, symbol: index })?;
    }
    if all.len() >= helpers::KFUNC_BASE as usize {
        return Err(ObjectError::too_big("the object has too many undefined symbols"));
    }
    let Some(btf) = btf.filter(|_| !all.is_empty()) else { return Ok(all) };
    for (section, config) in [(".ksyms", false), (".kconfig", true)] {
        let Some(datasec) = btf.datasec(section)? else { continue };
        for member in btf.members(&datasec).take(BPF_COMPLEXITY_LIMIT_INSNS as usize) {
            let ty = btf.ty(member.type_id)?;
            let kind = match (config, ty.kind) {
                (true, _) => ExternKind::Kconfig,
                (false, Kind::Func) => ExternKind::Kfunc,
                (false, _) => ExternKind::Ksym,
            };
            let name = btf.name(&ty);
            if let Some(found) = all.iter_mut().find(|e: &&mut Extern| e.name.as_str() == name) {
                found.kind = kind;
            }
        }
    }
    Ok(all)
}

/// Applies the relocations of one text. One in error is a fault of its instruction: other programs of the object do not need it.
pub(crate) fn text(text: &mut Text, targets: &Targets<'_, '_>) -> Result<()> {
    let mut last = None;
    for reloc in targets.elf.relocs(text.section)?.iter() {
        let at = |e: ObjectError| e.at(&text.name, reloc.offset);
        if !reloc.offset.is_multiple_of(8) || reloc.offset / 8 >= text.insns.len() as u64 {
            return Err(at(ObjectError::malformed("a relocation is not at an instruction")));
        }
        if last == Some(reloc.offset) {
            return Err(at(ObjectError::malformed("two relocations at one instruction")));
        }
        last = Some(reloc.offset);
        let slot = (reloc.offset / 8) as u32;
        let symbol = targets.elf.symbol(reloc.symbol).map_err(at)?;
        let rest = text.insns.get_mut(slot as usize..).unwrap_or(&mut []);
        match one(rest, reloc, &symbol, targets) {
            Ok(None) => {}
            Ok(Some(target)) => text.refs.push(CodeRef { slot, target })?,
            Err(e) if e.kind == ObjectErrorKind::OutOfMemory => return Err(e),
            Err(e) => text.faults.push(Fault { slot, error: at(e).named(symbol.name) })?,
        }
    }
    Ok(())
}

fn one(
    insns: &mut [Insn],
    reloc: &Reloc,
    symbol: &Symbol<'_>,
    targets: &Targets<'_, '_>,
) -> Result<Option<Target>> {
    match insns {
        [insn, ..] if is_call(insn) && reloc.kind == R_BPF_64_32 => {
            targets.called(insn, reloc, symbol).map(Some)
        }
        [first, second, ..] if first.is_wide() && reloc.kind == R_BPF_64_64 => {
            targets.referred(first, second, reloc, symbol)
        }
        _ => Err(ObjectError::malformed("the relocation does not fit its instruction")),
    }
}

/// A byte offset that a 32-bit addend cannot make overflow; no section is that large.
fn signed(offset: u64) -> i64 {
    offset.min(1 << 60) as i64
}

fn is_call(insn: &Insn) -> bool {
    insn.code == op::BPF_JMP | op::BPF_CALL && insn.src() == op::BPF_PSEUDO_CALL
}

impl Targets<'_, '_> {
    fn role(&self, symbol: &Symbol<'_>) -> Role {
        match symbol.place {
            Place::Section(s) => self.roles.get(s).copied().unwrap_or(Role::Other),
            _ => Role::Other,
        }
    }

    fn external(&self, reloc: &Reloc) -> Result<Target> {
        let found = self.externs.binary_search_by_key(&reloc.symbol, |e| e.symbol).ok();
        found.map(Target::Extern).ok_or_else(|| ObjectError::malformed("a relocation without a symbol"))
    }

    fn function(&self, text: usize, slot: i64) -> Result<Target> {
        let start = u32::try_from(slot).ok();
        let found = start.and_then(|start| function_at(self.functions, text, start));
        found.map(Target::Function).ok_or_else(|| ObjectError::malformed("no function starts there"))
    }

    /// The immediate of a call counts from the symbol: -1 for the symbol itself.
    fn called(&self, insn: &Insn, reloc: &Reloc, symbol: &Symbol<'_>) -> Result<Target> {
        if symbol.place == Place::Undefined {
            return self.external(reloc);
        }
        let Role::Text(text) = self.role(symbol) else {
            return Err(ObjectError::malformed("a call of something that is not code"));
        };
        if !symbol.value.is_multiple_of(8) {
            return Err(ObjectError::malformed("a call into the middle of an instruction"));
        }
        let from = signed(symbol.value / 8);
        self.function(text, from + i64::from(insn.imm) + 1)
    }

    /// The immediate of a wide instruction is a byte offset from the symbol.
    fn referred(
        &self,
        first: &mut Insn,
        second: &mut Insn,
        reloc: &Reloc,
        symbol: &Symbol<'_>,
    ) -> Result<Option<Target>> {
        if symbol.place == Place::Undefined {
            return self.external(reloc).map(Some);
        }
        let addend = i64::from(first.imm);
        let value = signed(symbol.value);
        match self.role(symbol) {
            Role::Text(text) => {
                let offset = value + addend;
                if offset % 8 != 0 {
                    return Err(ObjectError::malformed("a reference into the middle of an instruction"));
                }
                self.function(text, offset / 8).map(Some)
            }
            Role::Data(map) => {
                set_wide(first, second, op::BPF_PSEUDO_MAP_IDX_VALUE, map, value.wrapping_add(addend) as i32);
                Ok(None)
            }
            Role::Maps => {
                let section_symbol = symbol.kind == SymbolType::Section;
                let offset = value + if section_symbol { addend } else { 0 };
                let map = self.map(symbol, offset)?;
                set_wide(first, second, op::BPF_PSEUDO_MAP_IDX, map, 0);
                Ok(None)
            }
            Role::Other => match symbol.place {
                Place::Section(s) => {
                    let name = self.elf.sections.get(s).map_or("", |s| s.name);
                    Err(ObjectError::not_supported(match name {
                        ".addr_space.1" => "arenas are not supported in this version",
                        _ => "a reference to a section of unknown meaning",
                    })
                    .named(name))
                }
                _ => Err(ObjectError::not_supported("a reference to an absolute or common symbol")),
            },
        }
    }

    fn map(&self, symbol: &Symbol<'_>, offset: i64) -> Result<usize> {
        let Place::Section(section) = symbol.place else {
            return Err(ObjectError::malformed("not a map"));
        };
        let offset = u64::try_from(offset).ok();
        let found = self.places.iter().find(|p| p.section == section && Some(p.offset) == offset);
        // A section of global data that is refused has one place for all of it.
        let whole = || self.places.iter().find(|p| p.section == section && p.size == 0);
        found.or_else(whole).map_or(Err(ObjectError::malformed("no map is defined there")), |p| p.map)
    }
}

fn set_wide(first: &mut Insn, second: &mut Insn, kind: u8, low: usize, high: i32) {
    first.regs = first.dst() | kind << 4;
    first.imm = low as i32;
    second.imm = high;
}

/// Fills in the static contents of maps in `.maps`. `program_of` gives the index of the program that a function is. Returned are maps that hold one
/// which is refused, with the reason: a program cannot use them either.
pub(crate) fn map_slots(
    targets: &Targets<'_, '_>,
    maps: &mut [MapDef],
    program_of: impl Fn(usize) -> Option<u32>,
) -> Result<Vec<(usize, ObjectError)>> {
    let mut refused = Vec::new();
    let Some((section, _)) = targets.elf.section_by_name(super::maps::BTF_MAPS) else { return Ok(refused) };
    for reloc in targets.elf.relocs(section)?.iter() {
        let at = |e: ObjectError| e.at(super::maps::BTF_MAPS, reloc.offset);
        let symbol = targets.elf.symbol(reloc.symbol).map_err(at)?;
        let name = |e: ObjectError| at(e).named(symbol.name);
        let inside =
            |p: &&MapPlace| p.section == section && (p.offset..p.offset + p.size).contains(&reloc.offset);
        let place = targets.places.iter().find(inside);
        let place =
            place.ok_or_else(|| name(ObjectError::malformed("a relocation is in no map definition")))?;
        let Ok(map) = place.map else { continue };
        let index = place.values.and_then(|start| {
            let from = (reloc.offset - place.offset).checked_sub(u64::from(start))?;
            (from.is_multiple_of(8) && matches!(reloc.kind, R_BPF_64_64 | R_BPF_64_ABS64)).then_some(from / 8)
        });
        let index = index.and_then(|i| u32::try_from(i).ok());
        let index = index
            .ok_or_else(|| name(ObjectError::malformed("a relocation is not in the values of a map")))?;
        let Some(def) = maps.get_mut(map) else { continue };
        let slot = match targets.role(&symbol) {
            Role::Maps if def.spec.inner.is_some() => {
                targets.map(&symbol, signed(symbol.value)).map(|map| SlotInit::Map(map as u32))
            }
            Role::Text(text) if def.spec.inner.is_none() => {
                let function = match targets.function(text, signed(symbol.value / 8)) {
                    Ok(Target::Function(f)) => program_of(f),
                    _ => None,
                };
                let program = function.map(SlotInit::Program);
                program.ok_or_else(|| ObjectError::malformed("a value of a prog array is not a program"))
            }
            _ => Err(ObjectError::malformed(
                "a value of a map is neither a map nor a program, as it should be",
            )),
        };
        match slot {
            Ok(slot) => def.slots.push((index, slot))?,
            Err(e) if e.kind == ObjectErrorKind::NotSupported => refused.push((map, name(e)))?,
            Err(e) => return Err(name(e)),
        }
    }
    Ok(refused)
}
