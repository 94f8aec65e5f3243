//! CO-RE against an object's own types and against others, and what functions and maps say of themselves: `objects/core.c`, `core_target.c`, `tags.c`.
#![expect(clippy::disallowed_methods, reason = "tests may use std")]

use uxdp_core::helpers::{KFUNC_BASE, STANDARD};
use uxdp_core::isa::{Insn, Listing, op};
use uxdp_core::maps::{MapType, ValueFields};
use uxdp_core::mem;
use uxdp_core::object::{Object, ObjectErrorKind, ObjectNames, OpenOptions};
use uxdp_core::program::{ArgKind, Code, Loaded, POISON_CORE, POISON_KFUNC, Program};
use uxdp_core::verifier::{VerifyOptions, verify};

const CORE: &[u8] = include_bytes!("objects/core.o");
const TARGET: &[u8] = include_bytes!("objects/core_target.o");
const TAGS: &[u8] = include_bytes!("objects/tags.o");

fn own() -> Object {
    Object::open(CORE, &OpenOptions::default()).unwrap()
}

fn against(btf: &[u8]) -> Object {
    Object::open(CORE, &OpenOptions { btf: Some(btf), ..OpenOptions::default() }).unwrap()
}

fn link(object: &Object, program: &str) -> Program<Loaded> {
    object.link(object.find_program(program).unwrap()).unwrap_or_else(|e| panic!("{program}: {e}"))
}

const POISON: Insn = Insn { code: op::BPF_JMP | op::BPF_CALL, regs: 0, off: 0, imm: POISON_CORE };

#[test]
fn every_question_is_answered_for_own_and_for_other_types() {
    let (own, other) = (own(), against(TARGET));
    for (program, of_own, of_other) in [
        ("offset_of_b", 4, Some(8)),
        ("offset_of_nested", 12, Some(24)),
        ("offset_of_element", 24, Some(40)),
        ("size_of_wide", 4, Some(8)),
        ("size_of_list", 16, Some(32)),
        ("has_b", 1, Some(1)),
        ("has_gone", 1, Some(0)),
        ("sign_of_a", 1, Some(1)),
        ("sign_of_wide", 0, Some(0)),
        ("sign_of_high", 1, Some(1)),
        ("offset_of_mid", 32, Some(68)),
        ("size_of_mid", 4, Some(4)),
        ("left_of_mid", 64 - 10, Some(64 - 12)),
        ("right_of_mid", 64 - 7, Some(64 - 9)),
        ("has_type", 1, Some(1)),
        ("has_absent", 1, Some(0)),
        ("has_typedef", 1, Some(1)),
        ("size_of_type", 64, Some(40112)),
        ("matches_alike", 1, Some(1)),
        ("matches_unlike", 1, Some(0)),
        ("has_green", 1, Some(1)),
        ("has_blue", 1, Some(0)),
        ("has_purple", 1, Some(0)),
        ("value_of_green", 2, Some(70)),
        ("value_of_blue", 3, None),
        ("offset_in_twice", 0, Some(-1)),
        ("offset_in_absent", 0, None),
    ] {
        assert_eq!(link(&own, program).code().insns[0].imm, of_own, "{program}");
        match of_other {
            Some(-1) => {
                let error = other.link(other.find_program(program).unwrap()).unwrap_err();
                assert!(error.to_string().ends_with("ambiguous in the target's types: \"twice\""), "{error}");
            }
            Some(value) => assert_eq!(link(&other, program).code().insns[0].imm, value, "{program}"),
            None => assert_eq!(link(&other, program).code().insns[0], POISON, "{program}"),
        }
    }
    let upper = |object: &Object| link(object, "value_of_big").code().insns[1].imm;
    assert_eq!((upper(&own), upper(&other)), (1, 5));
    let id = |object: &Object, program: &str| link(object, program).code().insns[0].imm;
    assert_ne!(id(&own, "target_id"), id(&other, "target_id"));
    assert_eq!(id(&other, "target_id_of_absent"), 0);
    assert_eq!(id(&own, "local_id"), id(&other, "local_id"));
}

/// The access of a program, behind the loads of the packet's ends.
fn access(object: &Object, program: &str, at: usize) -> Insn {
    link(object, program).code().insns[at]
}

