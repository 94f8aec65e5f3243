//! CO-RE: instructions whose offsets, sizes and constants depend on types, made to fit the types of the target.
//!
//! A relocation names a type, a path in it and a question ([`Ask`]). The target is the object itself, where the answer is of the very type that is
//! named, or a BTF that the caller gives, where every type of the same kind and name (without flavour) is a candidate; all that have the
//! path must agree. The answer is written into the instruction, after what the compiler wrote has been checked to be the answer for the
//! object's own types. Where nothing in the target fits, the instruction becomes a call of a helper that no kernel has: the program is refused
//! only if it can get there, with [`Poison::why`]. A relocation that is itself in error is a fault of its instruction, found when a
//! program with it is linked. Source: libbpf (`relo_core.c`), whose answers these are.

use super::btf::{Btf, Kind};
use super::btf_match::{Matcher, essential, kinds_compatible};
use super::core_spec::Path;
use super::error::{ObjectError, ObjectErrorKind, Result};
use super::ext::CoreRecord;
use super::section::{Fault, Text};
use crate::isa::{Insn, op};
use crate::mem::{String, Vec};
use crate::program::POISON_CORE;

/// What a relocation asks (`enum bpf_core_relo_kind`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    FieldOffset,
    FieldSize,
    FieldExists,
    FieldSigned,
    FieldLeftShift,
    FieldRightShift,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumExists,
    EnumValue,
    TypeMatches,
}

impl Ask {
    /// In the order of their numbers, with libbpf's words.
    const ALL: [(Ask, &'static str); 13] = [
        (Ask::FieldOffset, "byte_off"),
        (Ask::FieldSize, "byte_sz"),
        (Ask::FieldExists, "field_exists"),
        (Ask::FieldSigned, "signed"),
        (Ask::FieldLeftShift, "lshift_u64"),
        (Ask::FieldRightShift, "rshift_u64"),
        (Ask::TypeIdLocal, "local_type_id"),
        (Ask::TypeIdTarget, "target_type_id"),
        (Ask::TypeExists, "type_exists"),
        (Ask::TypeSize, "type_size"),
        (Ask::EnumExists, "enumval_exists"),
        (Ask::EnumValue, "enumval_value"),
        (Ask::TypeMatches, "type_matches"),
    ];

    fn from_number(n: u32) -> Option<Ask> {
        Ask::ALL.get(n as usize).map(|(ask, _)| *ask)
    }

    pub(crate) fn word(self) -> &'static str {
        Ask::ALL.iter().find(|(ask, _)| *ask == self).map_or("", |(_, word)| word)
    }

    pub(crate) fn is_type(self) -> bool {
        use Ask::*;
        matches!(self, TypeIdLocal | TypeIdTarget | TypeExists | TypeSize | TypeMatches)
    }

    pub(crate) fn is_enum(self) -> bool {
        matches!(self, Ask::EnumExists | Ask::EnumValue)
    }
}

/// An instruction that nothing in the target fits.
#[derive(Debug)]
pub(crate) struct Poison {
    /// Its slot in its text.
    pub(crate) slot: u32,
    /// What is missing.
    pub(crate) why: String,
}

/// The answer for one type.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Value {
    value: u64,
    /// Of a field that a load or store may access: its size, else 0.
    size: u32,
    /// The type of that field.
    type_id: u32,
    /// Whether the compiler is bound to have written just this.
    exact: bool,
}

impl Value {
    const fn exact(value: u64) -> Value {
        Value { value, size: 0, type_id: 0, exact: true }
    }
}

/// What is written into an instruction: the answer for the object's own types, and the target's; `None` poisons.
#[derive(Clone, Copy)]
struct Answer {
    before: Value,
    after: Option<Value>,
    /// Whether an access of another size would read the same value.
    resizable: bool,
}

/// The types to relocate against.
pub(crate) enum Target<'t> {
    /// The object's own.
    Own,
    /// Another table, with an index of its types: hash of the name without flavour, id.
    Other(&'t Btf<'t>, Vec<(u32, u32)>),
}

impl<'t> Target<'t> {
    /// A table that the caller gave.
    pub(crate) fn other(btf: &'t Btf<'t>) -> Result<Self> {
        let mut index = Vec::with_capacity(btf.len() as usize)?;
        for id in 1..btf.len() {
            let name = btf.name(&btf.ty(id)?);
            if !name.is_empty() {
                index.push((hash(essential(name)), id))?;
            }
        }
        index.sort_unstable();
        Ok(Target::Other(btf, index))
    }
}

