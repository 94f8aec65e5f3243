//! Helpers: functions that programs call by number. One table row each: prototype for the verifier, function for every engine.
//!
//! One family a file. A helper's logic may not allocate, panic or wait. Arguments are what the prototype says, proven by the verifier: that is the argument of
//! every `unsafe` in this folder. Prototypes, results and errors are the kernel's (Linux 6.18), asked where they are not documented.

mod csum;
mod format;
mod map;
mod packet;
mod proto;
mod string;
mod system;
mod tail;
mod trace;

pub use proto::{Access, ArgType, Helper, HelperFn, HelperSet, Proto, RetType};
pub use tail::TAIL_CALL;

pub(crate) use format::{Arguments, render};

/// Every helper of this version, by number.
const ROWS: [Helper; 16] = [
    map::LOOKUP,
    map::UPDATE,
    map::DELETE,
    system::KTIME,
    trace::TRACE_PRINTK,
    system::PRANDOM,
    system::SMP_ID,
    tail::ROW,
    csum::CSUM_DIFF,
    packet::ADJUST_HEAD,
    packet::ADJUST_META,
    packet::ADJUST_TAIL,
    string::STRNCMP,
    packet::BUFF_LEN,
    packet::LOAD_BYTES,
    packet::STORE_BYTES,
];

/// The helpers that every environment has.
pub const STANDARD: HelperSet = HelperSet::new(&ROWS);

const _: () = {
    let mut i = 1;
    while i < ROWS.len() {
        assert!(ROWS[i - 1].id < ROWS[i].id, "rows are sorted by number");
        i += 1;
    }
};

#[cfg(test)]
mod tests;
