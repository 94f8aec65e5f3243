//! Linux's maps: the same object's programs, run by BPF_PROG_TEST_RUN, a chunk a call.

use crate::keys::Route;
use crate::measure::{Ask, CHUNK, Lane, Make};
use crate::ours::HostOp;
use anyhow::{Context, Result, ensure};
use libbpf_sys as bpf;
use std::ffi::{CString, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;
use std::time::Instant;
use uxdp_core::maps::MapType;

/// Keys of a batch.
const BATCH: usize = 65_536;

/// A loaded object, one map of which has entries.
pub(crate) struct Linux {
    obj: *mut bpf::bpf_object,
    map: i32,
    key_size: usize,
    slots: usize,
}

// SAFETY: after loading, only descriptors are used, which threads may share.
unsafe impl Sync for Linux {}

impl Drop for Linux {
    fn drop(&mut self) {
        // SAFETY: `new` opened it; no lane outlives it.
        unsafe { bpf::bpf_object__close(self.obj) }
    }
}

/// As [`crate::ours::create`]; the bytes are what Linux charges for.
pub(crate) fn create(kind: MapType, entries: u32) -> Result<(f64, usize)> {
    let key_size = if kind == MapType::Array { 4 } else { 8 };
    let start = Instant::now();
    // SAFETY: numbers, a name that ends with NUL, no options.
    let fd = unsafe { bpf::bpf_map_create(kind as u32, c"made".as_ptr(), key_size, 8, entries, ptr::null()) };
    let took = start.elapsed().as_secs_f64();
    ensure!(fd >= 0, "Linux makes no such map: {fd}");
    let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    // SAFETY: a descriptor of our own.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    let bytes = said.lines().find_map(|l| l.strip_prefix("memlock:")).context("no memlock")?;
    Ok((took, bytes.trim().parse()?))
}

impl Linux {
    /// As [`crate::ours::Ours::new`].
    pub(crate) fn new(file: &Path, map: &str, entries: u32) -> Result<Linux> {
        let path = CString::new(file.to_str().context("a path of readable characters")?)?;
        let wanted = CString::new(map)?;
        // SAFETY: names end with NUL; the object is closed by `Drop`; maps are of the open object.
        unsafe {
            bpf::libbpf_set_print(None);
            let obj = bpf::bpf_object__open(path.as_ptr());
            ensure!(!obj.is_null(), "libbpf cannot open {}", file.display());
            let mut linux = Linux { obj, map: -1, key_size: 0, slots: 1 };
            let mut each = ptr::null_mut();
            loop {
                each = bpf::bpf_object__next_map(obj, each);
                if each.is_null() {
                    break;
                }
                bpf::bpf_map__set_max_entries(each, 1);
            }
            let chosen = bpf::bpf_object__find_map_by_name(obj, wanted.as_ptr());
            ensure!(!chosen.is_null(), "no map {map}");
            bpf::bpf_map__set_max_entries(chosen, entries);
            let status = bpf::bpf_object__load(obj);
            ensure!(status == 0, "Linux does not load {}: {status}", file.display());
            linux.map = bpf::bpf_map__fd(chosen);
            linux.key_size = bpf::bpf_map__key_size(chosen) as usize;
            if map.starts_with("percpu") {
                linux.slots = bpf::libbpf_num_possible_cpus() as usize;
            }
            Ok(linux)
        }
    }

    /// As [`crate::ours::Ours::fill`].
    pub(crate) fn fill(&self, entries: u32) -> Result<()> {
        let all: Vec<u64> = (0..u64::from(entries)).collect();
        for some in all.chunks(BATCH) {
            let values: Vec<u64> = some.iter().flat_map(|v| std::iter::repeat_n(*v, self.slots)).collect();
            let keys: Vec<u8> = some.iter().flat_map(|k| k.to_le_bytes()[..self.key_size].to_vec()).collect();
            self.batch(keys.as_ptr().cast(), values.as_ptr().cast(), some.len())?;
        }
        Ok(())
    }

    /// One element.
    pub(crate) fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: a key and a value of the map's sizes.
        let status =
            unsafe { bpf::bpf_map_update_elem(self.map, key.as_ptr().cast(), value.as_ptr().cast(), 0) };
        ensure!(status == 0, "Linux does not take an element: {status}");
        Ok(())
    }

    /// Puts the map `inner` into the chosen map of maps.
    pub(crate) fn put_inner(&self) -> Result<()> {
        // SAFETY: a loaded object; the name ends with NUL.
        let fd = unsafe { bpf::bpf_object__find_map_fd_by_name(self.obj, c"inner".as_ptr()) };
        self.set(&[0; 4], &fd.to_le_bytes())
    }

    pub(crate) fn add(&self, routes: &[Route]) -> Result<()> {
        let key = |r: &Route| u64::from(r.len) | u64::from(r.address.to_be()) << 32;
        let keys: Vec<u64> = routes.iter().map(key).collect();
        let values: Vec<u64> = (1..=routes.len() as u64).collect();
        self.batch(keys.as_ptr().cast(), values.as_ptr().cast(), keys.len())
    }

    fn batch(&self, keys: *const c_void, values: *const c_void, n: usize) -> Result<()> {
        let mut count = n as u32;
        // SAFETY: `n` keys and values of the map's sizes, which outlive the call.
        let status = unsafe { bpf::bpf_map_update_batch(self.map, keys, values, &mut count, ptr::null()) };
        ensure!(status == 0, "Linux takes {count} of {n} entries: {status}");
        Ok(())
    }

    /// bpf(2)'s operations.
    pub(crate) fn control(&self, op: HostOp) -> Make<'_> {
        Box::new(move |_| {
            let (keys, values) = (vec![0; CHUNK], vec![0; CHUNK * self.slots]);
            Ok(Box::new(Control { map: self.map, op, key: u64::MAX, cursor: None, keys, values }))
        })
    }

    pub(crate) fn program<'a>(&'a self, name: &'a str) -> Make<'a> {
        Box::new(move |thread| {
            let wanted = CString::new(name)?;
            // SAFETY: a loaded object; the name ends with NUL.
            let fd = unsafe {
                bpf::bpf_program__fd(bpf::bpf_object__find_program_by_name(self.obj, wanted.as_ptr()))
            };
            ensure!(fd >= 0, "no program {name}");
            let fresh = (u64::from(thread) + 1) << 50;
            let ring = match name.starts_with("ring") {
                // SAFETY: the map's descriptor, a function that takes what it is given, and no options.
                true => unsafe { bpf::ring_buffer__new(self.map, Some(seen), ptr::null_mut(), ptr::null()) },
                false => ptr::null_mut(),
            };
            Ok(Box::new(Program { fd, fresh, evicts: name.ends_with("evict"), ring }))
        })
    }
}

