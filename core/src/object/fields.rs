//! Fields of map values that are more than bytes: locks and timers, and what only a kernel can keep.
//!
//! The kernel finds them by the names of struct types, however deep they stand in structs and arrays, and by tags on pointers. They have a meaning only
//! where the map's type allows all that there are; else libbpf makes the map without BTF, and they are plain bytes. Source: the kernel's
//! `btf_parse_fields` and `map_check_btf`.

use super::btf::{Btf, Kind};
use super::error::{ObjectError, Result};
use crate::maps::spec::flags::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use crate::maps::{MapType, ValueFields};
use crate::mem::Vec;

/// Structs and arrays inside a value that are looked into, as deep as the kernel does.
const MAX_NESTING: u32 = 8;
/// Members of one value that are looked at.
const MAX_MEMBERS: u32 = 1 << 16;

/// Kinds of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Lock,
    Timer,
    /// One that needs a kernel, with the reason of the refusal.
    Kernel(&'static str),
}

use MapType::{Array, Hash, LruHash, LruPercpuHash, PercpuArray, PercpuHash};
/// The maps that a lock may be in.
const LOCKS: &[MapType] = &[Hash, Array];
/// The maps that a timer may be in.
const TIMERS: &[MapType] = &[Hash, LruHash, Array];
/// The maps that a pointer to a kernel object may be in.
const POINTERS: &[MapType] = &[Hash, PercpuHash, LruHash, LruPercpuHash, Array, PercpuArray];

/// Struct types by name: what they are, and which maps may hold them.
const STRUCTS: &[(&str, Special, &[MapType])] = &[
    ("bpf_spin_lock", Special::Lock, LOCKS),
    ("bpf_timer", Special::Timer, TIMERS),
    (
        "bpf_res_spin_lock",
        Special::Kernel("the map value holds a resilient lock, which needs a kernel"),
        LOCKS,
    ),
    ("bpf_wq", Special::Kernel("the map value holds a work queue, which needs a kernel"), TIMERS),
    ("bpf_task_work", Special::Kernel("the map value holds task work, which needs a kernel"), TIMERS),
    ("bpf_list_head", Special::Kernel("the map value holds a list of kernel objects"), TIMERS),
    ("bpf_rb_root", Special::Kernel("the map value holds a tree of kernel objects"), TIMERS),
];

/// Tags that make a pointer one to a kernel object.
const POINTER_TAGS: &[&str] = &["kptr", "kptr_untrusted", "percpu_kptr", "uptr"];
const POINTER: Special = Special::Kernel("the map value holds a kernel pointer");

/// What a map's value type holds besides bytes.
#[derive(Default)]
pub(crate) struct Fields {
    all: Vec<(Special, u32, &'static [MapType])>,
    /// Whether one of them is there more than once.
    doubled: bool,
}

/// A type still to be looked into.
struct Todo {
    id: u32,
    at: u32,
    depth: u32,
    /// Whether it stands in an array of several.
    several: bool,
}

impl Fields {
    /// Adds those of a type that stands at a byte offset of the value.
    pub(crate) fn look(&mut self, btf: &Btf<'_>, id: u32, at: u32) -> Result<()> {
        let mut left = MAX_MEMBERS;
        let mut todo = Vec::new();
        todo.push(Todo { id, at, depth: 0, several: false })?;
        while let Some(Todo { id, at, depth, several }) = todo.pop() {
            let (_, ty) = btf.plain(id)?;
            left =
                left.checked_sub(1).ok_or_else(|| ObjectError::too_big("a map value has too many fields"))?;
            if depth > MAX_NESTING {
                continue;
            }
            match ty.kind {
                Kind::Array => {
                    if let Some((element, n @ 1..)) = btf.array(&ty) {
                        todo.push(Todo { id: element, at, depth: depth + 1, several: several || n > 1 })?;
                    }
                }
                Kind::Ptr => {
                    let behind = btf.ty(ty.size_or_type)?;
                    if behind.kind == Kind::TypeTag && POINTER_TAGS.contains(&btf.name(&behind)) {
                        self.all.push((POINTER, at, POINTERS))?;
                    }
                }
                Kind::Struct => {
                    let name = btf.name(&ty);
                    if let Some((_, special, maps)) = STRUCTS.iter().find(|(n, _, _)| *n == name) {
                        self.doubled |= several || self.all.iter().any(|(s, _, _)| s == special);
                        self.all.push((*special, at, maps))?;
                        continue;
                    }
                    left = left.saturating_sub(ty.vlen as u32);
                    for member in btf.members(&ty) {
                        let at = at.saturating_add(member.offset / 8);
                        todo.push(Todo { id: member.type_id, at, depth: depth + 1, several })?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What they mean in a map of that type.
    ///
    /// # Errors
    /// The kernel would keep something there that is not to be had without one.
    pub(crate) fn in_map(&self, kind: MapType, flags: u32) -> Result<ValueFields> {
        let read_only = flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0;
        let mut found = ValueFields::default();
        if self.doubled || read_only || self.all.iter().any(|(_, _, maps)| !maps.contains(&kind)) {
            return Ok(found);
        }
        for (special, at, _) in self.all.iter() {
            match special {
                Special::Lock => found.spin_lock = Some(*at),
                Special::Timer => found.timer = Some(*at),
                Special::Kernel(why) => return Err(ObjectError::not_supported(why)),
            }
        }
        Ok(found)
    }
}
