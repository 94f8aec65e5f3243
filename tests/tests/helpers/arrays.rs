//! Which programs meet in maps that hold programs: those that differ in `xdp.frags` or attach elsewhere do not. The same steps here and on Linux.

use crate::linux;
use crate::row::plain_env;
use libbpf_sys as bpf;
use std::ffi::c_void;
use std::ptr;
use uxdp_core::error::Errno;
use uxdp_core::isa::{Insn, op};
use uxdp_core::maps::{Map, MapSpec, MapType};
use uxdp_core::mem;
use uxdp_core::program::{AttachType, Code, Program, Subprog};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{VerifyOptions, verify};
use uxdp_core::vm::{EngineChoice, Env, MapDef, Prog, create_maps, install};

/// A program: its section, and whether it makes a tail call through the array of the case, or redirects through the map.
#[derive(Clone, Copy)]
struct Kind {
    attach: AttachType,
    frags: bool,
    calls: bool,
}

const PLAIN: Kind = Kind { attach: AttachType::Xdp, frags: false, calls: false };
const FRAGS: Kind = Kind { frags: true, ..PLAIN };
const DEVICE: Kind = Kind { attach: AttachType::XdpDevmap, ..PLAIN };
const DEVICE_FRAGS: Kind = Kind { frags: true, ..DEVICE };
const CPU: Kind = Kind { attach: AttachType::XdpCpumap, ..PLAIN };
const CPU_FRAGS: Kind = Kind { frags: true, ..CPU };
const PLAIN_CALLS: Kind = Kind { calls: true, ..PLAIN };
const FRAGS_CALLS: Kind = Kind { calls: true, ..FRAGS };
const DEVICE_CALLS: Kind = Kind { calls: true, ..DEVICE };

/// What a case does one after the other: load a program that calls, put one that does not into an entry, or empty the entry.
#[derive(Clone, Copy)]
enum Step {
    Load(Kind),
    Put(u32, Kind),
    Empty(u32),
    /// A program into an entry of a device or CPU map: key, number, program, flags.
    Enter(u32, u32, Kind, u64),
}

use Step::{Empty, Enter, Load, Put};

const CASES: &[&[Step]] = &[
    &[Put(0, PLAIN), Put(1, FRAGS), Put(1, PLAIN), Load(FRAGS_CALLS), Load(PLAIN_CALLS)],
    &[Put(0, PLAIN), Empty(0), Put(0, FRAGS), Load(FRAGS_CALLS)],
    &[Put(0, FRAGS), Put(1, PLAIN), Load(PLAIN_CALLS), Load(FRAGS_CALLS), Put(1, FRAGS)],
    &[Load(FRAGS_CALLS), Put(0, PLAIN), Put(0, FRAGS), Load(PLAIN_CALLS)],
    &[Load(PLAIN_CALLS), Put(0, FRAGS), Put(0, PLAIN), Load(FRAGS_CALLS)],
    &[Put(9, FRAGS), Put(0, PLAIN), Put(0, FRAGS)],
    &[Put(0, DEVICE), Put(0, FRAGS), Put(1, PLAIN)],
    &[Load(DEVICE_CALLS), Put(0, PLAIN), Put(1, FRAGS)],
];

/// A loopback device, and a length of a queue.
const ONE: u32 = 1;
/// A queue that is too long, and an interface that there is not.
const WRONG: u32 = 70_000;

