//! The kernel's own map of a type, through bpf(2) by its number: the oracle of the model tests.

mod btf;
mod program;
mod references;
mod ring;
mod subject;

use crate::error::Errno;
use crate::maps::{Batch, BatchInput, MapSpec, MapType};
use std::io::Write;
pub(in crate::maps) use subject::Theirs;

const MAP_CREATE: i64 = 0;
const LOOKUP: i64 = 1;
const UPDATE: i64 = 2;
const DELETE: i64 = 3;
const NEXT_KEY: i64 = 4;
const LOOKUP_AND_DELETE: i64 = 21;
const LOOKUP_BATCH: i64 = 24;
const LOOKUP_AND_DELETE_BATCH: i64 = 25;
const UPDATE_BATCH: i64 = 26;
const DELETE_BATCH: i64 = 27;

/// A map in the kernel; closed when dropped.
#[derive(Debug)]
pub(in crate::maps) struct KernelMap {
    fd: Fd,
    key_size: usize,
    /// Bytes of a value as bpf(2) sees it.
    value_size: usize,
}

/// The errno, or 0.
fn bpf(cmd: i64, attr: &mut [u64; 16]) -> i64 {
    // SAFETY: the callers' attributes point at buffers of the sizes that the command reads or writes, alive over the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd, attr.as_mut_ptr(), size_of::<[u64; 16]>()) };
    if result >= 0 { -result } else { i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) }
}

fn halves(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// CPUs that the kernel's per-CPU values are for.
pub(in crate::maps) fn possible_cpus() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    text.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<u32>().ok()).map_or(1, |last| last + 1)
}

/// CI permits everything that is asked here, so there it is a failure.
fn say_skipped(kind: MapType, why: &str) {
    assert!(std::env::var("CI").is_err(), "CI has to ask the kernel, but of {kind:?} {why}");
    std::io::stderr().write_all(std::format!("skipped: of {kind:?} {why} here\n").as_bytes()).unwrap();
}

/// Whether the kernel is to be left out: in an interpreter, and in an emulator that knows no bpf(2), which says so by `UXDP_NO_KERNEL`.
fn is_absent() -> bool {
    cfg!(miri) || std::env::var_os("UXDP_NO_KERNEL").is_some()
}

impl KernelMap {
    /// `None` where the system does not permit it, with a line that says so. CI permits it, so there it is a failure.
    pub(in crate::maps) fn create(spec: &MapSpec) -> Option<KernelMap> {
        KernelMap::create_with(spec, 0)
    }

    /// A map of maps, with an inner one that is its template.
    pub(in crate::maps) fn create_outer(spec: &MapSpec, inner: &KernelMap) -> Option<KernelMap> {
        KernelMap::create_with(spec, inner.fd.0 as u32)
    }

    fn create_with(spec: &MapSpec, inner: u32) -> Option<KernelMap> {
        if is_absent() {
            return None;
        }
        let mut attr = [0; 16];
        attr[0] = halves(spec.kind as u32, spec.key_size);
        attr[1] = halves(spec.value_size, spec.max_entries);
        attr[2] = halves(spec.flags, inner);
        attr[8] = spec.extra;
        let btf = spec.fields.spin_lock.and_then(|at| btf::value_with_lock(at, spec.value_size));
        if let Some(types) = &btf {
            attr[6] = halves(types.0 as u32, btf::KEY);
            attr[7] = btf::VALUE.into();
        }
        let answer = bpf(MAP_CREATE, &mut attr);
        if answer > 0 {
            say_skipped(spec.kind, "bpf(2) makes none");
            return None;
        }
        let slots = if spec.kind.is_percpu() { possible_cpus() as usize } else { 1 };
        Some(KernelMap {
            fd: Fd(-answer as i32),
            key_size: spec.key_size as usize,
            value_size: spec.slot_value_size() * slots,
        })
    }

