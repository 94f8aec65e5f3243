//! The headers compile without a warning wherever they promise to.

use crate::support::{have, have_library, pkg_config, prefix, root, run};
use std::process::Command;

const STRICT: &[&str] = &["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];

fn compile(compiler: &str, language: &str, standard: &str, strict: &[&str], extra: &[String], source: &str) {
    run(Command::new(compiler)
        .args(["-x", language, &format!("-std={standard}")])
        .args(strict)
        .arg("-I")
        .arg(prefix().join("include"))
        .args(extra)
        .arg(root().join("tests/c").join(source)));
}

#[test]
fn header_is_warning_free_in_every_language_version() {
    let include = |d: &str| if d.is_empty() { vec![] } else { vec![format!("-D{d}")] };
    for place in ["", "KERNEL_HEADER_BEFORE", "KERNEL_HEADER_AFTER"] {
        for compiler in ["gcc", "clang"].into_iter().filter(|c| have(c, "the C header with it")) {
            for standard in ["c99", "c11", "c17", "c2x", "gnu99", "gnu2x"] {
                compile(compiler, "c", standard, STRICT, &include(place), "header.c");
            }
        }
        for compiler in ["g++", "clang++"].into_iter().filter(|c| have(c, "the header as C++ with it")) {
            for standard in ["c++17", "c++20"] {
                compile(compiler, "c++", standard, STRICT, &include(place), "header.c");
            }
        }
    }
}

#[test]
fn dpdk_header_is_warning_free_with_gnu_extensions() {
    if !have_library("libdpdk", "uxdp_dpdk.h") {
        return;
    }
    let dpdk = pkg_config(&["--cflags", "libdpdk"]);
    let gnu = ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"];
    for (compiler, language, standard) in
        [("gcc", "c", "gnu11"), ("gcc", "c", "gnu2x"), ("clang", "c", "gnu11"), ("g++", "c++", "gnu++17")]
    {
        if have(compiler, "uxdp_dpdk.h with it") {
            compile(compiler, language, standard, &gnu, &dpdk, "dpdk_header.c");
        }
    }
}
