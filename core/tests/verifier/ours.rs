//! Our verifier's verdict, with maps of our own.

use crate::asm::Assembled;
use std::collections::HashMap;
use std::ptr::NonNull;
use uxdp_core::error::Status;
use uxdp_core::helpers::STANDARD;
use uxdp_core::isa::NoNames;
use uxdp_core::maps::{Map, MapConfig, MapSpec};
use uxdp_core::mem::{String as Text, Vec as List};
use uxdp_core::platform::{MapMemory, MemRequest};
use uxdp_core::program::{AttachType, Code, Program, Subprog};
use uxdp_core::sync::Arc;
use uxdp_core::verifier::{Explanation, VerifyOptions, verify};

/// Map memory of the heap.
struct Heap;

/// The layout of a request: all of them at a page, so that giving back needs no record.
fn layout(size: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(size.max(1), 4096).unwrap()
}

impl MapMemory for Heap {
    fn alloc(&self, request: &MemRequest<'_>) -> Option<NonNull<u8>> {
        // SAFETY: the size is not zero.
        NonNull::new(unsafe { std::alloc::alloc_zeroed(layout(request.size)) })
    }

    unsafe fn free(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: `alloc` made it with that layout, by the caller's word.
        unsafe { std::alloc::dealloc(ptr.as_ptr(), layout(size)) }
    }
}

/// What our verifier says of a program.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    /// The errno and the reason.
    Refused(i32, String),
}

/// Our verifier, with the maps that were made for it.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    maps: HashMap<(u32, u32, u32, u32, u32), Arc<Map>>,
}

impl Ours {
    /// A map; the error names what cannot be had.
    fn map(&mut self, spec: &MapSpec) -> Arc<Map> {
        let key = (spec.kind as u32, spec.key_size, spec.value_size, spec.max_entries, spec.flags);
        self.maps
            .entry(key)
            .or_insert_with(|| {
                let content = crate::maps::is_frozen(spec).then(|| crate::maps::rodata(spec));
                create("m", spec, content.as_deref())
            })
            .clone()
    }

    /// The explanation of a refusal.
    pub(crate) fn explain(&mut self, program: &Assembled, maps: &[MapSpec], attach: AttachType) -> String {
        let mut list = List::new();
        for map in maps {
            list.push(self.map(map)).unwrap();
        }
        let (opts, mut log) = (VerifyOptions::default(), String::new());
        let refused = verify(Program::new(code(program, attach)), list, STANDARD, &opts, &mut log);
        let rejection = refused.map(|_| ()).expect_err("an unsafe program");
        format!("{rejection}\n{}", Explanation::new(&code(program, attach), &rejection, &NoNames))
    }

    /// Verifies a program that stands in a section of that kind.
    pub(crate) fn verify(&mut self, program: &Assembled, maps: &[MapSpec], attach: AttachType) -> Verdict {
        let maps: Vec<_> = maps.iter().map(|m| self.map(m)).collect();
        let mut list = List::new();
        for map in maps {
            list.push(map).unwrap();
        }
        let opts = VerifyOptions::default();
        let mut log = String::new();
        match verify(Program::new(code(program, attach)), list, STANDARD, &opts, &mut log) {
            Ok(_) => Verdict::Accepted,
            Err(e) => Verdict::Refused(e.errno().0, e.to_string()),
        }
    }
}

/// A program as the loader of objects would have made it.
pub(crate) fn code(program: &Assembled, attach: AttachType) -> Code {
    let mut code = Code {
        name: Text::from_text("main").unwrap(),
        section: Text::from_text("xdp").unwrap(),
        attach,
        ..Code::default()
    };
    code.insns = List::from_slice(&program.insns).unwrap();
    let ends = program.functions.iter().skip(1).map(|f| f.1).chain([program.insns.len() as u32]);
    for ((name, start), end) in program.functions.iter().zip(ends) {
        let name = Text::from_text(name).unwrap();
        code.subprogs.push(Subprog { name, start: *start, end, global: false, signature: None }).unwrap();
    }
    code
}

/// A map of that name; with content it is frozen.
fn create(name: &str, spec: &MapSpec, content: Option<&[u8]>) -> Arc<Map> {
    let config = MapConfig {
        nr_cpus: 2,
        writer_slots: 4,
        page_size: 4096,
        memory: &Heap,
        private_memory: &Heap,
        secret: [1, 2],
        epochs: None,
    };
    let map = Map::create(name, 1, spec, &config).unwrap_or_else(|e| panic!("{spec:?}: {e}"));
    if let Some(content) = content {
        map.set_initial(content).unwrap();
        map.freeze().unwrap();
    }
    map
}
