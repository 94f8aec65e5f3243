//! The same C, compiled for this machine when the benchmark starts.

use crate::Files;
use crate::lane::{Lane, Packets};
use crate::maps::{self, PeerObject};
use crate::rbpf_lane::Ctx64;
use anyhow::{Context, Result, ensure};
use libloading::Library;
use std::path::Path;
use std::process::Command;
use uxdp_core::maps::{Map, MapType};
use uxdp_core::sync::Arc;

type Entry = unsafe extern "C" fn(*mut Ctx64) -> i32;
type Lookup = unsafe extern "C" fn(*const Map, *const u8) -> *mut u8;
type CsumDiff = unsafe extern "C" fn(u64, u64, u64, u64, u64) -> u64;
type Update = unsafe extern "C" fn(*const Map, *const u8, *const u8, u64) -> i64;

/// `struct native_map` of `native/bpf/bpf_helpers.h`.
#[repr(C)]
struct NativeMap {
    base: usize,
    stride: u64,
    entries: u64,
    handle: *const Map,
}

pub(crate) struct Native {
    entry: Entry,
    packets: Packets,
    /// After `entry`, which is in it.
    _library: Library,
    /// After the library, which has addresses of its maps.
    _object: PeerObject,
}

impl Native {
    pub(crate) fn new(name: &str, files: &Files) -> Result<Self> {
        let object = PeerObject::open(files)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(format!("{name}.so"));
        compile(files, &path)?;
        // SAFETY: built here from sources of this repository; it has no initialisers.
        let library = unsafe { Library::new(&path)? };
        // SAFETY: the symbols have these types in bpf_helpers.h and the program; a map's variable has room for four pointers.
        let entry = unsafe {
            if let Ok(place) = library.get::<*mut CsumDiff>(b"native_csum_diff") {
                **place = maps::csum_diff;
            }
            if object.names().next().is_some() {
                **library.get::<*mut Lookup>(b"native_lookup")? = maps::lookup;
                **library.get::<*mut Update>(b"native_update")? = maps::update;
            }
            for map in object.names() {
                **library.get::<*mut NativeMap>(map.as_bytes())? = described(object.map(map)?);
            }
            *library.get::<Entry>(name.as_bytes())?
        };
        Ok(Native { entry, packets: Packets::new(), _library: library, _object: object })
    }
}

/// Where a map's values are, if it is an array.
fn described(map: &Arc<Map>) -> NativeMap {
    let is_array = matches!(map.spec().kind, MapType::Array | MapType::PercpuArray);
    let handle = Arc::as_ptr(map);
    match map.array().filter(|_| is_array) {
        Some(g) => {
            NativeMap { base: g.base, stride: u64::from(g.stride), entries: u64::from(g.max_entries), handle }
        }
        None => NativeMap { base: 0, stride: 0, entries: 0, handle },
    }
}

fn compile(files: &Files, to: &Path) -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let ran = Command::new(&compiler)
        .args(["-O3", "-march=native", "-shared", "-fPIC", "-fno-semantic-interposition"])
        .args(["-fno-strict-aliasing", "-w", "-I"])
        .arg(here.join("native"))
        .arg("-include")
        .arg(here.join("ctx64/ctx64.h"))
        .arg(&files.source)
        .arg("-o")
        .arg(to)
        .output()
        .with_context(|| format!("cannot run {compiler}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{compiler}: {}", said.lines().next().unwrap_or("failed"));
    Ok(())
}

impl Lane for Native {
    fn run(&mut self, passes: usize) -> u64 {
        let mut sum = 0;
        let mut ctx = Ctx64::default();
        let mut packets: Vec<&mut [u8]> = self.packets.buffers().map(|(b, data)| &mut b[data]).collect();
        for _ in 0..passes {
            for packet in &mut packets {
                let std::ops::Range { start, end } = packet.as_mut_ptr_range();
                ctx.data = start as u64;
                ctx.data_meta = ctx.data;
                ctx.data_end = end as u64;
                // SAFETY: the program stays within the packet, as the verifier showed of the same source.
                sum += unsafe { (self.entry)(&mut ctx) } as u64;
            }
        }
        sum
    }
}
