//! A program on Linux, through libbpf and BPF_PROG_TEST_RUN.

use crate::ours::file;
use crate::{Outcome, sum};
use libbpf_sys as bpf;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::ptr;

/// Whether bpf(2) is permitted here; says so where it is not. CI has to ask.
pub(crate) fn can_ask() -> bool {
    // SAFETY: takes plain numbers.
    let can = unsafe { bpf::libbpf_probe_bpf_prog_type(bpf::BPF_PROG_TYPE_XDP, ptr::null()) } == 1;
    if !can {
        assert!(std::env::var_os("CI").is_none(), "CI has to ask the kernel");
        // Not eprintln: the harness would keep that to itself where the test passes.
        std::io::stderr().write_all(b"not compared with Linux: bpf(2) is not permitted\n").unwrap();
    }
    can
}

struct Obj(*mut bpf::bpf_object);

impl Drop for Obj {
    fn drop(&mut self) {
        // SAFETY: `run` made it, and nothing that came from it is kept.
        unsafe { bpf::bpf_object__close(self.0) }
    }
}

/// Loads a program alone and runs the packets in order.
pub(crate) fn run(object: &str, program: &str, packets: &[Vec<u8>]) -> Outcome {
    let path = CString::new(file(object).to_str().unwrap()).unwrap();
    let mut outcome = Outcome::default();
    // SAFETY: everything that libbpf is given outlives its calls; maps and programs are those of the object, which is open.
    unsafe {
        bpf::libbpf_set_print(None);
        let obj = Obj(bpf::bpf_object__open_file(path.as_ptr(), ptr::null()));
        assert!(!obj.0.is_null(), "{object}: {}", std::io::Error::last_os_error());
        let (mut at, mut chosen) = (ptr::null_mut(), ptr::null_mut());
        loop {
            at = bpf::bpf_object__next_program(obj.0, at);
            if at.is_null() {
                break;
            }
            let wanted = CStr::from_ptr(bpf::bpf_program__name(at)).to_string_lossy() == program;
            bpf::bpf_program__set_autoload(at, wanted);
            if wanted {
                chosen = at;
            }
        }
        assert!(!chosen.is_null(), "{program}");
        assert_eq!(bpf::bpf_object__load(obj.0), 0, "{program}: {}", std::io::Error::last_os_error());
        for packet in packets {
            let mut opts = bpf::bpf_test_run_opts {
                sz: size_of::<bpf::bpf_test_run_opts>() as _,
                data_in: packet.as_ptr().cast(),
                data_size_in: packet.len() as u32,
                repeat: 1,
                ..Default::default()
            };
            assert_eq!(bpf::bpf_prog_test_run_opts(bpf::bpf_program__fd(chosen), &mut opts), 0);
            outcome.actions.push(opts.retval);
        }
        let mut map = ptr::null_mut();
        loop {
            map = bpf::bpf_object__next_map(obj.0, map);
            if map.is_null() {
                break;
            }
            let name = CStr::from_ptr(bpf::bpf_map__name(map)).to_string_lossy().into_owned();
            outcome.maps.insert(name, content(map));
        }
    }
    outcome
}

/// # Safety
/// A map of a loaded object.
unsafe fn content(map: *mut bpf::bpf_map) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut content = BTreeMap::new();
    // SAFETY: the caller's; the buffers have the sizes that the map gives.
    unsafe {
        let fd = bpf::bpf_map__fd(map);
        let (key_size, value_size) =
            (bpf::bpf_map__key_size(map) as usize, bpf::bpf_map__value_size(map) as usize);
        let percpu = matches!(
            bpf::bpf_map__type(map),
            bpf::BPF_MAP_TYPE_PERCPU_ARRAY
                | bpf::BPF_MAP_TYPE_PERCPU_HASH
                | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
        );
        let cpus = if percpu { bpf::libbpf_num_possible_cpus() as usize } else { 1 };
        let size = if percpu { value_size.next_multiple_of(8) * cpus } else { value_size };
        let mut key: Option<Vec<u8>> = None;
        loop {
            let mut next = vec![0u8; key_size];
            let from = key.as_ref().map_or(ptr::null(), |k| k.as_ptr().cast());
            if bpf::bpf_map_get_next_key(fd, from, next.as_mut_ptr().cast()) != 0 {
                return content;
            }
            let mut value = vec![0u8; size];
            if bpf::bpf_map_lookup_elem(fd, next.as_ptr().cast(), value.as_mut_ptr().cast()) == 0 {
                let value = if percpu { sum(&value, value_size) } else { value };
                content.insert(next.clone(), value);
            }
            key = Some(next);
        }
    }
}