    fn element(&self, cmd: i64, key: &[u8], value: *const u8, flags: u64) -> i32 {
        assert_eq!(key.len(), self.key_size);
        let mut attr = [0; 16];
        // Maps without keys want none.
        let key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
        attr[..4].copy_from_slice(&[self.fd.0 as u64, key, value as u64, flags]);
        bpf(cmd, &mut attr) as i32
    }

    /// One operation, answered as [`Map`](crate::maps::Map) answers.
    fn answered(&self, cmd: i64, key: &[u8], value: *const u8, flags: u64) -> Result<(), Errno> {
        match self.element(cmd, key, value, flags) {
            0 => Ok(()),
            errno => Err(Errno(errno)),
        }
    }

    pub(in crate::maps) fn update_elem(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.answered(UPDATE, key, value.as_ptr(), flags)
    }

    pub(in crate::maps) fn take(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        self.answered(LOOKUP_AND_DELETE, key, out.as_ptr(), 0)
    }

    pub(in crate::maps) fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        let mut attr = [0; 16];
        let from = key.map_or(0, |k| k.as_ptr() as u64);
        attr[..3].copy_from_slice(&[self.fd.0 as u64, from, out.as_mut_ptr() as u64]);
        match bpf(NEXT_KEY, &mut attr) as i32 {
            0 => Ok(()),
            errno => Err(Errno(errno)),
        }
    }

    /// The id that an entry with this map shows.
    pub(in crate::maps) fn id(&self) -> u32 {
        self.fd.info("map_id:")
    }

    /// A lookup batch, or with `take` a lookup-and-delete batch: errno and count.
    pub(in crate::maps) fn read_batch(
        &self,
        take: bool,
        from: Option<&[u8]>,
        next: &mut [u8],
        b: &mut Batch<'_>,
    ) -> (i32, u32) {
        let cmd = if take { LOOKUP_AND_DELETE_BATCH } else { LOOKUP_BATCH };
        let mut attr = [0; 16];
        let (keys, values) = (b.keys.as_mut_ptr() as u64, b.values.as_mut_ptr() as u64);
        let from = from.map_or(0, |f| f.as_ptr() as u64);
        attr[..4].copy_from_slice(&[from, next.as_mut_ptr() as u64, keys, values]);
        attr[4..7].copy_from_slice(&[halves(b.count, self.fd.0 as u32), b.elem_flags, b.flags]);
        let errno = bpf(cmd, &mut attr) as i32;
        (errno, attr[4] as u32)
    }

    /// An update batch, or with `delete` a delete batch: errno and count.
    pub(in crate::maps) fn write_batch(&self, delete: bool, b: &BatchInput<'_>) -> (i32, u32) {
        let cmd = if delete { DELETE_BATCH } else { UPDATE_BATCH };
        let mut attr = [0; 16];
        attr[2..4].copy_from_slice(&[b.keys.as_ptr() as u64, b.values.as_ptr() as u64]);
        attr[4..6].copy_from_slice(&[halves(b.count, self.fd.0 as u32), b.elem_flags]);
        let errno = bpf(cmd, &mut attr) as i32;
        (errno, attr[4] as u32)
    }

    /// Bytes that the kernel says it takes.
    pub(in crate::maps) fn memory(&self) -> usize {
        self.fd.info("memlock:") as usize
    }
}

/// A descriptor, closed when dropped.
#[derive(Debug)]
struct Fd(i32);

impl Fd {
    /// What a call answered: a descriptor, or -1.
    fn answered(answer: i64) -> Option<Fd> {
        (answer >= 0).then_some(Fd(answer as i32))
    }

    /// A number that procfs tells of it.
    fn info(&self, field: &str) -> u32 {
        let info = std::fs::read_to_string(std::format!("/proc/self/fdinfo/{}", self.0)).unwrap();
        info.lines().find_map(|l| l.strip_prefix(field)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: a descriptor of our own, closed once.
        unsafe { libc::close(self.0) };
    }
}