unsafe extern "C" fn seen(_: *mut c_void, _: *mut c_void, _: bpf::size_t) -> i32 {
    0
}

/// Buffers of the control plane, and where a walk is.
struct Control {
    map: i32,
    op: HostOp,
    key: u64,
    cursor: Option<u32>,
    keys: Vec<u64>,
    values: Vec<u64>,
}

impl Control {
    fn walk(&mut self) {
        for _ in 0..CHUNK {
            let mut next = 0u64;
            // SAFETY: keys of eight bytes.
            unsafe {
                let to = (&raw mut next).cast();
                if bpf::bpf_map_get_next_key(self.map, (&raw const self.key).cast(), to) != 0 {
                    bpf::bpf_map_get_next_key(self.map, ptr::null(), to);
                }
            }
            self.key = next;
        }
    }

    fn read(&mut self) {
        let mut left = CHUNK as u32;
        while left > 0 {
            let (mut next, mut count) = (0u32, left);
            let mut from = self.cursor.unwrap_or(0);
            let at = if self.cursor.is_some() { (&raw mut from).cast() } else { ptr::null_mut() };
            // SAFETY: room for `count` keys and values, cursors of four bytes.
            let status = unsafe {
                bpf::bpf_map_lookup_batch(
                    self.map,
                    at,
                    (&raw mut next).cast(),
                    self.keys.as_mut_ptr().cast(),
                    self.values.as_mut_ptr().cast(),
                    &mut count,
                    ptr::null(),
                )
            };
            // ENOSPC: the next bucket has more than what is left of the chunk.
            if status == -libc::ENOSPC {
                break;
            }
            left -= count.min(left);
            self.cursor = (status == 0).then_some(next);
        }
    }

    fn write(&mut self, keys: &[u64]) {
        let mut count = keys.len() as u32;
        let at = keys.as_ptr().cast();
        // SAFETY: `count` keys and values of eight bytes.
        unsafe { bpf::bpf_map_update_batch(self.map, at, at, &mut count, ptr::null()) };
    }

    fn take(&mut self, keys: &[u64]) {
        for key in keys {
            let key = (&raw const *key).cast();
            // SAFETY: a key and a value of eight bytes.
            unsafe {
                bpf::bpf_map_lookup_and_delete_elem(self.map, key, self.values.as_mut_ptr().cast());
                bpf::bpf_map_update_elem(self.map, key, key, 0);
            }
        }
    }
}

impl Lane for Control {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        match self.op {
            HostOp::Walk => self.walk(),
            HostOp::ReadBatch => self.read(),
            HostOp::WriteBatch => self.write(ask.keys),
            _ => self.take(ask.keys),
        }
        self.key
    }
}

struct Program {
    fd: i32,
    fresh: u64,
    evicts: bool,
    /// What the program fills and the host empties; null for none.
    ring: *mut bpf::ring_buffer,
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: null, or made by `program` and freed once.
        unsafe { bpf::ring_buffer__free(self.ring) };
    }
}

impl Lane for Program {
    fn run(&mut self, ask: &Ask<'_>) -> u64 {
        let packet = crate::packet(ask, self.evicts.then_some(&mut self.fresh));
        let mut opts = bpf::bpf_test_run_opts {
            sz: size_of::<bpf::bpf_test_run_opts>() as _,
            data_in: packet.as_ptr().cast(),
            data_size_in: packet.len() as u32,
            repeat: 1,
            ..Default::default()
        };
        // SAFETY: the packet outlives the call.
        unsafe { bpf::bpf_prog_test_run_opts(self.fd, &mut opts) };
        if !self.ring.is_null() {
            // SAFETY: a ring of this lane's.
            unsafe { bpf::ring_buffer__consume(self.ring) };
        }
        u64::from(opts.retval)
    }
}
