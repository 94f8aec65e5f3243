//! A row on Linux: the same object through libbpf and BPF_PROG_TEST_RUN, on the CPU whose number is our slot's.

use crate::ours::{SLOT, file, name, programs_in_slots};
use crate::row::{Content, Left, Outcome, Packet, Row};
use libbpf_sys as bpf;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

/// Says why something is not compared; CI has to compare it.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI has to ask the kernel: {why}");
    // Not eprintln: the harness would keep that to itself where the test passes.
    std::io::stderr().write_all(format!("not compared with Linux: {why}\n").as_bytes()).unwrap();
}

/// Whether bpf(2) is permitted here.
pub(crate) fn can_ask() -> bool {
    // SAFETY: takes plain numbers.
    unsafe { bpf::libbpf_probe_bpf_prog_type(bpf::BPF_PROG_TYPE_XDP, ptr::null()) == 1 }
}

struct Obj(*mut bpf::bpf_object);

impl Drop for Obj {
    fn drop(&mut self) {
        // SAFETY: `load` made it, and nothing that came from it is kept.
        unsafe { bpf::bpf_object__close(self.0) }
    }
}

fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    // SAFETY: libbpf's names end with NUL and live as long as their object.
    unsafe { CStr::from_ptr(p) }.to_string_lossy().into_owned()
}

fn last_error() -> std::io::Error {
    std::io::Error::last_os_error()
}

/// The row's program and object, loaded alone but for what stands in maps of programs.
fn load(row: &Row) -> Result<(Obj, c_int), String> {
    let path = CString::new(file(row.object).to_str().unwrap()).unwrap();
    let name = CString::new(name(row.object)).unwrap();
    let mut log = vec![0u8; 1 << 20];
    let opts = bpf::bpf_object_open_opts {
        sz: size_of::<bpf::bpf_object_open_opts>() as _,
        object_name: name.as_ptr(),
        kernel_log_buf: log.as_mut_ptr().cast(),
        kernel_log_size: log.len() as _,
        ..Default::default()
    };
    // SAFETY: path, options and log outlive the calls that use them; the programs are those of the open object.
    unsafe {
        bpf::libbpf_set_print(None);
        let obj = bpf::bpf_object__open_file(path.as_ptr(), &opts);
        if obj.is_null() {
            return Err(format!("open: {}", last_error()));
        }
        let obj = Obj(obj);
        let others = programs_in_slots(row.object);
        let (mut at, mut chosen) = (ptr::null_mut(), ptr::null_mut());
        loop {
            at = bpf::bpf_object__next_program(obj.0, at);
            if at.is_null() {
                break;
            }
            let called = text(bpf::bpf_program__name(at));
            let wanted = called == row.program;
            bpf::bpf_program__set_autoload(at, wanted || others.contains(&called));
            if wanted {
                chosen = at;
            }
        }
        if chosen.is_null() {
            return Err(format!("no program {}", row.program));
        }
        let mut map = ptr::null_mut();
        loop {
            map = bpf::bpf_object__next_map(obj.0, map);
            if map.is_null() {
                break;
            }
            // Objects of others ask for places in the file system of the machine.
            bpf::bpf_map__set_pin_path(map, ptr::null());
            for (section, value) in &row.initial {
                let set = text(bpf::bpf_map__name(map)).ends_with(section)
                    && bpf::bpf_map__set_initial_value(map, value.as_ptr().cast(), value.len() as _) != 0;
                if set {
                    return Err(format!("{section}: {}", last_error()));
                }
            }
        }
        if bpf::bpf_object__load(obj.0) != 0 {
            let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
            return Err(format!("load: {}\n{}", last_error(), String::from_utf8_lossy(&log[..end])));
        }
        Ok((obj, bpf::bpf_program__fd(chosen)))
    }
}

