//! How many CPUs the machine can ever have: the number of slots in the kernel's per-CPU maps. The node of the one that runs.

use crate::file::read_file;

const LIST: &core::ffi::CStr = c"/sys/devices/system/cpu/possible";

/// From the kernel's list; where it cannot be read, the C library's count of configured CPUs.
pub(crate) fn possible() -> u32 {
    let mut text = [0; 256];
    read_file(LIST, &mut text).and_then(count).unwrap_or_else(configured)
}

/// The NUMA node of the CPU that runs this thread.
pub(crate) fn node() -> u32 {
    let (mut cpu, mut node) = (0u32, 0u32);
    // SAFETY: both are writable; the third argument is not used any more.
    let done =
        unsafe { libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut node, core::ptr::null_mut::<u8>()) };
    if done == 0 { node } else { 0 }
}

fn configured() -> u32 {
    // SAFETY: it takes a number.
    u32::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) }).unwrap_or(1).max(1)
}

/// One more than the last number of a list such as `0-3,8-11`.
fn count(list: &[u8]) -> Option<u32> {
    let last = list.trim_ascii_end().rsplit(|b| !b.is_ascii_digit()).next()?;
    core::str::from_utf8(last).ok()?.parse::<u32>().ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_the_kernel_are_counted_by_their_last_cpu() {
        for (list, n) in [("0\n", Some(1)), ("0-3\n", Some(4)), ("0-3,8-11\n", Some(12)), ("0,2", Some(3))] {
            assert_eq!(count(list.as_bytes()), n, "{list:?}");
        }
        for bad in ["", "\n", "0-", "99999999999", "4294967295"] {
            assert_eq!(count(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(possible() >= 1);
        assert!(configured() >= 1);
    }
}
