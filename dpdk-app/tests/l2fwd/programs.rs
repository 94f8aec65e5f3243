//! Every bundled program through real ports: what l2fwd counts and sends is what the kernel answered for the same packets.

use crate::common::{self, Bench, read_pcap};
use serde_json::Value;
use std::path::PathBuf;

fn bundled(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../xdp_progs").join(path)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Runs a program over its capture and compares with its expectation; TX leaves port 0, PASS port 1.
fn compare(name: &str, capture: &str, expect: &str, maps: Option<&str>, engine: &str) {
    let bench = Bench::new();
    let capture = bundled(capture);
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(bundled(expect)).unwrap()).unwrap();
    let expected = expected["packets"].as_array().unwrap();
    let originals = read_pcap(&capture);
    assert_eq!(originals.len(), expected.len(), "{name}");

    let (sent, passed) = (bench.path("tx.pcap"), bench.path("pass.pcap"));
    let vdevs = [
        format!("net_pcap0,rx_pcap={},tx_pcap={}", capture.display(), sent.display()),
        format!("net_pcap1,tx_pcap={}", passed.display()),
    ];
    let prog = bundled(&format!("obj/{name}.o")).display().to_string() + ":" + name;
    // Linux ran jumbo frames of the captures as one buffer each.
    let mut args = vec![
        "--prog",
        &prog,
        "--exit-idle",
        "50",
        "--pass-port",
        "1",
        "--engine",
        engine,
        "--data-room",
        "4096",
    ];
    let maps = maps.map(|m| bundled(m).display().to_string());
    if let Some(maps) = &maps {
        args.extend(["--maps", maps]);
    }
    let report = bench.report(&vdevs, &args);

    let of = |action: &str| -> Vec<Vec<u8>> {
        let these = expected.iter().zip(&originals).filter(|(e, _)| e["action"] == action);
        these.map(|(e, original)| e["data"].as_str().map_or_else(|| original.clone(), bytes)).collect()
    };
    let actions = &report["ports"][0]["actions"];
    for (key, action) in
        [("drop", "XDP_DROP"), ("pass", "XDP_PASS"), ("tx", "XDP_TX"), ("aborted", "XDP_ABORTED")]
    {
        assert_eq!(actions[key], of(action).len(), "{name} on {engine}: {action}");
    }
    assert_eq!(read_pcap(&sent), of("XDP_TX"), "{name} on {engine}: sent");
    assert_eq!(read_pcap(&passed), of("XDP_PASS"), "{name} on {engine}: passed");
}

#[test]
fn every_program_forwards_as_the_kernel_would() {
    for name in [
        "xdp_acl",
        "xdp_adjust_tail",
        "xdp_csum",
        "xdp_csum_only",
        "xdp_ddos_blacklist",
        "xdp_drop",
        "xdp_firewall",
        "xdp_hash_sum",
        "xdp_httpdump",
        "xdp_l4lb",
        "xdp_lb",
        "xdp_map_access",
        "xdp_maps",
        "xdp_mem_access",
        "xdp_observer",
        "xdp_pass",
        "xdp_root",
        "xdp_tail_calls",
        "xdp_tcpclassify",
        "xdp_ttl",
        "xdp_tx",
        "xdp_tx_iptunnel",
        "xdp_vlan",
        "xdping",
    ] {
        let maps = format!("{name}.maps.json");
        let maps = bundled(&maps).exists().then_some(maps);
        for engine in ["jit", "interp"] {
            let (capture, expect) = (format!("pcap/{name}.pcap"), format!("expect/{name}.json"));
            compare(name, &capture, &expect, maps.as_deref(), engine);
        }
    }
}

#[test]
fn the_demonstration_passes_and_drops_by_its_rules() {
    let (capture, expect) = ("demo/firewall.pcap", "demo/firewall.expect.json");
    compare("xdp_firewall", capture, expect, Some("demo/firewall.maps.json"), "jit");
}

#[test]
fn adjustments_that_succeed_or_fail_lose_no_buffer() {
    let adjust = format!("{}/../tests/progs/obj/adjust.o", env!("CARGO_MANIFEST_DIR"));
    let packet = |kind: usize| {
        let mut packet = common::packets(1, 64).remove(0);
        packet[0] = kind as u8;
        packet
    };
    let packets: Vec<Vec<u8>> = (0..1000).map(|i| packet(i % 10)).collect();
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let vdevs = [
            bench.pcap_port(0, &packets, "tx.pcap"),
            format!("net_pcap1,tx_pcap={}", bench.path("pass.pcap").display()),
        ];
        let args = ["--prog", &adjust, "--exit-idle", "50", "--pass-port", "1", "--engine", engine];
        let report = bench.report(&vdevs, &args);
        let actions = &report["ports"][0]["actions"];
        assert_eq!((&actions["tx"], &actions["pass"]), (&600.into(), &100.into()), "{report:#}");
        assert_eq!((&actions["drop"], &actions["aborted"]), (&100.into(), &200.into()), "{report:#}");
        assert_eq!(report["aborts"]["unknown code returned"], 100);
        assert_eq!(report["aborts"]["redirect without a target"], 100);

        let sent = read_pcap(&bench.path("tx.pcap"));
        let ten = sent.get(..6).unwrap();
        assert_eq!(ten[..4], [packet(0), packet(1), packet(2), packet(3)], "{engine}");
        assert_eq!(ten[4], [&[0xee; 4][..], &packet(4)].concat(), "{engine}");
        assert_eq!(ten[5], packet(5)[..54], "{engine}");
        assert!(read_pcap(&bench.path("pass.pcap")).iter().all(|p| *p == packet(6)), "{engine}");
    }
}

#[test]
fn a_full_ring_frees_what_the_program_passes() {
    let bench = Bench::new();
    let prog = bundled("obj/xdp_pass.o").display().to_string();
    // A ring port sends to itself: what passes to it comes back, passes again, and the ring fills up.
    let vdevs = ["net_null0".to_owned(), "net_ring0".to_owned()];
    let report = bench.report(&vdevs, &["--prog", &prog, "--pass-port", "1", "--count", "100000"]);
    assert!(report["ports"][1]["tx_dropped"].as_u64().unwrap() > 10_000, "{report:#}");
}
