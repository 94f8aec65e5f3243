//! Objects that clang wrote: what they say is what the loader finds, and what is broken is refused.
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "tests may use std")]

use std::path::{Path, PathBuf};
use uxdp_core::isa::{Callee, Listing, Op, WideImm, decode};
use uxdp_core::maps::{MapSpec, MapType, spec::flags};
use uxdp_core::object::{
    DataKind, FindError, MapOrigin, Object, ObjectErrorKind, ObjectNames, OpenOptions, SlotInit,
};
use uxdp_core::program::{ArgKind, AttachType, Code, Signature};

fn open(bytes: &[u8]) -> Object {
    Object::open(bytes, &OpenOptions { name: "features", ..OpenOptions::default() }).unwrap()
}

const FEATURES: &[u8] = include_bytes!("objects/features.o");
const LEGACY: &[u8] = include_bytes!("objects/legacy.o");
const EXTERNS: &[u8] = include_bytes!("objects/externs.o");

const SECTIONS: &[u8] = include_bytes!("objects/sections.o");

/// Every instruction of a linked program with its pc.
fn ops(code: &Code) -> Vec<(u32, Op)> {
    let mut all = Vec::new();
    let mut pc = 0;
    while (pc as usize) < code.insns.len() {
        let op = decode(&code.insns, pc).unwrap_or_else(|e| panic!("{} at {pc}: {e}", code.name));
        all.push((pc, op));
        pc += op.slots();
    }
    all
}

#[test]
fn programs_carry_section_attach_point_and_autoload() {
    let object = open(FEATURES);
    let rows: Vec<_> = object
        .programs()
        .iter()
        .map(|p| (p.name.as_str(), p.section.as_str(), p.attach, p.frags, p.autoload))
        .collect();
    assert_eq!(
        rows,
        [
            ("tail_target", "xdp", AttachType::Xdp, false, true),
            ("main_prog", "xdp", AttachType::Xdp, false, true),
            ("on_devmap", "xdp.frags/devmap", AttachType::XdpDevmap, true, true),
            ("optional", "xdp", AttachType::Xdp, false, false),
        ]
    );
    assert_eq!(object.license(), Some("Dual MIT/GPL"));
    assert_eq!(object.version(), Some(0x060c00));
    assert!(object.has_btf());
}

#[test]
fn a_program_is_found_by_function_or_by_a_section_of_its_own() {
    let object = open(FEATURES);
    assert_eq!(object.find_program("main_prog"), Ok(1));
    assert_eq!(object.find_program("xdp.frags/devmap"), Ok(2));
    assert_eq!(object.find_program("xdp"), Err(FindError::Ambiguous));
    assert_eq!(object.find_program("leaf"), Err(FindError::NotFound));
}

fn spec(kind: MapType, key_size: u32, value_size: u32, max_entries: u32) -> MapSpec {
    MapSpec::new(kind, key_size, value_size, max_entries)
}

#[test]
fn btf_maps_have_the_sizes_flags_and_contents_of_the_source() {
    let object = open(FEATURES);
    let map = |name: &str| &object.maps()[object.find_map(name).unwrap()];
    let index = |name: &str| object.find_map(name).unwrap() as u32;
    let flows = map("flows");
    let wanted = MapSpec { flags: flags::BPF_F_NO_PREALLOC, ..spec(MapType::Hash, 12, 8, 1024) };
    assert_eq!((flows.spec, flows.pin_by_name, flows.origin), (wanted, true, MapOrigin::Btf));
    let outer = map("outer");
    let inner = Some(spec(MapType::Array, 4, 8, 16).as_inner());
    assert_eq!(outer.spec, MapSpec { inner, ..spec(MapType::ArrayOfMaps, 4, 4, 4) });
    assert_eq!(
        &outer.slots[..],
        [(1, SlotInit::Map(index("inner_b"))), (3, SlotInit::Map(index("inner_a")))]
    );
    let jumps = map("jumps");
    assert_eq!(jumps.spec, spec(MapType::ProgArray, 4, 4, 8));
    assert_eq!(&jumps.slots[..], [(5, SlotInit::Program(0))]);
    assert_eq!(map("stats").spec, MapSpec { numa_node: 1, ..spec(MapType::PercpuArray, 4, 12, 2) });
}

