//! Object files: from the bytes that clang wrote to programs and map definitions.
//!
//! [`Object::open`] reads the whole file, checks it and forgets it. Then the object may be adjusted: sizes of maps, first values of global
//! data, which programs to load. [`Object::link`] yields a [`Program<Loaded>`] with the functions that it reaches; the maps that the
//! program names are indices into [`Object::maps`].
//!
//! Any byte string is opened or refused with section, offset and reason ([`ObjectError`]). Memory is in proportion to the file, with a
//! linked program bounded by the kernel's limits. What instructions do is not looked at: that is the verifier's part.
//! CO-RE relocations are applied against the object's own types, or by option against a BTF that the caller gives.
//!
//! ```
//! # fn load(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use uxdp_core::object::{Object, OpenOptions};
//!
//! let mut object = Object::open(bytes, &OpenOptions { name: "xdp_firewall", ..OpenOptions::default() })?;
//! let rules = object.find_map("rules").ok_or("no such map")?;
//! object.set_max_entries(rules, 65536)?;
//! let main = object.find_program("xdp")?;
//! let program = object.link(main)?;
//! # Ok(())
//! # }
//! ```

mod btf;
mod btf_match;
mod core_reloc;
mod core_spec;
mod data;
mod elf;
mod error;
mod ext;
mod fields;
mod link;
mod maps;
mod names;
mod reloc;
mod run_config;
mod section;
mod signature;

pub use data::DataKind;
pub use error::{Label, ObjectError, ObjectErrorKind};
pub use maps::{MapDef, MapOrigin, RefusedMap, SlotInit};
pub use names::ObjectNames;

use crate::error::Errno;
use crate::helpers::{self, HelperSet};
use crate::mem::{String, Vec};
use crate::program::{AttachType, Code, Loaded, Program, RunConfig};
use btf::Btf;
use elf::{Elf, SectionType};
use error::Result;
use ext::{CoreRecord, Ext};
use maps::MapList;
use reloc::{Extern, ExternKind, Targets};
use section::{Function, Role, SectionHint, Text};

/// Maps that one object may define.
const MAX_MAPS: usize = 4096;

/// How to open an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions<'a> {
    /// The object's name, usually the file's without folder and `.o`: the maps of global data are named after it.
    pub name: &'a str,
    /// The types that CO-RE relocations are applied against, for example the contents of `/sys/kernel/btf/vmlinux` (or an ELF file with a `.BTF`
    /// section). `None`: the object's own, which is what the packets and maps of a program need; a kernel's types say what that kernel's
    /// structs are like, and none of those is here.
    pub btf: Option<&'a [u8]>,
}

/// A program that an object offers.
#[derive(Debug)]
pub struct ProgramDef {
    /// Its main function's name.
    pub name: String,
    /// The section that it stands in.
    pub section: String,
    /// Where it attaches.
    pub attach: AttachType,
    /// Whether it takes multi-buffer packets.
    pub frags: bool,
    /// Whether to load it with the object.
    pub autoload: bool,
    /// Instruction slots of its main function.
    pub insn_count: u32,
    /// Whether its section says that it is of another type than XDP: it cannot be linked.
    pub foreign: bool,
    /// How it wants to run beside other programs.
    pub run: RunConfig,
    function: usize,
}

/// Why a name finds no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FindError {
    /// No function and no section has that name.
    NotFound,
    /// Several programs stand in the section of that name.
    Ambiguous,
}

impl core::fmt::Display for FindError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            FindError::NotFound => "no program and no section has that name",
            FindError::Ambiguous => "several programs are in that section: name the function",
        })
    }
}

impl core::error::Error for FindError {}

impl crate::error::Status for FindError {
    fn errno(&self) -> Errno {
        match self {
            FindError::NotFound => Errno::ENOENT,
            FindError::Ambiguous => Errno::EINVAL,
        }
    }
}

/// An object file, read.
#[derive(Debug)]
pub struct Object {
    name: String,
    license: Option<String>,
    version: Option<u32>,
    has_btf: bool,
    core_relocs: u32,
    texts: Vec<Text>,
    functions: Vec<Function>,
    programs: Vec<ProgramDef>,
    maps: Vec<MapDef>,
    refused: Vec<RefusedMap>,
    externs: Vec<Extern>,
    /// The strings of the BTF, for source lines.
    strings: Vec<u8>,
}

