//! Map definitions: BTF-defined ones of `.maps`, and the older `struct bpf_map_def` of `maps`.
//!
//! A BTF definition is a variable whose struct type carries each number as the length of an array behind a pointer, and key, value and inner
//! maps as pointers to their types. Static contents (`values` of prog arrays and maps of maps) are pointers that relocations fill in.
//! What a type does with its numbers is checked when the map is made, not here.

use super::btf::{Btf, Kind, Type, u32_at};
use super::data::DataKind;
use super::elf::{Elf, Place, Section, Symbol, SymbolType};
use super::error::{ObjectError, Result};
use crate::maps::{MapSpec, MapType, ValueFields};
use crate::mem::{String, Vec};

/// The section of BTF-defined maps.
pub(crate) const BTF_MAPS: &str = ".maps";
/// The section of older definitions.
pub(crate) const LEGACY_MAPS: &str = "maps";
/// `struct bpf_map_def`: type, key size, value size, elements, flags.
const LEGACY_DEF: usize = 20;
/// Structs inside structs of a value that are looked into, as deep as the kernel does.
const MAX_VALUE_NESTING: u32 = 8;
/// `LIBBPF_PIN_BY_NAME`.
const PIN_BY_NAME: u64 = 1;

/// Where a map comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapOrigin {
    /// A definition in `.maps`.
    Btf,
    /// A definition in `maps`.
    Legacy,
    /// Global variables.
    Data(DataKind),
}

/// What a slot of a map holds from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotInit {
    /// The map with that index in the object's list.
    Map(u32),
    /// The program with that index in the object's list.
    Program(u32),
}

/// One map that an object wants.
#[derive(Debug)]
pub struct MapDef {
    /// Its name, as tools show it.
    pub name: String,
    /// The section that it stands in; of a data section, another name to find it by.
    pub section: String,
    /// Type, sizes and flags.
    pub spec: MapSpec,
    /// Where it comes from.
    pub origin: MapOrigin,
    /// The first value's bytes, for data sections; shorter than the value (empty for `.bss`) where the rest is zero.
    pub initial: Vec<u8>,
    /// Whether it must be frozen before verification begins.
    pub frozen: bool,
    /// Whether it asks to be pinned under its name.
    pub pin_by_name: bool,
    /// Static contents: slot and what is in it.
    pub slots: Vec<(u32, SlotInit)>,
}

impl MapDef {
    pub(crate) fn new(name: String, spec: MapSpec, origin: MapOrigin) -> Self {
        MapDef {
            name,
            section: String::new(),
            spec,
            origin,
            initial: Vec::new(),
            frozen: false,
            pin_by_name: false,
            slots: Vec::new(),
        }
    }
}

/// Where a map's definition is in the file, for relocations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapPlace {
    /// Index of the section.
    pub(crate) section: usize,
    /// Byte offset of the definition.
    pub(crate) offset: u64,
    /// Bytes of the definition.
    pub(crate) size: u64,
    /// Byte offset of its static contents inside the definition, if it has some.
    pub(crate) values: Option<u32>,
    /// Its index in the object's list.
    pub(crate) map: usize,
}

/// The numbers of a definition before its type is known to exist.
#[derive(Default)]
struct Fields {
    kind: Option<u32>,
    key_size: Option<u32>,
    value_size: Option<u32>,
    max_entries: u32,
    flags: u32,
    extra: u64,
    numa_node: Option<u32>,
    pin_by_name: bool,
    value_fields: ValueFields,
    inner: Option<MapSpec>,
    values: Option<u32>,
}

impl Fields {
    fn spec(&self) -> Result<MapSpec> {
        let number = self.kind.ok_or_else(|| ObjectError::malformed("the map has no type"))?;
        let kind = MapType::from_number(number)
            .ok_or_else(|| ObjectError::not_supported("a map type that XDP programs do not use"))?;
        Ok(MapSpec {
            kind,
            key_size: self.key_size.unwrap_or(0),
            value_size: self.value_size.unwrap_or(0),
            max_entries: self.max_entries,
            flags: self.flags,
            extra: self.extra,
            numa_node: self.numa_node.map_or(-1, |n| n as i32),
            fields: self.value_fields,
            inner: self.inner.map(|m| m.as_inner()),
        })
    }
}

