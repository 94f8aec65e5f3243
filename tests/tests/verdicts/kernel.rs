//! Linux as the judge of whole objects, through libbpf: each program is loaded alone, and the kernel's log says what that cost.

use libbpf_sys as bpf;
use std::ffi::{CStr, CString, c_char};
use std::io::Write;
use std::path::Path;
use std::ptr;

/// What Linux said.
pub(crate) enum Judged {
    /// Instructions processed and microseconds.
    Accepted { processed: u32, micros: u64 },
    /// The last line of its reason.
    Refused(String),
    /// The object could not be loaded that far: a map, a type, a kernel function that is not there.
    LeftOut,
}

const LOG_SIZE: usize = 64 << 20;
/// `BPF_LOG_LEVEL1 | BPF_LOG_STATS`.
const LOG_LEVEL: u32 = 1 | 4;
/// What a map gets whose size its own loader would set.
const ENTRIES: u32 = 64;

/// Says why something is not compared; CI has to compare it.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI has to compare verdicts: {why}");
    // Not eprintln: the harness would keep that to itself where the test passes.
    std::io::stderr().write_all(format!("verdicts not compared: {why}\n").as_bytes()).unwrap();
}

/// Whether bpf(2) is permitted here; says so where it is not.
pub(crate) fn can_ask() -> bool {
    // SAFETY: takes plain numbers.
    let can = unsafe { bpf::libbpf_probe_bpf_prog_type(bpf::BPF_PROG_TYPE_XDP, ptr::null()) } == 1;
    if !can {
        skip("bpf(2) is not permitted");
    }
    can
}

struct Obj(*mut bpf::bpf_object);

impl Drop for Obj {
    fn drop(&mut self) {
        // SAFETY: `open` made it, and nothing that came from it is kept.
        unsafe { bpf::bpf_object__close(self.0) }
    }
}

fn open(file: &Path, log: Option<&mut Vec<u8>>) -> Option<Obj> {
    let path = CString::new(file.to_str()?).ok()?;
    let mut opts =
        bpf::bpf_object_open_opts { sz: size_of::<bpf::bpf_object_open_opts>() as _, ..Default::default() };
    if let Some(log) = log {
        opts.kernel_log_buf = log.as_mut_ptr().cast();
        opts.kernel_log_size = log.len() as _;
        opts.kernel_log_level = LOG_LEVEL;
    }
    // SAFETY: path and options outlive the call; the log outlives the object, see `judge`.
    let obj = unsafe {
        bpf::libbpf_set_print(None);
        bpf::bpf_object__open_file(path.as_ptr(), &opts)
    };
    (!obj.is_null()).then_some(Obj(obj))
}

fn programs(obj: &Obj) -> Vec<*mut bpf::bpf_program> {
    // SAFETY: an open object; the last program is followed by null.
    let next = |at: Option<&*mut bpf::bpf_program>| unsafe {
        bpf::bpf_object__next_program(obj.0, at.copied().unwrap_or(ptr::null_mut()))
    };
    std::iter::successors(Some(next(None)), |p| Some(next(Some(p)))).take_while(|p| !p.is_null()).collect()
}

fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: libbpf's names end with NUL and live as long as their object.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

/// Every program for XDP of an object, judged alone.
pub(crate) fn judge_all(file: &Path) -> Vec<(String, Judged)> {
    let Some(obj) = open(file, None) else { return Vec::new() };
    let of_xdp = |p: &*mut bpf::bpf_program| {
        // SAFETY: a program of an open object.
        unsafe { bpf::bpf_program__type(*p) == bpf::BPF_PROG_TYPE_XDP }
    };
    // SAFETY: as above.
    let names = programs(&obj).into_iter().filter(of_xdp).map(|p| text(unsafe { bpf::bpf_program__name(p) }));
    names
        .map(|name| {
            let judged = judge(file, &name);
            (name, judged)
        })
        .collect()
}

fn judge(file: &Path, program: &str) -> Judged {
    let mut log = vec![0u8; LOG_SIZE];
    let Some(obj) = open(file, Some(&mut log)) else { return Judged::LeftOut };
    for p in programs(&obj) {
        // SAFETY: a program of an open object that is not loaded yet.
        unsafe {
            let wanted = text(bpf::bpf_program__name(p)) == program;
            bpf::bpf_program__set_autoload(p, wanted);
        }
    }
    let mut map = ptr::null_mut();
    loop {
        // SAFETY: as above; the last map is followed by null.
        map = unsafe { bpf::bpf_object__next_map(obj.0, map) };
        if map.is_null() {
            break;
        }
        // SAFETY: a map of an object that is not loaded yet.
        unsafe {
            if bpf::bpf_map__max_entries(map) == 0
                && bpf::bpf_map__type(map) != bpf::BPF_MAP_TYPE_PERF_EVENT_ARRAY
            {
                bpf::bpf_map__set_max_entries(map, ENTRIES);
            }
            bpf::bpf_map__set_pin_path(map, ptr::null());
        }
    }
    // SAFETY: an open object.
    let status = unsafe { bpf::bpf_object__load(obj.0) };
    drop(obj);
    let log =
        String::from_utf8_lossy(&log[..log.iter().position(|b| *b == 0).unwrap_or(log.len())]).into_owned();
    let number = |before: &str| -> Option<u64> {
        let rest = &log[log.rfind(before)? + before.len()..];
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    match (status, number("processed "), number("verification time ")) {
        (0, Some(processed), Some(micros)) => Judged::Accepted { processed: processed as u32, micros },
        (0, ..) => Judged::LeftOut,
        // A program that Linux loads for one device alone, which this test does not name.
        _ if log.contains("require device-bound program") => Judged::LeftOut,
        // Without this line the verifier did not come to a verdict: something else was missing.
        (_, Some(_), _) => Judged::Refused(reason(&log)),
        _ => Judged::LeftOut,
    }
}

/// The last line before the counts.
fn reason(log: &str) -> String {
    let counts = |l: &&str| {
        !(l.starts_with("processed ") || l.starts_with("verification time") || l.starts_with("stack depth"))
    };
    log.lines().rev().map(str::trim).filter(|l| !l.is_empty()).find(counts).unwrap_or_default().to_owned()
}