impl Object {
    /// Reads an object file; `bytes` is not needed afterwards.
    ///
    /// # Errors
    /// What the file is refused for, with its place. A program that cannot be linked is refused by [`Object::link`] alone.
    pub fn open(bytes: &[u8], options: &OpenOptions<'_>) -> core::result::Result<Self, ObjectError> {
        let elf = Elf::parse(bytes)?;
        let btf = match elf.section_by_name(btf::SECTION) {
            Some((_, s)) => Some(Btf::parse(s.data)?),
            None => None,
        };
        let ext = match (&btf, elf.section_by_name(".BTF.ext")) {
            (Some(btf), Some((_, s))) => Ext::parse(s.data, &elf, |name| btf.string(name))?,
            _ => Ext::default(),
        };
        let mut texts = section::texts(&elf, &ext)?;
        let functions = section::functions(&elf, &texts, btf.as_ref(), &ext)?;
        let programs = programs(&texts, &functions, btf.as_ref())?;
        let externs = reloc::externs(&elf, btf.as_ref())?;
        let list = all_maps(&elf, btf.as_ref(), options.name)?;
        let roles = roles(&elf, &texts, &list)?;
        let MapList { mut maps, refused, mut places } = list;
        let targets =
            Targets { elf: &elf, roles: &roles, places: &places, functions: &functions, externs: &externs };
        let program_of = |f| programs.iter().position(|p| p.function == f).map(|p| p as u32);
        let without = reloc::map_slots(&targets, &mut maps, program_of)?;
        for (map, error) in without.iter() {
            for place in places.iter_mut().filter(|p| p.map == Ok(*map)) {
                place.map = Err(*error);
            }
        }
        let targets =
            Targets { elf: &elf, roles: &roles, places: &places, functions: &functions, externs: &externs };
        for text in texts.iter_mut() {
            reloc::text(text, &targets)?;
        }
        if let Some(btf) = &btf {
            core_relocs(&mut texts, &ext.core, btf, options.btf)?;
        }
        for text in texts.iter_mut() {
            text.faults.sort_unstable_by_key(|f| f.slot);
            text.poisons.sort_unstable_by_key(|p| p.slot);
        }
        Ok(Object {
            name: String::from_text(options.name)?,
            license: license(&elf)?,
            version: elf.section_by_name("version").and_then(|(_, s)| btf::u32_at(s.data, 0)),
            has_btf: btf.is_some(),
            core_relocs: ext.core.len() as u32,
            strings: match &btf {
                Some(btf) => Vec::from_slice(btf.strings())?,
                None => Vec::new(),
            },
            texts,
            functions,
            programs,
            maps,
            refused,
            externs,
        })
    }

    /// The name that it was opened with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of its `license` section.
    pub fn license(&self) -> Option<&str> {
        self.license.as_deref()
    }

    /// The number in its `version` section.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// Whether it has BTF.
    pub fn has_btf(&self) -> bool {
        self.has_btf
    }

    /// How many CO-RE relocations it has.
    pub fn core_relocs(&self) -> u32 {
        self.core_relocs
    }

    /// Its programs, in order of section and place.
    pub fn programs(&self) -> &[ProgramDef] {
        &self.programs
    }

    /// Its maps: those of `.maps`, of `maps`, then of global data. Programs name maps by their index here.
    pub fn maps(&self) -> &[MapDef] {
        &self.maps
    }

    /// Maps that it defines and that cannot be had here. A program that uses one cannot be linked.
    pub fn refused_maps(&self) -> &[RefusedMap] {
        &self.refused
    }