#[test]
fn global_data_becomes_maps_with_the_names_of_libbpf() {
    let object = open(FEATURES);
    let map = |name: &str| &object.maps()[object.find_map(name).unwrap()];
    let rodata = map("features.rodata");
    assert_eq!(rodata.spec, MapSpec { flags: flags::BPF_F_RDONLY_PROG, ..spec(MapType::Array, 4, 4, 1) });
    assert_eq!((&rodata.initial[..], rodata.frozen), (&[7, 0, 0, 0][..], true));
    assert_eq!(rodata.origin, MapOrigin::Data(DataKind::Rodata));
    assert_eq!(&map(".rodata.config").initial[..], &[9, 0, 0, 0]);
    assert_eq!(&map("features.data").initial[..], &[5, 0, 0, 0, 0, 0, 0, 0]);
    let bss = map(".bss");
    assert_eq!((bss.name.as_str(), bss.spec.value_size, bss.initial.len()), ("features.bss", 32, 0));
}

#[test]
fn legacy_maps_and_old_sections_load_without_btf() {
    let object = open(LEGACY);
    assert_eq!(object.maps().len(), 2);
    let first = MapSpec { flags: flags::BPF_F_NO_PREALLOC, ..spec(MapType::Hash, 4, 8, 100) };
    assert_eq!((object.maps()[0].name.as_str(), object.maps()[0].spec), ("first", first));
    assert_eq!(object.maps()[1].spec, spec(MapType::Array, 4, 16, 3));
    let old = object.link(object.find_program("xdp_prog").unwrap()).unwrap();
    let loads: Vec<_> = ops(old.code())
        .into_iter()
        .filter_map(|(_, op)| match op {
            Op::LdImm64 { imm, .. } => Some(imm),
            _ => None,
        })
        .collect();
    assert_eq!(loads, [WideImm::MapIdx(1), WideImm::MapIdx(0)]);
    assert!(object.link(object.find_program("prog").unwrap()).is_ok());
}

#[test]
fn legacy_definition_with_other_fields_set_is_refused() {
    let mut bytes = LEGACY.to_vec();
    let needle = [1u32, 4, 8, 100, 1, 0, 0].map(u32::to_le_bytes).concat();
    let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    bytes[at + 24] = 1;
    let object = open(&bytes);
    assert!(object.find_map("first").is_none() && object.find_map("second").is_some());
    assert_eq!(object.refused_maps()[0].name.as_str(), "first");
    let error = object.link(object.find_program("xdp_prog").unwrap()).unwrap_err();
    assert_eq!(error.kind, ObjectErrorKind::NotSupported);
    assert!(object.link(object.find_program("prog").unwrap()).is_ok(), "a program without that map links");
    assert_eq!(
        error.to_string(),
        "section \"maps\", offset 0x0: a map definition uses fields beyond struct bpf_map_def: \"first\""
    );
}

#[test]
fn linked_program_holds_every_function_it_reaches_once() {
    let object = open(FEATURES);
    let program = object.link(1).unwrap();
    let code = program.code();
    let names: Vec<_> = code.subprogs.iter().map(|s| (s.name.as_str(), s.global)).collect();
    assert_eq!(
        names,
        [("main_prog", false), ("each", false), ("middle", false), ("leaf", false), ("global_fn", true)]
            .map(|(n, g)| (n, g || n == "main_prog"))
    );
    let starts: Vec<u32> = code.subprogs.iter().map(|s| s.start).collect();
    for pair in code.subprogs.windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
    }
    let mut called = Vec::new();
    for (_, op) in ops(code) {
        match op {
            Op::Call(Callee::Local(target)) | Op::LdImm64 { imm: WideImm::Func(target), .. } => {
                called.push(starts.iter().position(|s| *s == target).expect("a target is a function"));
            }
            _ => {}
        }
    }
    assert_eq!(called, [1, 2, 4, 3, 3]);
    let mem = ArgKind::MemOrNull { size: 12 };
    let args = [Some(ArgKind::Ctx), Some(mem), Some(ArgKind::Scalar), None, None];
    assert_eq!(code.subprogs[4].signature, Some(Signature { args, returns_scalar: true }));
}

