//! The kernel as an oracle: `bpf(2)` by its number, where it is permitted.

use super::world::{FROZEN, SPECS};
use crate::isa::Insn;
use std::io::Write;

const MAP_CREATE: u64 = 0;
const MAP_UPDATE: u64 = 2;
const MAP_LOOKUP: u64 = 1;
const PROG_LOAD: u64 = 5;
const PROG_TEST_RUN: u64 = 10;
const MAP_FREEZE: u64 = 22;

fn syscall(nr: u64, a: u64, b: u64, c: u64) -> i64 {
    let out: i64;
    // SAFETY: the callers pass buffers that live over the call; bpf and close write nothing beyond them.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") nr as i64 => out, in("rdi") a, in("rsi") b, in("rdx") c,
            out("rcx") _, out("r11") _);
    }
    out
}

fn bpf(cmd: u64, attr: &mut [u64]) -> i64 {
    syscall(321, cmd, attr.as_mut_ptr() as u64, (attr.len() * 8) as u64)
}

/// The case's maps in the kernel.
pub(crate) struct Kernel {
    fds: Vec<i32>,
}

impl Kernel {
    /// `None` where the system does not permit it, with a line that says so. CI permits it, so there it is a failure.
    pub(crate) fn open() -> Option<Kernel> {
        let kernel = Self::with_maps();
        if kernel.is_none() {
            assert!(std::env::var("CI").is_err(), "CI has to ask the kernel, but bpf(2) is not permitted");
            // Not println: the harness would keep that to itself where the test passes.
            std::io::stderr().write_all(b"skipped: bpf(2) is not permitted here\n").unwrap();
        }
        kernel
    }

    fn with_maps() -> Option<Kernel> {
        let mut k = Kernel { fds: Vec::new() };
        for (i, s) in SPECS.iter().enumerate() {
            let low_high = |a: u32, b: u32| u64::from(a) | u64::from(b) << 32;
            let mut attr = [0u64; 16];
            attr[0] = low_high(s.kind as u32, s.key_size);
            attr[1] = low_high(s.value_size, s.max_entries);
            attr[2] = low_high(s.flags, 0);
            let fd = bpf(MAP_CREATE, &mut attr);
            if fd < 0 {
                return None;
            }
            k.fds.push(fd as i32);
            if i == 3 {
                let key = 0u32;
                let mut attr = [fd as u64, &raw const key as u64, FROZEN.as_ptr() as u64, 0];
                assert_eq!(bpf(MAP_UPDATE, &mut attr), 0);
                assert_eq!(bpf(MAP_FREEZE, &mut [fd as u64]), 0);
            }
        }
        Some(k)
    }

    /// Sets the first value of an array.
    pub(crate) fn set(&self, map: usize, value: &[u8]) {
        let key = 0u32;
        let mut attr = [self.fds[map] as u64, &raw const key as u64, value.as_ptr() as u64, 0];
        assert_eq!(bpf(MAP_UPDATE, &mut attr), 0);
    }

    /// The first value of an array.
    pub(crate) fn get(&self, map: usize, size: usize) -> Vec<u8> {
        let (key, mut value) = (0u32, vec![0u8; size]);
        let mut attr = [self.fds[map] as u64, &raw const key as u64, value.as_mut_ptr() as u64, 0];
        assert_eq!(bpf(MAP_LOOKUP, &mut attr), 0);
        value
    }

    /// The result and the packet afterwards; `None` where the kernel refuses the program.
    pub(crate) fn run(&self, insns: &[Insn], packet: &[u8]) -> Option<(u32, Vec<u8>)> {
        let mut attr = [0u64; 20];
        attr[0] = 6 | (insns.len() as u64) << 32;
        attr[1] = insns.as_ptr() as u64;
        attr[2] = c"GPL".as_ptr() as u64;
        attr[15] = self.fds.as_ptr() as u64;
        let fd = bpf(PROG_LOAD, &mut attr);
        if fd < 0 {
            return None;
        }
        let mut out = vec![0u8; 512];
        let mut run = [0u64; 10];
        run[0] = fd as u64;
        run[1] = packet.len() as u64 | (out.len() as u64) << 32;
        run[2] = packet.as_ptr() as u64;
        run[3] = out.as_mut_ptr() as u64;
        let status = bpf(PROG_TEST_RUN, &mut run);
        syscall(3, fd as u64, 0, 0);
        assert_eq!(status, 0, "the test run");
        out.truncate((run[1] >> 32) as usize);
        Some(((run[0] >> 32) as u32, out))
    }

    /// `Err` has the log.
    pub(crate) fn load(&self, insns: &[Insn]) -> Result<String, String> {
        let mut log = vec![0u8; 1 << 24];
        let mut attr = [0u64; 20];
        attr[0] = 6 | (insns.len() as u64) << 32;
        attr[1] = insns.as_ptr() as u64;
        attr[2] = c"GPL".as_ptr() as u64;
        attr[3] = 2 | (log.len() as u64) << 32;
        attr[4] = log.as_mut_ptr() as u64;
        attr[15] = self.fds.as_ptr() as u64;
        let fd = bpf(PROG_LOAD, &mut attr);
        let end = log.iter().position(|b| *b == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&log[..end]).into_owned();
        if fd >= 0 {
            syscall(3, fd as u64, 0, 0);
            Ok(text)
        } else {
            Err(format!("{fd}\n{text}"))
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for fd in &self.fds {
            syscall(3, *fd as u64, 0, 0);
        }
    }
}
