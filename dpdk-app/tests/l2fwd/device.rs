//! What devices say of packets beside their bytes.

use crate::chains::{bundled, numbers, test_prog};
use crate::common::{Bench, packets, parse, read_pcap};
use crate::routes::in_network;

/// net_pcap tells the times of its capture, which has one second and then a microsecond more for each packet.
#[test]
fn a_program_hears_when_packets_came() {
    let sent = packets(40, 64);
    let prog = test_prog("stamp.o:stamp");
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let vdevs = [bench.pcap_port(0, &sent, "out.pcap")];
        let report = bench.report(&vdevs, &["--prog", &prog, "--engine", engine, "--exit-idle", "50"]);
        assert_eq!(report["ports"][0]["actions"]["tx"], 40, "{report:#}");
        let times: Vec<_> = read_pcap(&bench.path("out.pcap"))
            .iter()
            .map(|p| u64::from_le_bytes(p[16..24].try_into().unwrap()))
            .collect();
        let expected: Vec<_> = (0..40).map(|i| 1_000_000_000 + 1000 * i).collect();
        assert_eq!(times, expected, "{engine}");
    }
}

/// A device that tells no times takes no program that asks for them, and the message says so.
#[test]
fn a_device_without_times_refuses_a_program_that_asks_for_them() {
    let bench = Bench::new();
    let vdevs = ["net_null0".to_owned()];
    let output =
        bench.l2fwd(&vdevs, &["--prog", &test_prog("stamp.o:stamp"), "--exit-idle", "50"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("rx_timestamp"), "{stderr}");
}

/// Tagged packets leave by one end of a pair of interfaces. The kernel takes the tag off at the other one and hands it over beside the packet, and so does net_af_packet. (No virtual
/// device computes a hash.)
#[test]
fn a_program_hears_of_the_tag_that_was_taken_off() {
    const TAG: u16 = 7;
    let mut sent = packets(5, 64);
    for packet in &mut sent {
        packet[12..18].copy_from_slice(&[0x81, 0, 0, TAG as u8, 0x88, 0xb5]);
    }
    let tagged = format!("{},port=2", test_prog("tagged.o:tagged"));
    let pass = format!("{},port=0", bundled("xdp_pass.o"));
    let drop = format!("{},port=1", test_prog("version2.o"));
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let pair = ["net_af_packet0,iface=in1", "net_af_packet1,iface=in0"].map(str::to_owned);
        let vdevs = [&[bench.pcap_port(0, &sent, "out.pcap")][..], &pair].concat();
        let args =
            ["--prog", &pass, "--pass-port", "1", "--prog", &drop, "--prog", &tagged, "--engine", engine];
        let report = ["--map-dump", "told", "--exit-idle", "500", "--json", "--quiet"];
        let l2fwd = bench.l2fwd(&vdevs, &[&args[..], &report].concat());
        let report = parse(&in_network(&l2fwd, "exec \"$@\"").output().unwrap());
        let proto = u64::from(0x8100u16.to_be());
        assert_eq!(numbers(&report["maps"]["told"]), [5, TAG.into(), proto], "{report:#}");
    }
}

/// Timers expire between bursts: what packets are told grows while they come, and never shrinks.
#[test]
fn timers_expire_while_packets_run() {
    let prog = test_prog("tick.o:tick");
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let vdev = bench.pcap_port(0, &packets(32, 64), "out.pcap") + ",infinite_rx=1";
        let report = bench.report(&[vdev], &["--prog", &prog, "--engine", engine, "--count", "100000"]);
        assert_eq!(report["ports"][0]["actions"]["tx"], 100_000, "{report:#}");
        let ticks: Vec<_> = read_pcap(&bench.path("out.pcap"))
            .iter()
            .map(|p| u64::from_le_bytes(p[16..24].try_into().unwrap()))
            .collect();
        assert!(ticks.is_sorted() && ticks[0] == 0 && ticks[ticks.len() - 1] > 0, "{engine}");
    }
}

/// They do on a port where nothing happens, too.
#[test]
fn timers_expire_while_a_port_is_idle() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(1, 64), "out.pcap")];
    let args = ["--prog", &test_prog("tick.o:tick"), "--exit-idle", "100", "--map-dump", "clocks"];
    let report = bench.report(&vdevs, &args);
    assert_eq!(report["rx"], 1);
    // The timer takes 16 bytes, then comes the number.
    let ticks = report["maps"]["clocks"][0]["value"].as_array().unwrap()[16..24].to_vec();
    assert!(ticks.iter().any(|byte| byte != "0x00"), "{report:#}");
}
