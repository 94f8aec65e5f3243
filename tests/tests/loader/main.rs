//! Two loaders, one object: what uxdp links is what libbpf links, instruction for instruction.
//!
//! libbpf relocates, links and makes the maps, and stops before it loads a program; definitions of maps and the two lists of instructions are then compared. They differ where they
//! must: maps are descriptors there and indices here, kernel functions are ids of the kernel's BTF there and our own numbers here. CO-RE is
//! applied against the object's own types and against the running kernel's.
//!
//! `UXDP_OBJECTS=/some/folder cargo test -p uxdp-tests --test loader objects_of_a_folder -- --nocapture` compares every object below a folder and prints what differs.
#![expect(clippy::print_stderr, reason = "a test says what it could not ask")]

mod libbpf;

use libbpf::{Kernel, Linked, Slot};
use std::path::{Path, PathBuf};
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::{Insn, op};
use uxdp_core::maps::MapType;
use uxdp_core::maps::spec::flags::{BPF_F_MMAPABLE, BPF_F_NUMA_NODE};
use uxdp_core::object::{MapDef, MapOrigin, Object, ObjectError, ObjectErrorKind, OpenOptions};
use uxdp_core::program::{Loaded, POISON_KFUNC, Program};

/// `BPF_MAP_TYPE_STRUCT_OPS`: variables of `.struct_ops`, which XDP programs cannot refer to.
const STRUCT_OPS: u32 = 26;
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Whose types CO-RE relocations are applied against.
#[derive(Clone, Copy, Debug)]
enum Types {
    Own,
    Kernel,
    /// Those of `core/tests/objects/core_target.c`.
    Other,
}

impl Types {
    fn file(self, object: &Path) -> PathBuf {
        match self {
            Types::Own => object.to_owned(),
            Types::Kernel => PathBuf::from(VMLINUX),
            Types::Other => root().join("core/tests/objects/core_target.o"),
        }
    }
}