    /// The name of the kernel function that a linked program calls by that number (`BPF_PSEUDO_KFUNC_CALL`).
    pub fn kfunc_name(&self, id: i32) -> Option<&str> {
        let number = u32::try_from(id).ok()?;
        if let Some(row) = helpers::STANDARD.row_of(number).filter(|_| number >= helpers::KFUNC_BASE) {
            return helpers::STANDARD.get(row).map(|h| h.name);
        }
        if let Some(name) = helpers::kernel_only(number).filter(|_| number >= helpers::KFUNC_BASE) {
            return Some(name);
        }
        let symbol = self.externs.get(number as usize)?;
        (symbol.kind == ExternKind::Kfunc).then_some(symbol.name.as_str())
    }

    /// The index of a program: by its function's name, else by the name of its section if it is alone there.
    ///
    /// # Errors
    /// No such name, or several programs in the section.
    pub fn find_program(&self, name: &str) -> core::result::Result<usize, FindError> {
        if let Some(found) = self.programs.iter().position(|p| p.name.as_str() == name) {
            return Ok(found);
        }
        let mut inside = self.programs.iter().enumerate().filter(|(_, p)| p.section.as_str() == name);
        match (inside.next(), inside.next()) {
            (Some((found, _)), None) => Ok(found),
            (Some(_), Some(_)) => Err(FindError::Ambiguous),
            (None, _) => Err(FindError::NotFound),
        }
    }

    /// The index of a map by its name; global data also by the name of its section.
    pub fn find_map(&self, name: &str) -> Option<usize> {
        let by_name = self.maps.iter().position(|m| m.name.as_str() == name);
        let data = |m: &MapDef| matches!(m.origin, MapOrigin::Data(_)) && m.section.as_str() == name;
        by_name.or_else(|| self.maps.iter().position(data))
    }

    /// Sets the size of a map before it is made.
    ///
    /// # Errors
    /// `ENOENT` without such a map, `EINVAL` for zero and for global data.
    pub fn set_max_entries(&mut self, map: usize, entries: u32) -> core::result::Result<(), Errno> {
        let def = self.maps.get_mut(map).ok_or(Errno::ENOENT)?;
        if entries == 0 || matches!(def.origin, MapOrigin::Data(_)) {
            return Err(Errno::EINVAL);
        }
        def.spec.max_entries = entries;
        Ok(())
    }

    /// Sets the first value of a section of global data, all of it.
    ///
    /// # Errors
    /// `ENOENT` without such a map, `EINVAL` where it is not global data or the length differs, `ENOMEM`.
    pub fn set_initial_value(&mut self, map: usize, value: &[u8]) -> core::result::Result<(), Errno> {
        let def = self.maps.get_mut(map).ok_or(Errno::ENOENT)?;
        if !matches!(def.origin, MapOrigin::Data(_)) || value.len() != def.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        def.initial = Vec::from_slice(value)?;
        Ok(())
    }

    /// Says whether a program is loaded with the object.
    ///
    /// # Errors
    /// `ENOENT` without such a program.
    pub fn set_autoload(&mut self, program: usize, autoload: bool) -> core::result::Result<(), Errno> {
        self.programs.get_mut(program).ok_or(Errno::ENOENT)?.autoload = autoload;
        Ok(())
    }

    /// Links a program: its main function first, every function that it reaches behind it. It may call the helpers that every environment has.
    ///
    /// # Errors
    /// As [`Object::link_with`].
    pub fn link(&self, program: usize) -> core::result::Result<Program<Loaded>, ObjectError> {
        self.link_with(program, helpers::STANDARD)
    }

    /// Links a program for an environment with these helpers: a function that it declares (`extern … __ksym`) and the object does not have is the kernel
    /// function or the host's helper of that name.
    ///
    /// # Errors
    /// A program of another type, a symbol that nothing defines, a relocation in error, a map that is refused, a call that leads to no function, more functions or instructions than the kernel takes.
    pub fn link_with(
        &self,
        program: usize,
        helpers: HelperSet,
    ) -> core::result::Result<Program<Loaded>, ObjectError> {
        let def = self.programs.get(program);
        let def = def.ok_or_else(|| ObjectError::undefined("the object has no such program"))?;
        if def.foreign {
            let error = ObjectError::not_supported("the section is that of another type of program, not XDP");
            return Err(error.at(&def.section, 0).named(&def.name));
        }
        let mut code = Code {
            name: def.name.try_clone()?,
            section: def.section.try_clone()?,
            frags: def.frags,
            attach: def.attach,
            run: def.run,
            ..Code::default()
        };
        link::link(self, def.function, helpers, &mut code)?;
        Ok(Program::new(code))
    }
}

