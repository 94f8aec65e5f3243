//! `uxdp run --against kernel`: agreement, a difference with its fields, and the one line where Linux cannot be asked.

#[expect(dead_code, reason = "other test files use the rest")]
mod common;

use common::{Ran, arg, obj, progs, scratch, uxdp};
use serde_json::json;

fn against(object: &str, more: &[&str]) -> Ran {
    let capture = arg(progs("pcap/xdp_redirect_err.pcap"));
    let maps = arg(progs("xdp_redirect_err.maps.json"));
    let mut args = vec!["run", object, "--in", &capture, "--maps", &maps, "--against", "kernel"];
    args.extend(more);
    uxdp(&args)
}

/// Whether this build and this machine compare; where they do not, that the one line says so.
fn compares(ran: &Ran) -> bool {
    let compared = !ran.err.contains("not compared with Linux");
    if !compared {
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert_eq!(ran.code, if std::env::var_os("CI").is_some() { 3 } else { 0 });
        assert_eq!(ran.out, "");
    }
    assert!(cfg!(feature = "kernel") || !compared, "without the feature nothing is compared");
    compared
}

#[test]
fn agreement_names_engines_and_masks() {
    let ran = against(&obj("xdp_redirect_err"), &["--json"]);
    if !compares(&ran) {
        return;
    }
    let report = ran.json();
    assert_eq!(report["differences"], 0, "{report}");
    assert_eq!(report["engines"], json!(["jit", "interp"]));
    assert_eq!(report["packets"], 24);
    assert!(report["masks"][0].as_str().unwrap().contains("XDP_REDIRECT is XDP_ABORTED"), "{report}");
    let text = against(&obj("xdp_redirect_err"), &["--engine", "interp"]);
    assert!(
        text.code == 0 && text.out.contains("no difference") && text.out.contains("masked: "),
        "{}",
        text.out
    );
}

#[test]
fn a_difference_is_told_with_its_packet() {
    // Away from masks.json, the one thing that both sides do differently shows.
    let copy = scratch("unmasked.o");
    std::fs::copy(progs("obj/xdp_redirect_err.o"), &copy).unwrap();
    let ran = against(&arg(&copy), &[]);
    if !compares(&ran) {
        return;
    }
    assert_eq!(ran.code, 1, "{}", ran.err);
    for words in
        ["6 differences", "packet 7, the first", "action: XDP_REDIRECT, XDP_ABORTED", "again: --data-in hex:"]
    {
        assert!(ran.out.contains(words), "\"{words}\" is not in {}", ran.out);
    }
}