/// Whether the kernel can be asked; says so, and fails under CI, where it cannot.
fn can_ask() -> bool {
    let can = libbpf::permitted();
    if !can {
        eprintln!("not compared with libbpf: bpf(2) is not permitted here");
        assert!(std::env::var_os("CI").is_none(), "CI has to ask the kernel");
    }
    can
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn objects_in(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "o") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn open(file: &Path, types: Types) -> Result<Object, Refusal> {
    let bytes = std::fs::read(file).unwrap();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let given = match types {
        Types::Own => None,
        _ => Some(std::fs::read(types.file(file)).unwrap()),
    };
    Object::open(&bytes, &OpenOptions { name, btf: given.as_deref() }).map_err(refusal)
}

/// A refusal: its text, and whether it is of something that is well formed and not supported.
type Refusal = (String, bool);

fn link(object: &Object, program: &str) -> Result<Program<Loaded>, Refusal> {
    let index = object.programs().iter().position(|p| p.name.as_str() == program);
    let index = index.ok_or_else(|| ("uxdp has no such program".to_owned(), false))?;
    object.link(index).map_err(refusal)
}

fn refusal(e: ObjectError) -> Refusal {
    (e.to_string(), e.kind == ObjectErrorKind::NotSupported)
}

/// The first difference between what both loaders made.
fn difference(theirs: &Linked, object: &Object, ours: &[Insn], kernel: Option<&Kernel>) -> Option<String> {
    if theirs.insns.len() != ours.len() {
        return Some(format!("{} instructions there, {} here", theirs.insns.len(), ours.len()));
    }
    let mut pc = 0;
    while pc < ours.len() {
        let (t, u) = (&theirs.insns[pc], ours[pc]);
        let wide = u.is_wide();
        let next = |slots: &[Slot]| slots.get(pc + 1).map_or(0, |s| s.imm);
        let same = match (wide, t.src_reg(), u.src()) {
            (true, op::BPF_PSEUDO_MAP_FD, op::BPF_PSEUDO_MAP_IDX) => same_map(theirs, t, object, u),
            (true, op::BPF_PSEUDO_MAP_VALUE, op::BPF_PSEUDO_MAP_IDX_VALUE) => {
                same_map(theirs, t, object, u) && next(&theirs.insns) == ours[pc + 1].imm
            }
            (true, op::BPF_PSEUDO_BTF_ID, 0) => {
                let name = kernel.map(|k| k.name(t.imm)).unwrap_or_default();
                STANDARD.kfunc(&name).unwrap_or(0) == u.imm as u32
            }
            (false, op::BPF_PSEUDO_KFUNC_CALL, op::BPF_PSEUDO_KFUNC_CALL) if is_call(u) => {
                let name = object.kfunc_name(u.imm).unwrap_or_default();
                let essential = name.split("___").next().unwrap_or(name);
                t.code == u.code && (t.off != 0 || kernel.is_none_or(|k| k.name(t.imm) == essential))
            }
            (false, 0, 0) if is_call(u) && u.imm >= POISON_KFUNC => t.imm >= POISON_KFUNC,
            // A weak function of the kernel's that programs cannot call here is missing here.
            (false, op::BPF_PSEUDO_KFUNC_CALL, 0) if is_call(u) && u.imm >= POISON_KFUNC => {
                kernel.is_none_or(|k| STANDARD.kfunc(&k.name(t.imm)).is_none())
            }
            _ => plain(t) == u,
        };
        if !same || t.code != u.code || t.dst_reg() != u.dst() {
            return Some(format!("insn {pc}: {:?} there, {u:?} here", plain(t)));
        }
        if wide
            && matches!(u.src(), 0 | op::BPF_PSEUDO_FUNC)
            && next(&theirs.insns) != ours[pc + 1].imm
            && t.src_reg() != op::BPF_PSEUDO_BTF_ID
        {
            return Some(format!(
                "insn {pc}: upper half {:#x} there, {:#x} here",
                next(&theirs.insns),
                ours[pc + 1].imm
            ));
        }
        pc += if wide { 2 } else { 1 };
    }
    None
}

fn is_call(insn: Insn) -> bool {
    insn.code == op::BPF_JMP | op::BPF_CALL
}

fn plain(s: &Slot) -> Insn {
    Insn::new(s.code, s.dst_reg(), s.src_reg(), s.off, s.imm)
}

/// Names are compared as far as a kernel keeps them.
fn same_map(theirs: &Linked, t: &Slot, object: &Object, u: Insn) -> bool {
    let there = theirs.maps.get(&t.imm).map_or("", |n| n.as_str());
    let here = object.maps().get(u.imm as usize).map_or("", |m| m.name.as_str());
    there == here || (here.len() == 15 && there.starts_with(here))
}

/// What differs in the definitions of maps. Those that uxdp refuses and those that libbpf makes up (`.kconfig`) are in one list alone.
fn map_differences(file: &Path, object: &Object) -> Vec<String> {
    let Ok(theirs) = libbpf::definitions(file) else { return Vec::new() };
    let mut differences = Vec::new();
    for (name, numbers, extra) in theirs {
        // A name of global data is cut as a kernel would cut it.
        let cut = |m: &&MapDef| {
            matches!(m.origin, MapOrigin::Data(_)) && m.name.len() == 15 && name.starts_with(m.name.as_str())
        };
        let exact = object.maps().iter().find(|m| m.name.as_str() == name);
        let Some(ours) = exact.or_else(|| object.maps().iter().find(cut)) else {
            let refused = object.refused_maps().iter().any(|m| name.starts_with(m.name.as_str()));
            if !refused && !name.ends_with(".kconfig") && numbers[0] != STRUCT_OPS {
                differences.push(format!("map {name} is not here"));
            }
            continue;
        };
        let spec = ours.spec.fitted(1, 4096);
        // Global data can be mapped there where the kernel can do that.
        let mask = if matches!(ours.origin, MapOrigin::Data(_)) { !BPF_F_MMAPABLE } else { !0 };
        let entries =
            if spec.kind == MapType::PerfEventArray { ours.spec.max_entries } else { spec.max_entries };
        let numa = if spec.numa_node >= 0 { BPF_F_NUMA_NODE } else { 0 };
        let here = [spec.kind as u32, spec.key_size, spec.value_size, entries, (spec.flags | numa) & mask];
        let there = [numbers[0], numbers[1], numbers[2], numbers[3], (numbers[4] | numa) & mask];
        if here != there || spec.extra != extra {
            differences.push(format!("map {name}: {there:?} {extra} there, {here:?} {} here", spec.extra));
        }
    }
    differences
}

/// What became of the programs of some objects.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    /// Neither loader takes it.
    neither: usize,
    /// libbpf alone refuses.
    ours_alone: usize,
    /// Refused here for what this version does not support, and linked by libbpf.
    unsupported: Vec<String>,
    differ: Vec<String>,
}

