//! libbpf as the other loader: opens an object, relocates and links one program, and says what instructions came out.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;

/// One instruction slot, as the kernel's `struct bpf_insn`.
pub(crate) type Slot = libbpf_sys::bpf_insn;

/// A program as libbpf links it.
pub(crate) struct Linked {
    pub(crate) insns: Vec<Slot>,
    /// Maps by their descriptor.
    pub(crate) maps: HashMap<i32, String>,
}

struct Obj(*mut libbpf_sys::bpf_object);

impl Drop for Obj {
    fn drop(&mut self) {
        // SAFETY: `open` made it, and nothing that came from it is kept.
        unsafe { libbpf_sys::bpf_object__close(self.0) }
    }
}

fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: libbpf's names end with NUL and live as long as their object.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

fn path(p: &Path) -> CString {
    CString::new(p.to_str().expect("a readable path")).expect("no NUL")
}

/// Whether bpf(2) is permitted here.
pub(crate) fn permitted() -> bool {
    // SAFETY: takes plain numbers.
    let answer =
        unsafe { libbpf_sys::libbpf_probe_bpf_prog_type(libbpf_sys::BPF_PROG_TYPE_XDP, ptr::null()) };
    answer == 1
}

fn open(file: &Path, btf: Option<&Path>) -> Result<Obj, String> {
    let (file, btf) = (path(file), btf.map(path));
    let opts = libbpf_sys::bpf_object_open_opts {
        sz: size_of::<libbpf_sys::bpf_object_open_opts>() as _,
        btf_custom_path: btf.as_ref().map_or(ptr::null(), |b| b.as_ptr()),
        ..Default::default()
    };
    // SAFETY: both paths and the options outlive the call; libbpf copies what it keeps.
    let obj = unsafe {
        libbpf_sys::libbpf_set_print(None);
        libbpf_sys::bpf_object__open_file(file.as_ptr(), &opts)
    };
    if obj.is_null() { Err(format!("open: {}", std::io::Error::last_os_error())) } else { Ok(Obj(obj)) }
}

fn programs(obj: &Obj) -> Vec<*mut libbpf_sys::bpf_program> {
    let mut all = Vec::new();
    let mut at = ptr::null_mut();
    loop {
        // SAFETY: the object is open, and `at` is null or one of its programs.
        at = unsafe { libbpf_sys::bpf_object__next_program(obj.0, at) };
        if at.is_null() {
            return all;
        }
        all.push(at);
    }
}

fn maps(obj: &Obj) -> Vec<*mut libbpf_sys::bpf_map> {
    let mut all = Vec::new();
    let mut at = ptr::null_mut();
    loop {
        // SAFETY: as for programs.
        at = unsafe { libbpf_sys::bpf_object__next_map(obj.0, at) };
        if at.is_null() {
            return all;
        }
        all.push(at);
    }
}

/// The names of the XDP programs of an object: those that libbpf takes for such, and those of sections that it does not know.
pub(crate) fn xdp_programs(file: &Path) -> Result<Vec<String>, String> {
    let obj = open(file, None)?;
    let kind = |p: *mut libbpf_sys::bpf_program| {
        // SAFETY: a program of the open object.
        unsafe { libbpf_sys::bpf_program__type(p) }
    };
    let is_xdp = |k| k == libbpf_sys::BPF_PROG_TYPE_XDP || k == libbpf_sys::BPF_PROG_TYPE_UNSPEC;
    let all = programs(&obj).into_iter().filter(|p| is_xdp(kind(*p)));
    // SAFETY: as above.
    Ok(all.map(|p| text(unsafe { libbpf_sys::bpf_program__name(p) })).collect())
}

/// A map as libbpf reads its definition: type, sizes of key and value, elements, flags, type-specific number.
pub(crate) type Definition = (String, [u32; 5], u64);

/// The maps of an object.
pub(crate) fn definitions(file: &Path) -> Result<Vec<Definition>, String> {
    let obj = open(file, None)?;
    let one = |m: *mut libbpf_sys::bpf_map| {
        // SAFETY: a map of the open object.
        unsafe {
            let numbers = [
                libbpf_sys::bpf_map__type(m),
                libbpf_sys::bpf_map__key_size(m),
                libbpf_sys::bpf_map__value_size(m),
                libbpf_sys::bpf_map__max_entries(m),
                libbpf_sys::bpf_map__map_flags(m),
            ];
            (text(libbpf_sys::bpf_map__name(m)), numbers, libbpf_sys::bpf_map__map_extra(m))
        }
    };
    Ok(maps(&obj).into_iter().map(one).collect())
}

/// Relocates and links one program, CO-RE against `btf`.
pub(crate) fn link(file: &Path, program: &str, btf: Option<&Path>) -> Result<Linked, String> {
    let obj = open(file, btf)?;
    let mut chosen = ptr::null_mut();
    for p in programs(&obj) {
        // SAFETY: a program of the open object.
        unsafe {
            let mine = text(libbpf_sys::bpf_program__name(p)) == program;
            libbpf_sys::bpf_program__set_autoload(p, mine);
            if mine {
                libbpf_sys::bpf_program__set_type(p, libbpf_sys::BPF_PROG_TYPE_XDP);
                chosen = p;
            }
        }
    }
    if chosen.is_null() {
        return Err("no such program".to_owned());
    }
    for m in maps(&obj) {
        // Maps that a user would have to size or to pin: what they hold is not the question here.
        // SAFETY: a map of the open object.
        unsafe {
            libbpf_sys::bpf_map__set_pin_path(m, ptr::null());
            if libbpf_sys::bpf_map__max_entries(m) == 0 {
                libbpf_sys::bpf_map__set_max_entries(m, 4096);
            }
        }
    }
    // SAFETY: the object is open.
    let status: c_int = unsafe { libbpf_sys::bpf_object__prepare(obj.0) };
    if status != 0 {
        return Err(format!("prepare: {}", std::io::Error::from_raw_os_error(-status)));
    }
    // SAFETY: the program is one of the prepared object's, its instructions are copied before the object goes.
    let insns = unsafe {
        let count = libbpf_sys::bpf_program__insn_cnt(chosen) as usize;
        std::slice::from_raw_parts(libbpf_sys::bpf_program__insns(chosen), count).to_vec()
    };
    let named = |m: *mut libbpf_sys::bpf_map| {
        // SAFETY: a map of the open object.
        unsafe { (libbpf_sys::bpf_map__fd(m), text(libbpf_sys::bpf_map__name(m))) }
    };
    Ok(Linked { insns, maps: maps(&obj).into_iter().map(named).collect() })
}

/// The running kernel's BTF, for the names of its functions.
pub(crate) struct Kernel(*mut libbpf_sys::btf);

impl Kernel {
    pub(crate) fn load() -> Option<Kernel> {
        // SAFETY: takes nothing.
        let btf = unsafe { libbpf_sys::btf__load_vmlinux_btf() };
        (!btf.is_null()).then_some(Kernel(btf))
    }

    /// The name of a type.
    pub(crate) fn name(&self, id: i32) -> String {
        // SAFETY: the table is loaded; libbpf checks id and offset, and a type is read only where there is one.
        unsafe {
            let ty = libbpf_sys::btf__type_by_id(self.0, id as u32);
            if ty.is_null() {
                return String::new();
            }
            text(libbpf_sys::btf__name_by_offset(self.0, (*ty).name_off))
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: `load` made it.
        unsafe { libbpf_sys::btf__free(self.0) }
    }
}