/// Appends the maps of `.maps`.
pub(crate) fn btf_maps(
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    maps: &mut Vec<MapDef>,
    places: &mut Vec<MapPlace>,
) -> Result<()> {
    let Some((section, header)) = elf.section_by_name(BTF_MAPS) else { return Ok(()) };
    let at = |error: ObjectError| error.at(BTF_MAPS, 0);
    let btf = btf.ok_or_else(|| at(ObjectError::malformed("map definitions need BTF (clang -g)")))?;
    let datasec = btf.datasec(BTF_MAPS)?;
    let datasec = datasec.ok_or_else(|| at(ObjectError::malformed("the BTF has no .maps section")))?;
    let symbols = section_symbols(elf, section)?;
    for member in btf.members(&datasec) {
        let var = btf.ty(member.type_id)?;
        let name = btf.name(&var);
        if var.kind != Kind::Var || name.is_empty() {
            return Err(at(ObjectError::malformed("a map definition is not a variable")));
        }
        let symbol = symbols.iter().find(|s| s.name == name);
        let symbol = symbol.ok_or_else(|| at(ObjectError::undefined("a map has no symbol").named(name)))?;
        let place = |e: ObjectError| e.at(BTF_MAPS, symbol.value).named(name);
        if symbol.value.checked_add(symbol.size).is_none_or(|end| end > header.size) {
            return Err(place(ObjectError::malformed("a map definition reaches beyond its section")));
        }
        let fields = definition(btf, var.size_or_type, Nesting::Outer).map_err(place)?;
        let mut def = MapDef::new(String::from_text(name)?, fields.spec().map_err(place)?, MapOrigin::Btf);
        def.section = String::from_text(BTF_MAPS)?;
        def.pin_by_name = fields.pin_by_name;
        let (offset, size, values) = (symbol.value, symbol.size, fields.values);
        places.push(MapPlace { section, offset, size, values, map: maps.len() })?;
        maps.push(def)?;
    }
    Ok(())
}

/// The variables of a section.
fn section_symbols<'a>(elf: &Elf<'a>, section: usize) -> Result<Vec<Symbol<'a>>> {
    let mut found = Vec::new();
    for symbol in elf.symbols() {
        let (_, symbol) = symbol?;
        let variable = matches!(symbol.kind, SymbolType::Object | SymbolType::Untyped);
        if symbol.place == Place::Section(section) && variable {
            found.push(symbol)?;
        }
    }
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

/// Reads one definition; `id` is its struct.
fn definition(btf: &Btf<'_>, id: u32, nesting: Nesting) -> Result<Fields> {
    let (_, ty) = btf.plain(id)?;
    if ty.kind != Kind::Struct {
        return Err(ObjectError::malformed("a map definition is not a struct"));
    }
    let mut fields = Fields::default();
    for member in btf.members(&ty) {
        let number = || number(btf, member.type_id).map_err(|e| e.named(member.name));
        let small = || {
            let n = number()?;
            u32::try_from(n).map_err(|_| ObjectError::too_big("a number of a map definition is too large"))
        };
        match member.name {
            "type" => fields.kind = Some(small()?),
            "max_entries" => fields.max_entries = small()?,
            "map_flags" => fields.flags = small()?,
            "numa_node" => fields.numa_node = Some(small()?),
            "map_extra" => fields.extra = number()?,
            "key_size" => agree(&mut fields.key_size, small()?)?,
            "value_size" => agree(&mut fields.value_size, small()?)?,
            "key" => agree(&mut fields.key_size, pointee_size(btf, member.type_id)?)?,
            "value" => {
                agree(&mut fields.value_size, pointee_size(btf, member.type_id)?)?;
                let (_, pointer) = btf.plain(member.type_id)?;
                fields.value_fields = value_fields(btf, pointer.size_or_type)?;
            }
            "pinning" => {
                if nesting == Nesting::Inner {
                    return Err(ObjectError::malformed("an inner map cannot be pinned"));
                }
                fields.pin_by_name = match number()? {
                    0 => false,
                    PIN_BY_NAME => true,
                    _ => return Err(ObjectError::malformed("a kind of pinning that does not exist")),
                };
            }
            "values" => values(btf, &mut fields, member.type_id, member.offset, nesting)?,
            other => {
                return Err(ObjectError::not_supported("an unknown field of a map definition").named(other));
            }
        }
    }
    Ok(fields)
}

/// Sets a size, or checks that it is the one that was set before.
fn agree(field: &mut Option<u32>, size: u32) -> Result<()> {
    match *field {
        Some(before) if before != size => {
            Err(ObjectError::malformed("a map definition gives two different sizes"))
        }
        _ => {
            *field = Some(size);
            Ok(())
        }
    }
}

/// A number: `int (*name)[number]`, or an enumeration with that one value.
fn number(btf: &Btf<'_>, id: u32) -> Result<u64> {
    let (_, ty) = btf.plain(id)?;
    if let Some(value) = btf.single_value(&ty) {
        return Ok(value);
    }
    let array = pointee(btf, &ty)?.and_then(|array| btf.array(&array));
    let (_, n) = array.ok_or_else(|| ObjectError::malformed("a number of a map definition is not one"))?;
    Ok(u64::from(n))
}

fn pointee<'a>(btf: &Btf<'a>, ty: &Type<'a>) -> Result<Option<Type<'a>>> {
    if ty.kind != Kind::Ptr {
        return Ok(None);
    }
    Ok(Some(btf.plain(ty.size_or_type)?.1))
}

