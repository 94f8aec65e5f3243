//! The C examples, built through pkg-config and run: as they are, and under the address sanitizer and valgrind.

use crate::support::{examples, have, have_library, object, root, run, text, work};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs whose maps need no filling; xdp_maps among them has one.
const PROGRAMS: &[&str] =
    &["xdp_pass", "xdp_drop", "xdp_tx", "xdp_csum", "xdp_csum_only", "xdp_hash_sum", "xdp_maps", "xdping"];

/// The packets of a capture in this machine's byte order.
fn packets(pcap: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(pcap).unwrap();
    let mut rest = &bytes[24..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        found.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    found
}

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn capture(program: &str) -> PathBuf {
    root().join("xdp_progs/pcap").join(format!("{program}.pcap"))
}

/// What of a program's capture comes out again, and the example's closing line: from what the kernel did.
fn expected(program: &str) -> (Vec<Vec<u8>>, String) {
    let file = root().join("xdp_progs/expect").join(format!("{program}.json"));
    let expect: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let actions = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"];
    let (mut out, mut count) = (Vec::new(), [0; 5]);
    for (packet, e) in packets(&capture(program)).into_iter().zip(expect["packets"].as_array().unwrap()) {
        let action = actions.iter().position(|a| e["action"] == *a).unwrap();
        count[action] += 1;
        if action == 2 || action == 3 {
            out.push(e["data"].as_str().map_or(packet, from_hex));
        }
    }
    let [a, d, p, t, r] = count;
    (out, format!("aborted {a}, drop {d}, pass {p}, tx {t}, redirect {r}\n"))
}

/// Runs the three examples that need no DPDK; `under` is a checker and its arguments.
fn run_all(build: &Path, under: &[&str], programs: &[&str]) {
    let command = |example: &str| {
        let program = build.join(example);
        match under {
            [] => Command::new(program),
            [checker, args @ ..] => {
                let mut c = Command::new(checker);
                c.args(args).arg(program);
                c
            }
        }
    };
    let hello = run(command("hello").arg(object("xdp_tx")));
    assert!(hello.starts_with("xdp_tx: XDP_TX, 64 bytes ("), "{hello}");
    let named = run(command("hello").arg(object("xdp_pass")).arg("xdp_pass"));
    assert!(named.starts_with("xdp_pass: XDP_PASS"), "{named}");
    let refused = command("hello").arg(object("xdping_no_check")).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("invalid access to packet"), "{}", text(&refused));

    let port = run(command("port").args([object("xdp_maps"), object("xdp_tx")]));
    let want = "a packet: XDP_TX\na packet: XDP_TX\nxdp_maps replaced, 1 maps kept\na packet: XDP_TX\nxdp_maps: 0 runs";
    assert!(port.starts_with(want), "{port}");
    let missing = command("port").arg(object("xdp_metadata")).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing).contains("does not offer what program xdp_metadata needs: rx_hash"),
        "{}",
        text(&missing)
    );

    let memory = run(command("custom_memory").arg(object("xdp_map_access")));
    assert!(memory.ends_with("flag 0: 0 packets counted\nflag 1: 1 packets counted\nflag 0: 1 packets counted\nmaps left in the arena: 0\n"), "{memory}");

    for program in programs {
        let out = build.join("out.pcap");
        let said = run(command("pcap_filter").arg(object(program)).arg(capture(program)).arg(&out));
        let (bytes, line) = expected(program);
        assert_eq!(said, line, "{program}");
        assert_eq!(packets(&out), bytes, "{program}");
    }
}

#[test]
fn examples_work_with_the_shared_library() {
    run_all(&examples("examples-shared", &[]), &[], PROGRAMS);
}

#[test]
fn examples_work_with_the_archive() {
    let build = examples("examples-static", &["STATIC=1"]);
    run_all(&build, &[], PROGRAMS);
    let needed = run(Command::new("readelf").arg("-d").arg(build.join("hello")));
    assert!(!needed.contains("libuxdp"), "{needed}");
}

#[test]
fn examples_are_clean_under_the_address_sanitizer() {
    let flags = "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all";
    run_all(
        &examples("examples-asan", &["STATIC=1", flags, "hello", "pcap_filter", "custom_memory", "port"]),
        &[],
        &["xdp_csum", "xdp_maps"],
    );
}

#[test]
fn examples_are_clean_under_valgrind() {
    if !have("valgrind", "examples under it") {
        return;
    }
    let valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect,possible",
    ];
    run_all(
        &examples("examples-valgrind", &["hello", "pcap_filter", "custom_memory", "port"]),
        &valgrind,
        &["xdp_csum"],
    );
}

#[test]
fn dpdk_example_forwards_a_capture_and_loses_no_buffer() {
    if !have_library("libdpdk", "the DPDK example") {
        return;
    }
    for (name, settings) in [("examples-dpdk", &[][..]), ("examples-dpdk-static", &["STATIC=1"][..])] {
        let mut settings = settings.to_vec();
        settings.push("dpdk_l2fwd");
        let build = examples(name, &settings);
        let (sent, runtime) = (build.join("tx.pcap"), work(&format!("{name}-runtime")));
        let said = run(Command::new(build.join("dpdk_l2fwd"))
            .env("XDG_RUNTIME_DIR", runtime)
            .args(["--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--log-level=error"])
            .arg(format!(
                "--vdev=net_pcap0,rx_pcap={},tx_pcap={}",
                capture("xdp_tx").display(),
                sent.display()
            ))
            .arg("--")
            .arg(object("xdp_tx"))
            .arg("200"));
        let n = packets(&capture("xdp_tx")).len();
        assert!(
            said.ends_with(&format!("rx {n}, tx {n}, freed 0, chained 0, buffers missing 0\n")),
            "{said}"
        );
        assert_eq!(packets(&sent), expected("xdp_tx").0);
    }
}
