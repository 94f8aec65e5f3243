//! The few types that bpf(2) wants to be told of: a value with a lock, the functions of a program with a callback.
//! Source: `Documentation/bpf/btf.rst`.

use super::{Fd, bpf};
use std::vec::Vec;

const BTF_LOAD: i64 = 18;
const INT: u32 = 1 << 24;
const STRUCT: u32 = 4 << 24;
const FUNC: u32 = 12 << 24;
const FUNC_PROTO: u32 = 13 << 24;
const GLOBAL: u32 = 1;
const STRINGS: &[u8] = b"\0int\0bpf_spin_lock\0value\0main\0each\0";

/// Of [`value_with_lock`].
pub(super) const KEY: u32 = 1;
pub(super) const VALUE: u32 = 3;
/// Of [`functions`].
pub(super) const MAIN: u32 = 3;
pub(super) const CALLBACK: u32 = 4;

/// Where a name stands.
fn name(text: &str) -> u32 {
    let whole = std::format!("\0{text}\0");
    let at = STRINGS.windows(whole.len()).position(|w| w == whole.as_bytes());
    at.expect("a name of the table") as u32 + 1
}

fn load(types: &[u32]) -> Option<Fd> {
    let len = 4 * types.len() as u32;
    let header = [0x0001_eb9f, 24, 0, len, len, STRINGS.len() as u32];
    let words = header.iter().chain(types).flat_map(|w| w.to_le_bytes());
    let bytes: Vec<u8> = words.chain(STRINGS.iter().copied()).collect();
    let mut attr = [0; 16];
    attr[0] = bytes.as_ptr() as u64;
    attr[2] = bytes.len() as u64;
    Fd::answered(-bpf(BTF_LOAD, &mut attr))
}

fn int() -> [u32; 4] {
    [name("int"), INT, 4, 32]
}

/// A key of four bytes and a value of `size` with a lock at `at`.
pub(super) fn value_with_lock(at: u32, size: u32) -> Option<Fd> {
    let lock = [name("bpf_spin_lock"), STRUCT | 1, 4, name("value"), 1, 0];
    let value = [name("value"), STRUCT | 1, size, name("value"), 2, 8 * at];
    load(&[&int()[..], &lock, &value].concat())
}

/// A program and its callback.
pub(super) fn functions() -> Option<Fd> {
    let proto = [0, FUNC_PROTO, 1];
    let (main, each) = ([name("main"), FUNC | GLOBAL, 2], [name("each"), FUNC, 2]);
    load(&[&int()[..], &proto, &main, &each].concat())
}