#[test]
fn accesses_move_and_change_their_size_where_that_reads_the_same() {
    let (own, other) = (own(), against(TARGET));
    let load = |size, off| (op::BPF_LDX | op::BPF_MEM | size, off);
    let store = |off| (op::BPF_STX | op::BPF_MEM | op::BPF_W, off);
    for (program, at, of_own, of_other) in [
        ("loads_b", 6, load(op::BPF_W, 4), load(op::BPF_W, 8)),
        ("loads_wide", 6, load(op::BPF_W, 36), load(op::BPF_DW, 72)),
        ("loads_small", 6, load(op::BPF_B, 40), load(op::BPF_H, 80)),
        ("stores_b", 7, store(4), store(8)),
    ] {
        let parts = |insn: Insn| (insn.code, insn.off);
        assert_eq!(parts(access(&own, program, at)), of_own, "{program}");
        assert_eq!(parts(access(&other, program, at)), of_other, "{program}");
    }
    assert_eq!(access(&other, "loads_grows", 6), POISON, "a signed field that grew would read differently");
    let error = other.link(other.find_program("loads_last").unwrap()).unwrap_err();
    assert_eq!(error.kind, ObjectErrorKind::TooBig);
}

#[test]
fn what_is_missing_refuses_a_program_only_where_it_is_reached() {
    let other = against(TARGET);
    let mut log = String::new();
    let mut judge = |program: &str| {
        log.clear();
        let options = VerifyOptions::default();
        let verdict = verify(link(&other, program), mem::Vec::new(), STANDARD, &options, &mut log);
        (verdict.map(|_| ()).map_err(|e| e.to_string()), log.clone())
    };
    assert_eq!(judge("loads_gone_if_there").0, Ok(()));
    let (verdict, log) = judge("loads_gone");
    assert_eq!(verdict, Err("<invalid CO-RE relocation>".to_owned()));
    assert!(
        log.contains(
            "failed to resolve CO-RE relocation <byte_off> [27] struct parts___old.gone (0:0 @ offset 0)"
        ),
        "{log}"
    );
    let (_, log) = judge("value_of_blue");
    assert!(log.contains("<enumval_value> [") && log.contains("] enum color::BLUE = 3"), "{log}");
}

/// Everything that the object says, with a table of types damaged at one place: no answer is wanted, only that there is one.
#[test]
fn damaged_types_are_refused_or_answered() {
    let sections = |bytes: &[u8]| {
        let at = bytes.windows(4).position(|w| w == [0x9f, 0xeb, 1, 0]).unwrap();
        at..bytes.len().min(at + 1200)
    };
    for at in sections(TARGET) {
        for flip in [1, 0x80, 0xff] {
            let mut target = TARGET.to_vec();
            target[at] ^= flip;
            let options = OpenOptions { btf: Some(&target), ..OpenOptions::default() };
            let Ok(object) = Object::open(CORE, &options) else { continue };
            for program in 0..object.programs().len() {
                let _ = object.link(program);
            }
        }
    }
    for at in sections(CORE) {
        let mut bytes = CORE.to_vec();
        bytes[at] ^= 1;
        let options = OpenOptions { btf: Some(TARGET), ..OpenOptions::default() };
        let Ok(object) = Object::open(&bytes, &options) else { continue };
        for program in 0..object.programs().len() {
            let _ = object.link(program);
        }
    }
    for cut in 0..64 {
        assert!(Object::open(CORE, &OpenOptions { btf: Some(&TARGET[..cut]), name: "" }).is_err());
    }
}

fn tags() -> Object {
    Object::open(TAGS, &OpenOptions { name: "tags", ..OpenOptions::default() }).unwrap()
}

