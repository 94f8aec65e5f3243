//! Several programs at a port, programs for one queue, and ports that a program does not fit.

use crate::common::{Bench, packets, read_pcap};
use serde_json::Value;

/// An object of the tests' own programs.
pub(crate) fn test_prog(name: &str) -> String {
    format!("{}/../tests/progs/obj/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A bundled program.
pub(crate) fn bundled(name: &str) -> String {
    format!("{}/../xdp_progs/obj/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The values of a map of numbers, as the report shows it.
pub(crate) fn numbers(map: &Value) -> Vec<u64> {
    let number = |entry: &Value| {
        let byte = |b: &Value| u64::from_str_radix(b.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        entry["value"].as_array().unwrap().iter().rev().fold(0, |n, b| n << 8 | byte(b))
    };
    map.as_array().unwrap().iter().map(number).collect()
}

/// How often the programs `first`, `middle` and `last` of chain.o ran.
fn runs(report: &Value) -> Vec<u64> {
    numbers(&report["maps"]["runs"])
}

/// Runs programs of chain.o over 3 packets of 60 bytes, which `first` drops, and 5 of 100, which it passes; `last` answers XDP_TX, `middle` passes.
fn chain(progs: &[&str]) -> Value {
    let bench = Bench::new();
    let sent = [packets(3, 60), packets(5, 100)].concat();
    let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
    let object = test_prog("chain.o");
    let progs: Vec<String> = progs.iter().map(|p| format!("--prog={object}:{p}")).collect();
    let mut args: Vec<&str> = progs.iter().map(String::as_str).collect();
    args.extend(["--map-dump", "runs", "--exit-idle", "50"]);
    bench.report(&vdevs, &args)
}

#[test]
fn programs_run_by_the_priorities_and_actions_of_their_object() {
    // first: priority 5, goes on after XDP_DROP alone; middle: 50, after XDP_PASS; last: 70, after XDP_TX too.
    let report = chain(&["last", "middle", "first"]);
    assert_eq!(runs(&report), [8, 3, 3], "{report:#}");
    let actions = &report["ports"][0]["actions"];
    assert_eq!(
        (&actions["pass"], &actions["tx"]),
        (&8.into(), &0.into()),
        "behind the last program packets pass"
    );
    let engine = report["engine"].as_str().unwrap();
    assert!(engine.starts_with("first (") && engine.contains(", last ("), "{engine}");
}

#[test]
fn the_command_line_overrides_priorities_and_actions() {
    let report = chain(&["last,priority=1,chain=none", "first"]);
    assert_eq!(runs(&report), [0, 0, 8]);
    assert_eq!(report["ports"][0]["actions"]["tx"], 8);

    let report = chain(&["first,chain=pass", "middle,chain=none"]);
    assert_eq!(runs(&report), [8, 5, 0]);
    let actions = &report["ports"][0]["actions"];
    assert_eq!((&actions["drop"], &actions["pass"]), (&3.into(), &5.into()));
}

#[test]
fn each_port_has_the_programs_that_are_for_it() {
    let bench = Bench::new();
    let vdevs =
        [bench.pcap_port(0, &packets(4, 64), "out0.pcap"), bench.pcap_port(1, &packets(6, 64), "out1.pcap")];
    let (tx, pass) = (bundled("xdp_tx.o,port=0"), bundled("xdp_pass.o,port=1"));
    let report = bench.report(&vdevs, &["--prog", &tx, "--prog", &pass, "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["actions"]["tx"], 4);
    assert_eq!(report["ports"][1]["actions"]["pass"], 6);
}

#[test]
fn each_rx_queue_has_the_programs_that_are_for_it() {
    let bench = Bench::new();
    // A net_pcap device has a queue for each capture that it reads.
    bench.pcap_port(0, &packets(4, 64), "unused0.pcap");
    bench.pcap_port(1, &packets(6, 64), "unused1.pcap");
    let (first, second) = (bench.path("in0.pcap"), bench.path("in1.pcap"));
    let vdevs = [format!(
        "net_pcap0,rx_pcap={},rx_pcap={},tx_pcap={}",
        first.display(),
        second.display(),
        bench.path("out.pcap").display()
    )];
    let (tx, pass) = (bundled("xdp_tx.o,queue=0"), bundled("xdp_pass.o,queue=1"));
    let args = ["--prog", &tx, "--prog", &pass, "--rx-queues", "2", "--exit-idle", "50"];
    let report = bench.report(&vdevs, &args);
    let actions = &report["ports"][0]["actions"];
    assert_eq!((&actions["tx"], &actions["pass"]), (&4.into(), &6.into()), "{report:#}");
    assert_eq!(read_pcap(&bench.path("out.pcap")).len(), 4);
}

#[test]
fn a_place_without_a_program_and_a_program_without_a_place_are_refused() {
    let bench = Bench::new();
    let vdevs = ["net_null0".to_owned(), "net_null1".to_owned()];
    for (prog, sentence) in [
        (bundled("xdp_tx.o,port=0"), "port 1 (net_null1), queue 0: no --prog is for it"),
        (
            bundled("xdp_tx.o,port=7"),
            "there is no such port or queue; there are port=0,queue=0 (net_null0), port=1",
        ),
        (bundled("xdp_tx.o,prio=1"), "\"prio=1\" is none of port=N"),
    ] {
        let output = bench.l2fwd(&vdevs, &["--prog", &prog]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{prog}: {stderr}");
        assert!(stderr.contains(sentence), "{prog}: {stderr}");
    }
}

#[test]
fn all_that_ports_lack_is_listed_before_the_first_packet() {
    let bench = Bench::new();
    // Neither virtual device computes a hash or takes VLAN tags off, one tells no times, and buffers of 1,024 bytes are too small for packets of 1,500.
    let vdevs = [bench.pcap_port(0, &packets(4, 64), "out.pcap"), "net_null0".to_owned()];
    let (metadata, tx) = (bundled("xdp_metadata.o"), bundled("xdp_tx.o"));
    let args = ["--prog", &metadata, "--prog", &tx, "--data-room", "1024", "--exit-idle", "50"];
    let output = bench.l2fwd(&vdevs, &args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for (port, name, times) in [(0, "net_pcap0", ""), (1, "net_null0", "rx_timestamp, ")] {
        for line in [
            format!(
                "\"xdp_metadata\" needs: rx_hash, {times}rx_vlan_tag, packets in one buffer (no xdp.frags)"
            ),
            "\"xdp_tx\" needs: packets in one buffer (no xdp.frags)".to_owned(),
        ] {
            let line = format!("l2fwd: port {port} ({name}) does not offer what program {line}");
            assert!(stderr.lines().any(|l| l == line), "{line}\n{stderr}");
        }
    }
}
