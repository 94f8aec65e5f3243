//! Programs that hand functions to helpers, on every engine and on Linux: the same packets, the same answers, the same maps.
//!
//! A case names an object of tests/progs, a program in it and the packets that it gets. Return codes are compared, and of every map that can be listed its content;
//! what differs between CPUs is added up.

mod kernel;
mod ours;

use std::collections::{BTreeMap, BTreeSet};
use uxdp_core::vm::EngineChoice;

/// Elements by map and key; of a per-CPU map the sum.
type Maps = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Adds up the slots of a per-CPU value, eight bytes at a time.
fn sum(slots: &[u8], value_size: usize) -> Vec<u8> {
    let mut total = vec![0u64; value_size.div_ceil(8)];
    for slot in slots.chunks(8 * total.len()) {
        for (t, word) in total.iter_mut().zip(slot.chunks(8)) {
            *t = t.wrapping_add(word.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)));
        }
    }
    total.iter().flat_map(|t| t.to_le_bytes()).collect()
}

/// A program that is loaded somewhere, with its maps.
trait Machine {
    /// Who it is, for messages.
    fn name(&self) -> String;
    /// Runs a packet; the return code.
    fn run(&mut self, packet: &[u8]) -> u32;
    /// Sets a value as the control plane does; 0 or a negative errno.
    fn update(&mut self, map: &str, key: &[u8], value: &[u8], flags: u64) -> i32;
    /// A value as the control plane sees it, or a negative errno.
    fn lookup(&mut self, map: &str, key: &[u8], flags: u64) -> Result<Vec<u8>, i32>;
    /// Puts a sample into a user ring buffer, or leaves one out where it is dropped; whether there was room.
    fn produce(&mut self, map: &str, sample: &[u8], dropped: bool) -> bool;
    /// Lets that many milliseconds pass, with timers expiring.
    fn wait(&mut self, milliseconds: u64);
    /// Everything that can be listed.
    fn maps(&mut self) -> Maps;
}

/// The program on Linux, where that may be asked, and on every engine of ours.
fn machines(object: &str, program: &str) -> Vec<Box<dyn Machine>> {
    let mut all: Vec<Box<dyn Machine>> = Vec::new();
    if kernel::can_ask() {
        all.push(Box::new(kernel::Linux::load(object, program)));
    }
    for engine in [EngineChoice::Interp, EngineChoice::Jit, EngineChoice::JitWithoutFacts] {
        all.push(Box::new(ours::Ours::load(object, program, engine)));
    }
    all
}

/// Runs a scenario on every machine; what it tells has to be the same, and so have the maps afterwards.
fn alike<T: PartialEq + std::fmt::Debug>(
    object: &str,
    program: &str,
    scenario: impl Fn(&mut dyn Machine) -> Vec<T>,
) {
    let mut first: Option<(String, Vec<T>, Maps)> = None;
    for mut machine in machines(object, program) {
        let told = scenario(&mut *machine);
        let (name, maps) = (machine.name(), machine.maps());
        match &first {
            None => first = Some((name, told, maps)),
            Some((who, expected, content)) => {
                for (i, (a, b)) in expected.iter().zip(&told).enumerate() {
                    assert_eq!(a, b, "{program}, answer {i}: {who} and {name}");
                }
                assert_eq!(expected.len(), told.len(), "{program}: {who} and {name}");
                for (map, content) in content {
                    let ours = &maps[map];
                    let keys: BTreeSet<_> = content.keys().chain(ours.keys()).collect();
                    for key in keys {
                        let (a, b) = (content.get(key), ours.get(key));
                        assert_eq!(a, b, "{program}, {map}, key {key:?}: {who} and {name}");
                    }
                }
            }
        }
    }
}

/// A packet of 64 bytes that begins with this one.
fn packet(first: u8) -> Vec<u8> {
    [&[first][..], &[0; 63]].concat()
}

fn runs_alike(object: &str, program: &str, firsts: &[u8]) {
    alike(object, program, |m| firsts.iter().map(|b| m.run(&packet(*b))).collect::<Vec<_>>());
}