/// FNV-1a: only to find names fast, they are compared afterwards.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// Applies every relocation.
pub(crate) fn apply(
    texts: &mut [Text],
    records: &[CoreRecord],
    btf: &Btf<'_>,
    target: &Target<'_>,
) -> Result<()> {
    let (types, index) = match target {
        Target::Own => (btf, None),
        Target::Other(types, index) => (*types, Some(&index[..])),
    };
    let mut matcher = Matcher::new(btf, types);
    for record in records {
        let Ok(text) = texts.binary_search_by_key(&record.section, |t| t.section) else { continue };
        let Some(text) = texts.get_mut(text) else { continue };
        let slot = record.offset / 8;
        let at = |e: ObjectError| e.at(&text.name, u64::from(record.offset));
        if !record.offset.is_multiple_of(8) || slot as usize >= text.insns.len() {
            return Err(at(ObjectError::malformed("a CO-RE relocation is not at an instruction")));
        }
        match relocate(text, slot, record, &mut matcher, index) {
            Ok(()) => {}
            Err(e) if e.kind == ObjectErrorKind::OutOfMemory => return Err(e),
            Err(e) => {
                let name = btf.ty(record.type_id).map_or("", |t| btf.name(&t));
                text.faults
                    .push(Fault { slot, error: e.at(&text.name, u64::from(record.offset)).named(name) })?;
            }
        }
    }
    Ok(())
}

fn relocate(
    text: &mut Text,
    slot: u32,
    record: &CoreRecord,
    matcher: &mut Matcher<'_, '_, '_>,
    index: Option<&[(u32, u32)]>,
) -> Result<()> {
    let local = matcher.local;
    let ask = Ask::from_number(record.kind)
        .ok_or_else(|| ObjectError::not_supported("a kind of CO-RE relocation that does not exist"))?;
    let path = Path::parse(local, record.type_id, local.string(record.access), ask)?;
    let answer = answer(&path, ask, matcher, index)?;
    let patched = match text.insns.get_mut(slot as usize..) {
        Some([first, rest @ ..]) => patch(first, rest.first_mut(), &answer)?,
        _ => true,
    };
    if !patched {
        let mut why = String::from_text("failed to resolve CO-RE relocation ")?;
        why.push_str(&path.describe(local, ask)?)?;
        text.poisons.push(Poison { slot, why })?;
    }
    Ok(())
}

fn answer<'l>(
    path: &Path<'l>,
    ask: Ask,
    matcher: &mut Matcher<'_, 'l, '_>,
    index: Option<&[(u32, u32)]>,
) -> Result<Answer> {
    let local = matcher.local;
    let root = local.ty(path.root)?;
    if ask == Ask::TypeIdLocal {
        let id = Value { exact: false, ..Value::exact(u64::from(path.root)) };
        return Ok(Answer { before: id, after: Some(id), resizable: true });
    }
    let Some(before) = value(local, Some(path), ask)? else {
        return Err(ObjectError::malformed("a CO-RE relocation without a value"));
    };
    let Some(index) = index else {
        return Ok(Answer { before, after: Some(before), resizable: true });
    };
    let name = essential(local.name(&root));
    if name.is_empty() {
        return Err(ObjectError::not_supported("a CO-RE relocation of a type without a name"));
    }
    let mut agreed: Option<(u32, Option<Value>)> = None;
    let wanted = hash(name);
    let from = index.partition_point(|(h, _)| *h < wanted);
    for (_, id) in index.get(from..).unwrap_or(&[]).iter().take_while(|(h, _)| *h == wanted) {
        matcher.spend(1)?;
        let candidate = matcher.target.ty(*id)?;
        let same_name = essential(matcher.target.name(&candidate)) == name;
        if !same_name || !kinds_compatible(&candidate, &root) {
            continue;
        }
        let Some(found) = matcher.find(path, *id, ask)? else { continue };
        let after = value(matcher.target, Some(&found), ask)?;
        match agreed {
            None => agreed = Some((found.bits, after)),
            Some((bits, first)) => {
                if bits != found.bits || first.map(|v| v.value) != after.map(|v| v.value) {
                    return Err(ObjectError::malformed(
                        "a CO-RE relocation is ambiguous in the target's types",
                    ));
                }
            }
        }
    }
    let after = match agreed {
        Some((_, after)) => after,
        None => value(matcher.target, None, ask)?,
    };
    let resizable = match after {
        Some(after) if after.size != before.size => {
            let (l, t) = (local.ty(before.type_id)?, matcher.target.ty(after.type_id)?);
            let unsigned = |btf: &Btf<'_>, ty| !btf.integer(ty).0;
            let pointers = l.kind == Kind::Ptr && t.kind == Kind::Ptr;
            let integers = l.kind == Kind::Int && t.kind == Kind::Int;
            pointers || (integers && unsigned(local, &l) && unsigned(matcher.target, &t))
        }
        _ => true,
    };
    Ok(Answer { before, after, resizable })
}

