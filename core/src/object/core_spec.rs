//! What a CO-RE relocation points at: a path of members and array elements from a type, in the object's types and in the target's.
//!
//! The compiler writes the path as `0:1:2`: an index in front of the pointer, then a member or element a step. A path in the target is found by the
//! names of the named members; anonymous structs in between are looked into. Source: libbpf, `relo_core.c`.

use super::btf::{Btf, Kind, Type};
use super::btf_match::{Matcher, essential};
use super::core_reloc::Ask;
use super::error::{ObjectError, Result};
use crate::mem::{OutOfMemory, String, Vec};
use core::fmt::Write;

/// Steps of a path at most (`BPF_CORE_SPEC_MAX_LEN`).
const MAX_STEPS: usize = 64;

/// One step that has a meaning: a named member, or an element.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    /// The struct that the member is in; of an element its own type.
    pub(crate) type_id: u32,
    /// Index of the member, element or enumerator.
    pub(crate) index: usize,
    /// The member's or enumerator's name; `None` for an element.
    pub(crate) name: Option<&'a str>,
}

/// A path.
#[derive(Default)]
pub(crate) struct Path<'a> {
    /// The type that it starts from.
    pub(crate) root: u32,
    /// The steps that have a meaning.
    pub(crate) steps: Vec<Step<'a>>,
    /// Every index, anonymous members included.
    raw: Vec<u32>,
    /// Offset of the end of the path from its start, in bits; wraps as the kernel's number does.
    pub(crate) bits: u32,
}

fn bad(what: &'static str) -> ObjectError {
    ObjectError::malformed(what)
}

/// Adds the index of a step to a path.
fn step(raw: &mut Vec<u32>, index: usize) -> Result<()> {
    if raw.len() >= MAX_STEPS {
        return Err(ObjectError::too_big("a CO-RE access is nested too deeply"));
    }
    Ok(raw.push(index as u32)?)
}

/// Bits of that many values of a type.
fn bits_of(btf: &Btf<'_>, id: u32, count: usize) -> Result<u32> {
    let size = btf.size(id)?.ok_or_else(|| bad("a CO-RE access through a type without a size"))?;
    Ok((count as u32).wrapping_mul(size).wrapping_mul(8))
}

/// Whether an array is the flexible last member of the struct that `before` is a member of.
fn is_flexible(btf: &Btf<'_>, before: Option<&Step<'_>>, elements: u32) -> Result<bool> {
    match before {
        Some(Step { type_id, index, name: Some(_) }) if elements == 0 => {
            Ok(btf.ty(*type_id)?.vlen == index + 1)
        }
        _ => Ok(false),
    }
}

impl<'l> Path<'l> {
    /// Reads a relocation's path in the object's own types.
    pub(crate) fn parse(btf: &Btf<'l>, root: u32, access: &str, ask: Ask) -> Result<Self> {
        let mut path = Path { root, ..Path::default() };
        if ask.is_type() {
            return if access == "0" { Ok(path) } else { Err(bad("a CO-RE type with an access")) };
        }
        for word in access.split(':') {
            let index = word.parse::<u32>().ok().filter(|n| *n <= i32::MAX as u32);
            step(&mut path.raw, index.ok_or_else(|| bad("a CO-RE access is not readable"))? as usize)?;
        }
        let (mut id, ty) = btf.plain(root)?;
        let first = path.raw.first().map_or(0, |i| *i as usize);
        if ask.is_enum() {
            let entry = btf.enumerator(&ty, first).filter(|_| path.raw.len() == 1 && first < ty.vlen);
            let (name, _) = entry.ok_or_else(|| bad("a CO-RE access to no value of an enumeration"))?;
            path.steps.push(Step { type_id: id, index: first, name: Some(name) })?;
            return Ok(path);
        }
        path.steps.push(Step { type_id: id, index: first, name: None })?;
        path.bits = bits_of(btf, id, first)?;
        for at in 1..path.raw.len() {
            let index = path.raw.get(at).map_or(0, |i| *i as usize);
            let (this, ty) = btf.plain(id)?;
            if ty.is_composite() {
                let member = btf.member(&ty, index).filter(|_| index < ty.vlen);
                let member = member.ok_or_else(|| bad("a CO-RE access to no member"))?;
                path.bits = path.bits.wrapping_add(member.offset);
                if !member.name.is_empty() {
                    path.steps.push(Step { type_id: this, index, name: Some(member.name) })?;
                }
                id = member.type_id;
            } else if let Some((element, elements)) = btf.array(&ty) {
                id = btf.plain(element)?.0;
                let inside = index < elements as usize || is_flexible(btf, path.steps.last(), elements)?;
                if !inside {
                    return Err(bad("a CO-RE access beyond an array"));
                }
                path.steps.push(Step { type_id: id, index, name: None })?;
                path.bits = path.bits.wrapping_add(bits_of(btf, id, index)?);
            } else {
                return Err(bad("a CO-RE access into a type that has no parts"));
            }
        }
        Ok(path)
    }

    /// The path in words, as libbpf's messages have it: `<byte_off> [7] struct sk_buff.mark (0:3 @ offset 16)`.
    pub(crate) fn describe(&self, btf: &Btf<'l>, ask: Ask) -> core::result::Result<String, OutOfMemory> {
        let mut text = String::new();
        let written = self.write(btf, ask, &mut text);
        written.map(|()| text).map_err(|_| OutOfMemory)
    }

