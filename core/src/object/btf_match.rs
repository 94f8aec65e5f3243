//! When two BTF types are the same for CO-RE: names without flavour, fields that fit, types that are compatible, types that match.
//!
//! The relations are libbpf's (`relo_core.c`, described in its comments and in `Documentation/bpf/llvm_reloc.rst`), so that an object means here what
//! it means there. Neither type table is trusted: chains are bounded, recursion is bounded by [`MAX_LEVEL`] whatever the tables hold, and
//! every comparison is paid for from one budget for the whole object, since anonymous members and prototypes can be nested so that a walk would not end.

use super::btf::{Btf, Kind, Type};
use super::error::{ObjectError, Result};

/// How deep prototypes and structs are followed.
const MAX_LEVEL: u32 = 32;
/// Comparisons that all relocations of one object may take together.
const BUDGET: u32 = 1 << 25;

/// A name without its flavour: `sk_buff` of `sk_buff___old`. The separator is three underscores between other characters; the last one counts.
pub(crate) fn essential(name: &str) -> &str {
    let bytes = name.as_bytes();
    let is_separator = |w: &[u8]| matches!(w, [a, b'_', b'_', b'_', z] if *a != b'_' && *z != b'_');
    match bytes.windows(5).rposition(is_separator) {
        Some(at) => name.get(..at + 1).unwrap_or(name),
        None => name,
    }
}

/// Whether types of these kinds can be each other's counterpart at all.
pub(crate) fn kinds_compatible(a: &Type<'_>, b: &Type<'_>) -> bool {
    a.kind == b.kind || (a.is_enum() && b.is_enum())
}

/// Whether a type stands directly or behind a pointer, where a struct may be a declaration alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    Pointer,
}

/// Compares types of an object with those of a target.
pub(crate) struct Matcher<'m, 'l, 't> {
    /// The object's own types.
    pub(crate) local: &'m Btf<'l>,
    /// The types to relocate against.
    pub(crate) target: &'m Btf<'t>,
    budget: u32,
}

impl<'m, 'l, 't> Matcher<'m, 'l, 't> {
    pub(crate) fn new(local: &'m Btf<'l>, target: &'m Btf<'t>) -> Self {
        Matcher { local, target, budget: BUDGET }
    }

    /// Pays for comparisons.
    pub(crate) fn spend(&mut self, n: usize) -> Result<()> {
        let left = u32::try_from(n).ok().and_then(|n| self.budget.checked_sub(n));
        self.budget = left.ok_or_else(|| ObjectError::too_big("CO-RE relocations compare too many types"))?;
        Ok(())
    }

    fn plain(&mut self, local: u32, target: u32) -> Result<((u32, Type<'l>), (u32, Type<'t>))> {
        self.spend(1)?;
        Ok((self.local.plain(local)?, self.target.plain(target)?))
    }

    /// Without flavour, the names of two types or members are the same; none fits none alone.
    fn names_match(&self, local: &str, target: &str) -> bool {
        if target.is_empty() { local.is_empty() } else { essential(local) == essential(target) }
    }

