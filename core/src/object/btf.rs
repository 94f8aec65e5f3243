//! BTF: the types and names that clang puts beside the code.
//!
//! [`Btf::parse`] checks the whole type table once: every record is complete, of a known kind, and the strings end. After that a type
//! is found by id in constant time. References between types are checked when they are followed, with a bound on the depth, since they may form cycles.
//! Source: `Documentation/bpf/btf.rst`, `include/uapi/linux/btf.h`.

use super::error::{ObjectError, Result};
use crate::mem::Vec;

/// The section.
pub(crate) const SECTION: &str = ".BTF";
/// How far a chain of modifiers, arrays and members is followed.
const MAX_DEPTH: u32 = 32;

/// The kinds of types; the numbers are the format's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    const ALL: [Kind; 20] = [
        Kind::Void,
        Kind::Int,
        Kind::Ptr,
        Kind::Array,
        Kind::Struct,
        Kind::Union,
        Kind::Enum,
        Kind::Fwd,
        Kind::Typedef,
        Kind::Volatile,
        Kind::Const,
        Kind::Restrict,
        Kind::Func,
        Kind::FuncProto,
        Kind::Var,
        Kind::Datasec,
        Kind::Float,
        Kind::DeclTag,
        Kind::TypeTag,
        Kind::Enum64,
    ];

    /// The word for it in messages, as libbpf has it.
    pub(crate) fn word(self) -> &'static str {
        const WORDS: [&str; 20] = [
            "void",
            "int",
            "ptr",
            "array",
            "struct",
            "union",
            "enum",
            "fwd",
            "typedef",
            "volatile",
            "const",
            "restrict",
            "func",
            "func_proto",
            "var",
            "datasec",
            "float",
            "decl_tag",
            "type_tag",
            "enum64",
        ];
        WORDS.get(self as usize).copied().unwrap_or("")
    }

    /// Bytes behind the common part of a record.
    fn extra(self, vlen: usize) -> usize {
        match self {
            Kind::Int | Kind::Var | Kind::DeclTag => 4,
            Kind::Array => 12,
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => vlen * 12,
            Kind::Enum | Kind::FuncProto => vlen * 8,
            _ => 0,
        }
    }
}

/// One type record.
#[derive(Clone, Copy)]
pub(crate) struct Type<'a> {
    /// What it is.
    pub(crate) kind: Kind,
    name: u32,
    /// How many members, parameters, values; of a function its linkage.
    pub(crate) vlen: usize,
    /// The record's flag: of a struct that members have widths, of an enumeration that its values are signed, of a declaration that it is a union's.
    pub(crate) flag: bool,
    /// Size in bytes or id of another type, as the kind says.
    pub(crate) size_or_type: u32,
    extra: &'a [u8],
}

impl Type<'_> {
    /// Whether it has members.
    pub(crate) fn is_composite(&self) -> bool {
        matches!(self.kind, Kind::Struct | Kind::Union)
    }

    /// Whether it is an enumeration of either size.
    pub(crate) fn is_enum(&self) -> bool {
        matches!(self.kind, Kind::Enum | Kind::Enum64)
    }
}

/// A member of a struct, a parameter of a function, a variable of a section.
#[derive(Clone, Copy)]
pub(crate) struct Member<'a> {
    /// Its name, empty where it has none.
    pub(crate) name: &'a str,
    /// Its type.
    pub(crate) type_id: u32,
    /// Where it is: in bits for a struct, in bytes for a section.
    pub(crate) offset: u32,
    /// Bits of a bit field, else 0.
    pub(crate) width: u32,
}

/// The type table of an object.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Byte offset of each record in `types`; type id 1 is the first.
    offsets: Vec<u32>,
}

/// Four bytes at an offset.
pub(crate) fn u32_at(data: &[u8], offset: usize) -> Option<u32> {
    let bytes = data.get(offset..offset.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn u16_at(data: &[u8], offset: usize) -> Option<u16> {
    let bytes = data.get(offset..offset.checked_add(2)?)?;
    bytes.try_into().ok().map(u16::from_le_bytes)
}

/// The header that `.BTF` and `.BTF.ext` share: checks it and returns its length.
pub(crate) fn header_len(data: &[u8], section: &str, min: usize) -> Result<usize> {
    let bad = |what, offset| ObjectError::malformed(what).at(section, offset);
    if u16_at(data, 0) != Some(0xeb9f) {
        return Err(bad("the BTF magic is wrong", 0));
    }
    if data.get(2) != Some(&1) {
        return Err(ObjectError::not_supported("a BTF version other than 1").at(section, 2));
    }
    let len = u32_at(data, 4).map_or(0, |n| n as usize);
    if len < min || len > data.len() {
        return Err(bad("the BTF header is cut or invalid", 4));
    }
    Ok(len)
}

/// The part of `data` behind the header that two words of the header at `at` describe.
pub(crate) fn part<'a>(data: &'a [u8], header: usize, at: usize, section: &str) -> Result<&'a [u8]> {
    let range = || {
        let off = u32_at(data, at)? as usize;
        let len = u32_at(data, at + 4)? as usize;
        data.get(header.checked_add(off)?..)?.get(..len)
    };
    range().ok_or_else(|| {
        ObjectError::malformed("a part of the BTF reaches beyond its section").at(section, at as u64)
    })
}

