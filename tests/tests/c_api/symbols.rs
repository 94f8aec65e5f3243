//! What the shipped libraries define, and what they must not.

use crate::support::{archive, prefix, root, run, text, work};
use std::path::PathBuf;
use std::process::Command;

fn shared() -> PathBuf {
    prefix().join("lib/libuxdp.so")
}

fn defined(args: &[&str], lib: PathBuf) -> Vec<String> {
    let out = run(Command::new("nm")
        .args(args)
        .args(["--defined-only", "--extern-only", "--format=posix"])
        .arg(lib));
    let names =
        out.lines().filter(|l| !l.is_empty() && !l.ends_with(':')).filter_map(|l| l.split(' ').next());
    let mut names: Vec<String> = names.map(String::from).collect();
    names.sort();
    names
}

#[test]
fn both_libraries_export_the_public_names_and_no_others() {
    let (a, so) = (defined(&[], archive()), defined(&["--dynamic"], shared()));
    assert_eq!(a, so);
    assert!(a.iter().all(|n| n.starts_with("uxdp_") || n.starts_with("xdp_run")), "{a:?}");
    let declared = std::fs::read_to_string(prefix().join("include/uxdp.h")).unwrap();
    for name in &a {
        assert!(declared.contains(&format!("{name}(")), "{name} is exported, but not declared");
    }
    for name in
        ["uxdp_object_open_file", "uxdp_object_load", "uxdp_ctx_init_sized", "uxdp_run", "xdp_run_burst"]
    {
        assert!(a.iter().any(|n| n == name), "{name} is missing");
    }
}

#[test]
fn shared_library_has_a_soname_and_needs_only_the_c_library() {
    let dynamic = run(Command::new("readelf").args(["--dynamic", "--wide"]).arg(shared()));
    assert!(dynamic.contains("Library soname: [libuxdp.so.0]"), "{dynamic}");
    let needed: Vec<&str> = dynamic.lines().filter(|l| l.contains("(NEEDED)")).collect();
    assert!(
        needed.iter().all(|l| l.contains("[libc.so.6]")
            || l.contains("[ld-linux-x86-64.so.2]")
            || l.contains("[libgcc_s.so.1]")),
        "{needed:?}"
    );
}

#[test]
fn archive_is_one_object_that_wants_only_the_c_library() {
    assert_eq!(run(Command::new("ar").arg("t").arg(archive())).lines().count(), 1);
    let wanted = run(Command::new("nm").args(["--undefined-only", "--format=posix"]).arg(archive()));
    let stray: Vec<&str> = wanted
        .lines()
        .filter(|l| l.contains("rust") || l.contains("panic") || l.contains("_Unwind"))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
}

/// The constructor that skips verification exists only under `--cfg uxdp_conformance`: code that calls it does not compile against the very `uxdp_core`
/// that the shipped library is made of.
#[test]
fn shipped_library_cannot_skip_verification() {
    prefix();
    let messages = run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package=uxdp-ffi", "--message-format=json"])
        .current_dir(root()));
    let artifact = messages
        .lines()
        .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
        .find(|m| m["reason"] == "compiler-artifact" && m["target"]["name"] == "uxdp_core")
        .expect("cargo names what it built");
    let rlib = PathBuf::from(artifact["filenames"][0].as_str().unwrap());
    let compile = |call: &str| {
        let dir = work("constructor");
        let source = dir.join("call.rs");
        let text = format!(
            "use uxdp_core::program::{{Loaded, Program}};\npub fn call(p: Program<Loaded>) {{ {call} }}\n"
        );
        std::fs::write(&source, text).unwrap();
        let mut dependency = std::ffi::OsString::from("dependency=");
        dependency.push(rlib.parent().unwrap());
        Command::new("rustc")
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"])
            .arg(&dir)
            .arg("-L")
            .arg(dependency)
            .arg(format!("--extern=uxdp_core={}", rlib.display()))
            .arg(&source)
            .output()
            .unwrap()
    };
    let allowed = compile("p.name();");
    assert!(allowed.status.success(), "{}", text(&allowed));
    let refused = compile("unsafe { p.assume_verified(Default::default(), Default::default()); }");
    assert!(text(&refused).contains("no method named `assume_verified`"), "{}", text(&refused));
}
