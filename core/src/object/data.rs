//! Global variables: each `.rodata*`, `.data*` and `.bss*` section is an array map with one element.
//!
//! Names are those that libbpf gives, so that tools find them: the object's name before a plain section name (`xdp_fw.rodata`), a section with
//! a name of its own as it is (`.rodata.config`). The maps of `.rodata*` are frozen: a program can only read them, and nobody changes
//! them after the load.

use super::btf::{Btf, Kind};
use super::elf::{Elf, Place, Section, SectionType};
use super::error::{ObjectError, Result};
use super::fields::Fields;
use super::maps::{MapDef, MapList, MapOrigin, MapPlace};
use crate::limits::BPF_OBJ_NAME_LEN;
use crate::maps::spec::flags::BPF_F_RDONLY_PROG;
use crate::maps::{MapSpec, MapType, ValueFields};
use crate::mem::{String, Vec};

/// Kinds of data sections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataKind {
    /// `.rodata*`: constant.
    Rodata,
    /// `.data*`: initialised.
    Data,
    /// `.bss*`: zero.
    Bss,
}

impl DataKind {
    /// What a section with that name is.
    fn of(section: &str) -> Option<DataKind> {
        let is =
            |plain: &str| section.strip_prefix(plain).is_some_and(|r| r.is_empty() || r.starts_with('.'));
        if is(".rodata") {
            Some(DataKind::Rodata)
        } else if is(".data") {
            Some(DataKind::Data)
        } else if is(".bss") {
            Some(DataKind::Bss)
        } else {
            None
        }
    }
}

/// Appends the maps of global data.
pub(crate) fn maps(elf: &Elf<'_>, btf: Option<&Btf<'_>>, object: &str, list: &mut MapList) -> Result<()> {
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(kind) = DataKind::of(section.name) else { continue };
        if section.size == 0 || section.kind == SectionType::Other {
            continue;
        }
        let make = || {
            let mut def = map_of(section, kind, object)?;
            def.spec.fields = match btf {
                Some(btf) => fields(elf, index, btf)?.in_map(def.spec.kind, def.spec.flags)?,
                None => ValueFields::default(),
            };
            Ok(def)
        };
        let place = MapPlace::new(index, 0, 0);
        list.add(
            place,
            &map_name(section.name, object)?,
            make().map_err(|e: ObjectError| e.at(section.name, 0)),
        )?;
    }
    Ok(())
}

/// Locks and the like among the variables of a section. The compiler leaves the place of exported ones to their symbols.
fn fields(elf: &Elf<'_>, index: usize, btf: &Btf<'_>) -> Result<Fields> {
    let mut found = Fields::default();
    let Some(section) = elf.sections.get(index) else { return Ok(found) };
    let Some(datasec) = btf.datasec(section.name)? else { return Ok(found) };
    for member in btf.members(&datasec) {
        let var = btf.ty(member.type_id)?;
        if var.kind != Kind::Var {
            continue;
        }
        let mut one = Fields::default();
        one.look(btf, var.size_or_type, 0)?;
        if one.is_empty() {
            continue;
        }
        let name = btf.name(&var);
        let mut at = member.offset;
        for symbol in elf.symbols() {
            let (_, symbol) = symbol?;
            if symbol.place == Place::Section(index) && symbol.global && symbol.name == name {
                at = symbol.value as u32;
            }
        }
        found.look(btf, var.size_or_type, at)?;
    }
    Ok(found)
}

/// The map of a data section.
fn map_of(section: &Section<'_>, kind: DataKind, object: &str) -> Result<MapDef> {
    let value_size = u32::try_from(section.size).ok().filter(|n| *n <= i32::MAX as u32);
    let value_size = value_size
        .ok_or_else(|| ObjectError::too_big("the data section is too large").at(section.name, 0))?;
    let frozen = kind == DataKind::Rodata;
    let flags = if frozen { BPF_F_RDONLY_PROG } else { 0 };
    let spec = MapSpec::new(MapType::Array, 4, value_size, 1).with_flags(flags);
    let mut def = MapDef::new(map_name(section.name, object)?, spec, MapOrigin::Data(kind));
    def.section = String::from_text(section.name)?;
    def.frozen = frozen;
    def.initial = Vec::from_slice(section.data)?;
    Ok(def)
}

/// The name of a data section's map: at most 15 characters for a plain section, with what tools do not print replaced.
fn map_name(section: &str, object: &str) -> Result<String> {
    let mut name = String::new();
    let own_name = section.get(1..).is_some_and(|rest| rest.contains('.'));
    if !own_name {
        // libbpf leaves the room that `.rodata` takes, whatever the section.
        let room = (BPF_OBJ_NAME_LEN - 1).saturating_sub(section.len().max(".rodata".len()));
        push_clean(&mut name, object, room)?;
    }
    push_clean(&mut name, section, BPF_OBJ_NAME_LEN - 1)?;
    Ok(name)
}

fn push_clean(name: &mut String, text: &str, room: usize) -> Result<()> {
    for c in text.chars().take(room) {
        let c = if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
        name.push_str(c.encode_utf8(&mut [0; 4]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_libbpf() {
        for (section, object, name) in [
            (".rodata", "xdp_firewall", "xdp_fire.rodata"),
            (".bss", "xdp-fw", "xdp_fw.bss"),
            (".data", "xdp_firewall", "xdp_fire.data"),
            (".rodata.config", "xdp_fw", ".rodata.config"),
            (".rodata.str1.1", "xdp_fw", ".rodata.str1.1"),
            (".data.a_very_long_name", "x", ".data.a_very_lo"),
        ] {
            assert_eq!(map_name(section, object).unwrap().as_str(), name);
        }
    }
}
