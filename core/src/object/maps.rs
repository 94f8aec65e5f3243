//! Map definitions: BTF-defined ones of `.maps`, and the older `struct bpf_map_def` of `maps`.
//!
//! A BTF definition is a variable whose struct type carries each number as the length of an array behind a pointer, and key, value and inner
//! maps as pointers to their types. Static contents (`values` of prog arrays and maps of maps) are pointers that relocations fill in.
//! What a type does with its numbers is checked when the map is made, not here.

use super::btf::{Btf, Kind, Type, u32_at};
use super::data::DataKind;
use super::elf::{Elf, Place, Section, Symbol, SymbolType};
use super::error::{ObjectError, ObjectErrorKind, Result};
use super::fields::Fields;
use crate::maps::{MapSpec, MapType, ValueFields};
use crate::mem::{String, Vec};

/// The section of BTF-defined maps.
pub(crate) const BTF_MAPS: &str = ".maps";
/// The section of older definitions.
pub(crate) const LEGACY_MAPS: &str = "maps";
/// `struct bpf_map_def`: type, key size, value size, elements, flags.
const LEGACY_DEF: usize = 20;
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

/// A map that an object defines and that cannot be had here: programs that use it are refused, others are not.
#[derive(Debug)]
pub struct RefusedMap {
    /// Its name.
    pub name: String,
    /// Why.
    pub error: ObjectError,
}

/// The maps of a file.
#[derive(Default)]
pub(crate) struct MapList {
    /// Those that can be made, in order.
    pub(crate) maps: Vec<MapDef>,
    /// Those that cannot.
    pub(crate) refused: Vec<RefusedMap>,
    /// Where the definitions of both are.
    pub(crate) places: Vec<MapPlace>,
}

impl MapList {
    /// Adds a definition; one that is well formed but not supported is kept as refused.
    pub(crate) fn add(&mut self, mut place: MapPlace, name: &str, def: Result<MapDef>) -> Result<()> {
        match def {
            Ok(def) => {
                place.map = Ok(self.maps.len());
                self.maps.push(def)?;
            }
            Err(error) if error.kind == ObjectErrorKind::NotSupported => {
                place.map = Err(error);
                self.refused.push(RefusedMap { name: String::from_text(name)?, error })?;
            }
            Err(error) => return Err(error),
        }
        Ok(self.places.push(place)?)
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
    /// Its index in the object's list, or why it is not there.
    pub(crate) map: Result<usize>,
}

impl MapPlace {
    pub(crate) fn new(section: usize, offset: u64, size: u64) -> Self {
        MapPlace { section, offset, size, values: None, map: Ok(0) }
    }
}

/// The numbers of a definition before its type is known to exist.
#[derive(Default)]
struct Numbers {
    kind: Option<u32>,
    key_size: Option<u32>,
    value_size: Option<u32>,
    max_entries: u32,
    flags: u32,
    extra: u64,
    numa_node: Option<u32>,
    pin_by_name: bool,
    /// The types of key and value, where they are given as types.
    key_type: Option<u32>,
    value_type: Option<u32>,
    inner: Option<MapSpec>,
    values: Option<u32>,
}

/// Map types that XDP programs may name in a kernel, and that are not had here.
const REFUSED_TYPES: [(u32, &str); 14] = [
    (7, "maps of type stack_trace are not supported"),
    (8, "maps of type cgroup_array are not supported"),
    (15, "maps of type sockmap are not supported"),
    (18, "maps of type sockhash are not supported"),
    (19, "maps of type cgroup_storage are not supported"),
    (20, "maps of type reuseport_sockarray are not supported"),
    (21, "maps of type percpu_cgroup_storage are not supported"),
    (24, "maps of type sk_storage are not supported"),
    (26, "maps of type struct_ops are not supported"),
    (28, "maps of type inode_storage are not supported"),
    (29, "maps of type task_storage are not supported"),
    (32, "maps of type cgrp_storage are not supported"),
    (33, "maps of type arena are not supported in this version"),
    (34, "maps of type insn_array are not supported"),
];

impl Numbers {
    fn kind(&self) -> Result<MapType> {
        let number = self.kind.filter(|n| *n != 0);
        let number = number.ok_or_else(|| ObjectError::malformed("the map has no type"))?;
        if let Some((_, why)) = REFUSED_TYPES.iter().find(|(n, _)| *n == number) {
            return Err(ObjectError::not_supported(why));
        }
        MapType::from_number(number)
            .ok_or_else(|| ObjectError::not_supported("a map type that does not exist"))
    }

