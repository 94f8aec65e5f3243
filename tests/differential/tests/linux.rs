//! A fixed seed for a bounded number of programs, and the cases that once differed.

use std::io::Write;
use std::path::{Path, PathBuf};
use uxdp_differential::{Judge, case_of, listing, shrunk};

/// Programs, unless `UXDP_ROUNDS` says otherwise.
const ROUNDS: u64 = 4000;
/// The first seed.
const SEED: u64 = 0;

fn judge() -> Option<Judge> {
    match Judge::open() {
        Ok(judge) => Some(judge),
        Err(e) => {
            assert!(std::env::var_os("CI").is_none(), "CI has to compare with Linux: {e}");
            // Not eprintln: the harness would keep that to itself where the test passes.
            std::io::stderr().write_all(format!("not compared with Linux: {e}\n").as_bytes()).unwrap();
            None
        }
    }
}

#[test]
fn generated_programs_end_alike_on_linux_and_on_every_engine() {
    let Some(mut judge) = judge() else { return };
    let rounds = std::env::var("UXDP_ROUNDS").map_or(ROUNDS, |n| n.parse().expect("UXDP_ROUNDS is a number"));
    for seed in SEED..SEED + rounds {
        let case = case_of(seed);
        if let Some(difference) = judge.round(&case).unwrap() {
            let small = shrunk(&mut judge, &case);
            panic!("seed {seed}: {}\nshrunk: {small:02x?}\n{}", difference.what, listing(&small));
        }
    }
    let coverage = &judge.coverage;
    let [opcodes, helpers, kinds, branches] = coverage.counts();
    assert!(coverage.compared * 2 > rounds, "{coverage}");
    assert!(coverage.share() >= 50, "{coverage}");
    assert!(opcodes >= 110 && helpers >= 19 && kinds >= 7 && branches >= 35, "{coverage}");
}

#[test]
fn cases_that_once_differed_agree() {
    let Some(mut judge) = judge() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "hex")) {
        let text = std::fs::read_to_string(file).unwrap();
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let case: Vec<u8> = digits
            .chunks(2)
            .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
            .collect();
        let difference = judge.round(&case).unwrap();
        assert!(difference.is_none(), "{}: {}", file.display(), difference.unwrap().what);
    }
}
