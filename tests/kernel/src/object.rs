//! An object in the kernel, through libbpf: loaded, its maps filled and read, its programs run on one packet at a time.

use crate::compare::Contents;
use crate::compare::Outcome;
use anyhow::{Context, Result, bail};
use libbpf_sys as bpf;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr;
use uxdp_control::maps_json::Target;
use uxdp_core::error::Errno;
use uxdp_core::maps::{MapSpec, MapType, ValueFields};

/// Whether bpf(2) is permitted here.
pub fn can_ask() -> bool {
    // SAFETY: takes plain numbers.
    unsafe { bpf::libbpf_probe_bpf_prog_type(bpf::BPF_PROG_TYPE_XDP, ptr::null()) == 1 }
}

/// A map of a loaded object.
pub(crate) struct Map {
    pub(crate) name: String,
    pub(crate) fd: i32,
    pub(crate) spec: MapSpec,
}

/// A loaded object.
pub(crate) struct Object {
    obj: *mut bpf::bpf_object,
    programs: Vec<(String, i32)>,
    pub(crate) maps: Vec<Map>,
    cpus: usize,
    out: Vec<u8>,
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: `load` made it; descriptors of maps and programs are not used any more.
        unsafe { bpf::bpf_object__close(self.obj) }
    }
}

fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: libbpf's names end with NUL and live as long as their object.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

fn errno(status: i32) -> Errno {
    Errno(-status)
}

impl Object {
    /// Opens and loads a file, all of its programs.
    pub(crate) fn load(file: &Path) -> Result<Object> {
        let path = CString::new(file.to_str().context("a path of readable characters")?)?;
        // SAFETY: the path ends with NUL; the object is closed once, by `Drop`.
        let obj = unsafe {
            bpf::libbpf_set_print(None);
            bpf::bpf_object__open(path.as_ptr())
        };
        if obj.is_null() {
            bail!("libbpf cannot open {}", file.display());
        }
        // SAFETY: takes nothing.
        let cpus = unsafe { bpf::libbpf_num_possible_cpus() } as usize;
        let mut object = Object { obj, programs: Vec::new(), maps: Vec::new(), cpus, out: vec![0; 1 << 17] };
        // SAFETY: an open object.
        let status = unsafe { bpf::bpf_object__load(obj) };
        if status != 0 {
            bail!("Linux does not load {}: {}", file.display(), errno(status));
        }
        let mut program = ptr::null_mut();
        loop {
            // SAFETY: a loaded object; the last program is followed by null.
            program = unsafe { bpf::bpf_object__next_program(obj, program) };
            if program.is_null() {
                break;
            }
            // SAFETY: one of its programs.
            object
                .programs
                .push(unsafe { (text(bpf::bpf_program__name(program)), bpf::bpf_program__fd(program)) });
        }
        let mut map = ptr::null_mut();
        loop {
            // SAFETY: as for programs.
            map = unsafe { bpf::bpf_object__next_map(obj, map) };
            if map.is_null() {
                break;
            }
            // SAFETY: one of its maps.
            object.maps.extend(unsafe { described(map) });
        }
        Ok(object)
    }

    pub(crate) fn program(&self, name: &str) -> Result<i32> {
        let found = self.programs.iter().find(|(n, _)| n == name);
        found.map(|(_, fd)| *fd).with_context(|| format!("Linux has no program \"{name}\" of this object"))
    }

    fn map(&self, name: &str) -> Option<&Map> {
        self.maps.iter().find(|m| m.name == name)
    }

