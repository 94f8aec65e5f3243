//! Compiles the glue, then links libdpdk.
//!
//! The order matters: the libraries of DPDK have to follow the glue on the linker's command line, so pkg-config is asked for them only
//! after `cc` has said where the glue is. The flags that the headers need (`-include rte_config.h`, `-march`) are asked for before,
//! by hand, since the pkg-config crate keeps include paths and defines only.

use std::process::Command;

const OLDEST: &str = "22.11";

fn main() {
    for file in ["glue/glue.c", "glue/glue.h", "glue/fixture.c"] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");

    let mut glue = cc::Build::new();
    glue.files(["glue/glue.c", "glue/fixture.c"]).std("gnu11").opt_level(3).warnings(true);
    // DPDK marks parts of its own inline code as experimental or deprecated; what the glue uses is neither.
    glue.flag("-Wno-deprecated-declarations");
    // Six words a packet are stored one by one: paired up in vector registers they cost more than they save.
    glue.flag_if_supported("-fno-tree-slp-vectorize");
    for flag in header_flags() {
        glue.flag(flag);
    }
    glue.compile("dpdk_glue");

    if let Err(error) = pkg_config::Config::new().atleast_version(OLDEST).probe("libdpdk") {
        fail(&format!("libdpdk {OLDEST} or newer cannot be linked: {error}"));
    }
}

/// What `pkg-config --cflags libdpdk` says, with DPDK's include folders as system folders so that only our warnings are shown.
fn header_flags() -> Vec<String> {
    let tool = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let out = match Command::new(&tool).args(["--cflags", "libdpdk"]).output() {
        Ok(out) => out,
        Err(error) => fail(&format!("{tool} does not run: {error}")),
    };
    if !out.status.success() {
        fail(&String::from_utf8_lossy(&out.stderr));
    }
    let flags = String::from_utf8_lossy(&out.stdout).into_owned();
    flags.split_whitespace().map(|flag| flag.replacen("-I", "-isystem", 1)).collect()
}

#[expect(clippy::print_stderr, reason = "how a build script says why it failed")]
fn fail(reason: &str) -> ! {
    eprintln!(
        "dpdk-sys needs DPDK's headers and libraries (Debian, Ubuntu: apt install libdpdk-dev pkg-config)\n{reason}"
    );
    std::process::exit(1)
}
