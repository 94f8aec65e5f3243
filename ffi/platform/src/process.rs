//! Processes by numbers that are not given twice: the pid, and a digest of when the process started and of the machine's boot.
//!
//! A pid comes back after its process ended, and after the machine restarted; together with the start time and the boot's id it does not. A process is gone for certain
//! when no process has its pid, when the one that has it started at another time, or when it is a zombie without threads. Where the kernel does not show a
//! process (a `hidepid` mount), it is in doubt. Pids mean the same in one PID namespace, which is the realm.
//! Source: `proc_pid_stat(5)`.

use crate::errno;
use crate::file::read_file;
use core::ffi::CStr;

/// Bits of a pid: the kernel's `PID_MAX_LIMIT`.
const PID_BITS: u32 = 22;
/// Longest line of a process: 52 numbers and a name of 16 bytes.
const LINE: usize = 1280;

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    threads: u64,
    /// Ticks after the machine's boot.
    start: u64,
}

/// This process.
pub(crate) fn own() -> Option<u64> {
    // SAFETY: it takes nothing.
    let pid = u32::try_from(unsafe { libc::getpid() }).ok()?;
    number(pid, stat_of(pid)?.start)
}

/// Whether the process with this number is gone for certain.
pub(crate) fn is_gone(process: u64) -> bool {
    let pid = process as u32 & ((1 << PID_BITS) - 1);
    if pid == 0 {
        return true;
    }
    // SAFETY: signal 0 asks only; a pid of at most 22 bits is positive.
    let there = unsafe { libc::kill(pid as i32, 0) } == 0 || errno() != libc::ESRCH;
    // What cannot be read is in doubt.
    let other = |s: Stat| number(pid, s.start).is_some_and(|n| n != process);
    !there || stat_of(pid).is_some_and(|s| s.is_over() || other(s))
}

/// The PID namespace, by its inode.
pub(crate) fn realm() -> u64 {
    let mut stat = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: a NUL-terminated path, and room for the answer, which zeroes initialise.
    unsafe {
        libc::stat(c"/proc/self/ns/pid".as_ptr(), stat.as_mut_ptr());
        stat.assume_init().st_ino
    }
}

impl Stat {
    /// A zombie's main thread may have ended before the others.
    fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

fn number(pid: u32, start: u64) -> Option<u64> {
    let mut id = [0; 64];
    let boot = read_file(c"/proc/sys/kernel/random/boot_id", &mut id)?;
    // FNV-1a, then the finaliser of SplitMix64.
    let start = start.to_le_bytes();
    let bytes = boot.iter().chain(&start);
    let mut bits =
        bytes.fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some((bits ^ bits >> 31) << PID_BITS | u64::from(pid))
}

fn stat_of(pid: u32) -> Option<Stat> {
    let mut path = *b"/proc/0000000000/stat\0";
    let digits = path.get_mut(6..16)?;
    let mut rest = pid;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // The kernel knows no leading zeroes.
    let zeroes = digits.iter().take_while(|d| **d == b'0').count().min(9);
    path.copy_within(6 + zeroes.., 6);
    let mut line = [0; LINE];
    parse(read_file(CStr::from_bytes_until_nul(&path).ok()?, &mut line)?)
}

/// The fields behind the name, which may have spaces and parentheses.
fn parse(line: &[u8]) -> Option<Stat> {
    let name_end = line.iter().rposition(|b| *b == b')')?;
    let mut fields = line.get(name_end + 2..)?.split(|b| *b == b' ');
    let state = *fields.next()?.first()?;
    let number = |field: &[u8]| core::str::from_utf8(field).ok()?.trim_ascii_end().parse::<u64>().ok();
    let threads = number(fields.nth(16)?)?;
    Some(Stat { state, threads, start: number(fields.nth(1)?)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let line = b"7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 8812345 5 6";
        assert_eq!(parse(line), Some(Stat { state: b'S', threads: 3, start: 8_812_345 }));
        assert_eq!(parse(b"7 (a) S 1 2"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_process_lives_until_it_is_killed_and_its_number_is_its_own() {
        let own = own().unwrap();
        assert!(!is_gone(own) && is_gone(0) && is_gone(own ^ 1 << 40) && realm() != 0);
        let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let number = number(child.id(), stat_of(child.id()).unwrap().start).unwrap();
        assert!(!is_gone(number));
        child.kill().unwrap();
        // A zombie until it is waited for: the kill is under way.
        while !is_gone(number) {
            std::thread::yield_now();
        }
        assert_eq!(stat_of(child.id()).map(|s| s.is_over()), Some(true));
        child.wait().unwrap();
        assert!(is_gone(number));
    }
}
