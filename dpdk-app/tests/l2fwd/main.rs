//! l2fwd as its users start it: virtual devices in, captures, reports and exit codes out.

mod chains;
mod common;
mod device;
mod egress;
mod offers;
mod programs;
mod renew;
mod routes;
mod segments;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Bench, packets, parse, read_pcap, swapped};

#[test]
fn tx_sends_every_packet_back_out_of_its_port_with_addresses_swapped() {
    let bench = Bench::new();
    let (first, second) = (packets(100, 64), packets(5, 1500));
    let vdevs = [bench.pcap_port(0, &first, "out0.pcap"), bench.pcap_port(1, &second, "out1.pcap")];
    let report = bench.report(&vdevs, &["--native", "tx", "--exit-idle", "100"]);
    for (port, packets) in [(0, first), (1, second)] {
        let expected: Vec<_> = packets.iter().map(|packet| swapped(packet)).collect();
        assert_eq!(read_pcap(&bench.path(&format!("out{port}.pcap"))), expected);
        let counted = &report["ports"][port];
        assert_eq!(counted["rx"], packets.len());
        assert_eq!(counted["actions"]["tx"], packets.len());
        assert_eq!(counted["tx"], packets.len());
        assert_eq!(counted["device"]["tx_packets"], packets.len());
    }
    assert_eq!(report["ended_by"], "idle");
    assert_eq!(report["engine"], "native tx");
}

#[test]
fn one_port_is_enough() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(3, 60), "out.pcap")];
    let report = bench.report(&vdevs, &["--native", "tx", "--exit-idle", "50"]);
    assert_eq!(report["tx"], 3);
    assert_eq!(read_pcap(&bench.path("out.pcap")).len(), 3);
}