fn pointee_size(btf: &Btf<'_>, id: u32) -> Result<u32> {
    let (_, ty) = btf.plain(id)?;
    let size = if ty.kind == Kind::Ptr { btf.size(ty.size_or_type)? } else { None };
    size.ok_or_else(|| ObjectError::malformed("the key or value type of a map has no size"))
}

/// The fields of a value type that only helpers touch, however deep they stand in its structs.
pub(crate) fn value_fields(btf: &Btf<'_>, id: u32) -> Result<ValueFields> {
    let mut found = ValueFields::default();
    // Structs to look into, with their offset; a type cannot hold itself, so that the depth bounds the list.
    let mut todo: Vec<(u32, u32, u32)> = Vec::new();
    todo.push((id, 0, 0))?;
    while let Some((id, at, depth)) = todo.pop() {
        let (_, ty) = btf.plain(id)?;
        if depth > MAX_VALUE_NESTING || ty.kind != Kind::Struct {
            continue;
        }
        let field = match btf.name(&ty) {
            "bpf_spin_lock" => &mut found.spin_lock,
            "bpf_timer" => &mut found.timer,
            _ => {
                for member in btf.members(&ty) {
                    todo.push((member.type_id, at.saturating_add(member.offset / 8), depth + 1))?;
                }
                continue;
            }
        };
        if field.replace(at).is_some() {
            return Err(ObjectError::malformed("a map value has two locks or two timers"));
        }
    }
    Ok(found)
}

/// The `values` member: says what is inside, and where static contents begin.
fn values(btf: &Btf<'_>, fields: &mut Fields, id: u32, bits: u32, nesting: Nesting) -> Result<()> {
    if nesting == Nesting::Inner {
        return Err(ObjectError::not_supported("maps of maps of maps"));
    }
    let (_, array) = btf.plain(id)?;
    let Some((element, 0)) = btf.array(&array) else {
        return Err(ObjectError::malformed("values is not an array without a length"));
    };
    let (_, pointer) = btf.plain(element)?;
    let Some(target) = pointee(btf, &pointer)? else {
        return Err(ObjectError::malformed("values is not an array of pointers"));
    };
    match target.kind {
        Kind::Struct => {
            let mut inner = definition(btf, pointer.size_or_type, Nesting::Inner)?;
            inner.pin_by_name = false;
            fields.inner = Some(inner.spec()?);
        }
        Kind::FuncProto => {}
        _ => return Err(ObjectError::malformed("values holds neither maps nor programs")),
    }
    agree(&mut fields.value_size, 4)?;
    fields.values = Some(bits / 8);
    Ok(())
}

/// Appends the maps of `maps`.
pub(crate) fn legacy_maps(elf: &Elf<'_>, maps: &mut Vec<MapDef>, places: &mut Vec<MapPlace>) -> Result<()> {
    let Some((section, header)) = elf.section_by_name(LEGACY_MAPS) else { return Ok(()) };
    if header.executable || header.data.is_empty() {
        return Ok(());
    }
    let mut symbols = section_symbols(elf, section)?;
    symbols.sort_unstable_by_key(|s| s.value);
    let bad = |what, offset| ObjectError::malformed(what).at(LEGACY_MAPS, offset);
    let size = match symbols.len() {
        0 => return Err(bad("the section has no symbols", 0)),
        n if !header.data.len().is_multiple_of(n) => {
            return Err(bad("the definitions are not all of one size", 0));
        }
        n => header.data.len() / n,
    };
    for symbol in symbols.iter() {
        let at = |e: ObjectError| e.at(LEGACY_MAPS, symbol.value).named(symbol.name);
        let fields = legacy_definition(header, symbol.value, size).map_err(at)?;
        let spec = fields.spec().map_err(at)?;
        let mut def = MapDef::new(String::from_text(symbol.name)?, spec, MapOrigin::Legacy);
        def.section = String::from_text(LEGACY_MAPS)?;
        let (offset, size) = (symbol.value, size as u64);
        places.push(MapPlace { section, offset, size, values: None, map: maps.len() })?;
        maps.push(def)?;
    }
    Ok(())
}

fn legacy_definition(section: &Section<'_>, offset: u64, size: usize) -> Result<Fields> {
    let bytes = usize::try_from(offset).ok().and_then(|o| section.data.get(o..)?.get(..size));
    let Some(bytes) = bytes.filter(|b| b.len() >= 16) else {
        return Err(ObjectError::malformed("a map definition is cut"));
    };
    if bytes.iter().skip(LEGACY_DEF).any(|b| *b != 0) {
        return Err(ObjectError::not_supported("a map definition uses fields beyond struct bpf_map_def"));
    }
    let word = |i: usize| u32_at(bytes, 4 * i);
    Ok(Fields {
        kind: word(0),
        key_size: word(1),
        value_size: word(2),
        max_entries: word(3).unwrap_or(0),
        flags: word(4).unwrap_or(0),
        ..Fields::default()
    })
}