impl<'a> Btf<'a> {
    /// Checks the section's contents.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self> {
        let header = header_len(data, SECTION, 24)?;
        let types = part(data, header, 8, SECTION)?;
        let strings = part(data, header, 16, SECTION)?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(
                ObjectError::malformed("the BTF strings do not begin and end with NUL").at(SECTION, 16)
            );
        }
        let mut btf = Btf { types, strings, offsets: Vec::new() };
        let mut at = 0;
        while at < types.len() {
            let ty = btf.record(at).ok_or_else(|| {
                ObjectError::malformed("a BTF type is cut or of an unknown kind")
                    .at(SECTION, (header + at) as u64)
            })?;
            btf.offsets.push(at as u32)?;
            at += 12 + ty.extra.len();
        }
        Ok(btf)
    }

    fn record(&self, at: usize) -> Option<Type<'a>> {
        let name = u32_at(self.types, at)?;
        let info = u32_at(self.types, at + 4)?;
        let size_or_type = u32_at(self.types, at + 8)?;
        let kind = *Kind::ALL.get((info >> 24 & 0x1f) as usize)?;
        if kind == Kind::Void || name as usize >= self.strings.len() {
            return None;
        }
        let vlen = (info & 0xffff) as usize;
        let extra = self.types.get(at + 12..)?.get(..kind.extra(vlen))?;
        Some(Type { kind, name, vlen, flag: info >> 31 != 0, size_or_type, extra })
    }

    /// The type with that id.
    pub(crate) fn ty(&self, id: u32) -> Result<Type<'a>> {
        if id == 0 {
            return Ok(Type { kind: Kind::Void, name: 0, vlen: 0, flag: false, size_or_type: 0, extra: &[] });
        }
        let at = self.offsets.get(id as usize - 1).copied();
        at.and_then(|at| self.record(at as usize)).ok_or_else(|| {
            ObjectError::malformed("a BTF type id is beyond the table").at(SECTION, u64::from(id))
        })
    }

    /// All strings, each ended by NUL.
    pub(crate) fn strings(&self) -> &'a [u8] {
        self.strings
    }

    /// How many types there are, void included.
    pub(crate) fn len(&self) -> u32 {
        self.offsets.len() as u32 + 1
    }

    /// The string at that offset; empty where it is beyond the table or not UTF-8.
    pub(crate) fn string(&self, offset: u32) -> &'a str {
        let tail = self.strings.get(offset as usize..).unwrap_or(&[]);
        let end = memchr::memchr(0, tail).unwrap_or(0);
        tail.get(..end).and_then(|s| core::str::from_utf8(s).ok()).unwrap_or("")
    }

    /// The name of a type.
    pub(crate) fn name(&self, ty: &Type<'_>) -> &'a str {
        self.string(ty.name)
    }

    /// The members, parameters or variables of a type, as its kind has them.
    pub(crate) fn members(&self, ty: &Type<'a>) -> impl Iterator<Item = Member<'a>> + '_ {
        let ty = *ty;
        (0..ty.vlen).map_while(move |i| self.member(&ty, i))
    }

    /// One of them.
    pub(crate) fn member(&self, ty: &Type<'a>, index: usize) -> Option<Member<'a>> {
        let step = match ty.kind {
            Kind::Struct | Kind::Union | Kind::Datasec => 12,
            Kind::FuncProto => 8,
            _ => return None,
        };
        let record = ty.extra.get(index.checked_mul(step)?..)?;
        let word = |i: usize| u32_at(record, 4 * i);
        Some(match ty.kind {
            Kind::Datasec => Member { name: "", type_id: word(0)?, offset: word(1)?, width: 0 },
            Kind::FuncProto => Member { name: self.string(word(0)?), type_id: word(1)?, offset: 0, width: 0 },
            _ => {
                let place = word(2)?;
                let (offset, width) = if ty.flag { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
                Member { name: self.string(word(0)?), type_id: word(1)?, offset, width }
            }
        })
    }

    /// Name and value of one entry of an enumeration, extended to 64 bits as libbpf does.
    pub(crate) fn enumerator(&self, ty: &Type<'_>, index: usize) -> Option<(&'a str, u64)> {
        let step = match ty.kind {
            Kind::Enum => 8,
            Kind::Enum64 => 12,
            _ => return None,
        };
        let record = ty.extra.get(index.checked_mul(step)?..)?;
        let low = u32_at(record, 4)?;
        let value = match ty.kind {
            Kind::Enum => i64::from(low as i32) as u64,
            _ => u64::from(low) | u64::from(u32_at(record, 8)?) << 32,
        };
        Some((self.string(u32_at(record, 0)?), value))
    }

    /// Whether an integer is signed, and the offset of its bits (not zero in a notation of bit fields that is no longer used).
    pub(crate) fn integer(&self, ty: &Type<'_>) -> (bool, u32) {
        let word = if ty.kind == Kind::Int { u32_at(ty.extra, 0).unwrap_or(0) } else { 0 };
        (word >> 24 & 1 != 0, word >> 16 & 0xff)
    }

    /// Which parameter a declaration tag is about; `None` where it is about the whole.
    pub(crate) fn tagged_part(&self, ty: &Type<'_>) -> Option<usize> {
        u32_at(ty.extra, 0).filter(|part| *part != u32::MAX).map(|part| part as usize)
    }

    /// Element type and number of elements of an array.
    pub(crate) fn array(&self, ty: &Type<'_>) -> Option<(u32, u32)> {
        (ty.kind == Kind::Array).then(|| Some((u32_at(ty.extra, 0)?, u32_at(ty.extra, 8)?)))?
    }

    /// The linkage of a variable (0 static, 1 global, 2 extern).
    pub(crate) fn linkage(&self, ty: &Type<'_>) -> u32 {
        match ty.kind {
            Kind::Func => ty.vlen as u32,
            _ => u32_at(ty.extra, 0).unwrap_or(0),
        }
    }

    /// The only value of an enumeration that has one, as `__ulong` of map definitions writes a number.
    pub(crate) fn single_value(&self, ty: &Type<'_>) -> Option<u64> {
        let (_, value) = self.enumerator(ty, 0).filter(|_| ty.vlen == 1)?;
        Some(if ty.kind == Kind::Enum { u64::from(value as u32) } else { value })
    }

    /// The type behind const, volatile, restrict, typedefs and tags, with its id.
    pub(crate) fn plain(&self, mut id: u32) -> Result<(u32, Type<'a>)> {
        for _ in 0..MAX_DEPTH {
            let ty = self.ty(id)?;
            match ty.kind {
                Kind::Const | Kind::Volatile | Kind::Restrict | Kind::Typedef | Kind::TypeTag => {
                    id = ty.size_or_type;
                }
                _ => return Ok((id, ty)),
            }
        }
        Err(ObjectError::malformed("a chain of BTF types is too long").at(SECTION, u64::from(id)))
    }

    /// Bytes of a value of that type, `None` where it has no size.
    pub(crate) fn size(&self, mut id: u32) -> Result<Option<u32>> {
        let mut count = 1u32;
        for _ in 0..MAX_DEPTH {
            let (_, ty) = self.plain(id)?;
            let one = match ty.kind {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    ty.size_or_type
                }
                Kind::Ptr => 8,
                Kind::Array => match self.array(&ty) {
                    Some((element, n)) => {
                        let Some(product) = count.checked_mul(n) else {
                            return Err(
                                ObjectError::malformed("a BTF array is too large").at(SECTION, u64::from(id))
                            );
                        };
                        (id, count) = (element, product);
                        continue;
                    }
                    None => return Ok(None),
                },
                _ => return Ok(None),
            };
            return Ok(count.checked_mul(one));
        }
        Err(ObjectError::malformed("a chain of BTF types is too long").at(SECTION, u64::from(id)))
    }

    /// The section of variables with that name.
    pub(crate) fn datasec(&self, name: &str) -> Result<Option<Type<'a>>> {
        for id in 1..self.len() {
            let ty = self.ty(id)?;
            if ty.kind == Kind::Datasec && self.name(&ty) == name {
                return Ok(Some(ty));
            }
        }
        Ok(None)
    }
}
