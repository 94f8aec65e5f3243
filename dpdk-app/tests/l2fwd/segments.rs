//! Packets longer than a buffer, which DPDK hands over in several segments.

use crate::chains::{bundled, test_prog};
use crate::common::{Bench, packets, read_pcap, swapped};
use crate::egress::{ONE_LCORE, Ports};

/// A packet of 5,000 bytes: three segments of up to 2,048 bytes.
const LONG: usize = 5000;

#[test]
fn a_program_that_takes_fragments_reads_and_writes_all_segments() {
    let mut sent = [packets(3, LONG), packets(2, 64)].concat();
    for packet in &mut sent {
        let end = packet.len() - 8;
        packet[end..].copy_from_slice(b"xdpfrags");
    }
    let mut expected = sent.clone();
    for packet in &mut expected {
        let end = packet.len() - 8;
        packet[end..].copy_from_slice(b"XDPFRAGS");
    }
    let prog = bundled("xdp_frags.o:xdp_frags");
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
        let args = ["--prog", &prog, "--engine", engine, "--exit-idle", "50"];
        let report = bench.report(&vdevs, &args);
        assert_eq!(report["ports"][0]["actions"]["tx"], 5, "{report:#}");
        assert_eq!(read_pcap(&bench.path("out.pcap")), expected, "{engine}");
    }
}

#[test]
fn segments_that_a_program_drops_are_freed_and_the_rest_is_sent() {
    // The program moves the tail by what the first four bytes say, then by what the next four do, and passes.
    let packet = |by: i32| {
        let mut packet = packets(1, LONG).remove(0);
        packet[..4].copy_from_slice(&by.to_le_bytes());
        packet[4..8].copy_from_slice(&0i32.to_le_bytes());
        packet
    };
    let sent: Vec<_> = (0..100).map(|i| packet(-[10, 1000, 2000, 3000, 4900][i % 5])).collect();
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &sent, "tx.pcap"), bench.pcap_port(1, &[], "pass.pcap")];
    let prog = test_prog("frags.o:frags_tail");
    let args = ["--prog", &prog, "--pass-port", "1", "--exit-idle", "50"];
    let report = bench.report(&vdevs, &args);
    assert_eq!(report["ports"][0]["actions"]["pass"], 100, "{report:#}");
    let passed = read_pcap(&bench.path("pass.pcap"));
    assert_eq!(passed.len(), 100);
    for (i, (packet, original)) in passed.iter().zip(&sent).enumerate() {
        let kept = LONG - [10, 1000, 2000, 3000, 4900][i % 5];
        assert_eq!(packet[..], original[..kept], "{i}");
    }
}

#[test]
fn a_program_without_frags_gets_no_packet_in_segments() {
    let bench = Bench::new();
    let mut sent = packets(2, 64);
    sent.insert(1, packets(1, LONG).remove(0));
    let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
    let tx = bundled("xdp_tx.o");
    let report = bench.report(&vdevs, &["--prog", &tx, "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["refused"]["chained"], 1, "{report:#}");
    assert_eq!(read_pcap(&bench.path("out.pcap")), [swapped(&sent[0]), swapped(&sent[2])]);

    // Beside one that takes them, too.
    let frags = bundled("xdp_frags.o:xdp_frags");
    let report = bench.report(&vdevs, &["--prog", &frags, "--prog", &tx, "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["refused"]["chained"], 1, "{report:#}");
}

#[test]
fn the_program_of_an_entry_gets_all_segments() {
    let sent = [packets(20, LONG), packets(20, 64)].concat();
    let mut expected = sent.clone();
    for packet in &mut expected {
        let end = packet.len() - 8;
        packet[end..].copy_from_slice(b"by entry");
    }
    for engine in ["jit", "interp"] {
        let ports = Ports::new(&sent);
        let devices = r#""devices": [{"key": 0, "value": 2, "program": "sign"}]"#;
        let prog = test_prog("jumbo.o:jumbo");
        let report = ports.run(ONE_LCORE, &prog, devices, &["--engine", engine]);
        assert_eq!(report["ports"][0]["actions"]["redirect"], 40, "{report:#}");
        assert_eq!(ports.out(1), expected, "{engine}");
    }
}
