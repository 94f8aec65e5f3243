//! A program on Linux, through libbpf and BPF_PROG_TEST_RUN.

use crate::ours::file;
use crate::{Machine, Maps, sum};
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

/// A program that is loaded.
pub(crate) struct Linux {
    // Before the object, whose maps they map.
    rings: BTreeMap<String, UserRing>,
    obj: Obj,
    fd: i32,
}

/// The producer's side of a user ring buffer.
struct UserRing(*mut bpf::user_ring_buffer);

impl Drop for UserRing {
    fn drop(&mut self) {
        // SAFETY: `produce` made it.
        unsafe { bpf::user_ring_buffer__free(self.0) }
    }
}

impl Linux {
    /// Loads a program alone.
    pub(crate) fn load(object: &str, program: &str) -> Linux {
        let path = CString::new(file(object).to_str().unwrap()).unwrap();
        // SAFETY: everything that libbpf is given outlives its calls; programs are those of the object, which is open.
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
            Linux { rings: BTreeMap::new(), obj, fd: bpf::bpf_program__fd(chosen) }
        }
    }

    fn map(&self, name: &str) -> *mut bpf::bpf_map {
        let name = CString::new(name).unwrap();
        // SAFETY: an open object, a name that ends.
        let map = unsafe { bpf::bpf_object__find_map_by_name(self.obj.0, name.as_ptr()) };
        assert!(!map.is_null(), "{name:?}");
        map
    }
}

impl Machine for Linux {
    fn name(&self) -> String {
        "Linux".to_owned()
    }

    fn run(&mut self, packet: &[u8]) -> u32 {
        let mut opts = bpf::bpf_test_run_opts {
            sz: size_of::<bpf::bpf_test_run_opts>() as _,
            data_in: packet.as_ptr().cast(),
            data_size_in: packet.len() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: the program is loaded, the packet outlives the call.
        assert_eq!(unsafe { bpf::bpf_prog_test_run_opts(self.fd, &mut opts) }, 0);
        opts.retval
    }

    fn produce(&mut self, map: &str, sample: &[u8], dropped: bool) -> bool {
        // SAFETY: the map is open as long as the object; the sample has the size that was reserved, and is ended once.
        unsafe {
            let fd = bpf::bpf_map__fd(self.map(map));
            let make = || UserRing(bpf::user_ring_buffer__new(fd, ptr::null()));
            let ring = self.rings.entry(map.to_owned()).or_insert_with(make).0;
            assert!(!ring.is_null(), "{map}");
            let bytes = bpf::user_ring_buffer__reserve(ring, sample.len() as u32);
            if bytes.is_null() {
                return false;
            }
            bytes.cast::<u8>().copy_from_nonoverlapping(sample.as_ptr(), sample.len());
            match dropped {
                true => bpf::user_ring_buffer__discard(ring, bytes),
                false => bpf::user_ring_buffer__submit(ring, bytes),
            }
        }
        true
    }

    fn update(&mut self, map: &str, key: &[u8], value: &[u8], flags: u64) -> i32 {
        // SAFETY: a map of the object; key and value have its sizes, which is the caller's word.
        unsafe {
            let fd = bpf::bpf_map__fd(self.map(map));
            bpf::bpf_map_update_elem(fd, key.as_ptr().cast(), value.as_ptr().cast(), flags)
        }
    }

    fn lookup(&mut self, map: &str, key: &[u8], flags: u64) -> Result<Vec<u8>, i32> {
        let map = self.map(map);
        // SAFETY: as `update`.
        unsafe {
            let mut value = vec![0u8; bpf::bpf_map__value_size(map) as usize];
            let fd = bpf::bpf_map__fd(map);
            let done =
                bpf::bpf_map_lookup_elem_flags(fd, key.as_ptr().cast(), value.as_mut_ptr().cast(), flags);
            if done == 0 { Ok(value) } else { Err(done) }
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    }

    fn maps(&mut self) -> Maps {
        let mut all = Maps::new();
        let mut map = ptr::null_mut();
        loop {
            // SAFETY: the object is loaded; the last map is followed by null.
            map = unsafe { bpf::bpf_object__next_map(self.obj.0, map) };
            if map.is_null() {
                return all;
            }
            // SAFETY: a map of the object.
            let (name, content) = unsafe {
                (CStr::from_ptr(bpf::bpf_map__name(map)).to_string_lossy().into_owned(), content(map))
            };
            all.insert(name, content);
        }
    }
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