/// Applies CO-RE relocations against the object's own types or the given ones.
fn core_relocs(
    texts: &mut [Text],
    records: &[CoreRecord],
    own: &Btf<'_>,
    given: Option<&[u8]>,
) -> Result<()> {
    let Some(bytes) = given.filter(|_| !records.is_empty()) else {
        return core_reloc::apply(texts, records, own, &core_reloc::Target::Own);
    };
    let from_elf = || -> Result<Option<&[u8]>> {
        let elf = Elf::parse(bytes)?;
        Ok(elf.section_by_name(btf::SECTION).map(|(_, s)| s.data))
    };
    let data = if bytes.starts_with(b"\x7fELF") { from_elf()? } else { Some(bytes) };
    let data = data.ok_or_else(|| ObjectError::malformed("the file to relocate against has no BTF"))?;
    let types = Btf::parse(data)?;
    core_reloc::apply(texts, records, own, &core_reloc::Target::other(&types)?)
}

/// The functions that are programs: exported ones outside `.text`; where there are none, those of `.text`.
fn programs(texts: &[Text], functions: &[Function], btf: Option<&Btf<'_>>) -> Result<Vec<ProgramDef>> {
    let mut found = Vec::new();
    for text_too in [false, true] {
        for (index, f) in functions.iter().enumerate().filter(|(_, f)| f.exported) {
            let Some(text) = texts.get(f.text) else { continue };
            if (text.name.as_str() == section::TEXT) != text_too {
                continue;
            }
            let hint = SectionHint::of(&text.name);
            found.push(ProgramDef {
                name: f.name.try_clone()?,
                section: String::from_text(text.name.strip_prefix('?').unwrap_or(&text.name))?,
                attach: hint.attach,
                frags: hint.frags,
                autoload: hint.autoload,
                insn_count: f.end - f.start,
                foreign: hint.foreign,
                run: btf.map_or(Ok(RunConfig::default()), |b| run_config::of(b, &f.name))?,
                function: index,
            })?;
        }
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// Every map of the file.
fn all_maps(elf: &Elf<'_>, btf: Option<&Btf<'_>>, object: &str) -> Result<MapList> {
    let mut list = MapList::default();
    maps::btf_maps(elf, btf, &mut list)?;
    maps::legacy_maps(elf, &mut list)?;
    data::maps(elf, btf, object, &mut list)?;
    if list.places.len() > MAX_MAPS {
        return Err(ObjectError::too_big("the object has too many maps"));
    }
    Ok(list)
}

/// What each section is for.
fn roles(elf: &Elf<'_>, texts: &[Text], list: &MapList) -> Result<Vec<Role>> {
    let mut roles = Vec::filled(Role::Other, elf.sections.len())?;
    for (i, text) in texts.iter().enumerate() {
        if let Some(role) = roles.get_mut(text.section) {
            *role = Role::Text(i);
        }
    }
    for place in list.places.iter() {
        let map = place.map.ok();
        let data = |map: usize| list.maps.get(map).is_some_and(|m| matches!(m.origin, MapOrigin::Data(_)));
        if let Some(role) = roles.get_mut(place.section) {
            *role = match map.filter(|map| data(*map)) {
                Some(map) => Role::Data(map),
                None => Role::Maps,
            };
        }
    }
    Ok(roles)
}

/// The text of the `license` section, up to its NUL.
fn license(elf: &Elf<'_>) -> Result<Option<String>> {
    let Some((_, section)) = elf.section_by_name("license") else { return Ok(None) };
    if section.kind != SectionType::Progbits {
        return Ok(None);
    }
    let end = memchr::memchr(0, section.data).unwrap_or(section.data.len()).min(128);
    let text = section.data.get(..end).and_then(|t| core::str::from_utf8(t).ok());
    let text =
        text.ok_or_else(|| ObjectError::malformed("the license is not readable text").at("license", 0))?;
    Ok(Some(String::from_text(text)?))
}
