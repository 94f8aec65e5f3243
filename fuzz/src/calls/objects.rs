//! Objects: opened whole or with bytes flipped, adjusted, loaded.

use super::handles::World;
use super::{number, said, size_of_struct};
use crate::bytes::Bytes;
use core::ffi::{c_char, c_void};
use core::ptr::{null, null_mut};
use uxdp_capi::*;

macro_rules! objects {
    ($($name:literal),*) => { [$(include_bytes!(concat!("../../../", $name)).as_slice()),*] };
}

/// Small programs with maps of every kind.
const OBJECTS: [&[u8]; 14] = objects![
    "xdp_progs/obj/xdp_pass.o",
    "xdp_progs/obj/xdp_maps.o",
    "xdp_progs/obj/xdp_tail_calls.o",
    "xdp_progs/obj/xdp_frags.o",
    "xdp_progs/obj/xdp_redirect_cpu.o",
    "xdp_progs/obj/xdp_forward.o",
    "xdp_progs/obj/xdp_root.o",
    "xdp_progs/obj/xdp_tcpdump.o",
    "xdp_progs/obj/xdp_sock.o",
    "tests/progs/obj/timers.o",
    "tests/progs/obj/user_ring.o",
    "tests/progs/obj/locks.o",
    "tests/progs/obj/egress.o",
    "tests/progs/obj/maps.o"
];

/// A log's bytes beyond which nothing is written.
struct LogBuf {
    bytes: Vec<c_char>,
    size: usize,
}

impl LogBuf {
    fn new(bytes: &mut Bytes<'_>) -> LogBuf {
        let size = if bytes.rarely(4) { bytes.below(80) } else { 0 };
        LogBuf { bytes: vec![0x55; size + 1], size }
    }

    fn at(&mut self) -> *mut c_char {
        if self.size == 0 { null_mut() } else { self.bytes.as_mut_ptr() }
    }

    fn checked(&self) {
        assert_eq!(self.bytes[self.size], 0x55, "a log goes beyond its end");
    }
}

pub(super) fn open(world: &mut World, bytes: &mut Bytes<'_>) {
    let mut file = bytes.pick(&OBJECTS).to_vec();
    if bytes.rarely(3) {
        for _ in 0..1 + bytes.below(6) {
            let at = usize::from(bytes.byte()) << 8 | usize::from(bytes.byte());
            let at = at * file.len() >> 16;
            file[at] = if bytes.rarely(2) { bytes.byte() } else { file[at] ^ 1 << bytes.below(8) };
        }
        if bytes.rarely(8) {
            file.truncate(file.len() * bytes.below(256) >> 8);
        }
    }
    let mut log = LogBuf::new(bytes);
    let opts = uxdp_open_opts {
        sz: size_of_struct::<uxdp_open_opts>(bytes),
        name: if bytes.rarely(2) { null() } else { c"fuzzed".as_ptr() },
        env: world.env,
        nr_cpus: if bytes.rarely(16) { number(bytes) } else { 0 },
        numa_node: -1,
        map_mem: null(),
        log_buf: log.at(),
        log_size: log.size,
        log_level: if bytes.rarely(8) { number(bytes) } else { 0 },
        reserved: u32::from(bytes.rarely(64)),
        btf: null(),
        btf_size: 0,
    };
    if opts.sz < size_of::<uxdp_open_opts>() {
        return; // It would be of the default environment, which lives on.
    }
    let mut object = null_mut();
    // SAFETY: the file has its bytes, options and place are ours.
    let done = said(unsafe { uxdp_object_open_mem(file.as_ptr().cast(), file.len(), &opts, &mut object) });
    log.checked();
    assert_eq!(done == 0, !object.is_null());
    if done == 0 {
        world.keep_object(object);
    }
}

pub(super) fn adjust(world: &mut World, bytes: &mut Bytes<'_>) {
    let object = world.object(bytes);
    // SAFETY: handles of the object, which lives; data has its bytes.
    unsafe {
        let (mut map, mut prog) =
            (uxdp_object_next_map(object, null()), uxdp_object_next_prog(object, null()));
        for _ in 0..bytes.below(6) {
            map = if map.is_null() { map } else { uxdp_object_next_map(object, map) };
            prog = if prog.is_null() { prog } else { uxdp_object_next_prog(object, prog) };
        }
        match bytes.below(5) {
            0 => {
                let n = number(bytes);
                let small = n < 4096 || n > u32::MAX - 256;
                said(uxdp_map_set_max_entries(map, if small { n } else { 7 }));
            }
            1 => {
                let data = vec![bytes.byte(); bytes.below(80)];
                said(uxdp_map_set_initial_value(map, data.as_ptr().cast(), data.len()));
            }
            2 => {
                said(uxdp_prog_set_autoload(prog, i32::from(bytes.byte() & 1)));
            }
            3 => {
                said(uxdp_map_reuse(map, world.map(bytes)));
            }
            _ => {
                assert!(uxdp_object_find_map(object, c"no such map".as_ptr()).is_null());
                assert!(map.is_null() || !uxdp_object_find_map(object, uxdp_map_name(map)).is_null());
                assert!(uxdp_object_find_prog(object, c"no such program".as_ptr()).is_null());
            }
        }
    }
}

pub(super) fn load(world: &mut World, bytes: &mut Bytes<'_>) {
    let object = world.object(bytes);
    let mut log = LogBuf::new(bytes);
    let opts = uxdp_load_opts {
        sz: if bytes.rarely(16) {
            size_of_struct::<uxdp_load_opts>(bytes)
        } else {
            size_of::<uxdp_load_opts>()
        },
        engine: bytes.below(4) as u32,
        flags: if bytes.rarely(4) { bytes.below(16) as u32 } else { 0 },
        // Small programs need no more; one that goes on and on comes to its end sooner.
        verifier_mem: 1 << (16 + bytes.below(4)),
        log_buf: log.at(),
        log_size: log.size,
        log_level: if log.size == 0 { 0 } else { bytes.below(8) as u32 },
        reserved: 0,
        // A program with bytes flipped may go on for a long time.
        run_limit: 100_000,
        run_time_limit: if bytes.rarely(8) { 1_000_000 } else { 0 },
    };
    // SAFETY: a handle of ours; options and log are ours.
    let done = said(unsafe { uxdp_object_load(object, &opts) });
    log.checked();
    // SAFETY: handles of the object, which lives; each is held by a reference of its own from here on.
    unsafe {
        let mut map = uxdp_object_next_map(object, null());
        while !map.is_null() && done == 0 {
            world.keep_map(uxdp_map_ref(map));
            map = uxdp_object_next_map(object, map);
        }
        let mut prog = uxdp_object_next_prog(object, null());
        while !prog.is_null() && done == 0 {
            world.keep_prog(uxdp_prog_ref(prog));
            prog = uxdp_object_next_prog(object, prog);
        }
    }
}

/// Where a call that writes text or bytes puts them.
pub(super) fn out(room: &mut [u8]) -> *mut c_void {
    room.as_mut_ptr().cast()
}
