//! The programs of `xdp_progs`, as clang built them: the kernel loads them, so they are accepted.

use crate::helpers::STANDARD;
use crate::object::{Object, OpenOptions};
use crate::verifier::input::MapInfo;
use crate::verifier::{Rejection, VerifyOptions, prove};
use std::path::PathBuf;

/// Every program of every object below a folder, with the verdict on it.
fn verdicts(root: PathBuf) -> Vec<(String, Result<crate::program::VerifierStats, Rejection>)> {
    let mut folders = vec![root];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("objects are committed") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "o") {
                let bytes = std::fs::read(&path).expect("readable");
                let object = Object::open(&bytes, &OpenOptions { name: "test", ..OpenOptions::default() })
                    .expect("opens");
                let mut constants = Vec::new();
                for m in object.maps() {
                    let mut value = m.initial.to_vec();
                    value.resize(m.spec.value_size as usize, 0);
                    constants.push(value);
                }
                let maps: Vec<_> = object
                    .maps()
                    .iter()
                    .zip(&constants)
                    .map(|(m, c)| MapInfo { spec: m.spec, name: &m.name, frozen: m.frozen.then_some(&c[..]) })
                    .collect();
                for i in 0..object.programs().len() {
                    let program = object.link(i).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    let mut log = String::new();
                    let proof = prove(program.code(), &maps, STANDARD, &VerifyOptions::default(), &mut log);
                    let name = format!("{}:{}", path.display(), program.name());
                    out.push((name, proof.map(|p| p.stats)));
                }
            }
        }
    }
    out
}

#[test]
fn programs_of_xdp_progs_are_accepted_and_the_unchecked_ones_are_refused() {
    let verdicts = verdicts(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs/obj"));
    assert!(verdicts.len() > 10);
    for (name, verdict) in verdicts {
        let unchecked = name.contains("no_check");
        match verdict {
            Ok(stats) => {
                assert!(!unchecked, "{name} is accepted");
                println!("{name}: {stats:?}");
            }
            // The kernel's verdict on these is compared by tests/tests/verdicts; here they cannot run yet.
            Err(r) if r.to_string().contains("is not provided in this version") => println!("{name}: {r}"),
            Err(r) => assert!(unchecked && r.to_string().contains("invalid access to packet"), "{name}: {r}"),
        }
    }
}

/// Prints the verdicts on all objects below the folder that `UXDP_OBJECTS` names.
#[test]
fn objects_of_a_folder_are_judged() {
    let Some(root) = std::env::var_os("UXDP_OBJECTS") else { return };
    for (name, verdict) in verdicts(root.into()) {
        match verdict {
            Ok(s) => println!(
                "{name}: processed {} max_states_per_insn {} total_states {} peak_states {} memory {}",
                s.insns_processed, s.max_states_per_insn, s.total_states, s.peak_states, s.peak_memory
            ),
            Err(r) => println!("{name}: {r}"),
        }
    }
}
