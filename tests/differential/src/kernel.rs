//! Linux: the generator's maps, a program loaded from instructions, one packet.

use crate::{Maps, Outcome, first_entries};
use anyhow::{Result, bail};
use libbpf_sys as bpf;
use std::ffi::{c_int, c_void};
use std::ptr;
use uxdp_core::isa::Insn;
use uxdp_core::maps::MapType;
use uxdp_generate::world::{FROZEN, MADE};

/// What a map of maps has inside, and the array of constants.
const OUTER: usize = 8;
const CONSTANTS: usize = 3;
const XDP_TX: u32 = 3;

pub(crate) struct Kernel {
    fds: Vec<c_int>,
    cpus: usize,
    ring: *mut bpf::ring_buffer,
    /// Where the ring's callback puts records; its address is the callback's context, so that it never moves.
    records: Box<Records>,
    out: Vec<u8>,
}

#[derive(Default)]
struct Records(Vec<Vec<u8>>);

unsafe extern "C" fn sample(ctx: *mut c_void, data: *mut c_void, size: bpf::size_t) -> c_int {
    // SAFETY: the context is `Kernel::records`, which nothing else uses during a consume; libbpf hands `size` readable bytes.
    unsafe {
        let record = std::slice::from_raw_parts(data.cast::<u8>(), size as usize).to_vec();
        (*ctx.cast::<Records>()).0.push(record);
    }
    0
}

impl Kernel {
    /// The maps, or why there are none.
    pub(crate) fn open() -> Result<Kernel> {
        // SAFETY: takes plain numbers.
        unsafe { bpf::libbpf_set_print(None) };
        // SAFETY: takes nothing.
        let cpus = usize::try_from(unsafe { bpf::libbpf_num_possible_cpus() }).unwrap_or(1);
        let (records, out) = (Box::default(), vec![0; 1 << 13]);
        let mut kernel = Kernel { fds: Vec::new(), cpus, ring: ptr::null_mut(), records, out };
        for (i, spec) in MADE.iter().enumerate() {
            let mut opts = bpf::bpf_map_create_opts {
                sz: size_of::<bpf::bpf_map_create_opts>() as _,
                ..Default::default()
            };
            opts.map_flags = spec.flags;
            if i == OUTER {
                opts.inner_map_fd = kernel.fds[0] as u32;
            }
            // SAFETY: the name ends with NUL, the options outlive the call.
            let fd = unsafe {
                bpf::bpf_map_create(
                    spec.kind as u32,
                    c"generated".as_ptr(),
                    spec.key_size,
                    spec.value_size,
                    spec.max_entries,
                    &opts,
                )
            };
            if fd < 0 {
                bail!("Linux makes no map of type {}: errno {}", spec.kind.name(), -fd);
            }
            kernel.fds.push(fd);
        }
        kernel.update(CONSTANTS, &[0; 4], &FROZEN);
        // SAFETY: a descriptor of ours.
        unsafe { bpf::bpf_map_freeze(kernel.fds[CONSTANTS]) };
        let inner = kernel.fds[0].to_le_bytes();
        for key in 0..2u32 {
            kernel.update(OUTER, &key.to_le_bytes(), &inner);
        }
        let ring = MADE.iter().position(|s| s.kind == MapType::Ringbuf).map_or(-1, |i| kernel.fds[i]);
        let context: *mut Records = &mut *kernel.records;
        // SAFETY: the context lives in a box as long as the ring.
        kernel.ring = unsafe { bpf::ring_buffer__new(ring, Some(sample), context.cast(), ptr::null()) };
        if kernel.ring.is_null() {
            bail!("libbpf cannot read the ring");
        }
        Ok(kernel)
    }

    fn update(&self, map: usize, key: &[u8], value: &[u8]) {
        // SAFETY: key and value are as long as the map's.
        unsafe { bpf::bpf_map_update_elem(self.fds[map], key.as_ptr().cast(), value.as_ptr().cast(), 0) };
    }

