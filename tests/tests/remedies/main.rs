//! What `--explain` says would prove a program does prove it: the check is put where the refused access stands, and the program is accepted.
//!
//! Programs are compiled by clang as a user's would be. The names in a check (`data`, `data_end`, `p`, `i`, `size`) are those of the programs.

mod sources;

use std::io::Write;
use std::process::{Command, Stdio};
use uxdp_core::helpers::STANDARD;
use uxdp_core::object::{Object, OpenOptions};
use uxdp_core::verifier::{MapInfo, Rejection, VerifyOptions, judge};

/// The object of a program that is only a text.
fn compiled(body: &str) -> Result<Vec<u8>, String> {
    let triple = Command::new("cc").arg("-dumpmachine").output().map_err(|e| e.to_string())?;
    let include = format!("-I/usr/include/{}", String::from_utf8_lossy(&triple.stdout).trim());
    let mut clang = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", &include, "-x", "c", "-c", "-", "-o", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("clang: {e}"))?;
    let text = format!("{}{body}", sources::PRELUDE);
    clang.stdin.take().ok_or("no pipe")?.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    let out = clang.wait_with_output().map_err(|e| e.to_string())?;
    match out.status.success() {
        true => Ok(out.stdout),
        false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
    }
}

fn verdict(bytes: &[u8]) -> Result<(), Rejection> {
    let object = Object::open(bytes, &OpenOptions::default()).unwrap();
    let linked = object.link(0).unwrap();
    let maps: Vec<_> =
        object.maps().iter().map(|m| MapInfo { spec: m.spec, name: m.name.as_str(), frozen: None }).collect();
    judge(linked.code(), &maps, STANDARD, &VerifyOptions::default(), &mut String::new()).map(|_| ())
}

#[test]
fn check_that_would_prove_a_refused_access_does_prove_it() {
    let clang = Command::new("clang").arg("--version").output().is_ok_and(|o| o.status.success());
    if !clang {
        assert!(std::env::var_os("CI").is_none(), "clang is missing");
        let _ = std::io::stderr().write_all(b"skipped: the checks of refusals, since clang is missing\n");
        return;
    }
    for (name, words, source) in sources::REFUSED {
        let refused = verdict(&compiled(&source.replace("HERE", "")).unwrap());
        let Err(rejection) = refused else { panic!("{name} is accepted without a check") };
        assert!(rejection.to_string().contains(words), "{name}: {rejection}");
        let remedy = rejection.remedy().unwrap_or_else(|| panic!("{name}: no check for: {rejection}"));
        let proven = source.replace("HERE", &remedy.to_string());
        let after = verdict(&compiled(&proven).unwrap_or_else(|e| panic!("{name}: {e}\n{proven}")));
        if let Err(e) = after {
            panic!("{name}: still refused: {e}\n{proven}");
        }
    }
}
