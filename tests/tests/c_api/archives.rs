//! The archive beside other archives: one of Rust with std, and C++ that throws.

use crate::support::{archive, have, object, prefix, root, run, work};
use std::process::Command;

#[test]
fn archive_links_beside_a_rust_archive_in_both_orders() {
    let dir = work("two-archives");
    let other = dir.join("libother.a");
    run(Command::new("rustc")
        .args(["--edition=2024", "--crate-type=staticlib", "-Copt-level=1", "-o"])
        .arg(&other)
        .arg(root().join("tests/c/other.rs")));
    for (name, first, second) in [("uxdp-first", archive(), other.clone()), ("uxdp-second", other, archive())]
    {
        let out = dir.join(name);
        run(Command::new("cc")
            .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(prefix().join("include"))
            .arg("-o")
            .arg(&out)
            .arg(root().join("tests/c/two_archives.c"))
            .args([first, second])
            .args(["-lpthread", "-ldl", "-lm", "-lgcc_s"]));
        let said = run(Command::new(&out).arg(object("xdp_tx")));
        assert_eq!(said, "caught a panic\nXDP_TX\n", "{name}");
    }
}

#[test]
fn exceptions_of_a_cpp_program_work_beside_the_archive() {
    if !have("g++", "C++ that throws") {
        return;
    }
    let out = work("cpp").join("throws");
    run(Command::new("g++")
        .args(["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(prefix().join("include"))
        .arg("-o")
        .arg(&out)
        .arg(root().join("tests/c/throws.cpp"))
        .arg(archive())
        .args(["-lpthread", "-ldl"]));
    assert_eq!(run(Command::new(&out).arg(object("xdp_tx"))), "caught: no such element or name\nXDP_TX\n");
}
