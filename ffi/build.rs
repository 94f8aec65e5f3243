//! Gives the shared library its SONAME: the major version, or 0 before 1.0.
fn main() {
    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libuxdp.so.{major}");
    println!("cargo:rerun-if-changed=build.rs");
}