/// The same steps for a map whose programs are of the first kind, then the second: what is made for it and what is not.
fn entered(kind: Kind, frags: Kind, other: Kind) -> Vec<Vec<Step>> {
    let put = |kind| Enter(0, ONE, kind, 0);
    vec![
        vec![put(kind), put(frags), put(kind), Load(FRAGS_CALLS), Load(PLAIN_CALLS)],
        vec![put(frags), put(kind), Load(PLAIN_CALLS), Load(FRAGS_CALLS), Empty(0), put(kind)],
        vec![Load(FRAGS_CALLS), put(kind), put(frags), Load(PLAIN_CALLS)],
        vec![put(PLAIN), put(other), put(FRAGS), put(frags)],
        // What is looked at first.
        vec![
            put(frags),
            Enter(9, ONE, kind, 0),
            Enter(0, WRONG, kind, 0),
            Enter(0, 0, kind, 0),
            Enter(0, 0, frags, 0),
        ],
        vec![
            put(frags),
            Enter(0, ONE, kind, 1),
            Enter(0, ONE, frags, 1),
            Enter(0, ONE, kind, 9),
            Enter(9, WRONG, kind, 9),
        ],
        vec![
            Enter(9, ONE, PLAIN, 0),
            Enter(0, WRONG, PLAIN, 0),
            Enter(0, 0, PLAIN, 0),
            Enter(0, ONE, kind, 2),
            put(frags),
        ],
    ]
}

/// The instructions of a program; `map` is what stands for the array in the wide one, and `source` says how.
fn insns(of: MapType, kind: Kind, source: u8, map: i32) -> Vec<Insn> {
    let mov = |dst, imm| Insn::new(op::BPF_ALU64 | op::BPF_MOV | op::BPF_K, dst, 0, 0, imm);
    // (context, map, index), or (map, index, flags).
    let (at, helper) = if of == MapType::ProgArray { (2, 12) } else { (1, 51) };
    let call = [
        Insn::new(op::LD_IMM64, at, source, 0, map),
        Insn::default(),
        mov(at + 1, 0),
        mov(3, 0),
        Insn::new(op::BPF_JMP | op::BPF_CALL, 0, 0, 0, helper),
    ];
    let end = [mov(0, 2), Insn::new(op::BPF_JMP | op::BPF_EXIT, 0, 0, 0, 0)];
    if kind.calls { [&call[..], &end].concat() } else { end.to_vec() }
}

fn value_size(of: MapType) -> u32 {
    if of == MapType::ProgArray { 4 } else { 8 }
}

/// 0, or a negative error number.
type Answer = i32;

fn answer(result: Result<(), Errno>) -> Answer {
    result.map_or_else(|e| -e.0, |()| 0)
}

fn load_here(env: &Arc<Env>, kind: Kind, map: &Arc<Map>) -> Result<Arc<Prog>, Errno> {
    let insns = insns(map.spec().kind, kind, op::BPF_PSEUDO_MAP_IDX, 0);
    let mut code = Code { attach: kind.attach, frags: kind.frags, ..Code::default() };
    code.subprogs.push(Subprog { end: insns.len() as u32, ..Subprog::default() }).unwrap();
    code.insns.extend_from_slice(&insns).unwrap();
    let maps = mem::Vec::from_slice(if kind.calls { std::slice::from_ref(map) } else { &[] }).unwrap();
    let mut log = String::new();
    let proven =
        verify(Program::new(code), maps, env.helpers(), &VerifyOptions::default(), &mut log).unwrap();
    install(env, proven, EngineChoice::Best)
}

fn here(of: MapType, steps: &[Step]) -> Vec<Answer> {
    let env = plain_env();
    let spec = MapSpec::new(of, 4, value_size(of), 4);
    let map = create_maps(&env, &[MapDef { name: "progs", spec, reuse: None }], None).unwrap()[0].clone();
    let answers = steps.iter().map(|step| match *step {
        Load(kind) => answer(load_here(&env, kind, &map).map(drop)),
        Put(at, kind) => {
            let prog = load_here(&env, kind, &map).unwrap();
            answer(env.set_prog(&map, at, Some(&prog)))
        }
        Enter(key, number, kind, flags) => {
            let prog = load_here(&env, kind, &map).unwrap();
            let value = u64::from(number).to_le_bytes();
            answer(env.set_target(&map, &key.to_le_bytes(), &value, Some(&prog), flags))
        }
        Empty(at) if of == MapType::ProgArray => answer(env.set_prog(&map, at, None)),
        Empty(at) => answer(env.delete_elem(&map, &at.to_le_bytes())),
    });
    let answers = answers.collect();
    map.drop_user(&mut |old| env.retire(old));
    answers
}