#[test]
fn loops_return_and_count_as_the_kernels() {
    runs_alike("loop", "loop", &[0, 1, 2, 7, 63, 200, 255]);
    runs_alike("loop", "longest", &[0]);
}

#[test]
fn walks_show_what_the_kernels_show() {
    runs_alike("walk", "walk", &[0, 1, 5, 31, 8]);
}

#[test]
fn iterators_give_the_numbers_that_the_kernels_give() {
    runs_alike("numbers", "numbers", &[0, 1, 2, 7, 100, 255]);
}

#[test]
fn samples_of_the_host_are_drained_as_by_the_kernel() {
    const NO_WAKEUP: u8 = 1;
    alike("user_ring", "user_ring", |m| {
        let mut answers = vec![(true, m.run(&packet(3)))];
        let mut turn = |m: &mut dyn Machine, samples: &[(usize, bool)], most: u8, flags: u8| {
            for (i, (size, dropped)) in samples.iter().enumerate() {
                let bytes: Vec<u8> = (0..*size).map(|b| (i * 31 + b) as u8).collect();
                answers.push((m.produce("samples", &bytes, *dropped), 0));
            }
            let mut asking = packet(most);
            asking[1] = flags;
            answers.push((true, m.run(&asking)));
        };
        turn(m, &[(8, false), (16, false), (8, true), (4, false), (100, false)], 10, 0);
        turn(m, &[(8, false); 5], 2, NO_WAKEUP);
        turn(m, &[(8, false)], 200, 3);
        turn(m, &[], 200, 4);
        turn(m, &[(8, true); 3], 200, 0);
        // Round the end of the data, where our producers leave out what Linux maps twice, so that they have less room.
        for _ in 0..9 {
            turn(m, &[(1000, false), (700, false)], 200, 0);
        }
        turn(m, &[(1200, false); 2], 0, 0);
        turn(m, &[], 200, 0);
        turn(m, &[(4096, false), (8, false)], 200, 0);
        answers
    });
}

#[test]
fn locked_values_change_as_the_kernels() {
    runs_alike("locks", "locks", &[0, 1, 2, 1, 63, 64, 1, 255]);
}

#[test]
fn locked_copies_of_the_control_plane_answer_as_the_kernels() {
    const F_LOCK: u64 = 4;
    alike("locks", "locks", |m| {
        let mut answers = Vec::new();
        let value: Vec<u8> = (1..=32).collect();
        m.run(&packet(3));
        for map in ["array", "hash", "plain", "unlocked", "lru"] {
            let size = if matches!(map, "array" | "hash") { 32 } else { 8 };
            for key in [3u32, 7, 64] {
                let key = key.to_le_bytes();
                for flags in [0, F_LOCK, F_LOCK | 1, F_LOCK | 2, F_LOCK | 3, 8, F_LOCK | 8] {
                    let status = m.update(map, &key, &value[..size], flags);
                    answers.push((map, flags, Ok(vec![]), status));
                    let read = m.lookup(map, &key, flags);
                    answers.push((map, flags, read, 0));
                }
            }
            m.run(&packet(7));
        }
        answers
    });
}

#[test]
fn timers_answer_and_expire_as_the_kernels() {
    // Question and key in order, both hexadecimal digits; `w` waits.
    const STEPS: &[&str] = &[
        // An array's element before it has a timer, then made, armed, expired.
        "01 11 01 21 w 41 41 31",
        // All three maps; far away, then cancelled, or taken away with its element.
        "a2 02 12 22 w 32 42 42 22 42 w 22 b2 w a3 13 23 a3 w 23 13 23 w",
        // From within: cancels itself, starts again, deletes its element.
        "a4 14 54 w 44 54 w 74 w 84 w 94 44 a5 15 65 w 45 a5 15 45",
    ];
    alike("timers", "timers", |m| {
        let steps = STEPS.iter().flat_map(|s| s.split(' '));
        let step = |step: &str| match u8::from_str_radix(step, 16) {
            Ok(digits) => m.run(&[&[digits >> 4, digits & 15][..], &[0; 62]].concat()),
            Err(_) => {
                m.wait(30);
                0
            }
        };
        steps.map(step).collect::<Vec<_>>()
    });
}
