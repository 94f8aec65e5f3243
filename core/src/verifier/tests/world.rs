//! The maps that every case is verified against, and the way from text to a verdict.

use super::asm::assemble;
use crate::helpers::STANDARD;
use crate::maps::spec::flags::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use crate::maps::{MapSpec, MapType};
use crate::program::{AttachType, Code, Signature, Subprog};
use crate::verifier::input::MapInfo;
use crate::verifier::{Proof, Rejection, VerifyOptions, prove};

const fn spec(kind: MapType, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapSpec {
    MapSpec::new(kind, key_size, value_size, max_entries).with_flags(flags)
}

/// map0: array of 4 values of 64 bytes; map1: hash, 8-byte keys, 16-byte values; map2: programs; map3: frozen constants ("GET" at 8, "%d" at 12, "%y" at 15, 7 at 0, no NUL from 18 on);
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

pub(crate) const FROZEN: [u8; 32] = *b"\x07\0\0\0\0\0\0\0GET\0%d\0%y\0aaaaaaaaaaaaaa";

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
    prove(code, &maps(), STANDARD, &opts, log)
}

/// The verdict on a program: `None` is accepted.
pub(crate) fn verdict(text: &str) -> Option<String> {
    let mut log = String::new();
    check(&program(text, None), 0, &mut log).err().map(|r| r.to_string())
}
