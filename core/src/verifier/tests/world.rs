//! The maps and helpers that every case is verified against, and the way from text to a verdict.

use super::asm::assemble;
use crate::helpers::{Access, ArgType as A, Helper, HelperSet, Proto, RetType};
use crate::maps::spec::flags::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use crate::maps::{MapSpec, MapType};
use crate::program::{AttachType, Code, Signature, Subprog};
use crate::verifier::input::MapInfo;
use crate::verifier::{Proof, Rejection, VerifyOptions, prove};
use crate::vm::Ctx;

unsafe extern "C" fn nothing(_: u64, _: u64, _: u64, _: u64, _: u64, _: *mut Ctx) -> u64 {
    0
}

const fn row(id: u32, name: &'static str, args: [A; 5], ret: RetType, changes_packet: bool, maps: &'static [MapType]) -> Helper {
    Helper { id, name, proto: Proto { args, ret, changes_packet, maps }, func: nothing }
}

const NO: A = A::DontCare;
const READ: A = A::Mem { access: Access::Read, nullable: false };
const READ_OR_NULL: A = A::Mem { access: Access::Read, nullable: true };
const WRITE: A = A::Mem { access: Access::Write, nullable: false };
const LOOKUP: &[MapType] = &[
    MapType::Hash,
    MapType::Array,
    MapType::PercpuHash,
    MapType::PercpuArray,
    MapType::LruHash,
    MapType::LruPercpuHash,
    MapType::LpmTrie,
];

static HELPERS: &[Helper] = &[
    row(1, "bpf_map_lookup_elem", [A::ConstMapPtr, A::MapKey, NO, NO, NO], RetType::MapValueOrNull, false, LOOKUP),
    row(2, "bpf_map_update_elem", [A::ConstMapPtr, A::MapKey, A::MapValue(Access::Read), A::Anything, NO], RetType::Integer, false, LOOKUP),
    row(3, "bpf_map_delete_elem", [A::ConstMapPtr, A::MapKey, NO, NO, NO], RetType::Integer, false, LOOKUP),
    row(5, "bpf_ktime_get_ns", [NO, NO, NO, NO, NO], RetType::Integer, false, &[]),
    row(6, "bpf_trace_printk", [READ, A::ConstSize, A::Anything, A::Anything, A::Anything], RetType::Integer, false, &[]),
    row(7, "bpf_get_prandom_u32", [NO, NO, NO, NO, NO], RetType::Integer, false, &[]),
    row(8, "bpf_get_smp_processor_id", [NO, NO, NO, NO, NO], RetType::Integer, false, &[]),
    row(12, "bpf_tail_call", [A::Ctx, A::ConstMapPtr, A::Anything, NO, NO], RetType::TailCall, true, &[MapType::ProgArray]),
    row(28, "bpf_csum_diff", [READ_OR_NULL, A::ConstSizeOrZero, READ_OR_NULL, A::ConstSizeOrZero, A::Anything], RetType::Integer, false, &[]),
    row(44, "bpf_xdp_adjust_head", [A::Ctx, A::Anything, NO, NO, NO], RetType::Integer, true, &[]),
    row(54, "bpf_xdp_adjust_meta", [A::Ctx, A::Anything, NO, NO, NO], RetType::Integer, true, &[]),
    row(65, "bpf_xdp_adjust_tail", [A::Ctx, A::Anything, NO, NO, NO], RetType::Integer, true, &[]),
    row(182, "bpf_strncmp", [READ, A::ConstSize, A::ConstStr, NO, NO], RetType::Integer, false, &[]),
    row(188, "bpf_xdp_get_buff_len", [A::Ctx, NO, NO, NO, NO], RetType::Integer, false, &[]),
    row(189, "bpf_xdp_load_bytes", [A::Ctx, A::Anything, WRITE, A::ConstSize, NO], RetType::Integer, false, &[]),
    row(190, "bpf_xdp_store_bytes", [A::Ctx, A::Anything, READ, A::ConstSize, NO], RetType::Integer, false, &[]),
];

pub(crate) const fn helpers() -> HelperSet {
    HelperSet::new(HELPERS)
}

const fn spec(kind: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec { kind, key_size, value_size, max_entries, flags, extra: 0, numa_node: -1 }
}

/// map0: array of 4 values of 64 bytes; map1: hash, 8-byte keys, 16-byte values; map2: programs; map3: frozen constants ("GET" at 8, 7 at 0);
/// map4: one value of 32 bytes, as .bss; map5: programs may not read it; map6: per-CPU array; map7: hash with 4-byte keys.
pub(crate) const SPECS: [MapSpec; 8] = [
    spec(MapType::Array, 4, 64, 4, 0),
    spec(MapType::Hash, 8, 16, 8, 0),
    spec(MapType::ProgArray, 4, 4, 4, 0),
    spec(MapType::Array, 4, 32, 1, BPF_F_RDONLY_PROG),
    spec(MapType::Array, 4, 32, 1, 0),
    spec(MapType::Array, 4, 16, 1, BPF_F_WRONLY_PROG),
    spec(MapType::PercpuArray, 4, 8, 2, 0),
    spec(MapType::Hash, 4, 8, 8, 0),
];

pub(crate) const FROZEN: [u8; 32] = *b"\x07\0\0\0\0\0\0\0GET\0aaaaaaaaaaaaaaaaaaaa";

pub(crate) fn maps() -> Vec<MapInfo<'static>> {
    let info = |(i, spec): (usize, &MapSpec)| MapInfo {
        spec: *spec,
        name: "map",
        frozen: (i == 3).then_some(&FROZEN[..]),
    };
    SPECS.iter().enumerate().map(info).collect()
}

/// A program from text; functions named `g…` are global with the given signature.
pub(crate) fn program(text: &str, signature: Option<Signature>) -> Code {
    let out = assemble(text);
    let mut subprogs = crate::mem::Vec::new();
    for (i, (name, start)) in out.functions.iter().enumerate() {
        let end = out.functions.get(i + 1).map_or(out.insns.len() as u32, |f| f.1);
        let global = name.starts_with('g');
        subprogs
            .push(Subprog {
                name: crate::mem::String::from_text(name).unwrap(),
                start: *start,
                end,
                global,
                signature: signature.filter(|_| global),
            })
            .unwrap();
    }
    Code {
        name: crate::mem::String::from_text("prog").unwrap(),
        insns: crate::mem::Vec::from_slice(&out.insns).unwrap(),
        subprogs,
        attach: if text.contains("devmap") { AttachType::XdpDevmap } else { AttachType::Xdp },
        ..Code::default()
    }
}

pub(crate) fn check(code: &Code, level: u32, log: &mut String) -> Result<Proof, Rejection> {
    let opts = VerifyOptions { log_level: level, ..VerifyOptions::default() };
    prove(code, &maps(), helpers(), &opts, log)
}

/// The verdict on a program: `None` is accepted.
pub(crate) fn verdict(text: &str) -> Option<String> {
    let mut log = String::new();
    check(&program(text, None), 0, &mut log).err().map(|r| r.to_string())
}