    fn spec(&self, btf: Option<&Btf<'_>>) -> Result<MapSpec> {
        let kind = self.kind()?;
        let mut fields = ValueFields::default();
        // The kernel takes the types of key and value together; of an array the key has to be an integer.
        if let (Some(btf), Some(key), Some(value)) = (btf, self.key_type, self.value_type) {
            let integer = btf.plain(key)?.1.kind == Kind::Int;
            if integer || !matches!(kind, MapType::Array | MapType::PercpuArray) {
                let mut found = Fields::default();
                found.look(btf, value, 0)?;
                fields = found.in_map(kind, self.flags)?;
            }
        }
        Ok(MapSpec {
            kind,
            key_size: self.key_size.unwrap_or(0),
            value_size: self.value_size.unwrap_or(0),
            max_entries: self.max_entries,
            flags: self.flags,
            extra: self.extra,
            numa_node: self.numa_node.map_or(-1, |n| n as i32),
            fields,
            inner: self.inner.map(|m| m.as_inner()),
        })
    }
}

/// Appends the maps of `.maps`.
pub(crate) fn btf_maps(elf: &Elf<'_>, btf: Option<&Btf<'_>>, list: &mut MapList) -> Result<()> {
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
        let place_of = |e: ObjectError| e.at(BTF_MAPS, symbol.value).named(name);
        if symbol.value.checked_add(symbol.size).is_none_or(|end| end > header.size) {
            return Err(place_of(ObjectError::malformed("a map definition reaches beyond its section")));
        }
        let mut place = MapPlace::new(section, symbol.value, symbol.size);
        let mut make = || {
            let numbers = definition(btf, var.size_or_type, Nesting::Outer)?;
            place.values = numbers.values;
            let mut def = MapDef::new(String::from_text(name)?, numbers.spec(Some(btf))?, MapOrigin::Btf);
            def.section = String::from_text(BTF_MAPS)?;
            def.pin_by_name = numbers.pin_by_name;
            Ok(def)
        };
        let def = make().map_err(place_of);
        list.add(place, name, def)?;
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
fn definition(btf: &Btf<'_>, id: u32, nesting: Nesting) -> Result<Numbers> {
    let (_, ty) = btf.plain(id)?;
    if ty.kind != Kind::Struct {
        return Err(ObjectError::malformed("a map definition is not a struct"));
    }
    let mut fields = Numbers::default();
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
            "key" => {
                let (id, size) = pointee_size(btf, member.type_id)?;
                agree(&mut fields.key_size, size)?;
                fields.key_type = Some(id);
            }
            "value" => {
                let (id, size) = pointee_size(btf, member.type_id)?;
                agree(&mut fields.value_size, size)?;
                fields.value_type = Some(id);
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
pub(super) fn number(btf: &Btf<'_>, id: u32) -> Result<u64> {
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

/// The type behind a pointer, and its size.
fn pointee_size(btf: &Btf<'_>, id: u32) -> Result<(u32, u32)> {
    let (_, ty) = btf.plain(id)?;
    let size = if ty.kind == Kind::Ptr { btf.size(ty.size_or_type)? } else { None };
    let size = size.ok_or_else(|| ObjectError::malformed("the key or value type of a map has no size"))?;
    Ok((ty.size_or_type, size))
}

/// The `values` member: says what is inside, and where static contents begin.
fn values(btf: &Btf<'_>, fields: &mut Numbers, id: u32, bits: u32, nesting: Nesting) -> Result<()> {
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
            fields.inner = Some(inner.spec(Some(btf))?);
        }
        Kind::FuncProto => {}
        _ => return Err(ObjectError::malformed("values holds neither maps nor programs")),
    }
    agree(&mut fields.value_size, 4)?;
    fields.values = Some(bits / 8);
    Ok(())
}

/// Appends the maps of `maps`.
pub(crate) fn legacy_maps(elf: &Elf<'_>, list: &mut MapList) -> Result<()> {
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
        let make = || {
            let spec = legacy_definition(header, symbol.value, size)?.spec(None)?;
            let mut def = MapDef::new(String::from_text(symbol.name)?, spec, MapOrigin::Legacy);
            def.section = String::from_text(LEGACY_MAPS)?;
            Ok(def)
        };
        list.add(MapPlace::new(section, symbol.value, size as u64), symbol.name, make().map_err(at))?;
    }
    Ok(())
}

fn legacy_definition(section: &Section<'_>, offset: u64, size: usize) -> Result<Numbers> {
    let bytes = usize::try_from(offset).ok().and_then(|o| section.data.get(o..)?.get(..size));
    let Some(bytes) = bytes.filter(|b| b.len() >= 16) else {
        return Err(ObjectError::malformed("a map definition is cut"));
    };
    if bytes.iter().skip(LEGACY_DEF).any(|b| *b != 0) {
        return Err(ObjectError::not_supported("a map definition uses fields beyond struct bpf_map_def"));
    }
    let word = |i: usize| u32_at(bytes, 4 * i);
    Ok(Numbers {
        kind: word(0),
        key_size: word(1),
        value_size: word(2),
        max_entries: word(3).unwrap_or(0),
        flags: word(4).unwrap_or(0),
        ..Numbers::default()
    })
}