fn function<'c>(code: &'c Code, name: &str) -> &'c uxdp_core::program::Subprog {
    code.subprogs.iter().find(|s| s.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn tags_and_linkage_say_what_a_function_takes() {
    let object = tags();
    let all = link(&object, "calls_all");
    let code = all.code();
    let args = |name: &str| {
        function(code, name).signature.map(|s| s.args.map(|a| a.unwrap_or(ArgKind::Unsupported)))
    };
    let wanted = [
        ArgKind::Ctx,
        ArgKind::Mem { size: 8 },
        ArgKind::MemOrNull { size: 8 },
        ArgKind::Scalar,
        ArgKind::Unsupported,
    ];
    assert_eq!(args("tagged"), Some(wanted));
    for (name, global) in
        [("tagged", true), ("hidden", false), ("weak", true), ("by_symbol", true), ("by_section", false)]
    {
        assert_eq!(function(code, name).global, global, "{name}");
    }
    let callbacks: Vec<_> =
        code.insns.iter().filter(|i| i.is_wide() && i.src() == op::BPF_PSEUDO_FUNC).collect();
    assert_eq!(callbacks.len(), 2);
    let typed = link(&object, "calls_typed");
    let kinds = |name: &str| function(typed.code(), name).signature.unwrap().args;
    assert_eq!(kinds("flavoured")[..2], [Some(ArgKind::Ctx), Some(ArgKind::Dynptr)]);
    assert_eq!(kinds("refused")[0], Some(ArgKind::Unsupported));
}

#[test]
fn locks_and_timers_are_found_where_they_have_a_meaning() {
    let object = tags();
    let fields = |name: &str| object.maps()[object.find_map(name).unwrap()].spec.fields;
    assert_eq!(fields("locked"), ValueFields { spin_lock: Some(4), timer: Some(8) });
    assert_eq!(fields("unlocked"), ValueFields::default(), "not in a map per CPU");
    let lock = fields(".bss.A").spin_lock.unwrap();
    assert!(lock % 4 == 0 && fields(".bss.A").timer.is_none());
    assert_eq!(object.maps()[object.find_map(".bss.A").unwrap()].spec.kind, MapType::Array);
    assert!(object.link(object.find_program("locks").unwrap()).is_ok());
}

#[test]
fn maps_that_need_a_kernel_refuse_only_the_programs_that_use_them() {
    let object = tags();
    let refusal = |program: &str| object.link(object.find_program(program).unwrap()).unwrap_err().to_string();
    assert!(refusal("uses_pointers").ends_with("the map value holds a kernel pointer: \"pointers\""));
    assert!(refusal("uses_sockets").ends_with("maps of type sockmap are not supported: \"sockets\""));
    let names: Vec<_> = object.refused_maps().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["pointers", "sockets"]);
}

#[test]
fn a_program_of_another_type_is_ignored_and_refused_when_chosen() {
    let object = tags();
    let index = object.find_program("of_another_type").unwrap();
    let def = &object.programs()[index];
    assert!(def.foreign && !def.autoload);
    let error = object.link(index).unwrap_err();
    assert_eq!(error.kind, ObjectErrorKind::NotSupported);
    assert!(error.to_string().ends_with("not XDP: \"of_another_type\""), "{error}");
}

#[test]
fn kernel_functions_are_numbered_when_known_and_absent_when_weak() {
    let object = tags();
    let program = link(&object, "calls_kernel");
    let code = program.code();
    let number = STANDARD.kfunc("bpf_xdp_metadata_rx_hash").unwrap();
    assert!(number >= KFUNC_BASE);
    let calls: Vec<_> = code
        .insns
        .iter()
        .filter(|i| i.code == op::BPF_JMP | op::BPF_CALL)
        .map(|i| (i.src(), i.imm))
        .collect();
    assert!(
        calls.iter().filter(|c| **c == (op::BPF_PSEUDO_KFUNC_CALL, number as i32)).count() >= 2,
        "{calls:?}"
    );
    assert!(calls.iter().any(|(src, imm)| *src == 0 && *imm >= POISON_KFUNC), "{calls:?}");
    let missing: Vec<_> = code.unresolved.iter().map(|u| u.why.as_str()).collect();
    assert_eq!(missing, ["kfunc 'maybe_there' is referenced but wasn't resolved"]);
    let constants: Vec<_> = code.insns.iter().filter(|i| i.is_wide()).map(|i| (i.src(), i.imm)).collect();
    assert_eq!(constants, [(0, number as i32), (0, 0)]);
    assert_eq!(object.kfunc_name(number as i32), Some("bpf_xdp_metadata_rx_hash"));
    let names = ObjectNames::new(&object, code);
    let listing = Listing::new(&code.insns, &names).to_string();
    assert!(listing.contains("bpf_xdp_metadata_rx_hash"), "{listing}");
}