fn compare(files: &[PathBuf], types: Types) -> Tally {
    let kernel = Kernel::load();
    let mut tally = Tally::default();
    for file in files {
        let btf = types.file(file);
        let Ok(names) = libbpf::xdp_programs(file) else {
            tally.ours_alone += usize::from(open(file, types).is_ok());
            continue;
        };
        let object = open(file, types);
        if let Ok(object) = &object {
            let differences = map_differences(file, object).into_iter();
            tally.differ.extend(differences.map(|d| format!("{}: {d}", file.display())));
        }
        for name in names {
            let theirs = libbpf::link(file, &name, Some(&btf));
            let ours = object.as_ref().map_err(|e| e.clone()).and_then(|o| link(o, &name));
            let at = format!("{} {name}", file.display());
            match (theirs, ours) {
                (Ok(theirs), Ok(ours)) => {
                    let object = object.as_ref().unwrap();
                    match difference(&theirs, object, &ours.code().insns, kernel.as_ref()) {
                        None => tally.same += 1,
                        Some(what) => tally.differ.push(format!("{at}: {what}")),
                    }
                }
                (Ok(_), Err((e, true))) => tally.unsupported.push(format!("{at}: {e}")),
                (Ok(_), Err((e, false))) => tally.differ.push(format!("{at}: refused here: {e}")),
                (Err(_), Ok(_)) => tally.ours_alone += 1,
                (Err(_), Err(_)) => tally.neither += 1,
            }
        }
    }
    tally
}

#[test]
fn programs_of_xdp_progs_are_linked_as_libbpf_links_them() {
    if !can_ask() {
        return;
    }
    let files = objects_in(&root().join("xdp_progs/obj"));
    let tally = compare(&files, Types::Own);
    assert!(tally.differ.is_empty(), "{tally:#?}");
    assert!(tally.same >= files.len(), "{tally:#?}");
}

#[test]
fn objects_of_the_loaders_tests_are_linked_as_libbpf_links_them() {
    if !can_ask() {
        return;
    }
    // Two are for our loader alone: libbpf takes no definitions in `maps`, and no functions outside of `.text`.
    let ours = ["legacy.o", "sections.o", "core_target.o"];
    let mut files = objects_in(&root().join("core/tests/objects"));
    files.retain(|f| !ours.iter().any(|o| f.ends_with(o)));
    for (types, same) in [(Types::Own, 36), (Types::Other, 36), (Types::Kernel, 30)] {
        let tally = compare(&files, types);
        assert!(tally.differ.is_empty() && tally.same >= same, "{types:?}: {tally:#?}");
    }
}

#[test]
fn objects_of_a_folder_are_linked_as_libbpf_links_them() {
    let Some(dir) = std::env::var_os("UXDP_OBJECTS") else { return };
    let files = objects_in(Path::new(&dir));
    for types in [Types::Own, Types::Kernel] {
        let tally = compare(&files, types);
        eprintln!(
            "{types:?}: {} the same, {} refused by both, {} by libbpf alone, {} not supported, {} differ",
            tally.same,
            tally.neither,
            tally.ours_alone,
            tally.unsupported.len(),
            tally.differ.len()
        );
        for line in &tally.unsupported {
            eprintln!("  not supported: {line}");
        }
        for line in &tally.differ {
            eprintln!("  differs: {line}");
        }
    }
}