#[test]
fn functions_of_other_sections_are_linked_and_untyped_entries_are_programs() {
    let object = open(SECTIONS);
    let names: Vec<_> = object.programs().iter().map(|p| (p.name.as_str(), p.insn_count)).collect();
    assert_eq!(names, [("bare_entry", 2), ("shared", 3), ("across", 8)]);
    let program = object.link(2).unwrap();
    let linked: Vec<_> = program.code().subprogs.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(linked, ["across", "shared", "elsewhere"]);
    let bare = object.link(object.find_program("bare").unwrap()).unwrap();
    assert_eq!(ops(bare.code()).len(), 2);
}

#[test]
fn source_lines_follow_functions_through_linking() {
    let object = open(FEATURES);
    let program = object.link(1).unwrap();
    let code = program.code();
    assert!(code.lines.is_sorted_by_key(|l| l.pc));
    let leaf = code.subprogs.iter().find(|s| s.name.as_str() == "leaf").unwrap();
    let texts: Vec<_> =
        (leaf.start..leaf.end).filter_map(|pc| code.line_at(pc)).map(|l| code.string(l.text)).collect();
    assert!(texts.contains(&"return x * limit;"), "{texts:?}");
    let line = code.line_at(leaf.end - 1).unwrap();
    assert!(code.string(line.file).ends_with("features.c"), "{}", code.string(line.file));
}

#[test]
fn listing_shows_functions_lines_and_the_names_of_maps() {
    let object = open(FEATURES);
    let program = object.link(0).unwrap();
    let names = ObjectNames::new(&object, program.code());
    let text = Listing::new(&program.code().insns, &names).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        ["tail_target:", "; int tail_target(struct xdp_md *ctx) @ features.c:104", "0: (b4) w1 = 1"],
        "{text}"
    );
    for line in ["(18) r1 = map[outer]", "(85) call bpf_map_lookup_elem#1", "#leaf", "leaf:"] {
        assert!(lines.iter().any(|l| l.ends_with(line)), "{line} in {text}");
    }
}

#[test]
fn references_to_globals_carry_map_and_offset() {
    let object = open(FEATURES);
    let program = object.link(1).unwrap();
    let bss = object.find_map(".bss").unwrap() as u32;
    let offs: Vec<_> = ops(program.code())
        .into_iter()
        .filter_map(|(_, op)| match op {
            Op::LdImm64 { imm: WideImm::MapIdxValue { idx, off }, .. } if idx == bss => Some(off),
            _ => None,
        })
        .collect();
    assert_eq!(offs, [0, 8]); // misses, then seen[]
}

#[test]
fn symbols_from_elsewhere_are_called_refused_or_absent() {
    let object = open(EXTERNS);
    let link = |name: &str| object.link(object.find_program(name).unwrap());
    let kfunc = link("calls_kfunc").unwrap();
    let called = ops(kfunc.code()).into_iter().find_map(|(_, op)| match op {
        Op::Call(Callee::Kfunc { id, .. }) => Some(id),
        _ => None,
    });
    assert_eq!(object.kfunc_name(called.unwrap()), Some("bpf_xdp_metadata_rx_hash"));
    let weak = link("calls_weak").unwrap();
    assert!(
        matches!(ops(weak.code())[0].1, Op::LdImm64 { imm: WideImm::Imm(0), .. })
            || weak.code().insns.len() > 2
    );
    let kconfig = link("reads_kconfig").unwrap_err();
    assert!(kconfig.to_string().ends_with(".kconfig) are not supported: \"CONFIG_HZ\""), "{kconfig}");
    let nothing = link("calls_nothing").unwrap_err();
    assert_eq!(nothing.kind, ObjectErrorKind::Undefined);
    assert!(nothing.to_string().ends_with("a symbol is not defined: \"nowhere\""), "{nothing}");
    assert_eq!(object.core_relocs(), 1);
    assert!(link("uses_core").is_ok());
}