/// The answer that a path has in its types; of no path, what the absence answers, `None` where it has no answer.
fn value(btf: &Btf<'_>, path: Option<&Path<'_>>, ask: Ask) -> Result<Option<Value>> {
    let exists = Value::exact(u64::from(path.is_some()));
    if matches!(ask, Ask::FieldExists | Ask::TypeExists | Ask::TypeMatches | Ask::EnumExists) {
        return Ok(Some(exists));
    }
    let Some(path) = path else { return Ok(ask.is_type().then_some(exists)) };
    match ask {
        Ask::TypeIdLocal | Ask::TypeIdTarget => {
            Ok(Some(Value { exact: false, ..Value::exact(u64::from(path.root)) }))
        }
        Ask::TypeSize => Ok(Some(Value::exact(u64::from(size(btf, path.root)?)))),
        Ask::EnumValue => {
            let step = path.steps.first().ok_or_else(no_part)?;
            let entry = btf.enumerator(&btf.ty(step.type_id)?, step.index).ok_or_else(no_part)?;
            Ok(Some(Value::exact(entry.1)))
        }
        _ => field(btf, path, ask).map(Some),
    }
}

fn no_part() -> ObjectError {
    ObjectError::malformed("a CO-RE relocation of no part of its type")
}

fn size(btf: &Btf<'_>, id: u32) -> Result<u32> {
    btf.size(id)?.ok_or_else(|| ObjectError::malformed("a CO-RE relocation of a type without a size"))
}

/// Offset, size, sign and shifts of a field.
fn field(btf: &Btf<'_>, path: &Path<'_>, ask: Ask) -> Result<Value> {
    let last = path.steps.last().ok_or_else(no_part)?;
    let offset = path.bits / 8;
    if last.name.is_none() {
        return match ask {
            Ask::FieldOffset => access(btf, last.type_id, offset, last.type_id),
            Ask::FieldSize => Ok(Value::exact(u64::from(size(btf, last.type_id)?))),
            _ => Err(ObjectError::malformed("a CO-RE relocation that an array element cannot have")),
        };
    }
    let member = btf.member(&btf.ty(last.type_id)?, last.index).ok_or_else(no_part)?;
    let (id, ty) = btf.plain(member.type_id)?;
    let plain = Place { offset, size: 0, bits: 0 };
    let place = match member.width {
        0 => {
            let size = size(btf, id)?;
            Place { size, bits: size.wrapping_mul(8), ..plain }
        }
        width => bit_field(path.bits, width, ty.size_or_type)?,
    };
    let exact = member.width == 0;
    let loose = |value: u32| Value { exact, ..Value::exact(u64::from(value)) };
    Ok(match ask {
        Ask::FieldOffset if exact => return access(btf, id, place.offset, id),
        Ask::FieldOffset => loose(place.offset),
        Ask::FieldSize => loose(place.size),
        Ask::FieldSigned => {
            let signed = (ty.is_enum() && ty.flag) || (ty.kind == Kind::Int && btf.integer(&ty).0);
            Value::exact(u64::from(signed))
        }
        Ask::FieldLeftShift => {
            let end = path.bits.wrapping_add(place.bits).wrapping_sub(place.offset.wrapping_mul(8));
            loose(64u32.wrapping_sub(end))
        }
        _ => Value::exact(u64::from(64u32.wrapping_sub(place.bits))),
    })
}

/// Where a field is: bytes to load, and its bits.
struct Place {
    offset: u32,
    size: u32,
    bits: u32,
}