    /// Loads a program; `None` where Linux refuses it.
    pub(crate) fn load(&self, insns: &[Insn]) -> Option<Loaded> {
        let mut opts = bpf::bpf_prog_load_opts {
            sz: size_of::<bpf::bpf_prog_load_opts>() as _,
            attempts: 1,
            fd_array: self.fds.as_ptr(),
            ..Default::default()
        };
        const { assert!(size_of::<Insn>() == 8) };
        // SAFETY: instructions have the kernel's layout; everything outlives the call.
        let fd = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_XDP,
                c"generated".as_ptr(),
                c"GPL".as_ptr(),
                insns.as_ptr().cast(),
                insns.len() as _,
                &mut opts,
            )
        };
        (fd >= 0).then_some(Loaded(fd))
    }

    /// The last line of the reason for which a program is refused.
    pub(crate) fn reason(&self, insns: &[Insn]) -> String {
        let mut log = vec![0u8; 1 << 22];
        let mut opts = bpf::bpf_prog_load_opts {
            sz: size_of::<bpf::bpf_prog_load_opts>() as _,
            attempts: 1,
            fd_array: self.fds.as_ptr(),
            log_level: 1,
            log_size: log.len() as u32,
            log_buf: log.as_mut_ptr().cast(),
            ..Default::default()
        };
        // SAFETY: as in `load`.
        let fd = unsafe {
            bpf::bpf_prog_load(
                bpf::BPF_PROG_TYPE_XDP,
                c"generated".as_ptr(),
                c"GPL".as_ptr(),
                insns.as_ptr().cast(),
                insns.len() as _,
                &mut opts,
            )
        };
        drop((fd >= 0).then_some(Loaded(fd)));
        let text = String::from_utf8_lossy(&log);
        let mut lines = text
            .trim_end_matches('\0')
            .lines()
            .filter(|l| !l.starts_with("processed ") && !l.trim().is_empty());
        format!("errno {}: {}", -fd, lines.next_back().unwrap_or_default())
    }

    /// Runs a packet; what is left then, the maps as they were made before.
    pub(crate) fn run(&mut self, program: &Loaded, packet: &[u8]) -> Result<Outcome> {
        self.reset();
        let mut ctx = bpf::xdp_md { data_end: packet.len() as u32, ..Default::default() };
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
        let status = unsafe { bpf::bpf_prog_test_run_opts(program.0, &mut opts) };
        if status != 0 {
            bail!("the test run ends with errno {}", -status);
        }
        let out = &self.out[..opts.data_size_out as usize];
        let (metadata, data) = out.split_at((after.data as usize).min(out.len()));
        let (packet, metadata) = (data.to_vec(), metadata.to_vec());
        // No generated program names a target: what is above XDP_TX ends as ABORTED here, when it would be sent on there.
        let action = if opts.retval > XDP_TX { 0 } else { opts.retval };
        Ok(Outcome { action, packet, metadata, maps: self.contents() })
    }

    fn keys(&self, map: usize) -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let mut next = vec![0u8; MADE[map].key_size as usize];
        loop {
            let from = keys.last().map_or(ptr::null(), |k| k.as_ptr().cast());
            // SAFETY: keys are as long as the map's.
            if unsafe { bpf::bpf_map_get_next_key(self.fds[map], from, next.as_mut_ptr().cast()) } != 0 {
                return keys;
            }
            keys.push(next.clone());
        }
    }

    /// Every map as it was made.
    fn reset(&mut self) {
        for (map, spec) in MADE.iter().enumerate() {
            match spec.kind {
                MapType::Array | MapType::PercpuArray if map != CONSTANTS => {
                    let zeros = vec![0; self.cpus * (spec.value_size as usize).next_multiple_of(8)];
                    for key in 0..spec.max_entries {
                        self.update(map, &key.to_le_bytes(), &zeros);
                    }
                }
                MapType::Hash => {
                    for key in self.keys(map) {
                        // SAFETY: the key is one of the map's.
                        unsafe { bpf::bpf_map_delete_elem(self.fds[map], key.as_ptr().cast()) };
                    }
                    for (key, value) in first_entries(spec) {
                        self.update(map, &key, &value);
                    }
                }
                MapType::Ringbuf | MapType::Queue => drop(self.drained(map)),
                _ => {}
            }
        }
    }

    fn drained(&mut self, map: usize) -> Vec<Vec<u8>> {
        let spec = &MADE[map];
        if spec.kind == MapType::Ringbuf {
            // SAFETY: made by `open`; the callback uses the records, which nothing else does meanwhile.
            unsafe { bpf::ring_buffer__consume(self.ring) };
            return std::mem::take(&mut self.records.0);
        }
        let mut taken = Vec::new();
        let mut value = vec![0u8; spec.value_size as usize];
        // SAFETY: a buffer of a value's size.
        while unsafe {
            bpf::bpf_map_lookup_and_delete_elem(self.fds[map], ptr::null(), value.as_mut_ptr().cast())
        } == 0
        {
            taken.push(value.clone());
        }
        taken
    }

    fn contents(&mut self) -> Maps {
        let mut maps = Maps::new();
        for (map, spec) in MADE.iter().enumerate() {
            let mut all: Vec<_> = match spec.kind {
                MapType::Ringbuf | MapType::Queue => {
                    self.drained(map).into_iter().map(|taken| (Vec::new(), taken)).collect()
                }
                MapType::ProgArray | MapType::ArrayOfMaps => Vec::new(),
                _ => self.keys(map).into_iter().map(|key| self.looked_up(map, key)).collect(),
            };
            if spec.key_size != 0 {
                all.sort();
            }
            maps.push(all);
        }
        maps
    }

    fn looked_up(&self, map: usize, key: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let size = MADE[map].value_size as usize;
        let mut value = vec![0u8; self.cpus * size.next_multiple_of(8)];
        // SAFETY: room for each CPU's value.
        unsafe { bpf::bpf_map_lookup_elem(self.fds[map], key.as_ptr().cast(), value.as_mut_ptr().cast()) };
        value.truncate(size);
        (key, value)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: made by `open`; libbpf accepts null. Descriptors are ours.
        unsafe {
            bpf::ring_buffer__free(self.ring);
            for fd in &self.fds {
                libc::close(*fd);
            }
        }
    }
}

/// A program in the kernel.
pub(crate) struct Loaded(c_int);

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: a descriptor of ours, closed once.
        unsafe { libc::close(self.0) };
    }
}
