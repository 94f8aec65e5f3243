//! The kernel's own maps through bpf(2), as judges beside the models.

use super::*;

const CREATE: u64 = 0;
const LOOKUP: u64 = 1;
const UPDATE: u64 = 2;
const DELETE: u64 = 3;
const NEXT: u64 = 4;
const TAKE: u64 = 21;

/// A map of the kernel.
pub(super) struct KernelMap(libc::c_long);

fn bpf(cmd: u64, attr: &[u64; 16]) -> Result<libc::c_long, Errno> {
    // SAFETY: the attributes live over the call; the addresses in them are of buffers of the map's sizes.
    let done = unsafe { libc::syscall(libc::SYS_bpf, cmd, attr.as_ptr(), size_of_val(attr)) };
    // SAFETY: always valid to read.
    if done < 0 { Err(Errno(unsafe { *libc::__errno_location() })) } else { Ok(done) }
}

fn halves(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl KernelMap {
    /// `None` where the system does not permit it, with a line that says so. CI permits it, so there it is a failure.
    pub(super) fn new(spec: &MapSpec) -> Option<KernelMap> {
        let mut attr = [0; 16];
        attr[0] = halves(spec.kind as u32, spec.key_size);
        attr[1] = halves(spec.value_size, spec.max_entries);
        attr[2] = halves(spec.flags, 0);
        attr[8] = spec.extra;
        match bpf(CREATE, &attr) {
            Ok(fd) => Some(KernelMap(fd)),
            Err(Errno::EPERM | Errno(38)) => {
                assert!(
                    std::env::var("CI").is_err(),
                    "CI has to ask the kernel, but bpf(2) is not permitted"
                );
                std::eprintln!("skipped: bpf(2) is not permitted here");
                None
            }
            Err(e) => panic!("the kernel refuses {spec:?}: {e}"),
        }
    }

    fn element(&self, cmd: u64, key: Option<&[u8]>, value: u64, flags: u64) -> Result<(), Errno> {
        let mut attr = [0; 16];
        attr[0] = self.0 as u64;
        attr[1] = key.filter(|k| !k.is_empty()).map_or(0, |k| k.as_ptr() as u64);
        (attr[2], attr[3]) = (value, flags);
        bpf(cmd, &attr).map(drop)
    }

    pub(super) fn lookup_elem(&self, key: &[u8], out: &mut [u8], flags: u64) -> Result<(), Errno> {
        self.element(LOOKUP, Some(key), out.as_mut_ptr() as u64, flags)
    }

    pub(super) fn update_elem(&self, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.element(UPDATE, Some(key), value.as_ptr() as u64, flags)
    }

    pub(super) fn delete_elem(&self, key: &[u8]) -> Result<(), Errno> {
        self.element(DELETE, Some(key), 0, 0)
    }

    pub(super) fn take(&self, key: &[u8], out: &mut [u8]) -> Result<(), Errno> {
        self.element(TAKE, Some(key), out.as_mut_ptr() as u64, 0)
    }

    pub(super) fn next_key(&self, key: Option<&[u8]>, out: &mut [u8]) -> Result<(), Errno> {
        self.element(NEXT, key, out.as_mut_ptr() as u64, 0)
    }
}

impl Drop for KernelMap {
    fn drop(&mut self) {
        // SAFETY: a descriptor of our own.
        unsafe { libc::close(self.0 as i32) };
    }
}

/// Numbers for operation sequences: xorshift, so that a failure repeats.
pub(in crate::maps) struct Random(pub(in crate::maps) u64);

impl Random {
    pub(in crate::maps) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % n
    }
}
