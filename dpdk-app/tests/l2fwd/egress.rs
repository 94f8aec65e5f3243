//! Redirects that are more than a port: programs of entries, packets for every entry, other lcores, sockets that are not there.

use crate::chains::{bundled, test_prog};
use crate::common::{Bench, packets, parse, read_pcap};
use serde_json::Value;

/// Two lcores wherever there is a processor.
pub(crate) const TWO_LCORES: &str = "--lcores=0@0,1@0";
pub(crate) const ONE_LCORE: &str = "--lcores=0@0";

/// Three ports; packets come in at port 0 alone.
pub(crate) struct Ports {
    bench: Bench,
    vdevs: Vec<String>,
}

impl Ports {
    pub(crate) fn new(sent: &[Vec<u8>]) -> Self {
        let bench = Bench::new();
        let port = |n| bench.pcap_port(n, if n == 0 { sent } else { &[] }, &format!("out{n}.pcap"));
        let vdevs = [0, 1, 2].map(port).to_vec();
        Self { bench, vdevs }
    }

    /// Runs a program of egress.o with these map contents.
    pub(crate) fn run(&self, lcores: &str, program: &str, maps: &str, args: &[&str]) -> Value {
        let contents = self.bench.path("maps.json");
        std::fs::write(&contents, format!(r#"{{"maps": {{{maps}}}}}"#)).unwrap();
        let program = if program.contains('/') {
            program.to_owned()
        } else {
            format!("{}:{program}", test_prog("egress.o"))
        };
        let mut all = vec!["--prog", &program, "--maps", contents.to_str().unwrap(), "--exit-idle", "100"];
        all.extend(args);
        let mut command = self.bench.l2fwd_with(&[lcores], &self.vdevs, &all);
        parse(&command.args(["--json", "--quiet"]).output().unwrap())
    }

    pub(crate) fn out(&self, port: usize) -> Vec<Vec<u8>> {
        read_pcap(&self.bench.path(&format!("out{port}.pcap")))
    }
}

/// The packets with another byte at a place.
fn with_byte(packets: &[Vec<u8>], at: usize, byte: u8) -> Vec<Vec<u8>> {
    let mut changed = packets.to_vec();
    changed.iter_mut().for_each(|packet| packet[at] = byte);
    changed
}

#[test]
fn a_devmap_entry_leads_to_its_port_through_its_program() {
    let sent = packets(70, 64);
    for engine in ["jit", "interp"] {
        let ports = Ports::new(&sent);
        let args = ["--engine", engine];
        let report = ports.run(ONE_LCORE, "ingress", r#""devices": [{"key": 0, "value": 2}]"#, &args);
        assert_eq!(ports.out(1), sent, "{report:#}");

        let stamp = r#""devices": [{"key": 0, "value": 2, "program": "stamp"}]"#;
        let report = ports.run(ONE_LCORE, "ingress", stamp, &args);
        assert_eq!(ports.out(1), with_byte(&sent, 5, 2), "{report:#}");
        assert_eq!(report["ports"][0]["actions"]["redirect"], 70);
        assert_eq!((&report["ports"][0]["entry_dropped"], &report["tx"]), (&0.into(), &70.into()));
    }
}

#[test]
fn what_the_program_of_an_entry_drops_or_aborts_is_freed_and_counted() {
    let ports = Ports::new(&packets(5, 64));
    for (program, aborts) in [("egress", Value::Null), ("back", 5.into())] {
        let maps = format!(r#""devices": [{{"key": 0, "value": 3, "program": "{program}"}}]"#);
        let report = ports.run(ONE_LCORE, "ingress", &maps, &[]);
        assert_eq!((&report["ports"][0]["entry_dropped"], &report["tx"]), (&5.into(), &0.into()));
        assert_eq!(report["aborts"]["unknown code returned"], aborts, "{report:#}");
    }
}

#[test]
fn a_packet_for_all_goes_out_of_every_port_but_its_own_each_through_its_own_program() {
    let sent = packets(40, 64);
    let ports = Ports::new(&sent);
    let devices = r#""devices": [{"key": 0, "value": 1, "program": "stamp"}, {"key": 1, "value": 2, "program": "stamp"},
                                 {"key": 3, "value": 3}]"#;
    let report = ports.run(ONE_LCORE, "everywhere", devices, &[]);
    assert_eq!(ports.out(1), with_byte(&sent, 5, 2), "{report:#}");
    assert_eq!(ports.out(2), sent);
    assert!(ports.out(0).is_empty());
    let counted = &report["ports"][0];
    assert_eq!((&counted["copies"], &counted["actions"]["redirect"]), (&40.into(), &40.into()));

    // Where the ingress is the only entry, nothing is left.
    let report = ports.run(ONE_LCORE, "everywhere", r#""devices": [{"key": 2, "value": 1}]"#, &[]);
    assert_eq!((&report["ports"][0]["redirect_no_port"], &report["tx"]), (&40.into(), &0.into()));
}

#[test]
fn a_cpu_entry_hands_packets_over_to_its_lcore_which_redirects_them_on() {
    let sent = packets(200, 64);
    for engine in ["jit", "interp"] {
        let ports = Ports::new(&sent);
        let maps = r#""cpus": [{"key": 1, "value": 64, "program": "onward"}],
                      "devices": [{"key": 0, "value": 3, "program": "stamp"}]"#;
        let report = ports.run(TWO_LCORES, "to_cpu", maps, &["--engine", engine]);
        assert_eq!(report["ports"][0]["handed_over"], 200, "{report:#}");
        // The lcore wrote its slot, the device's program the interface.
        assert_eq!(ports.out(2), with_byte(&with_byte(&sent, 11, 1), 5, 3));
    }
}

#[test]
fn what_passes_on_another_lcore_goes_where_passed_packets_go() {
    let sent = packets(50, 64);
    let ports = Ports::new(&sent);
    for entry in [r#"{"key": 1, "value": 64, "program": "remote"}"#, r#"{"key": 1, "value": 64}"#] {
        let cpus = format!(r#""cpus": [{entry}]"#);
        let report = ports.run(TWO_LCORES, "to_cpu", &cpus, &["--pass-port", "1"]);
        assert_eq!(report["ports"][0]["handed_over"], 50, "{report:#}");
        assert_eq!(ports.out(1), sent);
        let report = ports.run(TWO_LCORES, "to_cpu", &cpus, &[]);
        assert_eq!((&report["ports"][0]["pass_freed"], &report["tx"]), (&50.into(), &0.into()));
    }
}

#[test]
fn the_main_lcore_is_cpu_0() {
    let sent = packets(50, 64);
    let ports = Ports::new(&sent);
    let maps =
        r#""cpus": [{"key": 0, "value": 64, "program": "onward"}], "devices": [{"key": 0, "value": 2}]"#;
    let report = ports.run(ONE_LCORE, "to_own_cpu", maps, &[]);
    assert_eq!(ports.out(1), with_byte(&sent, 11, 0), "{report:#}");
}

#[test]
fn packets_for_a_cpu_without_an_lcore_and_for_sockets_are_freed_and_counted() {
    let ports = Ports::new(&packets(9, 64));
    let report = ports.run(ONE_LCORE, "to_cpu", r#""cpus": [{"key": 1, "value": 64}]"#, &[]);
    assert_eq!((&report["ports"][0]["redirect_no_lcore"], &report["tx"]), (&9.into(), &0.into()));

    let sock = bundled("xdp_sock.o");
    let report = ports.run(ONE_LCORE, &sock, r#""sockets": [{"key": 0, "value": 2}]"#, &[]);
    assert_eq!((&report["ports"][0]["redirect_no_socket"], &report["tx"]), (&9.into(), &0.into()));
}

#[test]
fn count_sends_what_other_lcores_still_have() {
    let ports = Ports::new(&packets(200, 64));
    let maps =
        r#""cpus": [{"key": 1, "value": 64, "program": "onward"}], "devices": [{"key": 0, "value": 2}]"#;
    let report = ports.run(TWO_LCORES, "to_cpu", maps, &["--count", "150"]);
    assert_eq!((&report["rx"], &report["tx"]), (&150.into(), &150.into()), "{report:#}");
}