/// A descriptor, or the system's error number, negative.
fn load_there(of: MapType, kind: Kind, map: i32) -> i32 {
    let insns = insns(of, kind, op::BPF_PSEUDO_MAP_FD, map);
    let opts = bpf::bpf_prog_load_opts {
        sz: size_of::<bpf::bpf_prog_load_opts>() as _,
        expected_attach_type: match kind.attach {
            AttachType::Xdp => bpf::BPF_XDP,
            AttachType::XdpDevmap => bpf::BPF_XDP_DEVMAP,
            AttachType::XdpCpumap => bpf::BPF_XDP_CPUMAP,
        },
        prog_flags: if kind.frags { bpf::BPF_F_XDP_HAS_FRAGS } else { 0 },
        ..Default::default()
    };
    // SAFETY: instructions and options outlive the call; ours have the kernel's layout.
    unsafe {
        bpf::bpf_prog_load(
            bpf::BPF_PROG_TYPE_XDP,
            ptr::null(),
            c"GPL".as_ptr(),
            insns.as_ptr().cast(),
            insns.len() as _,
            (&raw const opts).cast_mut(),
        )
    }
}

fn close(fd: i32) {
    // SAFETY: the caller's own descriptor, used no more.
    unsafe { libc::close(fd) };
}

fn there(of: MapType, steps: &[Step]) -> Vec<Answer> {
    // SAFETY: plain numbers, and no options.
    let map = unsafe { bpf::bpf_map_create(of as u32, ptr::null(), 4, value_size(of), 4, ptr::null()) };
    assert!(map >= 0, "{of:?}: {map}");
    let at = |index: &u32| ptr::from_ref(index).cast::<c_void>();
    let answers = steps.iter().map(|step| match *step {
        Load(kind) => {
            let fd = load_there(of, kind, map);
            if fd >= 0 {
                close(fd);
            }
            fd.min(0)
        }
        Put(index, kind) => {
            let fd = load_there(of, kind, map);
            assert!(fd >= 0, "a program without calls: {fd}");
            // SAFETY: key and value have four bytes each.
            let done = unsafe { bpf::bpf_map_update_elem(map, at(&index), (&raw const fd).cast(), 0) };
            close(fd);
            done
        }
        Enter(key, number, kind, flags) => {
            let fd = load_there(of, kind, map);
            assert!(fd >= 0, "a program without calls: {fd}");
            let value = [number, fd as u32];
            // SAFETY: the key has four bytes, the value eight.
            let done = unsafe { bpf::bpf_map_update_elem(map, at(&key), value.as_ptr().cast(), flags) };
            close(fd);
            done
        }
        // SAFETY: the key has four bytes.
        Empty(index) => unsafe { bpf::bpf_map_delete_elem(map, at(&index)) },
    });
    let answers = answers.collect();
    close(map);
    answers
}

#[test]
fn programs_meet_in_maps_as_on_linux() {
    let ask = linux::can_ask();
    if !ask {
        linux::skip("bpf(2) is not permitted");
    }
    let mut refused = 0;
    let cases = CASES.iter().map(|steps| (MapType::ProgArray, steps.to_vec()));
    let devices = entered(DEVICE, DEVICE_FRAGS, CPU).into_iter().map(|steps| (MapType::Devmap, steps));
    let cpus = entered(CPU, CPU_FRAGS, DEVICE).into_iter().map(|steps| (MapType::Cpumap, steps));
    let hashed = entered(DEVICE, DEVICE_FRAGS, CPU).into_iter().map(|steps| (MapType::DevmapHash, steps));
    for (n, (of, steps)) in cases.chain(devices).chain(cpus).chain(hashed).enumerate() {
        let ours = here(of, &steps);
        refused += ours.iter().filter(|a| **a != 0).count();
        if ask {
            assert_eq!(ours, there(of, &steps), "case {n}, {of:?}");
        }
    }
    assert!(refused > 2 * CASES.len(), "{refused} steps were refused");
}