#[test]
fn adjusting_checks_what_it_is_given() {
    use uxdp_core::error::Errno;
    let mut object = open(FEATURES);
    let (flows, rodata) = (object.find_map("flows").unwrap(), object.find_map(".rodata").unwrap());
    assert_eq!(object.set_max_entries(flows, 9), Ok(()));
    assert_eq!(object.maps()[flows].spec.max_entries, 9);
    assert_eq!(object.set_max_entries(flows, 0), Err(Errno::EINVAL));
    assert_eq!(object.set_max_entries(rodata, 2), Err(Errno::EINVAL));
    assert_eq!(object.set_max_entries(1000, 2), Err(Errno::ENOENT));
    assert_eq!(object.set_initial_value(rodata, &[1, 2, 3, 4]), Ok(()));
    assert_eq!(object.set_initial_value(rodata, &[1]), Err(Errno::EINVAL));
    assert_eq!(object.set_initial_value(flows, &[0; 8]), Err(Errno::EINVAL));
    assert_eq!(object.set_autoload(3, true), Ok(()));
    assert!(object.programs()[3].autoload);
    assert_eq!(object.set_autoload(9, true), Err(Errno::ENOENT));
}

#[test]
fn files_that_are_no_bpf_objects_are_named_as_such() {
    let refused = |bytes: &[u8]| Object::open(bytes, &OpenOptions::default()).unwrap_err();
    for bytes in [&b""[..], b"\x7fEL", b"#!/bin/sh\n", &[0; 4096], &std::fs::read("/proc/self/exe").unwrap()]
    {
        assert_eq!(refused(bytes).kind, ObjectErrorKind::NotBpf);
    }
}

/// Opens whatever it is and links all of its programs; only a panic is wrong.
fn try_all(bytes: &[u8]) -> bool {
    let Ok(object) = Object::open(bytes, &OpenOptions { name: "broken", ..OpenOptions::default() }) else {
        return false;
    };
    for index in 0..object.programs().len() {
        if let Ok(program) = object.link(index) {
            for pc in 0..program.code().insns.len() as u32 {
                let _ = decode(&program.code().insns, pc);
            }
        }
    }
    true
}

#[test]
fn every_truncation_is_opened_or_refused() {
    for object in [FEATURES, LEGACY, EXTERNS] {
        assert!(try_all(object));
        for len in 0..object.len() {
            try_all(&object[..len]);
        }
    }
}

#[test]
fn every_wrong_byte_in_the_headers_is_opened_or_refused() {
    let some = |byte: u8| {
        [byte ^ 1, byte ^ 2, byte ^ 4, byte ^ 0x80, byte.wrapping_add(1), byte.wrapping_sub(1), 0, 8, 255]
    };
    for (object, all) in [(LEGACY, true), (FEATURES, false)] {
        let mut bytes = object.to_vec();
        let table = u64::from_le_bytes(object[40..48].try_into().unwrap()) as usize;
        for at in (0..64).chain(table..object.len()) {
            let values: Vec<u8> = if all { (0..=255).collect() } else { some(object[at]).to_vec() };
            for value in values {
                bytes[at] = value;
                try_all(&bytes);
            }
            bytes[at] = object[at];
        }
    }
}

#[test]
fn every_flipped_bit_of_the_file_is_opened_or_refused() {
    for object in [FEATURES, LEGACY, EXTERNS] {
        let mut bytes = object.to_vec();
        for at in 0..object.len() {
            for mask in [0x01, 0x10, 0x80, 0xff] {
                bytes[at] ^= mask;
                try_all(&bytes);
                bytes[at] = object[at];
            }
        }
    }
}

#[test]
fn a_misaligned_file_is_read_as_well() {
    let mut shifted = vec![0; 1];
    shifted.extend_from_slice(FEATURES);
    assert!(try_all(&shifted[1..]));
}

fn objects_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            objects_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "o") {
            found.push(path);
        }
    }
}

#[test]
fn all_programs_of_the_repository_link_and_decode() {
    let mut found = Vec::new();
    objects_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj"), &mut found);
    assert!(found.len() >= 13, "{found:?}");
    for path in found {
        let object = open(&std::fs::read(&path).unwrap());
        assert!(!object.programs().is_empty(), "{path:?}");
        for index in 0..object.programs().len() {
            ops(object.link(index).unwrap_or_else(|e| panic!("{path:?}: {e}")).code());
        }
    }
}