    fn write(&self, btf: &Btf<'l>, ask: Ask, to: &mut String) -> core::fmt::Result {
        let (kind, name) = btf.ty(self.root).map_or(("void", ""), |t| (t.kind.word(), btf.name(&t)));
        let name = if name.is_empty() { "<anon>" } else { name };
        write!(to, "<{}> [{}] {kind} {name}", ask.word(), self.root)?;
        if ask.is_type() {
            return Ok(());
        }
        if let (true, Some(first)) = (ask.is_enum(), self.steps.first()) {
            let ty = btf.ty(first.type_id).ok();
            let value = ty.and_then(|t| Some((t.flag, btf.enumerator(&t, first.index)?)));
            return match value {
                Some((true, (name, value))) => write!(to, "::{name} = {}", value as i64),
                Some((false, (name, value))) if ty.is_some_and(|t| t.kind == Kind::Enum) => {
                    write!(to, "::{name} = {}", value as u32)
                }
                Some((false, (name, value))) => write!(to, "::{name} = {value}"),
                None => Ok(()),
            };
        }
        for (i, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) => write!(to, ".{name}")?,
                None if i > 0 || step.index > 0 => write!(to, "[{}]", step.index)?,
                None => {}
            }
        }
        for (i, index) in self.raw.iter().enumerate() {
            write!(to, "{}{index}", if i == 0 { " (" } else { ":" })?;
        }
        match self.bits % 8 {
            0 => write!(to, " @ offset {})", self.bits / 8),
            rest => write!(to, " @ offset {}.{rest})", self.bits / 8),
        }
    }
}

/// A struct whose members are being looked through.
struct Open<'t> {
    id: u32,
    ty: Type<'t>,
    next: usize,
    /// The offset of the anonymous member that led here.
    offset: u32,
}

impl<'l, 't> Matcher<'_, 'l, 't> {
    /// The same path in a type of the target; `None` where that type does not have it.
    pub(crate) fn find(&mut self, local: &Path<'l>, root: u32, ask: Ask) -> Result<Option<Path<'t>>> {
        let mut path = Path { root, ..Path::default() };
        if ask.is_type() {
            let same = match ask {
                Ask::TypeMatches => self.types_match(local.root, root)?,
                _ => self.types_compatible(local.root, root)?,
            };
            return Ok(same.then_some(path));
        }
        if ask.is_enum() {
            return self.find_enumerator(local, path);
        }
        let mut id = root;
        for (i, wanted) in local.steps.iter().enumerate() {
            let (this, ty) = self.target.plain(id)?;
            id = this;
            if wanted.name.is_some() {
                match self.find_member(wanted, id, &mut path)? {
                    Some(next) => id = next,
                    None => return Ok(None),
                }
                continue;
            }
            if i > 0 {
                let Some((element, elements)) = self.target.array(&ty) else { return Ok(None) };
                let flexible = is_flexible(self.target, path.steps.last(), elements)?;
                if !flexible && wanted.index >= elements as usize {
                    return Ok(None);
                }
                id = self.target.plain(element)?.0;
            }
            step(&mut path.raw, wanted.index)?;
            path.steps.push(Step { type_id: id, index: wanted.index, name: None })?;
            path.bits = path.bits.wrapping_add(bits_of(self.target, id, wanted.index)?);
        }
        Ok(Some(path))
    }

    fn find_enumerator(&mut self, local: &Path<'l>, mut path: Path<'t>) -> Result<Option<Path<'t>>> {
        let (id, ty) = self.target.plain(path.root)?;
        let wanted = essential(local.steps.first().and_then(|s| s.name).unwrap_or(""));
        if !ty.is_enum() {
            return Ok(None);
        }
        self.spend(ty.vlen)?;
        for index in 0..ty.vlen {
            let Some((name, _)) = self.target.enumerator(&ty, index) else { break };
            if essential(name) == wanted {
                path.steps.push(Step { type_id: id, index, name: Some(name) })?;
                step(&mut path.raw, index)?;
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Finds a member by its name, in the struct or in anonymous ones inside it; returns its type.
    fn find_member(&mut self, wanted: &Step<'l>, id: u32, path: &mut Path<'t>) -> Result<Option<u32>> {
        let local = self.local.member(&self.local.ty(wanted.type_id)?, wanted.index);
        let Some(local) = local else { return Ok(None) };
        let ty = self.target.ty(id)?;
        let mut open = Vec::new();
        open.push(Open { id, ty, next: 0, offset: 0 })?;
        while let Some(top) = open.last_mut() {
            let index = top.next;
            let Some(member) = self.target.member(&top.ty, index).filter(|_| top.ty.is_composite()) else {
                // The anonymous member that led here was not the way.
                path.bits = path.bits.wrapping_sub(top.offset);
                open.pop();
                if !open.is_empty() {
                    path.raw.pop();
                }
                continue;
            };
            top.next += 1;
            self.spend(1)?;
            if member.name.is_empty() {
                let (id, ty) = self.target.plain(member.type_id)?;
                step(&mut path.raw, index)?;
                path.bits = path.bits.wrapping_add(member.offset);
                open.push(Open { id, ty, next: 0, offset: member.offset })?;
            } else if member.name == local.name {
                if !self.fields_compatible(local.type_id, member.type_id)? {
                    return Ok(None);
                }
                step(&mut path.raw, index)?;
                path.bits = path.bits.wrapping_add(member.offset);
                path.steps.push(Step { type_id: top.id, index, name: Some(member.name) })?;
                return Ok(Some(member.type_id));
            }
        }
        Ok(None)
    }
}