    /// Runs one packet through a program. `ingress` is an interface that exists, or 0 for the loopback.
    pub(crate) fn run(&mut self, program: i32, packet: &[u8], ingress: u32) -> Result<Outcome> {
        let mut ctx =
            bpf::xdp_md { data_end: packet.len() as u32, ingress_ifindex: ingress, ..Default::default() };
        let mut after = bpf::xdp_md::default();
        let mut opts = bpf::bpf_test_run_opts {
            sz: size_of::<bpf::bpf_test_run_opts>() as _,
            data_in: packet.as_ptr().cast(),
            data_size_in: packet.len() as u32,
            data_out: self.out.as_mut_ptr().cast(),
            data_size_out: self.out.len() as u32,
            ctx_in: ptr::from_mut(&mut ctx).cast(),
            ctx_size_in: size_of::<bpf::xdp_md>() as u32,
            ctx_out: ptr::from_mut(&mut after).cast(),
            ctx_size_out: size_of::<bpf::xdp_md>() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: every buffer is as long as said and outlives the call.
        let status = unsafe { bpf::bpf_prog_test_run_opts(program, &mut opts) };
        if status != 0 {
            bail!("Linux does not run a packet of {} bytes: {}", packet.len(), errno(status));
        }
        let out = &self.out[..opts.data_size_out as usize];
        let (metadata, data) = out.split_at((after.data as usize).min(out.len()));
        Ok(Outcome {
            code: opts.retval,
            data: data.to_vec(),
            metadata: metadata.to_vec(),
            records: Vec::new(),
        })
    }

    /// A map's contents, CPU 0's of a per-CPU map.
    pub(crate) fn contents(&self, map: &Map) -> Contents {
        let spec = &map.spec;
        let slots = if spec.kind.is_percpu() { self.cpus } else { 1 };
        let mut value = vec![0u8; slots * spec.slot_value_size().max(spec.value_size as usize)];
        let mut next = vec![0u8; spec.key_size as usize];
        let mut key: Option<Vec<u8>> = None;
        let mut contents = Contents::new();
        loop {
            let from = key.as_ref().map_or(ptr::null(), |k| k.as_ptr().cast());
            // SAFETY: keys are as long as the map's; the value has room for each CPU's slot.
            let found = unsafe {
                bpf::bpf_map_get_next_key(map.fd, from, next.as_mut_ptr().cast()) == 0
                    && bpf::bpf_map_lookup_elem(map.fd, next.as_ptr().cast(), value.as_mut_ptr().cast()) == 0
            };
            if !found {
                return contents;
            }
            contents.insert(next.clone(), value[..spec.value_size as usize].to_vec());
            key = Some(next.clone());
        }
    }
}

/// A map as libbpf describes it; `None` for types that are not known here.
///
/// # Safety
/// `map` is one of a loaded object.
unsafe fn described(map: *mut bpf::bpf_map) -> Option<Map> {
    // SAFETY: the caller's.
    unsafe {
        Some(Map {
            name: text(bpf::bpf_map__name(map)),
            fd: bpf::bpf_map__fd(map),
            spec: MapSpec {
                kind: MapType::from_number(bpf::bpf_map__type(map))?,
                key_size: bpf::bpf_map__key_size(map),
                value_size: bpf::bpf_map__value_size(map),
                max_entries: bpf::bpf_map__max_entries(map),
                flags: bpf::bpf_map__map_flags(map),
                extra: 0,
                numa_node: -1,
                fields: ValueFields::default(),
                inner: None,
            },
        })
    }
}

impl Target for Object {
    fn spec(&self, map: &str) -> Option<MapSpec> {
        self.map(map).map(|m| m.spec)
    }

    fn map_names(&self) -> Vec<String> {
        self.maps.iter().map(|m| m.name.clone()).collect()
    }

    fn set_prog(&self, map: &str, index: u32, program: &str) -> Result<(), Errno> {
        let fd = self.program(program).map_err(|_| Errno::ENOENT)?;
        self.update(map, &index.to_le_bytes(), &fd.to_le_bytes())
    }

    fn set_target(&self, map: &str, key: &[u8], value: &[u8], program: &str) -> Result<(), Errno> {
        let fd = self.program(program).map_err(|_| Errno::ENOENT)?;
        let number = value.get(..4).ok_or(Errno::EINVAL)?;
        self.update(map, key, &[number, &fd.to_le_bytes()].concat())
    }

    fn update(&self, map: &str, key: &[u8], value: &[u8]) -> Result<(), Errno> {
        let map = self.map(map).ok_or(Errno::ENOENT)?;
        let key = if key.is_empty() { ptr::null() } else { key.as_ptr().cast() };
        // SAFETY: key and value have the map's sizes: `maps_json` made them so.
        let status = unsafe { bpf::bpf_map_update_elem(map.fd, key, value.as_ptr().cast(), 0) };
        if status == 0 { Ok(()) } else { Err(errno(status)) }
    }
}