/// Binds this thread to the CPU of our slot.
fn bind() {
    // SAFETY: the set is a plain value.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(SLOT as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// A socket that packets could be redirected to; a map takes it without more.
fn xdp_socket() -> Result<OwnedFd, String> {
    // SAFETY: plain numbers; a descriptor that is new belongs to nobody else.
    unsafe {
        let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
        if fd < 0 { Err(format!("AF_XDP: {}", last_error())) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// The open events of a perf event array, and where their samples go.
struct Events(*mut bpf::perf_buffer);

impl Events {
    /// One event a CPU, as far as the map has elements. Samples go to a place that outlives this.
    fn open(obj: &Obj, map: &str, samples: &mut Content) -> Result<Events, String> {
        let name = CString::new(map).unwrap();
        // SAFETY: the map is one of a loaded object; who calls keeps `samples` where it is.
        let made = unsafe {
            let fd = bpf::bpf_object__find_map_fd_by_name(obj.0, name.as_ptr());
            let to = (samples as *mut Content).cast();
            bpf::perf_buffer__new(fd, 8, Some(sample), None, to, ptr::null())
        };
        if made.is_null() { Err(format!("{map}: {}", last_error())) } else { Ok(Events(made)) }
    }

    /// Hands on what was sampled.
    fn read(self) {
        // SAFETY: `open` made it.
        unsafe { bpf::perf_buffer__consume(self.0) };
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // SAFETY: `open` made it; nothing of it is used any more.
        unsafe { bpf::perf_buffer__free(self.0) }
    }
}

unsafe extern "C" fn sample(all: *mut c_void, cpu: c_int, data: *mut c_void, size: u32) {
    // SAFETY: `all` is what `Events::open` gave to the buffer; the sample has `size` bytes.
    unsafe {
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), size as usize);
        (*all.cast::<Content>()).push((cpu.to_le_bytes().to_vec(), bytes.to_vec()));
    }
}

/// Runs all packets of a row.
pub(crate) fn run(row: &Row) -> Result<Outcome, String> {
    bind();
    let (obj, fd) = load(row)?;
    let mut sockets = Vec::new();
    for element in &row.before {
        let name = CString::new(element.map).unwrap();
        // SAFETY: key and value have the sizes of the map, which is the row's word; a socket is there for as long as the map is used.
        let done = unsafe {
            let map = bpf::bpf_object__find_map_by_name(obj.0, name.as_ptr());
            let mut value = element.value.clone();
            if bpf::bpf_map__type(map) == bpf::BPF_MAP_TYPE_XSKMAP {
                let socket = xdp_socket()?;
                value = socket.as_raw_fd().to_le_bytes().to_vec();
                sockets.push(socket);
            }
            bpf::bpf_map_update_elem(
                bpf::bpf_map__fd(map),
                element.key.as_ptr().cast(),
                value.as_ptr().cast(),
                0,
            )
        };
        if done != 0 {
            return Err(format!("{}: {}", element.map, last_error()));
        }
    }
    let mut outcome = Outcome::default();
    let mut samples = Box::new(Content::new());
    let events = row.sampled.map(|name| Events::open(&obj, name, &mut samples)).transpose()?;
    for packet in &row.packets {
        outcome.packets.push(run_packet(fd, packet)?);
    }
    if let (Some(name), Some(events)) = (row.sampled, events) {
        events.read();
        outcome.maps.insert(name.to_owned(), *samples);
    }
    let mut map = ptr::null_mut();
    loop {
        // SAFETY: the object is loaded; the last map is followed by null.
        map = unsafe { bpf::bpf_object__next_map(obj.0, map) };
        if map.is_null() {
            return Ok(outcome);
        }
        // SAFETY: a map of the object.
        let (name, content) = unsafe { (text(bpf::bpf_map__name(map)), content(map)) };
        if let Some(content) = content {
            outcome.maps.insert(name, content);
        }
    }
}

fn run_packet(fd: c_int, packet: &Packet) -> Result<Left, String> {
    let mut out = vec![0u8; 1 << 17];
    let mut ctx = bpf::xdp_md {
        data: packet.meta as u32,
        data_end: packet.linear.unwrap_or(packet.bytes.len()) as u32,
        ingress_ifindex: packet.ingress_ifindex,
        ..Default::default()
    };
    let mut opts = bpf::bpf_test_run_opts {
        sz: size_of::<bpf::bpf_test_run_opts>() as _,
        data_in: packet.bytes.as_ptr().cast(),
        data_size_in: packet.bytes.len() as u32,
        data_out: out.as_mut_ptr().cast(),
        data_size_out: out.len() as u32,
        ctx_in: (&raw mut ctx).cast(),
        ctx_size_in: size_of::<bpf::xdp_md>() as u32,
        ctx_out: (&raw mut ctx).cast(),
        ctx_size_out: size_of::<bpf::xdp_md>() as u32,
        repeat: 1,
        ..Default::default()
    };
    // SAFETY: the program is loaded, everything in `opts` outlives the call.
    let done = unsafe { bpf::bpf_prog_test_run_opts(fd, &mut opts) };
    if done != 0 {
        return Err(format!("test run: {}", last_error()));
    }
    out.truncate(opts.data_size_out as usize);
    // A test run hands on what the program returned; what is no action ends as aborted when the packet is real.
    let action = if opts.retval > bpf::XDP_REDIRECT { bpf::XDP_ABORTED } else { opts.retval };
    Ok(Left { action, bytes: out, meta: ctx.data as usize, linear: ctx.data_end as usize })
}

unsafe extern "C" fn collect(all: *mut c_void, data: *mut c_void, size: u64) -> c_int {
    // SAFETY: `all` is what `content` gave to the ring; the record has `size` bytes.
    unsafe {
        let record = std::slice::from_raw_parts(data.cast::<u8>(), size as usize);
        (*all.cast::<Content>()).push((Vec::new(), record.to_vec()));
    }
    0
}

/// Everything that is in a map; None for those that hold references, samples or nothing that can be listed, and for what is constant.
///
/// # Safety
/// The map is one of a loaded object.
unsafe fn content(map: *mut bpf::bpf_map) -> Option<Content> {
    let mut all = Content::new();
    // SAFETY: the caller's; buffers have the sizes that the map gives.
    unsafe {
        let (fd, kind) = (bpf::bpf_map__fd(map), bpf::bpf_map__type(map));
        let (key_size, value_size) =
            (bpf::bpf_map__key_size(map) as usize, bpf::bpf_map__value_size(map) as usize);
        if bpf::bpf_map__map_flags(map) & bpf::BPF_F_RDONLY_PROG != 0
            && text(bpf::bpf_map__name(map)).contains(".rodata")
        {
            return None;
        }
        match kind {
            bpf::BPF_MAP_TYPE_PROG_ARRAY
            | bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS
            | bpf::BPF_MAP_TYPE_HASH_OF_MAPS
            | bpf::BPF_MAP_TYPE_XSKMAP
            | bpf::BPF_MAP_TYPE_PERF_EVENT_ARRAY
            | bpf::BPF_MAP_TYPE_USER_RINGBUF
            | bpf::BPF_MAP_TYPE_BLOOM_FILTER => return None,
            bpf::BPF_MAP_TYPE_RINGBUF => {
                let ring = bpf::ring_buffer__new(fd, Some(collect), (&raw mut all).cast(), ptr::null());
                assert!(!ring.is_null(), "{}", last_error());
                bpf::ring_buffer__consume(ring);
                bpf::ring_buffer__free(ring);
            }
            bpf::BPF_MAP_TYPE_QUEUE | bpf::BPF_MAP_TYPE_STACK => {
                let mut value = vec![0u8; value_size];
                while bpf::bpf_map_lookup_and_delete_elem(fd, ptr::null(), value.as_mut_ptr().cast()) == 0 {
                    all.push((Vec::new(), value.clone()));
                }
            }
            _ => {
                let percpu = matches!(
                    kind,
                    bpf::BPF_MAP_TYPE_PERCPU_ARRAY
                        | bpf::BPF_MAP_TYPE_PERCPU_HASH
                        | bpf::BPF_MAP_TYPE_LRU_PERCPU_HASH
                );
                let size = if percpu {
                    value_size.next_multiple_of(8) * bpf::libbpf_num_possible_cpus() as usize
                } else {
                    value_size
                };
                let mut key: Option<Vec<u8>> = None;
                loop {
                    let mut next = vec![0u8; key_size];
                    let from = key.as_ref().map_or(ptr::null(), |k| k.as_ptr().cast());
                    if bpf::bpf_map_get_next_key(fd, from, next.as_mut_ptr().cast()) != 0 {
                        break;
                    }
                    let mut value = vec![0u8; size];
                    if bpf::bpf_map_lookup_elem(fd, next.as_ptr().cast(), value.as_mut_ptr().cast()) == 0 {
                        all.push((next.clone(), value));
                    }
                    key = Some(next);
                }
                all.sort();
            }
        }
    }
    Some(all)
}