#[test]
fn drop_frees_every_packet() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(70, 64), "out.pcap")];
    let report = bench.report(&vdevs, &["--native", "drop", "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["actions"]["drop"], 70);
    assert_eq!(report["tx"], 0);
    assert!(read_pcap(&bench.path("out.pcap")).is_empty());
}

#[test]
fn pass_counts_and_frees_unless_a_port_is_chosen() {
    let bench = Bench::new();
    let sent = packets(40, 64);
    let vdevs = [bench.pcap_port(0, &sent, "out0.pcap"), bench.pcap_port(1, &[], "out1.pcap")];

    let report = bench.report(&vdevs, &["--native", "pass", "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["actions"]["pass"], 40);
    assert_eq!(report["ports"][0]["pass_freed"], 40);
    assert_eq!(report["tx"], 0);

    for choice in [["--pass-port", "1"], ["--pass", "peer"]] {
        let report =
            bench.report(&vdevs, &[&["--native", "pass", "--exit-idle", "50"], &choice[..]].concat());
        assert_eq!(report["ports"][0]["pass_freed"], 0);
        assert_eq!(report["ports"][1]["tx"], 40);
        assert_eq!(read_pcap(&bench.path("out1.pcap")), sent);
        assert!(read_pcap(&bench.path("out0.pcap")).is_empty());
    }
}

#[test]
fn count_takes_exactly_so_many_and_frees_the_rest_of_the_burst() {
    let bench = Bench::new();
    let sent = packets(100, 64);
    let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
    let report = bench.report(&vdevs, &["--native", "tx", "--count", "40"]);
    assert_eq!(report["rx"], 40);
    assert_eq!(report["ended_by"], "count");
    assert_eq!(report["ports"][0]["drained"], 24, "two bursts of 32 were received");
    assert_eq!(read_pcap(&bench.path("out.pcap")).len(), 40);
}

#[test]
fn a_packet_longer_than_a_buffer_is_refused_as_chained() {
    let bench = Bench::new();
    let mut sent = packets(2, 64);
    sent.insert(1, packets(1, 5000).remove(0));
    let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
    let report = bench.report(&vdevs, &["--native", "tx", "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["refused"]["chained"], 1);
    assert_eq!(read_pcap(&bench.path("out.pcap")), [swapped(&sent[0]), swapped(&sent[2])]);

    let report = bench.report(&vdevs, &["--native", "tx", "--exit-idle", "50", "--data-room", "9000"]);
    assert_eq!(report["tx"], 3, "with room enough it is one segment");
}

#[test]
fn a_full_tx_ring_drops_and_frees_what_does_not_fit() {
    let bench = Bench::new();
    // net_ring sends to itself: what passes to it comes back, passes again, and the ring of 1024 fills up.
    let vdevs = ["net_null0".to_owned(), "net_ring0".to_owned()];
    let report = bench.report(&vdevs, &["--native", "pass", "--pass-port", "1", "--count", "100000"]);
    let ring = &report["ports"][1];
    assert!(ring["tx_dropped"].as_u64().unwrap() > 10_000, "{report:#}");
    assert_eq!(ring["tx"].as_u64().unwrap() + ring["tx_dropped"].as_u64().unwrap(), 100_000);
    assert_eq!(ring["drained"].as_u64().unwrap(), 1023, "a full ring comes home at the end");
}

#[test]
fn a_pool_too_small_for_the_rings_still_comes_home() {
    let bench = Bench::new();
    let vdevs = ["net_null0".to_owned(), "net_ring0".to_owned()];
    let args = ["--native", "pass", "--pass-port", "1", "--count", "20000", "--mbufs", "511"];
    assert_eq!(bench.report(&vdevs, &args)["mempool"]["size"], 511);
}

#[test]
fn ctrl_c_ends_the_loop_and_the_report_still_comes() {
    let bench = Bench::new();
    let vdevs = ["net_ring0".to_owned(), "net_null0".to_owned()];
    let mut child = bench
        .l2fwd(&vdevs, &["--native", "pass", "--pass-port", "0", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // EAL's last words come before the loop; from the first on, signals are caught.
    let mut eal = BufReader::new(child.stderr.take().unwrap());
    eal.read_line(&mut String::new()).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let begin = Instant::now();
    let reader = std::thread::spawn(move || std::io::read_to_string(eal));
    let output = child.wait_with_output().unwrap();
    reader.join().unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    let report = parse(&output);
    assert_eq!(report["ended_by"], "signal");
    assert!(report["rx"].as_u64().unwrap() > 0);
}

#[test]
fn the_table_shows_the_counts_and_where_the_buffers_are() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(12, 64), "out.pcap")];
    let output = bench.l2fwd(&vdevs, &["--native", "tx", "--exit-idle", "50"]).output().unwrap();
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("12 packets"), "{table}");
    assert!(table.lines().any(|line| line.split_whitespace().eq(["TX", "12"])), "{table}");
    assert!(table.contains("packet buffers are back in their pool"), "{table}");
}

/// The path of a prebuilt object, with whatever follows its name.
fn progs(name: &str) -> String {
    format!("{}/../xdp_progs/obj/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_refusal_has_its_exit_code_and_a_sentence() {
    let bench = Bench::new();
    let object = bench.path("prog.o");
    std::fs::write(&object, "no object").unwrap();
    let object = object.to_str().unwrap();
    let null = ["net_null0".to_owned()];
    let cases: [(&[String], &[&str], i32, &str); 12] = [
        (&null, &[], 2, "--prog"),
        (&null, &["--native", "tx", "--frobnicate"], 2, "--frobnicate"),
        (&null, &["--prog", "/nonexistent/prog.o"], 2, "cannot read /nonexistent/prog.o"),
        (&null, &["--prog", object], 2, "compile with clang"),
        (&null, &["--prog", &progs("xdp_root.o")], 2, "choose one"),
        (&null, &["--prog", &progs("xdp_root.o:nobody")], 2, "has no program \"nobody\""),
        (&null, &["--prog", &progs("xdping_no_check.o")], 1, "invalid access to packet"),
        (&null, &["--prog", &progs("xdp_tx.o"), "--map-dump", "flows"], 2, "has no map \"flows\""),
        (&null, &["--native", "tx", "--pass-port", "7"], 2, "the ports are 0 (net_null0)"),
        (&null, &["--native", "tx", "--pass", "peer"], 2, "in pairs"),
        (&[], &["--native", "tx"], 3, "no port"),
        (&["net_nonexistent0".to_owned()], &["--native", "tx"], 3, "EAL does not start"),
    ];
    for (vdevs, args, code, sentence) in cases {
        let output = bench.l2fwd(vdevs, args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(sentence), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
