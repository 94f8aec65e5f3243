//! Type information for the kernel: what a map's special fields and a program's functions need, and the numbers of kernel functions.
//!
//! Blobs are built type by type (`Documentation/bpf/btf.rst`); the kernel's own is only searched for names of functions.

use crate::asm::{Assembled, Function};
use std::collections::HashMap;
use uxdp_core::maps::MapSpec;
use uxdp_core::program::{ArgKind, Code, Signature, Subprog};

const INT: u32 = 1;
const PTR: u32 = 2;
const STRUCT: u32 = 4;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;

/// A blob under construction.
#[derive(Debug)]
struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

impl Builder {
    fn new() -> Self {
        Builder { types: Vec::new(), strings: vec![0], count: 0 }
    }

    fn text(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    /// Adds a type: name, kind, entries behind it or linkage, size or type, and what follows. The number is the answer.
    fn add(&mut self, name: &str, kind: u32, vlen: u32, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = self.text(name);
        self.types.extend([name, kind << 24 | vlen, size_or_type]);
        self.types.extend(rest);
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, INT, 0, bytes, &[bytes * 8])
    }

    fn blob(&self) -> Vec<u8> {
        let size = 4 * self.types.len() as u32;
        let header = [0x0001_eb9f, 24, 0, size, size, self.strings.len() as u32];
        let words = header.iter().chain(&self.types).flat_map(|w| w.to_le_bytes());
        words.chain(self.strings.iter().copied()).collect()
    }
}

/// The types of a map with special fields: the blob, and the numbers of key and value.
pub(crate) fn of_map(spec: &MapSpec) -> (Vec<u8>, u32, u32) {
    let mut b = Builder::new();
    let key = b.int("key", spec.key_size);
    let mut members = Vec::new();
    for (at, size, name) in spec.fields.iter() {
        let field = b.add(name, STRUCT, 0, size, &[]);
        members.extend([b.text(name), field, at * 8]);
    }
    let value = b.add("value", STRUCT, members.len() as u32 / 3, spec.value_size, &members);
    (b.blob(), key, value)
}

/// The types of a program's functions: the blob, and the records of `func_info`.
pub(crate) fn of_program(program: &Assembled) -> (Vec<u8>, Vec<[u32; 2]>) {
    let mut b = Builder::new();
    let info = functions(&mut b, &program.functions);
    (b.blob(), info)
}

/// The same, with the records of `line_info`.
pub(crate) fn of_code(code: &Code) -> (Vec<u8>, Vec<[u32; 2]>, Vec<[u32; 4]>) {
    let mut b = Builder::new();
    let info = functions(&mut b, &functions_of_code(code));
    let lines = code.lines.iter().map(|l| {
        let (file, text) = (b.text(code.string(l.file)), b.text(code.string(l.text)));
        [l.pc, file, text, l.line << 10 | l.column]
    });
    let lines = lines.collect();
    (b.blob(), info, lines)
}

/// The functions of a program as the assembler has them.
pub(crate) fn functions_of_code(code: &Code) -> Vec<Function> {
    let function = |s: &Subprog| Function {
        name: s.name.as_str().to_owned(),
        start: s.start,
        signature: s.signature.filter(|_| s.global),
    };
    code.subprogs.iter().map(function).collect()
}

fn functions(b: &mut Builder, all: &[Function]) -> Vec<[u32; 2]> {
    let int = b.int("int", 4);
    all.iter().map(|f| [f.start, function(b, int, f)]).collect()
}

fn function(b: &mut Builder, int: u32, f: &Function) -> u32 {
    let none = Signature { args: [None; 5], returns_scalar: true };
    let signature = f.signature.unwrap_or(none);
    let mut params = Vec::new();
    for (i, arg) in signature.args.iter().flatten().enumerate() {
        let pointer = |b: &mut Builder, name: &str, size: u32| {
            let to = b.add(name, STRUCT, 0, size, &[]);
            b.add("", PTR, 0, to, &[])
        };
        let of_type = match *arg {
            ArgKind::Scalar => int,
            ArgKind::Ctx => pointer(b, "xdp_md", 24),
            ArgKind::MemOrNull { size } | ArgKind::Mem { size } => pointer(b, "memory", size),
            ArgKind::Dynptr => pointer(b, "bpf_dynptr", 16),
            ArgKind::Unsupported => b.add("", PTR, 0, 0, &[]),
        };
        params.extend([b.text(&format!("a{i}")), of_type]);
    }
    let returns = if signature.returns_scalar { int } else { 0 };
    let proto = b.add("", FUNC_PROTO, params.len() as u32 / 2, returns, &params);
    b.add(&f.name, FUNC, u32::from(f.signature.is_some()), proto, &[])
}

/// The kernel's functions by name.
pub(crate) fn kernel_functions() -> HashMap<String, u32> {
    std::fs::read("/sys/kernel/btf/vmlinux").ok().and_then(|blob| functions_of(&blob)).unwrap_or_default()
}

/// The functions of a blob by name; nothing where it is cut short.
fn functions_of(blob: &[u8]) -> Option<HashMap<String, u32>> {
    let word = |at: usize| Some(u32::from_le_bytes(blob.get(at..at + 4)?.try_into().ok()?));
    let [header, types, types_len, strings] = [4, 8, 12, 16].map(word);
    let (header, strings) = (header? as usize, strings? as usize);
    let end = header + types? as usize + types_len? as usize;
    let (mut at, mut id, mut found) = (header + types? as usize, 0, HashMap::new());
    while at < end {
        id += 1;
        let (name, info) = (word(at)?, word(at + 4)?);
        let vlen = info as usize & 0xffff;
        let behind = match info >> 24 & 0x1f {
            INT | 14 | 17 => 4,
            3 => 12,
            STRUCT | 5 | 15 | 19 => 12 * vlen,
            6 | FUNC_PROTO => 8 * vlen,
            _ => 0,
        };
        if info >> 24 & 0x1f == FUNC {
            let text = blob.get(header + strings + name as usize..)?;
            let text = &text[..text.iter().position(|b| *b == 0)?];
            found.insert(String::from_utf8_lossy(text).into_owned(), id);
        }
        at += 12 + behind;
    }
    Some(found)
}