    /// Whether a field of the one type may stand for a field of the other.
    pub(crate) fn fields_compatible(&mut self, mut local: u32, mut target: u32) -> Result<bool> {
        for _ in 0..MAX_LEVEL {
            let ((_, l), (_, t)) = self.plain(local, target)?;
            if l.is_composite() && t.is_composite() {
                return Ok(true);
            }
            if !kinds_compatible(&l, &t) {
                return Ok(false);
            }
            match l.kind {
                Kind::Ptr | Kind::Float => return Ok(true),
                Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                    let (l, t) = (essential(self.local.name(&l)), essential(self.target.name(&t)));
                    return Ok(l.is_empty() || t.is_empty() || l == t);
                }
                Kind::Int => return Ok(self.local.integer(&l).1 == 0 && self.target.integer(&t).1 == 0),
                Kind::Array => (local, target) = (element(self.local, &l)?, element(self.target, &t)?),
                _ => return Ok(false),
            }
        }
        Err(too_deep())
    }

    /// Whether two types of the same name are compatible: the same kind, and so on through pointers, arrays and prototypes.
    pub(crate) fn types_compatible(&mut self, local: u32, target: u32) -> Result<bool> {
        if !kinds_compatible(&self.local.ty(local)?, &self.target.ty(target)?) {
            return Ok(false);
        }
        self.compatible(local, target, MAX_LEVEL)
    }

    fn compatible(&mut self, mut local: u32, mut target: u32, level: u32) -> Result<bool> {
        for _ in 0..MAX_LEVEL {
            let ((_, l), (_, t)) = self.plain(local, target)?;
            if !kinds_compatible(&l, &t) {
                return Ok(false);
            }
            (local, target) = match l.kind {
                Kind::Void | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Fwd => {
                    return Ok(true);
                }
                Kind::Int => return Ok(self.local.integer(&l).1 == 0 && self.target.integer(&t).1 == 0),
                Kind::Ptr => (l.size_or_type, t.size_or_type),
                Kind::Array => (element(self.local, &l)?, element(self.target, &t)?),
                Kind::FuncProto => {
                    if l.vlen != t.vlen {
                        return Ok(false);
                    }
                    let level = level.checked_sub(1).ok_or_else(too_deep)?;
                    for i in 0..l.vlen {
                        let (Some(a), Some(b)) = (self.local.member(&l, i), self.target.member(&t, i)) else {
                            return Ok(false);
                        };
                        if !self.compatible(a.type_id, b.type_id, level)? {
                            return Ok(false);
                        }
                    }
                    (l.size_or_type, t.size_or_type)
                }
                _ => return Ok(false),
            };
        }
        Err(too_deep())
    }

    /// Whether the target has everything that the local type has, by name, kind and size of scalars (`bpf_core_type_matches`).
    pub(crate) fn types_match(&mut self, local: u32, target: u32) -> Result<bool> {
        self.matches(local, target, Behind::Nothing, MAX_LEVEL)
    }

    fn matches(&mut self, mut local: u32, mut target: u32, mut behind: Behind, level: u32) -> Result<bool> {
        let level = level.checked_sub(1).ok_or_else(too_deep)?;
        for _ in 0..MAX_LEVEL {
            let ((_, l), (_, t)) = self.plain(local, target)?;
            if !self.names_match(self.local.name(&l), self.target.name(&t)) {
                return Ok(false);
            }
            let pointed = behind == Behind::Pointer;
            (local, target) = match l.kind {
                Kind::Fwd => {
                    let of_target = match t.kind {
                        Kind::Fwd => t.flag,
                        Kind::Struct if pointed => false,
                        Kind::Union if pointed => true,
                        _ => return Ok(false),
                    };
                    return Ok(l.flag == of_target);
                }
                Kind::Struct | Kind::Union if pointed => {
                    let declared = t.kind == Kind::Fwd && (l.kind == Kind::Union) == t.flag;
                    return Ok(l.kind == t.kind || declared);
                }
                Kind::Enum | Kind::Enum64 => return self.enums_match(&l, &t),
                kind if kind != t.kind => return Ok(false),
                Kind::Void => return Ok(true),
                Kind::Struct | Kind::Union => return self.composites_match(&l, &t, behind, level),
                Kind::Int => {
                    let same_sign = self.local.integer(&l).0 == self.target.integer(&t).0;
                    return Ok(l.size_or_type == t.size_or_type && same_sign);
                }
                Kind::Ptr => {
                    behind = Behind::Pointer;
                    (l.size_or_type, t.size_or_type)
                }
                Kind::Array => {
                    let count = |of: Option<(u32, u32)>| of.map(|(_, n)| n);
                    if count(self.local.array(&l)) != count(self.target.array(&t)) {
                        return Ok(false);
                    }
                    (element(self.local, &l)?, element(self.target, &t)?)
                }
                Kind::FuncProto => {
                    if l.vlen != t.vlen {
                        return Ok(false);
                    }
                    for i in 0..l.vlen {
                        let (Some(a), Some(b)) = (self.local.member(&l, i), self.target.member(&t, i)) else {
                            return Ok(false);
                        };
                        if !self.matches(a.type_id, b.type_id, behind, level)? {
                            return Ok(false);
                        }
                    }
                    (l.size_or_type, t.size_or_type)
                }
                _ => return Ok(false),
            };
        }
        Err(too_deep())
    }

    /// Every name of the one enumeration is in the other, of the same size.
    fn enums_match(&mut self, l: &Type<'l>, t: &Type<'t>) -> Result<bool> {
        if !t.is_enum() || l.size_or_type != t.size_or_type || l.vlen > t.vlen {
            return Ok(false);
        }
        for i in 0..l.vlen {
            self.spend(t.vlen)?;
            let name = self.local.enumerator(l, i).map_or("", |e| e.0);
            let same = |j| self.target.enumerator(t, j).is_some_and(|e| self.names_match(name, e.0));
            if !(0..t.vlen).any(same) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Every member of the one has a member of the same name that matches.
    fn composites_match(&mut self, l: &Type<'l>, t: &Type<'t>, behind: Behind, level: u32) -> Result<bool> {
        if l.vlen > t.vlen {
            return Ok(false);
        }
        for i in 0..l.vlen {
            self.spend(t.vlen)?;
            let Some(a) = self.local.member(l, i) else { return Ok(false) };
            let mut found = false;
            for j in 0..t.vlen {
                let Some(b) = self.target.member(t, j) else { break };
                if self.names_match(a.name, b.name) && self.matches(a.type_id, b.type_id, behind, level)? {
                    found = true;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn element(btf: &Btf<'_>, array: &Type<'_>) -> Result<u32> {
    btf.array(array).map(|(element, _)| element).ok_or_else(too_deep)
}

fn too_deep() -> ObjectError {
    ObjectError::malformed("types are nested too deeply for a CO-RE relocation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flavour_is_behind_the_last_three_underscores() {
        for (name, wanted) in [
            ("sk_buff", "sk_buff"),
            ("sk_buff___old", "sk_buff"),
            ("a___b___c", "a___b"),
            ("a____b", "a____b"),
            ("a___", "a___"),
            ("___b", "___b"),
            ("a___b_", "a"),
            ("", ""),
        ] {
            assert_eq!(essential(name), wanted, "{name}");
        }
    }
}