/// The smallest aligned load that holds a bit field whole, from the size of its declared type on.
fn bit_field(start: u32, bits: u32, declared: u32) -> Result<Place> {
    let mut size = declared;
    while (1..=8).contains(&size) {
        let offset = start / 8 / size * size;
        if u64::from(start) + u64::from(bits) <= (u64::from(offset) + u64::from(size)) * 8 {
            return Ok(Place { offset, size, bits });
        }
        size *= 2;
    }
    Err(ObjectError::malformed("a bit field that no load can read"))
}

/// The offset of a field that a load or store accesses, with the size of one element.
fn access(btf: &Btf<'_>, id: u32, offset: u32, type_id: u32) -> Result<Value> {
    let mut element = id;
    for _ in 0..32 {
        let (plain, ty) = btf.plain(element)?;
        match btf.array(&ty) {
            Some((inner, _)) => element = inner,
            None => return Ok(Value { size: size(btf, plain)?, type_id, ..Value::exact(u64::from(offset)) }),
        }
    }
    Err(no_part())
}

/// Writes the answer into an instruction; `false` where it was poisoned instead.
fn patch(insn: &mut Insn, second: Option<&mut Insn>, answer: &Answer) -> Result<bool> {
    let bad = |what| Err(ObjectError::malformed(what));
    let before = answer.before;
    let unexpected = |found: i64| before.exact && found as u64 != before.value;
    let Some(after) = answer.after else {
        poison(insn, second);
        return Ok(false);
    };
    match insn.code & 7 {
        op::BPF_ALU | op::BPF_ALU64 => {
            if insn.code & op::BPF_X != 0 {
                return bad("a CO-RE relocation of an instruction without an immediate");
            }
            if unexpected(i64::from(insn.imm)) {
                return bad("a CO-RE relocation does not fit what the compiler wrote");
            }
            insn.imm = after.value as i32;
        }
        op::BPF_LDX | op::BPF_ST | op::BPF_STX => {
            if unexpected(i64::from(insn.off)) {
                return bad("a CO-RE relocation does not fit what the compiler wrote");
            }
            let Ok(off) = i16::try_from(after.value) else {
                return Err(ObjectError::too_big("a CO-RE offset does not fit its instruction"));
            };
            if !answer.resizable {
                poison(insn, second);
                return Ok(false);
            }
            if after.size != before.size {
                if insn_bytes(insn.code) != before.size {
                    return bad("a CO-RE relocation does not fit the size of its access");
                }
                let Some(size) = SIZES.iter().find(|(_, bytes)| *bytes == after.size) else {
                    return bad("a CO-RE field that no access can read");
                };
                insn.code = insn.code & !SIZE_MASK | size.0;
            }
            insn.off = off;
        }
        _ => {
            let Some(second) = second.filter(|s| plain_wide(insn, s)) else {
                return bad("a CO-RE relocation of an instruction that cannot have one");
            };
            let found = u64::from(insn.imm as u32) | u64::from(second.imm as u32) << 32;
            if unexpected(found as i64) {
                return bad("a CO-RE relocation does not fit what the compiler wrote");
            }
            insn.imm = after.value as i32;
            second.imm = (after.value >> 32) as i32;
        }
    }
    Ok(true)
}

const SIZE_MASK: u8 = 0x18;
/// The size bits of an opcode and the bytes that they stand for.
const SIZES: [(u8, u32); 4] = [(op::BPF_W, 4), (op::BPF_H, 2), (op::BPF_B, 1), (op::BPF_DW, 8)];

fn insn_bytes(code: u8) -> u32 {
    SIZES.iter().find(|(size, _)| *size == code & SIZE_MASK).map_or(0, |(_, bytes)| *bytes)
}

/// A wide immediate that is a number.
fn plain_wide(first: &Insn, second: &Insn) -> bool {
    let empty = second.code == 0 && second.regs == 0 && second.off == 0;
    first.is_wide() && first.src() == 0 && first.off == 0 && empty
}

fn poison(insn: &mut Insn, second: Option<&mut Insn>) {
    let call = Insn::new(op::BPF_JMP | op::BPF_CALL, 0, 0, 0, POISON_CORE);
    if let Some(second) = second.filter(|_| insn.is_wide()) {
        *second = call;
    }
    *insn = call;
}
