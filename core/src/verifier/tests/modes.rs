//! The three modes: what each refuses, and that a mode only ever refuses more.

use super::world::{maps, program};
use crate::helpers::STANDARD;
use crate::verifier::{Mode, VerifyOptions, prove};

const COMPAT: &[Mode] = &[Mode::Compat];
const NOT_STRICT: &[Mode] = &[Mode::Compat, Mode::Hygiene];
const ALL: &[Mode] = &[Mode::Compat, Mode::Hygiene, Mode::Strict];

/// (the program, where it is accepted, words of the first refusal). `HASH` leaves a value of map7 (8 bytes), tested, in r0.
const CASES: &[(&str, &[Mode], &str)] = &[
    ("HASH; u64[r0+0] = r10; OUT", COMPAT, "R10 leaks addr into map_value"),
    ("r6 = r1; HASH; u64[r0+0] = r6; OUT", COMPAT, "R6 leaks addr into map_value"),
    (
        "r2 = u32[r1+0]; r3 = u32[r1+4]; r4 = r2; r4 += 8; if r4 > r3 goto out; u64[r2+0] = r1; OUT",
        COMPAT,
        "R1 leaks addr into pkt",
    ),
    ("HASH; lock u64[r0+0] += r10; OUT", COMPAT, "R10 leaks addr into map_value"),
    // A pointer is spilled where a helper reads the value of an update.
    (
        "u64[r10-16] = r10; r1 = 0; u32[r10-4] = r1; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; r1 = map7; call 2; r0 = 0; exit",
        COMPAT,
        "invalid read from stack R3 off -16+0 size 8",
    ),
    (
        "u64[r10-8] = r1; r2 = 0; u8[r10-8] = r2; r0 = 0; exit",
        COMPAT,
        "attempt to corrupt spilled pointer on stack",
    ),
    ("u64[r10-8] = r1; u64[r10-8] = r10; r0 = 0; exit", ALL, ""),
    ("r0 = u64[r10-8]; r0 = 0; exit", NOT_STRICT, "invalid read from stack off -8+0 size 8"),
    (
        "r2 = r10; r2 += -4; r1 = map7; call 1; r0 = 0; exit",
        NOT_STRICT,
        "invalid read from stack R2 off -4+0 size 4",
    ),
    (
        "r0 = u32[r1+4]; r1 = u32[r1+0]; r0 -= r1; r0 = 0; exit",
        NOT_STRICT,
        "R0 pointer arithmetic prohibited",
    ),
    ("w0 = w1; r0 = 0; exit", NOT_STRICT, "R1 partial copy of pointer"),
    ("r2 = r10; if r1 > r2 goto out; OUT", NOT_STRICT, "R1 pointer comparison prohibited"),
    ("r0 = r1; exit", NOT_STRICT, "R0 leaks addr as return value"),
    // A packet pointer is no number once the packet moved.
    ("r6 = u32[r1+0]; r2 = 0; call 44; r0 = r6; exit", NOT_STRICT, "R6 !read_ok"),
    ("r2 = u32[r1+0]; r3 = u32[r1+4]; r4 = r2; r4 += 14; if r4 > r3 goto out; r0 = u8[r2+0]; OUT", ALL, ""),
    ("HASH; r1 = u64[r0+0]; u64[r0+0] = r1; OUT", ALL, ""),
];

fn refusal(text: &str, mode: Mode) -> Option<String> {
    let text = text
        .replace(
            "HASH",
            "r1 = 0; u32[r10-4] = r1; r2 = r10; r2 += -4; r1 = map7; call 1; if r0 == 0 goto out",
        )
        .replace("OUT", "out: ; r0 = 2; exit");
    let opts = VerifyOptions { mode, ..VerifyOptions::default() };
    prove(&program(&text, None), &maps(), STANDARD, &opts, &mut String::new()).err().map(|r| r.to_string())
}

#[test]
fn each_mode_refuses_what_it_is_for() {
    for (text, accepted, words) in CASES {
        for mode in ALL {
            let got = refusal(text, *mode);
            match accepted.contains(mode) {
                true => assert_eq!(got, None, "{mode:?}: {text}"),
                false => {
                    let got = got.unwrap_or_else(|| panic!("{mode:?} accepts {text}"));
                    assert!(got.contains(words), "{mode:?}: {text}: {got}");
                }
            }
        }
    }
}

#[test]
fn a_mode_only_refuses_more() {
    for case in super::cases::CASES {
        for text in [case.bad, case.good] {
            let text = super::cases::expand(text);
            let verdicts = ALL.iter().map(|mode| refusal(&text, *mode).is_none());
            let [compat, hygiene, strict] = verdicts.collect::<Vec<_>>()[..] else { unreachable!() };
            assert!(compat || !hygiene, "hygiene accepts what compat refuses: {text}");
            assert!(hygiene || !strict, "strict accepts what hygiene refuses: {text}");
        }
    }
}

#[test]
fn every_store_of_an_address_is_a_warning_of_its_own() {
    let text = "r1 = 0; u32[r10-4] = r1; r2 = r10; r2 += -4; r1 = map7; call 1; if r0 == 0 goto out; u64[r0+0] = r10; u64[r0+0] = r10; out: ; r0 = 2; exit";
    let opts = VerifyOptions { log_level: 1, ..VerifyOptions::default() };
    let mut log = String::new();
    prove(&program(text, None), &maps(), STANDARD, &opts, &mut log).unwrap();
    assert_eq!(log.matches("warning: insn").count(), 2, "{log}");
}
