//! Prototypes of global functions: what the BTF, and tags on it, say of each argument.
//!
//! A global function is verified alone, for every argument that its prototype allows. Tags are declarations (`__arg_ctx` is the tag `arg:ctx`) that say
//! more than C's types can. What the kernel refuses of a prototype is [`ArgKind::Unsupported`] here, for the verifier to refuse where the
//! function is used. Source: the kernel's `btf_prepare_func_args`.

use super::btf::{Btf, Kind, Type};
use super::btf_match::essential;
use super::error::Result;
use crate::mem::Vec;
use crate::program::{ArgKind, Signature};

/// The linkage of a global function.
const GLOBAL: u32 = 1;

/// Tags of arguments, as bits.
mod tag {
    pub(super) const CTX: u8 = 1;
    pub(super) const NONNULL: u8 = 2;
    /// Any other: none that a program without kernel objects can have.
    pub(super) const OTHER: u8 = 4;
}

/// The prototypes of an object's functions.
pub(crate) struct Prototypes<'b, 'a> {
    btf: &'b Btf<'a>,
    /// Tags of arguments: function, argument, tag; sorted.
    tags: Vec<(u32, usize, u8)>,
    /// Functions that name another as their exception callback; sorted.
    callbacks: Vec<(u32, &'a str)>,
}

impl<'b, 'a> Prototypes<'b, 'a> {
    pub(crate) fn new(btf: &'b Btf<'a>) -> Result<Self> {
        let (mut tags, mut callbacks) = (Vec::new(), Vec::new());
        for id in 1..btf.len() {
            let ty = btf.ty(id)?;
            let name = if ty.kind == Kind::DeclTag { btf.name(&ty) } else { continue };
            let part = btf.tagged_part(&ty);
            if let (None, Some(name)) = (part, name.strip_prefix("exception_callback:")) {
                callbacks.push((ty.size_or_type, name))?;
            }
            let (Some(part), Some(name)) = (part, name.strip_prefix("arg:")) else { continue };
            let bit = match name {
                "ctx" => tag::CTX,
                "nonnull" => tag::NONNULL,
                _ => tag::OTHER,
            };
            tags.push((ty.size_or_type, part, bit))?;
        }
        tags.sort_unstable();
        callbacks.sort_unstable();
        Ok(Prototypes { btf, tags, callbacks })
    }

    /// The function that a function names as its exception callback; none where it names several, which the verifier refuses.
    pub(crate) fn exception_callback(&self, func: Option<u32>) -> Option<&'a str> {
        let func = func?;
        let from = self.callbacks.partition_point(|(f, _)| *f < func);
        let mut mine = self.callbacks.iter().skip(from).take_while(|(f, _)| *f == func);
        match (mine.next(), mine.next()) {
            (Some((_, name)), None) => Some(name),
            _ => None,
        }
    }

    /// Whether a function is global, and then its prototype. A hidden one is not: no other file can call it.
    pub(crate) fn of(&self, func: Option<u32>, hidden: bool) -> Result<(bool, Option<Signature>)> {
        let Some(id) = func else { return Ok((false, None)) };
        let ty = self.btf.ty(id)?;
        if ty.kind != Kind::Func || self.btf.linkage(&ty) != GLOBAL || hidden {
            return Ok((false, None));
        }
        let proto = self.btf.ty(ty.size_or_type)?;
        let mut signature = Signature { args: [None; 5], returns_scalar: false };
        if proto.kind != Kind::FuncProto || proto.vlen > signature.args.len() {
            return Ok((true, None));
        }
        let (_, result) = self.btf.plain(proto.size_or_type)?;
        signature.returns_scalar = is_scalar(&result);
        if !signature.returns_scalar && result.kind != Kind::Void {
            return Ok((true, None));
        }
        let params = signature.args.iter_mut().zip(self.btf.members(&proto));
        for (i, (slot, param)) in params.enumerate() {
            *slot = Some(self.argument(param.type_id, self.tags_of(id, i))?);
        }
        Ok((true, Some(signature)))
    }

    fn tags_of(&self, func: u32, arg: usize) -> u8 {
        let from = self.tags.partition_point(|(f, a, _)| (*f, *a) < (func, arg));
        let mine = self.tags.iter().skip(from).take_while(|(f, a, _)| (*f, *a) == (func, arg));
        mine.fold(0, |all, (_, _, bit)| all | bit)
    }

    fn argument(&self, id: u32, tags: u8) -> Result<ArgKind> {
        let btf = self.btf;
        let (_, ty) = btf.plain(id)?;
        if is_scalar(&ty) {
            return Ok(if tags == 0 { ArgKind::Scalar } else { ArgKind::Unsupported });
        }
        if ty.kind != Kind::Ptr {
            return Ok(ArgKind::Unsupported);
        }
        let (_, behind) = btf.plain(ty.size_or_type)?;
        let is_ctx = behind.kind == Kind::Struct && essential(btf.name(&behind)) == "xdp_md";
        let tagged_ctx = tags & tag::CTX != 0 && (is_ctx || behind.kind == Kind::Void);
        if is_ctx || tagged_ctx {
            return Ok(if tags & !tag::CTX == 0 { ArgKind::Ctx } else { ArgKind::Unsupported });
        }
        if is_dynptr(btf, &behind) {
            return Ok(if tags == 0 { ArgKind::Dynptr } else { ArgKind::Unsupported });
        }
        if tags & !tag::NONNULL != 0 {
            return Ok(ArgKind::Unsupported);
        }
        Ok(match btf.size(ty.size_or_type)? {
            Some(size) if size > 0 && tags & tag::NONNULL != 0 => ArgKind::Mem { size },
            Some(size) if size > 0 => ArgKind::MemOrNull { size },
            _ => ArgKind::Unsupported,
        })
    }
}

fn is_scalar(ty: &Type<'_>) -> bool {
    ty.kind == Kind::Int || ty.is_enum()
}

/// `struct bpf_dynptr`, whole or declared alone.
fn is_dynptr(btf: &Btf<'_>, ty: &Type<'_>) -> bool {
    let of_struct = ty.is_composite() || (ty.kind == Kind::Fwd && !ty.flag);
    of_struct && btf.name(ty) == "bpf_dynptr"
}
